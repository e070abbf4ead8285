//! `tw ops`: what a spec can call, from the op table and that of built-in functions.

use std::fmt::Write;

use tilewright::Error;
use tilewright::compiler::diag::suggest;
use tilewright::compiler::front::elaborate::Callable;
use tilewright::compiler::front::elaborate::elsewhere::written;
use tilewright::compiler::graph::{Default, Gradient, OpDef, Operands};

use super::term::{Outcome, print};

/// List what a spec can call
///
/// Ops and built-in functions, with what they take: in front of `;` tensors, behind it what is known when compiling. `..`
/// marks any number, `?` what may be left out. With a name, all there is to know of that one.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  tw ops\n  tw ops softmax\n  tw ops --json")]
pub struct Args {
    /// One of them, such as softmax
    name: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Outcome {
    let all = match &args.name {
        Some(name) => vec![Callable::find(name).ok_or_else(|| unknown(name))?],
        None => Callable::all(),
    };
    if args.json {
        let rows: Vec<serde_json::Value> = all.iter().map(json).collect();
        return print(&format!("{:#}\n", serde_json::Value::Array(rows)));
    }
    match (&args.name, all.as_slice()) {
        (Some(_), [one]) => print(&page(one)),
        _ => print(&all.iter().map(line).collect::<String>()),
    }
}

fn unknown(name: &str) -> Error {
    let names: Vec<&str> = Callable::all().iter().map(Callable::name).collect();
    let part = |own: &&str| name.len() > 2 && own.contains(name) || own.len() > 2 && name.contains(*own);
    let mut near: Vec<&str> = suggest(name, names.iter().copied()).into_iter().collect();
    near.extend(names.iter().copied().filter(part));
    near.dedup();
    let list = near.iter().take(NEAR).map(|near| format!("`{near}`")).collect::<Vec<_>>().join(", ");
    let help = match (written(name), near.is_empty()) {
        (Some(written), _) => format!("write {written}"),
        (None, false) => format!("did you mean {list}?"),
        (None, true) => "`tw ops` lists all there are".to_string(),
    };
    Error::Request { message: format!("there is no op and no function `{name}`"), help: Some(help) }
}

/// Names that a misspelt one may have meant.
const NEAR: usize = 5;

/// Columns of a signature in the list, and of a whole line.
const SIGNATURE: usize = 44;
const WIDTH: usize = 120;

/// The signature and how the description begins.
fn line(callable: &Callable) -> String {
    let about = callable.op().map_or("", |op| op.doc);
    let first = about.split_once(". ").map_or(about, |(first, _)| first).trim_end_matches('.');
    let line = format!("{:<SIGNATURE$}  {first}", callable.signature());
    match line.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}…\n", line[..end].trim_end()),
        None => format!("{}\n", line.trim_end()),
    }
}

fn page(callable: &Callable) -> String {
    let mut page = format!("{}\n", callable.signature());
    let is_function = matches!(callable, Callable::Function(_));
    match callable.op() {
        Some(op) if is_function => {
            page += &format!("\nA built-in function, made of the op of its name:\n\n{}\n", op.signature())
        }
        None => page += "\nA built-in function: the manual, specs/language.md, says what it gives.\n",
        _ => {}
    }
    let Some(op) = callable.op() else { return page };
    page += &format!("\n{}\n", op.doc);
    let width = op.attrs.iter().map(|attr| attr.name.len()).max().unwrap_or(0);
    for (idx, attr) in op.attrs.iter().enumerate() {
        let head = if idx == 0 { "\n" } else { "" };
        let absent = match attr.default {
            Default::Required => "; required".to_string(),
            Default::Absent => "; may be left out".to_string(),
            _ => {
                format!("; {}", attr.to_string().replacen(" = ", " is ", 1).replacen(attr.name, "where left out it", 1))
            }
        };
        writeln!(page, "{head}  {:<width$}  {}{absent}", attr.name, attr.kind.wanted()).expect("a string takes all");
    }
    page + &format!("\n{}\n", gradient(op))
}

fn gradient(op: &OpDef) -> String {
    match op.gradient {
        Gradient::None(why) => format!("`{}` {why}.", op.name),
        Gradient::Zero => "Its gradient is zero.".to_string(),
        _ => "It has a gradient.".to_string(),
    }
}

fn json(callable: &Callable) -> serde_json::Value {
    let op = callable.op();
    let operands = op.map(|op| match op.operands {
        Operands::Fixed(names) => serde_json::json!({ "names": names }),
        Operands::Variadic(names, rest) => serde_json::json!({ "names": names, "rest": rest }),
    });
    let attributes = op.map(|op| {
        let attrs = op.attrs.iter();
        attrs.map(|attr| serde_json::json!({ "name": attr.name, "signature": attr.to_string(), "kind": attr.kind.wanted() }))
            .collect::<Vec<_>>()
    });
    serde_json::json!({
        "name": callable.name(), "signature": callable.signature(), "doc": op.map(|op| op.doc),
        "function": matches!(callable, Callable::Function(_)), "operands": operands, "attributes": attributes,
    })
}
