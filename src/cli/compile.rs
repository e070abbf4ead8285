//! `tw compile`: a model as one file that runs without its spec.

use std::path::PathBuf;

use tilewright::compiler::driver;
use tilewright::runtime::error::ByteCount;
use tilewright::runtime::weights::WeightMap;

use super::calibrate::Calibrate;
use super::options::Compilation;
use super::run::{WeightSource, load, wanted};
use super::source::Source;
use super::term::{Failure, Outcome, detail, hide_progress, note, print, while_compiling};

/// Compile a model into one file
///
/// The file holds the plan, the kernels' text and their machine code, but no weights. `tw run` takes it in the place of a
/// spec; it makes the machine code anew unless it is told to trust the file.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  tw compile specs/vision/vit.tw --preset b16 -o vit.twprog\n  \
    tw compile specs/language/gpt2.tw --preset small --entry decode --dim B=1 -o gpt2.twprog\n  \
    tw compile model.tw --backend cranelift --target x86-64-v3 -o model.twprog")]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Where the program goes
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The entries to compile; all of them if none is named
    #[arg(long = "entry", value_name = "NAME")]
    entries: Vec<String>,
    #[command(flatten)]
    compilation: Compilation,
    #[command(flatten)]
    calibrate: Calibrate,
    /// Weights to calibrate with, from safetensors files; the compiled file holds none
    #[arg(long, short, value_name = "FILE", num_args = 1.., requires = "files")]
    weights: Vec<PathBuf>,
    /// Say what was written as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Outcome {
    if args.compilation.interprets() {
        return Err(Failure::Usage("the interpreter makes no code: use `llvm` or `cranelift`".to_string()));
    }
    if args.json {
        hide_progress();
    }
    let loaded = args.source.load()?;
    args.calibrate.check(&args.compilation)?;
    let mut options = args.compilation.options(args.entries.clone())?;
    if args.calibrate.is_asked() {
        let entry = loaded.entry(args.entries.first().map(String::as_str))?;
        let (whole, source) = (options.clone(), WeightSource::Files(args.weights.clone()));
        args.calibrate.look(&mut options, &loaded.model, &entry, || {
            load(&source, &wanted(&loaded.model), &WeightMap::default(), None, &whole, 0)
        })?;
    }
    let compiled = while_compiling(&options, |options| driver::compile(&loaded.model, options))?;
    compiled.remarks.iter().for_each(detail);
    let program = &compiled.program;
    program.write_file(&args.output)?;
    let bytes = std::fs::metadata(&args.output).map_or(0, |facts| facts.len());
    let total = compiled.times.total().as_secs_f64();
    if args.json {
        let entries: Vec<&str> = program.entries.iter().map(|entry| entry.name.as_str()).collect();
        let facts = serde_json::json!({
            "file": args.output, "bytes": bytes, "kernels": program.kernels.len(), "entries": entries,
            "seconds": total, "backend": options.backend.name(), "target": options.target.to_string(),
        });
        return print(&format!("{facts:#}\n"));
    }
    let n_kernels = program.kernels.len();
    let size = ByteCount(bytes);
    note(format!("wrote {} ({size}, {n_kernels} kernels) in {total:.2} s", args.output.display()));
    Ok(())
}
