//! The program `tocsin`; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    tocsin_console::run(std::env::args_os())
}
