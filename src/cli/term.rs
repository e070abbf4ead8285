//! The terminal: colours where there is one, errors as pictures, notes on stderr, progress bars.
//!
//! Invariant: what goes to a file or a pipe holds no escape sequences, and no progress.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};
use tilewright::compiler::diag::{Severity, Theme, render};
use tilewright::{Error, Options, Progress};

/// Why a command ends without success.
pub enum Failure {
    Error(Error),
    /// A wrong combination of arguments.
    Usage(String),
    /// Everything was said.
    Quiet(u8),
    /// Whoever read the output has had enough.
    Closed,
}

pub type Outcome = Result<(), Failure>;

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Error(error.into())
    }
}

static SHOWS_PROGRESS: AtomicBool = AtomicBool::new(true);

/// 0 quiet, 1 normal, 2 verbose.
static VOLUME: AtomicU8 = AtomicU8::new(1);

pub fn set_volume(verbose: bool, quiet: bool) {
    VOLUME.store(if verbose { 2 } else { u8::from(!quiet) }, Ordering::Relaxed);
}

pub fn is_verbose() -> bool {
    VOLUME.load(Ordering::Relaxed) >= 2
}

pub const GOOD: Style = AnsiColor::Green.on_default();
pub const BAD: Style = AnsiColor::Red.on_default().bold();
pub const STRONG: Style = Style::new().bold();
pub const FAINT: Style = Style::new().dimmed();

/// Text in a style; what is not a terminal gets the text alone, as `anstream` sees to.
pub fn styled(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Prints to stdout.
pub fn print(text: &str) -> Outcome {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::Closed),
        Err(error) => Err(Error::request(format!("cannot write to stdout: {error}")).into()),
    }
}

/// Something worth knowing, unless the user wants quiet.
pub fn note(text: impl std::fmt::Display) {
    if VOLUME.load(Ordering::Relaxed) >= 1 {
        anstream::eprintln!("{text}");
    }
}

/// Something for those who asked for more.
pub fn detail(text: impl std::fmt::Display) {
    if is_verbose() {
        anstream::eprintln!("{}", styled(FAINT, text));
    }
}

pub fn show_message(kind: &str, message: &str) {
    anstream::eprintln!("{}: {message}", styled(BAD, kind));
}

pub fn show_error(error: &Error) {
    match error {
        Error::Spec { diagnostics, sources } => {
            for diagnostic in diagnostics {
                anstream::eprint!("{}", render(diagnostic, sources, theme()));
            }
            let n_errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
            if n_errors > 1 {
                anstream::eprintln!("{n_errors} errors");
            }
        }
        Error::Compile(inner) if inner.is_internal() => {
            if let Some(dump) = inner.dump() {
                anstream::eprintln!("{dump}");
            }
            show_message("internal error", &error.to_string());
            anstream::eprintln!("  = this is a fault of the compiler; the text above is what it is about");
        }
        _ => show_message("error", &error.to_string()),
    }
}

/// Colours of diagnostics: those of a terminal, which `anstream` removes elsewhere.
fn theme() -> &'static Theme {
    static THEME: OnceLock<Theme> = OnceLock::new();
    THEME.get_or_init(|| {
        let text = |style: Style| style.to_string();
        Theme {
            error: text(BAD),
            warning: text(AnsiColor::Yellow.on_default().bold()),
            note: text(AnsiColor::Cyan.on_default().bold()),
            message: text(STRONG),
            frame: text(AnsiColor::Blue.on_default()),
            secondary: text(AnsiColor::Blue.on_default()),
            reset: "\u{1b}[0m".to_string(),
        }
    })
}

/// No progress from now on: the output is for a program.
pub fn hide_progress() {
    SHOWS_PROGRESS.store(false, Ordering::Relaxed);
}

/// A sign of life for work that may take long; nothing where nobody watches.
pub fn spinner(what: &str) -> ProgressBar {
    let wanted = SHOWS_PROGRESS.load(Ordering::Relaxed) && VOLUME.load(Ordering::Relaxed) >= 1;
    if !wanted || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner().with_message(what.to_string());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(std::time::Duration::from_millis(120));
    bar
}

/// A bar over a known amount of work; nothing where nobody watches.
pub fn progress(what: &str, total: u64) -> ProgressBar {
    let bar = spinner(what);
    if !bar.is_hidden() {
        bar.set_length(total);
        if let Ok(style) = ProgressStyle::with_template("{spinner} [{bar:24}] {pos}/{len} {eta} {wide_msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
    }
    bar
}

/// Compiles under a sign of life, which becomes a bar over the kernels as soon as there are some.
pub fn while_compiling<T>(options: &Options, compile: impl FnOnce(&Options) -> T) -> T {
    let bar = spinner("compiling");
    let moved = bar.clone();
    let progress = Progress::new(move |done, total, kernel| advance(&moved, done, total, kernel));
    let compiled = compile(&Options { progress, ..options.clone() });
    bar.finish_and_clear();
    compiled
}

fn advance(bar: &ProgressBar, done: usize, total: usize, kernel: &str) {
    if bar.length() != Some(total as u64) {
        bar.set_length(total as u64);
        if let Ok(style) = ProgressStyle::with_template("{spinner} compiling [{bar:24}] {pos}/{len} {wide_msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
    }
    bar.set_position(done as u64);
    bar.set_message(kernel.to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_counts_kernels_and_names_the_one_at_work() {
        let bar = ProgressBar::hidden();
        advance(&bar, 3, 12, "contract_7");
        assert_eq!((bar.position(), bar.length(), bar.message().as_str()), (3, Some(12), "contract_7"));
    }
}
