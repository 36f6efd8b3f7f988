//! Ramal: an AI extension for a phone system. The composition of three cores (`sip`, `media`, `providers`) into calls,
//! and the drivers, store and commands around them.
pub mod call;
pub mod cli;
pub mod config;
pub mod drivers;
pub mod lab;
pub mod ladder;
pub mod models;
pub mod phone;
pub mod record;
pub mod routing;
pub mod secretary;
pub mod speech;
pub mod store;
pub mod wav;
