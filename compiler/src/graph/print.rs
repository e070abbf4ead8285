//! The text form of graphs, outwards: `%2: f32[B, 128] = softmax(%1) {axis = -1}  // vit.tw:16 blocks.0.attn`.
//!
//! Invariant: `parse` inverts this. Values are numbered in the canonical order, arguments first, anew in each region;
//! a region has the sizes of the graph around it unless it says otherwise;
//! floats are written in their shortest exact form; a constant is written whole up to `MAX_INLINE` elements, as a splat
//! when all its elements agree, and else by the hash of its content, which the reader resolves from a store.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::sync::Arc;

use super::{Attr, DType, Data, Graph, Node, NodeId, Origin, Range, Ranges, Shape, Tensor, Value};

/// The most elements of a constant that are written one by one.
pub const MAX_INLINE: usize = 4096;
/// The most elements of a constant that is written as a splat.
pub const MAX_SPLAT: usize = 1 << 20;

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut printer = Printer { out: String::from("graph "), depth: 0, origins: true };
        printer.graph(self, None)?;
        f.write_str(&printer.out)
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Graph {
    /// The text without the origins of nodes: equal for equal graphs.
    pub fn text_without_origins(&self) -> String {
        let mut printer = Printer { out: String::from("graph "), depth: 0, origins: false };
        printer.graph(self, None).expect("writing to a string succeeds");
        printer.out
    }

    /// The constants, in regions too, that the text names by hash; a store must hold them to read it back.
    pub fn stored_constants(&self) -> Vec<(String, Arc<Tensor>)> {
        let mut found: Vec<(String, Arc<Tensor>)> = Vec::new();
        for node in self.node_ids().map(|id| self.node(id)) {
            for (_, attr) in node.attrs.iter() {
                if let Attr::Tensor(tensor) = attr
                    && matches!(Form::of(tensor), Form::Hash)
                {
                    found.push((tensor.digest(), tensor.clone()));
                }
            }
            found.extend(node.regions.iter().flat_map(Graph::stored_constants));
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found.dedup_by(|a, b| a.0 == b.0);
        found
    }
}

/// Several entries, one after another.
pub fn print_module(graphs: &[Graph]) -> String {
    graphs.iter().map(Graph::to_string).collect::<Vec<_>>().join("\n")
}

/// How a constant is written.
enum Form {
    Splat,
    Inline,
    Hash,
}

impl Form {
    fn of(tensor: &Tensor) -> Form {
        let n_elements = tensor.n_elements();
        match n_elements {
            0 => Form::Inline,
            1..=MAX_SPLAT if tensor.is_uniform() => Form::Splat,
            1..=MAX_INLINE => Form::Inline,
            _ => Form::Hash,
        }
    }
}

impl Tensor {
    /// All elements have the same bits, and there is one.
    pub fn is_uniform(&self) -> bool {
        match &self.data {
            Data::Float(data) => !data.is_empty() && data.iter().all(|v| v.to_bits() == data[0].to_bits()),
            Data::Int(data) => !data.is_empty() && data.iter().all(|v| *v == data[0]),
        }
    }

    /// A hash of type, shape and elements, in hexadecimal digits.
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(format!("{} {:?} ", self.dtype, self.shape).as_bytes());
        match &self.data {
            Data::Float(data) => data.iter().for_each(|v| _ = hasher.update(&v.to_bits().to_le_bytes())),
            Data::Int(data) => data.iter().for_each(|v| _ = hasher.update(&v.to_le_bytes())),
        }
        hasher.finalize().to_hex().to_string()
    }
}

/// The numbers of values in the text.
struct Numbers(HashMap<NodeId, u32>);

impl Numbers {
    fn of(graph: &Graph, order: &[NodeId]) -> Numbers {
        let mut next = 0;
        let mut first = HashMap::with_capacity(order.len());
        for &id in order {
            first.insert(id, next);
            next += graph.node(id).types.len() as u32;
        }
        Numbers(first)
    }

    fn get(&self, value: Value) -> u32 {
        self.0.get(&value.node).map_or(u32::MAX, |first| first + value.result)
    }

    fn list(&self, values: &[Value]) -> String {
        values.iter().map(|&value| format!("%{}", self.get(value))).collect::<Vec<_>>().join(", ")
    }
}

struct Printer {
    out: String,
    depth: usize,
    origins: bool,
}

impl Printer {
    fn indent(&mut self) {
        (0..self.depth).for_each(|_| self.out.push_str("  "));
    }

    fn graph(&mut self, graph: &Graph, outer: Option<&Ranges>) -> fmt::Result {
        let order = graph.canonical_order();
        let numbers = Numbers::of(graph, &order);
        self.header(graph, &numbers)?;
        self.sizes(&graph.sizes, outer)?;
        self.depth += 1;
        for check in &graph.checks {
            self.indent();
            writeln!(self.out, "check {} >= 0, {}", check.not_negative, Quoted(&check.message))?;
        }
        let arguments = graph.arguments().len();
        for &id in order.iter().skip(arguments) {
            self.node(graph, id, &numbers)?;
        }
        self.outputs(graph, &numbers)?;
        self.depth -= 1;
        self.indent();
        self.out.push_str("}\n");
        Ok(())
    }

    fn header(&mut self, graph: &Graph, numbers: &Numbers) -> fmt::Result {
        write!(self.out, "@{}(", Name(&graph.name))?;
        let long = graph.arguments().len() > 3;
        self.depth += 1;
        for (idx, argument) in graph.arguments().iter().enumerate() {
            self.out.push_str(if idx > 0 { "," } else { "" });
            match (long, idx) {
                (true, _) => {
                    self.out.push('\n');
                    self.indent();
                }
                (false, 0) => {}
                (false, _) => self.out.push(' '),
            }
            let (number, ty) = (numbers.get(argument.value), graph.type_of(argument.value));
            write!(self.out, "%{number} {}: {} {ty}", Quoted(&argument.name), argument.role.name())?;
        }
        self.depth -= 1;
        if long {
            self.out.push('\n');
            self.indent();
        }
        self.out.push(')');
        Ok(())
    }

    fn sizes(&mut self, sizes: &Ranges, outer: Option<&Ranges>) -> fmt::Result {
        let is_empty = sizes.iter().next().is_none();
        match outer {
            Some(outer) if outer == sizes => {}
            Some(_) if is_empty => self.out.push_str(" where none"),
            _ => {
                for (idx, Range { symbol, low, high }) in sizes.iter().enumerate() {
                    self.out.push_str(if idx > 0 { ", " } else { " where " });
                    write!(self.out, "{symbol} in {low}..")?;
                    if let Some(high) = high {
                        write!(self.out, "{high}")?;
                    }
                }
            }
        }
        self.out.push_str(" {\n");
        Ok(())
    }

    fn node(&mut self, graph: &Graph, id: NodeId, numbers: &Numbers) -> fmt::Result {
        let node = graph.node(id);
        let results: Vec<Value> = graph.results(id).collect();
        self.indent();
        let types: Vec<String> = node.types.iter().map(ToString::to_string).collect();
        match types.as_slice() {
            [ty] => write!(self.out, "{}: {ty}", numbers.list(&results))?,
            types => write!(self.out, "{}: ({})", numbers.list(&results), types.join(", "))?,
        }
        write!(self.out, " = {}({})", node.op.name, numbers.list(&graph.operands(id)))?;
        self.attrs(node)?;
        if self.origins && node.origin != Origin::default() {
            write!(self.out, "  // {}", node.origin)?;
        }
        self.out.push('\n');
        self.depth += 1;
        for region in &node.regions {
            self.indent();
            self.graph(region, Some(&graph.sizes))?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn attrs(&mut self, node: &Node) -> fmt::Result {
        for (idx, (name, attr)) in node.attrs.iter().enumerate() {
            self.out.push_str(if idx > 0 { ", " } else { " {" });
            write!(self.out, "{name} = {}", AttrText(attr))?;
        }
        self.out.push_str(if node.attrs.is_empty() { "" } else { "}" });
        Ok(())
    }

    fn outputs(&mut self, graph: &Graph, numbers: &Numbers) -> fmt::Result {
        self.indent();
        self.out.push_str("return");
        for (idx, output) in graph.outputs().iter().enumerate() {
            self.out.push_str(if idx > 0 { ", " } else { " " });
            write!(self.out, "%{} {}: {}", numbers.get(output.value), Quoted(&output.name), output.role.name())?;
        }
        self.out.push('\n');
        Ok(())
    }
}

/// `vit.tw:16 blocks.0.attn`; parts that hold spaces or quotes are quoted.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |text: &str| !text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '"' || c == ':');
        match plain(&self.file) {
            true => write!(f, "{}:{}", self.file, self.line)?,
            false => write!(f, "{}:{}", Quoted(&self.file), self.line)?,
        }
        match (self.path.is_empty(), plain(&self.path)) {
            (true, _) => Ok(()),
            (false, true) => write!(f, " {}", self.path),
            (false, false) => write!(f, " {}", Quoted(&self.path)),
        }
    }
}

/// A name: bare where it is a word, else quoted.
struct Name<'a>(&'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match !self.0.is_empty() && self.0.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.') {
            true => f.write_str(self.0),
            false => Quoted(self.0).fmt(f),
        }
    }
}

/// A string in quotes, on one line.
pub(super) struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if c.is_control() || c == '\u{2028}' || c == '\u{2029}' => write!(f, "\\u{{{:x}}}", c as u32)?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

struct AttrText<'a>(&'a Attr);

impl fmt::Display for AttrText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Attr::Bool(value) => write!(f, "{value}"),
            Attr::Int(value) => write!(f, "{value}"),
            Attr::Float(value) => write!(f, "{}", FloatText(*value)),
            Attr::Str(value) => write!(f, "{}", Quoted(value)),
            Attr::Ints(values) => write!(f, "{values:?}"),
            Attr::Dim(dim) => write!(f, "{dim}"),
            Attr::Dims(dims) => write!(f, "{}", Shape(dims)),
            Attr::DType(dtype) => write!(f, "{dtype}"),
            Attr::Tensor(tensor) => write!(f, "{}", TensorText(tensor)),
        }
    }
}

/// A float in the shortest form that reads back bit for bit; a NaN of unusual bits shows them.
pub struct FloatText(pub f64);

impl fmt::Display for FloatText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0;
        match value {
            _ if value.to_bits() == f64::NAN.to_bits() => f.write_str("nan"),
            _ if value.is_nan() => write!(f, "nan({:#x})", value.to_bits()),
            _ => write!(f, "{value:?}"),
        }
    }
}

struct TensorText<'a>(&'a Tensor);

impl TensorText<'_> {
    fn element(&self, f: &mut fmt::Formatter<'_>, idx: usize) -> fmt::Result {
        match (&self.0.data, self.0.dtype) {
            (Data::Float(data), DType::F32) if !data[idx].is_nan() => write!(f, "{:?}", data[idx] as f32),
            (Data::Float(data), _) => write!(f, "{}", FloatText(data[idx])),
            (Data::Int(data), DType::Bool) => write!(f, "{}", data[idx] != 0),
            (Data::Int(data), _) => write!(f, "{}", data[idx]),
        }
    }
}

impl fmt::Display for TensorText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tensor = self.0;
        write!(f, "{}{:?} ", tensor.dtype, tensor.shape)?;
        match Form::of(tensor) {
            Form::Splat => self.element(f, 0),
            Form::Hash => write!(f, "hash {}", Quoted(&tensor.digest())),
            Form::Inline => {
                f.write_str("[")?;
                for idx in 0..tensor.n_elements() {
                    f.write_str(if idx > 0 { ", " } else { "" })?;
                    self.element(f, idx)?;
                }
                f.write_str("]")
            }
        }
    }
}
