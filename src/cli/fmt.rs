//! `tw fmt`: one layout for every spec.

use std::io::Write;
use std::path::{Path, PathBuf};

use tilewright::compiler::diag::{Diagnostic, SourceMap};
use tilewright::compiler::front::format::format_source;
use tilewright::runtime::files;
use tilewright::{Error, Spec};

use super::output::cannot_write;
use super::source::read_at_most;
use super::term::{Failure, Outcome, note, print, show_error};

/// Lay out specs; comments stay, meaning does not change
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  tw fmt specs/vision/vit.tw\n  tw fmt --check specs/*/*.tw\n  tw fmt - < draft.tw")]
pub struct Args {
    /// Files to rewrite; `-` reads stdin and writes stdout
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Change nothing; exit with 1 if a file is laid out otherwise
    #[arg(long)]
    check: bool,
}

pub fn run(args: Args) -> Outcome {
    let mut n_bad = 0;
    for file in &args.files {
        match format_file(file, args.check) {
            Ok(true) => {}
            Ok(false) => n_bad += 1,
            Err(Failure::Error(error)) => {
                show_error(&error);
                n_bad += 1;
            }
            Err(other) => return Err(other),
        }
    }
    if n_bad > 0 { Err(Failure::Quiet(1)) } else { Ok(()) }
}

/// Whether all is well.
fn format_file(file: &Path, check: bool) -> Result<bool, Failure> {
    let stdin = file.as_os_str() == "-";
    let text = if stdin { read_stdin()? } else { read_at_most(file, Spec::MOST_BYTES)? };
    let name = if stdin { "stdin".into() } else { file.to_string_lossy() };
    let formatted = format_source(&text).map_err(|diagnostics| spec_error(&name, &text, diagnostics))?;
    if check {
        if formatted != text {
            note(format!("{name} is laid out otherwise"));
        }
        return Ok(formatted == text);
    }
    if stdin {
        print(&formatted)?;
    } else if formatted != text {
        let written = files::write_whole(file, |file| file.write_all(formatted.as_bytes()));
        written.map_err(|error| cannot_write(file, &error))?;
        note(format!("laid out {name}"));
    }
    Ok(true)
}

fn read_stdin() -> Result<String, Failure> {
    let text = files::text_of(std::io::stdin(), Spec::MOST_BYTES);
    text.map_err(|error| Error::request(format!("cannot read stdin: {error}")).into())
}

fn spec_error(name: &str, text: &str, diagnostics: Vec<Diagnostic>) -> Error {
    let mut sources = SourceMap::new();
    sources.add(name, text);
    Error::Spec { diagnostics, sources }
}
