//! What of echo and caller goes up to a provider, which may listen for itself.
use crate::{
    ONSET_MS, THEIRS,
    call::{self, Echo, Outcome},
    ours,
    report::{self, Report},
    sounds::{PER_MS, SPEECH_DB, at_level, mixed, noise, rms, silence, speech},
};
use media::vad;

const PACKET: usize = 20 * PER_MS;
/// Packets in which the way of an echo is still looked for.
const FIRST: usize = 50;
/// A packet of the caller's has voice in it from a tenth of the loudest on (-20 dB).
const VOICED: f32 = 0.1;

pub(crate) fn measure(report: &mut Report) {
    report.section("What of echo and caller goes up", "With `media.echo = \"mute\"`. Echo as above, after 120 ms, in noise at -65 dB. How much weaker \
        it goes up than it came while the caller is silent: four calls of 10 s, all of them and from the second second on, when its way is known. And \
        how many of the caller's voiced packets (within 20 dB of the loudest) were muted, four assistants, eight callers each as loud as they: where she \
        stops for whoever speaks, and where she talks on. The last rows have no echo, and callers who are softer than she: what is muted of them was \
        taken for an echo by chance.");
    report.table(&[
        "echo",
        "echo weaker by",
        "from the second second on",
        "caller muted, she stops",
        "caller muted, she talks on",
    ]);
    for db in [-12.0, -18.0, -24.0, -30.0] {
        let echo = Echo { db, delay_ms: 120 };
        let alone = alone(echo);
        report.row(&[
            format!("{db} dB"),
            weaker(&alone, 0),
            weaker(&alone, FIRST),
            over(Some(echo), 0.0, call::run),
            over(Some(echo), 0.0, call::run_heedless),
        ]);
    }
    for db in [0.0, -6.0, -12.0, -18.0] {
        let name = if db < 0.0 { format!("none, callers at {db} dB") } else { "none".into() };
        let callers = [over(None, db, call::run), over(None, db, call::run_heedless)];
        report.row(&[vec![name, "–".into(), "–".into()], callers.to_vec()].concat());
    }
}

fn alone(echo: Echo) -> Vec<Outcome> {
    let line = noise(-65.0, 10_500, 3);
    ours().iter().map(|ours| call::run(vad::Config::default(), ours, &line, Some(echo))).collect()
}

/// By how much less of the echo's energy went up than came, from this packet on.
fn weaker(outcomes: &[Outcome], from: usize) -> String {
    let packets = || outcomes.iter().flat_map(move |it| it.echo.iter().zip(&it.muted).skip(from));
    let came: f32 = packets().map(|(energy, _)| energy).sum();
    let went: f32 = packets().filter(|(_, muted)| !**muted).map(|(energy, _)| energy).sum();
    if went > 0.0 { format!("{:.1} dB", 10.0 * (came / went).log10()) } else { "all of it".into() }
}

/// How a call is run.
type Run = fn(vad::Config, &[i16], &[i16], Option<Echo>) -> Outcome;

/// How many voiced packets of callers, so much louder than she, went up as silence.
fn over(echo: Option<Echo>, louder: f32, run: Run) -> String {
    let (mut muted, mut voiced) = (0_usize, 0_usize);
    for ours in ours() {
        for theirs in THEIRS {
            let theirs = [silence(ONSET_MS), at_level(&speech(theirs), SPEECH_DB + louder)].concat();
            let line = mixed(&theirs, &noise(-65.0, theirs.len() / PER_MS, 3));
            let outcome = run(vad::Config::default(), &ours, &line, echo);
            let levels: Vec<f32> = theirs.chunks_exact(PACKET).map(rms).collect();
            let audible = levels.iter().copied().fold(0.0, f32::max) * VOICED;
            for (_, silent) in levels.iter().zip(outcome.muted).filter(|(level, _)| **level > audible) {
                voiced += 1;
                muted += usize::from(silent);
            }
        }
    }
    report::share(muted, voiced)
}
