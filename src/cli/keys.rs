//! `ramal keys`: tenants' own provider keys in the database, sealed with the master keys of this configuration.
use crate::{
    config::{Config, Secret},
    secretary::{DomainRef, ProviderKind},
    store::{self, SealedKey, Tenants},
    vault::{self, Keyring, Place},
};
use anyhow::{Context, bail};
use std::{
    fmt::Write as _,
    io::{self, Read},
    path::PathBuf,
};
use uuid::Uuid;

/// Longest key that is read.
const LONGEST: u64 = 8_192;

/// Sets tenants' own provider keys in the database, and seals them anew.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
    /// Configuration file with database and master keys, else that of the variable RAMAL_CONFIG
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum What {
    /// Gives a tenant its own key, which is read from standard input
    Set {
        /// The tenant: a domain name or UUID
        domain: String,
        /// openai, azure, openai-live, gemini or elevenlabs
        provider: String,
    },
    /// Lists tenants with a key of their own, and which master key seals each
    List,
    /// Seals every key with the first of the master keys
    Rotate,
}

/// Runs the command. What it prints has no key in it.
///
/// # Errors
/// There is no master key, the database does not answer, or a key cannot be opened; those before it are done.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let config = super::load(args.config.as_deref())?;
    let said = match args.what {
        What::Set { domain, provider } => {
            let mut written = String::new();
            io::stdin().take(LONGEST).read_to_string(&mut written).context("the key on standard input")?;
            set(&config, (&domain, &provider), written.trim()).await?
        }
        What::List => list(tenants(&config).await?.tenants()).await?,
        What::Rotate => rotate(tenants(&config).await?.tenants(), &config.tenancy.master_keys).await?,
    };
    print!("{said}");
    Ok(())
}

async fn tenants(config: &Config) -> anyhow::Result<std::sync::Arc<dyn store::Store>> {
    store::connect_existing(&config.database).await.context("the database")
}

async fn set(config: &Config, (domain, provider): (&str, &str), key: &str) -> anyhow::Result<String> {
    if key.is_empty() {
        bail!("there is no key on standard input");
    }
    let provider = ProviderKind::parse(provider);
    if !provider.takes_key() {
        bail!("{provider:?} is no provider that takes a key");
    }
    let store = tenants(config).await?;
    let found = store.tenants().domain(&DomainRef::from(domain)).await?;
    let domain_uuid = found.with_context(|| format!("there is no domain {domain:?} in this database"))?;
    let place = Place { domain: domain_uuid, provider: provider.as_str() };
    let sealed = config.tenancy.master_keys.seal(&Secret::new(key), &place, salt())?;
    store.tenants().set_key(domain_uuid, provider.as_str(), &sealed).await?;
    Ok(format!("{domain} has its own key at {provider}\n"))
}

async fn list(tenants: &dyn Tenants) -> anyhow::Result<String> {
    let mut text = String::new();
    for SealedKey { domain_name, provider, sealed, .. } in tenants.sealed_keys().await? {
        let by = vault::key_id(&sealed).unwrap_or("not sealed");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{domain_name}  {provider}  {by}");
    }
    Ok(text)
}

/// One after the other, each in its own step: whoever is interrupted goes on where it stopped.
async fn rotate(tenants: &dyn Tenants, keys: &Keyring) -> anyhow::Result<String> {
    let (mut sealed_anew, mut current) = (0, 0);
    for key in tenants.sealed_keys().await? {
        if keys.is_current(&key.sealed) {
            current += 1;
            continue;
        }
        let provider = ProviderKind::parse(&key.provider);
        let place = Place { domain: key.domain_uuid, provider: provider.as_str() };
        let opened = keys.open(&key.sealed, &place).with_context(|| format!("the key of {}", key.domain_name))?;
        let sealed = keys.seal(&opened, &place, salt())?;
        if !tenants.replace_key(&key, &sealed).await? {
            bail!("the key of {} was set meanwhile; run this again", key.domain_name);
        }
        sealed_anew += 1;
    }
    Ok(format!("{sealed_anew} sealed anew, {current} were already\n"))
}

fn salt() -> [u8; 16] {
    Uuid::new_v4().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Environment,
        secretary::{SecretaryEntry, SecretaryRow},
        tenancy::Tenant,
    };

    fn config(database: &str, masters: &[&str]) -> Config {
        let keys: Vec<String> = masters.iter().map(|digits| format!("{:?}", digits.repeat(32))).collect();
        let text = format!("[database]\nurl = \"sqlite:{database}\"\n[secrets]\nmaster_keys = [{}]\n", keys.join(", "));
        Config::parse(&text, "test", &Environment::new()).unwrap()
    }

    #[tokio::test]
    async fn a_key_is_set_for_one_tenant_and_opens_with_the_new_master_key_after_rotation() {
        let file = std::env::temp_dir().join(format!("ramal-keys-{}.db", Uuid::new_v4()));
        let path = file.display().to_string();
        let (old, both, new) = (config(&path, &["07"]), config(&path, &["08", "07"]), config(&path, &["08"]));
        let store = store::connect(&old.database).await.unwrap();
        for domain in ["a.example", "b.example"] {
            let row = SecretaryRow {
                secretary_name: "Ana".into(),
                extension: Some("8000".into()),
                realtime_provider: "openai".into(),
                ..SecretaryRow::default()
            };
            store.upsert_secretary(&SecretaryEntry { domain: domain.into(), row }).await.unwrap();
        }
        assert!(set(&old, ("nobody.example", "openai"), "sk-1").await.is_err());
        assert!(set(&old, ("a.example", "local"), "sk-1").await.is_err());
        set(&old, ("a.example", "openai"), "sk-0").await.unwrap();
        set(&old, ("A.example", "openai"), "sk-1").await.unwrap();
        let told = list(store.tenants()).await.unwrap();
        assert!(
            told.starts_with("a.example  openai  ") && told.lines().count() == 1 && !told.contains("sk-"),
            "{told}"
        );
        let rotated = rotate(store.tenants(), &both.tenancy.master_keys).await.unwrap();
        assert_eq!(rotated, "1 sealed anew, 0 were already\n");
        let again = rotate(store.tenants(), &both.tenancy.master_keys).await.unwrap();
        assert_eq!(again, "0 sealed anew, 1 were already\n");
        let a = store.tenants().domain(&"a.example".into()).await.unwrap().unwrap();
        let b = store.tenants().domain(&"b.example".into()).await.unwrap().unwrap();
        let row = store.tenants().find(a).await.unwrap().unwrap();
        let sealed = row.api_key_encrypted.clone().unwrap();
        assert!(Tenant::parse(row).is_ok());
        let opened = |config: &Config, domain| {
            let place = Place { domain, provider: "openai" };
            config.tenancy.master_keys.open(&sealed, &place).ok().map(|key| key.expose().to_owned())
        };
        assert_eq!((opened(&new, a).as_deref(), opened(&old, a), opened(&new, b)), (Some("sk-1"), None, None));
        assert_eq!(store.tenants().find(b).await.unwrap(), None);
        std::fs::remove_file(file).unwrap();
    }
}
