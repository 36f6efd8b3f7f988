//! Where a caller may be sent, and what the evidence of a REFER means.
use crate::secretary::TransferRule;
use providers::accent;
use std::time::{Duration, Instant};

/// A blind transfer under way.
#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) whom: Whom,
    /// What the PBX calls it.
    pub(super) destination: String,
    pub(super) step: Step,
}

/// Whom the caller is put through to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    /// A rule of the secretary's, by what people call it.
    Rule(String),
    /// The extension for calls that cannot go on here: nobody speaks for her any more, or nobody pays.
    Fallback,
}

/// How far it got.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// The assistant tells the caller; REFER follows when that has been heard, or at the deadline.
    Announcing { until: Instant, spoken: Spoken },
    /// REFER is out since then, no answer yet.
    Referred { at: Instant },
    /// 202: taken on. A BYE of the peer from here on is the handover.
    Accepted { at: Instant },
    /// A final NOTIFY said yes; the peer has until then to hang up before we do.
    Settled { until: Instant, proof: Proof },
}

/// What a NOTIFY 200 is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// It came as late as an answer of the target would.
    Answered,
    /// It came with the 202: FreeSWITCH's default, whatever becomes of the target (`freeswitch.md` §6.1).
    HandedOver,
}

/// A NOTIFY 200 this soon after the REFER is no news of the target: no phone was rung and answered meanwhile.
const TOO_SOON: Duration = Duration::from_millis(150);

/// When a REFER of then is given up on, should the endpoint say nothing: it answers for the REFER within 32 s (RFC 3261
/// timer F) and for the NOTIFY within its deadline, so this is for news that was lost on the way to us.
pub(super) fn no_news(referred: Instant, notify_deadline: Duration) -> Instant {
    referred + notify_deadline + Duration::from_secs(35)
}

impl Proof {
    /// Of a NOTIFY 200 so long after the REFER.
    pub(super) fn of(after: Duration) -> Self {
        if after < TOO_SOON { Self::HandedOver } else { Self::Answered }
    }

    /// For the record.
    pub(super) const fn cause(self) -> &'static str {
        match self {
            Self::Answered => "transferred: the target answered",
            Self::HandedOver => {
                "handed over: the phone system took the caller at once, and reports nothing of the target"
            }
        }
    }
}

/// Whether any of the announcement has been played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    /// Nothing yet.
    NotYet,
    /// At least one utterance was heard to its end.
    Heard,
}

/// Why a transfer is not even tried; an answer the model can say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) asked: String,
    pub(super) choices: Vec<String>,
}

/// Finds the rule whose name, alias or destination is meant: exactly, ignoring case and accents, or by containing
/// the whole name as words ("o setor financeiro" means `financeiro`).
///
/// # Errors
/// What may be asked for instead.
pub(super) fn resolve<'a>(rules: &'a [TransferRule], asked: &str) -> Result<&'a TransferRule, Refusal> {
    let wanted = fold(asked);
    let enabled = || rules.iter().filter(|rule| rule.enabled);
    let exact = enabled().find(|rule| names(rule).any(|name| fold(name) == wanted));
    let within = || {
        enabled().find(|rule| {
            names(rule).map(fold).any(|name| !name.is_empty() && format!(" {wanted} ").contains(&format!(" {name} ")))
        })
    };
    exact
        .or_else(within)
        .ok_or_else(|| Refusal { asked: asked.to_owned(), choices: enabled().map(|rule| rule.name.clone()).collect() })
}

fn names(rule: &TransferRule) -> impl Iterator<Item = &str> {
    [rule.name.as_str(), rule.destination.as_str()].into_iter().chain(rule.aliases.iter().map(String::as_str))
}

/// Lower case without accents and punctuation, words separated by single spaces.
fn fold(text: &str) -> String {
    let plain: String = text
        .to_lowercase()
        .chars()
        .map(accent::dropped)
        .map(|c| if c.is_alphanumeric() || "*#+".contains(c) { c } else { ' ' })
        .collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A SIP status as the assistant may say it.
pub(super) fn reason(status: u16) -> &'static str {
    match status {
        486 | 600 => "the line is busy",
        480 | 408 | 487 => "nobody answered",
        404 | 410 | 484 | 604 => "that extension does not exist",
        403 | 603 | 607 => "the transfer was refused",
        _ => "the transfer did not work",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str, aliases: &[&str], destination: &str) -> TransferRule {
        TransferRule {
            name: name.into(),
            aliases: aliases.iter().map(|a| (*a).into()).collect(),
            destination: destination.into(),
            enabled: true,
        }
    }

    #[test]
    fn a_destination_is_found_by_name_alias_number_or_within_a_phrase() {
        let rules = [rule("Financeiro", &["cobrança", "boleto"], "1000"), rule("Sales", &[], "1001")];
        for (asked, want) in [
            ("financeiro", "1000"),
            ("o setor FINANCEIRO", "1000"),
            ("Cobranca", "1000"),
            ("1001", "1001"),
            ("sales", "1001"),
        ] {
            assert_eq!(resolve(&rules, asked).map(|r| r.destination.as_str()), Ok(want), "{asked}");
        }
    }

    #[test]
    fn what_no_rule_names_is_refused_with_the_choices() {
        let mut rules = vec![rule("Sales", &[], "1001"), rule("Boss", &[], "1")];
        rules[1].enabled = false;
        for asked in ["boss", "+15550100", "", "salesman", "sip:evil@example.com"] {
            assert_eq!(resolve(&rules, asked).unwrap_err().choices, ["Sales"], "{asked}");
        }
    }
}
