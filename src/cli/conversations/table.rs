//! Conversations as a table for other programs (RFC 4180).
use crate::record::{Conversation, WayQuality};

/// The first line.
pub(super) const HEAD: &str = "conversation_uuid,domain_uuid,call_uuid,caller_id,destination,started_at,ended_at,duration_s,turns,\
    avg_latency_ms,outcome,end_reason,transfer_destination,provider,engine,input_tokens,output_tokens,cost_micro_usd,\
    billed_micro_usd,codec,round_trip_ms,\
    uplink_lost_percent,uplink_jitter_ms,uplink_jitter_p95_ms,uplink_r,uplink_mos_cq,\
    downlink_lost_percent,downlink_jitter_ms,downlink_jitter_p95_ms,downlink_r,downlink_mos_cq,\
    recording,transcript\r\n";

/// A line of the table.
pub(super) fn line(of: &Conversation) -> String {
    let number = |number: u64| number.to_string();
    let said: Vec<String> = of.turns.iter().map(|turn| format!("{}: {}", turn.who.as_str(), turn.text)).collect();
    let recording = of.recording.as_ref().and_then(|recording| recording.path.as_deref());
    let mut cells = vec![
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
    ];
    cells.extend(sound(of));
    cells.extend([text(recording.unwrap_or_default()), text(&said.join("\n"))]);
    format!("{}\r\n", cells.join(","))
}

/// The cells that say how a call sounded: empty where it was not measured, or not reported by the peer.
fn sound(of: &Conversation) -> Vec<String> {
    let quality = of.media_quality.as_ref();
    let round_trip = quality.and_then(|quality| quality.round_trip_ms);
    let ways = [quality.map(|quality| &quality.uplink), quality.and_then(|quality| quality.downlink.as_ref())];
    let call = [text(quality.map(|quality| quality.codec.as_str()).unwrap_or_default()), figure(round_trip)];
    call.into_iter().chain(ways.into_iter().flat_map(way)).collect()
}

/// One way of a call; of one to which no packet was to come, nothing is known.
fn way(of: Option<&WayQuality>) -> [String; 5] {
    let heard = of.filter(|way| way.expected > 0);
    let score = of.and_then(|way| way.score);
    [
        heard.map(|way| format!("{:.2}", way.loss_percent())).unwrap_or_default(),
        figure(heard.map(|way| way.jitter_ms)),
        figure(heard.map(|way| way.jitter_p95_ms)),
        figure(score.map(|score| score.r)),
        figure(score.map(|score| score.mos_cq)),
    ]
}

/// As the record has it, with a point.
fn figure(figure: Option<f64>) -> String {
    figure.map(|figure| figure.to_string()).unwrap_or_default()
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
    use crate::record::{MediaQuality, Score, Trouble};

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

    /// What the table says of a column, of a line whose cells need no quotes.
    fn cell(column: &str, of: &Conversation) -> String {
        let line = line(&Conversation { turns: Vec::new(), ..of.clone() });
        assert!(!line.contains('"'), "{line}");
        let mut cells = HEAD.trim_end().split(',').zip(line.trim_end().split(','));
        cells.find(|(name, _)| *name == column).unwrap().1.to_owned()
    }

    #[test]
    fn how_a_call_sounded_has_columns_with_their_units() {
        let uplink = WayQuality {
            expected: 1_000,
            lost: 70,
            mean_run: Some(3.04),
            jitter_ms: 2.41,
            jitter_p95_ms: 4.0,
            jitter_max_ms: 9.13,
            score: Some(Score { r: 69.1, mos_cq: 3.56, mos_lq: 3.57, mos_min: 3.4 }),
        };
        let quality = MediaQuality {
            codec: "PCMU".into(),
            crypto: None,
            remote: "192.0.2.1:4000".parse().unwrap(),
            round_trip_ms: Some(42.37),
            round_trip_max_ms: Some(60.0),
            received: 930,
            late: 0,
            duplicated: 0,
            reordered: 0,
            concealed_ms: 1_400,
            sent: 1_000,
            foreign: 0,
            foreign_from: None,
            uplink,
            downlink: Some(WayQuality { expected: 0, lost: 0, score: None, ..uplink }),
            trouble: Trouble::default(),
        };
        let of = Conversation { media_quality: Some(quality), ..super::super::tests::conversation() };
        for (column, want) in [
            ("codec", "PCMU"),
            ("round_trip_ms", "42.37"),
            ("uplink_lost_percent", "7.00"),
            ("uplink_jitter_ms", "2.41"),
            ("uplink_jitter_p95_ms", "4"),
            ("uplink_r", "69.1"),
            ("uplink_mos_cq", "3.56"),
            ("downlink_lost_percent", ""),
            ("downlink_mos_cq", ""),
        ] {
            assert_eq!(cell(column, &of), want, "{column}");
            assert_eq!(cell(column, &super::super::tests::conversation()), "", "{column} of a call not measured");
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
