//! `tw ir`: what a spec looks like at any stage of its way to machine code.

use std::cell::RefCell;

use clap::ValueEnum;
use tilewright::compiler::codegen::{Backend, Unit, compile, llvm};
use tilewright::compiler::driver::{self, CompileError};
use tilewright::compiler::graph::Graph;
use tilewright::{Error, Model, Options};

use super::opt;
use super::options::Compilation;
use super::source::Source;
use super::term::{Failure, Outcome, print};

/// Print a model at a stage of its way to machine code
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  tw ir specs/vision/vit.tw --preset digits\n  \
    tw ir specs/vision/vit.tw --preset digits --stage graph --after canonicalize\n  \
    tw ir specs/vision/vit.tw --preset digits --stage kernel\n  \
    tw ir specs/vision/vit.tw --preset digits --stage llvm --kernel contract_add")]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Which entry; all of them if none is named
    #[arg(long, value_name = "NAME")]
    entry: Option<String>,
    /// Which form
    #[arg(long, value_enum, default_value_t = Stage::Graph)]
    stage: Stage,
    /// The graph after the first run of this pass; `input` is before all of them
    #[arg(long, value_name = "PASS")]
    after: Option<String>,
    /// Only kernels whose name holds this
    #[arg(long, value_name = "TEXT")]
    kernel: Option<String>,
    #[command(flatten)]
    compilation: Compilation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Stage {
    /// The syntax tree of the file
    Ast,
    /// The Graph IR; as elaborated, or after a pass
    Graph,
    /// Steps and memory
    Plan,
    /// The Kernel IR of tiles
    Kernel,
    /// The Kernel IR of loops, as backends print it
    Loop,
    /// What LLVM is given
    Llvm,
    /// What Cranelift is given
    Clif,
    /// The shaders of a GPU
    Wgsl,
    /// The kernels of an NVIDIA GPU
    Cuda,
    /// Machine code
    Asm,
}

pub fn run(args: Args) -> Outcome {
    if args.after.is_some() && args.stage != Stage::Graph {
        return Err(Failure::Usage("`--after` goes with `--stage graph`".to_string()));
    }
    if args.stage == Stage::Ast {
        return ast(&args);
    }
    let loaded = args.source.load(args.entry.as_slice())?;
    let entries = match &args.entry {
        Some(name) => vec![loaded.entry(Some(name))?],
        None => Vec::new(),
    };
    let options = args.compilation.options(entries)?;
    match args.stage {
        Stage::Graph => graphs(&args, &loaded.model, &options),
        _ => kernels(&args, &loaded.model, &options),
    }
}

fn ast(args: &Args) -> Outcome {
    let spec = tilewright::Spec::open(&args.source.file)?;
    let file = spec.program.files.first();
    print(&file.map_or(String::new(), |file| tilewright::compiler::front::ast::dump::file(&file.ast)))
}

fn graphs(args: &Args, model: &Model, options: &Options) -> Outcome {
    let after = args.after.as_deref().unwrap_or("input");
    if after != "input" {
        opt::find(after)?;
    }
    for entry in &model.entries {
        if options.entries.is_empty() || options.entries.contains(&entry.name) {
            print(&graph_after(entry, after, options)?.to_string())?;
        }
    }
    Ok(())
}

fn graph_after(entry: &Graph, after: &str, options: &Options) -> Result<Graph, Failure> {
    let found = RefCell::new((after == "input").then(|| entry.clone()));
    let keep = |pass: &'static str, graph: &Graph| {
        if pass == after {
            found.borrow_mut().get_or_insert_with(|| graph.clone());
        }
    };
    if found.borrow().is_none() {
        driver::lower_watched(vec![entry.clone()], options, Some(&keep)).map_err(Error::Compile)?;
    }
    let graph = found.borrow_mut().take();
    graph.ok_or_else(|| Error::request(format!("the pipeline does not run `{after}`")).into())
}

fn kernels(args: &Args, model: &Model, options: &Options) -> Outcome {
    let backend = match args.stage {
        Stage::Llvm => Backend::Llvm,
        Stage::Clif => Backend::Cranelift,
        Stage::Wgsl => Backend::Wgsl,
        Stage::Cuda => Backend::Cuda,
        _ => options.backend,
    };
    let options = Options { backend, ..options.clone() };
    let lowered = driver::lower_entries(model, &options).map_err(Error::from)?;
    let planned = driver::plan_entries(model, &lowered, &options).map_err(Error::from)?;
    if args.stage == Stage::Plan {
        return print(&tilewright::compiler::plan::print::program(&planned.program));
    }
    let wanted = |name: &str| args.kernel.as_ref().is_none_or(|text| name.contains(text.as_str()));
    let tiles: Vec<_> = planned.kernels.into_iter().filter(|kernel| wanted(&kernel.name)).collect();
    if args.stage == Stage::Kernel {
        return tiles.iter().try_for_each(|kernel| print(&format!("{kernel}\n")));
    }
    let loops = driver::lower_kernels(&tiles, &options).map_err(Error::from)?;
    if args.stage == Stage::Loop {
        return loops.iter().try_for_each(|kernel| print(&format!("{kernel}\n")));
    }
    let units: Vec<Unit> = loops.iter().map(|kernel| Unit { symbol: &kernel.name, kernel }).collect();
    let failed = |error| Error::Compile(CompileError::Codegen(error));
    match args.stage {
        Stage::Llvm => print(&llvm::print(&units, &options.target).map_err(failed)?),
        Stage::Clif => {
            print(&tilewright::compiler::codegen::cranelift::print(&units, &options.target).map_err(failed)?)
        }
        Stage::Wgsl => print(&tilewright::compiler::codegen::wgsl::print(&units).map_err(failed)?),
        Stage::Cuda => print(&tilewright::compiler::codegen::cuda::print(&units).map_err(failed)?),
        Stage::Asm if backend.is_for_gpus() => {
            Err(Failure::Usage("drivers make the machine code of GPUs: see `--stage wgsl` or `cuda`".to_string()))
        }
        _ => {
            driver::ask_for_code(&options).map_err(Error::from)?;
            let object = compile(&units, backend, &options.target).map_err(failed)?;
            print(&disassembly(&object)?)
        }
    }
}

/// The machine code as `objdump` shows it.
fn disassembly(object: &[u8]) -> Result<String, Failure> {
    let name = format!("tilewright-{}.o", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, object)
        .map_err(|error| Error::request(format!("cannot write `{}`: {error}", path.display())))?;
    let output = std::process::Command::new("objdump").args(["-d", "--no-show-raw-insn"]).arg(&path).output();
    let _ = std::fs::remove_file(&path);
    match output {
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        _ => Err(Error::Request {
            message: "machine code is shown by `objdump`, which cannot be run here".to_string(),
            help: Some("install binutils, or look at `--stage llvm` or `--stage clif`".to_string()),
        }
        .into()),
    }
}
