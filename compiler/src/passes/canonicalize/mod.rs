//! Brings graphs into a simpler form by rules `lhs => rhs`, each stated in its table with the condition under which it is
//! exact: `algebra`, `movement`, `uniform`, `contract`.
//!
//! A sweep matches every live node of the old graph against the rules of its op, first match wins, and builds the new
//! graph; sweeps repeat until nothing fires. A rule that copies work asks that the inner value has no other user.
//!
//! Invariant: a rule never changes a type, and every rule lowers the work (or keeps it and removes a node), so sweeps
//! end; `MAX_SWEEPS` guards against a pair of rules that undo each other.

mod algebra;
mod contract;
mod movement;
mod uniform;

use rustc_hash::FxHashMap;

use super::rebuild::Rebuild;
use super::{Context, Pass, PassError, op};
use crate::graph::{Attrs, Call, DType, Dim, Graph, NodeId, OpError, Origin, Tensor, Type, Value};

pub static PASS: Pass = Pass {
    name: "canonicalize",
    doc: "Simplifies by algebraic rules that hold for every input, NaN and infinities included.",
    run,
};

const MAX_SWEEPS: usize = 64;

/// `lhs => rhs`, with what must hold.
pub struct Rule {
    pub name: &'static str,
    pub equation: &'static str,
    pub exact: &'static str,
    /// The ops at the root of the left side; none means any.
    pub ops: &'static [&'static str],
    pub rewrite: fn(&Site) -> Option<Expr>,
}

/// Every rule, for the manual.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    [algebra::RULES, movement::RULES, uniform::RULES, contract::RULES].into_iter().flatten()
}

/// The right side of a rule, over values of the old graph.
pub enum Expr {
    Old(Value),
    Apply(&'static str, Vec<Expr>, Attrs),
}

pub fn apply(op: &'static str, operands: Vec<Expr>) -> Expr {
    Expr::Apply(op, operands, Attrs::none())
}

/// A number everywhere; only for those that a float of 64 bits holds exactly.
pub fn fill(value: f64, ty: &Type) -> Expr {
    let attrs = Attrs::none().with("value", value).with("shape", ty.shape.clone()).with("dtype", ty.dtype);
    Expr::Apply("fill", Vec::new(), attrs)
}

/// A node of the old graph that a rule looks at.
pub struct Site<'a> {
    pub graph: &'a Graph,
    pub id: NodeId,
    pub operands: Vec<Value>,
    uses: &'a FxHashMap<Value, usize>,
}

impl Site<'_> {
    pub fn attrs(&self) -> &Attrs {
        &self.graph.node(self.id).attrs
    }

    pub fn ty(&self) -> &Type {
        &self.graph.node(self.id).types[0]
    }

    pub fn type_of(&self, value: Value) -> &Type {
        self.graph.type_of(value)
    }

    pub fn op(&self) -> &'static str {
        self.graph.node(self.id).op.name
    }

    pub fn call<T>(&self, f: impl FnOnce(&Call) -> T) -> T {
        self.graph.with_call(self.id, f)
    }

    /// The node that computes a value, if its op has this name.
    pub fn defined_by(&self, value: Value, op: &str) -> Option<Site<'_>> {
        (self.graph.node(value.node).op.name == op).then(|| self.at(value.node))
    }

    pub fn at(&self, id: NodeId) -> Site<'_> {
        Site { graph: self.graph, id, operands: self.graph.operands(id), uses: self.uses }
    }

    /// How many live nodes and outputs use a value.
    pub fn n_uses(&self, value: Value) -> usize {
        self.uses.get(&value).copied().unwrap_or(0)
    }

    /// The number that every element of a value is, where that is known.
    pub fn number(&self, value: Value) -> Option<Number> {
        let site = self.at(value.node);
        let dtype = self.type_of(value).dtype;
        match site.op() {
            "fill" => Some(Number::new(dtype, site.attrs().float("value"))),
            "constant" => Number::of(&site.attrs().tensor("value")),
            "broadcast" | "reshape" => {
                site.defined_by(site.operands[0], "constant").and_then(|site| Number::of(&site.attrs().tensor("value")))
            }
            _ => None,
        }
    }

    pub fn is_number(&self, value: Value, wanted: f64) -> bool {
        self.number(value).is_some_and(|number| number.as_float() == Some(wanted))
    }

    /// The attribute `axes` as positions, each once.
    pub fn permutation(&self) -> Vec<usize> {
        let rank = self.ty().rank() as i64;
        let position = |axis: i64| if axis < 0 { axis + rank } else { axis };
        self.attrs().ints("axes").into_iter().map(|axis| position(axis) as usize).collect()
    }

    /// The operands in either order, if the second one is this number everywhere.
    pub fn with_number(&self, wanted: f64) -> Option<Value> {
        match self.operands[..] {
            [a, b] if self.is_number(b, wanted) => Some(a),
            [a, b] if self.is_number(a, wanted) => Some(b),
            _ => None,
        }
    }
}

/// A known element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    Float(f64),
    Int(i64),
}

impl Number {
    fn new(dtype: DType, value: f64) -> Number {
        match dtype.is_float() {
            true => Number::Float(crate::graph::round(dtype, value)),
            false => Number::Int(crate::graph::saturate(dtype, value)),
        }
    }

    fn of(tensor: &Tensor) -> Option<Number> {
        tensor.is_uniform().then(|| match tensor.dtype.is_float() {
            true => Number::Float(tensor.float_at(0)),
            false => Number::Int(tensor.int_at(0)),
        })
    }

    /// As a float, where that is exact.
    pub fn as_float(self) -> Option<f64> {
        match self {
            Number::Float(value) => Some(value),
            Number::Int(value) => crate::graph::exact_float(value),
        }
    }
}

pub fn is_unit(dim: &Dim) -> bool {
    dim.is(1)
}

fn run(graph: &Graph, context: &Context) -> Result<Graph, PassError> {
    let by_op = index();
    let mut graph = graph.clone();
    for _ in 0..MAX_SWEEPS {
        let (next, n_fired) = sweep(&graph, &by_op, context)?;
        graph = next;
        if n_fired == 0 {
            return Ok(graph);
        }
    }
    context.remark(PASS.name, &Origin::default(), format!("stopped after {MAX_SWEEPS} sweeps"));
    Ok(graph)
}

type ByOp = FxHashMap<&'static str, Vec<&'static Rule>>;

fn index() -> ByOp {
    let mut by_op = ByOp::default();
    for rule in rules() {
        let names: &[&str] = if rule.ops.is_empty() { &[""] } else { rule.ops };
        names.iter().for_each(|name| by_op.entry(name).or_default().push(rule));
    }
    by_op
}

fn sweep(graph: &Graph, by_op: &ByOp, context: &Context) -> Result<(Graph, usize), PassError> {
    let live = Rebuild::live(graph);
    let uses = count_uses(graph, &live);
    let mut rebuild = Rebuild::new(graph);
    let mut n_fired = 0;
    for id in live {
        let node = graph.node(id);
        let site = Site { graph, id, operands: graph.operands(id), uses: &uses };
        let candidates = [node.op.name, ""].into_iter().filter_map(|name| by_op.get(name)).flatten();
        let fired = candidates.filter(|_| node.types.len() == 1).find_map(|rule| {
            let expr = (rule.rewrite)(&site)?;
            build(&mut rebuild, &expr, &node.origin).ok().filter(|&value| rebuild.new.type_of(value) == site.ty())
        });
        match fired {
            Some(value) => {
                n_fired += 1;
                rebuild.set(id, vec![value]);
            }
            None => rebuild.copy_with(id, |region| run(region, context))?,
        }
    }
    Ok((rebuild.finish(), n_fired))
}

fn count_uses(graph: &Graph, live: &[NodeId]) -> FxHashMap<Value, usize> {
    let mut uses = FxHashMap::default();
    let operands = live.iter().flat_map(|&id| graph.operands(id));
    for value in operands.chain(graph.outputs().iter().map(|output| output.value)) {
        *uses.entry(value).or_insert(0) += 1;
    }
    uses
}

fn build(rebuild: &mut Rebuild, expr: &Expr, origin: &Origin) -> Result<Value, OpError> {
    match expr {
        Expr::Old(value) => Ok(rebuild.get(*value)),
        Expr::Apply(name, operands, attrs) => {
            let operands: Vec<Value> =
                operands.iter().map(|operand| build(rebuild, operand, origin)).collect::<Result<_, _>>()?;
            let node = rebuild.new.apply(op(name)?, &operands, attrs, Vec::new(), origin)?;
            Ok(Value { node, result: 0 })
        }
    }
}
