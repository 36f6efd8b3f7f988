//! Ramal.
pub mod config;
pub mod record;
pub mod secretary;
