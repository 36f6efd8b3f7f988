//! L16 (RFC 3551 §4.5.11): 16-bit PCM, two bytes a sample, in network order.

/// Two bytes per sample.
pub fn encode(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_be_bytes()).collect()
}

/// One sample per two bytes; half a sample at the end is none.
pub fn decode(bytes: &[u8]) -> Vec<i16> {
    let (pairs, _) = bytes.as_chunks();
    pairs.iter().map(|pair| i16::from_be_bytes(*pair)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_in_network_order_and_come_back() {
        assert_eq!(encode(&[1, -2]), [0x00, 0x01, 0xff, 0xfe]);
        let all: Vec<i16> = (i16::MIN..=i16::MAX).collect();
        assert_eq!(decode(&encode(&all)), all);
        assert_eq!(decode(&[0x12, 0x34, 0x56]), [0x1234]);
    }
}
