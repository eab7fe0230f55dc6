#![no_main]

mod tree;

use libfuzzer_sys::{fuzz_mutator, fuzz_target};

fuzz_target!(|data: &[u8]| lvsform_fuzz::ledger(data));
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| { tree::mutate(data, size, max_size, seed) });
