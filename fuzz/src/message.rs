//! Whole messages: parse, print and parse again; and the same messages out of a stream cut anywhere.
use sip::{
    framing::{Frame, Framer, FramingError},
    message::{Headers, Message, Name},
};

/// A datagram. What parses prints to what parses to the same, and printing that changes nothing.
pub(crate) fn message(bytes: &[u8]) {
    match Message::parse(bytes) {
        Ok(message) => {
            read_all(message.headers());
            let printed = print(&message);
            assert_eq!(Message::parse(&printed).as_ref(), Ok(&message), "parse, print, parse");
        }
        Err(error) => {
            if let Some(rejected) = error.rejected {
                assert!(rejected.headers.via().is_some(), "an answer needs somewhere to go");
                read_all(&rejected.headers);
            }
        }
    }
}

/// A stream: its first byte says in what pieces it comes. The frames are the same as if it came at once.
pub(crate) fn stream(bytes: &[u8]) {
    let Some((size, stream)) = bytes.split_first() else { return };
    let whole = frames([stream].into_iter());
    let pieces = frames(stream.chunks(usize::from(*size).max(1)));
    assert_eq!(pieces, whole, "pieces of {size}");
    whole.0.iter().for_each(|frame| message(frame));
}

/// The messages of a stream, how many pings it held, and how it ended. A ping in two pieces is told as pong and ping,
/// so pongs do not count.
fn frames<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, usize, Option<FramingError>) {
    let (mut framer, mut messages, mut pings) = (Framer::new(), Vec::new(), 0);
    for piece in pieces {
        framer.push(piece);
        loop {
            match framer.poll_frame() {
                Ok(Some(Frame::Message(message))) => messages.push(message.into()),
                Ok(Some(Frame::Ping)) => pings += 1,
                Ok(Some(Frame::Pong)) => {}
                Ok(None) => break,
                Err(error) => return (messages, pings, Some(error)),
            }
        }
    }
    (messages, pings, None)
}

fn print(message: &Message) -> Vec<u8> {
    match message {
        Message::Request(request) => request.to_bytes(),
        Message::Response(response) => response.to_bytes(),
    }
}

/// Calls every reader of a header.
pub(crate) fn read_all(headers: &Headers) {
    let _ = (headers.vias(), headers.from(), headers.to(), headers.contacts(), headers.cseq(), headers.call_id());
    let _ = (headers.routes(), headers.record_routes(), headers.addresses(Name::PAssertedIdentity));
    let _ = (headers.max_forwards(), headers.expires(), headers.min_expires(), headers.retry_after());
    let _ = (headers.content_type(), headers.event(), headers.subscription_state(), headers.reasons());
    let _ = (headers.refer_to().and_then(|refer_to| refer_to.replaces()), headers.replaces());
    let _ = (headers.challenges(Name::WwwAuthenticate), headers.challenges(Name::ProxyAuthenticate));
    let _ = (headers.rseq(), headers.rack());
    let _ = (headers.lists(Name::Supported, "timer"), headers.tokens(Name::Require).count());
}
