//! What is counted, in the text format of Prometheus (version 0.0.4).
mod histogram;
mod media;
mod waits;

use crate::{
    breaker::State,
    control::{BudgetStatus, ProviderStatus, Standing, Status, TenancyStatus},
    record::MicroUsd,
    trace::{Carrier, Direction},
};
pub use media::Media;
use std::fmt::Write as _;
pub use waits::Waits;

/// Messages that passed the sockets, by what carried them and which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Messages([[u64; Direction::ALL.len()]; Carrier::ALL.len()]);

impl Messages {
    /// Counts one.
    pub fn count(&mut self, carrier: Carrier, direction: Direction) {
        let place = self.0.get_mut(carrier as usize).and_then(|row| row.get_mut(direction as usize));
        if let Some(count) = place {
            *count += 1;
        }
    }

    fn of(&self, carrier: Carrier, direction: Direction) -> u64 {
        self.0.get(carrier as usize).and_then(|row| row.get(direction as usize)).copied().unwrap_or_default()
    }
}

/// Whether a number only rises.
#[derive(Clone, Copy)]
enum Kind {
    Gauge,
    Counter,
    Histogram,
}

/// Who reads the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Whoever runs the server, or may do so.
    Owner,
    /// Whoever reaches it: what tenants have of their own, and what they spend, is told of all of them together.
    Anybody,
}

/// The page.
pub fn prometheus(
    status: &Status,
    messages: &Messages,
    hep_lost: u64,
    (media, waits): (&Media, &Waits),
    audience: Audience,
) -> String {
    use Kind::{Counter, Gauge};
    let mut page = Page(String::new());
    page.head("ramal_sip_registrations", Gauge, "Registrations by state.");
    for state in Standing::ALL {
        let count = status.registrations.iter().filter(|registered| registered.state == state).count();
        page.sample("ramal_sip_registrations", &format!("{{state=\"{}\"}}", state.as_str()), count as u64);
    }
    page.head("ramal_sip_messages_total", Counter, "SIP messages by transport and direction, seen from this server.");
    for carrier in Carrier::ALL {
        for (direction, word) in [(Direction::In, "in"), (Direction::Out, "out")] {
            let labels = format!("{{transport=\"{}\",direction=\"{word}\"}}", carrier.as_str());
            page.sample("ramal_sip_messages_total", &labels, messages.of(carrier, direction));
        }
    }
    tenancy(&mut page, &status.tenancy, audience);
    let sip = &status.sip;
    let single = [
        ("ramal_calls", Gauge, "Calls with a secretary.", status.calls),
        ("ramal_rtp_ports", Gauge, "Pairs of RTP ports, of all addresses.", status.rtp.pairs),
        ("ramal_rtp_ports_free", Gauge, "Pairs of RTP ports that no call has.", status.rtp.free),
        ("ramal_rtp_ports_exhausted_total", Counter, "Calls refused for want of RTP ports.", status.rtp.refused),
        ("ramal_sip_legs", Gauge, "Legs of calls, which are their dialogs.", sip.legs),
        ("ramal_sip_transactions", Gauge, "SIP transactions.", sip.transactions),
        ("ramal_sip_received_total", Counter, "SIP messages received and read.", sip.received),
        ("ramal_sip_parse_errors_total", Counter, "SIP messages that could not be read.", sip.parse_errors),
        ("ramal_sip_retransmissions_total", Counter, "SIP messages sent again.", sip.retransmissions),
        ("ramal_sip_repeated_requests_total", Counter, "SIP requests that came again.", sip.repeated_requests),
        ("ramal_sip_refused_total", Counter, "SIP requests refused before any call saw them.", sip.refused),
        ("ramal_sip_overloaded_total", Counter, "Calls refused for want of room, or while draining.", sip.overloaded),
        ("ramal_sip_strangers_total", Counter, "Requests of strangers, and what was none.", sip.strangers),
        ("ramal_sip_scanners_total", Counter, "Messages of scanners, dropped unread.", sip.scanners),
        ("ramal_sip_rate_limited_total", Counter, "Messages of strangers beyond their budget.", sip.rate_limited),
        ("ramal_sip_challenged_total", Counter, "Requests answered 401.", sip.challenged),
        (
            "ramal_sip_auth_failures_total",
            Counter,
            "Proofs with an unknown user or a wrong password.",
            sip.auth_failures,
        ),
        ("ramal_sip_stray_total", Counter, "SIP responses and ACKs that belong to nothing.", sip.stray),
        ("ramal_srtp_unauthentic_total", Counter, "SRTP packets with a wrong tag, dropped.", status.srtp.unauthentic),
        ("ramal_srtp_replayed_total", Counter, "SRTP packets that were there before, dropped.", status.srtp.replayed),
        ("ramal_trace_calls", Gauge, "Call-IDs whose messages are kept.", status.trace.calls),
        ("ramal_trace_bytes", Gauge, "Bytes of messages kept.", status.trace.bytes),
        ("ramal_trace_evicted_total", Counter, "Call-IDs that had to go for newer ones.", status.trace.evicted),
        ("ramal_trace_nameless_total", Counter, "Messages not kept, as they name no call.", status.trace.nameless),
        ("ramal_hep_lost_total", Counter, "Messages that the HEP collector did not get.", hep_lost),
    ];
    for (name, kind, help, value) in single {
        page.head(name, kind, help);
        page.sample(name, "", value);
    }
    let told = status.providers.iter().filter(|of| audience == Audience::Owner || of.key_of.is_none());
    providers(&told.collect::<Vec<_>>(), &mut page);
    media.write(&mut page);
    waits.write(&mut page);
    page.0
}

/// The circuits of providers.
fn providers(providers: &[&ProviderStatus], page: &mut Page) {
    let labels = |of: &ProviderStatus| {
        let key = of.key_of.as_ref().map(|tenant| format!(",key_of=\"{}\"", escaped(tenant))).unwrap_or_default();
        format!("provider=\"{}\",at=\"{}\"{key}", of.provider, of.at)
    };
    let (state, ready, failures) =
        ("ramal_provider_circuit", "ramal_provider_ready_total", "ramal_provider_failures_total");
    page.head(state, Kind::Gauge, "Whether calls begin with a provider: 1 for the state its circuit is in.");
    for of in providers {
        for each in State::ALL {
            let labels = format!("{{{},state=\"{}\"}}", labels(of), each.as_str());
            page.sample(state, &labels, u64::from(of.state == each));
        }
    }
    page.head(ready, Kind::Counter, "Conversations with a provider that became ready.");
    for of in providers {
        page.sample(ready, &format!("{{{}}}", labels(of)), of.ready);
    }
    page.head(failures, Kind::Counter, "Conversations with a provider that failed, by kind.");
    for of in providers {
        for (kind, count) in &of.failures {
            page.sample(failures, &format!("{{{},kind=\"{kind}\"}}", labels(of)), *count);
        }
    }
}

fn tenancy(page: &mut Page, tenancy: &TenancyStatus, audience: Audience) {
    use Kind::{Counter, Gauge};
    let refused = "ramal_calls_refused_total";
    page.head(refused, Counter, "Calls refused for a limit or a budget.");
    for (limit, count) in &tenancy.refused {
        page.sample(refused, &format!("{{limit=\"{limit}\"}}"), *count);
    }
    if let Some(answers) = tenancy.redis {
        page.head("ramal_limits_shared", Gauge, "Whether the Redis answers that limits are shared through.");
        page.sample("ramal_limits_shared", "", answers.into());
    }
    let single = [
        ("ramal_limits_alone_total", "Calls let in by local limits, since Redis did not answer.", tenancy.alone),
        (
            "ramal_by_memory_total",
            "Answers about secretaries and tenants while the database was away.",
            tenancy.by_memory,
        ),
        ("ramal_budget_ended_total", "Calls ended for want of money.", tenancy.out_of_money),
        ("ramal_budget_alerts_total", "Budgets that were told to be nearly spent.", tenancy.alerts),
    ];
    for (name, help, value) in single {
        page.head(name, Counter, help);
        page.sample(name, "", value);
    }
    let unpriced = "ramal_unpriced_calls_total";
    page.head(unpriced, Counter, "Calls that might have had a model without a price, which counts nothing.");
    match audience {
        // A model may be called like the tenant it is of.
        Audience::Anybody => page.sample(unpriced, "", tenancy.unpriced.values().sum()),
        Audience::Owner => {
            for (model, count) in &tenancy.unpriced {
                page.sample(unpriced, &format!("{{model=\"{}\"}}", escaped(model)), *count);
            }
        }
    }
    budgets(page, &tenancy.budgets, audience);
}

/// Of each tenant that had a call, and of all of them together.
fn budgets(page: &mut Page, budgets: &[BudgetStatus], audience: Audience) {
    type Sum = fn(&BudgetStatus) -> u64;
    let sums: [(&str, &str, Sum); 3] = [
        ("limit_usd", "What may be spent in the month", |budget| budget.limit),
        ("spent_usd", "What has been spent in the month", |budget| budget.spent),
        ("reserved_usd", "What calls that are up may spend beyond that", |budget| budget.reserved),
    ];
    for (what, help, of) in sums {
        let all = format!("ramal_budgets_{what}");
        page.head(&all, Kind::Gauge, &format!("{help}, by all tenants that had a call."));
        let sum = budgets.iter().fold(0, |sum: u64, budget| sum.saturating_add(of(budget)));
        page.number(&all, "", MicroUsd(sum).dollars());
        if audience == Audience::Anybody {
            continue;
        }
        let each = format!("ramal_budget_{what}");
        page.head(&each, Kind::Gauge, &format!("{help}, by a tenant."));
        for budget in budgets {
            let domain = escaped(&budget.domain);
            page.number(&each, &format!("{{domain=\"{domain}\"}}"), MicroUsd(of(budget)).dollars());
        }
    }
}

/// A domain's name is whatever somebody wrote there.
fn escaped(name: &str) -> String {
    name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
        };
        // Writing to a String cannot fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &str, value: u64) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn number(&mut self, name: &str, labels: &str, value: f64) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        control::{ProviderStatus, Registered, RtpStatus, SipStatus, SrtpStatus},
        trace::Counters,
    };

    fn status() -> Status {
        let registered = |state| Registered {
            account: "2000@pbx.example".into(),
            registrar: "pbx.example:5060".into(),
            state,
            code: None,
            expires_s: None,
            next_in_s: None,
        };
        Status {
            version: "0".into(),
            up_s: 1,
            listeners: Vec::new(),
            registrations: vec![registered(Standing::Registered), registered(Standing::Failed)],
            calls: 3,
            rtp: RtpStatus { pairs: 500, free: 497, refused: 2 },
            media: Vec::new(),
            poor_below_mos: 3.6,
            providers: vec![ProviderStatus {
                provider: "openai".into(),
                at: "api.openai.com".into(),
                key_of: None,
                state: State::Open,
                ready: 10,
                failures: [("connection".to_owned(), 3)].into(),
                open_for_s: Some(12),
            }],
            tenancy: TenancyStatus {
                refused: [("domain_calls".to_owned(), 4)].into(),
                redis: Some(true),
                budgets: vec![BudgetStatus {
                    domain: "a\"b".into(),
                    month: "2026-11".into(),
                    limit: 100_000_000,
                    spent: 1_500_000,
                    reserved: 250_000,
                }],
                unpriced: [("gpt-next".to_owned(), 2)].into(),
                ..TenancyStatus::default()
            },
            sip: SipStatus::from(sip::Stats { legs: 4, parse_errors: 5, ..sip::Stats::default() }),
            srtp: SrtpStatus { unauthentic: 8, replayed: 9 },
            trace: Counters { calls: 6, ..Counters::default() },
        }
    }

    #[test]
    fn whoever_reaches_the_page_reads_no_name_of_a_tenant() {
        let mut status = status();
        status.tenancy.budgets[0].domain = "acme.example".into();
        let own = ProviderStatus { key_of: Some("acme.example".into()), ..status.providers[0].clone() };
        status.providers.push(own);
        let page =
            |audience| prometheus(&status, &Messages::default(), 0, (&Media::default(), &Waits::default()), audience);
        assert_eq!(page(Audience::Owner).matches("acme.example").count(), 3 + State::ALL.len() + 2);
        let told = page(Audience::Anybody);
        assert!(!told.contains("acme") && told.contains("ramal_budgets_spent_usd 1.5"), "{told}");
        let health = serde_json::to_string(&crate::control::Health::from(status)).unwrap();
        assert!(!health.contains("acme") && health.contains("api.openai.com"), "{health}");
    }

    #[test]
    fn each_sample_stands_below_its_help_and_type() {
        let mut messages = Messages::default();
        messages.count(Carrier::Tcp, Direction::Out);
        let page = prometheus(&status(), &messages, 7, (&Media::default(), &Waits::default()), Audience::Owner);
        for line in [
            "ramal_sip_registrations{state=\"registered\"} 1",
            "ramal_sip_registrations{state=\"looking\"} 0",
            "ramal_sip_messages_total{transport=\"tcp\",direction=\"out\"} 1",
            "ramal_sip_messages_total{transport=\"tcp\",direction=\"in\"} 0",
            "ramal_calls 3",
            "ramal_calls_refused_total{limit=\"domain_calls\"} 4",
            "ramal_limits_shared 1",
            "ramal_budget_spent_usd{domain=\"a\\\"b\"} 1.5",
            "ramal_budgets_spent_usd 1.5",
            "ramal_unpriced_calls_total{model=\"gpt-next\"} 2",
            "ramal_sip_legs 4",
            "ramal_sip_parse_errors_total 5",
            "ramal_srtp_unauthentic_total 8",
            "ramal_srtp_replayed_total 9",
            "ramal_trace_calls 6",
            "ramal_hep_lost_total 7",
            "ramal_rtp_ports_free 497",
            "ramal_rtp_ports_exhausted_total 2",
            "ramal_media_mos_count{way=\"up\"} 0",
            "ramal_provider_circuit{provider=\"openai\",at=\"api.openai.com\",state=\"open\"} 1",
            "ramal_provider_circuit{provider=\"openai\",at=\"api.openai.com\",state=\"closed\"} 0",
            "ramal_provider_failures_total{provider=\"openai\",at=\"api.openai.com\",kind=\"connection\"} 3",
        ] {
            assert!(page.lines().any(|found| found == line), "{line}\n{page}");
        }
        let (mut helped, mut typed) = ("", "");
        for line in page.lines() {
            let mut words = line.split_whitespace();
            match (words.next(), words.next(), words.next()) {
                (Some("#"), Some("HELP"), Some(name)) => helped = name,
                (Some("#"), Some("TYPE"), Some(name)) => typed = name,
                (Some(sample), Some(_), None) => {
                    let name = sample.split('{').next().unwrap();
                    let of = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
                    let name = of.filter(|of| *of == helped).unwrap_or(name);
                    assert_eq!((helped, typed), (name, name), "{line}");
                }
                _ => panic!("{line}"),
            }
        }
    }
}
