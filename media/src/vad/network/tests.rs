//! The network against a general runtime on the same model, on recorded speech, noise and silence.
use super::*;
use rten::{Model, NodeId, Value, ValueOrView};
use rten_tensor::{AsView, Tensor};

/// The same network as rten computes it.
struct Reference {
    model: Model,
    state: Tensor<f32>,
}

impl Reference {
    fn probability(&mut self, samples: &[f32]) -> f32 {
        let node = |name| self.model.node_id(name).unwrap();
        let inputs: Vec<(NodeId, ValueOrView<'_>)> = vec![
            (node("input"), Value::from(Tensor::from_data(&[1, samples.len()], samples.to_vec())).into()),
            (node("state"), (&self.state).into()),
            (node("sr"), Value::from(8_000).into()),
        ];
        let [probability, state] = self.model.run_n(inputs, [node("output"), node("stateN")], None).unwrap();
        self.state = state.try_into().unwrap();
        let probability: Tensor<f32> = probability.try_into().unwrap();
        *probability.iter().next().unwrap()
    }
}

/// Recorded speech at three levels, with and without noise, and silence between.
fn samples() -> Vec<f32> {
    let names = ["en-agent-pass", "en-piper-joe-2", "pt-kokoro-dora-1", "pt-rhvoice-leticia-0"];
    let mut random = 7_u32;
    let mut all = Vec::new();
    for (name, level, noise) in
        names.into_iter().zip([1.0, 0.2, 0.05, 1.0]).zip([0.0, 0.0, 0.01, 0.1]).map(|((n, l), o)| (n, l, o))
    {
        let path = format!("{}/../tests/fixtures/speech/{name}.wav", env!("CARGO_MANIFEST_DIR"));
        let bytes = std::fs::read(path).unwrap();
        let speech = bytes[44..].as_chunks().0.iter().map(|pair| f32::from(i16::from_le_bytes(*pair)) / 32_768.0);
        all.extend(speech.map(|sample| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            level * sample + noise * ((random >> 8) as f32 / (1 << 23) as f32 - 1.0)
        }));
        all.extend([0.0; 4_000]);
    }
    all
}

#[test]
fn it_says_what_a_general_runtime_says() {
    let network = Network::load().unwrap();
    let mut reference =
        Reference { model: Model::load(MODEL.to_vec()).unwrap(), state: Tensor::zeros(&[2, 1, HIDDEN]) };
    let mut memory = Memory::EMPTY;
    let samples = samples();
    let windows = samples.windows(CONTEXT + CHUNK).step_by(CHUNK);
    let (mut furthest, mut chunks, mut speech) = (0_f32, 0, 0);
    for window in windows {
        let ours = network.probability(window.first_chunk().unwrap(), &mut memory);
        furthest = furthest.max((ours - reference.probability(window)).abs());
        chunks += 1;
        speech += usize::from(ours > 0.5);
    }
    assert!(furthest < 1e-4, "{furthest}");
    assert!(speech > chunks / 3 && speech < chunks * 9 / 10, "{speech} of {chunks} are speech");
}

#[test]
fn another_model_is_refused() {
    let model = ModelProto::parse_buf(MODEL).unwrap();
    let graph = narrowband(model.graph.as_ref().unwrap()).unwrap();
    assert!(floats(graph, "encoder.0.reparam_conv.bias", 127).is_none());
    assert!(floats(graph, "encoder.9.reparam_conv.bias", 128).is_none());
    assert!(floats(graph, "encoder.0.reparam_conv.bias", 128).is_none(), "taken once");
}
