//! The `protovae` program; everything it does is in the library.

use std::process::ExitCode;

// A step of training allocates some thousand pieces of memory, most of them small, on one thread: the system's allocator takes
// 2 to 7 % of the step's time more.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    protovae_cli::main()
}
