//! `recomputed(captures…)`: a part of a graph that its gradient computes again instead of keeping what was computed.
//!
//! Invariant: the second region computes the same as the first for some rows of the result, given those rows of the
//! captures that have them; so the gradient needs no more at a time than those rows take.

use super::{region, scan, slice_at};
use crate::graph::{
    AttrKind, Attrs, Builder, Call, Cotangents, DType, Default, Dim, Gradient, Graph, Meaning, OpDef, OpError,
    Operands, Pull, Type, Value, attr,
};

use super::reverse::{or_zeros, pull_back};

pub static OP: OpDef = OpDef {
    name: "recomputed",
    doc: "What its first region makes of the captures. Its gradient goes through `chunk` rows of the result at a time, which \
          lie along `axis`: the second region computes them, from those rows of each capture that has them, along the axis \
          in `rows` (others have -1), and from the number of the first row.",
    operands: Operands::Variadic(&[], "capture"),
    attrs: &[
        attr("axis", AttrKind::Int, Default::Required),
        attr("chunk", AttrKind::Int, Default::Required),
        attr("rows", AttrKind::Ints, Default::Required),
    ],
    infer,
    meaning: Meaning::Expand(expand),
    gradient: Gradient::Rule(gradient),
    aliases: &[],
    sample: None,
};

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    region::count(call, 2)?;
    let types = region::results(call, 0, call.operands)?;
    let (axis, chunk, rows) = (call.attrs.int("axis"), call.attrs.int("chunk"), call.attrs.ints("rows"));
    let [y] = types.as_slice() else { return Err(OpError::new("`recomputed` has one result")) };
    let fits = |ty: &Type, axis: i64| {
        let extent = usize::try_from(axis).ok().and_then(|axis| ty.shape.get(axis)).and_then(Dim::as_constant);
        extent.is_some_and(|extent| chunk > 0 && extent % chunk == 0)
    };
    let all_fit = rows.iter().zip(call.operands).all(|(&axis, ty)| axis == -1 || fits(ty, axis));
    match fits(y, axis) && rows.len() == call.operands.len() && all_fit {
        true => Ok(types),
        false => Err(OpError::attr("chunk", format!("the rows of {y} do not fall into {chunk}s"))),
    }
}

fn expand(b: &mut Builder, call: &Call, operands: &[Value]) -> Result<Vec<Value>, OpError> {
    region::inline(b, &call.regions[0], operands)
}

fn gradient(b: &mut Builder, pull: &Pull) -> Cotangents {
    let plan = Plan::of(pull);
    let g = pull.cotangent()?;
    let outer: Vec<Value> = pull.operands.iter().copied().chain([g]).collect();
    let back = plan.body(b, pull, &outer)?;
    let mut operands = Vec::with_capacity(plan.sums.len() + outer.len());
    for &idx in &plan.sums {
        operands.push(b.number(0.0, pull.operands[idx])?);
    }
    operands.extend(outer);
    let trip = b.shape_of(g)[plan.axis].floor_div(&Dim::constant(plan.chunk));
    let attrs = Attrs::none().with("carries", plan.sums.len() as i64).with("trip", trip);
    let results = b.apply_with(&scan::OP, &operands, attrs, vec![back])?;
    let mut cotangents = vec![None; plan.rows.len()];
    for (&idx, &result) in plan.sums.iter().chain(&plan.pieces).zip(&results) {
        cotangents[idx] = Some(match plan.rows[idx] {
            Some(axis) => in_one(b, result, axis)?,
            None => result,
        });
    }
    Ok(cotangents)
}

/// How the loop goes back through the rows: along which axis of the result, and along which of each capture.
struct Plan {
    axis: usize,
    chunk: i64,
    rows: Vec<Option<usize>>,
    /// Captures of which every row needs the whole: their cotangents are carried, and added to.
    sums: Vec<usize>,
    /// Captures that are read in rows: their cotangents are stacked.
    pieces: Vec<usize>,
}

impl Plan {
    fn of(pull: &Pull) -> Self {
        let attrs = &pull.call.attrs;
        let rows: Vec<Option<usize>> = attrs.ints("rows").iter().map(|&axis| usize::try_from(axis).ok()).collect();
        let wanted = (0..rows.len()).filter(|&idx| pull.wanted[idx]);
        let (pieces, sums) = wanted.partition(|&idx| rows[idx].is_some());
        Self { axis: attrs.int("axis") as usize, chunk: attrs.int("chunk"), rows, sums, pieces }
    }

    /// One step of the loop: from its number, the sums so far and all of `outer`, the new sums and some rows of the pieces.
    fn body(&self, b: &mut Builder, pull: &Pull, outer: &[Value]) -> Result<Graph, OpError> {
        let carried = self.sums.iter().map(|&idx| pull.operands[idx]);
        let types = carried.chain(outer.iter().copied()).map(|value| b.type_of(value).clone());
        let types: Vec<Type> = [Type::scalar(DType::I64)].into_iter().chain(types).collect();
        let mut back = region::with_arguments(b.graph, "back", &types);
        let arguments: Vec<Value> = back.arguments().iter().map(|argument| argument.value).collect();
        let mut inner = Builder::new(&mut back, b.origin.clone());
        let at = inner.mul_number(arguments[0], self.chunk as f64)?;
        let (old, rest) = arguments[1..].split_at(self.sums.len());
        let mut given = Vec::with_capacity(self.rows.len());
        for (value, axis) in rest.iter().zip(&self.rows) {
            given.push(self.rows_at(&mut inner, *value, at, *axis)?);
        }
        let dy = self.rows_at(&mut inner, rest[self.rows.len()], at, Some(self.axis))?;
        let since = inner.graph.n_nodes();
        let with_place: Vec<Value> = given.iter().copied().chain([at]).collect();
        let y = region::inline(&mut inner, &pull.call.regions[1], &with_place)?;
        let inputs: Vec<Value> = self.sums.iter().chain(&self.pieces).map(|&idx| given[idx]).collect();
        let found = pull_back(&mut inner, since, &[(y[0], dy)], &inputs)?;
        let mut results = or_zeros(&mut inner, &found, &inputs)?;
        for (result, old) in results.iter_mut().zip(old) {
            *result = inner.add(*old, *result)?;
        }
        region::set_outputs(&mut back, &results);
        Ok(back)
    }

    /// The rows of a value that a step goes through, or all of it.
    fn rows_at(&self, b: &mut Builder, value: Value, at: Value, axis: Option<usize>) -> Result<Value, OpError> {
        let Some(axis) = axis else { return Ok(value) };
        let attrs = Attrs::none().with("axis", axis as i64).with("size", Dim::constant(self.chunk));
        b.apply(&slice_at::OP, &[value, at], attrs)
    }
}

/// Stacked rows one after another along their axis.
fn in_one(b: &mut Builder, stacked: Value, axis: usize) -> Result<Value, OpError> {
    let shape = b.shape_of(stacked);
    let order: Vec<usize> = (1..=axis).chain([0]).chain(axis + 1..shape.len()).collect();
    let turned = b.permute(stacked, &order)?;
    let mut joined = shape[1..].to_vec();
    joined[axis] = &joined[axis] * &shape[0];
    b.reshape(turned, &joined)
}
