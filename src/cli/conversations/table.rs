//! Conversations as a table for other programs (RFC 4180).
use crate::record::Conversation;

/// The first line.
pub(super) const HEAD: &str = "conversation_uuid,domain_uuid,call_uuid,caller_id,destination,started_at,ended_at,duration_s,turns,\
    avg_latency_ms,outcome,end_reason,transfer_destination,provider,engine,input_tokens,output_tokens,cost_micro_usd,\
    billed_micro_usd,recording,transcript\r\n";

/// A line of the table.
pub(super) fn line(of: &Conversation) -> String {
    let number = |number: u64| number.to_string();
    let said: Vec<String> = of.turns.iter().map(|turn| format!("{}: {}", turn.who.as_str(), turn.text)).collect();
    let cells = [
        of.conversation_uuid.to_string(),
        of.domain_uuid.to_string(),
        text(&of.call_uuid),
        text(&of.caller_id),
        text(&of.destination),
        of.started_at.to_rfc3339(),
        of.ended_at.to_rfc3339(),
        number(of.duration().as_secs()),
        number(of.total_turns() as u64),
        of.average_latency().map(|latency| latency.as_millis().to_string()).unwrap_or_default(),
        of.outcome.as_str().to_owned(),
        text(&of.end_reason),
        text(of.transfer_destination.as_deref().unwrap_or_default()),
        text(&of.provider),
        text(&of.engine),
        number(of.input_tokens),
        number(of.output_tokens),
        number(of.estimated_cost.0),
        of.billed_cost.map(|cost| number(cost.0)).unwrap_or_default(),
        text(of.recording.as_ref().and_then(|recording| recording.path.as_deref()).unwrap_or_default()),
        text(&said.join("\n")),
    ];
    format!("{}\r\n", cells.join(","))
}

/// A cell with text. What a caller says must not be a formula where the table is opened; a number with its country is none.
fn text(cell: &str) -> String {
    let number = cell.strip_prefix(['+', '-']).is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && !number;
    let guarded = if formula { format!("'{cell}") } else { cell.to_owned() };
    match guarded.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", guarded.replace('"', "\"\"")),
        false => guarded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_one_cell_and_no_formula() {
        for (cell, written) in [
            ("plain", "plain"),
            ("a, \"b\"", "\"a, \"\"b\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("+5511999990000", "+5511999990000"),
            ("=1+1", "'=1+1"),
            ("+cmd|' /c calc'!A0", "'+cmd|' /c calc'!A0"),
            ("@x", "'@x"),
        ] {
            assert_eq!(text(cell), written);
        }
    }

    #[test]
    fn a_line_has_as_many_cells_as_the_head() {
        let line = line(&super::super::tests::conversation());
        let outside: Vec<&str> = line.split('"').step_by(2).collect();
        assert_eq!(outside.join("").matches(',').count(), HEAD.matches(',').count());
        assert!(line.contains("\"assistant: Olá, esta é\ncaller: Financeiro"), "{line}");
    }
}
