//! A socket that a phone's SDP names: hears the RTP that comes, and can speak.
use anyhow::{Result, bail};
use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// One RTP packet as it came.
#[derive(Clone, Debug)]
pub struct Heard {
    /// When.
    pub at: Instant,
    /// From where.
    pub from: SocketAddr,
    /// Payload type.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// Payload.
    pub payload: Vec<u8>,
}

/// A listening RTP socket on 127.0.0.1.
#[derive(Debug)]
pub struct Ear {
    socket: Arc<UdpSocket>,
    heard: Arc<Mutex<Vec<Heard>>>,
    stop: Arc<AtomicBool>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Ear {
    /// Listens on `port`.
    ///
    /// # Errors
    /// The port is taken.
    pub fn open(port: u16) -> Result<Self> {
        let socket = Arc::new(UdpSocket::bind(("127.0.0.1", port))?);
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let (heard, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let reader = thread::spawn({
            let (socket, heard, stop) = (Arc::clone(&socket), Arc::clone(&heard), Arc::clone(&stop));
            move || listen(&socket, &heard, &stop)
        });
        Ok(Self { socket, heard, stop, reader: Some(reader) })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not say.
    pub fn port(&self) -> Result<u16> {
        Ok(self.socket.local_addr()?.port())
    }

    /// All packets so far.
    #[must_use]
    pub fn heard(&self) -> Vec<Heard> {
        self.lock().clone()
    }

    /// How many packets so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Waits until `count` packets have come since the socket was opened.
    ///
    /// # Errors
    /// They did not within `patience`.
    pub fn wait(&self, count: usize, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        while self.count() < count {
            if Instant::now() >= deadline {
                bail!("{} of {count} RTP packets after {patience:?}", self.count());
            }
            thread::park_timeout(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Packets that came between `from` and `to`.
    #[must_use]
    pub fn between(&self, from: Instant, to: Instant) -> usize {
        self.lock().iter().filter(|packet| (from..to).contains(&packet.at)).count()
    }

    /// Sends any datagram from this socket.
    ///
    /// # Errors
    /// The system refuses.
    pub fn send(&self, datagram: &[u8], to: SocketAddr) -> Result<()> {
        self.socket.send_to(datagram, to)?;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Heard>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            // A panic of the reader leaves the packets so far; the assertions have been made on them.
            drop(reader.join());
        }
    }
}

fn listen(socket: &UdpSocket, heard: &Mutex<Vec<Heard>>, stop: &AtomicBool) {
    let mut buffer = [0; 2_048];
    while !stop.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        if let Some(packet) = buffer.get(..length).and_then(|bytes| parse(bytes, from)) {
            heard.lock().unwrap_or_else(PoisonError::into_inner).push(packet);
        }
    }
}

/// RFC 3550 §5.1, without CSRC and extension, which Ramal never sends.
fn parse(bytes: &[u8], from: SocketAddr) -> Option<Heard> {
    let (head, payload) = bytes.split_at_checked(12)?;
    let [0x80, kind, s1, s2, t1, t2, t3, t4, c1, c2, c3, c4] = *head else { return None };
    Some(Heard {
        at: Instant::now(),
        from,
        payload_type: kind & 0x7f,
        sequence: u16::from_be_bytes([s1, s2]),
        timestamp: u32::from_be_bytes([t1, t2, t3, t4]),
        ssrc: u32::from_be_bytes([c1, c2, c3, c4]),
        payload: payload.to_vec(),
    })
}
