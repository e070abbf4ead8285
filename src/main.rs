//! `tw`: the command line of Tilewright.

use std::process::ExitCode;

mod cli;

fn main() -> ExitCode {
    cli::main()
}
