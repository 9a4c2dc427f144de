//! The `protovae` program; everything it does is in the library.

use std::process::ExitCode;

// A step of training allocates some thousand pieces of memory, most of them small and on one thread.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    protovae_cli::main()
}
