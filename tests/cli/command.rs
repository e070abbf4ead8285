//! Runs `tw` and keeps what it said.

use std::path::Path;
use std::process::{Command, Output};

/// Runs the trained model of digits on those that were held out.
pub const DIGITS: [&str; 8] = [
    "run",
    "specs/vision/vit.tw",
    "--preset",
    "digits",
    "--weights",
    DIGITS_WEIGHTS,
    "--input",
    "specs/vision/digits/held_out.npz",
];
pub const DIGITS_WEIGHTS: &str = "specs/vision/digits/weights.safetensors";

pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    /// Everything, for snapshots.
    pub fn all(&self) -> String {
        format!("exit code {}\n--- stdout\n{}--- stderr\n{}", self.code, self.out, self.err)
    }
}

/// Runs `tw` in the root of the repository, without a cache and without colours.
pub fn tw(args: &[&str]) -> Said {
    said(command(args).output().expect("tw can be started"))
}

pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tw"));
    command.args(args).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")));
    command.env("TILEWRIGHT_CACHE", "off").env("NO_COLOR", "1").env("COLUMNS", "100");
    command
}

pub fn said(output: Output) -> Said {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
}

/// The backends of this build.
pub fn backends() -> &'static [&'static str] {
    if cfg!(feature = "llvm") { &["llvm", "cranelift"] } else { &["cranelift"] }
}
