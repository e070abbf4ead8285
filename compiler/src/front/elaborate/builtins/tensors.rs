//! Builtins that make, join and cut tensors.
//!
//! Invariant: an axis may count from the end, and is checked against the rank before it is used.

use std::rc::Rc;

use super::Bound;
use crate::diag::{Diagnostic, Span};
use crate::front::ast::BinaryOp;
use crate::front::elaborate::Elaborator;
use crate::front::elaborate::call::{Arg, count};
use crate::front::elaborate::config::Operand;
use crate::front::elaborate::members::holds_members;
use crate::front::elaborate::report::Outcome;
use crate::front::elaborate::structure::rebuild;
use crate::front::elaborate::value::{Value, Wire};
use crate::graph::{Attrs, DType, Dim, Scalar, Type};

impl<'a> Elaborator<'a> {
    pub(super) fn fill_shape(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let (Some(shape), (value, at)) = (b.take(0), b.value(1)) else {
            return self.error("E0303", "a shape is missing", b.span, "this call");
        };
        let typed = matches!(shape.value, Value::Typed(..));
        let ty = self.shape_argument(&[shape])?;
        let ty = match (&value, typed) {
            (Value::Bool(_), false) => ty.with_dtype(DType::Bool),
            _ => ty,
        };
        if !value.is_tensor() {
            return self.fit(value, &ty, at, |diagnostic| diagnostic).map(Value::Wire);
        }
        let wire = self.tensor(value, at)?;
        let wire = if typed || wire.flexible { self.fit_dtype(wire, ty.dtype, at, |d| d)? } else { wire };
        self.broadcast_to(wire, &ty.shape, b.span).map(|wire| Value::Wire(Wire { flexible: false, ..wire }))
    }

    pub(super) fn iota(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let (value, span) = b.value(0);
        let size = self.size_of(&value, span)?;
        let wire = self.emit("iota", &[], Attrs::none().with("size", size), b.span)?;
        Ok(Value::Wire(Wire { flexible: true, ..wire }))
    }

    pub(super) fn eye(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let (value, at) = b.value(0);
        let size = self.size_of(&value, at)?;
        let iota = self.emit("iota", &[], Attrs::none().with("size", size.clone()), b.span)?;
        let column = self.reshape_to(iota, vec![size.clone(), Dim::constant(1)], b.span)?;
        let shape = [size.clone(), size];
        let (row, column) = (self.broadcast_to(iota, &shape, b.span)?, self.broadcast_to(column, &shape, b.span)?);
        let equal = self.emit("eq", &[row, column], Attrs::none(), b.span)?;
        self.cast(equal, DType::Real, b.span).map(Value::Wire)
    }

    pub(super) fn linspace(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let (from, to, (steps, at)) = (b.value(0), b.value(1), b.value(2));
        let size = self.size_of(&steps, at)?;
        // A single number is `from`, so nothing is divided by the zero steps between.
        let known = self.frame(b.span)?.graph.sizes.lower_bound(&size);
        let steps_between = match known {
            Some(least) if least > 1 => &size - 1,
            _ => (&size - 1).greatest(&Dim::constant(1)),
        };
        let iota = self.emit("iota", &[], Attrs::none().with("size", size), b.span)?;
        let iota = Value::Wire(Wire { flexible: true, ..iota });
        let span = b.span;
        let width = self.operate(BinaryOp::Subtract, span, [to, from.clone()], span)?;
        let step = self.operate(BinaryOp::Divide, span, [(width, span), (Value::size(steps_between), at)], span)?;
        let scaled = self.operate(BinaryOp::Multiply, span, [(iota, span), (step, span)], span)?;
        self.operate(BinaryOp::Add, span, [from, (scaled, span)], span)
    }

    pub(super) fn joined(&mut self, b: Bound<'a>) -> Outcome<(Vec<Wire>, i64)> {
        let (mut operands, mut axis) = (Vec::new(), 0);
        for arg in b.rest.into_iter().chain(b.args.into_iter().flatten()) {
            match (&arg.name, &arg.value) {
                (Some(name), Value::Int(value)) if &**name == "axis" => axis = *value,
                (Some(name), _) if &**name != "list" => {
                    return self.error("E0303", format!("there is no parameter `{name}`"), arg.span, "it has `axis`");
                }
                (_, Value::List(items)) => operands.extend(items.iter().map(|item| (item.clone(), arg.span))),
                (_, Value::Tuple(fields)) => {
                    operands.extend(fields.iter().map(|field| (field.value.clone(), arg.span)))
                }
                (None, Value::Int(axis)) => {
                    let diagnostic = Diagnostic::error("E0303", "tensors are joined, and this is an int")
                        .at(arg.span, "no tensor")
                        .help(format!("if it is the axis, name it: `axis: {axis}`"));
                    return Err(self.report(diagnostic));
                }
                _ => operands.push((arg.value, arg.span)),
            }
        }
        if operands.is_empty() {
            return self.error("E0303", "there is nothing to join", b.span, "no tensors here");
        }
        Ok((self.promote(operands, false, b.span)?, axis))
    }

    pub(super) fn concat(&mut self, b: Bound<'a>) -> Outcome<Value<'a>> {
        let span = b.span;
        let (wires, axis) = self.joined(b)?;
        self.emit("concat", &wires, Attrs::none().with("axis", axis), span).map(Value::Wire)
    }

    pub(super) fn stack(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let span = b.span;
        if let Some(axis) = b.args.get_mut(1).and_then(Option::take) {
            b.rest.push(Arg { name: Some(Rc::from("axis")), ..axis });
        }
        let (wires, axis) = self.joined(b)?;
        let spans = vec![span; wires.len()];
        let wires = self.broadcast_all(wires, &spans, span)?;
        let mut shape = self.type_of(wires[0]).shape;
        let rank = shape.len() as i64 + 1;
        let place = if axis < 0 { axis + rank } else { axis };
        if !(0..rank).contains(&place) {
            return self.error("E0205", format!("there is no axis {axis} among {rank}"), span, "this call");
        }
        shape.insert(place as usize, Dim::constant(1));
        let mut pieces = Vec::with_capacity(wires.len());
        for wire in wires {
            pieces.push(self.reshape_to(wire, shape.clone(), span)?);
        }
        self.emit("concat", &pieces, Attrs::none().with("axis", place), span).map(Value::Wire)
    }

    pub(super) fn axis_of(&mut self, arg: Option<Arg<'a>>, rank: usize, otherwise: i64, span: Span) -> Outcome<usize> {
        let (axis, at) = match arg {
            None => (otherwise, span),
            Some(Arg { value: Value::Int(axis), span, .. }) => (axis, span),
            Some(other) => return Err(self.wanted("an axis, an int of config,", &other.value.clone(), other.span)),
        };
        let place = if axis < 0 { axis + rank as i64 } else { axis };
        match usize::try_from(place).ok().filter(|place| *place < rank) {
            Some(place) => Ok(place),
            None => {
                self.error("E0205", format!("there is no axis {axis} in a tensor of rank {rank}"), at, "out of range")
            }
        }
    }

    /// One axis or a list of different ones.
    fn axes_of_list(&mut self, arg: Option<Arg<'a>>, rank: usize, span: Span) -> Outcome<Vec<usize>> {
        let Some(Arg { value: Value::List(items), span: at, name }) = arg else {
            return Ok(vec![self.axis_of(arg, rank, 0, span)?]);
        };
        let mut axes = Vec::with_capacity(items.len());
        for item in items.iter() {
            let axis = self.axis_of(Some(Arg { value: item.clone(), span: at, name: name.clone() }), rank, 0, span)?;
            if axes.contains(&axis) {
                return self.error("E0205", format!("axis {axis} stands here twice"), at, "each axis once");
            }
            axes.push(axis);
        }
        Ok(axes)
    }

    /// `expand(x, n)`: an axis of size one repeated, the first unless another is named.
    pub(super) fn expand(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let ((value, at), (size, size_at)) = (b.value(0), b.value(1));
        let wire = self.tensor(value, at)?;
        let size = self.size_of(&size, size_at)?;
        let mut shape = self.type_of(wire).shape;
        let axis = b.take(2);
        let axis = self.axis_of(axis, shape.len(), 0, b.span)?;
        if !shape[axis].is(1) {
            let message = format!("`expand` repeats an axis of size one, and this has size {}", shape[axis]);
            return self.error("E0203", message, at, "this tensor");
        }
        shape[axis] = size;
        self.broadcast_to(wire, &shape, b.span).map(Value::Wire)
    }

    pub(super) fn split_axis(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let ((value, at), sizes) = (b.value(0), b.value(1));
        let wire = self.tensor(value, at)?;
        let shape = self.type_of(wire).shape;
        let axis = b.take(2);
        let axis = self.axis_of(axis, shape.len(), 0, b.span)?;
        let sizes_at = sizes.1;
        if let Value::Int(number) = sizes.0 {
            let equal = shape[axis].exact_div(&Dim::constant(number)).filter(|_| (1..=8).contains(&number));
            let equal = equal.map(|size| vec![size.to_string(); number as usize].join(", "));
            let equal = equal.unwrap_or_else(|| "2, 3".to_string());
            let diagnostic = Diagnostic::error("E0402", "`split` takes the sizes of its parts, and this is an int")
                .at(sizes_at, "not a list")
                .help(format!("write `split(x, [{equal}], axis: {axis})`"));
            return Err(self.report(diagnostic));
        }
        let sizes = self.list_of(sizes)?;
        let mut dims = Vec::with_capacity(sizes.len());
        for size in sizes.iter() {
            dims.push(self.size_of(size, sizes_at)?);
        }
        let total = dims.iter().fold(Dim::constant(0), |total, size| &total + size);
        if total != shape[axis] {
            let message = format!("the parts add up to {total}, and the axis has size {}", shape[axis]);
            let diagnostic = Diagnostic::error("E0203", message).at(sizes_at, "these parts");
            return Err(self.report(diagnostic.also(at, format!("{} here", crate::graph::Shape(&shape)))));
        }
        let mut pieces = Vec::with_capacity(dims.len());
        let mut from = Dim::constant(0);
        for size in dims {
            let mut starts = vec![Dim::constant(0); shape.len()];
            let mut stops = shape.clone();
            stops[axis] = &from + &size;
            starts[axis] = std::mem::replace(&mut from, stops[axis].clone());
            let attrs = Attrs::none().with("starts", starts).with("stops", stops);
            pieces.push(Value::Wire(self.emit("slice", &[wire], attrs, b.span)?));
        }
        Ok(Value::tuple(pieces))
    }

    pub(super) fn pad_axis(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let (value, at) = b.value(0);
        let wire = self.tensor(value, at)?;
        let rank = self.type_of(wire).rank();
        let axis = b.take(1);
        let axes = self.axes_of_list(axis, rank, b.span)?;
        let mut sides = [vec![Dim::constant(0); rank], vec![Dim::constant(0); rank]];
        for (side, idx) in sides.iter_mut().zip([2, 3]) {
            let Some(arg) = b.take(idx) else { continue };
            let counts = match arg.value {
                Value::List(counts) => counts.to_vec(),
                count => vec![count; axes.len()],
            };
            if counts.len() != axes.len() {
                let wanted = if axes.len() == 1 { "one axis".to_string() } else { format!("{} axes", axes.len()) };
                let message = format!("`pad` is given {} for {wanted}", count(counts.len(), "number"));
                return self.error("E0303", message, arg.span, "one for each, or one number for all");
            }
            for (&axis, count) in axes.iter().zip(&counts) {
                side[axis] = self.size_of(count, arg.span)?;
            }
        }
        let fill = b.take(4).map_or(Ok(0.0), |arg| self.float_attr("value", &arg))?;
        let [low, high] = sides;
        let attrs = Attrs::none().with("low", low).with("high", high).with("value", fill);
        self.emit("pad", &[wire], attrs, b.span).map(Value::Wire)
    }

    pub(super) fn update(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let ((base, base_at), (piece, piece_at), (place, place_at)) = (b.value(0), b.value(1), b.value(3));
        let wires = self.promote(vec![(base, base_at), (piece, piece_at)], false, b.span)?;
        let rank = self.type_of(wires[0]).rank();
        let axis = b.take(2);
        let axis = self.axis_of(axis, rank, 0, b.span)?;
        let at = self.fit(place, &Type::scalar(DType::I64), place_at, |diagnostic| diagnostic)?;
        let attrs = Attrs::none().with("axis", axis as i64);
        let room = &self.type_of(wires[0]).shape[axis] - &self.type_of(wires[1]).shape[axis];
        let updated = self.emit("update", &[wires[0], wires[1], at], attrs, b.span)?;
        if self.frame(b.span)?.graph.sizes.lower_bound(&room).is_none_or(|bound| bound < 0) {
            self.must_fit(room, b.span);
        }
        Ok(Value::Wire(updated))
    }

    pub(super) fn clip(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let (mut x, low, high) = (b.value(0), b.take(1), b.take(2));
        if low.is_none() && high.is_none() {
            return self.error("E0303", "`clip` is given no bound", b.span, "neither `low` nor `high`");
        }
        for (scalar, bound) in [(Scalar::Max, low), (Scalar::Min, high)] {
            if let Some(bound) = bound {
                x = (self.pairwise(scalar, [x, (bound.value, bound.span)], b.span)?, b.span);
            }
        }
        Ok(x.0)
    }

    /// `a + (b - a) * t`.
    pub(super) fn lerp(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let (from, to, t) = (b.value(0), b.value(1), b.value(2));
        let span = b.span;
        let is_tree = match &from.0 {
            Value::Module(_) | Value::Tuple(_) => true,
            list @ Value::List(_) => holds_members(list),
            _ => false,
        };
        if !is_tree {
            return self.lerp_between(from, to, t, span);
        }
        let from = self.tensors_of(&from.0, from.1)?;
        let to = self.tensors_like(&to.0, &from, to.1)?;
        if from.wires.len() != to.wires.len() {
            let message = format!("{} tensors on one side and {} on the other", from.wires.len(), to.wires.len());
            let diagnostic = Diagnostic::error("E0209", message).at(from.span, "from these");
            return Err(self.report(diagnostic.also(to.span, "to these")));
        }
        let mut between = Vec::with_capacity(from.wires.len());
        for (start, end) in from.wires.iter().zip(&to.wires) {
            let (start, end) = ((Value::Wire(*start), from.span), (Value::Wire(*end), to.span));
            let value = self.lerp_between(start, end, t.clone(), span)?;
            between.push(self.tensor(value, span)?);
        }
        Ok(rebuild(&from.template, &mut between.into_iter()))
    }

    fn lerp_between(&mut self, from: Operand<'a>, to: Operand<'a>, t: Operand<'a>, span: Span) -> Outcome<Value<'a>> {
        let width = self.operate(BinaryOp::Subtract, span, [to, from.clone()], span)?;
        let part = self.operate(BinaryOp::Multiply, span, [(width, span), t], span)?;
        self.operate(BinaryOp::Add, span, [from, (part, span)], span)
    }
}
