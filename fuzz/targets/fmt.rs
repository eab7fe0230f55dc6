#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| lvsform_fuzz::fmt(data));
