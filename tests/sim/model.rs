//! A call under test, and the provider it talks with, as the messages of OpenAI's protocol.
use base64_simd::STANDARD;
use chrono::DateTime;
use media::{Law, SampleRate, codec::Codec};
use providers::{Incoming, Outgoing, openai};
use ramal::{
    call::{Call, Rung, Settings, Setup},
    secretary::{Identity, Secretary, SecretaryRow},
};
use serde_json::{Value, json};
use sip::{Body, IncomingInvite, LegId, ListenerId, Transport};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use uuid::Uuid;

/// The leg of every call here.
pub(crate) const LEG: LegId = LegId(1);
/// One packet time.
pub(crate) const PTIME: Duration = Duration::from_millis(20);

/// Where the caller's audio comes from.
pub(crate) fn caller() -> SocketAddr {
    "127.0.0.1:4000".parse().unwrap()
}

/// A secretary who may transfer to `sales` (1001).
pub(crate) fn secretary(change: impl FnOnce(&mut SecretaryRow)) -> Secretary {
    let mut row = SecretaryRow {
        secretary_name: "Reception".into(),
        extension: Some("8000".into()),
        realtime_provider: "openai".into(),
        transfer_rules: Some(r#"[{"name":"sales","destination":"1001"}]"#.into()),
        first_message: Some("Hello".into()),
        max_duration_seconds: Some(120),
        max_turns: Some(20),
        enabled: Some(true),
        ..SecretaryRow::default()
    };
    change(&mut row);
    let identity = Identity {
        secretary_realtime_uuid: Uuid::from_u128(1),
        domain_uuid: Uuid::from_u128(2),
        domain_name: "acme.example".into(),
    };
    Secretary::parse(identity, row).unwrap()
}

/// An offer of PCMU with telephone-event from the caller's address.
pub(crate) fn offer(direction: &str) -> Vec<u8> {
    let port = caller().port();
    format!(
        "v=0\r\no=pbx 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 101\r\n\
         a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\n{direction}"
    )
    .into_bytes()
}

/// An INVITE of the caller.
pub(crate) fn invite(offer: Option<Vec<u8>>) -> IncomingInvite {
    IncomingInvite {
        remote: "127.0.0.1:5060".parse().unwrap(),
        listener: ListenerId(0),
        user: None,
        transport: Transport::Udp,
        call_id: "walk".into(),
        request_user: "8000".into(),
        request_host: "127.0.0.1".into(),
        from_user: "5511999".into(),
        from_display: String::new(),
        to_user: "8000".into(),
        x_headers: Vec::new(),
        offer: offer.map(Body::from),
    }
}

/// A call whose INVITE came just now.
pub(crate) fn call(secretary: Secretary, seed: u64, now: Instant) -> Call {
    let invite = invite(Some(offer("")));
    Call::new(setup(secretary, (LEG, invite), "127.0.0.1:20000".parse().unwrap(), seed), now)
}

/// What a call to this secretary is made of, with the provider as her ladder would have it.
pub(crate) fn setup(
    secretary: Secretary,
    (leg, invite): (LegId, IncomingInvite),
    local: SocketAddr,
    seed: u64,
) -> Setup {
    let mut config = openai::Config::new("sk-test", openai::Format::G711(Law::Mu));
    config.first_message = secretary.first_message.clone();
    config.tools = ramal::call::tools(&secretary);
    Setup {
        leg,
        invite,
        secretary,
        rung: Rung::OpenAi(Box::new(config)),
        below: Vec::new(),
        standby: None,
        settings: Settings { codecs: vec![Codec::Pcmu, Codec::Pcma], ..Settings::default() },
        local: local.into(),
        seed,
        ice: media::ice::Secret::new([7; 32]),
        srtp: None,
        conversation_uuid: Uuid::from_u128(u128::from(seed)),
        started_at: DateTime::from_timestamp(1_795_700_000, 0).unwrap(),
    }
}

/// The caller's packets: a recorded sentence, over and over, or digital silence.
#[derive(Debug)]
pub(crate) struct Microphone {
    sequence: u16,
    speech: Vec<i16>,
    at: usize,
}

impl Default for Microphone {
    fn default() -> Self {
        let recording = include_bytes!("../fixtures/speech/en-piper-joe-0.wav");
        let mut speech = ramal::wav::narrowband(recording.as_slice(), "fixture").unwrap().samples;
        let onset = speech.iter().position(|sample| sample.unsigned_abs() > 1_000).unwrap();
        let end = speech.iter().rposition(|sample| sample.unsigned_abs() > 1_000).unwrap();
        speech.truncate(end);
        speech.drain(..onset);
        Self { sequence: 0, speech, at: 0 }
    }
}

impl Microphone {
    /// The same sentence, softly, in noise at -28 dB.
    pub(crate) fn in_noise() -> Self {
        let mut microphone = Self::default();
        let mut random = 7_u32;
        for sample in &mut microphone.speech {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = ((random >> 8) as f32 / (1 << 23) as f32 - 1.0) * 2_260.0;
            *sample = (*sample / 2).saturating_add(noise as i16);
        }
        microphone
    }

    /// The next packet.
    pub(crate) fn packet(&mut self, speaking: bool) -> Vec<u8> {
        let samples: Vec<i16> = match speaking {
            true => self.speech.iter().copied().cycle().skip(self.at).take(160).collect(),
            false => vec![0; 160],
        };
        self.at = if speaking { (self.at + 160) % self.speech.len() } else { 0 };
        let mut packet = vec![0x80, 0];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend((u32::from(self.sequence) * 160).to_be_bytes());
        packet.extend(7_u32.to_be_bytes());
        packet.extend(media::codec::g711::encode(Law::Mu, &samples));
        self.sequence = self.sequence.wrapping_add(1);
        packet
    }
}

/// OpenAI's side, as a source of messages that keep its order.
#[derive(Debug, Default)]
pub(crate) struct Model {
    items: u64,
    response: Option<u64>,
}

impl Model {
    pub(crate) fn created() -> Incoming {
        text(json!({"type": "session.created", "event_id": "e", "session": {"type": "realtime", "id": "s"}}))
    }

    pub(crate) fn updated() -> Incoming {
        text(json!({"type": "session.updated", "event_id": "e", "session": {"type": "realtime", "id": "s"}}))
    }

    /// The response in progress.
    pub(crate) fn is_responding(&self) -> bool {
        self.response.is_some()
    }

    /// A response begins to speak.
    pub(crate) fn begin(&mut self) -> Vec<Incoming> {
        self.items += 1;
        self.response = Some(self.items);
        let (response, item) = self.names();
        vec![
            text(
                json!({"type": "response.created", "event_id": "e", "response": {"id": response, "object": "realtime.response", "status": "in_progress", "output": []}}),
            ),
            text(
                json!({"type": "response.output_item.added", "event_id": "e", "response_id": response, "output_index": 0, "item": {"id": item, "type": "message", "role": "assistant", "status": "in_progress", "content": []}}),
            ),
        ]
    }

    /// So much more speech, with a word to it.
    pub(crate) fn speak(&self, length: Duration) -> Vec<Incoming> {
        self.says(&vec![0x10; SampleRate::HZ_8000.samples_in(length)])
    }

    /// More words, without their sound.
    pub(crate) fn words(&self, words: &str) -> Incoming {
        let (response, item) = self.names();
        text(
            json!({"type": "response.output_audio_transcript.delta", "event_id": "e", "response_id": response, "item_id": item, "output_index": 0, "content_index": 0, "delta": words}),
        )
    }

    /// These bytes of speech, with a word to them.
    pub(crate) fn says(&self, bytes: &[u8]) -> Vec<Incoming> {
        let (response, item) = self.names();
        let delta = STANDARD.encode_to_string(bytes);
        let common = |kind: &str, delta: String| {
            text(
                json!({"type": kind, "event_id": "e", "response_id": response, "item_id": item, "output_index": 0, "content_index": 0, "delta": delta}),
            )
        };
        vec![
            common("response.output_audio_transcript.delta", "word ".into()),
            common("response.output_audio.delta", delta),
        ]
    }

    /// The response ends, perhaps with a tool call.
    pub(crate) fn finish(&mut self, tool: Option<(&str, &str)>) -> Vec<Incoming> {
        let (response, item) = self.names();
        let mut messages = vec![
            text(
                json!({"type": "response.output_audio.done", "event_id": "e", "response_id": response, "item_id": item, "output_index": 0, "content_index": 0}),
            ),
            text(
                json!({"type": "response.output_item.done", "event_id": "e", "response_id": response, "output_index": 0, "item": {"id": item, "type": "message", "role": "assistant", "status": "completed", "content": []}}),
            ),
        ];
        let mut output =
            vec![json!({"id": item, "type": "message", "role": "assistant", "status": "completed", "content": []})];
        if let Some((name, arguments)) = tool {
            let call = format!("call_{}", self.items);
            let function = json!({"id": format!("fn_{}", self.items), "type": "function_call", "status": "completed", "name": name, "call_id": call, "arguments": arguments});
            messages.push(text(json!({"type": "response.output_item.added", "event_id": "e", "response_id": response, "output_index": 1, "item": function})));
            messages.push(text(json!({"type": "response.function_call_arguments.done", "event_id": "e", "response_id": response, "item_id": format!("fn_{}", self.items), "output_index": 1, "call_id": call, "name": name, "arguments": arguments})));
            messages.push(text(json!({"type": "response.output_item.done", "event_id": "e", "response_id": response, "output_index": 1, "item": function})));
            output.push(function);
        }
        messages.push(self.done("completed", &output));
        messages
    }

    /// The response ends otherwise: `cancelled`, `failed`, `incomplete`.
    pub(crate) fn done(&mut self, status: &str, output: &[Value]) -> Incoming {
        let (response, _) = self.names();
        self.response = None;
        let usage = json!({"total_tokens": 30, "input_tokens": 10, "output_tokens": 20, "input_token_details": {"text_tokens": 5, "audio_tokens": 5, "cached_tokens": 0}, "output_token_details": {"text_tokens": 5, "audio_tokens": 15}});
        text(
            json!({"type": "response.done", "event_id": "e", "response": {"id": response, "object": "realtime.response", "status": status, "output": output, "usage": usage}}),
        )
    }

    pub(crate) fn speech_started(&self) -> Incoming {
        text(
            json!({"type": "input_audio_buffer.speech_started", "event_id": "e", "audio_start_ms": 1, "item_id": "caller"}),
        )
    }

    pub(crate) fn heard(words: &str) -> Incoming {
        text(
            json!({"type": "conversation.item.input_audio_transcription.completed", "event_id": "e", "item_id": "caller", "content_index": 0, "transcript": words, "usage": {"type": "duration", "seconds": 1}}),
        )
    }

    fn names(&self) -> (String, String) {
        let n = self.response.unwrap_or(self.items);
        (format!("resp_{n}"), format!("item_{n}"))
    }
}

fn text(value: Value) -> Incoming {
    Incoming::Text(value.to_string())
}

/// What the client sent of this kind: the events of `type`.
pub(crate) fn sent(outgoing: &[Outgoing], kind: &str) -> Vec<Value> {
    let parsed = outgoing.iter().filter_map(|message| match message {
        Outgoing::Text(text) => serde_json::from_str::<Value>(text).ok(),
        Outgoing::Binary(_) | Outgoing::Ahead(_) | Outgoing::Job(..) | Outgoing::Close => None,
    });
    parsed.filter(|value| value["type"] == kind).collect()
}

/// Of which packet of the assistant's RTP this is: voice, or the silence between.
pub(crate) fn is_voice(packet: &[u8]) -> bool {
    packet.get(1).is_some_and(|second| second & 0x7f == 0) && packet.iter().skip(12).any(|byte| *byte != 0xff)
}
