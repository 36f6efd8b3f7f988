//! Ramal: an AI extension for a phone system. The composition of three cores (`sip`, `media`, `providers`) into calls,
//! and the drivers, store and commands around them.
pub mod accounts;
pub mod breaker;
pub mod call;
pub mod cli;
pub mod config;
pub mod control;
pub mod drivers;
pub mod dtmf;
pub mod lab;
pub mod ladder;
pub mod metrics;
pub mod models;
pub mod paint;
pub mod phone;
pub mod ports;
pub mod record;
pub mod routing;
pub mod seal;
pub mod secretary;
pub mod speech;
pub mod store;
pub mod switchboard;
pub mod tenancy;
pub mod trace;
pub mod vault;
pub mod wav;
