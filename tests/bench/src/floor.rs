//! The physical floor: what a program in the middle costs that does nothing but carry. Every packet goes straight back
//! to its phone and up to the provider, over the cheapest layout of sockets that is known: one for all calls, read and
//! written in batches, and one thread.
use anyhow::{Context, Result, anyhow, ensure};
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
/// The event of the RTP socket among those of the connections.
const RTP: u64 = u64::MAX;

type Socket = WebSocket<StreamOwned<ClientConnection, TcpStream>>;

struct Floor {
    rtp: UdpSocket,
    sockets: Vec<Socket>,
    /// Which connection a phone's packets go up on, in the order of their first packets.
    phones: HashMap<u16, usize>,
}

/// Connects `calls` times to `provider`, says where it takes RTP, and carries until it is ended.
pub(crate) fn run(calls: usize, provider: SocketAddr, ca_file: &Path) -> Result<()> {
    let rtp = UdpSocket::bind("127.0.0.1:0")?;
    rtp.set_nonblocking(true)?;
    let epoll = Epoll::new(EpollCreateFlags::empty())?;
    epoll.add(&rtp, EpollEvent::new(EpollFlags::EPOLLIN, RTP))?;
    let trust = Arc::new(trust(ca_file)?);
    let mut floor = Floor { rtp, sockets: Vec::new(), phones: HashMap::new() };
    for number in 0..calls {
        let socket = connect(provider, &trust)?;
        epoll.add(&socket.get_ref().sock, EpollEvent::new(EpollFlags::EPOLLIN, number as u64))?;
        floor.sockets.push(socket);
    }
    println!("{}", floor.rtp.local_addr()?);
    stdout().flush()?;
    let mut ready = [EpollEvent::empty(); BATCH];
    loop {
        let count = match epoll.wait(&mut ready, EpollTimeout::NONE) {
            Err(Errno::EINTR) => 0,
            waited => waited?,
        };
        for event in ready.iter().take(count) {
            match event.data() {
                RTP => floor.carry()?,
                number => floor.listen(number as usize)?,
            }
        }
    }
}

fn trust(ca_file: &Path) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca_file)?)?;
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(ring).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn connect(provider: SocketAddr, trust: &Arc<ClientConfig>) -> Result<Socket> {
    let stream = TcpStream::connect(provider)?;
    stream.set_nodelay(true)?;
    let session = ClientConnection::new(Arc::clone(trust), ServerName::from(provider.ip()))?;
    let config = WebSocketConfig::default().read_buffer_size(16 << 10).write_buffer_size(0);
    let url = format!("wss://{provider}/v1/realtime");
    let opened = tungstenite::client::client_with_config(url, StreamOwned::new(session, stream), Some(config));
    let (mut socket, _) = opened.map_err(|error| anyhow!("the provider: {error}"))?;
    socket.send(Message::text(r#"{"type":"session.update","session":{"type":"realtime"}}"#))?;
    socket.get_ref().sock.set_nonblocking(true)?;
    Ok(socket)
}

impl Floor {
    /// Echoes what phones sent, and sends it up.
    fn carry(&mut self) -> Result<()> {
        let mut buffers = [[0; DATAGRAM]; BATCH];
        let mut headers = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
        let mut read: Vec<(usize, SockaddrIn)> = Vec::with_capacity(BATCH);
        {
            let mut slices: Vec<_> = buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
            match recvmmsg(self.rtp.as_raw_fd(), &mut headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None) {
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
        let _ = sendmmsg(self.rtp.as_raw_fd(), &mut headers, &slices, &addresses, [], MsgFlags::MSG_DONTWAIT);
        for (packet, (_, address)) in packets.iter().zip(&read) {
            let next = self.phones.len();
            let number = *self.phones.entry(address.port()).or_insert(next);
            let Some(socket) = self.sockets.get_mut(number) else { continue };
            let audio = base64_simd::STANDARD.encode_to_string(packet.get(RTP_HEADER..).unwrap_or_default());
            let append = format!(r#"{{"type":"input_audio_buffer.append","audio":"{audio}"}}"#);
            match socket.write(Message::text(append)) {
                Ok(()) => {}
                Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("a provider's connection"),
            }
        }
        Ok(())
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
