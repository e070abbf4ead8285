//! The command line: one file per command, and this table.
//!
//! Invariant: only these files read arguments, print, or decide exit codes: 0 for success, 1 for problems in what the user
//! gave, 2 for wrong usage, 3 for a fault of ours. Results go to stdout, everything else to stderr.

mod bench;
mod calibrate;
mod check;
mod compile;
mod fixed_sizes;
mod fmt;
mod graph;
mod grid;
mod inspect;
mod ir;
mod ops;
mod opt;
mod options;
mod output;
mod run;
mod source;
mod stages;
mod targets;
mod term;
mod train;

use std::process::ExitCode;
use std::sync::OnceLock;

use clap::{Parser, Subcommand};
use tilewright::{Backend, Target};

use self::term::Failure;

/// A declarative model compiler: architectures in, machine code out.
#[derive(Parser)]
#[command(name = "tw", version, long_version = long_version(), max_term_width = 100, after_help = EXAMPLES)]
#[command(arg_required_else_help = true)]
struct Cli {
    /// Say more on stderr: times of stages, decisions of passes
    #[arg(short, long, global = true)]
    verbose: bool,
    /// Say nothing on stderr but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  tw check specs/vision/vit.tw
  tw inspect specs/vision/vit.tw --preset b16
  tw run specs/vision/vit.tw --preset digits --weights specs/vision/digits/weights.safetensors \\
         --input pixels=specs/vision/digits/held_out.npz:pixels
  tw ir specs/vision/vit.tw --preset digits --stage kernel

Exit codes: 0 success, 1 a problem in a spec or in data, 2 wrong usage, 3 a fault of the compiler.";

#[derive(Subcommand)]
enum Command {
    Check(check::Args),
    Fmt(fmt::Args),
    Inspect(inspect::Args),
    Compile(compile::Args),
    Run(run::Args),
    Train(train::Args),
    Ir(ir::Args),
    Opt(opt::Args),
    Ops(ops::Args),
    Graph(graph::Args),
    Bench(bench::Args),
    Targets(targets::Args),
}

pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    term::set_volume(cli.verbose, cli.quiet);
    let result = match cli.command {
        Command::Check(args) => check::run(args),
        Command::Fmt(args) => fmt::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Compile(args) => compile::run(args),
        Command::Run(args) => run::run(args),
        Command::Train(args) => train::run(args),
        Command::Ir(args) => ir::run(args),
        Command::Opt(args) => opt::run(args),
        Command::Ops(args) => ops::run(args),
        Command::Graph(args) => graph::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Targets(args) => targets::run(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Quiet(code)) => ExitCode::from(code),
        Err(Failure::Closed) => ExitCode::SUCCESS,
        Err(Failure::Error(error)) => {
            term::show_error(&error);
            ExitCode::from(if error.is_internal() { 3 } else { 1 })
        }
        Err(Failure::Usage(message)) => {
            term::show_message("error", &message);
            ExitCode::from(2)
        }
    }
}

/// The backends of this build and the machine they compile for, where that is asked for.
fn long_version() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    if !std::env::args_os().any(|argument| argument == "--version") {
        return env!("CARGO_PKG_VERSION");
    }
    TEXT.get_or_init(|| {
        let mut text = env!("CARGO_PKG_VERSION").to_string();
        for backend in Backend::AVAILABLE {
            text += &format!("\nbackend {}: {}", backend.name(), backend.version());
        }
        text + &format!("\ntarget {}", Target::host())
    })
}
