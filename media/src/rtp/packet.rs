//! One RTP packet on the wire (RFC 3550 §5.1), read and written by `rtp-rs`.
use rtp_rs::{RtpPacketBuilder, RtpReader};

/// A view of one RTP packet: header fields and the payload without padding, extension or contributing sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// First packet of a talkspurt (RFC 3551 §4.1) or of an event (RFC 4733 §2.2.2).
    pub marker: bool,
    /// What the payload is, by the SDP (0–127).
    pub payload_type: u8,
    /// Position in the stream, modulo 2¹⁶.
    pub sequence: u16,
    /// Sampling instant in ticks of the payload's RTP clock, modulo 2³².
    pub timestamp: u32,
    /// Who sends.
    pub ssrc: u32,
    /// The payload.
    pub payload: &'a [u8],
}

/// Why a datagram is not an RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// Too short, not version 2, or header, extension or padding reach beyond the datagram.
    #[error("not an RTP packet")]
    Malformed,
    /// The second byte is one of RTCP's packet types (RFC 5761 §4).
    #[error("an RTCP packet on the RTP port")]
    Rtcp,
}

impl<'a> Packet<'a> {
    /// Reads a datagram.
    ///
    /// # Errors
    /// [`PacketError`] for whatever is not RTP version 2; nothing a datagram holds can panic.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, PacketError> {
        let reader = RtpReader::new(datagram).map_err(|_| PacketError::Malformed)?;
        if matches!(datagram.get(1), Some(192..=223)) {
            return Err(PacketError::Rtcp);
        }
        Ok(Self {
            marker: reader.mark(),
            payload_type: reader.payload_type(),
            sequence: reader.sequence_number().into(),
            timestamp: reader.timestamp(),
            ssrc: reader.ssrc(),
            payload: reader.payload(),
        })
    }

    /// The packet as a datagram: no padding, extension or contributing sources.
    pub fn to_bytes(&self) -> Vec<u8> {
        let builder = RtpPacketBuilder::new()
            .marked(self.marker)
            .payload_type(self.payload_type & 0x7f)
            .sequence(self.sequence.into())
            .timestamp(self.timestamp)
            .ssrc(self.ssrc)
            .payload(self.payload);
        let mut bytes = vec![0; builder.target_length()];
        let written = builder.build_into(&mut bytes).unwrap_or_default();
        debug_assert_eq!(
            written,
            bytes.len(),
            "the payload type fits in seven bits and the buffer is as long as asked"
        );
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_then_parsing_is_the_identity() {
        let packet = Packet {
            marker: true,
            payload_type: 101,
            sequence: 65_535,
            timestamp: u32::MAX,
            ssrc: 7,
            payload: &[1, 2],
        };
        let bytes = packet.to_bytes();
        assert_eq!(bytes[..4], [0x80, 0x80 | 101, 0xff, 0xff]);
        assert_eq!(Packet::parse(&bytes), Ok(packet));
    }

    #[test]
    fn extension_contributing_sources_and_padding_are_not_payload() {
        let mut bytes = vec![0xb1, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        bytes.extend([9, 9, 9, 9]); // one contributing source
        bytes.extend([0xbe, 0xde, 0, 1, 5, 5, 5, 5]); // one word of extension
        bytes.extend([0xaa, 0xbb, 0, 2]); // two bytes of payload, two of padding
        assert_eq!(Packet::parse(&bytes).map(|p| p.payload), Ok(&[0xaa, 0xbb][..]));
    }

    #[test]
    fn what_is_not_rtp_is_refused() {
        let cases: [(&[u8], PacketError); 6] = [
            (&[], PacketError::Malformed),
            (&[0x80; 11], PacketError::Malformed),
            (&[0x40; 12], PacketError::Malformed),
            (&[0x8f, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3], PacketError::Malformed),
            (&[0xa0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 200], PacketError::Malformed),
            (&[0x80, 200, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3], PacketError::Rtcp),
        ];
        for (bytes, error) in cases {
            assert_eq!(Packet::parse(bytes), Err(error), "{bytes:02x?}");
        }
    }
}
