//! The physical floor: what a program in the middle costs that does nothing but carry. Every packet goes back to its
//! phone and up to the provider: straight away on one thread, with one socket for all calls, read and written in batches,
//! or with one for each call; or by a task for each call, on a grid of its own.
mod tasks;

use anyhow::{Context, Result, anyhow, ensure};
use clap::ValueEnum;
use nix::{
    errno::Errno,
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg},
    },
};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use std::{
    collections::HashMap,
    io::{ErrorKind, IoSlice, IoSliceMut, Write, stdout},
    net::{SocketAddr, TcpStream, UdpSocket},
    os::fd::AsRawFd,
    path::Path,
    sync::Arc,
};
use tungstenite::{Message, WebSocket, protocol::WebSocketConfig};

/// Datagrams of one system call.
const BATCH: usize = 64;
const DATAGRAM: usize = 256;
/// RFC 3550 §5.1.
const RTP_HEADER: usize = 12;

/// The first message of a connection.
const SESSION: &str = r#"{"type":"session.update","session":{"type":"realtime"}}"#;

/// Whom certificates are trusted by.
type Trust = Arc<ClientConfig>;
type Socket = WebSocket<StreamOwned<ClientConnection, TcpStream>>;

/// How calls share sockets and threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Layout {
    /// One socket for all.
    Shared,
    /// One for each, as the server has.
    Each,
    /// One for each with a task of its own, on threads as the server has.
    Tasks,
}

struct Floor {
    rtp: Vec<UdpSocket>,
    sockets: Vec<Socket>,
    /// Which connection a phone's packets go up on, in the order of their first packets.
    phones: HashMap<u16, usize>,
}

/// Connects `calls` times to `provider`, says where it takes RTP of each call, and carries until it is ended.
pub(crate) fn run(calls: usize, layout: Layout, provider: SocketAddr, ca_file: &Path) -> Result<()> {
    let trust = Arc::new(trust(ca_file)?);
    if layout == Layout::Tasks {
        return tasks::run(calls, provider, &trust);
    }
    let epoll = Epoll::new(EpollCreateFlags::empty())?;
    let mut floor = Floor { rtp: Vec::new(), sockets: Vec::new(), phones: HashMap::new() };
    let sockets = if layout == Layout::Shared { 1 } else { calls };
    for number in 0..sockets {
        let rtp = UdpSocket::bind("127.0.0.1:0")?;
        rtp.set_nonblocking(true)?;
        // Numbered after the connections.
        epoll.add(&rtp, EpollEvent::new(EpollFlags::EPOLLIN, (calls + number) as u64))?;
        floor.rtp.push(rtp);
    }
    for number in 0..calls {
        let socket = connect(provider, &trust)?;
        epoll.add(&socket.get_ref().sock, EpollEvent::new(EpollFlags::EPOLLIN, number as u64))?;
        floor.sockets.push(socket);
    }
    let rtp = |call| floor.rtp.get(call).or(floor.rtp.first()).context("no socket");
    tell((0..calls).map(|call| Ok(rtp(call)?.local_addr()?)).collect::<Result<Vec<_>>>()?)?;
    let mut ready = [EpollEvent::empty(); BATCH];
    loop {
        let count = match epoll.wait(&mut ready, EpollTimeout::NONE) {
            Err(Errno::EINTR) => 0,
            waited => waited?,
        };
        for event in ready.iter().take(count) {
            let number = event.data() as usize;
            match (number.checked_sub(calls), layout) {
                (None, _) => floor.listen(number)?,
                (Some(_), Layout::Shared) => floor.carry_all()?,
                (Some(call), Layout::Each | Layout::Tasks) => floor.carry(call)?,
            }
        }
    }
}

/// Says where each call takes RTP.
fn tell(rtp: impl IntoIterator<Item = SocketAddr>) -> Result<()> {
    rtp.into_iter().for_each(|address| print!("{address} "));
    println!();
    stdout().flush().context("stdout")
}

fn trust(ca_file: &Path) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca_file)?)?;
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(ring).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn connection() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(16 << 10).write_buffer_size(0)
}

fn url(provider: SocketAddr) -> String {
    format!("wss://{provider}/v1/realtime")
}

/// The message that takes a packet up.
fn append(packet: &[u8]) -> String {
    let audio = base64_simd::STANDARD.encode_to_string(packet.get(RTP_HEADER..).unwrap_or_default());
    format!(r#"{{"type":"input_audio_buffer.append","audio":"{audio}"}}"#)
}

fn connect(provider: SocketAddr, trust: &Trust) -> Result<Socket> {
    let stream = TcpStream::connect(provider)?;
    stream.set_nodelay(true)?;
    let session = ClientConnection::new(Arc::clone(trust), ServerName::from(provider.ip()))?;
    let stream = StreamOwned::new(session, stream);
    let opened = tungstenite::client::client_with_config(url(provider), stream, Some(connection()));
    let (mut socket, _) = opened.map_err(|error| anyhow!("the provider: {error}"))?;
    socket.send(Message::text(SESSION))?;
    socket.get_ref().sock.set_nonblocking(true)?;
    Ok(socket)
}

impl Floor {
    /// Echoes what one phone sent, and sends it up.
    fn carry(&mut self, call: usize) -> Result<()> {
        let mut buffer = [0; DATAGRAM];
        loop {
            let Some(rtp) = self.rtp.get(call) else { return Ok(()) };
            let (length, from) = match rtp.recv_from(&mut buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("recvfrom"),
            };
            let packet = buffer.get(..length).unwrap_or_default();
            // What the kernel does not take is a lost packet.
            let _ = rtp.send_to(packet, from);
            self.send_up(call, packet)?;
        }
    }

    /// The same for all that came to the one socket.
    fn carry_all(&mut self) -> Result<()> {
        let Some(rtp) = self.rtp.first().map(AsRawFd::as_raw_fd) else { return Ok(()) };
        let mut buffers = [[0; DATAGRAM]; BATCH];
        let mut headers = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
        let mut read: Vec<(usize, SockaddrIn)> = Vec::with_capacity(BATCH);
        {
            let mut slices: Vec<_> = buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
            match recvmmsg(rtp, &mut headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None) {
                Ok(messages) => read.extend(messages.filter_map(|message| Some((message.bytes, message.address?)))),
                Err(Errno::EAGAIN) => return Ok(()),
                Err(error) => return Err(error).context("recvmmsg"),
            }
        }
        let packets: Vec<&[u8]> =
            buffers.iter().zip(&read).map(|(buffer, (length, _))| buffer.get(..*length).unwrap_or_default()).collect();
        let addresses: Vec<Option<SockaddrIn>> = read.iter().map(|(_, address)| Some(*address)).collect();
        let slices: Vec<_> = packets.iter().map(|packet| [IoSlice::new(packet)]).collect();
        // What the kernel does not take is a lost packet.
        let _ = sendmmsg(rtp, &mut headers, &slices, &addresses, [], MsgFlags::MSG_DONTWAIT);
        for (packet, (_, address)) in packets.iter().zip(&read) {
            let next = self.phones.len();
            let number = *self.phones.entry(address.port()).or_insert(next);
            self.send_up(number, packet)?;
        }
        Ok(())
    }

    fn send_up(&mut self, number: usize, packet: &[u8]) -> Result<()> {
        let Some(socket) = self.sockets.get_mut(number) else { return Ok(()) };
        match socket.write(Message::text(append(packet))) {
            Ok(()) => Ok(()),
            Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error).context("a provider's connection"),
        }
    }

    /// Reads what the provider says, and forgets it.
    fn listen(&mut self, number: usize) -> Result<()> {
        let Some(socket) = self.sockets.get_mut(number) else { return Ok(()) };
        loop {
            match socket.read() {
                Ok(message) => ensure!(!message.is_close(), "the provider closed"),
                Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("a provider's connection"),
            }
        }
    }
}
