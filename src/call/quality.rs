//! What the media session measures, in the words of the record and of the log.
use super::{Call, State};
use crate::record::{MediaQuality, Score, Trouble, WayQuality};
use media::{Loss, Poor, Silence, Unbelieved, Way};
use std::time::Duration;

impl Call {
    /// What SRTP did not believe so far, once audio flows.
    pub fn unbelieved(&self) -> Option<Unbelieved> {
        match &self.state {
            State::Live(live) => Some(live.media.unbelieved()),
            State::Ringing(_) | State::Offering(_) | State::Over => None,
        }
    }
}

/// How a call sounds so far.
pub(super) fn measured(media: &media::Session) -> MediaQuality {
    let (stats, quality) = (media.stats(), media.quality());
    MediaQuality {
        codec: quality.codec.to_string(),
        crypto: quality.crypto.map(|suite| suite.name().to_owned()),
        remote: quality.remote,
        round_trip_ms: quality.round_trip.map(|(last, _)| ms(last)),
        round_trip_max_ms: quality.round_trip.map(|(_, longest)| ms(longest)),
        received: stats.received,
        late: stats.late,
        duplicated: stats.duplicated,
        reordered: stats.reordered,
        concealed_ms: whole_ms(stats.concealed),
        sent: stats.sent,
        foreign: stats.foreign,
        foreign_from: stats.foreign_from,
        uplink: way(&quality.uplink, Some(quality.uplink.loss.mean_run())),
        downlink: quality.downlink.map(|downlink| way(&downlink, None)),
        trouble: Trouble {
            codec_errors: stats.codec_errors,
            skipped: stats.pacing.skipped,
            playout_dropped_ms: whole_ms(stats.playout_dropped),
            restarts: stats.restarts,
            timestamp_jumps: stats.timestamp_jumps,
            left_out_ms: whole_ms(stats.left_out),
            malformed: stats.malformed,
            unauthentic: stats.unbelieved.unauthentic,
            replayed: stats.unbelieved.replayed,
        },
    }
}

/// "audio of the call was lost: 7 packets never sent, …", of a call that ends; `None` if none was.
pub(super) fn lost_audio(trouble: &Trouble) -> Option<String> {
    let counts = [
        (trouble.codec_errors, "frames that could not be decoded or encoded"),
        (trouble.skipped, "packets never sent, as the server was late"),
        (trouble.playout_dropped_ms, "ms of the assistant for which the queue had no room"),
    ];
    let lost = counts.iter().filter(|(count, _)| *count > 0);
    let lost: Vec<String> = lost.map(|(count, what)| format!("{count} {what}")).collect();
    (!lost.is_empty()).then(|| format!("audio of the call was lost: {}", lost.join("; ")))
}

/// `mean_run`: where the runs of lost packets are known.
fn way(quality: &media::WayQuality, mean_run: Option<f64>) -> WayQuality {
    let media::WayQuality { loss, jitter, score, mos_min } = quality;
    WayQuality {
        expected: loss.expected,
        lost: loss.lost,
        mean_run: mean_run.map(hundredths),
        jitter_ms: ms(jitter.last),
        jitter_p95_ms: ms(jitter.p95),
        jitter_max_ms: ms(jitter.max),
        score: score.zip(*mos_min).map(|(score, mos_min)| Score {
            r: hundredths(score.r),
            mos_cq: hundredths(score.mos_cq),
            mos_lq: hundredths(score.mos_lq),
            mos_min: hundredths(mos_min),
        }),
    }
}

/// "no RTP from the caller for 5 s: expected from 10.0.0.1:4000, …".
pub(super) fn silence(silence: &Silence) -> String {
    let Silence { expected, last, length, foreign, foreign_from, unbelieved, malformed, unplaced } = silence;
    let unheard = [
        (unbelieved.unauthentic, "not authentic (SRTP)"),
        (unbelieved.replayed, "come again (SRTP)"),
        (*malformed, "no RTP of an agreed payload type"),
        (*unplaced, "numbered like one before, or unlike all others"),
    ];
    let last = match last {
        Some(last) => format!("the last came {} ago", seconds(*last)),
        None if unheard.iter().all(|(count, _)| *count == 0) => "none ever came".to_owned(),
        None => "none of use ever came".to_owned(),
    };
    let mut text = format!("no RTP from the caller for {}: expected from {expected}, {last}", seconds(*length));
    if let (1.., Some(from)) = (foreign, foreign_from) {
        text.push_str(&format!(", {foreign} from elsewhere dropped (the first of the call from {from})"));
    }
    for (count, what) in unheard.iter().filter(|(count, _)| *count > 0) {
        text.push_str(&format!(", {count} dropped as {what}"));
    }
    text
}

/// "caller to us: 7.0 % lost in runs of 3.0, …".
pub(super) fn poor(poor: &Poor) -> String {
    let Poor { way, loss, jitter, round_trip, mos } = poor;
    let way = match way {
        Way::Uplink => "caller to us",
        Way::Downlink => "us to caller, as the phone reports it",
    };
    let round_trip = round_trip.map(|time| format!(", round trip {} ms", time.as_millis())).unwrap_or_default();
    let (lost, jitter) = (lost(loss), jitter.as_millis());
    format!("the call sounds bad, {way}: {lost}, jitter {jitter} ms{round_trip}; MOS {mos:.1} of 4.5")
}

fn lost(loss: &Loss) -> String {
    let percent = loss.ratio() * 100.0;
    match loss.mean_run() {
        run if run > 1.0 => format!("{percent:.1} % lost in runs of {run:.1}"),
        _ => format!("{percent:.1} % lost"),
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn ms(time: Duration) -> f64 {
    hundredths(time.as_secs_f64() * 1_000.0)
}

fn whole_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn hundredths(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five seconds in which nothing came at all.
    fn silent() -> Silence {
        Silence {
            expected: "10.0.0.1:4000".parse().unwrap(),
            last: None,
            length: Duration::from_secs(5),
            foreign: 0,
            foreign_from: None,
            unbelieved: Unbelieved::default(),
            malformed: 0,
            unplaced: 0,
        }
    }

    #[test]
    fn a_silence_says_which_address_and_who_else_was_there() {
        let mut silent = silent();
        assert_eq!(silence(&silent), "no RTP from the caller for 5.0 s: expected from 10.0.0.1:4000, none ever came");
        silent = Silence {
            last: Some(Duration::from_millis(5_020)),
            foreign: 3,
            foreign_from: "10.0.0.9:5000".parse().ok(),
            ..silent
        };
        assert_eq!(
            silence(&silent),
            "no RTP from the caller for 5.0 s: expected from 10.0.0.1:4000, the last came 5.0 s ago, \
             3 from elsewhere dropped (the first of the call from 10.0.0.9:5000)"
        );
    }

    #[test]
    fn a_silence_says_what_came_and_could_not_be_heard() {
        let unbelieved = Unbelieved { unauthentic: 250, replayed: 0 };
        let mut silent = Silence { unbelieved, ..silent() };
        assert_eq!(
            silence(&silent),
            "no RTP from the caller for 5.0 s: expected from 10.0.0.1:4000, none of use ever came, \
             250 dropped as not authentic (SRTP)"
        );
        silent = Silence {
            last: Some(Duration::from_secs(5)),
            unbelieved: Unbelieved { unauthentic: 0, replayed: 4 },
            malformed: 7,
            unplaced: 2,
            ..silent
        };
        assert_eq!(
            silence(&silent),
            "no RTP from the caller for 5.0 s: expected from 10.0.0.1:4000, the last came 5.0 s ago, \
             4 dropped as come again (SRTP), 7 dropped as no RTP of an agreed payload type, \
             2 dropped as numbered like one before, or unlike all others"
        );
    }

    #[test]
    fn audio_that_was_lost_is_told_with_counts() {
        let survived = Trouble { restarts: 1, malformed: 3, left_out_ms: 400, ..Trouble::default() };
        assert_eq!(lost_audio(&survived), None, "nothing of it was lost");
        let lost = Trouble { codec_errors: 3, playout_dropped_ms: 400, ..survived };
        assert_eq!(
            lost_audio(&lost).unwrap(),
            "audio of the call was lost: 3 frames that could not be decoded or encoded; \
             400 ms of the assistant for which the queue had no room"
        );
        let late = Trouble { skipped: 7, ..survived };
        let text = "audio of the call was lost: 7 packets never sent, as the server was late";
        assert_eq!(lost_audio(&late).unwrap(), text);
    }

    #[test]
    fn a_bad_way_says_which_and_what_is_wrong() {
        let bad = Poor {
            way: Way::Uplink,
            loss: Loss { expected: 300, lost: 21, runs: 7 },
            jitter: Duration::from_millis(12),
            round_trip: Some(Duration::from_millis(80)),
            mos: 3.56,
        };
        assert_eq!(
            poor(&bad),
            "the call sounds bad, caller to us: 7.0 % lost in runs of 3.0, jitter 12 ms, round trip 80 ms; MOS 3.6 of 4.5"
        );
        let down = Poor { way: Way::Downlink, loss: Loss { runs: 0, ..bad.loss }, round_trip: None, ..bad };
        assert_eq!(
            poor(&down),
            "the call sounds bad, us to caller, as the phone reports it: 7.0 % lost, jitter 12 ms; MOS 3.6 of 4.5"
        );
    }
}
