//! `tocsin-guard`: hands its arguments to the library and ends with its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    tocsin_agent::guard(env!("CARGO_PKG_VERSION"), std::env::args_os())
}
