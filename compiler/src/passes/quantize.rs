//! Stores weights of contractions as small integers, and lets contractions multiply integers.
//!
//! ```text
//! contract(x, w) {result = f32}   =>   contract(dq(q(x), s), dq(q(w), t)) {result = f32}
//! s = max |x| / 127, t = max |w| / (2^(bits-1) - 1)      over each group of neighbours along the summed axis
//! ```
//! with `q = quantize` and `dq = dequantize`. Not exact: both factors are rounded to their integers. The contraction is the
//! same to whoever reads the graph; its kernel sums the integers of a group exactly and scales the sum. The weight is cut
//! into panels, four bytes of the summed axis side by side. Concerned are contractions whose type nobody wrote in the spec
//! and whose last summed axis falls into groups; a remark names each that stays in f32. What depends on weights alone is
//! computed when they are loaded. Where data was looked at before (`calibration`), s is a constant for each group, whatever
//! x is, and what is larger than all that was seen is cut off.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::calibration::{self, Calibration};
use super::frozen::frozen;
use super::narrow::{RESULT, is_wide};
use super::pack::{self, Weight};
use super::panels::factors;
use super::rebuild::Rebuild;
use super::{Context, Narrowing, Pass, PassError, op};
use crate::graph::{
    Attr, Attrs, Builder, DType, Dim, Graph, Meaning, NodeId, OpError, Origin, Role, Tensor, Type, Value,
};

pub static PASS: Pass =
    Pass { name: "quantize", doc: "Stores weights of contractions as small integers with scales.", run };

/// Bytes that lie side by side along the summed axis.
const DEPTH: i64 = 4;
/// The greatest integer of eight bits that has its opposite.
const LIMIT: f64 = 127.0;

fn run(graph: &Graph, context: &Context) -> Result<Graph, PassError> {
    let (Narrowing::Scaled { bits, group }, Some(panel)) = (context.narrowing, context.panel) else {
        return Ok(graph.clone());
    };
    let live = Rebuild::live(graph);
    let is_frozen = frozen(graph, &live);
    // Instructions on vectors multiply signed bytes by unsigned ones, registers of matrices signed ones.
    let is_signed = context.matrices && bits == 8;
    let dtype = if is_signed { DType::I8 } else { DType::U8 };
    let bytes = |columns: &Dim, _: DType, _: Option<i64>| panel(columns, dtype, None);
    let mut pass = Quantize {
        rebuild: Rebuild::new(graph),
        bits,
        is_signed,
        group,
        calibration: &context.calibration,
        known: FxHashMap::default(),
        greatest: Vec::new(),
    };
    for id in live {
        let node = graph.node(id);
        let reason = match pack::weight(graph, id, &is_frozen, &bytes) {
            _ if !is_wide(graph, id) => None,
            Ok(_) if node.attrs.get(RESULT).is_none() => Some("its type is written in the spec"),
            Ok(weight) if pass.falls_into_groups(id, &weight) => {
                pass.contraction(id, &weight).map_err(PassError::at(PASS.name, &node.origin))?;
                continue;
            }
            Ok(_) => Some("its summed axis does not fall into groups"),
            Err(reason) => reason,
        };
        remark_inner(graph, id, context);
        if let Some(reason) = reason {
            context.remark(PASS.name, &node.origin, format!("`{}` stays in f32: {reason}", node.op.name));
        }
        pass.rebuild.keep(id);
    }
    let greatest = std::mem::take(&mut pass.greatest);
    let mut new = pass.rebuild.finish();
    for (place, value) in greatest.into_iter().enumerate() {
        new.add_output(calibration::name(place), Role::Data, value);
    }
    Ok(new)
}

struct Quantize<'g> {
    rebuild: Rebuild<'g>,
    bits: i64,
    /// Weights lie as they are, not above a number that stands for zero.
    is_signed: bool,
    group: i64,
    calibration: &'g Calibration,
    /// What stands for old values that change with each call.
    known: FxHashMap<Value, Value>,
    /// By place, what is to be put out.
    greatest: Vec<Value>,
}

impl Quantize<'_> {
    fn falls_into_groups(&self, id: NodeId, weight: &Weight) -> bool {
        let value = self.rebuild.old.operands(id)[weight.operand];
        let shape = &self.rebuild.old.type_of(value).shape;
        let [.., before, _] = weight.panels.order[..] else { return false };
        weight.pairs && shape[before].exact_div(&Dim::constant(self.group)).is_some()
    }

    fn contraction(&mut self, id: NodeId, weight: &Weight) -> Result<(), OpError> {
        let node = self.rebuild.old.node(id).clone();
        let mut operands = self.rebuild.operands(id);
        let old = self.rebuild.old.operands(id);
        for (idx, operand) in operands.iter_mut().enumerate() {
            *operand = match idx == weight.operand {
                true if *self.calibration == Calibration::Look => *operand,
                true => self.weight(*operand, weight, &node.origin)?,
                false => self.activation(old[idx], *operand, &node.origin)?,
            };
        }
        let new = self.rebuild.new.push(node, &operands);
        let results = self.rebuild.new.results(new).collect();
        self.rebuild.set(id, results);
        Ok(())
    }

    fn activation(&mut self, old: Value, value: Value, origin: &Origin) -> Result<Value, OpError> {
        if let Some(&known) = self.known.get(&old) {
            return Ok(known);
        }
        let axis = self.rebuild.new.type_of(value).rank() - 1;
        let format = self.format(8, 0, axis);
        let (group, expected) = (self.group, self.expected(value));
        let mut b = Builder::new(&mut self.rebuild.new, origin.clone());
        let restored = if *self.calibration == Calibration::Look {
            let others: Vec<usize> = (0..axis).chain([axis + 1]).collect();
            self.greatest.push(b.greatest(value, axis, group, &others)?);
            value
        } else {
            let scale = match expected {
                Some(expected) => b.fixed_scales(value, axis, expected)?,
                None => b.scales(value, axis, group, LIMIT)?,
            };
            let q = b.apply(op("quantize")?, &[value, scale], format.clone())?;
            b.apply(op("dequantize")?, &[q, scale], format)?
        };
        self.known.insert(old, restored);
        Ok(restored)
    }

    /// What was seen at the place of the next value.
    fn expected(&self, value: Value) -> Option<Vec<f32>> {
        let Calibration::Seen(seen) = self.calibration else { return None };
        let n_groups = self.rebuild.new.type_of(value).shape.last()?.as_constant()? / self.group;
        seen.expected(&self.rebuild.old.name, self.known.len(), usize::try_from(n_groups).ok()?)
    }

    fn weight(&mut self, value: Value, weight: &Weight, origin: &Origin) -> Result<Value, OpError> {
        let (bits, panels, rank) = (self.bits, &weight.panels, weight.panels.order.len());
        let beyond = 1 << (bits - 1);
        let format = self.format(bits, if self.is_signed { 0 } else { beyond }, rank - 2);
        let value = panels.in_order(&mut self.rebuild.new, value, origin)?;
        let mut b = Builder::new(&mut self.rebuild.new, origin.clone());
        let scale = b.scales(value, rank - 2, self.group, (beyond - 1) as f64)?;
        let q = b.apply(op("quantize")?, &[value, scale], format.clone())?;
        let width = Attrs::none().with("width", panels.width as i64);
        let extent = Attrs::none().with("extent", panels.columns.clone());
        let q = b.apply(op("pack")?, &[q], width.clone().with("depth", DEPTH))?;
        let q = b.apply(op("unpack")?, &[q], extent.clone().with("depth", DEPTH))?;
        let scale = b.apply(op("pack")?, &[scale], width)?;
        let scale = b.apply(op("unpack")?, &[scale], extent)?;
        let restored = b.apply(op("dequantize")?, &[q, scale], format)?;
        panels.in_old_order(&mut self.rebuild.new, restored, origin)
    }

    fn format(&self, bits: i64, zero: i64, axis: usize) -> Attrs {
        let attrs = Attrs::none().with("bits", bits).with("zero", zero).with("axis", axis as i64);
        attrs.with("group", self.group)
    }
}

impl Builder<'_> {
    /// The greatest magnitude of each group along an axis, divided by the greatest integer.
    fn scales(&mut self, value: Value, axis: usize, group: i64, limit: f64) -> Result<Value, OpError> {
        let most = self.greatest(value, axis, group, &[axis + 1])?;
        let ty = self.graph.type_of(most).clone();
        let number = Tensor::floats(ty.dtype, Vec::new(), vec![1.0 / limit]);
        let by = self.constant(number, &ty)?;
        self.mul(most, by)
    }

    /// The greatest magnitude along these axes of the value whose axis is cut into groups.
    fn greatest(&mut self, value: Value, axis: usize, group: i64, axes: &[usize]) -> Result<Value, OpError> {
        let mut shape = self.graph.type_of(value).shape.clone();
        let n_groups = shape[axis].floor_div(&Dim::constant(group));
        shape.splice(axis..=axis, [n_groups, Dim::constant(group)]);
        let grouped = self.reshape(value, &shape)?;
        let size = self.abs(grouped)?;
        self.reduce(op("reduce_max")?, size, axes, false)
    }

    /// Scales for groups of this size, the same wherever else they lie.
    fn fixed_scales(&mut self, value: Value, axis: usize, greatest: Vec<f32>) -> Result<Value, OpError> {
        let mut ty = self.graph.type_of(value).clone();
        ty.shape[axis] = Dim::constant(greatest.len() as i64);
        let scales: Vec<f64> = greatest.iter().map(|&greatest| f64::from(greatest) / LIMIT).collect();
        self.constant(Tensor::floats(ty.dtype, vec![scales.len()], scales), &ty)
    }

    /// These numbers, stretched to a type.
    fn constant(&mut self, numbers: Tensor, ty: &Type) -> Result<Value, OpError> {
        let value = Attr::Tensor(Arc::new(numbers.cast(ty.dtype)));
        let constant = self.apply(op("constant")?, &[], Attrs::none().with("value", value))?;
        self.broadcast(constant, &ty.shape)
    }
}

/// Says of contractions in the regions of a node that they stay as they are.
fn remark_inner(graph: &Graph, id: NodeId, context: &Context) {
    let outer = graph.node(id);
    for region in &outer.regions {
        for id in region.node_ids() {
            let node = region.node(id);
            let Meaning::Structured { nest, .. } = node.op.meaning else { continue };
            if is_wide(region, id) && region.with_call(id, |call| factors(&nest(call)).is_some()) {
                let message = format!("`{}` stays in f32: it is a part of `{}`", node.op.name, outer.op.name);
                context.remark(PASS.name, &node.origin, message);
            }
        }
    }
}
