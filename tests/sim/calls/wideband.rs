//! A call in wideband: all of its band reaches the provider, and all that the provider says reaches the phone.
use super::*;
use base64_simd::STANDARD;
use media::{
    SampleRate,
    codec::{Codec, Decoder, Encoder, opus},
};
use ramal::call::Settings;
use serde_json::{Value, json};
use std::f64::consts::TAU;

/// Where only wideband has anything.
const HIGH: [f64; 3] = [3_700.0, 5_000.0, 6_600.0];

/// A phone that offers one wideband codec under payload type 96, and the provider behind Ramal.
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
        let now = Instant::now();
        let clock = match codec.rtpmap_channels() {
            1 => codec.clock_rate().to_string(),
            channels => format!("{}/{channels}", codec.clock_rate()),
        };
        let offer = format!(
            "v=0\r\no=pbx 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio {} RTP/AVP 96\r\na=rtpmap:96 {}/{clock}\r\na=ptime:20\r\n",
            model::caller().port(),
            codec.encoding_name()
        );
        let invite = model::invite(Some(offer.into_bytes()));
        let mut setup = model::setup(model::secretary(|_| ()), (LEG, invite), "127.0.0.1:20000".parse().unwrap(), 7);
        setup.settings = Settings { codecs: vec![codec], ..setup.settings };
        let mut world = World { call: Call::new(setup, now), ..World::ringing(|_| ()) };
        (world.now, world.began) = (now, now);
        world.outgoing.clear();
        world.drain();
        world.call.handle_connected(now);
        world.provider(vec![Model::created()]);
        world.provider(vec![Model::updated()]);
        let encoder = Encoder::new(codec, opus::Receiver::default()).unwrap();
        Self { world, codec, encoder, sequence: 0, payloads: Vec::new() }
    }

    /// The phone sends these samples, 20 ms at a time, and hears what comes meanwhile.
    fn speak(&mut self, samples: &[i16]) {
        for frame in samples.chunks(self.codec.sample_rate().samples_in(PTIME)) {
            let payload = self.encoder.encode(frame).unwrap();
            let mut packet = vec![0x80, 96];
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

    /// What the provider heard.
    fn heard(&self) -> Vec<i16> {
        let appends = sent(&self.world.outgoing, "input_audio_buffer.append");
        let bytes = appends.iter().flat_map(|it| STANDARD.decode_to_vec(it["audio"].as_str().unwrap()).unwrap());
        let bytes: Vec<u8> = bytes.collect();
        bytes.as_chunks().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
    }

    fn format(&self) -> Value {
        sent(&self.world.outgoing, "session.update")[0]["session"]["audio"].clone()
    }
}

/// Tones of the same loudness.
fn chord(rate: SampleRate, seconds: usize) -> Vec<i16> {
    let wave = |n: usize| HIGH.map(|hz| (TAU * hz * n as f64 / f64::from(rate.hz())).sin()).iter().sum::<f64>();
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
        let said: Vec<u8> = chord(SampleRate::HZ_24000, 2).into_iter().flat_map(i16::to_le_bytes).collect();
        let mut messages = wide.world.model.begin();
        messages.extend(wide.world.model.says(&said));
        wide.world.provider(messages);
        wide.speak(&chord(codec.sample_rate(), 2));
        let mut decoder = Decoder::new(codec).unwrap();
        let played: Vec<i16> = wide.payloads.iter().flat_map(|payload| decoder.decode(payload).unwrap()).collect();
        for hz in HIGH {
            // Opus at 24 kbit/s is for voices: of three tones it keeps the places rather than the sizes.
            let least = if codec == Codec::Opus { 1_000.0 } else { 2_400.0 };
            let up = amplitude(&wide.heard(), SampleRate::HZ_24000, hz);
            assert!(up > least, "{codec}: {hz} Hz reaches the provider with {up:.0}");
            let down = amplitude(&played, codec.sample_rate(), hz);
            assert!(down > least, "{codec}: {hz} Hz reaches the phone with {down:.0}");
        }
    }
}
