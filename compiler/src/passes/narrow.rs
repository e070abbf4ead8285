//! Lets contractions and convolutions with weights read narrower numbers than they are computed in.
//!
//! ```text
//! contract(x, w) {result = f32}   =>   contract(cast(x, bf16), cast(w, bf16)) {result = f32}
//! contract(x, w) {result = f32}   =>   contract(x, cast(w, bf16)) {result = f32}         the machine multiplies no bf16
//! cast(m(x), bf16)                =>   m(cast(x, bf16))         m movement, or a maximum, with no other user
//! f(x), cast(x, bf16)             =>   f(cast(c, f32)), c = cast(x, bf16)      f elementwise
//! ```
//! Not exact: factors are rounded to nearest, sums are not. The first two rules concern contractions whose type nobody wrote
//! in the spec: the pass `precision` states their `result`. By the second, where wide products are faster, a weight only
//! takes less memory, and a kernel widens it once for all rows; convolutions, which read it for each row of an image, stay,
//! and for one or two known rows, which take no time to multiply, the first rule holds. By the third a value is rounded before it is moved, by the fourth it is stored once. Everything else stays as it is:
//! normalisations, softmax, sums, and products of two values that change with each call; a remark names each contraction
//! that stays. Casts of weights are done when the weights are loaded.

use rustc_hash::FxHashMap;

use super::facts::is_elementwise;
use super::frozen::{frozen, frozen_in_region};
use super::rebuild::Rebuild;
use super::{Context, Narrowing, Pass, PassError, dce, op, pack};
use crate::graph::{Attrs, DType, Graph, NodeId, OpError, Origin, Value};

pub static PASS: Pass =
    Pass { name: "narrow", doc: "Lets contractions with weights read narrower numbers than they sum.", run };

/// The attribute that says what a contraction gives, whatever it reads.
pub const RESULT: &str = "result";

/// Ops that only move numbers or pick among them.
const MOVEMENT: &[&str] = &["pad", "reshape", "permute", "slice", "window", "reduce_max"];
/// A value is followed through so many of them.
const MAX_MOVES: usize = 8;
/// So few rows take no time to multiply beside reading the weight.
const FEW_ROWS: i64 = 2;

fn run(graph: &Graph, context: &Context) -> Result<Graph, PassError> {
    let Narrowing::Factors(dtype) = context.narrowing else { return Ok(graph.clone()) };
    let Some(panel) = context.panel else { return Ok(graph.clone()) };
    let is_frozen = frozen(graph, &Rebuild::live(graph));
    let graph = narrowed(graph, &is_frozen, dtype, panel, context)?;
    (dce::PASS.run)(&graph, context)
}

/// A graph, or a region of one, with these frozen values.
fn narrowed(
    graph: &Graph,
    is_frozen: &[bool],
    dtype: DType,
    panel: &pack::Width,
    context: &Context,
) -> Result<Graph, PassError> {
    let live = Rebuild::live(graph);
    let mut uses: FxHashMap<NodeId, usize> = FxHashMap::default();
    for value in live.iter().flat_map(|&id| graph.operands(id)) {
        *uses.entry(value.node).or_default() += 1;
    }
    graph.outputs().iter().for_each(|output| *uses.entry(output.value.node).or_default() += 1);
    let mut casts = Casts { rebuild: Rebuild::new(graph), dtype, uses, known: FxHashMap::default() };
    for id in live {
        let node = graph.node(id);
        let (factors, reason) = match pack::weight(graph, id, is_frozen, panel) {
            _ if !is_wide(graph, id) => (vec![], None),
            Ok(_) if node.attrs.get(RESULT).is_none() => (vec![], Some("its type is written in the spec")),
            Ok(weight) if !context.narrow_products && !(weight.pairs && has_few_rows(&weight)) => {
                match weight.is_of_matrices {
                    true => (vec![weight.operand], Some("narrow products are slower here; its weight is narrow")),
                    false => (vec![], Some("narrow products are slower here")),
                }
            }
            Ok(weight) if weight.pairs || weight.is_shared || dtype != DType::BF16 => (vec![0, 1], None),
            Ok(_) => (vec![], Some("its factors do not fall into pairs")),
            Err(reason) => (vec![], reason),
        };
        if let Some(reason) = reason {
            context.remark(PASS.name, &node.origin, format!("`{}` stays in f32: {reason}", node.op.name));
        }
        if !factors.is_empty() {
            casts.narrow(id, &factors).map_err(PassError::at(PASS.name, &node.origin))?;
            continue;
        }
        let inside = |region| {
            let is_frozen = frozen_in_region(graph, id, region, is_frozen);
            narrowed(region, &is_frozen, dtype, panel, context)
        };
        let regions = node.regions.iter().map(inside).collect::<Result<_, _>>()?;
        casts.rebuild.copy(id, regions);
    }
    stored_once(&casts.rebuild.finish(), dtype)
}

/// Reading the weight takes longer than multiplying it.
fn has_few_rows(weight: &pack::Weight) -> bool {
    weight.rows.is_some_and(|rows| rows <= FEW_ROWS)
}

/// Whether a node reads and gives f32.
pub fn is_wide(graph: &Graph, id: NodeId) -> bool {
    let operands = graph.operands(id);
    operands.iter().all(|&value| graph.type_of(value).dtype == DType::F32)
        && graph.node(id).types[0].dtype == DType::F32
}

struct Casts<'g> {
    rebuild: Rebuild<'g>,
    dtype: DType,
    /// Of the old graph, outputs among them.
    uses: FxHashMap<NodeId, usize>,
    /// What stands for old values, rounded.
    known: FxHashMap<Value, Value>,
}

impl Casts<'_> {
    /// A contraction again, with these factors rounded.
    fn narrow(&mut self, id: NodeId, factors: &[usize]) -> Result<(), OpError> {
        let old = self.rebuild.old;
        let node = old.node(id).clone();
        let mut operands = self.rebuild.operands(id);
        for &operand in factors {
            operands[operand] = self.rounded(old.operands(id)[operand], &node.origin, 0)?;
        }
        let new = self.rebuild.new.push(node, &operands);
        let results = self.rebuild.new.results(new).collect();
        self.rebuild.set(id, results);
        Ok(())
    }

    /// An old value, rounded as early as that can be done without doing it twice.
    fn rounded(&mut self, value: Value, origin: &Origin, n_moves: usize) -> Result<Value, OpError> {
        if let Some(&known) = self.known.get(&value) {
            return Ok(known);
        }
        let old = self.rebuild.old;
        let node = old.node(value.node);
        let is_private = self.uses.get(&value.node) == Some(&1);
        let rounded = if is_private && n_moves < MAX_MOVES && MOVEMENT.contains(&node.op.name) {
            let from = self.rounded(old.operands(value.node)[0], &node.origin, n_moves + 1)?;
            self.rebuild.new.apply(node.op, &[from], &node.attrs, Vec::new(), &node.origin)?
        } else {
            let value = self.rebuild.get(value);
            cast(&mut self.rebuild.new, value, self.dtype, origin)?.node
        };
        let rounded = Value { node: rounded, result: 0 };
        self.known.insert(value, rounded);
        Ok(rounded)
    }
}

pub fn cast(graph: &mut Graph, value: Value, to: DType, origin: &Origin) -> Result<Value, OpError> {
    let node = graph.apply(op("cast")?, &[value], &Attrs::none().with("to", to), Vec::new(), origin)?;
    Ok(Value { node, result: 0 })
}

/// Where a computed value is rounded for contractions and used by nothing but elementwise work besides, that reads the
/// rounded value too.
fn stored_once(graph: &Graph, dtype: DType) -> Result<Graph, PassError> {
    let live = Rebuild::live(graph);
    let mut users: FxHashMap<Value, Vec<NodeId>> = FxHashMap::default();
    for &id in &live {
        graph.operands(id).into_iter().for_each(|value| users.entry(value).or_default().push(id));
    }
    let is_rounding = |id: NodeId| graph.node(id).op.name == "cast" && graph.node(id).types[0].dtype == dtype;
    let is_argument = |value: Value| graph.arguments().iter().any(|argument| argument.value == value);
    let is_output = |value: Value| graph.outputs().iter().any(|output| output.value == value);
    let is_stored_once = |value: &Value| {
        let users = &users[value];
        graph.type_of(*value).dtype == DType::F32
            && users.iter().any(|&id| is_rounding(id))
            && users.iter().any(|&id| !is_rounding(id))
            && users.iter().all(|&id| is_elementwise(graph, id))
            && !is_argument(*value)
            && !is_output(*value)
    };
    let shared: Vec<Value> = users.keys().copied().filter(is_stored_once).collect();
    let mut rebuild = Rebuild::new(graph);
    let mut rounded: FxHashMap<Value, Value> = FxHashMap::default();
    for id in live {
        let node = graph.node(id);
        if let Some(&narrow) =
            graph.operands(id).first().and_then(|value| rounded.get(value)).filter(|_| is_rounding(id))
        {
            rebuild.set(id, vec![narrow]);
            continue;
        }
        rebuild.keep(id);
        let value = Value { node: id, result: 0 };
        if shared.contains(&value) {
            let made = rebuild.get(value);
            let at = PassError::at(PASS.name, &node.origin);
            let narrow = cast(&mut rebuild.new, made, dtype, &node.origin).map_err(&at)?;
            let wide = cast(&mut rebuild.new, narrow, DType::F32, &node.origin).map_err(&at)?;
            rounded.insert(value, narrow);
            rebuild.set(id, vec![wide]);
        }
    }
    Ok(rebuild.finish())
}
