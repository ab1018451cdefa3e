//! `tocsin-agent`: hands its arguments to the library and ends with its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    tocsin_agent::main(env!("CARGO_PKG_VERSION"), std::env::args_os())
}
