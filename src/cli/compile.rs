//! `tw compile`: a model as one file that runs without its spec.

use std::path::{Path, PathBuf};

use tilewright::compiler::driver;
use tilewright::runtime::error::ByteCount;
use tilewright::runtime::program::{Entry, Program, Step};
use tilewright::runtime::weights::WeightMap;
use tilewright::{Backend, Error, check_extents};

use super::calibrate::Calibrate;
use super::options::Compilation;
use super::output;
use super::run::{WeightSource, load, wanted};
use super::source::Source;
use super::stages;
use super::term::{Failure, Outcome, detail, hide_progress, note, print, while_compiling};

/// Compile a model into one file
///
/// The file holds the plan, the kernels' text and their machine code, but no weights. `tw run` takes it in the place of a
/// spec; it makes the machine code anew unless it is told to trust the file.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  tw compile specs/vision/vit.tw --preset b16 -o vit.twprog\n  \
    tw compile specs/language/gpt2.tw --preset small --entry decode --dim B=1 -o gpt2.twprog\n  \
    tw compile model.tw --backend cranelift --target x86-64-v3 -o model.twprog\n  \
    tw compile specs/vision/vit.tw --preset digits --target cuda --emit kernels")]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Where the program goes
    #[arg(short, long, value_name = "FILE", required_unless_present = "emit")]
    output: Option<PathBuf>,
    /// Write the text of each kernel into this folder, with the lines of the spec that it comes from; for GPUs
    #[arg(long, value_name = "DIR")]
    emit: Option<PathBuf>,
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
    args.output.as_deref().map(output::check).transpose()?;
    let loaded = args.source.load(&args.entries)?;
    args.calibrate.check(&args.compilation)?;
    let mut options = args.compilation.options(args.entries.clone())?;
    if args.calibrate.is_asked() {
        let entry = loaded.entry(args.entries.first().map(String::as_str))?;
        let (whole, source) = (options.clone(), WeightSource::Files(args.weights.clone()));
        args.calibrate.look(&mut options, &loaded.model, &entry, || {
            load(&source, &wanted(&loaded.model, whole.float), &WeightMap::default(), None, &whole, 0)
        })?;
    }
    check_extents(&loaded.model)?;
    let compiled = while_compiling(&options, |options| driver::compile(&loaded.model, options))?;
    compiled.remarks.iter().for_each(detail);
    let program = &compiled.program;
    stages::compiled(&compiled.times, program.kernels.len());
    if let Some(folder) = &args.emit {
        emit(program, options.backend, folder)?;
    }
    let Some(output) = &args.output else { return Ok(()) };
    program.write_file(output)?;
    let bytes = std::fs::metadata(output).map_or(0, |facts| facts.len());
    let total = compiled.times.total().as_secs_f64();
    if args.json {
        let entries: Vec<&str> = program.entries.iter().map(|entry| entry.name.as_str()).collect();
        let facts = serde_json::json!({
            "file": output, "bytes": bytes, "kernels": program.kernels.len(), "entries": entries,
            "seconds": total, "backend": options.backend.name(), "target": options.target.to_string(),
        });
        return print(&format!("{facts:#}\n"));
    }
    let n_kernels = program.kernels.len();
    let size = ByteCount(bytes);
    note(format!("wrote {} ({size}, {n_kernels} kernels) in {total:.2} s", output.display()));
    Ok(())
}

/// One file for each kernel.
fn emit(program: &Program, backend: Backend, folder: &Path) -> Outcome {
    let ending = match backend {
        Backend::Wgsl => "wgsl",
        Backend::Cuda => "cu",
        _ => {
            let message = "kernels for CPUs are machine code: `tw ir` shows what it is made of".to_string();
            return Err(Failure::Usage(message));
        }
    };
    let failed = |error: std::io::Error| Error::request(format!("cannot write to `{}`: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let origins = origins(program);
    for (kernel, origins) in program.kernels.iter().zip(&origins) {
        let text = kernel.object.map_or(&[][..], |blob| program.blob(blob));
        let mut file = origins.iter().fold(String::new(), |head, origin| format!("{head}// {origin}\n")).into_bytes();
        file.extend_from_slice(text);
        std::fs::write(folder.join(format!("{}.{ending}", kernel.name)), file).map_err(failed)?;
    }
    note(format!("wrote {} kernels to {}", program.kernels.len(), folder.display()));
    Ok(())
}

/// For each kernel, the labels of the steps that launch it.
fn origins(program: &Program) -> Vec<Vec<String>> {
    let mut origins = vec![Vec::new(); program.kernels.len()];
    for entry in &program.entries {
        let mut number = 0;
        collect(entry, &entry.steps, &mut number, &mut origins);
    }
    origins
}

fn collect(entry: &Entry, steps: &[Step], number: &mut usize, origins: &mut [Vec<String>]) {
    for step in steps {
        if let Step::Launch { kernel, .. } = step {
            let label = format!("{} {}", entry.name, entry.label(*number));
            let known = &mut origins[kernel.0 as usize];
            if !known.contains(&label) {
                known.push(label);
            }
        }
        *number += 1;
        step.blocks().into_iter().for_each(|block| collect(entry, block, number, origins));
    }
}
