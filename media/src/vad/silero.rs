//! Silero VAD at 8 kHz: a small recurrent network that tells speech from everything else, by rten on one thread.
use rten::{Model, NodeId, RunOptions, ThreadPool, Value, ValueOrView};
use rten_tensor::{AsView, Layout, Tensor};
use std::sync::{Arc, OnceLock};

/// What the network hears at a time: 32 ms.
pub(super) const CHUNK: usize = 256;
/// It wants the end of the chunk before as well.
const CONTEXT: usize = 32;
const STATE_SHAPE: [usize; 3] = [2, 1, 128];
const RATE: i32 = 8_000;
const FULL_SCALE: f32 = 32_768.0;

/// The network cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the built-in Silero model does not load")]
pub struct Error;

/// Weights and the names of inputs and outputs: read once, then the same for every call.
struct Network {
    model: Model,
    input: NodeId,
    state: NodeId,
    rate: NodeId,
    probability: NodeId,
    next_state: NodeId,
}

fn network() -> Result<&'static Network, Error> {
    static NETWORK: OnceLock<Option<Network>> = OnceLock::new();
    NETWORK.get_or_init(Network::load).as_ref().ok_or(Error)
}

impl Network {
    fn load() -> Option<Self> {
        let model = Model::load_static_slice(include_bytes!("../../assets/silero_vad.onnx")).ok()?;
        let node = |name| model.node_id(name).ok();
        Some(Self {
            input: node("input")?,
            state: node("state")?,
            rate: node("sr")?,
            probability: node("output")?,
            next_state: node("stateN")?,
            model,
        })
    }
}

/// The pool rten computes in. One thread: the network is too small to gain from two, and a call's work stays behind
/// its media thread, of which there are few.
fn options() -> RunOptions {
    thread_local! {
        static POOL: Arc<ThreadPool> = Arc::new(ThreadPool::with_num_threads(1));
    }
    RunOptions::default().with_thread_pool(Some(POOL.with(Arc::clone)))
}

/// One stream's memory.
pub(super) struct Silero {
    network: &'static Network,
    state: Tensor<f32>,
    /// The context, and behind it room for a chunk.
    window: Vec<f32>,
}

impl Silero {
    /// A listener that has heard nothing.
    ///
    /// # Errors
    /// The model in the binary does not load.
    pub(super) fn new() -> Result<Self, Error> {
        Ok(Self { network: network()?, state: Tensor::zeros(&STATE_SHAPE), window: vec![0.0; CONTEXT + CHUNK] })
    }

    /// Forgets what it heard.
    pub(super) fn reset(&mut self) {
        self.state = Tensor::zeros(&STATE_SHAPE);
        self.window.fill(0.0);
    }

    /// How likely `chunk` is speech, 0 to 1, in the light of the chunks before it.
    pub(super) fn probability(&mut self, chunk: &[i16; CHUNK]) -> f32 {
        self.window.copy_within(CHUNK.., 0);
        for (slot, sample) in self.window.iter_mut().skip(CONTEXT).zip(chunk) {
            *slot = f32::from(*sample) / FULL_SCALE;
        }
        let heard = self.run();
        debug_assert!(heard.is_some(), "the network takes what it was built to take");
        heard.unwrap_or(0.0)
    }

    fn run(&mut self) -> Option<f32> {
        let network = self.network;
        let input = Tensor::from_data(&[1, CONTEXT + CHUNK], self.window.clone());
        let inputs: Vec<(NodeId, ValueOrView<'_>)> = vec![
            (network.input, Value::from(input).into()),
            (network.state, (&self.state).into()),
            (network.rate, Value::from(RATE).into()),
        ];
        let outputs = [network.probability, network.next_state];
        let [probability, state] = network.model.run_n(inputs, outputs, Some(options())).ok()?;
        let (probability, state): (Tensor<f32>, Tensor<f32>) = (probability.try_into().ok()?, state.try_into().ok()?);
        debug_assert_eq!(state.shape(), STATE_SHAPE);
        self.state = state;
        probability.iter().next().copied()
    }
}

impl std::fmt::Debug for Silero {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Silero")
    }
}
