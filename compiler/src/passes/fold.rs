//! Folds constants with the reference interpreter.
//!
//! ```text
//! y = f(c, d)   =>   y = constant(f applied to c and d)
//! ```
//! when all operands are known, no region is involved, and the result is small: at most `MAX_SMALL` elements, or at most
//! `MAX_LARGE` when the constants it is computed from have as many. Larger ones stay computed, since a kernel counts and
//! compares faster than it loads. Results are rounded as the program would round them; f32 functions agree with the
//! backends to their tolerance. Uniform results become `fill`, which fuses into any kernel.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::facts::Facts;
use super::rebuild::Rebuild;
use super::{Context, Pass, PassError, dce, op};
use crate::graph::interpret::interpret;
use crate::graph::{Attrs, Dim, Graph, Meaning, NodeId, OpError, Precision, Role, Tensor, Type, Value};
use crate::seeded::{Fault, is};

pub static PASS: Pass = Pass { name: "fold", doc: "Computes at compile time what depends on constants only.", run };

const MAX_SMALL: usize = 1024;
const MAX_LARGE: i64 = 1 << 16;
/// Points that one fold may visit.
const MAX_WORK: i64 = 1 << 22;

fn run(graph: &Graph, context: &Context) -> Result<Graph, PassError> {
    let mut rebuild = Rebuild::new(graph);
    let mut known: FxHashMap<Value, Known> = FxHashMap::default();
    for id in Rebuild::live(graph) {
        let node = graph.node(id);
        let value = Value { node: id, result: 0 };
        let mut is_stored = false;
        if let Some(tensor) = evaluate(graph, id, &known) {
            let operands = graph.operands(id);
            let behind = operands.iter().filter_map(|operand| known.get(operand)).map(|known| known.n_stored);
            let n_stored = behind.fold(0, usize::saturating_add);
            is_stored = is_worth_storing(graph, id, &tensor, n_stored);
            let is_constant = is_stored || matches!(node.op.meaning, Meaning::Source);
            let n_stored = if is_constant && !tensor.is_uniform() { tensor.n_elements() } else { n_stored };
            known.insert(value, Known { tensor, n_stored });
        }
        match known.get(&value).map(|known| &known.tensor).filter(|_| is_stored) {
            Some(tensor) => {
                let new = store(&mut rebuild, id, tensor).map_err(PassError::at(PASS.name, &node.origin))?;
                rebuild.set(id, vec![new]);
            }
            None => rebuild.copy_with(id, |region| run(region, context))?,
        }
    }
    (dce::PASS.run)(&rebuild.finish(), context)
}

/// The elements of a result with a constant shape.
fn n_elements(ty: &Type) -> Option<i64> {
    let n = ty.n_elements().as_constant()?;
    ty.shape.iter().all(|dim| dim.as_constant().is_some_and(|size| size >= 0)).then_some(n)
}

struct Known {
    tensor: Tensor,
    /// Elements of the stored constants that it is computed from.
    n_stored: usize,
}

fn evaluate(graph: &Graph, id: NodeId, known: &FxHashMap<Value, Known>) -> Option<Tensor> {
    let node = graph.node(id);
    let [ty] = node.types.as_slice() else { return None };
    let mut mentions_symbols = false;
    for (_, attr) in node.attrs.iter() {
        match attr {
            crate::graph::Attr::Dim(dim) => mentions_symbols |= has_symbols(dim),
            crate::graph::Attr::Dims(dims) => mentions_symbols |= dims.iter().any(has_symbols),
            _ => {}
        }
    }
    let work = Facts::of(graph, id).map_or(Some(0), |facts| facts.domain.as_constant());
    if mentions_symbols || !node.regions.is_empty() || n_elements(ty)? > MAX_LARGE || work? > MAX_WORK {
        return None;
    }
    let mut single = Graph::new("fold");
    let mut inputs = Vec::new();
    let mut operands = Vec::new();
    for value in graph.operands(id) {
        inputs.push(known.get(&value)?.tensor.clone());
        operands.push(single.add_argument(format!("x{}", operands.len()), Role::Data, graph.type_of(value).clone()));
    }
    let copy = single.push(node.clone(), &operands);
    single.add_output("y", Role::Data, Value { node: copy, result: 0 });
    interpret(&single, &inputs, &|_| None, Precision::Declared).ok()?.pop()
}

fn has_symbols(dim: &Dim) -> bool {
    let mut found = false;
    dim.for_each_symbol(&mut |_| found = true);
    found
}

/// Sources are as good as constants already, and so are repetitions of a few elements.
fn is_worth_storing(graph: &Graph, id: NodeId, tensor: &Tensor, n_stored: usize) -> bool {
    let n = tensor.n_elements();
    if graph.operands(id).is_empty() {
        return graph.node(id).op.name == "dim";
    }
    let is_view = matches!(graph.node(id).op.meaning, Meaning::View);
    let computes = |facts: Facts| facts.arithmetic + facts.casts > 0 || facts.reduces;
    let only_moves = is_view || !Facts::of(graph, id).is_some_and(computes);
    match n > n_stored.max(1) {
        true => !only_moves && (n <= MAX_SMALL || tensor.is_uniform()),
        false => n <= MAX_LARGE as usize,
    }
}

fn store(rebuild: &mut Rebuild, id: NodeId, tensor: &Tensor) -> Result<Value, OpError> {
    let node = rebuild.old.node(id);
    let ty = &node.types[0];
    let n = tensor.n_elements();
    let ends_agree = || is(Fault::FoldTrustsFirstElement) && n > 0 && tensor.float_at(0) == tensor.float_at(n - 1);
    let number = tensor.uniform_float().or_else(|| ends_agree().then(|| tensor.float_at(0)));
    let (name, attrs) = match number.filter(|_| ty.rank() > 0) {
        Some(number) => {
            let attrs = Attrs::none().with("value", number).with("shape", ty.shape.clone());
            ("fill", attrs.with("dtype", ty.dtype))
        }
        None => ("constant", Attrs::none().with("value", Arc::new(tensor.clone()))),
    };
    let new = rebuild.new.apply(op(name)?, &[], &attrs, Vec::new(), &node.origin)?;
    Ok(Value { node: new, result: 0 })
}
