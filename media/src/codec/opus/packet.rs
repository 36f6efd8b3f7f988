//! What a packet tells without being decoded.

/// A packet of so few bytes says only that nothing is to be said (RFC 7587 §3.1.3; libopus: need not be sent).
pub(super) const NOTHING: usize = 2;
/// RFC 6716 §3.2.1: a frame's length is a byte below this, or two from this on.
const TWO_BYTES: u8 = 252;

/// Whether a packet says only that a pause goes on.
pub(crate) fn says_nothing(payload: &[u8]) -> bool {
    (1..=NOTHING).contains(&payload.len())
}

/// Whether the peer's encoder heard no voice at the end of this packet. Pauses of discontinuous transmission follow
/// such packets, and have one every 400 ms for the noise of the background (RFC 7587 §3.1.3).
///
/// RFC 6716 §3.1, §4.2.3: a frame of SILK begins with a bit for each 20 ms of it, which tells of a voice, and so does
/// one that is hybrid (configurations 12 to 15), whose part below 8 kHz is SILK's and comes first. CELT tells nothing.
pub(crate) fn is_without_voice(payload: &[u8]) -> bool {
    if says_nothing(payload) {
        return true;
    }
    let Some((header, frames)) = payload.split_first() else { return false };
    let flags = match header >> 3 {
        2 | 6 | 10 => 2,
        3 | 7 | 11 => 3,
        ..16 => 1,
        _ => return false,
    };
    let Some(last) = last_frame(header & 0b11, frames) else { return false };
    // A frame of no bytes was skipped.
    last.first().is_none_or(|first| (first >> (8 - flags)) & 1 == 0)
}

/// The last frame of a packet with this code (RFC 6716 §3.2); `None` of one that is broken.
fn last_frame(code: u8, frames: &[u8]) -> Option<&[u8]> {
    match code {
        0 => Some(frames),
        1 => frames.get(frames.len() / 2..),
        2 => {
            let (length, frames) = length(frames)?;
            frames.get(length..)
        }
        _ => last_of_many(frames),
    }
}

/// RFC 6716 §3.2.5: any number of frames, all of one length or each of its own, and padding behind them.
fn last_of_many(packet: &[u8]) -> Option<&[u8]> {
    let (head, frames) = packet.split_first()?;
    let (each, padded, count) = (head & 0x80 != 0, head & 0x40 != 0, usize::from(head & 0x3f));
    let mut frames = if padded { without_padding(frames)? } else { frames };
    if !each {
        let length = frames.len().checked_div(count).filter(|length| length * count == frames.len())?;
        return frames.get(frames.len() - length..);
    }
    let mut before = 0;
    for _ in 0..count.checked_sub(1)? {
        let (length, rest) = length(frames)?;
        (before, frames) = (before + length, rest);
    }
    frames.get(before..)
}

/// What is left of a packet whose padding's length comes first: 254 for each byte of 255, and the one that is less.
fn without_padding(packet: &[u8]) -> Option<&[u8]> {
    let (mut rest, mut padding) = (packet, 0);
    loop {
        let (part, after) = rest.split_first()?;
        rest = after;
        padding += usize::from((*part).min(254));
        if *part < u8::MAX {
            return rest.get(..rest.len().checked_sub(padding)?);
        }
    }
}

/// RFC 6716 §3.2.1: the length of a frame, and what follows it.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    if *first < TWO_BYTES {
        return Some((usize::from(*first), rest));
    }
    let (second, rest) = rest.split_first()?;
    Some((usize::from(*first) + 4 * usize::from(*second), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hybrid frames of 20 ms, as many of them as a code has; the first bit of each tells of a voice.
    #[test]
    fn rfc6716_3_2_the_last_frame_of_a_packet_tells_whether_a_voice_was_at_its_end() {
        let long = [&[0x6a_u8, 252, 1][..], &[0x80; 256], &[0; 3]].concat();
        let padded = [&[0x6b_u8, 0x43, 255, 1][..], &[0x80, 0x80, 0], &[0xff; 255]].concat();
        let packets: [(&[u8], bool); 14] = [
            (&[0x68, 0, 0x80], true),
            (&[0x68, 0x80, 0], false),
            (&[0x69, 0x80, 0xff, 0, 0xff], true),
            (&[0x69, 0, 0, 0x80, 0], false),
            (&[0x6a, 1, 0x80, 0], true),
            (&[0x6a, 1, 0, 0x80], false),
            (&[0x6a, 2, 0x80, 0], true),
            (&long, true),
            (&[0x6b, 3, 0x80, 0x80, 0], true),
            (&[0x6b, 3, 0, 0, 0x80], false),
            (&[0x6b, 0x83, 1, 2, 0x80, 0x80, 0x80, 0, 0x80], true),
            (&[0x6b, 0x83, 1, 1, 0, 0, 0x80], false),
            (&[0x6b, 0xc3, 1, 1, 1, 0x80, 0x80, 0, 0xff], true),
            (&padded, true),
        ];
        for (packet, without) in packets {
            assert_eq!(is_without_voice(packet), without, "{packet:x?}");
        }
    }

    #[test]
    fn what_is_broken_and_what_tells_nothing_is_no_pause() {
        let packets: [&[u8]; 11] = [
            &[],
            // CELT.
            &[0xf8, 0, 0, 0],
            // Two bytes for three frames, none, and no frame at all.
            &[0x4b, 3, 0, 0],
            &[0x6b, 3, 0],
            &[0x6b, 0, 0, 0],
            &[0x6b, 0x80, 0, 0],
            // Longer than the packet is: a frame, two, the padding, and what says how long that is.
            &[0x6a, 3, 0, 0],
            &[0x6b, 0x83, 1, 1, 0],
            &[0x6b, 0xc2, 9, 0, 0],
            &[0x6b, 0xc2, 255, 255],
            &[0x6a, 255, 255, 0],
        ];
        for packet in packets {
            assert!(!is_without_voice(packet), "{packet:x?}");
        }
        assert!(is_without_voice(&[0x48]) && is_without_voice(&[0x68, 0]));
    }
}
