//! `tw inspect`: the tree of modules with what it costs.

mod cost;

use std::collections::BTreeMap;

use tilewright::compiler::driver;
use tilewright::compiler::graph::model::Module;
use tilewright::compiler::graph::{Dim, Member, Model, Symbol};
use tilewright::runtime::error::ByteCount;
use tilewright::{Error, Options, broken_promise};

pub use self::cost::total_macs;

use self::cost::{Costs, costs};
use super::options::Precision;
use super::source::{Loaded, Source};
use super::term::{Failure, Outcome, STRONG, print, styled};

/// Show the tree of modules: parameters, multiply-accumulates, memory
///
/// Counts depend on symbolic sizes such as B and H: give them with `--dim`, or see them as formulas. A preset's promised
/// parameter count is compared.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  tw inspect specs/vision/vit.tw --preset b16\n  \
    tw inspect specs/vision/resnet.tw --preset 50 --dim H=224 --dim W=224 --depth 1\n  \
    tw inspect specs/vision/vit.tw --preset b16 --json")]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Which entry is counted [default: `call`, or the only one]
    #[arg(long, value_name = "NAME")]
    entry: Option<String>,
    /// How many levels of the tree are shown
    #[arg(long, value_name = "N", default_value_t = 3)]
    depth: usize,
    /// List what stays in f32, and why, when compiled so
    #[arg(long, value_enum, value_name = "NUMBERS")]
    precision: Option<Precision>,
    /// Everything as JSON, the shape of each weight included
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Outcome {
    let loaded = args.source.load(args.entry.as_slice())?;
    let model = &loaded.model;
    let entry = match (&args.entry, loaded.entry(args.entry.as_deref())) {
        (Some(_), Err(failure)) => return Err(failure),
        (_, entry) => entry.ok(),
    };
    let sizes: BTreeMap<String, i64> = args.source.dims.iter().cloned().collect();
    let costs = match entry.as_deref().and_then(|name| model.entry(name)) {
        Some(graph) => costs(model, graph, &sizes)?,
        None => Costs::default(),
    };
    let wide = args.precision.map(|precision| stays_wide(model, entry.as_deref(), precision)).transpose()?;
    let view = View { model, costs: &costs, sizes: &sizes, depth: args.depth, wide: wide.as_deref() };
    match args.json {
        true => print(&format!("{:#}\n", view.json(entry.as_deref())))?,
        false => print(&view.text(entry.as_deref()))?,
    }
    promise(&args, &loaded)
}

/// The remarks on contractions that read f32 all the same.
fn stays_wide(model: &Model, entry: Option<&str>, precision: Precision) -> Result<Vec<String>, Failure> {
    let entries = entry.map(str::to_string).into_iter().collect();
    let options = Options { narrowing: precision.narrowing(None), entries, ..Options::new() };
    let lowered = driver::lower_entries(model, &options).map_err(Error::from)?;
    let mut remarks: Vec<String> =
        lowered.remarks.into_iter().filter(|remark| remark.contains("stays in f32")).collect();
    remarks.dedup();
    Ok(remarks)
}

fn promise(args: &Args, loaded: &Loaded) -> Outcome {
    let (Some(spec), Some(name)) = (&loaded.spec, &args.source.preset) else { return Ok(()) };
    // A preset promises what it is, not what other choices make of it.
    if !args.source.config.is_empty() {
        return Ok(());
    }
    match broken_promise(spec.preset(name)?, &loaded.model) {
        Some(diagnostic) => {
            let sources = spec.program.sources.clone();
            Err(Failure::Error(Error::Spec { diagnostics: vec![diagnostic], sources }))
        }
        None => Ok(()),
    }
}

struct View<'a> {
    model: &'a Model,
    costs: &'a Costs,
    sizes: &'a BTreeMap<String, i64>,
    depth: usize,
    /// What stays in f32, if that was asked for.
    wide: Option<&'a [String]>,
}

impl View<'_> {
    /// Learned numbers at and below a path.
    fn n_params(&self, path: &str) -> i64 {
        let inside = self.model.learned().filter(|member| within(&member.path, path));
        inside.map(|member| member.ty.n_elements().as_constant().unwrap_or(0)).fold(0, i64::saturating_add)
    }

    /// The same as JSON: where no integer holds it, the nearest float.
    fn params_json(&self, path: &str) -> serde_json::Value {
        let inside = self.model.learned().filter(|member| within(&member.path, path));
        match self.n_params(path) {
            i64::MAX => inside.map(|member| about(&member.ty.shape)).sum::<f64>().into(),
            exact => exact.into(),
        }
    }

    fn macs(&self, path: &str) -> Dim {
        let inside = self.costs.macs.iter().filter(|(at, _)| within(at, path));
        inside.fold(Dim::constant(0), |sum, (_, macs)| &sum + macs)
    }

    fn number(&self, dim: &Dim) -> Option<i64> {
        dim.eval(&|symbol: &Symbol| self.sizes.get(symbol.name()).copied())
    }

    fn shown(&self, dim: &Dim) -> String {
        match self.number(dim) {
            Some(0) => String::new(),
            Some(number) => grouped(number),
            None if dim.n_terms() <= 3 => dim.to_string(),
            None => "…".to_string(),
        }
    }

    fn text(&self, entry: Option<&str>) -> String {
        let mut rows = Vec::new();
        self.rows(&self.model.tree, &self.model.name, 0, &mut rows);
        let width = rows.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0);
        let mut text = format!("{:width$}  {:>15}  {:>20}\n", "", "params", "MACs");
        for (name, params, macs) in &rows {
            text += &format!("{name:width$}  {params:>15}  {macs:>20}\n");
        }
        let total = styled(STRONG, grouped(self.model.n_params()));
        text += &format!("\nparameters: {total}\n");
        if let Some(entry) = entry {
            let unknown = self.unknown();
            let given = match unknown.is_empty() {
                true => String::new(),
                false => format!(
                    "  (give {})",
                    unknown.iter().map(|name| format!("--dim {name}=…")).collect::<Vec<_>>().join(" ")
                ),
            };
            text += &format!("MACs of `{entry}`: {}{given}\n", self.shown(&self.macs("")));
            if let Some(bytes) = self.costs.activation_bytes {
                text += &format!("memory of intermediate values: {}\n", ByteCount(bytes));
            }
        }
        self.wide.into_iter().flatten().for_each(|remark| text += &format!("{remark}\n"));
        for (name, reason) in &self.model.skipped {
            text += &format!("no entry: {name} ({reason})\n");
        }
        text
    }

    /// Sizes that the counts speak of and that nobody gave.
    fn unknown(&self) -> Vec<String> {
        let mut names = Vec::new();
        self.macs("").for_each_symbol(&mut |symbol| names.push(symbol.name().to_string()));
        names.sort();
        names.dedup();
        names.retain(|name| !self.sizes.contains_key(name));
        names
    }

    /// Runs of equal siblings are one row: `blocks.0 … 11`.
    fn rows(&self, module: &Module, name: &str, depth: usize, rows: &mut Vec<(String, String, String)>) {
        let config: Vec<String> = module.config.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        let label = format!("{}{name}: {}({})", "  ".repeat(depth), module.kind, config.join(", "));
        rows.push((clipped(label), grouped(self.n_params(&module.path)), self.shown(&self.macs(&module.path))));
        if depth >= self.depth {
            return;
        }
        let mut idx = 0;
        while idx < module.children.len() {
            let child = &module.children[idx];
            let same = |other: &&Module| same_kind(child, other);
            let n_same = module.children[idx..].iter().take_while(same).count().max(1);
            let name = match n_same {
                1 => child.name.clone(),
                n => format!("{} … {} ({n} times)", child.name, last_part(&module.children[idx + n - 1].name)),
            };
            self.rows(child, &name, depth + 1, rows);
            idx += n_same;
        }
    }

    fn json(&self, entry: Option<&str>) -> serde_json::Value {
        serde_json::json!({
            "model": self.model.name, "entry": entry, "params": self.params_json(""),
            "macs": self.number(&self.macs("")), "macs_formula": self.macs("").to_string(),
            "activation_bytes": self.costs.activation_bytes,
            "entries": self.model.entries.iter().map(|graph| graph.name.as_str()).collect::<Vec<_>>(),
            "states": self.model.states.iter().map(weight_json).collect::<Vec<_>>(),
            "weights": self.model.learned().map(weight_json).collect::<Vec<_>>(),
            "tree": self.module_json(&self.model.tree), "stays_wide": self.wide,
        })
    }

    fn module_json(&self, module: &Module) -> serde_json::Value {
        let config: serde_json::Map<_, _> =
            module.config.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
        serde_json::json!({
            "path": module.path, "kind": module.kind, "config": config,
            "params": self.params_json(&module.path), "macs": self.number(&self.macs(&module.path)),
            "members": module.members,
            "children": module.children.iter().map(|child| self.module_json(child)).collect::<Vec<_>>(),
        })
    }
}

/// A size that is no number is text, such as `B`.
fn weight_json(member: &Member) -> serde_json::Value {
    let size = |dim: &Dim| dim.as_constant().map_or_else(|| dim.to_string().into(), serde_json::Value::from);
    let shape: Vec<serde_json::Value> = member.ty.shape.iter().map(size).collect();
    serde_json::json!({ "path": member.path, "type": member.ty.dtype.name(), "shape": shape })
}

fn about(shape: &[Dim]) -> f64 {
    shape.iter().map(|dim| dim.as_constant().unwrap_or(0) as f64).product()
}

fn within(path: &str, of: &str) -> bool {
    of.is_empty() || path.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Equal but for where they are; consecutive members of one list.
fn same_kind(a: &Module, b: &Module) -> bool {
    let list = |module: &Module| module.name.rsplit_once('.').map(|(list, _)| list.to_string());
    list(a).is_some()
        && list(a) == list(b)
        && (&a.kind, &a.config, a.children.len()) == (&b.kind, &b.config, b.children.len())
}

fn last_part(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn clipped(text: String) -> String {
    const MAX: usize = 72;
    if text.chars().count() <= MAX {
        return text;
    }
    text.chars().take(MAX - 1).chain(['…']).collect()
}

/// `86_567_656`, as specs write it. Counts stop at the greatest number there is.
fn grouped(number: i64) -> String {
    if number == i64::MAX {
        return format!("more than {:.1e}", number as f64);
    }
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (idx, digit) in digits.chars().enumerate() {
        if idx > 0 && (digits.len() - idx).is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}
