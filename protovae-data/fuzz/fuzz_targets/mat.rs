#![no_main]

#[allow(dead_code)]
#[path = "../../tests/readers/mod.rs"]
mod readers;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = readers::mat_arrays(bytes);
});
