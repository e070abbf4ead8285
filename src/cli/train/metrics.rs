//! What steps report, one JSON object a line.
//!
//! Invariant: a file that training goes on with holds each round once: lines of rounds after the checkpoint, which will be
//! taken again, are dropped, and so is a line that was cut off.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use tilewright::Error;
use tilewright::runtime::files;

use super::super::output::cannot_write;
use super::super::term::Outcome;

pub struct Metrics {
    file: BufWriter<File>,
}

impl Metrics {
    /// A file whose rounds before `round` stay.
    pub fn open(path: &Path, round: u64) -> Result<Metrics, Error> {
        let failed = |error| cannot_write(path, &error);
        let before = if round > 0 { fs::read_to_string(path).unwrap_or_default() } else { String::new() };
        let is_kept = |line: &&str| match serde_json::from_str::<serde_json::Value>(line) {
            Ok(report) => report["round"].as_u64().is_some_and(|of| of < round),
            Err(_) => false,
        };
        let kept: String = before.lines().filter(is_kept).map(|line| format!("{line}\n")).collect();
        files::write_whole(path, |file| file.write_all(kept.as_bytes())).map_err(failed)?;
        let file = File::options().append(true).open(path).map_err(failed)?;
        Ok(Metrics { file: BufWriter::new(file) })
    }

    pub fn report(&mut self, round: u64, step: &str, reported: &[(String, f64)]) -> Outcome {
        let mut line = serde_json::Map::new();
        line.insert("round".to_string(), round.into());
        line.insert("step".to_string(), step.into());
        line.extend(reported.iter().map(|(name, value)| (name.clone(), (*value).into())));
        let failed = |error| Error::request(format!("cannot write the metrics: {error}"));
        Ok(writeln!(self.file, "{}", serde_json::Value::Object(line)).map_err(failed)?)
    }

    pub fn flush(&mut self) -> Outcome {
        let failed = |error| Error::request(format!("cannot write the metrics: {error}"));
        Ok(self.file.flush().map_err(failed)?)
    }
}
