//! `tw opt`: passes by name over a file of graphs, for people who write passes.

use std::path::PathBuf;

use tilewright::Error;
use tilewright::compiler::driver::CompileError;
use tilewright::compiler::graph::DType;
use tilewright::compiler::graph::print::print_module;
use tilewright::compiler::passes::{Context, Pass, pipeline, run_pipeline};

use super::options::Float;
use super::source::read_text;
use super::term::{Outcome, detail, print};

/// Run passes over a file of graphs and print what comes out
#[derive(clap::Args)]
#[command(after_help = passes_help())]
pub struct Args {
    /// A file of graphs (`.twir`)
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The passes, in this order; `all` is the pipeline of the compiler
    #[arg(long, value_name = "PASS,…", value_delimiter = ',', default_value = "all")]
    passes: Vec<String>,
    /// What floats without a written type become
    #[arg(long, value_enum, default_value_t = Float::F32)]
    float: Float,
    /// Verify the graphs after each pass
    #[arg(long)]
    verify: bool,
    /// Print the graphs after each pass, not only at the end
    #[arg(long)]
    each: bool,
}

pub fn run(args: Args) -> Outcome {
    let passes = chosen(&args.passes)?;
    let text = read_text(&args.file)?;
    let model = tilewright::model_from_text(&args.file.to_string_lossy(), &text)?;
    let show = |pass: &'static str, graph: &tilewright::compiler::graph::Graph| {
        let _ = print(&format!("// after {pass}\n{graph}\n"));
    };
    let mut context = Context::default();
    context.verify = args.verify;
    context.float = if args.float == Float::F64 { DType::F64 } else { DType::F32 };
    context.dump = if args.each { Some(&show) } else { None };
    let mut graphs = Vec::new();
    for entry in &model.entries {
        let graph =
            run_pipeline(entry, &passes, &context).map_err(|error| Error::Compile(CompileError::Pass(error)))?;
        context.take_remarks().iter().for_each(detail);
        graphs.push(graph);
    }
    if args.each { Ok(()) } else { print(&print_module(&graphs)) }
}

fn chosen(names: &[String]) -> Result<Vec<&'static Pass>, Error> {
    let mut passes = Vec::new();
    for name in names {
        match name.as_str() {
            "all" => passes.extend(pipeline::PIPELINE.iter().copied()),
            name => passes.push(find(name)?),
        }
    }
    Ok(passes)
}

/// The pass of this name, or an error that lists those there are.
pub fn find(name: &str) -> Result<&'static Pass, Error> {
    let known = pipeline::PASSES.iter().map(|pass| pass.name);
    pipeline::find(name).ok_or_else(|| Error::unknown("pass", name, known))
}

fn passes_help() -> String {
    let mut help = "Passes:\n".to_string();
    for pass in pipeline::PASSES {
        help += &format!("  {:<14} {}\n", pass.name, pass.doc);
    }
    help + "\nExamples:\n  tw opt model.twir --passes expand,canonicalize --verify\n  tw opt model.twir --each"
}
