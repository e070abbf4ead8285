//! Cuts the weights of contractions into the panels that their kernels read.
//!
//! ```text
//! y = contract(x, w)   =>   y = contract(x, unpack(pack(w)))
//! ```
//! `w` is the factor that has the last axis of the result; it is frozen, or the kernel of a convolution. As many of its
//! neighbours lie in a panel as the register tile is wide; if both factors have that axis, all of them, or those of a group.
//! Where both factors are of bf16, or of f16 and a machine multiplies pairs of them, numbers lie in pairs along the last
//! summed axis, if the other factor is read along it. Both sides are equal, and `unpack` is movement, which joins the kernel
//! of the contraction.
//!
//! Of a frozen weight `pack` is computed once, when the weights are loaded (`prepare`); of another, by a kernel of its own.
//! The other factor, where its rows lie side by side and what is summed lies far apart, as in the gradient of a weight, is
//! turned once: packed in a single panel. Without a machine in the context nothing is packed. In a loop the weight is a
//! capture; `hoist` takes its `pack` out.

use super::frozen::{frozen, frozen_in_region, is_unpacked};
use super::panels::{Factor, Panels, factors};
use super::rebuild::Rebuild;
use super::{Context, Pass, PassError};
use crate::graph::rows::fills_vectors;
use crate::graph::{DType, Dim, Graph, Meaning, Nest, NodeId, OpError};

pub static PASS: Pass =
    Pass { name: "pack", doc: "Cuts weights of contractions into the panels that their kernels read.", run };

/// Elements of a weight below which packing is not worth a kernel of its own.
const SMALL: i64 = 64;
/// So often a panel may be packed by the kernel that reads it, once for all rows.
const FEW_PLACES: i64 = 12;
const FEW_ROWS: i64 = 3;
/// Sums of so many products have panels that no first-level cache holds.
const DEEP: i64 = 256;
/// Along so many neighbours turning a factor is little beside multiplying it.
const LONG: i64 = 64;

fn run(graph: &Graph, context: &Context) -> Result<Graph, PassError> {
    let Some(panel) = context.panel else { return Ok(graph.clone()) };
    let live = Rebuild::live(graph);
    let is_frozen = frozen(graph, &live);
    packed(graph, live, &is_frozen, &Packing { panel, f16_pairs: context.f16_pairs, cuts_groups: !context.staged })
}

/// How the machine wants weights.
struct Packing<'a> {
    panel: &'a Width<'a>,
    f16_pairs: bool,
    /// Each group is multiplied by itself.
    cuts_groups: bool,
}

/// How wide panels are, given how many columns there are, what is summed in, and how many rows read a panel before others
/// do, where that is known and the panel is large.
pub type Width<'a> = dyn Fn(&Dim, DType, Option<i64>) -> u64 + 'a;

fn packed(graph: &Graph, live: Vec<NodeId>, is_frozen: &[bool], packing: &Packing) -> Result<Graph, PassError> {
    let mut rebuild = Rebuild::new(graph);
    for id in live {
        let inside = |region: &Graph| {
            let is_frozen = frozen_in_region(graph, id, region, is_frozen);
            packed(region, Rebuild::live(region), &is_frozen, packing)
        };
        let regions = graph.node(id).regions.iter().map(inside).collect::<Result<Vec<Graph>, _>>()?;
        let weight = factor(graph, id, is_frozen, packing).ok().map(|weight| {
            let [a, b] = [0, 1].map(|operand| graph.type_of(graph.operands(id)[operand]).dtype);
            let has_pairs = a == b && (a == DType::BF16 || a == DType::F16 && packing.f16_pairs);
            let is_deep = weight.pairs && has_pairs;
            (weight.operand, Panels { depth: is_deep.then_some(2), ..weight.panels })
        });
        let cuts: Vec<(usize, Panels)> = weight.into_iter().chain(turned_rows(graph, id)).collect();
        match cuts.is_empty() {
            false => repack(&mut rebuild, id, &cuts).map_err(PassError::at(PASS.name, &graph.node(id).origin))?,
            true => _ = rebuild.copy(id, regions),
        }
    }
    Ok(rebuild.finish())
}

/// A factor of a contraction that has the last axis of the result.
pub struct Weight {
    pub operand: usize,
    pub panels: Panels,
    /// Both factors have the columns, as in depthwise convolutions.
    pub is_shared: bool,
    /// Neighbours along the last summed axis lie side by side in the other factor, and fall into pairs.
    pub pairs: bool,
    /// The other factor is read axis by axis as well.
    pub is_of_matrices: bool,
    /// Rows of the other factor, where their number is known.
    pub rows: Option<i64>,
}

const NO_WEIGHT: &str = "the factor with its columns is no weight";

/// The frozen weight of a contraction that is worth packing; or why there is none, where the node is a contraction.
pub fn weight(graph: &Graph, id: NodeId, frozen: &[bool], panel: &Width) -> Result<Weight, Option<&'static str>> {
    let found = factor(graph, id, frozen, &Packing { panel, f16_pairs: false, cuts_groups: false })?;
    match frozen[graph.operands(id)[found.operand].node.index()] {
        true => Ok(found),
        false => Err(Some(NO_WEIGHT)),
    }
}

/// The same, or what else is worth packing.
fn factor(graph: &Graph, id: NodeId, frozen: &[bool], packing: &Packing) -> Result<Weight, Option<&'static str>> {
    let is_frozen = |operand: usize| frozen[graph.operands(id)[operand].node.index()];
    let Meaning::Structured { nest, .. } = graph.node(id).op.meaning else { return Err(None) };
    let nest = graph.with_call(id, nest);
    let [a, b] = factors(&nest).ok_or(None)?;
    let column = nest.n_parallel.checked_sub(1).ok_or("it has a single result")?;
    let (weight, other, is_shared) = match (a.mentions(column), b.mentions(column)) {
        (true, false) => (a, b, false),
        (false, true) => (b, a, false),
        // One column of each factor at a time, as in depthwise convolutions.
        (true, true) if is_frozen(b.operand) => (b, a, true),
        (true, true) => (a, b, true),
        (false, false) => return Err(Some("neither factor has its columns")),
    };
    // Read twice, or packed already: as it is.
    let value = graph.operands(id)[weight.operand];
    let is_worth_it = is_frozen(weight.operand) || !is_shared && slides_often(&nest, &weight, &other, column);
    if a.operand == b.operand || !is_worth_it {
        return Err(Some(NO_WEIGHT));
    }
    if is_unpacked(graph, value.node) {
        return Err(None);
    }
    let axes = weight.plain_axes(&nest).ok_or("its weight is not read axis by axis")?;
    let ty = graph.type_of(value);
    let dtype = weight.cast.unwrap_or(ty.dtype);
    if ty.n_elements().as_constant().is_none_or(|size| size < SMALL) || !dtype.is_float() {
        return Err(Some("its weight is small"));
    }
    let (columns, panel) = (nest.axes[column].clone(), packing.panel);
    let are_pairs =
        [a.operand, b.operand].into_iter().all(|at| graph.type_of(graph.operands(id)[at]).dtype == DType::BF16);
    let multiplied = if are_pairs { DType::BF16 } else { dtype };
    let group = other.columns_of_group(column).filter(|_| packing.cuts_groups);
    let width = match (is_shared, group) {
        (true, Some(group)) if is_apart(&nest, group, dtype, panel) => width_in_group(group, dtype, panel),
        (true, _) => columns.as_constant().ok_or("its columns have no fixed number")? as u64,
        (false, _) => panel(&columns, multiplied, rows_of_line(&nest, &weight, &other, column)),
    };
    let panels = Panels::new(&axes, column, columns, width);
    // Only the order of the axes matters where both factors have the columns.
    if is_shared && panels.is_one() && panels.order.is_sorted() {
        return Err(Some("its weight lies in the right order"));
    }
    let last = nest.axes.len() - 1;
    let is_before_columns = panels.order.iter().rev().nth(1).is_some_and(|&axis| axes[axis] == last);
    let has_own_rows = !is_shared || group == Some(width as i64);
    let pairs = has_own_rows && is_before_columns && last > column && other.falls_into_pairs(&nest);
    let is_of_matrices = !is_shared && other.plain_axes(&nest).is_some();
    let rows = Dim::product((0..column).filter(|&axis| !weight.mentions(axis)).map(|axis| &nest.axes[axis]));
    let rows = rows.as_constant();
    Ok(Weight { operand: weight.operand, panels, is_shared, pairs, is_of_matrices, rows })
}

/// Whether a group is summed on its own; the narrowest panel is a vector.
fn is_apart(nest: &Nest, group: i64, dtype: DType, panel: &Width) -> bool {
    let lanes = panel(&Dim::constant(1), dtype, None) as i64;
    fills_vectors(group, lanes, Dim::product(&nest.axes[nest.n_parallel..]).as_constant())
}

/// Panels of a group, if they divide it, or all of it.
fn width_in_group(group: i64, dtype: DType, panel: &Width) -> u64 {
    let (group, width) = (group as u64, panel(&Dim::constant(group), dtype, None));
    if group % width == 0 { width } else { group }
}

/// The places of a line of an image that a convolution slides along; none where the points of the window are few, so that
/// a panel of its kernel stays in the first-level cache.
fn rows_of_line(nest: &Nest, weight: &Factor, other: &Factor, column: usize) -> Option<i64> {
    let depth = Dim::product(&nest.axes[nest.n_parallel..]).as_constant()?;
    let is_place = |axis: &usize| other.mentions(*axis) && !weight.mentions(*axis);
    let line =
        (0..column).rev().filter(is_place).find(|&axis| nest.axes[axis].as_constant().is_none_or(|n| n > FEW_ROWS))?;
    (other.plain_axes(nest).is_none() && depth >= DEEP).then(|| nest.axes[line].as_constant()).flatten()
}

/// The kernel of a convolution that changes from call to call: its own kernel would pack a panel anew for each row of
/// each image.
fn slides_often(nest: &Nest, weight: &Factor, other: &Factor, column: usize) -> bool {
    let places = (0..column).filter(|&axis| other.mentions(axis) && !weight.mentions(axis));
    let places: Vec<&Dim> = places.map(|axis| &nest.axes[axis]).collect();
    let is_long = |dim: &&&Dim| dim.as_constant().is_none_or(|extent| extent > FEW_ROWS);
    let Some(row) = places.iter().rposition(|dim| is_long(&dim)) else { return false };
    let outer = Dim::product(places.iter().enumerate().filter(|(idx, _)| *idx != row).map(|(_, dim)| *dim));
    other.plain_axes(nest).is_none() && outer.as_constant().is_none_or(|n| n > FEW_PLACES)
}

/// The other factor where its rows lie side by side and what is summed lies far apart, turned once: in one panel that
/// holds all positions of the last summed axis.
fn turned_rows(graph: &Graph, id: NodeId) -> Option<(usize, Panels)> {
    let Meaning::Structured { nest, .. } = graph.node(id).op.meaning else { return None };
    let nest = graph.with_call(id, nest);
    let [a, b] = factors(&nest)?;
    let column = nest.n_parallel.checked_sub(1)?;
    let rows = match (a.mentions(column), b.mentions(column)) {
        (true, false) => b,
        (false, true) => a,
        _ => return None,
    };
    let axes = rows.plain_axes(&nest)?;
    let last = nest.axes.len() - 1;
    let is_far = axes.last().is_some_and(|&axis| axis < nest.n_parallel && is_long(&nest.axes[axis]));
    let value = graph.operands(id)[rows.operand];
    let known =
        [&nest.axes[column], &nest.axes[last]].into_iter().all(|dim| dim.as_constant().is_some_and(|n| n >= LONG));
    if a.operand == b.operand || !is_far || !known || !axes.contains(&last) || is_unpacked(graph, value.node) {
        return None;
    }
    let extent = nest.axes[last].clone();
    let width = extent.as_constant()? as u64;
    Some((rows.operand, Panels::new(&axes, last, extent, width)))
}

fn is_long(dim: &Dim) -> bool {
    dim.as_constant().is_none_or(|extent| extent >= LONG)
}

/// The node again, with factors packed and unpacked.
fn repack(rebuild: &mut Rebuild, id: NodeId, cuts: &[(usize, Panels)]) -> Result<(), OpError> {
    let mut operands = rebuild.operands(id);
    let node = rebuild.old.node(id).clone();
    for (operand, panels) in cuts {
        let packed = panels.cut(&mut rebuild.new, operands[*operand], &node.origin)?;
        operands[*operand] = panels.whole(&mut rebuild.new, packed, &node.origin)?;
    }
    let new = rebuild.new.push(node, &operands);
    let results = rebuild.new.results(new).collect();
    rebuild.set(id, results);
    Ok(())
}
