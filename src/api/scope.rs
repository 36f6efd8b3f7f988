//! The wall between tenants. A handler gets a [`Scope`], which is one tenant, and reaches what is kept through it alone: there is no
//! method that takes a domain, so none can be forgotten, or be another's.
use super::{
    Api, Turn,
    door::Caller,
    house::{Heard, Kept, Ladder, News, Silence, Sound, Stream, TestCall, TestReport, Untried, Wanted},
    problem::Problem,
};
use crate::{
    call::steer::Order,
    config::Config,
    knowledge::{Collection, Document, Passage},
    record::Conversation,
    seats::Seat,
    secretary::{DomainRef, Identity, Secretary, SecretaryRow},
    store::{
        self, Cursor, Deed, Grouping, Manuscript, Period, Placed, Query, StoreError, Stored, Used, WrittenSecretary,
    },
    switchboard::{ListenError, LiveCall, OrderError},
    tenancy::{Tenant, TenantRow},
};
use axum::{
    extract::FromRequestParts,
    http::{StatusCode, Uri, request::Parts},
};
use chrono::{DateTime, SubsecRound, Utc};
use media::Frame;
use serde::Deserialize;
use std::sync::Arc;
use tracing::warn;
use uuid::Uuid;

/// One tenant, for one request of one token.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    api: Api,
    domain: Uuid,
    actor: String,
    token: String,
    /// Whether the token is for all domains: whoever runs the server has it.
    for_all: bool,
}

impl FromRequestParts<Api> for Scope {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Caller>().cloned();
        let caller = caller.ok_or_else(|| Problem::ours("a request got past the door without a token"))?;
        let domain = domain(api, caller.domain, named(&parts.uri)?).await?;
        let (actor, for_all) = (format!("token {}", caller.name), caller.domain.is_none());
        Ok(Self { api: api.clone(), domain, actor, token: caller.token, for_all })
    }
}

#[derive(Deserialize)]
struct Named {
    domain: Option<String>,
}

fn named(uri: &Uri) -> Result<Option<String>, Problem> {
    let read = axum::extract::Query::<Named>::try_from_uri(uri);
    read.map(|query| query.0.domain).map_err(|rejection| Problem::malformed(rejection.body_text()))
}

/// Which tenant is meant: the token's own, or for a token of all the one it names. Another's is as good as none. The turn
/// that it takes to ask is given back before the request is done, which takes its own.
async fn domain(api: &Api, own: Option<Uuid>, named: Option<String>) -> Result<Uuid, Problem> {
    let Some(name) = named else {
        let unnamed = || Problem::malformed("This token is for all domains: say which by ?domain=, a name or a UUID.");
        return own.ok_or_else(unnamed);
    };
    if own.is_some() && own == Uuid::try_parse(&name).ok() {
        return own.ok_or_else(Problem::absent);
    }
    // PostgreSQL has no such text.
    let found = match name.contains('\0') {
        true => None,
        false => api.turn().await.tenants().domain(&DomainRef::from(name.as_str())).await?,
    };
    found.filter(|found| own.is_none_or(|own| own == *found)).ok_or_else(Problem::absent)
}

/// What is kept of the tenant.
impl Scope {
    /// The configuration that holds now.
    pub(super) fn config(&self) -> Arc<Config> {
        self.api.config()
    }

    /// Whether this is whoever runs the server, and not the tenant itself.
    pub(super) const fn is_owner(&self) -> bool {
        self.for_all
    }

    /// Where a secret of this tenant belongs.
    pub(super) fn place<'a>(&self, provider: &'a str) -> crate::vault::Place<'a> {
        crate::vault::Place { domain: self.domain, provider }
    }

    async fn store(&self) -> Turn<'_> {
        self.api.turn().await
    }

    /// A secretary of this tenant. The name is for calls; a row is written by the UUID.
    pub(super) fn identity(&self, id: Uuid) -> Identity {
        let (domain_uuid, domain_name) = (self.domain, self.domain.to_string());
        Identity { secretary_realtime_uuid: id, domain_uuid, domain_name }
    }

    /// Checks a row for this tenant.
    pub(super) fn parse(&self, id: Uuid, row: &SecretaryRow) -> Result<Secretary, Problem> {
        Secretary::parse(self.identity(id), row.clone()).map_err(|error| Problem::field(error.column, error.problem))
    }

    pub(super) async fn secretaries(&self, after: &str, limit: u32) -> Result<Vec<Placed<String, Stored>>, Problem> {
        Ok(self.store().await.secretaries().list(self.domain, after, limit).await?)
    }

    pub(super) async fn secretary(&self, id: Uuid) -> Result<Stored, Problem> {
        self.store().await.secretaries().one(self.domain, id).await?.ok_or_else(Problem::absent)
    }

    /// Whether there is such a secretary: what nobody can read can be said anew.
    pub(super) async fn has(&self, id: Uuid) -> Result<(), Problem> {
        match self.store().await.secretaries().one(self.domain, id).await {
            Ok(None) => Err(Problem::absent()),
            Ok(Some(_)) | Err(StoreError::Foreign(_)) => Ok(()),
            Err(problem) => Err(problem.into()),
        }
    }

    /// The same, and whether her knowledge is this tenant's.
    async fn check_row(&self, id: Uuid, row: &SecretaryRow) -> Result<Secretary, Problem> {
        let secretary = self.parse(id, row)?;
        let refused = |problem: &str| Err(Problem::field("rag_collection_id", problem));
        let Some(id) = secretary.rag_collection_id else {
            return if secretary.enable_rag {
                refused("must be there where enable_rag is true")
            } else {
                Ok(secretary)
            };
        };
        match self.store().await.knowledge().collection(self.domain, id).await? {
            Some(_) => Ok(secretary),
            None => refused("is no collection of this domain"),
        }
    }

    pub(super) async fn add(&self, id: Uuid, row: &SecretaryRow) -> Result<WrittenSecretary, Problem> {
        let secretary = self.check_row(id, row).await?;
        Ok(self.store().await.secretaries().add(&self.actor, &secretary, row).await?)
    }

    pub(super) async fn replace(&self, id: Uuid, row: &SecretaryRow) -> Result<WrittenSecretary, Problem> {
        let secretary = self.check_row(id, row).await?;
        Ok(self.store().await.secretaries().replace(&self.actor, &secretary, row).await?)
    }

    pub(super) async fn remove(&self, id: Uuid) -> Result<bool, Problem> {
        Ok(self.store().await.secretaries().remove(&self.actor, self.domain, id).await?)
    }

    /// The tenant's settings; those of a tenant of whom nothing is said.
    pub(super) async fn settings(&self) -> Result<TenantRow, Problem> {
        Ok(self.store().await.tenants().find(self.domain).await?.unwrap_or_default())
    }

    /// Says the tenant's settings anew, which were seen like this before.
    pub(super) async fn set(&self, row: &TenantRow, seen: &TenantRow) -> Result<(), Problem> {
        if self.store().await.tenants().save(&self.actor, self.domain, row, seen).await? {
            return Ok(());
        }
        let detail = "Somebody else changed them at this moment: look at them, and say it again.";
        Err(Problem::new(StatusCode::CONFLICT, "changed", detail))
    }

    /// The tenant as its calls have it.
    pub(super) async fn tenant(&self) -> Result<Tenant, Problem> {
        match self.of_the_file().await? {
            Some(tenant) => Ok(tenant),
            None => Tenant::parse(self.settings().await?)
                .map_err(|error| Problem::field(format!("settings.{}", error.column), error.problem)),
        }
    }

    /// What the configuration file says of the tenant: then its settings in the database mean nothing.
    pub(super) async fn of_the_file(&self) -> Result<Option<Tenant>, Problem> {
        for entry in &self.config().tenancy.tenants {
            if self.store().await.tenants().domain(&entry.domain).await? == Some(self.domain) {
                return Ok(Some(entry.tenant.clone()));
            }
        }
        Ok(None)
    }

    pub(super) async fn conversations(
        &self,
        query: Query,
        after: Option<&Cursor>,
    ) -> Result<Vec<Placed<Cursor, Conversation>>, Problem> {
        let query = Query { domain: self.domain, ..query };
        Ok(self.store().await.records().search(&query, after).await?)
    }

    pub(super) async fn conversation(&self, id: Uuid) -> Result<Conversation, Problem> {
        self.store().await.records().conversation(self.domain, id).await?.ok_or_else(Problem::absent)
    }

    /// What there is of a conversation to hear and to delete, whatever else its row says.
    async fn kept(&self, id: Uuid) -> Result<Kept, Problem> {
        let remains = self.store().await.records().remains(self.domain, id).await?.ok_or_else(Problem::absent)?;
        let recording = remains.recording.map_err(|problem| {
            warn!(domain = %self.domain, conversation = %id, %problem, "Nobody can tell which recording is its own");
            let detail = "Its row does not say which recording is its own: mend the row.";
            Problem::new(StatusCode::CONFLICT, "unreadable", detail)
        })?;
        Ok(Kept { domain: self.domain, conversation: id, recording })
    }

    pub(super) async fn erase(&self, id: Uuid) -> Result<(), Problem> {
        let kept = self.kept(id).await?;
        self.tell("erase", format!("conversation {id}"), Some("begins")).await?;
        self.api.house().erase(&kept).await.map_err(Problem::from)?;
        self.tell("erase", format!("conversation {id}"), None).await
    }

    /// The recording of a conversation, or part of it. Whoever has any has taken it out.
    pub(super) async fn sound(&self, id: Uuid, wanted: Wanted) -> Result<Result<Sound, Silence>, Problem> {
        let kept = self.kept(id).await?;
        let sound = self.api.house().sound(&kept, &self.token, wanted).await;
        if sound.is_ok() {
            self.tell("export", format!("recording {id}"), None).await?;
        }
        Ok(sound)
    }

    pub(super) async fn used(&self, period: Period, by: Grouping) -> Result<Vec<Used>, Problem> {
        Ok(self.store().await.usage().used(self.domain, period, by).await?)
    }

    pub(super) fn calls(&self) -> Vec<LiveCall> {
        self.api.house().calls(self.domain)
    }

    /// Gives an order to a call, which is told in the audit: calls go on without the database, so it may come to a warning.
    pub(super) async fn order(&self, id: Uuid, order: Order) -> Result<(), OrderError> {
        let action = match &order {
            Order::HangUp | Order::SayGoodbye => "hang up",
            Order::Transfer { .. } => "transfer",
        };
        let done = self.api.house().order(self.domain, id, order).await;
        if done.is_ok() {
            self.note(action, format!("conversation {id}"), None).await;
        }
        done
    }

    /// A secretary with what her tenant says of her calls, and the tenant.
    pub(super) async fn completed(&self, id: Uuid) -> Result<(Secretary, Tenant), Problem> {
        let Stored { identity, row } = self.secretary(id).await?;
        let parsed = Secretary::parse(identity, row);
        let mut secretary = parsed.map_err(|error| Problem::field(error.column, error.problem))?;
        let tenant = self.tenant().await?;
        tenant.complete(&mut secretary);
        Ok((secretary, tenant))
    }

    /// The same of somebody who is not kept.
    pub(super) async fn somebody(&self, row: &SecretaryRow) -> Result<(Secretary, Tenant), Problem> {
        let mut secretary = self.parse(Uuid::nil(), row)?;
        let known = self.secretaries("", 1).await?.into_iter().find_map(|placed| placed.row.ok());
        if let Some(Stored { identity, .. }) = known {
            secretary.domain_name = identity.domain_name;
        }
        let tenant = self.tenant().await?;
        tenant.complete(&mut secretary);
        Ok((secretary, tenant))
    }

    /// Tries the ladder of one of these.
    pub(super) async fn check(&self, (secretary, tenant): &(Secretary, Tenant)) -> Result<Ladder, Untried> {
        let ladder = self.api.house().check(secretary, tenant).await?;
        self.note("check", named_in_audit(secretary), None).await;
        Ok(ladder)
    }

    /// Has the voice of one of these say this.
    pub(super) async fn preview(
        &self,
        (secretary, tenant): &(Secretary, Tenant),
        text: &str,
    ) -> Result<Frame, Untried> {
        let sound = self.api.house().preview(secretary, tenant, text).await?;
        self.note("preview", named_in_audit(secretary), None).await;
        Ok(sound)
    }

    /// Calls a secretary.
    pub(super) async fn test_call(&self, id: Uuid, call: TestCall) -> Result<Result<TestReport, Untried>, Problem> {
        let (secretary, _) = self.completed(id).await?;
        let report = self.api.house().test_call(&secretary, call).await;
        if let Ok(TestReport { conversation, .. }) = &report {
            let became = conversation.map(|conversation| format!("conversation {conversation}"));
            self.note("test call", named_in_audit(&secretary), became.as_deref()).await;
        }
        Ok(report)
    }

    /// What is to be heard of a call. Its record names who listened.
    pub(super) async fn listen(&self, id: Uuid) -> Result<Heard, ListenError> {
        self.api.house().listen(self.domain, id, &self.actor).await
    }

    pub(super) fn news(&self, after: Option<u64>) -> Stream<News> {
        self.api.house().news(self.domain, after)
    }

    /// A place among the answers that go on for a while.
    pub(super) fn stream(&self) -> Result<Seat<String>, Problem> {
        self.api.stream(&self.token)
    }

    /// Whether the token of the request opens anything at this moment. While nobody knows, it does.
    pub(super) async fn is_still_good(&self) -> bool {
        self.api.door().is_still_good(&self.token).await
    }

    /// Tells of what is done, whether or not it can be told: it may come to a warning.
    async fn note(&self, action: &str, target: String, detail: Option<&str>) {
        if let Err(problem) = self.tell(action, target.clone(), detail).await {
            warn!(domain = %self.domain, actor = self.actor, action, target, ?problem, "Done, and in no audit");
        }
    }

    async fn tell(&self, action: &str, target: String, detail: Option<&str>) -> Result<(), Problem> {
        let (actor, action) = (self.actor.clone(), action.to_owned());
        let deed =
            Deed { domain: self.domain, at: Utc::now(), actor, action, target, detail: detail.map(str::to_owned) };
        Ok(self.store().await.records().tell(&deed).await?)
    }
}

/// Who was tried: whoever is not kept is a provider.
fn named_in_audit(secretary: &Secretary) -> String {
    match secretary.secretary_realtime_uuid {
        id if id.is_nil() => format!("provider {}", secretary.provider),
        id => format!("secretary {id}"),
    }
}
/// What the tenant's secretaries may look up.
impl Scope {
    pub(super) async fn collections(&self, after: Uuid, limit: u32) -> Result<Vec<Collection>, Problem> {
        Ok(self.store().await.knowledge().collections(self.domain, after, limit).await?)
    }

    pub(super) async fn collection(&self, id: Uuid) -> Result<Collection, Problem> {
        self.store().await.knowledge().collection(self.domain, id).await?.ok_or_else(Problem::absent)
    }

    /// Makes a collection of that name.
    pub(super) async fn add_collection(&self, name: String) -> Result<(Collection, store::Kept), Problem> {
        let (knowledge_uuid, created_at) = (Uuid::new_v4(), now());
        let collection = Collection { knowledge_uuid, domain_uuid: self.domain, name, created_at, documents: 0 };
        let kept = self.store().await.knowledge().add_collection(&self.actor, &collection).await?;
        Ok((collection, kept))
    }

    pub(super) async fn remove_collection(&self, id: Uuid) -> Result<bool, Problem> {
        Ok(self.store().await.knowledge().remove_collection(&self.actor, self.domain, id).await?)
    }

    pub(super) async fn documents(&self, of: Uuid, after: Uuid, limit: u32) -> Result<Vec<Document>, Problem> {
        self.collection(of).await?;
        Ok(self.store().await.knowledge().documents((self.domain, of), after, limit).await?)
    }

    pub(super) async fn document(&self, of: Uuid, id: Uuid) -> Result<(Document, String), Problem> {
        self.store().await.knowledge().document((self.domain, of), id).await?.ok_or_else(Problem::absent)
    }

    /// A document of this tenant, of which nothing is said yet.
    pub(super) fn blank(&self, of: Uuid, id: Uuid) -> Document {
        let now = now();
        Document {
            document_uuid: id,
            knowledge_uuid: of,
            domain_uuid: self.domain,
            title: String::new(),
            source: None,
            language: None,
            bytes: 0,
            sha256: String::new(),
            created_at: now,
            updated_at: now,
        }
    }

    /// Keeps a [blank](Self::blank) that was filled in.
    pub(super) async fn add_document(&self, manuscript: Manuscript<'_>) -> Result<store::Kept, Problem> {
        Ok(self.store().await.knowledge().add_document(&self.actor, manuscript).await?)
    }

    /// The same in place of the document there is.
    pub(super) async fn replace_document(&self, manuscript: Manuscript<'_>) -> Result<store::Kept, Problem> {
        Ok(self.store().await.knowledge().replace_document(&self.actor, manuscript).await?)
    }

    pub(super) async fn remove_document(&self, of: Uuid, id: Uuid) -> Result<bool, Problem> {
        Ok(self.store().await.knowledge().remove_document(&self.actor, (self.domain, of), id).await?)
    }

    pub(super) async fn look_up(&self, of: Uuid, words: &str, most: u32) -> Result<Vec<Passage>, Problem> {
        self.collection(of).await?;
        Ok(self.store().await.knowledge().look_up((self.domain, of), words, most).await?)
    }
}

/// As a database keeps it: to the microsecond.
fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}
