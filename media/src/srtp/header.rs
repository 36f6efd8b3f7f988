//! How much of a packet stays in the clear.

/// RFC 3550 §5.1.
const FIXED_RTP: usize = 12;
/// RFC 3711 §3.4: the first header and its sender.
const FIXED_RTCP: usize = 8;

/// What protection has to know of an RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RtpHeader {
    /// Bytes before the payload: contributing sources and extension are authenticated, and not encrypted.
    pub(super) length: usize,
    pub(super) sequence: u16,
    pub(super) ssrc: u32,
}

/// What protection has to know of an RTCP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RtcpHeader {
    pub(super) ssrc: u32,
}

impl RtcpHeader {
    pub(super) const LENGTH: usize = FIXED_RTCP;

    pub(super) fn parse(packet: &[u8]) -> Option<Self> {
        let fixed = packet.first_chunk::<FIXED_RTCP>().filter(|fixed| is_version_2(fixed[0]))?;
        Some(Self { ssrc: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]) })
    }
}

impl RtpHeader {
    pub(super) fn parse(packet: &[u8]) -> Option<Self> {
        let fixed = packet.first_chunk::<FIXED_RTP>().filter(|fixed| is_version_2(fixed[0]))?;
        let mut length = FIXED_RTP + 4 * usize::from(fixed[0] & 0x0f);
        if fixed[0] & 0x10 != 0 {
            let extension = packet.get(length..)?.first_chunk::<4>()?;
            length += 4 + 4 * usize::from(u16::from_be_bytes([extension[2], extension[3]]));
        }
        let header = Self {
            length,
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
        };
        (length <= packet.len()).then_some(header)
    }
}

/// Whether a datagram at a port that both share is RTCP (RFC 5761 §4). What is encrypted tells nothing else.
pub fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram.get(1), Some(192..=223))
}

const fn is_version_2(first: u8) -> bool {
    first >> 6 == 2
}
