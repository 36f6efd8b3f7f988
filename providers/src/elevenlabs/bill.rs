//! The record of a conversation, as far as it says what that cost.
use crate::receipt::Bill;
use serde::Deserialize;

#[derive(Deserialize)]
struct Record {
    status: String,
    #[serde(default)]
    metadata: Metadata,
}

/// Credits (`cost`) are worth what the plan says: dollars are told beside them.
#[derive(Default, Deserialize)]
struct Metadata {
    /// Dollars, all in all.
    cost_fiat: Option<f64>,
    charging: Option<Charging>,
}

/// Dollars.
#[derive(Default, Deserialize)]
struct Charging {
    platform_price: Option<f64>,
    llm_price: Option<f64>,
}

/// What the answer of `GET /v1/convai/conversations/{id}` says.
pub(crate) fn read_bill(body: &str) -> Bill {
    let Ok(Record { status, metadata: Metadata { cost_fiat, charging } }) = serde_json::from_str(body) else {
        return Bill::Untold;
    };
    if !matches!(&*status, "done" | "failed") {
        return Bill::NotYet;
    }
    let parts = charging.and_then(|Charging { platform_price, llm_price }| match (platform_price, llm_price) {
        (None, None) => None,
        (platform, llm) => Some(platform.unwrap_or_default() + llm.unwrap_or_default()),
    });
    match cost_fiat.or(parts).filter(|dollars| dollars.is_finite() && *dollars >= 0.0) {
        // A float cast to an integer is cut to what the integer holds.
        Some(dollars) => Bill::Cost((dollars * 1_000_000.0).round() as u64),
        None => Bill::Untold,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_read_once_the_conversation_is_reckoned() {
        let cases = [
            (r#"{"status":"processing","metadata":{"cost":null}}"#, Bill::NotYet),
            (r#"{"status":"in-progress"}"#, Bill::NotYet),
            (r#"{"status":"done","metadata":{"cost":460,"cost_fiat":0.092}}"#, Bill::Cost(92_000)),
            (
                r#"{"status":"done","metadata":{"cost":460,"charging":{"platform_price":0.08,"llm_price":0.012}}}"#,
                Bill::Cost(92_000),
            ),
            (r#"{"status":"failed","metadata":{"cost_fiat":0,"charging":{}}}"#, Bill::Cost(0)),
            (r#"{"status":"done","metadata":{"cost":460,"charging":{"tier":"free"}}}"#, Bill::Untold),
            (r#"{"status":"done","metadata":{"cost_fiat":-1}}"#, Bill::Untold),
            (r#"{"detail":{"status":"invalid_api_key"}}"#, Bill::Untold),
            ("", Bill::Untold),
        ];
        for (body, bill) in cases {
            assert_eq!(read_bill(body), bill, "{body}");
        }
    }
}
