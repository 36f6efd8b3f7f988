//! `ramal tokens`: who may use the HTTP API. A token is shown once, when it is made.
use crate::{
    api::token::{RANDOM, Token},
    config::Config,
    paint::plain,
    secretary::DomainRef,
    store::{self, Deed, Store, TokenRecord},
};
use anyhow::{Context, bail, ensure};
use chrono::{DateTime, Days, Local, Utc};
use ring::rand::{SecureRandom, SystemRandom};
use std::{fmt::Write as _, path::PathBuf, sync::Arc};
use uuid::Uuid;

/// Longest name, in characters.
const LONGEST: usize = 100;

/// Makes, lists and revokes tokens for the HTTP API.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
    /// Configuration file, for its database; else that of the variable RAMAL_CONFIG
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum What {
    /// Makes a token and prints it: this once, since only its hash is kept
    Create(Create),
    /// Lists tokens, never what they are
    List,
    /// Ends a token: within seconds it opens nothing
    Revoke {
        /// What the list calls it: the digits after ramal_
        id: String,
    },
}

#[derive(Clone, Debug, clap::Args)]
struct Create {
    /// Whose it is; the audit names it
    #[arg(long, value_name = "NAME")]
    name: String,
    /// The one tenant it is for: a domain name or UUID
    #[arg(long, value_name = "DOMAIN", required_unless_present = "all_domains", conflicts_with = "all_domains")]
    domain: Option<String>,
    /// It may name any tenant
    #[arg(long)]
    all_domains: bool,
    /// It ends by itself after so many days
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: Option<u32>,
}

/// Runs the command.
///
/// # Errors
/// A wrong configuration, a domain or token that is not there, a database that does not answer.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let config = super::load(args.config.as_deref())?;
    let store = open(&config).await?;
    let said = match args.what {
        What::Create(create) => make(&*store, &create, Utc::now()).await?,
        What::List => list(&*store, Utc::now()).await?,
        What::Revoke { id } => revoke(&*store, &id, Utc::now()).await?,
    };
    print!("{said}");
    Ok(())
}

async fn open(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    store::connect_existing(&config.database).await.context("the database")
}

async fn make(store: &dyn Store, wanted: &Create, now: DateTime<Utc>) -> anyhow::Result<String> {
    let name = wanted.name.trim();
    ensure!(!name.is_empty() && name.chars().count() <= LONGEST, "the name must have 1 to {LONGEST} characters");
    ensure!(!name.contains(char::is_control), "the name must have no control characters");
    let domain = match &wanted.domain {
        None => None,
        Some(name) => {
            let found = store.tenants().domain(&DomainRef::from(name.as_str())).await?;
            Some(found.with_context(|| format!("there is no domain {name:?} in this database"))?)
        }
    };
    if let Some(other) = store.tokens().all_tokens().await?.into_iter().find(|other| other.is_called(name, domain, now))
    {
        bail!(
            "{} is called {name:?} already, and the audit knows tokens by their names: revoke it, or take another",
            other.id
        );
    }
    let mut random = [0; RANDOM];
    SystemRandom::new().fill(&mut random).ok().context("the system has no random numbers")?;
    let token = Token::new(&random);
    let record = TokenRecord {
        id: token.id.clone(),
        name: name.to_owned(),
        hash: token.hash(),
        domain,
        created_at: now,
        expires_at: wanted.days.and_then(|days| now.checked_add_days(Days::new(days.into()))),
        last_used_at: None,
        revoked_at: None,
    };
    store.tokens().add_token(&record).await?;
    tell(store, &record, "insert", now).await?;
    Ok(format!("{}\n", token.show().expose()))
}

async fn revoke(store: &dyn Store, id: &str, now: DateTime<Utc>) -> anyhow::Result<String> {
    // Who pastes all of a token, or most of it, means the part that names it; the other part is shown nowhere.
    let id = id.trim().trim_start_matches("ramal_").split('_').next().unwrap_or_default();
    ensure!(id.len() <= 16, "that is no token's name: `ramal tokens list` has them");
    let Some(record) = store.tokens().token(id).await? else { bail!("there is no token {id}") };
    if !store.tokens().revoke_token(id, now).await? {
        bail!("the token {id} was revoked already");
    }
    tell(store, &record, "delete", now).await?;
    Ok(format!("{id} ({}) is revoked\n", plain(&record.name)))
}

/// What is done to a token of all tenants is told of none.
async fn tell(store: &dyn Store, of: &TokenRecord, action: &str, now: DateTime<Utc>) -> anyhow::Result<()> {
    let domain = of.domain.unwrap_or(Uuid::nil());
    let (actor, action, target) = (store::actor(), action.to_owned(), format!("token {} {}", of.id, of.name));
    Ok(store.records().tell(&Deed { domain, at: now, actor, action, target, detail: None }).await?)
}

async fn list(store: &dyn Store, now: DateTime<Utc>) -> anyhow::Result<String> {
    let mut text = String::new();
    let day = |at: DateTime<Utc>| at.with_timezone(&Local).format("%Y-%m-%d %H:%M").to_string();
    for token in store.tokens().all_tokens().await? {
        let state = match (token.revoked_at, token.expires_at) {
            (Some(at), _) => format!("revoked {}", day(at)),
            (None, Some(at)) if now >= at => format!("ended {}", day(at)),
            (None, Some(at)) => format!("until {}", day(at)),
            (None, None) => "without end".to_owned(),
        };
        let domain = token.domain.map_or_else(|| "all domains".to_owned(), |domain| domain.to_string());
        let used = token.last_used_at.map_or_else(|| "never used".to_owned(), |at| format!("used {}", day(at)));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}  {domain}  {state}  {used}  {}", token.id, plain(&token.name));
    }
    if text.is_empty() {
        text.push_str("There is no token. `ramal tokens create` makes one.\n");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Environment,
        secretary::{SecretaryEntry, SecretaryRow},
    };

    #[tokio::test]
    async fn a_token_is_shown_once_and_ends_when_it_is_revoked() {
        let config = Config::parse("[database]\nurl = \"sqlite::memory:\"\n", "test", &Environment::new()).unwrap();
        let store = open(&config).await.unwrap();
        let row = SecretaryRow {
            secretary_name: "Ana".into(),
            extension: Some("8000".into()),
            realtime_provider: "local".into(),
            ..SecretaryRow::default()
        };
        store.upsert_secretary(&SecretaryEntry { domain: "a.example".into(), row }).await.unwrap();
        let now = Utc::now();
        let wanted = |name: &str, domain: Option<&str>| Create {
            name: name.into(),
            domain: domain.map(str::to_owned),
            all_domains: domain.is_none(),
            days: Some(1),
        };
        assert!(make(&*store, &wanted("x", Some("nobody.example")), now).await.is_err());
        assert!(make(&*store, &wanted(" ", None), now).await.is_err());
        let shown = make(&*store, &wanted("panel", Some("a.example")), now).await.unwrap();
        let token = Token::parse(shown.trim()).unwrap();
        let record = store.tokens().token(&token.id).await.unwrap().unwrap();
        let domain = store.tenants().domain(&"a.example".into()).await.unwrap();
        assert!(token.is_of(&record.hash) && record.domain == domain && record.is_good(now));
        assert!(!record.is_good(now + chrono::TimeDelta::days(1)));
        let listed = list(&*store, now).await.unwrap();
        assert!(listed.contains(&token.id) && listed.contains("never used  panel"), "{listed}");
        assert!(!listed.contains(shown.trim()) && !listed.contains(&record.hash));
        for (name, domain) in [("panel", Some("a.example")), (" panel ", None)] {
            let again = make(&*store, &wanted(name, domain), now).await.unwrap_err().to_string();
            assert!(again.contains(&token.id) && again.contains("called \"panel\" already"), "{again}");
        }
        let secret = shown.trim().rsplit_once('_').unwrap().1;
        for wrong in [secret.to_owned(), format!("ramal_{}_{}", "0".repeat(16), &secret[1..])] {
            let said = revoke(&*store, &wrong, now).await.unwrap_err().to_string();
            assert!(!said.contains(&secret[1..]), "{said}");
        }
        let said = revoke(&*store, &format!("{}\t", shown.trim()), now).await.unwrap();
        assert_eq!(said, format!("{} (panel) is revoked\n", token.id));
        assert!(revoke(&*store, &token.id, now).await.is_err() && revoke(&*store, "0000", now).await.is_err());
        assert!(!store.tokens().token(&token.id).await.unwrap().unwrap().is_good(now));
        assert!(make(&*store, &wanted("panel", Some("a.example")), now).await.is_ok(), "the name is free again");
        let deeds = store.records().deeds(domain.unwrap(), 5).await.unwrap();
        let told: Vec<_> =
            deeds.iter().filter(|told| told.deed.target.contains("panel")).map(|told| &*told.deed.action).collect();
        assert_eq!(told, ["insert", "delete", "insert"]);
    }
}
