//! The adaptive predictor of one band: two poles and six zeros, moved a little by the signs of every sample
//! (clause 6.2.1.4, the BLOCK4 of either band).
use super::saturate;

/// Signals of the last sample and of the two before: `[0]` is the newest.
#[derive(Clone, Debug, Default)]
pub(super) struct Predictor {
    /// S: what the next sample is expected to be.
    estimate: i32,
    /// SZ: the part of it that the zeros contribute.
    from_zeros: i32,
    /// R: reconstructed signal.
    reconstructed: i32,
    /// P: signs of the partially reconstructed signal, 0 or -1.
    signs: [i32; 2],
    /// A1 and A2.
    poles: [i32; 2],
    /// B1 to B6.
    zeros: [i16; 6],
    /// D1 to D6, twice, which is all that FILTEZ needs and has the same signs.
    differences: [i16; 6],
}

impl Predictor {
    pub(super) const fn estimate(&self) -> i32 {
        self.estimate
    }

    /// Takes the quantized difference between a sample and its estimate, and makes the next estimate.
    pub(super) fn adapt(&mut self, difference: i32) {
        let reconstructed = saturate(self.estimate + difference); // RECONS
        let sign = saturate(self.from_zeros + difference) >> 31; // PARREC
        self.move_poles(sign);
        self.move_zeros(difference);
        self.differences.copy_within(..5, 1); // DELAYA
        self.differences[0] = saturate(2 * difference) as i16;
        self.signs = [sign, self.signs[0]];
        let before = std::mem::replace(&mut self.reconstructed, reconstructed);
        // FILTEP, FILTEZ, PREDIC
        let [first, second] = self.poles;
        let recent = (first * saturate(2 * reconstructed)) >> 15;
        let from_poles = saturate(recent + ((second * saturate(2 * before)) >> 15));
        self.from_zeros = self.filter_zeros();
        self.estimate = saturate(from_poles + self.from_zeros);
    }

    /// UPPOL2, UPPOL1: towards a resonance while the signs say so, and never beyond stability.
    fn move_poles(&mut self, sign: i32) {
        let [first, second] = self.poles;
        let gradient = saturate(4 * first);
        let turned = if sign == self.signs[0] { (-gradient).min(32_767) } else { gradient };
        let towards = if sign == self.signs[1] { 128 } else { -128 };
        let second = ((turned >> 7) + towards + ((second * 32_512) >> 15)).clamp(-12_288, 12_288);
        let towards = if sign == self.signs[0] { 192 } else { -192 };
        let stable = 15_360 - second;
        let first = (towards + ((first * 32_640) >> 15)).clamp(-stable, stable);
        self.poles = [first, second];
    }

    /// UPZERO.
    fn move_zeros(&mut self, difference: i32) {
        let step = if difference == 0 { 0 } else { 128 };
        let sign = (difference >> 31) as i16;
        for (zero, earlier) in self.zeros.iter_mut().zip(&self.differences) {
            // Negated where the signs differ.
            let differ = (*earlier >> 15) ^ sign;
            let towards = (step ^ differ) - differ;
            // 32640 / 32768 of it; within 16 bits, since the two balance at 128 × 256.
            let leaked = ((i32::from(*zero) * 255) >> 8) as i16;
            *zero = leaked.saturating_add(towards);
        }
    }

    /// FILTEZ: from the oldest to the newest, each sum within 16 bits.
    fn filter_zeros(&self) -> i32 {
        let mut products = [0; 6];
        for (product, (zero, twice)) in products.iter_mut().zip(self.zeros.iter().zip(&self.differences)) {
            *product = (i32::from(*zero) * i32::from(*twice)) >> 15;
        }
        products.into_iter().rev().fold(0, |sum, product| saturate(sum + product))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sweeps of every size, so that all bounds are reached.
    #[test]
    fn no_difference_moves_it_out_of_its_range() {
        let (mut predictor, mut random) = (Predictor::default(), crate::testing::Random::new(3));
        for round in 0..200_000 {
            let size = 1 << (round / 1_000 % 16);
            let sign = if round / 7_000 % 2 == 0 { 1 } else { -1 };
            predictor.adapt(sign * random.below(size) as i32);
            let [first, second] = predictor.poles;
            assert!(second.abs() <= 12_288 && first.abs() <= 15_360 - second, "{first} {second}");
            assert!((-32_768..=32_767).contains(&predictor.estimate()));
        }
    }

    #[test]
    fn silence_is_expected_to_go_on() {
        let mut predictor = Predictor::default();
        for _ in 0..100 {
            predictor.adapt(0);
        }
        assert_eq!(predictor.estimate(), 0);
    }
}
