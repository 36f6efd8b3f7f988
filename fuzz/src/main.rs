//! libFuzzer on one target: `FUZZ_TARGET` says which. `make fuzz` runs them all.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let found = fuzz::TARGETS.iter().find(|(known, _)| *known == name);
    let names: Vec<&str> = fuzz::TARGETS.iter().map(|(known, _)| *known).collect();
    found.map_or_else(|| panic!("FUZZ_TARGET is one of {}", names.join(", ")), |(_, target)| *target)
});

fuzz_target!(|data: &[u8]| TARGET(data));
