//! The target `weights` for libFuzzer.

#![no_main]

#[path = "../../tests/fuzz_support/targets.rs"]
#[allow(dead_code)]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::weights(bytes));
