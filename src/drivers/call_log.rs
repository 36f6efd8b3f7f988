//! What a call's log says of what happens on it.
use crate::{
    call::{Event, Order},
    record::Conversation,
};
use tracing::{debug, info, warn};

fn log_end(record: &Conversation) {
    let (outcome, seconds) = (record.outcome.as_str(), record.audio.as_secs());
    let Some(media) = &record.media_quality else {
        return info!(outcome, reason = %record.end_reason, seconds, "Call ended");
    };
    let (up, down, trouble) = (&media.uplink, media.downlink.as_ref(), &media.trouble);
    let some = |count: u64| (count > 0).then_some(count);
    info!(
        outcome,
        reason = %record.end_reason,
        seconds,
        codec = media.codec,
        crypto = media.crypto,
        remote = %media.remote,
        round_trip_ms = media.round_trip_ms,
        mos_up = up.score.map(|score| score.mos_cq),
        lost_up = up.lost,
        jitter_up_ms = up.jitter_p95_ms,
        mos_down = down.and_then(|down| down.score).map(|score| score.mos_cq),
        lost_down = down.map(|down| down.lost),
        jitter_down_ms = down.map(|down| down.jitter_p95_ms),
        foreign = media.foreign,
        codec_errors = some(trouble.codec_errors),
        skipped = some(trouble.skipped),
        playout_dropped_ms = some(trouble.playout_dropped_ms),
        restarts = some(trouble.restarts),
        timestamp_jumps = some(trouble.timestamp_jumps),
        left_out_ms = some(trouble.left_out_ms),
        malformed = some(trouble.malformed),
        unauthentic = some(trouble.unauthentic),
        replayed = some(trouble.replayed),
        "Call ended"
    );
}

/// Writes down what happened on a call, within its span.
pub(super) fn log(event: &Event) {
    match event {
        Event::Ended(record) => log_end(record),
        Event::Measured(quality) => debug!(?quality, "Media"),
        Event::Answered => info!("Call answered"),
        Event::TransferStarted { destination } => info!(%destination, "Transfer"),
        Event::TransferFailed { destination, reason } => info!(%destination, %reason, "Transfer failed"),
        Event::Warning(text) => warn!("{text}"),
        Event::Changed(change) => {
            let gap_ms = change.gap.as_millis();
            info!(from = %change.from, to = %change.to, why = %change.why, gap_ms, "Provider changed");
        }
        Event::Hold(hold) => info!(?hold, "Hold"),
        Event::Recording(Order::Pause) => info!("Recording paused"),
        Event::Recording(Order::Resume) => info!("Recording resumed"),
        Event::ListenedTo { who, begins: true } => info!(%who, "Somebody listens"),
        Event::ListenedTo { who, begins: false } => info!(%who, "Somebody listens no more"),
        Event::AssistantSpeaks { latency: Some(latency), .. } => debug!(?latency, "Reply"),
        Event::BargeIn(heard) => debug!(?heard, "Barge-in"),
        // Numbers, digits and words of callers are nobody's business above TRACE.
        Event::Connect(_)
        | Event::Disconnect
        | Event::Prepare(_)
        | Event::Reconnect(_)
        | Event::Receipt(_)
        | Event::Provider { .. }
        | Event::AssistantSpeaks { .. }
        | Event::CallerSpeaks
        | Event::CallerText(_)
        | Event::Dtmf(_)
        | Event::AssistantText { .. }
        | Event::PlayedOut(_) => {}
    }
}
