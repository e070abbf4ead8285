//! Everything that can go wrong between a spec and its outputs, as one type.

use std::fmt;

use tilewright_compiler::diag::{Diagnostic, SourceMap, Theme, render};
use tilewright_compiler::driver::CompileError;
use tilewright_compiler::graph::EvalError;
use tilewright_runtime::RunError;

#[derive(Debug)]
pub enum Error {
    /// The spec is wrong; the sources are those that the places speak of.
    Spec {
        diagnostics: Vec<Diagnostic>,
        sources: SourceMap,
    },
    /// Something was asked for that is not there.
    Request {
        message: String,
        help: Option<String>,
    },
    Compile(CompileError),
    Run(RunError),
    /// The reference interpreter refused.
    Eval(EvalError),
}

impl Error {
    pub fn request(message: impl Into<String>) -> Error {
        Error::Request { message: message.into(), help: None }
    }

    /// That `name` is none of the known ones, with the nearest of them.
    pub fn unknown<'a>(what: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> Error {
        let known: Vec<&str> = known.into_iter().collect();
        let help = tilewright_compiler::diag::suggest(name, known.iter().copied());
        let list = match known.is_empty() {
            true => "there is none".to_string(),
            false => {
                format!("there is {}", known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))
            }
        };
        Error::Request {
            message: format!("there is no {what} `{name}`: {list}"),
            help: help.map(|close| format!("did you mean `{close}`?")),
        }
    }

    /// Whether this is a fault of the compiler, not of what it was given.
    pub fn is_internal(&self) -> bool {
        matches!(self, Error::Compile(error) if error.is_internal())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let help = match self {
            Error::Spec { diagnostics, sources } => {
                for diagnostic in diagnostics {
                    f.write_str(&render(diagnostic, sources, &Theme::plain()))?;
                }
                return Ok(());
            }
            Error::Run(error) => return write!(f, "{error}"),
            Error::Eval(error) => return write!(f, "{error}"),
            Error::Compile(error) => {
                write!(f, "{error}")?;
                error.help().map(str::to_string)
            }
            Error::Request { message, help } => {
                f.write_str(message)?;
                help.clone()
            }
        };
        match help {
            Some(help) => write!(f, "\n  = help: {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

impl From<CompileError> for Error {
    fn from(error: CompileError) -> Error {
        Error::Compile(error)
    }
}

impl From<RunError> for Error {
    fn from(error: RunError) -> Error {
        Error::Run(error)
    }
}

impl From<EvalError> for Error {
    fn from(error: EvalError) -> Error {
        Error::Eval(error)
    }
}
