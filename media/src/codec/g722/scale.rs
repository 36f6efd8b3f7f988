//! How coarse a band is quantized at the moment: the inverse quantizer and its scale factor (clause 6.2.1.2–3).

/// Two to the power of ILB/32, 2048 being one (table 18).
const ILB: [i32; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834, 2896, 2960, 3025,
    3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];

/// What tells the bands apart: by code, what it stands for in units of the scale factor (QL4⁻¹ and Q2⁻¹), and how it
/// moves the logarithm of that factor (WL and WH); how far the logarithm goes, and what it is at the start.
#[derive(Debug)]
pub(super) struct Kind {
    outputs: [i16; 16],
    moves: [i16; 16],
    highest: i32,
    /// Whole octaves below the largest factor.
    shift: i32,
}

pub(super) static LOWER: Kind = Kind {
    outputs: [0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584, 1200, 0],
    moves: [-60, 3042, 1198, 538, 334, 172, 58, -30, 3042, 1198, 538, 334, 172, 58, -30, -60],
    highest: 18_432,
    shift: 8,
};
pub(super) static HIGHER: Kind = Kind {
    outputs: [-7408, -1616, 7408, 1616, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    moves: [798, -214, 798, -214, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    highest: 22_528,
    shift: 10,
};

/// The scale factor of one band.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    kind: &'static Kind,
    /// NABLA: its logarithm.
    log: i32,
    /// DETL, DETH; positive.
    factor: i32,
}

impl Scale {
    pub(super) const fn new(kind: &'static Kind) -> Self {
        Self { kind, log: 0, factor: factor(0, kind.shift) }
    }

    pub(super) const fn factor(&self) -> i32 {
        self.factor
    }

    /// INVQAL or INVQAH, then LOGSCL and SCALEL or LOGSCH and SCALEH: what the code stands for at the present factor,
    /// and the factor for the next. The lower four bits of `code` count.
    pub(super) fn adapt(&mut self, code: u8) -> i32 {
        let index = usize::from(code & 0xf);
        let output = (self.factor * i32::from(self.kind.outputs[index])) >> 15;
        let leaked = (self.log * 127) >> 7;
        self.log = (leaked + i32::from(self.kind.moves[index])).clamp(0, self.kind.highest);
        self.factor = factor(self.log, self.kind.shift);
        output
    }
}

/// Two to the power of `log`, which counts 2048 to the octave. One octave more than `shift` is the most it comes to.
const fn factor(log: i32, shift: i32) -> i32 {
    let octave = log >> 11;
    let mantissa = ILB[((log >> 6) & 31) as usize] << 1;
    (mantissa >> (shift + 1 - octave)) << 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_doubles_every_2048_and_stays_within_its_range() {
        for (kind, lowest) in [(&LOWER, 32), (&HIGHER, 8)] {
            assert_eq!(factor(0, kind.shift), lowest);
            assert_eq!(factor(kind.highest, kind.shift), 16_384);
            for log in (0..=kind.highest).step_by(64) {
                let exact = f64::from(lowest) * (f64::from(log) / 2_048.0).exp2();
                // Twelve bits of mantissa, of which the smallest factors keep few.
                let error = (f64::from(factor(log, kind.shift)) - exact).abs();
                assert!(error <= (exact / 2_000.0).max(4.0), "{log}: {exact}");
            }
        }
    }

    #[test]
    fn any_run_of_codes_keeps_the_factor_positive() {
        for kind in [&LOWER, &HIGHER] {
            let (mut scale, mut random) = (Scale::new(kind), crate::testing::Random::new(7));
            for _ in 0..100_000 {
                scale.adapt(random.below(256) as u8);
                assert!((1..=16_384).contains(&scale.factor()));
            }
        }
    }
}
