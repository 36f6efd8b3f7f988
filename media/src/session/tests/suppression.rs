//! Noise that the provider does not hear.
use super::*;

/// Two seconds of hiss, and what goes up of it.
fn heard(suppress_noise: bool, uplink: AudioFormat) -> (Vec<i16>, Vec<i16>) {
    let mut call = Call::with(Config { suppress_noise, ..config(uplink, vad::Engine::Off) });
    let mut random = Random::new(5);
    let noise: Vec<i16> = (0..16_000).map(|_| random.below(800) as i16 - 400).collect();
    noise.chunks(160).for_each(|frame| call.phone_sends(&g711::encode(Law::Mu, frame)));
    let up = match uplink {
        AudioFormat::G711(law) => g711::decode(law, &call.heard_bytes()),
        AudioFormat::Pcm(rate) => call.heard_samples(rate),
    };
    (noise, up)
}

fn loudness(samples: &[i16]) -> f64 {
    let half = samples.split_at(samples.len() / 2).1; // the network takes a moment to know the noise
    (half.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / half.len() as f64).sqrt()
}

#[test]
fn noise_is_damped_for_the_provider_where_that_is_wanted() {
    for uplink in [AudioFormat::G711(Law::Mu), AudioFormat::G711(Law::A), AudioFormat::Pcm(SampleRate::HZ_24000)] {
        let (noise, up) = heard(true, uplink);
        let damped = loudness(&noise) / loudness(&up).max(1.0);
        assert!(damped > 4.0, "{uplink:?}: by {damped:.1}");
        let (noise, up) = heard(false, uplink);
        let damped = loudness(&noise) / loudness(&up);
        assert!((0.9..1.1).contains(&damped) || uplink.rate() != SampleRate::HZ_8000, "{uplink:?}: by {damped:.1}");
    }
}

#[test]
fn as_much_goes_up_as_comes_with_noise_suppressed_and_another_provider_hears_the_same() {
    let mut call = Call::with(Config { suppress_noise: true, ..config(AudioFormat::G711(Law::Mu), vad::Engine::Off) });
    (0..50).for_each(|frame| call.phone_sends(&tone_frame(frame)));
    assert_eq!(call.heard_bytes().len(), 50 * 160);
    call.session.feed(AudioFormat::Pcm(SampleRate::HZ_16000));
    (50..100).for_each(|frame| call.phone_sends(&tone_frame(frame)));
    assert_eq!(call.heard_samples(SampleRate::HZ_16000).len(), 50 * 320);
}
