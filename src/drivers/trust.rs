//! Whose certificates are believed when a provider shows them.
use crate::config::Config;
use anyhow::Context;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{path::Path, sync::Arc};

/// The administrator's own, by the section that names them.
pub(super) fn authorities(config: &Config) -> Vec<(&'static str, &Path)> {
    let Config { openai, gemini, elevenlabs, .. } = config;
    let named = [("openai", &openai.ca_file), ("gemini", &gemini.ca_file), ("elevenlabs", &elevenlabs.ca_file)];
    named.into_iter().filter_map(|(section, path)| Some((section, path.as_deref()?))).collect()
}

/// What connections to providers trust: public roots, and the administrator's own.
///
/// # Errors
/// When a file cannot be read, or holds something else.
pub(super) fn tls(config: &Config) -> anyhow::Result<Arc<rustls::ClientConfig>> {
    let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for (section, path) in authorities(config) {
        let of = || format!("[{section}] ca_file {}", path.display());
        for certificate in CertificateDer::pem_file_iter(path).with_context(of)? {
            roots.add(certificate.with_context(of)?).with_context(of)?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    /// A configuration in which this section names a file.
    fn config(section: &str, path: &Path) -> Config {
        let text = format!("[{section}]\nca_file = {:?}\n", path.display().to_string());
        Config::parse(&text, "ramal.toml", &Environment::new()).unwrap()
    }

    #[test]
    fn the_authorities_of_every_providers_section_are_believed_beside_the_public_ones() {
        let folder = std::env::temp_dir().join(format!("ramal-trust-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&folder).unwrap();
        let (good, bad) = (folder.join("ca.pem"), folder.join("bad.pem"));
        let made = rcgen::generate_simple_self_signed(["lab.example".to_owned()]).unwrap();
        std::fs::write(&good, made.cert.pem()).unwrap();
        std::fs::write(&bad, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        for section in ["openai", "gemini", "elevenlabs"] {
            assert_eq!(authorities(&config(section, &good)), [(section, good.as_path())]);
            assert!(tls(&config(section, &good)).is_ok());
            let error = tls(&config(section, &bad)).unwrap_err().to_string();
            assert!(error.starts_with(&format!("[{section}] ca_file")), "{error}");
        }
        assert!(authorities(&Config::parse("", "ramal.toml", &Environment::new()).unwrap()).is_empty());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
