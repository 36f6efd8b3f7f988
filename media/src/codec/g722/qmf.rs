//! The quadrature mirror filters that part 16 kHz into two bands of 8 kHz samples and join them again (clause 5.2,
//! table 11). Each output is a sum over twelve pairs; a whole payload is done at once, one tap after another, which
//! compilers turn into vectors.
use super::limit;

/// Every second coefficient of the 24, in units of 2⁻¹³; the others are these in reverse.
const TAPS: [i32; 12] = [3, -11, 12, 32, -210, 951, 3_876, -805, 362, -156, 53, -11];
/// Pairs of the past that a sum reaches into.
const PAST: usize = TAPS.len() - 1;

/// The transmit filter.
#[derive(Clone, Debug)]
pub(super) struct Transmit {
    /// The older and the newer sample of each pair, in the order of time: the past, and while it works the present.
    pairs: [Vec<i32>; 2],
}

/// The receive filter.
#[derive(Clone, Debug)]
pub(super) struct Receive {
    /// Sum and difference of the bands, likewise.
    pairs: [Vec<i32>; 2],
}

impl Default for Transmit {
    fn default() -> Self {
        Self { pairs: silence() }
    }
}

impl Default for Receive {
    fn default() -> Self {
        Self { pairs: silence() }
    }
}

impl Transmit {
    /// The lower and the higher band.
    pub(super) fn split(&mut self, samples: &[i16]) -> Vec<(i32, i32)> {
        let [older, newer] = &mut self.pairs;
        older.extend(samples.chunks_exact(2).map(|pair| i32::from(pair[0])));
        newer.extend(samples.chunks_exact(2).map(|pair| i32::from(pair[1])));
        let (odd, even) = (filter(older, TAPS.iter()), filter(newer, TAPS.iter().rev()));
        forget(&mut self.pairs);
        odd.into_iter().zip(even).map(|(odd, even)| (limit((even + odd) >> 14), limit((even - odd) >> 14))).collect()
    }
}

impl Receive {
    /// From the lower and the higher band.
    pub(super) fn join(&mut self, bands: impl Iterator<Item = (i32, i32)>) -> Vec<i16> {
        let [sums, differences] = &mut self.pairs;
        for (low, high) in bands {
            sums.push(low + high);
            differences.push(low - high);
        }
        let older = filter(differences, TAPS.iter().rev());
        let newer = filter(sums, TAPS.iter());
        forget(&mut self.pairs);
        older.into_iter().zip(newer).flat_map(|(older, newer)| [older, newer].map(|sum| saturate(sum >> 11))).collect()
    }
}

/// One sum for every sample that is no past; the first tap is for the oldest.
fn filter<'a>(samples: &[i32], taps: impl Iterator<Item = &'a i32>) -> Vec<i32> {
    let mut sums = vec![0; samples.len().saturating_sub(PAST)];
    for (start, tap) in taps.enumerate() {
        for (sum, sample) in sums.iter_mut().zip(samples.iter().skip(start)) {
            *sum += tap * sample;
        }
    }
    sums
}

/// All but the past of what comes next.
fn forget(pairs: &mut [Vec<i32>; 2]) {
    for signal in pairs {
        let done = signal.len().saturating_sub(PAST);
        signal.drain(..done);
    }
}

fn silence() -> [Vec<i32>; 2] {
    [vec![0; PAST], vec![0; PAST]]
}

fn saturate(sum: i32) -> i16 {
    super::saturate(sum) as i16
}
