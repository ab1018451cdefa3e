//! The `tocsin-server` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    tocsin_server::command::main()
}
