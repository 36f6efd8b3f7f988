//! What a fuzzer does to each parser: any bytes go in, and nothing may panic. Where a value can be printed, it must
//! be read back as it was.
//!
//! The same functions replay the corpora in `fuzz/corpora` as an ordinary test, so a crash once found stays fixed.
mod endpoint;
mod message;
mod packets;
mod values;

/// A target's name, which is also that of its corpus, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 10] = [
    ("auth", values::auth),
    ("endpoint", endpoint::endpoint),
    ("message", message::message),
    ("rtcp", packets::rtcp),
    ("rtp", packets::rtp),
    ("sdp", packets::sdp),
    ("srtp", packets::srtp),
    ("stream", message::stream),
    ("uri", values::uri),
    ("values", values::values),
];
