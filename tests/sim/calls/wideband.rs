//! A call in wideband or more: all of its band reaches the provider, and all that the provider says reaches the phone.
use super::*;
use base64_simd::STANDARD;
use media::{
    Frame, Law, SampleRate,
    codec::{Codec, Decoder, Encoder, g711, opus},
};
use providers::{Job, JobDone, JobId, JobOutput, local};
use ramal::call::{Rung, Settings, Setup, Standby};
use serde_json::{Value, json};
use std::f64::consts::TAU;

/// Where only wideband has anything.
const HIGH: [f64; 3] = [3_700.0, 5_000.0, 6_600.0];
/// In wideband, and where only super-wideband has anything.
const HIGHEST: [f64; 2] = [5_000.0, 9_000.0];
const MIDDLE: f64 = 700.0;

/// A phone with one codec at a time, and the provider behind Ramal.
struct Wide {
    world: World,
    codec: Codec,
    encoder: Encoder,
    sequence: u16,
    /// RTP payloads of ours.
    payloads: Vec<Vec<u8>>,
}

impl Wide {
    fn answered(codec: Codec) -> Self {
        Self::invited(vec![codec], Some(description(codec)), codec)
    }

    /// With an offer the call is answered; without one Ramal has made its own, of these codecs, and waits for the ACK.
    fn invited(codecs: Vec<Codec>, offer: Option<Vec<u8>>, codec: Codec) -> Self {
        let mut wide = Self::ringing(codecs, offer, codec, |_| ());
        wide.connected();
        wide
    }

    /// Its provider is openai, and ready.
    fn connected(&mut self) {
        self.world.call.handle_connected(self.world.now);
        self.world.provider(vec![Model::created()]);
        self.world.provider(vec![Model::updated()]);
    }

    fn ringing(codecs: Vec<Codec>, offer: Option<Vec<u8>>, codec: Codec, change: impl FnOnce(&mut Setup)) -> Self {
        let now = Instant::now();
        let invite = (LEG, model::invite(offer));
        let mut setup = model::setup(model::secretary(|_| ()), invite, "127.0.0.1:20000".parse().unwrap(), 7);
        setup.settings = Settings { codecs, ..setup.settings };
        // Both say the same chord at once: that the phone's is no echo, nobody can hear.
        setup.settings.listening.echo = media::echo::Policy::Pass;
        change(&mut setup);
        let world = World::of(Call::new(setup, now), now);
        let encoder = Encoder::new(codec, opus::Receiver::default()).unwrap();
        Self { world, codec, encoder, sequence: 0, payloads: Vec::new() }
    }

    /// The phone goes on in another codec.
    fn turn_to(&mut self, codec: Codec) {
        let sdp = Some(description(codec).into());
        self.world.sip(sip::Event::Offer { leg: LEG, method: sip::OfferMethod::Invite, sdp });
        let answer = self.world.commands.last();
        assert!(matches!(answer, Some(Command::AcceptOffer { .. })), "{answer:?}");
        (self.codec, self.encoder) = (codec, Encoder::new(codec, opus::Receiver::default()).unwrap());
    }

    fn rest(&mut self, length: Duration) {
        self.speak(&vec![0; self.codec.sample_rate().samples_in(length)]);
    }

    /// The phone sends these samples, 20 ms at a time, and hears what comes meanwhile.
    fn speak(&mut self, samples: &[i16]) {
        for frame in samples.chunks(self.codec.sample_rate().samples_in(PTIME)) {
            let payload = self.encoder.encode(frame).unwrap();
            let mut packet = vec![0x80, payload_type(self.codec)];
            packet.extend(self.sequence.to_be_bytes());
            packet.extend((u32::from(self.sequence) * self.codec.ticks_in(PTIME)).to_be_bytes());
            packet.extend(7_u32.to_be_bytes());
            packet.extend(payload);
            self.sequence += 1;
            self.world.now += PTIME;
            let now = self.world.now;
            self.world.call.handle_rtp(model::caller(), &packet, now);
            self.world.call.handle_timeout(now);
            self.payloads.extend(
                std::iter::from_fn(|| self.world.call.poll_transmit())
                    .filter(|transmit| transmit.channel == media::Channel::Rtp)
                    .map(|transmit| transmit.bytes[12..].to_vec()),
            );
            self.world.drain();
        }
    }

    /// The provider says these samples, at its 24 kHz.
    fn model_says(&mut self, samples: &[i16]) {
        let said: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let mut messages = self.world.model.begin();
        messages.extend(self.world.model.says(&said));
        self.world.provider(messages);
    }

    /// What the provider was sent, in its format.
    fn appended(&self) -> Vec<u8> {
        let appends = sent(&self.world.outgoing, "input_audio_buffer.append");
        appends.iter().flat_map(|it| STANDARD.decode_to_vec(it["audio"].as_str().unwrap()).unwrap()).collect()
    }

    /// What the provider heard, in PCM.
    fn heard(&self) -> Vec<i16> {
        self.appended().as_chunks().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
    }

    /// What the phone hears of what was sent since the payloads were last looked at.
    fn played(&self) -> Vec<i16> {
        let mut decoder = Decoder::new(self.codec).unwrap();
        self.payloads.iter().flat_map(|payload| decoder.decode(payload).unwrap()).collect()
    }

    /// The speech engine says the chord for two seconds, whatever it is to say, as wide as it is asked to: how wide,
    /// for each sentence.
    fn chimes(&mut self) -> Vec<SampleRate> {
        let mut jobs: Vec<(JobId, Job)> = Vec::new();
        for outgoing in std::mem::take(&mut self.world.outgoing) {
            if let Outgoing::Job(id, job) = outgoing {
                jobs.push((id, job));
            }
        }
        jobs.extend(std::iter::from_fn(|| self.world.call.poll_job()));
        let mut rates = Vec::new();
        for (id, job) in jobs {
            let Job::Speak { rate, .. } = job else { continue };
            rates.push(rate);
            let result = Ok(JobOutput::Speech(Frame { rate, samples: chord(rate, 2) }));
            self.world.call.handle_provider(Incoming::Job(JobDone { id, result }), self.world.now);
        }
        self.world.drain();
        rates
    }

    fn format(&self) -> Value {
        sent(&self.world.outgoing, "session.update")[0]["session"]["audio"].clone()
    }
}

fn payload_type(codec: Codec) -> u8 {
    codec.static_payload_type().unwrap_or(96)
}

/// The phone's offer, or answer, of this codec alone.
fn description(codec: Codec) -> Vec<u8> {
    let clock = match codec.rtpmap_channels() {
        1 => codec.clock_rate().to_string(),
        channels => format!("{}/{channels}", codec.clock_rate()),
    };
    let (port, number, name) = (model::caller().port(), payload_type(codec), codec.encoding_name());
    format!(
        "v=0\r\no=pbx 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP {number}\r\na=rtpmap:{number} {name}/{clock}\r\na=ptime:20\r\n"
    )
    .into_bytes()
}

/// A tone in the middle of the telephone band.
fn tone(rate: SampleRate, length: Duration) -> Vec<i16> {
    let wave = |n: usize| (8_000.0 * (TAU * MIDDLE * n as f64 / f64::from(rate.hz())).sin()) as i16;
    (0..rate.samples_in(length)).map(wave).collect()
}

/// Tones of the same loudness.
fn chord(rate: SampleRate, seconds: usize) -> Vec<i16> {
    tones(rate, &HIGH, seconds)
}

fn tones(rate: SampleRate, hertz: &[f64], seconds: usize) -> Vec<i16> {
    let wave = |n: usize| hertz.iter().map(|hz| (TAU * hz * n as f64 / f64::from(rate.hz())).sin()).sum::<f64>();
    (0..rate.hz() as usize * seconds).map(|n| (3_000.0 * wave(n)) as i16).collect()
}

/// Amplitude at `hz` over the second that begins half a second in.
fn amplitude(samples: &[i16], rate: SampleRate, hz: f64) -> f64 {
    let second = &samples[rate.hz() as usize / 2..][..rate.hz() as usize];
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in second.iter().enumerate() {
        let angle = TAU * hz * n as f64 / f64::from(rate.hz());
        re += f64::from(*sample) * angle.cos();
        im += f64::from(*sample) * angle.sin();
    }
    2.0 * re.hypot(im) / second.len() as f64
}

#[test]
fn wideband_is_wideband_at_the_provider_and_at_the_phone() {
    for codec in [Codec::G722, Codec::L16Wide, Codec::Opus] {
        let mut wide = Wide::answered(codec);
        let pcm = json!({"type": "audio/pcm", "rate": 24_000});
        assert_eq!((&wide.format()["input"]["format"], &wide.format()["output"]["format"]), (&pcm, &pcm), "{codec}");
        // The model speaks the same chord, of which the phone hears all.
        wide.model_says(&chord(SampleRate::HZ_24000, 2));
        wide.speak(&chord(codec.sample_rate(), 2));
        let played = wide.played();
        for hz in HIGH {
            // Opus at 32 kbit/s is for voices: of three tones it keeps the places rather than the sizes.
            let least = if codec == Codec::Opus { 1_000.0 } else { 2_400.0 };
            let up = amplitude(&wide.heard(), SampleRate::HZ_24000, hz);
            assert!(up > least, "{codec}: {hz} Hz reaches the provider with {up:.0}");
            let down = amplitude(&played, codec.sample_rate(), hz);
            assert!(down > least, "{codec}: {hz} Hz reaches the phone with {down:.0}");
        }
    }
}

/// A provider at 24 kHz hears all of a phone in Opus, and is heard as far as the phone plays it (RFC 7587 §6.1).
#[test]
fn super_wideband_is_that_at_the_provider_and_at_a_phone_that_plays_it() {
    let rate = Codec::Opus.sample_rate();
    for (plays, hears) in [("", true), ("maxplaybackrate=48000", true), ("maxplaybackrate=16000;useinbandfec=1", false)]
    {
        let mut offer = description(Codec::Opus);
        if !plays.is_empty() {
            offer.extend(format!("a=fmtp:{} {plays}\r\n", payload_type(Codec::Opus)).bytes());
        }
        let mut wide = Wide::invited(vec![Codec::Opus], Some(offer), Codec::Opus);
        wide.model_says(&tones(SampleRate::HZ_24000, &HIGHEST, 2));
        wide.speak(&tones(rate, &HIGHEST, 2));
        let (heard, played) = (wide.heard(), wide.played());
        for hz in HIGHEST {
            let up = amplitude(&heard, SampleRate::HZ_24000, hz);
            assert!(up > 1_000.0, "{plays:?}: {hz} Hz reaches the provider with {up:.0}");
        }
        let [wideband, above] = HIGHEST.map(|hz| amplitude(&played, rate, hz));
        assert!(wideband > 1_000.0, "{plays:?}: what either plays reaches the phone with {wideband:.0}");
        assert_eq!(above > 1_000.0, hears, "{plays:?}: {above:.0}");
        assert!(hears || above < 150.0, "{plays:?}: {above:.0}");
    }
}

#[test]
fn the_built_in_provider_is_as_wide_as_the_call() {
    for codec in Codec::ALL {
        let mut wide = Wide::ringing(vec![codec], Some(description(codec)), codec, |setup| {
            let config = Box::new(local::Config::new(local::Language::EnUs, local::Hearing::Words));
            setup.rung = Rung::Local { config, engine: String::new() };
        });
        wide.world.call.handle_connected(wide.world.now);
        wide.world.drain();
        let (asked, rate) = (wide.chimes(), codec.sample_rate().min(SampleRate::HZ_16000));
        assert!(!asked.is_empty() && asked.iter().all(|asked| *asked == rate), "{codec}: {asked:?}");
        if rate == SampleRate::HZ_8000 {
            continue;
        }
        wide.rest(Duration::from_secs(2));
        let played = wide.played();
        for hz in HIGH {
            // As above.
            let least = if codec == Codec::Opus { 1_000.0 } else { 2_400.0 };
            let down = amplitude(&played, codec.sample_rate(), hz);
            assert!(down > least, "{codec}: {hz} Hz reaches the phone with {down:.0}");
        }
    }
}

#[test]
fn a_voice_that_stands_by_is_as_wide_as_the_call() {
    for codec in [Codec::Pcmu, Codec::G722] {
        let mut wide = Wide::ringing(vec![codec], Some(description(codec)), codec, |setup| {
            let (language, announcement) = (local::Language::EnUs, None);
            setup.standby = Some(Standby(local::Notice { language, voice: language, announcement }));
            setup.below = vec![setup.rung.clone()];
        });
        wide.connected();
        wide.rest(Duration::from_millis(100));
        wide.world.breaks();
        wide.rest(Duration::from_millis(1_600));
        assert_eq!(wide.chimes(), [codec.sample_rate()], "{codec}: one moment");
    }
}

/// No provider is known to change its format in mid-conversation soundly. The conversation goes on in the one it began
/// with: narrow, but in pitch, and as long as it was.
#[test]
fn a_call_that_turns_wide_goes_on_with_its_provider_in_the_format_they_began_with() {
    let length = Duration::from_secs(2);
    let mut wide = Wide::invited(vec![Codec::Pcmu, Codec::G722], Some(description(Codec::Pcmu)), Codec::Pcmu);
    // The phone turns to the other codec in the middle of what the model says.
    let said = g711::encode(Law::Mu, &tone(SampleRate::HZ_8000, length + Duration::from_millis(500)));
    let mut messages = wide.world.model.begin();
    messages.extend(wide.world.model.says(&said));
    messages.extend(wide.world.model.finish(None));
    wide.world.provider(messages);
    wide.rest(Duration::from_millis(500));
    wide.turn_to(Codec::G722);
    wide.payloads.clear();
    wide.rest(length + Duration::from_millis(500));
    let (played, rate) = (wide.played(), Codec::G722.sample_rate());
    let level = amplitude(&played, rate, MIDDLE);
    assert!((7_000.0..9_000.0).contains(&level), "the phone hears the tone with {level:.0}");
    let last = played.iter().rposition(|sample| sample.unsigned_abs() > 1_000).unwrap();
    assert!(rate.duration_of(last).abs_diff(length) < Duration::from_millis(60), "{:?}", rate.duration_of(last));
    let before = wide.appended().len();
    wide.speak(&tone(rate, length));
    let heard = g711::decode(Law::Mu, &wide.appended()[before..]);
    let level = amplitude(&heard, SampleRate::HZ_8000, MIDDLE);
    assert!((7_000.0..9_000.0).contains(&level), "the provider hears the tone with {level:.0}");
    let heard = SampleRate::HZ_8000.duration_of(heard.len());
    assert!(heard.abs_diff(length) < Duration::from_millis(100), "{heard:?}");
    let narrow = json!({"type": "audio/pcmu"});
    assert_eq!((&wide.format()["input"]["format"], &wide.format()["output"]["format"]), (&narrow, &narrow));
    assert_eq!(sent(&wide.world.outgoing, "session.update").len(), 1, "and no other is asked for");
    let connections = wide.world.events.iter().filter(|event| matches!(event, Event::Connect(_)));
    assert_eq!(connections.count(), 1);
}

/// The answer to our offer may be in any codec of it, and the provider is connected before it comes.
#[test]
fn a_call_without_an_offer_is_as_wide_at_the_provider_as_its_answer_though_we_like_a_narrow_codec_better() {
    let length = Duration::from_secs(2);
    for codec in [Codec::G722, Codec::Pcmu] {
        let mut wide = Wide::invited(vec![Codec::Pcmu, Codec::G722], None, codec);
        wide.world.sip(sip::Event::Established { leg: LEG, sdp: Some(description(codec).into()) });
        let pcm = json!({"type": "audio/pcm", "rate": 24_000});
        assert_eq!(wide.format()["input"]["format"], pcm, "{codec}");
        wide.rest(Duration::from_millis(500));
        let before = wide.heard().len();
        let rate = codec.sample_rate();
        let (said, tones, least) = if codec == Codec::G722 {
            (chord(rate, 2), HIGH.to_vec(), 2_400.0)
        } else {
            (tone(rate, length), vec![MIDDLE], 7_000.0)
        };
        wide.speak(&said);
        let heard = wide.heard().split_off(before);
        for hz in tones {
            let level = amplitude(&heard, SampleRate::HZ_24000, hz);
            assert!(level > least, "{codec}: {hz} Hz reaches the provider with {level:.0}");
        }
        let heard = SampleRate::HZ_24000.duration_of(heard.len());
        assert!(heard.abs_diff(length) < Duration::from_millis(100), "{codec}: {heard:?}");
    }
}
