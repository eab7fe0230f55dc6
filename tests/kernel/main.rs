//! The real kernel behind `lvsform::kernel::linux`, each test in a fresh network namespace of its own.
//!
//! Needs root and a kernel with IPVS; where either is missing every test fails and says so. What needs GUE on tunnel
//! devices, which User-Mode Linux lacks, is named `gue::…`: leave it out there with `--skip gue::`. What measures is
//! ignored unless asked for with `--ignored`.

mod ipvs;
mod links;
mod sends;
mod speed;
mod sysctls;
mod world;

use libtest_mimic::{Arguments, Trial};

#[expect(clippy::disallowed_macros, reason = "a test's helper process says what it saw")]
fn main() {
    if std::env::args().nth(1).as_deref() == Some(sends::READ) {
        println!("{}", sends::read());
        return;
    }
    let arguments = Arguments::from_args();
    let trials: Vec<Trial> =
        [ipvs::tests(), links::tests(), sends::tests(), sysctls::tests(), speed::tests()].into_iter().flatten().collect();
    libtest_mimic::run(&arguments, trials).exit();
}
