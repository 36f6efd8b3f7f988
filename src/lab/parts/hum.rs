//! Pitches as words: what an ear heard as a tone is written down, repeated by the model and hummed by the voice. Digits would
//! be read out on the way, so letters stand for them.

const BEFORE: &str = "A hum of ";

/// Words for a pitch in Hz.
pub(super) fn words(hz: u32) -> String {
    let letters: String = hz.to_string().bytes().map(|digit| char::from(digit - b'0' + b'b')).collect();
    format!("{BEFORE}{letters}.")
}

/// The pitch in Hz that these words are of.
pub(super) fn pitch(words: &str) -> Option<u32> {
    let letters = words.trim().strip_prefix(BEFORE)?.strip_suffix('.')?;
    let digit = |letter: u8| letter.checked_sub(b'b').filter(|digit| *digit < 10).map(u32::from);
    letters.bytes().try_fold(0_u32, |hz, letter| hz.checked_mul(10)?.checked_add(digit(letter)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pitch_survives_being_written_down() {
        assert_eq!(words(431), "A hum of fec.");
        for hz in [0, 431, 2_975, u32::MAX] {
            assert_eq!(pitch(&words(hz)), Some(hz));
        }
        for words in ["", "A hum of", "A hum of FEC.", "A hum of ffffffffffff.", "When are you open?"] {
            assert_eq!(pitch(words), None, "{words}");
        }
    }
}
