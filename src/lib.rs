//! Ramal.
pub mod record;
pub mod secretary;
