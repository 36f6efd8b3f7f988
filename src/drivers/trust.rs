//! Whose certificates are believed when a provider shows them.
use crate::config::Config;
use anyhow::{Context, ensure};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::sync::Arc;

/// What connections to providers trust: public roots, and the administrator's own.
///
/// # Errors
/// When a file cannot be read, or holds no certificate.
pub(super) fn tls(config: &Config) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for (section, path) in config.authorities() {
        let of = || format!("[{section}] ca_file {}", path.display());
        let before = roots.len();
        for certificate in CertificateDer::pem_file_iter(path).with_context(of)? {
            roots.add(certificate.with_context(of)?).with_context(of)?;
        }
        ensure!(roots.len() > before, "{}: there is no certificate in it, in PEM", of());
    }
    Ok(client(roots)?)
}

/// A client that trusts these.
pub(crate) fn client(roots: RootCertStore) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;
    use std::path::Path;

    /// A configuration in which this section names a file.
    fn config(section: &str, path: &Path) -> Config {
        let text = format!("[{section}]\nca_file = {:?}\n", path.display().to_string());
        Config::parse(&text, "ramal.toml", &Environment::new()).unwrap()
    }

    #[test]
    fn the_authorities_of_every_providers_section_are_believed_beside_the_public_ones() {
        let folder = std::env::temp_dir().join(format!("ramal-trust-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&folder).unwrap();
        let (good, bad, empty) = (folder.join("ca.pem"), folder.join("bad.pem"), folder.join("empty.pem"));
        let made = rcgen::generate_simple_self_signed(["lab.example".to_owned()]).unwrap();
        std::fs::write(&good, made.cert.pem()).unwrap();
        std::fs::write(&bad, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        std::fs::write(&empty, made.cert.der()).unwrap();
        for section in ["openai", "gemini", "elevenlabs"] {
            assert_eq!(config(section, &good).authorities(), [(section, good.as_path())]);
            assert!(tls(&config(section, &good)).is_ok());
            for file in [&bad, &empty] {
                let error = tls(&config(section, file)).unwrap_err().to_string();
                assert!(error.starts_with(&format!("[{section}] ca_file")), "{error}");
            }
        }
        assert!(Config::parse("", "ramal.toml", &Environment::new()).unwrap().authorities().is_empty());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
