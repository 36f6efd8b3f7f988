//! From what was noted at both ends to samples. Pure: the same notes give the same figures.
use crate::{
    phones::{Line, Packet, Sound},
    provider::{Item, Log},
    script::unmark,
    stamp::BLOCK_MS,
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// What a phone sends later than this before the end may wait for others of its message when its call is ended, and
/// then never goes up: it does not count.
const ON_ITS_WAY: Duration = Duration::from_millis(500);

/// Samples in milliseconds, and what went missing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) uplink: Vec<f64>,
    pub(crate) first_packet: Vec<f64>,
    /// Off the absolute grid that fits a call's packets best.
    pub(crate) pacing: Vec<f64>,
    /// Between neighbours, off 20 ms.
    pub(crate) interval: Vec<f64>,
    pub(crate) stop: Vec<f64>,
    pub(crate) heard: Vec<f64>,
    /// Phone packets that never reached the provider.
    pub(crate) uplink_lost: usize,
    /// Sequence numbers the phones missed.
    pub(crate) downlink_lost: usize,
    /// Packet times the server left out, by its own timestamps.
    pub(crate) slots_skipped: usize,
    /// Items that were never heard, and cuts without a truncation.
    pub(crate) unanswered: usize,
}

/// What counts: after the warm-up, before the calls end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) from: Instant,
    pub(crate) until: Instant,
}

impl Window {
    fn has(self, at: Instant) -> bool {
        self.from <= at && at < self.until
    }
}

/// Works everything out.
pub(crate) fn figures(lines: &[Line], log: &Log, window: Window) -> Figures {
    let mut figures = Figures::default();
    uplink(lines, log, window, &mut figures);
    for line in lines {
        pacing(&line.heard, window, &mut figures);
    }
    let spoken = spoken(lines);
    // An item counts when all that can happen to it happens within the window.
    let whole = Window { until: window.until.checked_sub(Duration::from_secs(4)).unwrap_or(window.from), ..window };
    for item in log.items.iter().filter(|item| whole.has(item.first_delta)) {
        match spoken.get(&(item.connection, item.item)) {
            Some(speech) => conversation(item, speech, &mut figures),
            None => figures.unanswered += 1,
        }
    }
    figures
}

fn uplink(lines: &[Line], log: &Log, window: Window, figures: &mut Figures) {
    let until = window.until.checked_sub(ON_ITS_WAY).unwrap_or(window.from);
    let (window, mut arrived) = (Window { until, ..window }, 0);
    for append in &log.appends {
        let line = lines.get(usize::from(append.stamp.source));
        let Some(sent) = line.and_then(|line| line.sent.get(append.stamp.number as usize)) else { continue };
        if window.has(*sent) {
            arrived += 1;
            figures.uplink.push(ms(append.at.saturating_duration_since(*sent)));
        }
    }
    let sent = lines.iter().flat_map(|line| &line.sent).filter(|sent| window.has(**sent)).count();
    figures.uplink_lost = sent.saturating_sub(arrived);
}

/// Slots are told by timestamps, so that a skipped slot is no error of those around it. The grid is 20 ms by the same
/// clock; its origin is the one with as many packets before it as after it.
fn pacing(heard: &[Packet], window: Window, figures: &mut Figures) {
    let packets: Vec<&Packet> = heard.iter().filter(|packet| window.has(packet.at)).collect();
    let Some(first) = packets.first() else { return };
    let slot = |packet: &Packet| packet.timestamp.wrapping_sub(first.timestamp) / 160;
    let off_grid = |packet: &Packet| ms(packet.at - first.at) - f64::from(slot(packet)) * BLOCK_MS as f64;
    let mut offsets: Vec<f64> = packets.iter().map(|packet| off_grid(packet)).collect();
    let mut sorted = offsets.clone();
    sorted.sort_by(f64::total_cmp);
    let origin = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    offsets.iter_mut().for_each(|offset| *offset = (*offset - origin).abs());
    figures.pacing.append(&mut offsets);
    for pair in packets.windows(2) {
        let [before, after] = pair else { continue };
        let slots = slot(after).wrapping_sub(slot(before));
        let expected = f64::from(slots) * BLOCK_MS as f64;
        figures.interval.push((ms(after.at.saturating_duration_since(before.at)) - expected).abs());
        // A packet that was lost had its time as well.
        let lost = usize::from(after.sequence.wrapping_sub(before.sequence).saturating_sub(1));
        figures.downlink_lost += lost;
        figures.slots_skipped += (slots.saturating_sub(1) as usize).saturating_sub(lost);
    }
}

/// What a phone heard of one item.
#[derive(Clone, Copy, Debug)]
struct Speech {
    first: Instant,
    last: Instant,
    packets: u64,
}

/// A changed packet right after marked ones is the fade of their item.
fn spoken(lines: &[Line]) -> BTreeMap<(u16, u32), Speech> {
    let mut all = BTreeMap::new();
    for line in lines {
        let mut current = None;
        for packet in &line.heard {
            current = match packet.sound {
                Sound::Marked(stamp) => Some((stamp.source, unmark(stamp.number).0)),
                Sound::Changed => current,
                Sound::Silence => None,
            };
            let Some(key) = current else { continue };
            let speech = all.entry(key).or_insert(Speech { first: packet.at, last: packet.at, packets: 0 });
            speech.last = packet.at;
            speech.packets += 1;
        }
    }
    all
}

fn conversation(item: &Item, speech: &Speech, figures: &mut Figures) {
    figures.first_packet.push(ms(speech.first.saturating_duration_since(item.first_delta)));
    let Some(cut) = item.cut else { return };
    figures.stop.push(ms(speech.last.saturating_duration_since(cut)));
    match item.truncated {
        Some(told) => figures.heard.push((speech.packets * BLOCK_MS).abs_diff(told) as f64),
        None => figures.unanswered += 1,
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{provider::Append, script::mark, stamp::Stamp};

    const MS: Duration = Duration::from_millis(1);

    fn window(start: Instant) -> Window {
        Window { from: start, until: start + Duration::from_secs(60) }
    }

    fn packet(start: Instant, slot: u16, late: Duration, sound: Sound) -> Packet {
        let at = start + Duration::from_millis(20) * slot.into() + late;
        Packet { at, sequence: slot, timestamp: u32::from(slot).wrapping_mul(160).wrapping_sub(160), sound }
    }

    #[test]
    fn an_even_stream_is_on_the_grid_and_one_late_packet_is_not() {
        let start = Instant::now();
        // The timestamp wraps after the first packet, and the stream is late as a whole: neither matters.
        let late = |slot| if slot == 50 { 7 * MS } else { 3 * MS };
        let heard = (0..100).map(|slot| packet(start, slot, late(slot), Sound::Silence)).collect();
        let figures = figures(&[Line { sent: Vec::new(), heard }], &Log::default(), window(start));
        let off: Vec<f64> = figures.pacing.iter().copied().filter(|error| *error > 0.001).collect();
        assert_eq!(figures.pacing.len(), 100);
        assert!(off.len() == 1 && (off[0] - 4.0).abs() < 0.001, "{off:?}");
        let off = figures.interval.iter().filter(|error| (**error - 4.0).abs() < 0.001).count();
        assert_eq!((off, figures.slots_skipped, figures.downlink_lost), (2, 0, 0));
    }

    #[test]
    fn a_skipped_slot_and_a_lost_packet_are_told_apart() {
        let start = Instant::now();
        let mut heard: Vec<Packet> = (0..10).map(|slot| packet(start, slot, MS, Sound::Silence)).collect();
        heard.remove(5);
        for packet in heard.iter_mut().skip(5) {
            packet.sequence -= 1;
        }
        let skipped = figures(&[Line { sent: Vec::new(), heard: heard.clone() }], &Log::default(), window(start));
        assert_eq!((skipped.slots_skipped, skipped.downlink_lost), (1, 0));
        heard.remove(2);
        let lost = figures(&[Line { sent: Vec::new(), heard }], &Log::default(), window(start));
        assert_eq!((lost.slots_skipped, lost.downlink_lost), (1, 1));
        assert!(lost.pacing.iter().all(|error| *error < 0.001), "neither is an error of the others");
    }

    #[test]
    fn a_cut_item_gives_a_first_packet_a_stop_and_an_error_of_what_was_heard() {
        let start = Instant::now();
        let marked = |block| Sound::Marked(Stamp { source: 3, number: mark(8, block) });
        let mut heard: Vec<Packet> = (0..10).map(|slot| packet(start, slot, MS, Sound::Silence)).collect();
        for block in 0..4 {
            heard[2 + block].sound = marked(block as u32);
        }
        heard[6].sound = Sound::Changed;
        heard[8].sound = Sound::Changed;
        let item = Item {
            connection: 3,
            item: 8,
            first_delta: start + 30 * MS,
            cut: Some(start + 105 * MS),
            truncated: Some(80),
        };
        let log = Log { items: vec![item], ..Log::default() };
        let figures = figures(&[Line { sent: Vec::new(), heard }], &log, window(start));
        let rounded = |samples: &[f64]| samples.iter().map(|sample| sample.round()).collect::<Vec<_>>();
        assert_eq!(rounded(&figures.first_packet), [11.0]);
        assert_eq!(rounded(&figures.stop), [16.0], "the fade is speech; sound after silence is not of this item");
        assert_eq!(figures.heard, [20.0], "five packets were heard, and 80 ms were told");
        assert_eq!(figures.unanswered, 0);
    }

    #[test]
    fn uplink_is_joined_by_marks_and_loss_is_counted() {
        let start = Instant::now();
        let sent = vec![start, start + 20 * MS, start + 40 * MS];
        let append = |number, at| Append { stamp: Stamp { source: 0, number }, at };
        let appends = vec![append(0, start + 2 * MS), append(2, start + 41 * MS)];
        let log = Log { appends, ..Log::default() };
        let figures = figures(&[Line { sent, heard: Vec::new() }], &log, window(start));
        let rounded: Vec<f64> = figures.uplink.iter().map(|sample| sample.round()).collect();
        assert_eq!((rounded, figures.uplink_lost), (vec![2.0, 1.0], 1));
    }

    #[test]
    fn what_was_on_its_way_up_when_the_calls_ended_is_not_lost() {
        let start = Instant::now();
        let until = start + Duration::from_secs(60);
        let sent = vec![start, until - 510 * MS, until - 490 * MS, until - 20 * MS];
        let appends = vec![Append { stamp: Stamp { source: 0, number: 0 }, at: start + MS }];
        let log = Log { appends, ..Log::default() };
        let figures = figures(&[Line { sent, heard: Vec::new() }], &log, window(start));
        assert_eq!((figures.uplink.len(), figures.uplink_lost), (1, 1), "the second, which had the time, is");
    }
}
