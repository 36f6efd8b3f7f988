//! Messages out of a byte stream (RFC 3261 §18.3) and its keep-alives (RFC 5626 §3.5.1).
use crate::{
    Body,
    message::{MAX_MESSAGE, Name, parse},
};
use std::fmt;

/// The answer to a [`Frame::Ping`].
pub const PONG: &[u8] = b"\r\n";
/// What a client sends to hear a [`Frame::Pong`].
pub const PING: &[u8] = b"\r\n\r\n";

/// What a stream carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// One whole message for [`Message::parse`](crate::message::Message::parse), which has the last word on it.
    Message(Body),
    /// Two line ends between messages: to be answered with [`PONG`].
    Ping,
    /// One line end between messages. Where a ping comes in two pieces its first half is told as a pong.
    Pong,
}

/// The stream cannot be read any further: where the next message begins is unknown. The connection must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// Headers or body exceed [`MAX_MESSAGE`].
    #[error("message too long")]
    TooLong,
    /// Content-Length is no number, or there are two that differ.
    #[error("bad Content-Length")]
    ContentLength,
}

/// Cuts a stream into frames. Holds at most one message and whatever the last push brought behind it.
#[derive(Default)]
pub struct Framer {
    buffer: Vec<u8>,
    /// Everything in front of it has been given out.
    start: usize,
    /// No blank line ends before this place.
    searched: usize,
    /// Start of the body and end of the message at `start`, once its headers are whole.
    body: Option<(usize, usize)>,
    keep_alive: KeepAlive,
}

/// What a line end between messages would mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum KeepAlive {
    /// A pong, or the first half of a ping.
    #[default]
    Unasked,
    /// The pong that we asked for.
    Asked,
    /// The last frame was a pong that nobody asked for: one more line end makes it a ping.
    HalfPing,
}

impl fmt::Debug for Framer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Framer({} bytes)", self.buffer.len())
    }
}

impl Framer {
    /// An empty stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes as they came. Frames must be polled out after each push.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.searched = self.searched.saturating_sub(self.start);
        self.body = self.body.map(|(body, end)| (body.saturating_sub(self.start), end.saturating_sub(self.start)));
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// A ping of ours goes out: the next single line end is its pong, and no half of a ping.
    pub fn expect_pong(&mut self) {
        self.keep_alive = KeepAlive::Asked;
    }

    /// The next frame, or `None` until more bytes come.
    ///
    /// # Errors
    /// If the stream cannot be read any further; every later call gives the same.
    pub fn poll_frame(&mut self) -> Result<Option<Frame>, FramingError> {
        if let Some(frame) = self.keep_alive() {
            return Ok(Some(frame));
        }
        let Some(end) = self.message_end()? else {
            return Ok(None);
        };
        let Some(message) = self.buffer.get(self.start..end) else {
            return Ok(None);
        };
        let frame = Frame::Message(message.into());
        self.give_out(end);
        if self.keep_alive == KeepAlive::HalfPing {
            self.keep_alive = KeepAlive::Unasked;
        }
        Ok(Some(frame))
    }

    /// A line end in front of a message.
    fn keep_alive(&mut self) -> Option<Frame> {
        let rest = self.buffer.get(self.start..)?;
        if rest.starts_with(PING) && self.keep_alive != KeepAlive::HalfPing {
            self.give_out(self.start + PING.len());
            return Some(Frame::Ping);
        }
        if rest.starts_with(PONG) {
            self.give_out(self.start + PONG.len());
            let (frame, next) = match self.keep_alive {
                KeepAlive::Unasked => (Frame::Pong, KeepAlive::HalfPing),
                KeepAlive::Asked => (Frame::Pong, KeepAlive::Unasked),
                KeepAlive::HalfPing => (Frame::Ping, KeepAlive::Unasked),
            };
            self.keep_alive = next;
            return Some(frame);
        }
        None
    }

    fn give_out(&mut self, end: usize) {
        self.start = end;
        self.searched = end;
        self.body = None;
    }

    /// Where the message at `start` ends, if all of it is there.
    fn message_end(&mut self) -> Result<Option<usize>, FramingError> {
        if let Some((_, end)) = self.body {
            return Ok(Some(end).filter(|end| *end <= self.buffer.len()));
        }
        let found = parse::head_end(&self.buffer, self.searched);
        let head_length = found.map_or(self.buffer.len(), |(_, body)| body).saturating_sub(self.start);
        if head_length > MAX_MESSAGE {
            return Err(FramingError::TooLong);
        }
        let Some((head, body)) = found else {
            // A blank line may begin in the last two bytes: `\n\r` + `\n`.
            self.searched = self.buffer.len().saturating_sub(2).max(self.start);
            return Ok(None);
        };
        let length = body_length(self.buffer.get(self.start..head).unwrap_or_default())?;
        if length > MAX_MESSAGE.saturating_sub(head_length) {
            return Err(FramingError::TooLong);
        }
        let end = body + length;
        self.body = Some((body, end));
        Ok(Some(end).filter(|end| *end <= self.buffer.len()))
    }
}

/// Content-Length of a head. Without one there is no body: the only guess that keeps the stream readable.
fn body_length(head: &[u8]) -> Result<usize, FramingError> {
    let mut length = None;
    let mut lines = head.split(|b| *b == b'\n').skip(1).peekable();
    while let Some(line) = lines.next() {
        let mut parts = line.splitn(2, |b| *b == b':');
        let name = std::str::from_utf8(parts.next().unwrap_or_default()).unwrap_or_default();
        if Name::parse(name.trim_end_matches([' ', '\t'])) != Some(Name::ContentLength) {
            continue;
        }
        let mut value = parts.next().unwrap_or_default().to_vec();
        while let Some(folded) = lines.next_if(|next| next.starts_with(b" ") || next.starts_with(b"\t")) {
            value.extend_from_slice(folded);
        }
        let value = std::str::from_utf8(&value).ok().and_then(|text| parse::content_length(text.trim()));
        let value = value.ok_or(FramingError::ContentLength)?;
        if length.is_some_and(|known| known != value) {
            return Err(FramingError::ContentLength);
        }
        length = Some(value);
    }
    Ok(length.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: &[u8] = b"OPTIONS sip:a@h SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z\r\nl : \r\n 4\r\n\r\nbody";
    const OK: &[u8] = b"SIP/2.0 200 OK\nContent-Length: 0\n\n";

    fn frames(chunks: &[&[u8]]) -> Result<Vec<Frame>, FramingError> {
        let mut framer = Framer::new();
        let mut frames = Vec::new();
        for chunk in chunks {
            framer.push(chunk);
            while let Some(frame) = framer.poll_frame()? {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    fn message(bytes: &[u8]) -> Frame {
        Frame::Message(bytes.into())
    }

    #[test]
    fn messages_and_keep_alives_in_one_piece() {
        let stream = [OPTIONS, OK, PING, OPTIONS, PONG, OK].concat();
        let expected = [message(OPTIONS), message(OK), Frame::Ping, message(OPTIONS), Frame::Pong, message(OK)];
        assert_eq!(frames(&[&stream]).unwrap(), expected);
    }

    #[test]
    fn the_same_messages_wherever_the_stream_is_split() {
        let stream = [OPTIONS, PING, PING, OK, OK, PING, OPTIONS].concat();
        let messages = |chunks: &[&[u8]]| {
            let mut all = frames(chunks).unwrap();
            let pings = all.iter().filter(|frame| **frame == Frame::Ping).count();
            all.retain(|frame| matches!(frame, Frame::Message(_)));
            (all, pings)
        };
        let expected = (vec![message(OPTIONS), message(OK), message(OK), message(OPTIONS)], 3);
        for at in 0..=stream.len() {
            let (left, right) = stream.split_at(at);
            assert_eq!(messages(&[left, right]), expected, "split at {at}");
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(messages(&bytes), expected);
    }

    /// Each ping of ours is answered by one line end, and two of those are no ping of the peer.
    #[test]
    fn pongs_that_were_asked_for_make_no_ping() {
        let mut framer = Framer::new();
        for _ in 0..4 {
            framer.expect_pong();
            framer.push(PONG);
            assert_eq!((framer.poll_frame(), framer.poll_frame()), (Ok(Some(Frame::Pong)), Ok(None)));
        }
        framer.push(PONG);
        framer.push(PONG);
        assert_eq!((framer.poll_frame(), framer.poll_frame()), (Ok(Some(Frame::Ping)), Ok(None)));
    }

    #[test]
    fn bounds_hold() {
        let long = vec![b'x'; MAX_MESSAGE + 1];
        assert_eq!(frames(&[&long]), Err(FramingError::TooLong));
        let table = [
            ("Content-Length: 65536", FramingError::TooLong),
            ("Content-Length: 99999999999999999999999", FramingError::TooLong),
            ("Content-Length: -1", FramingError::ContentLength),
            ("Content-Length: 0x1", FramingError::ContentLength),
            ("Content-Length:", FramingError::ContentLength),
            ("l: 1\r\nContent-Length: 2", FramingError::ContentLength),
        ];
        for (header, error) in table {
            let text = format!("OPTIONS sip:a@h SIP/2.0\r\n{header}\r\n\r\n");
            assert_eq!(frames(&[text.as_bytes()]), Err(error), "{header}");
        }
    }

    #[test]
    fn no_content_length_means_no_body() {
        assert_eq!(
            frames(&[b"SIP/2.0 200 OK\r\nVia: x\r\n\r\n"]).unwrap(),
            [message(b"SIP/2.0 200 OK\r\nVia: x\r\n\r\n")]
        );
    }

    /// A flood of pings, and a message that comes byte by byte, cost time in proportion to their length.
    #[test]
    fn cost_is_linear() {
        assert_eq!(frames(&[&PING.repeat(500_000)]).unwrap().len(), 500_000);
        let head = b"OPTIONS sip:a@h SIP/2.0\r\nX: ";
        let slow = [head.as_slice(), &vec![b'x'; MAX_MESSAGE - 200], b"\r\n\r\n"].concat();
        let bytes: Vec<&[u8]> = slow.chunks(1).collect();
        assert_eq!(frames(&bytes).unwrap(), [message(&slow)]);
    }
}
