//! Silero's network at 8 kHz, computed on the thread that asks.
//!
//! Spectrum (a convolution with the waves of a Fourier transform) → four convolutions → one LSTM cell → a probability:
//! 0.4 million multiplications. A general runtime takes several times as long for the same: it hands a graph of a
//! hundred tiny steps to a pool of threads (docs/benchmarks-barge-in.md). The weights come from the model file as its
//! authors publish it.
use rten_onnx::onnx::{AttributeProto, GraphProto, ModelProto};
use rten_simd::{
    Isa, SimdOp, SimdUnaryOp,
    ops::{BitOps, NumOps},
};
use rten_vecmath::{Sigmoid, Tanh};

/// Samples the network hears at a time: 32 ms.
pub(super) const CHUNK: usize = 256;
/// It wants the end of the chunk before as well.
pub(super) const CONTEXT: usize = 32;
/// The last window of the spectrum reaches so far beyond the end, which is mirrored there.
const MIRRORED: usize = 32;
const WINDOW: usize = 128;
const HOP: usize = 64;
/// Windows in a chunk.
const FRAMES: usize = 4;
const BINS: usize = WINDOW / 2 + 1;
/// Taps of each convolution.
const TAPS: usize = 3;
/// Channels after each convolution.
const WIDTHS: [usize; 4] = [128, 64, 64, HIDDEN];
/// Width of the LSTM and of what feeds it.
const HIDDEN: usize = 128;
/// The most vectors of outputs that are computed at a time: sixteen registers hold them and their weights.
const MOST_SUMS: usize = 8;
const MODEL: &[u8] = include_bytes!("../../assets/silero_vad.onnx");

/// The weights: the same for every call.
#[derive(Debug)]
pub(super) struct Network {
    spectrum: Layer,
    encoder: [Layer; 4],
    /// Input and forget gate, cell, output gate, each of the input and the hidden state.
    gates: Layer,
    last: Vec<f32>,
    last_bias: f32,
}

/// What a stream remembers from chunk to chunk.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    hidden: [f32; HIDDEN],
    cell: [f32; HIDDEN],
}

impl Memory {
    pub(super) const EMPTY: Self = Self { hidden: [0.0; HIDDEN], cell: [0.0; HIDDEN] };
}

impl Network {
    /// Reads the model in the binary. `None` if it is another than this was written for.
    pub(super) fn load() -> Option<Self> {
        let model = ModelProto::parse_buf(MODEL).ok()?;
        let graph = narrowband(model.graph.as_ref()?)?;
        let conv = |index: usize, inputs: usize, taps: std::ops::Range<usize>, frames: usize| {
            let outputs = *WIDTHS.get(index)?;
            let name = format!("encoder.{index}.reparam_conv");
            let kernels = floats(graph, &format!("{name}.weight"), outputs * inputs * TAPS)?;
            let tap_after_tap = |kernel: &[f32]| -> Vec<f32> {
                taps.clone().flat_map(|tap| kernel.iter().skip(tap).step_by(TAPS).copied()).collect()
            };
            let rows = kernels.chunks_exact(inputs * TAPS).map(tap_after_tap).collect();
            Some(Layer::new(rows, floats(graph, &format!("{name}.bias"), outputs)?, frames))
        };
        let waves = floats(graph, "stft.forward_basis_buffer", 2 * BINS * WINDOW)?;
        let waves = waves.chunks_exact(WINDOW).map(<[f32]>::to_vec).collect();
        Some(Self {
            spectrum: Layer::new(waves, vec![0.0; 2 * BINS], FRAMES),
            // Of the last two only the taps that can meet a frame: two windows are left there, then one.
            encoder: [conv(0, BINS, 0..3, 4)?, conv(1, 128, 0..3, 2)?, conv(2, 64, 1..3, 1)?, conv(3, 64, 1..2, 1)?],
            gates: gates(graph)?,
            last: floats(graph, "decoder.decoder.2.weight", HIDDEN)?,
            last_bias: *floats(graph, "decoder.decoder.2.bias", 1)?.first()?,
        })
    }

    /// How likely the last [`CHUNK`] of `samples` (full scale is 1) are speech, 0 to 1, in the light of what was before.
    pub(super) fn probability(&self, samples: &[f32; CONTEXT + CHUNK], memory: &mut Memory) -> f32 {
        Forward { network: self, samples, memory }.dispatch()
    }
}

/// The branch of the model for 8 kHz; the other one is for 16 kHz.
fn narrowband(graph: &GraphProto) -> Option<&GraphProto> {
    let choice = graph.node.iter().find(|node| node.op_type.as_deref() == Some("If"))?;
    let is_other = |attribute: &&AttributeProto| attribute.name.as_deref() == Some("else_branch");
    choice.attribute.iter().find(is_other)?.g.as_ref()
}

/// The constant of that name, if it has so many values.
fn floats(graph: &GraphProto, name: &str, count: usize) -> Option<Vec<f32>> {
    let is_named = |output: &String| {
        output.strip_suffix(name).is_some_and(|before| before.ends_with("__") || before.ends_with("__decoder."))
    };
    let node = graph.node.iter().find(|node| node.output.iter().any(is_named))?;
    let bytes = node.attribute.first()?.t.as_ref()?.raw_data.as_ref()?.take();
    let values: Vec<f32> = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    (values.len() == count).then_some(values)
}

fn gates(graph: &GraphProto) -> Option<Layer> {
    let matrix = |name| floats(graph, name, 4 * HIDDEN * HIDDEN);
    let bias = |name| floats(graph, name, 4 * HIDDEN);
    let (input, hidden) = (matrix("decoder.rnn.weight_ih")?, matrix("decoder.rnn.weight_hh")?);
    let rows =
        input.chunks_exact(HIDDEN).zip(hidden.chunks_exact(HIDDEN)).map(|(input, hidden)| [input, hidden].concat());
    let biases = bias("decoder.rnn.bias_ih")?.into_iter().zip(bias("decoder.rnn.bias_hh")?);
    Some(Layer::new(rows.collect(), biases.map(|(input, hidden)| input + hidden).collect(), 1))
}

/// `outputs = weights · inputs + bias`, with the weights in the order in which they are used.
#[derive(Debug)]
struct Layer {
    inputs: usize,
    /// Outputs computed at a time.
    block: usize,
    /// For each block, for each input, the weights of the block's outputs.
    weights: Vec<f32>,
    /// Of all blocks; the last one may have more outputs than are wanted.
    bias: Vec<f32>,
}

impl Layer {
    /// `rows` has the weights of each output, `frames` how many inputs are weighed at a time.
    fn new(rows: Vec<Vec<f32>>, mut bias: Vec<f32>, frames: usize) -> Self {
        let inputs = rows.first().map_or(0, Vec::len);
        let block = Lanes.dispatch() * MOST_SUMS / frames;
        bias.resize(bias.len().next_multiple_of(block), 0.0);
        let weight =
            |output: usize, input: usize| rows.get(output).and_then(|row| row.get(input)).copied().unwrap_or(0.0);
        let weights = (0..bias.len())
            .step_by(block)
            .flat_map(|first| {
                (0..inputs).flat_map(move |input| (first..first + block).map(move |output| (output, input)))
            })
            .map(|(output, input)| weight(output, input))
            .collect();
        Self { inputs, block, weights, bias }
    }

    /// Weighs `FRAMES` pieces of `input`, each `step` after the one before; their outputs follow each other in `outputs`.
    #[inline(always)]
    fn apply<I: Isa, const FRAMES: usize, const VECTORS: usize>(
        &self,
        isa: I,
        (input, step): (&[f32], usize),
        outputs: &mut [f32],
    ) {
        let ops = isa.f32();
        let lanes = ops.len();
        let pieces: [&[f32]; FRAMES] = std::array::from_fn(|frame| &input[frame * step..frame * step + self.inputs]);
        let blocks = self.weights.chunks_exact(self.inputs * self.block).zip(self.bias.chunks_exact(self.block));
        for (index, (weights, bias)) in blocks.enumerate() {
            let sums = weigh::<I, FRAMES, VECTORS>(isa, pieces, weights, ops.load_many(bias));
            for (frame, sums) in sums.into_iter().enumerate() {
                let places = outputs[frame * self.bias.len() + index * self.block..].chunks_exact_mut(lanes);
                places.zip(sums).for_each(|(place, sum)| ops.store(sum, place));
            }
        }
    }

    /// The outputs of each frame without what is negative, and without what fills up the last block.
    #[inline(always)]
    fn rectify(&self, outputs: &[f32], frames: &mut [f32], width: usize) {
        for (output, frame) in outputs.chunks(self.bias.len()).zip(frames.chunks_exact_mut(width)) {
            frame.iter_mut().zip(output).for_each(|(place, output)| *place = output.max(0.0));
        }
    }
}

/// One block of outputs for each of the pieces, beginning at `bias`.
#[inline(always)]
fn weigh<I: Isa, const FRAMES: usize, const VECTORS: usize>(
    isa: I,
    pieces: [&[f32]; FRAMES],
    weights: &[f32],
    bias: [I::F32; VECTORS],
) -> [[I::F32; VECTORS]; FRAMES] {
    let ops = isa.f32();
    let mut sums = [bias; FRAMES];
    for (input, weights) in weights.chunks_exact(VECTORS * ops.len()).enumerate() {
        let weights = ops.load_many::<VECTORS>(weights);
        for (sums, piece) in sums.iter_mut().zip(pieces) {
            let value = ops.splat(piece[input]);
            sums.iter_mut().zip(weights).for_each(|(sum, weights)| *sum = ops.mul_add(value, weights, *sum));
        }
    }
    sums
}

/// How many numbers a vector holds on this machine.
struct Lanes;

impl SimdOp for Lanes {
    type Output = usize;

    fn eval<I: Isa>(self, isa: I) -> usize {
        isa.f32().len()
    }
}

/// One pass through the network, in the vector instructions of this machine.
struct Forward<'a> {
    network: &'a Network,
    samples: &'a [f32; CONTEXT + CHUNK],
    memory: &'a mut Memory,
}

/// Room for the outputs of the widest layer, four spectra, filled up to blocks of the widest vectors.
const ROOM: usize = FRAMES * 160;

impl SimdOp for Forward<'_> {
    type Output = f32;

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) -> f32 {
        let Self { network, samples, memory } = self;
        let [first, second, third, fourth] = &network.encoder;
        let mut outputs = [0.0; ROOM];

        let mut waves = [0.0; CONTEXT + CHUNK + MIRRORED];
        let mirrored = samples.iter().rev().skip(1);
        waves.iter_mut().zip(samples.iter().chain(mirrored)).for_each(|(place, sample)| *place = *sample);
        network.spectrum.apply::<I, FRAMES, 2>(isa, (&waves, HOP), &mut outputs);

        // Kernels reach one frame beyond both ends and meet silence there.
        let mut frames = [0.0; (FRAMES + 2) * BINS];
        magnitudes(&outputs, network.spectrum.bias.len(), &mut frames[BINS..(FRAMES + 1) * BINS]);
        first.apply::<I, FRAMES, 2>(isa, (&frames, BINS), &mut outputs);
        let mut frames = [0.0; (FRAMES + 1) * WIDTHS[0]];
        first.rectify(&outputs, &mut frames[WIDTHS[0]..], WIDTHS[0]);
        second.apply::<I, 2, 4>(isa, (&frames, 2 * WIDTHS[0]), &mut outputs);
        let mut frames = [0.0; 2 * WIDTHS[1]];
        second.rectify(&outputs, &mut frames, WIDTHS[1]);
        third.apply::<I, 1, MOST_SUMS>(isa, (&frames, 0), &mut outputs);
        let mut frame = [0.0; WIDTHS[2]];
        third.rectify(&outputs, &mut frame, WIDTHS[2]);
        fourth.apply::<I, 1, MOST_SUMS>(isa, (&frame, 0), &mut outputs);

        let mut both = [0.0; 2 * HIDDEN];
        let (input, hidden) = both.split_at_mut(HIDDEN);
        fourth.rectify(&outputs, input, HIDDEN);
        hidden.copy_from_slice(&memory.hidden);
        network.gates.apply::<I, 1, MOST_SUMS>(isa, (&both, 0), &mut outputs);
        memory.step(isa, &outputs);
        let weighed = memory.hidden.iter().zip(&network.last).map(|(hidden, weight)| hidden.max(0.0) * weight);
        1.0 / (1.0 + (-weighed.sum::<f32>() - network.last_bias).exp())
    }
}

/// Of each spectrum in `outputs` (real parts, then imaginary parts) the magnitudes.
#[inline(always)]
fn magnitudes(outputs: &[f32], padded: usize, frames: &mut [f32]) {
    for (output, frame) in outputs.chunks(padded).zip(frames.chunks_exact_mut(BINS)) {
        let (real, imaginary) = output.split_at(BINS);
        for ((place, real), imaginary) in frame.iter_mut().zip(real).zip(imaginary) {
            *place = (real * real + imaginary * imaginary).sqrt();
        }
    }
}

impl Memory {
    /// The LSTM cell, from the sums before its gates.
    #[inline(always)]
    fn step<I: Isa>(&mut self, isa: I, gates: &[f32]) {
        let ops = isa.f32();
        let lanes = ops.len();
        let gate = |index: usize| gates[index * HIDDEN..].chunks_exact(lanes);
        let inputs = gate(0).zip(gate(1)).zip(gate(2).zip(gate(3)));
        let state = self.cell.chunks_exact_mut(lanes).zip(self.hidden.chunks_exact_mut(lanes));
        for (((input, forget), (fresh, output)), (cell, hidden)) in inputs.zip(state) {
            let sigmoid = |gate: &[f32]| Sigmoid {}.eval(isa, ops.load(gate));
            let kept = ops.mul(sigmoid(forget), ops.load(cell));
            let next = ops.mul_add(sigmoid(input), Tanh {}.eval(isa, ops.load(fresh)), kept);
            ops.store(next, cell);
            ops.store(ops.mul(sigmoid(output), Tanh {}.eval(isa, next)), hidden);
        }
    }
}

#[cfg(test)]
mod tests;
