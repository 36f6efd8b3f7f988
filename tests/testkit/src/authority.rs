//! Certificates of a test's own making.
use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// An authority that exists for one test, and its certificate in a file.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// Its certificate, in PEM.
    pub file: PathBuf,
}

/// A certificate for 127.0.0.1 and its key, in PEM.
#[derive(Clone, Debug)]
pub struct Certified {
    /// The file of the certificate.
    pub certificate: PathBuf,
    /// The file of the key.
    pub key: PathBuf,
}

impl Authority {
    /// Makes one; `name` is part of the file's.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn new(folder: &Path, name: &str) -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        // OpenSSL takes a certificate whose issuer has its own name for one that signed itself.
        params.distinguished_name.push(DnType::CommonName, format!("{name} authority"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let file = folder.join(format!("{name}-ca.pem"));
        fs::write(&file, issuer.pem())?;
        Ok(Self { issuer, file })
    }

    /// Writes a certificate and its key, over those of the same name.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn certify(&self, folder: &Path, name: &str) -> Result<Certified> {
        let pair = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec!["127.0.0.1".into()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let signed = params.signed_by(&pair, &self.issuer)?;
        let (certificate, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        fs::write(&certificate, signed.pem())?;
        fs::write(&key, pair.serialize_pem())?;
        Ok(Certified { certificate, key })
    }
}

impl Certified {
    /// The section `[tls]` of a Ramal that shows this certificate.
    #[must_use]
    pub fn toml(&self) -> String {
        format!("[tls]\ncertificate = {:?}\nkey = {:?}\n", self.certificate, self.key)
    }
}
