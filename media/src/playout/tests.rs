use super::*;
use crate::{
    audio::{Frame, Law, SampleRate},
    testing::Random,
};

const PTIME: Duration = Duration::from_millis(20);
const BOUND: Duration = Duration::from_secs(180);

fn mu(bytes: Vec<u8>) -> Audio {
    Audio::G711 { law: Law::Mu, bytes }
}

fn playout() -> Playout {
    Playout::new(Codec::Pcmu, PTIME, BOUND)
}

fn bytes(taken: Option<Taken>) -> Vec<u8> {
    match taken.expect("a frame").audio {
        Audio::G711 { law: Law::Mu, bytes } => bytes,
        other => panic!("µ-law was asked, got {other:?}"),
    }
}

fn ended(playout: &mut Playout) -> Vec<Heard> {
    std::iter::from_fn(|| playout.poll_ended()).collect()
}

#[test]
fn the_same_law_passes_untouched_and_the_last_frame_is_padded() {
    let (mut playout, one) = (playout(), UtteranceId(1));
    let mut sent: Vec<u8> = (0..400).map(|n| (n % 251) as u8).collect();
    sent[399] = 0xff; // speech ends by itself
    playout.play(one, &mu(sent[..90].to_vec()));
    playout.play(one, &mu(sent[90..].to_vec()));
    playout.finish(one);
    let first = playout.take();
    assert_eq!(first.as_ref().map(|t| (t.utterance, t.first)), Some((one, true)));
    let mut got = bytes(first);
    got.extend(bytes(playout.take()));
    assert_eq!(ended(&mut playout), []);
    got.extend(bytes(playout.take()));
    assert_eq!(got[..400], sent);
    assert_eq!(got[400..], [0xff; 80]);
    let fifty = Duration::from_millis(50);
    assert_eq!(ended(&mut playout), [Heard { utterance: one, played: fifty, queued: fifty }]);
    assert_eq!((playout.take(), playout.playing()), (None, None));
}

#[test]
fn a_part_of_a_frame_waits_for_the_rest_but_not_for_ever() {
    let (mut playout, one) = (playout(), UtteranceId(1));
    playout.play(one, &mu(vec![1; 100]));
    assert_eq!([playout.take(), playout.take()], [None, None]);
    playout.play(one, &mu(vec![2; 100]));
    assert_eq!(bytes(playout.take()), [vec![1; 100], vec![2; 60]].concat());
    assert!(playout.take().is_some(), "what was heard goes down");
    let silent = (0..).take_while(|_| playout.take().is_none()).count();
    assert_eq!(1 + silent as u32, PATIENCE);
    assert_eq!(playout.heard(one).map(|h| h.played), Some(Duration::from_millis(25)));
    assert_eq!(playout.playing(), Some(one), "more may come");
}

#[test]
fn finishing_what_never_began_ends_it_at_once() {
    let (mut playout, one) = (playout(), UtteranceId(1));
    playout.finish(one);
    assert_eq!(ended(&mut playout), [Heard { utterance: one, played: Duration::ZERO, queued: Duration::ZERO }]);
    playout.finish(one);
    assert_eq!(ended(&mut playout), []);
}

#[test]
fn the_next_utterance_ends_the_one_before() {
    let (mut playout, one, two) = (playout(), UtteranceId(1), UtteranceId(2));
    playout.play(one, &mu(vec![0xf1; 170]));
    playout.play(two, &mu(vec![0xf2; 160]));
    playout.take();
    assert_eq!(bytes(playout.take())[..10], [0xf1; 10]);
    assert_eq!(ended(&mut playout).iter().map(|h| h.utterance).collect::<Vec<_>>(), [one]);
    assert_eq!(playout.take().map(|t| (t.utterance, t.first)), Some((two, true)));
}

#[test]
fn a_cut_says_what_was_heard_and_late_audio_is_stale() {
    let (mut playout, one, two) = (playout(), UtteranceId(1), UtteranceId(2));
    playout.play(one, &mu(vec![0x10; 800]));
    playout.play(two, &mu(vec![0x10; 800]));
    playout.take();
    playout.take();
    let heard = playout.cut(Tail::Fade);
    let (played, queued) = (Duration::from_millis(60), Duration::from_millis(100));
    assert_eq!(heard, Some(Heard { utterance: one, played, queued }));
    assert_eq!(playout.heard(two).map(|h| h.played), Some(Duration::ZERO));
    let fade = bytes(playout.take());
    assert_eq!((fade.len(), fade[159]), (160, 0xff));
    for utterance in [one, two] {
        playout.play(utterance, &mu(vec![0x10; 800]));
        playout.finish(utterance);
    }
    assert_eq!((playout.take(), playout.playing(), ended(&mut playout)), (None, None, vec![]));
    assert_eq!((playout.dropped(), playout.overflowed()), (Duration::from_millis(200), Duration::ZERO));
    assert_eq!(playout.cut(Tail::Fade), None);
}

#[test]
fn without_a_tail_or_before_the_first_frame_nothing_follows_a_cut() {
    let (mut playout, one, two) = (playout(), UtteranceId(1), UtteranceId(2));
    playout.play(one, &mu(vec![0x10; 800]));
    assert_eq!(playout.cut(Tail::Fade).map(|h| h.played), Some(Duration::ZERO));
    assert_eq!(playout.take(), None);
    playout.play(two, &mu(vec![0x10; 800]));
    playout.take();
    assert_eq!(playout.cut(Tail::Nothing).map(|h| h.played), Some(PTIME));
    assert_eq!(playout.take(), None);
}

#[test]
fn ducking_is_18_db_and_unducking_restores_the_bytes() {
    let (mut playout, one) = (playout(), UtteranceId(1));
    let loud = crate::codec::g711::encode(Law::Mu, &[8_000; 160]);
    for _ in 0..8 {
        playout.play(one, &mu(loud.clone()));
    }
    playout.duck();
    playout.take();
    playout.take();
    let quiet = crate::codec::g711::decode(Law::Mu, &bytes(playout.take()));
    assert!((900..1_100).contains(&quiet[80]), "{}", quiet[80]);
    playout.resume();
    playout.take();
    playout.take();
    assert_eq!(bytes(playout.take()), loud);
    playout.duck();
    playout.cut(Tail::Fade);
    playout.play(UtteranceId(2), &mu(loud.clone()));
    playout.take();
    assert_eq!(bytes(playout.take()), loud, "a cut restores the volume");
}

/// Who was asked to be silent for a moment goes on where she stopped: nothing is lost, and nothing clicks.
#[test]
fn a_pause_keeps_what_waits_and_fades_on_both_sides() {
    let (mut playout, one) = (playout(), UtteranceId(1));
    let loud = crate::codec::g711::encode(Law::Mu, &[8_000; 1_600]);
    playout.play(one, &mu(loud.clone()));
    playout.finish(one);
    let mut line = bytes(playout.take());
    playout.pause(Tail::Fade);
    playout.pause(Tail::Fade);
    line.extend(bytes(playout.take()));
    assert_eq!([playout.take(), playout.take()], [None, None]);
    let (played, queued) = (Duration::from_millis(40), Duration::from_millis(200));
    assert_eq!(playout.heard(one), Some(Heard { utterance: one, played, queued }));
    playout.resume();
    line.extend((0..8).flat_map(|_| bytes(playout.take())));
    assert_eq!(ended(&mut playout), [Heard { utterance: one, played: queued, queued }]);
    let samples = crate::codec::g711::decode(Law::Mu, &line);
    assert!(samples[319].abs() < 100 && samples[320].abs() < 100, "silent where she stopped");
    assert_eq!(line[800..1_440], loud[800..1_440], "and untouched once she is back");
    let steepest = samples.windows(2).map(|w| w[0].abs_diff(w[1])).max().unwrap();
    assert!(steepest <= 260, "{steepest}: a step of µ-law at that height is 256");
}

/// The largest step from sample to sample, and to the silence that follows.
fn steepest(line: &[u8]) -> u16 {
    let samples = crate::codec::g711::decode(Law::Mu, &[line, &[0xff]].concat());
    samples.windows(2).map(|w| w[0].abs_diff(w[1])).max().unwrap()
}

/// What is cut off somewhere by who made it, and followed at once by another, fades on both sides of the seam. No sample
/// more or less is played for it.
#[test]
fn no_click_is_heard_where_one_utterance_follows_another_or_ends_in_mid_sound() {
    let loud = |count| crate::codec::g711::encode(Law::Mu, &vec![8_000; count]);
    for rest in [0, 1, 40, 159] {
        let (mut playout, one, two) = (playout(), UtteranceId(1), UtteranceId(2));
        playout.play(one, &mu(loud(640 + rest)));
        playout.play(two, &mu(loud(480 + rest)));
        playout.finish(two);
        let line: Vec<u8> = std::iter::from_fn(|| playout.take()).flat_map(|taken| bytes(Some(taken))).collect();
        assert!(steepest(&line[160..]) <= 512, "{rest}: {}", steepest(&line[160..]));
        let ms = |samples| SampleRate::HZ_8000.duration_of(samples);
        let heard = |utterance, samples| Heard { utterance, played: ms(samples), queued: ms(samples) };
        assert_eq!(ended(&mut playout), [heard(one, 640 + rest), heard(two, 480 + rest)]);
        assert_eq!(line[..480], loud(480), "untouched before the seam");
    }
}

/// A provider that stalls in mid-word does not click: neither where it stops, though nobody knew, nor where it goes on.
#[test]
fn who_starves_falls_silent_within_20_ms_that_count_as_nothing() {
    let loud = crate::codec::g711::encode(Law::Mu, &[8_000; 480]);
    for millis in [10, 20, 60] {
        let ptime = Duration::from_millis(millis);
        let (mut playout, one) = (Playout::new(Codec::Pcmu, ptime, BOUND), UtteranceId(1));
        playout.play(one, &mu(loud.clone()));
        let line = rest(&mut playout).concat();
        assert_eq!((&line[..480], line.len()), (&loud[..], 480 + SampleRate::HZ_8000.samples_in(ptime)));
        assert!(steepest(&line) <= 512, "{millis} ms: {}", steepest(&line));
        assert_eq!(playout.heard(one).map(|heard| heard.played), Some(Duration::from_millis(60)));
    }
    let (mut quiet, one) = (playout(), UtteranceId(1));
    quiet.play(one, &mu(crate::codec::g711::encode(Law::Mu, &[200; 160])));
    assert_eq!((quiet.take().is_some(), quiet.take()), (true, None), "here silence does not click");
}

#[test]
fn who_starved_goes_on_out_of_silence() {
    let (mut playout, one) = (playout(), UtteranceId(1));
    let loud = crate::codec::g711::encode(Law::Mu, &[8_000; 480]);
    playout.play(one, &mu(loud.clone()));
    (0..3).for_each(|_| assert_eq!(bytes(playout.take()), loud[..160]));
    assert!(playout.take().is_some() && playout.take().is_none());
    playout.play(one, &mu(loud.clone()));
    let line: Vec<u8> = (0..3).flat_map(|_| bytes(playout.take())).collect();
    let rise = crate::codec::g711::decode(Law::Mu, &line[..320]);
    assert!(rise[0].abs() < 300 && rise.windows(2).all(|w| w[0].abs_diff(w[1]) <= 512), "{rise:?}");
    assert_eq!(line[320..], loud[320..]);
    assert_eq!(playout.heard(one).map(|heard| heard.played), Some(Duration::from_millis(120)));
}

/// The part of a frame that is left is known to be the last for a while.
#[test]
fn a_part_of_a_frame_that_nothing_follows_fades_and_so_does_what_comes_after_it() {
    for rest in [1, 40, 159] {
        let (mut playout, one) = (playout(), UtteranceId(1));
        let loud = |count| crate::codec::g711::encode(Law::Mu, &vec![8_000; count]);
        playout.play(one, &mu(loud(320 + rest)));
        let line: Vec<u8> = (0..3).flat_map(|_| bytes(playout.take())).collect();
        assert_eq!((&line[..320], line.len()), (&loud(320)[..], 480));
        assert!(steepest(&line) <= 512, "{rest}: {}", steepest(&line));
        assert_eq!([playout.take(), playout.take()], [None, None]);
        let blip = bytes(playout.take());
        assert!(steepest(&blip) <= 512, "{rest}: {}", steepest(&blip));
        playout.play(one, &mu(loud(640)));
        let line: Vec<u8> = (0..4).flat_map(|_| bytes(playout.take())).collect();
        let rise = [vec![0xff], line[..480].to_vec()].concat();
        let samples = crate::codec::g711::decode(Law::Mu, &rise);
        assert!(samples.windows(2).all(|w| w[0].abs_diff(w[1]) <= 512), "{rest}: {samples:?}");
        assert_eq!(line[320..], loud(320));
        let played = SampleRate::HZ_8000.duration_of(960 + rest);
        assert_eq!(playout.heard(one).map(|heard| heard.played), Some(played));
    }
}

#[test]
fn what_goes_on_after_keys_rises_and_nothing_that_was_cut_comes_back() {
    let loud = |count| crate::codec::g711::encode(Law::Mu, &vec![8_000; count]);
    let (mut playout, one, two) = (playout(), UtteranceId(1), UtteranceId(2));
    playout.play(one, &mu(loud(800)));
    assert_eq!(bytes(playout.take()), loud(160));
    (0..5).for_each(|_| playout.give_way());
    let line: Vec<u8> = (0..4).flat_map(|_| bytes(playout.take())).collect();
    let samples = crate::codec::g711::decode(Law::Mu, &[vec![0xff], line.clone()].concat());
    assert!(samples.windows(2).all(|w| w[0].abs_diff(w[1]) <= 512), "{samples:?}");
    assert_eq!(line[320..], loud(320));
    assert_eq!(playout.heard(one).map(|heard| heard.played), Some(Duration::from_millis(100)));
    playout.play(two, &mu(loud(800)));
    playout.take();
    playout.cut(Tail::Fade);
    playout.give_way();
    assert_eq!(playout.take(), None);
}

/// The sample at the seam may be near nothing in the middle of a loud sound.
#[test]
fn what_goes_on_after_a_pause_or_a_gap_rises_whatever_its_first_sample_is() {
    let wave = |n: usize| if n.is_multiple_of(160) { 0 } else { 8_000 };
    let loud = crate::codec::g711::encode(Law::Mu, &(0..640).map(wave).collect::<Vec<i16>>());
    for starves in [false, true] {
        let (mut playout, one) = (playout(), UtteranceId(1));
        playout.play(one, &mu(loud[..if starves { 320 } else { 640 }].to_vec()));
        playout.take();
        if starves {
            playout.take();
            assert!(playout.take().is_some() && playout.take().is_none());
            playout.play(one, &mu(loud[320..].to_vec()));
        } else {
            playout.pause(Tail::Fade);
            playout.take();
            playout.resume();
        }
        let samples = crate::codec::g711::decode(Law::Mu, &bytes(playout.take()));
        assert!(samples[..10].iter().all(|sample| sample.abs() < 100), "{starves}: {:?}", &samples[..10]);
    }
}

/// An utterance begins by itself, also behind one that starved and was finished only then.
#[test]
fn a_beginning_behind_one_that_starved_passes_untouched() {
    let (mut playout, one, two) = (playout(), UtteranceId(1), UtteranceId(2));
    playout.play(one, &mu(vec![0x20; 160]));
    playout.take();
    assert!(playout.take().is_some() && playout.take().is_none());
    playout.finish(one);
    playout.play(two, &mu(vec![0x20; 320]));
    assert_eq!(bytes(playout.take()), [0x20; 160]);
}

/// Also where only a part of its first frame is there right behind the one before.
#[test]
fn a_beginning_in_pieces_behind_one_that_ended_passes_untouched() {
    let (mut playout, one, two) = (playout(), UtteranceId(1), UtteranceId(2));
    playout.play(one, &mu(vec![0x20; 160]));
    playout.finish(one);
    playout.take();
    playout.play(two, &mu(vec![0x20; 100]));
    assert_eq!(playout.take(), None);
    playout.play(two, &mu(vec![0x20; 300]));
    assert_eq!(bytes(playout.take()), [0x20; 160]);
}

/// More of an utterance that another has followed already: its end is elsewhere then, and what began to fade comes back.
#[test]
fn an_end_that_was_not_the_end_is_forgotten() {
    let loud = |count| crate::codec::g711::encode(Law::Mu, &vec![8_000; count]);
    for recoded in [false, true] {
        let (mut playout, one, two) = (playout(), UtteranceId(1), UtteranceId(2));
        playout.play(one, &mu(loud(200)));
        playout.play(two, &mu(loud(160)));
        let mut line = bytes(playout.take()); // the fade has begun
        playout.play(one, &mu(loud(960)));
        if recoded {
            playout.renegotiate(Codec::Pcma, PTIME);
            playout.renegotiate(Codec::Pcmu, PTIME);
        }
        line.extend(std::iter::from_fn(|| playout.take()).flat_map(|taken| bytes(Some(taken))));
        assert!(steepest(&line[..1_280]) <= 512, "{}", steepest(&line[..1_280]));
        let samples = crate::codec::g711::decode(Law::Mu, &line);
        assert!(samples[480..960].iter().all(|sample| (7_800..8_200).contains(sample)), "{:?}", &samples[400..960]);
    }
}

/// The rest of what is to be sent.
fn rest(playout: &mut Playout) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| playout.take()).map(|taken| bytes(Some(taken))).collect()
}

#[test]
fn a_cut_fades_for_20_ms_whatever_the_packet_time_is() {
    for (millis, frames) in [(10, 2), (20, 1), (30, 1), (60, 1)] {
        let ptime = Duration::from_millis(millis);
        let (mut playout, one) = (Playout::new(Codec::Pcmu, ptime, BOUND), UtteranceId(1));
        playout.play(one, &mu(crate::codec::g711::encode(Law::Mu, &[8_000; 1_600])));
        let before = bytes(playout.take());
        assert_eq!(playout.cut(Tail::Fade).map(|heard| heard.played), Some(ptime + Duration::from_millis(20)));
        let fade = rest(&mut playout);
        assert!(fade.len() == frames && fade.iter().all(|frame| frame.len() == before.len()), "{millis} ms");
        let line = [before.clone(), fade.concat()].concat();
        assert!(steepest(&line) <= 512, "{millis} ms: {}", steepest(&line));
        let half = crate::codec::g711::decode(Law::Mu, &line)[before.len() + 80];
        assert!((3_500..4_500).contains(&half), "{millis} ms: {half} after 10 ms");
    }
}

/// Who delivers just in time leaves nothing to fade: it is made of what was heard last, and no sample counts twice.
#[test]
fn a_cut_where_nothing_waits_fades_as_well_and_counts_nothing_more() {
    for (millis, length) in [(10, 240), (20, 320), (60, 960)] {
        for pauses in [false, true] {
            let ptime = Duration::from_millis(millis);
            let (mut playout, one) = (Playout::new(Codec::Pcmu, ptime, BOUND), UtteranceId(1));
            let wave = |n: usize| ((n as f64 * 200.0 * std::f64::consts::TAU / 8_000.0).cos() * 4_000.0) as i16;
            let samples: Vec<i16> = (0..SampleRate::HZ_8000.samples_in(ptime)).map(wave).collect();
            playout.play(one, &mu(crate::codec::g711::encode(Law::Mu, &samples)));
            let mut line = bytes(playout.take());
            let before = Heard { utterance: one, played: ptime, queued: ptime };
            if pauses {
                playout.pause(Tail::Fade);
            } else {
                assert_eq!(playout.cut(Tail::Fade), Some(before));
            }
            line.extend(rest(&mut playout).concat());
            assert_eq!(line.len(), length, "{millis} ms");
            assert!(steepest(&line) <= 1_024, "{millis} ms: {}", steepest(&line));
            assert_eq!((playout.heard(one), playout.queued()), (Some(before), Duration::ZERO));
        }
    }
}

/// Nor is it a click where a few samples wait.
#[test]
fn a_cut_where_little_waits_fades_for_20_ms_as_well_and_counts_what_waited() {
    let loud = |count| crate::codec::g711::encode(Law::Mu, &vec![8_000; count]);
    for (waits, ducked) in [1, 40, 159].into_iter().flat_map(|waits| [(waits, false), (waits, true)]) {
        let (mut playout, one) = (playout(), UtteranceId(1));
        playout.play(one, &mu(loud(640 + waits)));
        if ducked {
            playout.duck();
        }
        let mut line: Vec<u8> = (0..4).flat_map(|_| bytes(playout.take())).collect();
        let played = SampleRate::HZ_8000.duration_of(640 + waits);
        assert_eq!(playout.cut(Tail::Fade).map(|heard| heard.played), Some(played));
        line.extend(rest(&mut playout).concat());
        assert_eq!(line.len(), 800);
        assert!(steepest(&line) <= 512, "{waits}, {ducked}: {}", steepest(&line));
        let (before, half) = (crate::codec::g711::decode(Law::Mu, &line)[639], 640 + 80);
        let half = f64::from(crate::codec::g711::decode(Law::Mu, &line)[half]) / f64::from(before);
        assert!((0.45..0.55).contains(&half), "{waits}, {ducked}: {half} after 10 ms");
    }
}

#[test]
fn a_pause_that_ends_in_a_cut_is_over() {
    let (mut playout, one, two) = (playout(), UtteranceId(1), UtteranceId(2));
    playout.play(one, &mu(vec![0x10; 800]));
    playout.take();
    playout.pause(Tail::Fade);
    let played = Duration::from_millis(40);
    assert_eq!(playout.cut(Tail::Fade), Some(Heard { utterance: one, played, queued: Duration::from_millis(100) }));
    assert!(playout.take().is_some(), "the fade that counts as heard is still sent");
    assert_eq!(playout.take(), None);
    playout.play(two, &mu(vec![0x10; 800]));
    assert_eq!(bytes(playout.take()), [0x10; 160]);
}

#[test]
fn of_what_has_not_begun_nothing_is_heard_when_it_is_cut_or_paused_right_behind_another() {
    let between = || {
        let (mut playout, one, two) = (playout(), UtteranceId(1), UtteranceId(2));
        playout.play(one, &mu(vec![0x10; 160]));
        playout.finish(one);
        playout.play(two, &mu(vec![0x10; 320]));
        assert_eq!(playout.take().map(|taken| taken.utterance), Some(one));
        playout
    };
    let (mut cut, mut paused) = (between(), between());
    let heard = Heard { utterance: UtteranceId(2), played: Duration::ZERO, queued: Duration::from_millis(40) };
    assert_eq!((cut.cut(Tail::Fade), cut.take()), (Some(heard), None));
    paused.pause(Tail::Fade);
    assert_eq!((paused.take(), paused.heard(UtteranceId(2))), (None, Some(heard)));
    paused.resume();
    let first = paused.take();
    assert_eq!(first.as_ref().map(|taken| taken.first), Some(true), "its beginning is told when it begins");
    assert_eq!(bytes(first), [0x10; 160]);
}

#[test]
fn the_bound_refuses_the_newest() {
    let mut playout = Playout::new(Codec::Pcmu, PTIME, Duration::from_millis(100));
    for n in 0..10 {
        playout.play(UtteranceId(1), &mu(vec![n; 160]));
    }
    assert_eq!((playout.queued(), playout.dropped()), (Duration::from_millis(100), Duration::from_millis(100)));
    assert_eq!(playout.overflowed(), playout.dropped());
    assert_eq!(bytes(playout.take()), [0; 160]);
}

/// There is room again with every frame that is taken: a piece of whatever comes at that moment would be babble.
#[test]
fn an_utterance_ends_where_it_did_not_fit_and_the_next_has_room_again() {
    let ms = Duration::from_millis;
    let (mut playout, one, two) = (Playout::new(Codec::Pcmu, PTIME, ms(100)), UtteranceId(1), UtteranceId(2));
    let loud = |count| crate::codec::g711::encode(Law::Mu, &vec![8_000; count]);
    playout.play(one, &mu(loud(1_000)));
    let mut line = Vec::new();
    for _ in 0..5 {
        line.extend(bytes(playout.take()));
        playout.play(one, &mu(loud(160)));
    }
    assert_eq!((playout.take(), playout.heard(one).map(|heard| heard.queued)), (None, Some(ms(100))));
    assert_eq!((playout.dropped(), playout.overflowed()), (ms(125), ms(125)), "25 ms, and 20 five times");
    assert!(steepest(&line) <= 512, "it fades: {}", steepest(&line));
    playout.play(two, &mu(vec![0x20; 320]));
    assert_eq!(bytes(playout.take()), [0x20; 160]);
    let heard = Heard { utterance: one, played: ms(100), queued: ms(100) };
    assert_eq!(ended(&mut playout), [heard]);
}

#[test]
fn of_what_did_not_fit_nothing_comes_out_of_a_filter_at_the_end() {
    let ms = Duration::from_millis;
    let (mut playout, one) = (Playout::new(Codec::Pcmu, PTIME, ms(100)), UtteranceId(1));
    let wide = |count| Audio::Pcm(Frame { rate: SampleRate::HZ_24000, samples: vec![3_000; count] });
    playout.play(one, &wide(3_000));
    playout.play(one, &wide(480));
    playout.finish(one);
    assert_eq!(playout.heard(one).map(|heard| heard.queued), Some(ms(100)));
}

#[test]
fn another_rate_is_resampled_and_keeps_its_length() {
    let (mut playout, one) = (playout(), UtteranceId(1));
    for _ in 0..50 {
        let frame = Frame { rate: SampleRate::HZ_24000, samples: vec![3_000; 480] };
        playout.play(one, &Audio::Pcm(frame));
    }
    playout.finish(one);
    let queued = playout.heard(one).expect("queued").queued;
    assert!(queued.abs_diff(Duration::from_secs(1)) <= Duration::from_millis(10), "{queued:?}");
}

#[test]
fn a_change_of_codec_keeps_what_waits_and_the_count() {
    let (mut playout, one) = (playout(), UtteranceId(1));
    playout.play(one, &mu(vec![0x20; 1_600]));
    playout.take();
    for codec in [Codec::Pcma, Codec::Opus, Codec::Pcmu] {
        playout.renegotiate(codec, PTIME);
        let heard = playout.heard(one).expect("queued");
        assert_eq!(heard.played, PTIME, "{codec}");
        assert!(heard.queued.abs_diff(Duration::from_millis(200)) <= Duration::from_millis(3), "{codec} {heard:?}");
    }
    playout.finish(one);
    let frames = (0..).take_while(|_| playout.take().is_some()).count();
    assert!((9..=10).contains(&frames), "{frames}");
}

/// The samples of the next frame, as the caller's phone plays them.
fn played(taken: Taken) -> (SampleRate, Vec<i16>) {
    match taken.audio {
        Audio::G711 { law, bytes } => (SampleRate::HZ_8000, crate::codec::g711::decode(law, &bytes)),
        Audio::Pcm(frame) => (frame.rate, frame.samples),
    }
}

/// What filters hold is dropped neither by the change nor by what comes next, and comes before that. A constant signal
/// tells: filters smear it, and keep its sum.
#[test]
fn a_change_of_codec_in_mid_utterance_loses_nothing_and_keeps_the_order() {
    let level = crate::codec::g711::decode(Law::Mu, &[0xa0])[0];
    let wide = |count: usize| Audio::Pcm(Frame { rate: SampleRate::HZ_24000, samples: vec![level; count] });
    let narrow = |count: usize| mu(crate::codec::g711::encode(Law::Mu, &vec![level; count]));
    // Deltas of about 20 ms, which are no whole blocks.
    for (delta, before, after) in [
        (wide(500), Codec::G722, Codec::Pcmu),
        (wide(500), Codec::Pcmu, Codec::G722),
        (narrow(167), Codec::G722, Codec::Pcmu),
        (narrow(167), Codec::Pcmu, Codec::G722),
    ] {
        let what = format!("{:?} {before} {after}", delta.format());
        let (mut playout, one) = (Playout::new(before, PTIME, BOUND), UtteranceId(1));
        (0..4).for_each(|_| playout.play(one, &delta));
        let (rate, samples) = played(playout.take().expect("a frame"));
        let area = |samples: &[i16]| samples.iter().map(|sample| f64::from(*sample)).sum::<f64>() / f64::from(level);
        let mut heard = area(&samples) / f64::from(rate.hz());
        playout.renegotiate(after, PTIME);
        (0..6).for_each(|_| playout.play(one, &delta));
        // It ends in silence, or its end would fade.
        playout.play(one, &mu(vec![0xff; 480]));
        playout.finish(one);
        let rate = after.sample_rate();
        let line: Vec<i16> = std::iter::from_fn(|| playout.take()).flat_map(|taken| played(taken).1).collect();
        heard += area(&line) / f64::from(rate.hz());
        let said = delta.duration().as_secs_f64() * 10.0;
        assert!((heard - said).abs() < 0.000_5, "{what}: {heard:.4} s of {said:.4}");
        let loud: Vec<usize> = (0..line.len()).filter(|n| line[*n] > level / 2).collect();
        let gap = loud.windows(2).map(|pair| pair[1] - pair[0]).max().expect("sound");
        assert!(rate.duration_of(gap) < Duration::from_millis(1), "{what}: silent for {:?}", rate.duration_of(gap));
    }
}

/// A filter is silent for 2.5 ms when it begins.
#[test]
fn another_rate_in_mid_utterance_makes_no_hole() {
    let [narrow, line, wide] = [SampleRate::HZ_8000, SampleRate::HZ_16000, SampleRate::HZ_24000];
    for (first, then) in [(line, wide), (line, narrow), (wide, narrow), (wide, line)] {
        let (mut playout, one) = (Playout::new(Codec::G722, PTIME, BOUND), UtteranceId(1));
        for rate in [first, then] {
            let samples = vec![3_000; rate.samples_in(Duration::from_millis(100))];
            playout.play(one, &Audio::Pcm(Frame { rate, samples }));
        }
        playout.finish(one);
        let heard: Vec<i16> = std::iter::from_fn(|| playout.take()).flat_map(|taken| played(taken).1).collect();
        let loud: Vec<usize> = (0..heard.len()).filter(|n| heard[*n] > 1_500).collect();
        let gap = loud.windows(2).map(|pair| pair[1] - pair[0]).max().expect("sound");
        assert!(gap <= 8, "{first:?}, then {then:?}: {gap} samples of silence");
        let queued = playout.heard(one).expect("it was heard").queued;
        assert!(queued.abs_diff(Duration::from_millis(200)) <= Duration::from_millis(3), "{queued:?}");
    }
}

/// Whatever is queued is heard, waits, was cut away, or was refused: no sample vanishes and none is made up.
#[test]
fn samples_are_conserved() {
    for seed in 0..500 {
        let mut random = Random::new(seed);
        let mut playout = Playout::new(Codec::Pcmu, PTIME, Duration::from_secs(2));
        let (mut offered, mut taken, mut cut_away) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        let mut heard: Vec<Heard> = Vec::new();
        let mut utterance = 0;
        for _ in 0..300 {
            match random.below(20) {
                0..=9 => taken += playout.take().map_or(Duration::ZERO, |_| PTIME),
                10..=16 => {
                    let audio = mu(vec![0x20; random.below(1_000) as usize]);
                    offered += audio.duration();
                    playout.play(UtteranceId(utterance), &audio);
                }
                17 => playout.finish(UtteranceId(utterance)),
                18 if random.chance(50) => utterance += 1,
                18 if random.chance(50) => playout.pause(Tail::Fade),
                18 => playout.resume(),
                _ => {
                    let waiting = playout.queued();
                    let now = playout.cut(if random.chance(50) { Tail::Fade } else { Tail::Nothing });
                    cut_away += waiting;
                    heard.extend(now);
                }
            }
            assert!(playout.queued() <= Duration::from_secs(2));
        }
        let all: Vec<Heard> = (0..=utterance).filter_map(|id| playout.heard(UtteranceId(id))).collect();
        let queued: Duration = all.iter().map(|h| h.queued).sum();
        let played: Duration = all.iter().map(|h| h.played).sum();
        assert_eq!(offered, queued + playout.dropped(), "seed {seed}: offered = queued + refused");
        assert!(played + playout.queued() <= queued && played + cut_away + playout.queued() >= queued, "seed {seed}");
        assert!(played <= taken + PTIME, "seed {seed}: what was heard was sent, but for one fade to come");
        assert!(heard.iter().all(|h| all.contains(h)), "seed {seed}: what a cut told stays true");
    }
}
