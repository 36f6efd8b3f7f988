//! What carries the provider's WebSockets: TCP, or TLS over it, and in both cases the time of arrival.
use crate::arrival::Timed;
use anyhow::{Context, Result};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};
use std::{
    fs,
    io::{self, Read, Write},
    net::TcpStream,
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

/// How connections are secured.
#[derive(Clone, Debug)]
pub(crate) enum Security {
    /// Plain TCP: `ws://`.
    Plain,
    /// TLS: `wss://`, with a certificate of its own.
    Tls(Tls),
}

/// A certificate for loopback, and the file by which clients trust it.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    config: Arc<ServerConfig>,
    pub(crate) ca_file: PathBuf,
}

impl Tls {
    /// Makes a certificate, and writes it into `folder`.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names)?;
        let ca_file = folder.join("provider.pem");
        fs::write(&ca_file, cert.pem()).with_context(|| format!("write {}", ca_file.display()))?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(ring).with_safe_default_protocol_versions()?;
        let config = config.with_no_client_auth().with_single_cert(vec![CertificateDer::from(cert)], key)?;
        Ok(Self { config: Arc::new(config), ca_file })
    }
}

impl Security {
    /// `ws` or `wss`.
    pub(crate) const fn scheme(&self) -> &'static str {
        match self {
            Self::Plain => "ws",
            Self::Tls(_) => "wss",
        }
    }

    /// Takes a connection; the handshake is made by the first reading.
    pub(super) fn take(&self, stream: TcpStream) -> Result<Stream> {
        let timed = Timed::new(stream)?;
        Ok(match self {
            Self::Plain => Stream::Plain(timed),
            Self::Tls(tls) => {
                let session = ServerConnection::new(Arc::clone(&tls.config))?;
                Stream::Tls(Box::new(StreamOwned::new(session, timed)))
            }
        })
    }
}

/// One connection.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(Timed),
    Tls(Box<StreamOwned<ServerConnection, Timed>>),
}

impl Stream {
    fn timed(&self) -> &Timed {
        match self {
            Self::Plain(timed) => timed,
            Self::Tls(tls) => &tls.sock,
        }
    }

    /// When what was last read had arrived.
    pub(super) fn last(&self) -> Instant {
        self.timed().last()
    }

    /// The socket.
    pub(super) fn socket(&self) -> &TcpStream {
        self.timed().stream()
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket().as_fd()
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(timed) => timed.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(timed) => timed.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(timed) => timed.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}
