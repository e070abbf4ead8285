//! Run-time scalars as expressions over what an entry is called with, so that a condition on them can be checked there.
//!
//! Invariant: an expression exists only for an `i64[]` that is computed from scalar arguments of the entry, sizes and
//! constants. It has the value that the graph computes, or none where that overflows. It is bounded, however the scalar was
//! made: products have a factor of one term.

use super::Elaborator;
use super::value::Value;
use crate::graph::{self, Attr, DType, Dim, Graph, Role, Symbol};

/// Nodes that are followed back from one scalar.
const MAX_NODES: usize = 64;
const MAX_TERMS: usize = 64;

type Combine = fn(&Dim, &Dim) -> Dim;

/// Ops of two scalars that are operations of sizes too.
static COMBINATIONS: &[(&str, Combine)] = &[
    ("add", |a, b| a + b),
    ("sub", |a, b| a - b),
    ("mul", |a, b| a * b),
    ("min", Dim::least),
    ("max", Dim::greatest),
    ("floor_div", Dim::floor_div),
    ("modulo", Dim::modulo),
];

/// Ops of one scalar that leave it as it is.
static IDENTITIES: &[&str] = &["broadcast", "reshape", "cast"];

impl<'a> Elaborator<'a> {
    /// A size, an integer of config or a run-time scalar, over the arguments of the entry.
    pub fn over_arguments(&self, value: &Value<'a>) -> Option<Dim> {
        match value {
            Value::Wire(wire) => {
                self.frames.get(wire.depth).filter(|frame| frame.serial == wire.serial)?;
                self.scalar(wire.depth, wire.value, &mut MAX_NODES.clone())
            }
            other => other.as_dim(),
        }
    }

    fn scalar(&self, depth: usize, value: graph::Value, left: &mut usize) -> Option<Dim> {
        *left = left.checked_sub(1)?;
        let frame = self.frames.get(depth)?;
        let graph = &frame.graph;
        let ty = graph.type_of(value);
        if ty.dtype != DType::I64 || ty.rank() > 0 {
            return None;
        }
        let node = graph.node(value.node);
        if std::ptr::eq(node.op, &graph::ARGUMENT) {
            if depth == 0 {
                return argument(graph, value);
            }
            let outer = frame.captures.iter().find(|(_, inner)| **inner == value).map(|(outer, _)| *outer)?;
            return self.scalar(depth - 1, outer, left);
        }
        let operands = graph.operands(value.node);
        match (node.op.name, operands.as_slice()) {
            ("constant", []) => match node.attrs.get("value")? {
                Attr::Tensor(tensor) => tensor.as_ints()?.first().map(|value| Dim::constant(*value)),
                _ => None,
            },
            ("dim", []) => match node.attrs.get("size")? {
                Attr::Dim(size) => Some(size.clone()),
                _ => None,
            },
            ("neg", [operand]) => self.scalar(depth, *operand, left).map(|value| -&value),
            (name, [operand]) if IDENTITIES.contains(&name) => self.scalar(depth, *operand, left),
            (name, [a, b]) => {
                let (_, combine) = COMBINATIONS.iter().find(|(own, _)| *own == name)?;
                let (a, b) = (self.scalar(depth, *a, left)?, self.scalar(depth, *b, left)?);
                combined(name, *combine, &a, &b)
            }
            _ => None,
        }
    }

    /// Whether an expression speaks of an argument of the entry, not of sizes alone.
    pub fn mentions_argument(&self, dim: &Dim) -> bool {
        let arguments = self.frames.first().map_or(&[][..], |frame| frame.graph.arguments());
        let mut mentions = false;
        dim.for_each_symbol(&mut |symbol| mentions |= arguments.iter().any(|argument| argument.name == symbol.name()));
        mentions
    }
}

fn combined(op: &str, combine: Combine, a: &Dim, b: &Dim) -> Option<Dim> {
    let simple = match op {
        "mul" => a.n_terms().min(b.n_terms()) <= 1,
        "floor_div" | "modulo" => !b.is(0),
        _ => true,
    };
    simple.then(|| combine(a, b)).filter(|dim| dim.n_terms() <= MAX_TERMS)
}

/// The argument's name as a symbol, where no size can be meant by it and a check can be read back.
fn argument(graph: &Graph, value: graph::Value) -> Option<Dim> {
    let arguments = graph.arguments();
    let own = arguments.iter().find(|argument| argument.value == value && argument.role == Role::Data)?;
    let (symbol, dim) = (Symbol::new(&own.name), Dim::symbol(&own.name));
    let of_size = |argument: &graph::Argument| {
        let shape = &graph.type_of(argument.value).shape;
        shape.iter().any(|size| size.mentions(&symbol))
    };
    let readable = own.name.parse::<Dim>().is_ok_and(|read| read == dim);
    let free = !own.name.starts_with(char::is_uppercase) && !arguments.iter().any(of_size);
    (readable && free).then_some(dim)
}
