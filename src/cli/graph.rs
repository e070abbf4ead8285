//! `tw graph`: a graph as a drawing for Graphviz.

use std::fmt::Write;

use tilewright::Error;
use tilewright::compiler::driver::CompileError;
use tilewright::compiler::graph::{ARGUMENT, Graph, Value};
use tilewright::compiler::passes::{Context, pipeline, run_pipeline};

use super::source::Source;
use super::term::{Outcome, print};

/// Draw the graph of an entry, in the language of Graphviz
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  tw graph specs/vision/vit.tw --preset digits | dot -Tsvg > vit.svg\n  \
    tw graph specs/vision/vit.tw --preset digits --optimized | dot -Tsvg > fused.svg")]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Which entry
    #[arg(long, value_name = "NAME")]
    entry: Option<String>,
    /// Draw it after all passes
    #[arg(long)]
    optimized: bool,
}

pub fn run(args: Args) -> Outcome {
    let loaded = args.source.load_one(args.entry.as_deref())?;
    let name = loaded.entry(args.entry.as_deref())?;
    let Some(entry) = loaded.model.entry(&name) else { return Ok(()) };
    let graph = match args.optimized {
        true => {
            let lowered = run_pipeline(entry, pipeline::PIPELINE, &Context::default());
            lowered.map_err(|error| Error::Compile(CompileError::Pass(error)))?
        }
        false => entry.clone(),
    };
    print(&dot(&graph))
}

fn dot(graph: &Graph) -> String {
    let mut out = format!("digraph \"{}\" {{\n  rankdir=TB; node [shape=box, fontname=\"sans-serif\"];\n", graph.name);
    nodes(graph, "n", 1, &mut out);
    for (idx, output) in graph.outputs().iter().enumerate() {
        let ty = graph.type_of(output.value);
        let _ = writeln!(out, "  out{idx} [label=\"{}\\n{ty}\", shape=ellipse];", escaped(&output.name));
        let _ = writeln!(out, "  {} -> out{idx};", place("n", output.value));
    }
    out + "}\n"
}

/// The nodes and edges of a graph; regions are boxes around theirs.
fn nodes(graph: &Graph, prefix: &str, depth: usize, out: &mut String) {
    let pad = "  ".repeat(depth);
    for id in graph.node_ids() {
        let node = graph.node(id);
        let types: Vec<String> = node.types.iter().map(|ty| ty.to_string()).collect();
        let argument = graph.arguments().iter().find(|argument| argument.value.node == id);
        let (name, shape) = match argument {
            Some(argument) => (argument.name.as_str(), "ellipse"),
            None => (node.op.name, "box"),
        };
        debug_assert!(argument.is_some() || node.op.name != ARGUMENT.name);
        let label = format!("{}\\n{}", escaped(name), types.join("\\n"));
        let own = format!("{prefix}{}", id.index());
        let _ = writeln!(out, "{pad}{own} [label=\"{label}\", shape={shape}];");
        for operand in graph.operands(id) {
            let _ = writeln!(out, "{pad}{} -> {own};", place(prefix, operand));
        }
        for (idx, region) in node.regions.iter().enumerate() {
            let inner = format!("{own}_{idx}_");
            let _ = writeln!(out, "{pad}subgraph cluster_{inner} {{ label=\"{}\";", escaped(node.op.name));
            nodes(region, &inner, depth + 1, out);
            let _ = writeln!(out, "{pad}}}");
        }
    }
}

fn place(prefix: &str, value: Value) -> String {
    format!("{prefix}{}", value.node.index())
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
