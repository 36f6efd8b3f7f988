//! RTCP on the RTP port (RFC 5761) and the profiles of RTP (RFC 4585).
use super::*;

#[test]
fn rfc5761_5_1_1_a_shared_port_is_agreed_on_only_when_offered() {
    let plain = "m=audio 4000 RTP/AVP 0\r\na=rtcp:5005\r\n";
    let alone = answered(&one(plain));
    assert_eq!((alone.media.rtcp_mux, alone.media.remote_rtcp.port()), (false, 5005));
    assert!(!text(&alone.sdp).contains("rtcp-mux"));
    let shared = answered(&one(&format!("{plain}a=rtcp-mux\r\n")));
    assert!(shared.media.rtcp_mux && shared.media.remote_rtcp == shared.media.remote);
    assert_eq!(values(&shared.sdp, "rtcp-mux"), [""]);
}

/// RFC 5761 §4: with the marker bit these are RTCP's packet types.
#[test]
fn rfc5761_4_payload_types_that_look_like_rtcp_are_not_chosen() {
    let agreed = answered(&one("m=audio 4000 RTP/AVP 72 95 0\r\na=rtpmap:72 PCMA/8000\r\na=rtpmap:95 PCMA/8000\r\n"));
    assert_eq!(agreed.media.payload_type, PayloadType::same(0));
}

#[test]
fn rfc4585_a_feedback_profile_is_answered_as_such_and_without_feedback() {
    let agreed = answered(&one("m=audio 4000 rtp/avpf 0\r\na=rtcp-fb:* nack\r\n"));
    assert_eq!(m_lines(&agreed.sdp), ["m=audio 20000 rtp/avpf 0"]);
    assert!(!text(&agreed.sdp).contains("rtcp-fb"));
    for proto in ["RTP/SAVPF", "UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "TCP/RTP/AVP", "RTP/AVPFX"] {
        assert_eq!(refused(&one(&format!("m=audio 4000 {proto} 0\r\n"))).sip_status(), 488, "{proto}");
    }
}
