//! DTMF digits both ways: as telephone-events (RFC 4733), as tones, and as the bodies of SIP INFO.
mod detect;
mod event;
mod receive;
mod send;
mod tone;

pub use detect::Detector;
pub use event::Event;
pub use receive::{Receiver, Told};
pub use send::{Means, Sender, Step, Way};
pub use tone::tone;

/// The digit of an event code (RFC 4733 §3.2, table 3): 0–9, `*`, `#`, A–D. `None` for flash and all other events.
pub fn digit(code: u8) -> Option<char> {
    Some(match code {
        0..=9 => char::from(b'0' + code),
        10 => '*',
        11 => '#',
        12..=15 => char::from(b'A' + (code - 12)),
        16..=u8::MAX => return None,
    })
}

/// The event code of a digit; letters in either case.
pub fn code(digit: char) -> Option<u8> {
    let digit = digit.to_ascii_uppercase();
    (0..16).find(|code| self::digit(*code) == Some(digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_codes_and_back() {
        let digits: String = (0..=255).filter_map(digit).collect();
        assert_eq!(digits, "0123456789*#ABCD");
        assert!(digits.chars().enumerate().all(|(n, digit)| code(digit) == Some(n as u8)));
        assert_eq!((code('d'), code('x'), digit(16)), (Some(15), None, None));
    }
}
