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

/// A cell with text. What a caller says must not be a formula where the table is opened, at its beginning or where a program that
/// takes another delimiter, or a line for a row, would see a cell begin. A number with its country is none.
fn text(cell: &str) -> String {
    let number = cell.strip_prefix(['+', '-']).is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
    let guarded = if number { cell.to_owned() } else { guarded(cell) };
    match guarded.contains(['"', ',', ';', '\t', '\n', '\r']) || guarded.trim() != guarded {
        true => format!("\"{}\"", guarded.replace('"', "\"\"")),
        false => guarded,
    }
}

fn guarded(cell: &str) -> String {
    let (mut guarded, mut begins) = (String::with_capacity(cell.len() + 1), true);
    if cell.starts_with(['\t', '\r', '\n', ';']) {
        guarded.push('\'');
    }
    for character in cell.chars() {
        // The wide forms are signs to some programs as well.
        if begins && matches!(character, '=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠') {
            guarded.push('\'');
        }
        // Behind these a cell may begin; spaces and quotes before what stands in it count for nothing.
        begins = matches!(character, ',' | ';' | '\t' | '\r' | '\n' | '|')
            || (begins && (character.is_whitespace() || character == '"'));
        guarded.push(character);
    }
    guarded
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
            ("=a,b", "\"'=a,b\""),
            (" =1", "\" '=1\""),
            ("\t=1", "\"'\t'=1\""),
            ("\rx", "\"'\rx\""),
            (";x", "\"';x\""),
            ("sim;=1+1", "\"sim;'=1+1\""),
            ("a\n\"=1\"", "\"a\n\"\"'=1\"\"\""),
            ("＝1", "'＝1"),
            ("-5", "-5"),
            ("2-1=1", "2-1=1"),
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
