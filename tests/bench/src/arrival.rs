//! When bytes arrived, by the kernel's clock: how late this process reads them does not count.
use anyhow::{Context, Result};
use nix::{
    cmsg_space,
    errno::Errno,
    sys::{
        socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt},
        time::TimeSpec,
    },
};
use std::{
    io::{self, IoSliceMut, Read, Write},
    net::TcpStream,
    os::fd::{AsFd, AsRawFd},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Two clock readings further apart than this had something between them.
const SAME_MOMENT: Duration = Duration::from_micros(10);
const READINGS: usize = 4;

/// What one read gave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    /// Bytes read.
    pub(crate) length: usize,
    /// When the kernel had them.
    pub(crate) at: Instant,
}

/// Has the kernel note the time of everything this socket receives (SO_TIMESTAMPNS). The first socket of a machine that
/// asks for it is given arrival times a moment later only: until then the time of the reading stands in.
pub(crate) fn note_arrivals(socket: &impl AsFd) -> Result<()> {
    setsockopt(socket, sockopt::ReceiveTimestampns, &true).context("SO_TIMESTAMPNS")
}

/// Reads from a socket that notes arrivals.
pub(crate) fn receive(socket: &impl AsRawFd, buffer: &mut [u8]) -> io::Result<Received> {
    let mut control = cmsg_space!(TimeSpec);
    let mut slices = [IoSliceMut::new(buffer)];
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut control), MsgFlags::empty());
    let message = message.map_err(|error: Errno| io::Error::from_raw_os_error(error as i32))?;
    let noted = message.cmsgs().ok().and_then(|mut all| {
        all.find_map(|one| match one {
            ControlMessageOwned::ScmTimestampns(time) => Some(Duration::from(time)),
            _ => None,
        })
    });
    // The end of a stream has no arrival.
    let at = noted.map_or_else(Instant::now, on_our_clock);
    Ok(Received { length: message.bytes, at })
}

/// The kernel notes in CLOCK_REALTIME; everything else here is measured in CLOCK_MONOTONIC.
fn on_our_clock(noted: Duration) -> Instant {
    let (mut before, mut wall) = (Instant::now(), SystemTime::now());
    for _ in 0..READINGS {
        if before.elapsed() < SAME_MOMENT {
            break;
        }
        (before, wall) = (Instant::now(), SystemTime::now());
    }
    let since = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
    match since.checked_sub(noted) {
        Some(ago) => before.checked_sub(ago).unwrap_or(before),
        None => before + noted.saturating_sub(since),
    }
}

/// A TCP stream that knows when what was last read of it had arrived. Of several segments read at once it is the last.
#[derive(Debug)]
pub(crate) struct Timed {
    stream: TcpStream,
    last: Instant,
}

impl Timed {
    /// Notes arrivals from here on.
    pub(crate) fn new(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        note_arrivals(&stream)?;
        Ok(Self { stream, last: Instant::now() })
    }

    /// When what was last read had arrived.
    pub(crate) fn last(&self) -> Instant {
        self.last
    }

    /// The stream itself.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let received = receive(&self.stream, buffer)?;
        self.last = received.at;
        Ok(received.length)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        net::{TcpListener, UdpSocket},
        thread,
    };

    const LATE: Duration = Duration::from_millis(20);
    /// The first socket of the machine to ask for times is given them a moment later.
    const TRIES: usize = 50;

    /// Sends, waits, reads; the arrival must lie between the sending and the end of the wait, long before the reading.
    fn arrives_when_sent(mut send: impl FnMut(), mut read: impl FnMut() -> Instant) -> bool {
        (0..TRIES).any(|_| {
            let sent = Instant::now();
            send();
            thread::sleep(LATE);
            let reading = Instant::now();
            let at = read();
            at + Duration::from_millis(1) >= sent && at + LATE / 2 <= reading
        })
    }

    #[test]
    fn a_datagram_read_late_arrived_when_it_was_sent() {
        let here = UdpSocket::bind("127.0.0.1:0").unwrap();
        note_arrivals(&here).unwrap();
        let address = here.local_addr().unwrap();
        let send = || assert_eq!(here.send_to(b"x", address).unwrap(), 1);
        assert!(arrives_when_sent(send, || receive(&here, &mut [0; 10]).unwrap().at));
    }

    #[test]
    fn so_did_a_segment() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut there = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut here = Timed::new(listener.accept().unwrap().0).unwrap();
        let read = || {
            assert_eq!(here.read(&mut [0; 10]).unwrap(), 3);
            here.last()
        };
        assert!(arrives_when_sent(|| there.write_all(b"xyz").unwrap(), read));
    }
}
