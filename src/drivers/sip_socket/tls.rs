//! TLS for SIP: what we prove and whom we believe. Read from files, and read again when they change.
use crate::config;
use anyhow::{Context, ensure};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, ServerConfig,
    SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::WebPkiClientVerifier,
};
use std::{
    io,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{net::TcpStream, sync::watch, time::sleep};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use tracing::{error, info};

/// How often we look whether a certificate has been renewed.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Both roles of TLS.
#[derive(Debug)]
pub struct Tls {
    /// `None` without a certificate: then nobody can connect to us.
    server: Option<Arc<ServerConfig>>,
    client: Arc<ClientConfig>,
}

impl Tls {
    /// What is configured, from its files.
    ///
    /// # Errors
    /// The key and the file that cannot be used, and why.
    pub fn load(config: &config::Tls) -> anyhow::Result<Self> {
        let identity = config.identity.as_ref().map(identity).transpose()?;
        let server = match &identity {
            Some((chain, key)) => Some(Arc::new(server_config(config, chain.clone(), key.clone_key())?)),
            None => None,
        };
        Ok(Self { server, client: Arc::new(client_config(config, identity)?) })
    }

    /// Connections of our own to servers that a public authority knows; none of others.
    ///
    /// # Errors
    /// The cryptography is not to be had.
    pub fn outgoing() -> anyhow::Result<Self> {
        Self::load(&config::Tls::default())
    }

    /// Reads the files again whenever one of them changes, until nobody opens connections any more. Files that cannot be
    /// used change nothing.
    pub async fn follow(config: config::Tls, current: Arc<watch::Sender<Arc<Self>>>) {
        let mut seen = changed_at(&config);
        loop {
            tokio::select! {
                () = sleep(LOOK_AGAIN) => {}
                () = current.closed() => return,
            }
            let latest = changed_at(&config);
            if latest == seen {
                continue;
            }
            seen = latest;
            match Self::load(&config) {
                Ok(tls) => {
                    info!("TLS certificates read again");
                    current.send_replace(Arc::new(tls));
                }
                Err(error) => error!("TLS goes on as it was: {error:#}"),
            }
        }
    }

    /// The handshake with a peer that connected to us.
    pub(in crate::drivers) async fn accept(&self, stream: TcpStream) -> io::Result<server::TlsStream<TcpStream>> {
        let Some(config) = &self.server else { return Err(io::Error::other("no certificate of ours")) };
        TlsAcceptor::from(Arc::clone(config)).accept(stream).await
    }

    /// The handshake with a server that must prove this name, or this address if it is one.
    pub(super) async fn connect(&self, stream: TcpStream, name: &str) -> io::Result<client::TlsStream<TcpStream>> {
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        TlsConnector::from(Arc::clone(&self.client)).connect(name, stream).await
    }
}

/// When each file of the configuration was last changed; `None` for one that is not there.
fn changed_at(config: &config::Tls) -> Vec<Option<SystemTime>> {
    let own = config.identity.iter().flat_map(|identity| [&identity.certificate, &identity.key]);
    let clients = match &config.clients {
        config::Clients::Anyone => None,
        config::Clients::Known { ca_file, .. } => Some(ca_file),
    };
    let files = own.chain(clients).chain(&config.ca_file);
    files.map(|path| std::fs::metadata(path).and_then(|file| file.modified()).ok()).collect()
}

/// What an administrator can do about a handshake that failed.
pub(super) fn advice(error: &io::Error) -> String {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
    let hint = match cause {
        Some(TlsError::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "; name the authority of its certificate in [tls] ca_file"
        }
        Some(TlsError::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => "; register with the name its certificate bears",
        Some(_) | None => "",
    };
    format!("{error}{hint}")
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn identity(files: &config::Identity) -> anyhow::Result<Identity> {
    let chain = certificates(&files.certificate).context("[tls] certificate")?;
    let key = PrivateKeyDer::from_pem_file(&files.key);
    let key = key.with_context(|| format!("[tls] key: {}", files.key.display()))?;
    Ok((chain, key))
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let shown = path.display();
    let read = CertificateDer::pem_file_iter(path).with_context(|| shown.to_string())?;
    let chain = read.collect::<Result<Vec<_>, _>>().with_context(|| shown.to_string())?;
    ensure!(!chain.is_empty(), "{shown} holds no certificate");
    Ok(chain)
}

fn roots(path: &Path, mut roots: RootCertStore) -> anyhow::Result<RootCertStore> {
    for certificate in certificates(path)? {
        roots.add(certificate).with_context(|| path.display().to_string())?;
    }
    Ok(roots)
}

fn server_config(
    config: &config::Tls,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> anyhow::Result<ServerConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match &config.clients {
        config::Clients::Anyone => builder.with_no_client_auth(),
        config::Clients::Known { ca_file, required } => {
            let roots = Arc::new(roots(ca_file, RootCertStore::empty()).context("[tls] client_ca_file")?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            let verifier = if *required { verifier } else { verifier.allow_unauthenticated() };
            builder.with_client_cert_verifier(verifier.build().context("[tls] client_ca_file")?)
        }
    };
    builder.with_single_cert(chain, key).context("[tls] certificate and key")
}

/// We show our own certificate to servers that ask for one.
fn client_config(config: &config::Tls, identity: Option<Identity>) -> anyhow::Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = if config.verify_servers {
        let public = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let roots = match &config.ca_file {
            Some(path) => roots(path, public).context("[tls] ca_file")?,
            None => public,
        };
        builder.with_root_certificates(roots)
    } else {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyServer { provider }))
    };
    match identity {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).context("[tls] certificate and key"),
        None => Ok(builder.with_no_client_auth()),
    }
}

/// Believes whatever certificate a server shows, as the administrator asked (`verify_servers = false`): encrypted, but
/// with whom is not known.
#[derive(Debug)]
struct AnyServer {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
