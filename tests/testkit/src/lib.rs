//! What tests share: programs and their lines, ports, SIPp, Kamailio, phones of others, DNS, certificates, ears and sound.
//!
//! This crate touches the real world, so it may read the clock; nothing of it is in the product.
#![expect(clippy::disallowed_methods, reason = "the outside tests run in real time")]

pub mod authority;
pub mod baresip;
pub mod dns;
pub mod ear;
pub mod kamailio;
pub mod linphone;
pub mod phone;
pub mod ports;
pub mod process;
pub mod sipp;
pub mod sound;
pub mod stage;
