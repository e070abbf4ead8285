//! Functions that are no ops: config, forms that look at their arguments, and short words for a few ops.
//!
//! Invariant: a row of the table names its parameters in order; `needs` of them have no default, and after `...` come any
//! number more. Each function finds its arguments sorted.

use std::rc::Rc;

use super::Elaborator;
use super::call::{Arg, count, parameter_for};
use super::config::same;
use super::report::Outcome;
use super::value::{Blueprint, BlueprintKind, Draw, Value, Wire};
use crate::diag::{Diagnostic, Span};
use crate::front::ast::BinaryOp;
use crate::graph::{Attrs, DType, Dim, Scalar, Type};

pub struct Builtin {
    pub name: &'static str,
    params: &'static [&'static str],
    needs: usize,
    run: for<'a> fn(&mut Elaborator<'a>, Bound<'a>) -> Outcome<Value<'a>>,
}

/// Arguments by parameter, and those after `...` with the names they came with.
pub struct Bound<'a> {
    args: Vec<Option<Arg<'a>>>,
    pub rest: Vec<Arg<'a>>,
    pub span: Span,
}

impl<'a> Bound<'a> {
    pub fn take(&mut self, idx: usize) -> Option<Arg<'a>> {
        self.args.get_mut(idx).and_then(Option::take)
    }

    fn value(&mut self, idx: usize) -> (Value<'a>, Span) {
        self.take(idx).map_or((Value::Absent, self.span), |arg| (arg.value, arg.span))
    }
}

type Run = for<'a> fn(&mut Elaborator<'a>, Bound<'a>) -> Outcome<Value<'a>>;

const fn row(name: &'static str, params: &'static [&'static str], needs: usize, run: Run) -> Builtin {
    Builtin { name, params, needs, run }
}

#[rustfmt::skip]
pub static TABLE: &[Builtin] = &[
    // config
    row("len", &["list"], 1, |e, b| e.len(b)),
    row("zip", &["..."], 1, |e, b| e.zip(b)),
    row("enumerate", &["list"], 1, |e, b| e.enumerate(b)),
    row("range", &["from", "to"], 1, |e, b| e.counted(b)),
    row("int", &["value"], 1, |e, b| e.to_int(b)),
    row("tensor", &["list"], 1, |e, mut b| { let (v, s) = b.value(0); e.constant_tensor(&v, s) }),
    row("identity", &["x"], 1, |_, mut b| Ok(b.value(0).0)),
    row("clone", &["module"], 1, |e, b| e.clone_builtin(b)),
    row("eval", &["module"], 1, |_, mut b| Ok(b.value(0).0)),
    row("stop_gradient", &["x"], 1, |_, mut b| Ok(b.value(0).0)),
    row("straight_through", &["hard", "soft"], 2, |_, mut b| Ok(b.value(0).0)),
    // reductions, or folds of lists, or elementwise
    row("sum", &["x", "axis", "axes", "keep"], 1, |e, b| e.fold("reduce_sum", Scalar::Add, b)),
    row("prod", &["x", "axis", "axes", "keep"], 1, |e, b| e.fold("reduce_prod", Scalar::Mul, b)),
    row("any", &["x", "axis", "axes", "keep"], 1, |e, b| e.fold("reduce_any", Scalar::Or, b)),
    row("all", &["x", "axis", "axes", "keep"], 1, |e, b| e.fold("reduce_all", Scalar::And, b)),
    row("max", &["..."], 1, |e, b| e.extreme("reduce_max", Scalar::Max, b)),
    row("min", &["..."], 1, |e, b| e.extreme("reduce_min", Scalar::Min, b)),
    row("cumsum", &["x", "axis", "exclusive", "reverse"], 1, |e, b| e.cumulate("add", b)),
    row("cumprod", &["x", "axis", "exclusive", "reverse"], 1, |e, b| e.cumulate("mul", b)),
    row("cummax", &["x", "axis", "exclusive", "reverse"], 1, |e, b| e.cumulate("max", b)),
    // axes by name
    row("rearrange", &["x", "pattern", "..."], 2, |e, b| e.rearrange(b)),
    row("reduce", &["x", "pattern", "by", "..."], 3, |e, b| e.reduce(b)),
    row("repeat", &["x", "pattern", "..."], 2, |e, b| e.repeat_axes(b)),
    row("einsum", &["pattern", "..."], 2, |e, b| e.pattern_op("einsum", b)),
    row("gather", &["pattern", "..."], 3, |e, b| e.pattern_op("gather", b)),
    row("scatter", &["pattern", "..."], 4, |e, b| e.pattern_op("scatter", b)),
    // making and joining tensors
    row("fill", &["shape", "value"], 2, |e, b| e.fill_shape(b)),
    row("iota", &["size"], 1, |e, b| e.iota(b)),
    row("eye", &["size"], 1, |e, b| e.eye(b)),
    row("linspace", &["from", "to", "steps"], 3, |e, b| e.linspace(b)),
    row("concat", &["..."], 1, |e, b| e.concat(b)),
    row("stack", &["list", "axis"], 1, |e, b| e.stack(b)),
    row("expand", &["x", "size", "axis"], 2, |e, b| e.expand(b)),
    row("split", &["x", "sizes", "axis"], 2, |e, b| e.split_axis(b)),
    row("pad", &["x", "axis", "before", "after", "value"], 2, |e, b| e.pad_axis(b)),
    row("update", &["x", "piece", "axis", "at"], 4, |e, b| e.update(b)),
    row("clip", &["x", "low", "high"], 3, |e, b| e.clip(b)),
    row("lerp", &["a", "b", "t"], 3, |e, b| e.lerp(b)),
    row("size", &["x"], 1, |e, mut b| { let (v, s) = b.value(0); e.tensor(v.clone(), s)?; Ok(Value::size(Dim::product(&e.shape_of(&v)))) }),
    row("shape", &["x"], 1, |e, mut b| { let (v, s) = b.value(0); e.tensor(v.clone(), s)?; Ok(Value::list(e.shape_of(&v).into_iter().map(Value::size).collect())) }),
    // draws
    row("normal", &["mean", "std", "shape"], 0, |e, b| e.distribution("normal", b)),
    row("uniform", &["low", "high", "shape"], 0, |e, b| e.distribution("uniform", b)),
    row("rand", &["..."], 0, |e, b| e.call_draw(Draw::Uniform { low: 0.0, high: 1.0 }, b.rest, b.span)),
    row("randn", &["..."], 0, |e, b| e.call_draw(Draw::Normal { mean: 0.0, std: 1.0 }, b.rest, b.span)),
    row("randint", &["low", "high", "shape"], 3, |e, b| e.randint(b)),
    row("bernoulli", &["p", "shape"], 2, |e, b| e.bernoulli(b)),
    row("dropout", &["x", "p"], 2, |e, b| e.dropout(b, false)),
    row("drop_path", &["x", "p"], 2, |e, b| e.dropout(b, true)),
    // what waits for the differentiator
    row("grad", &["..."], 0, |e, b| Err(e.reports.not_yet(b.span, "grad"))),
    row("jvp", &["..."], 0, |e, b| Err(e.reports.not_yet(b.span, "jvp"))),
    row("vjp", &["..."], 0, |e, b| Err(e.reports.not_yet(b.span, "vjp"))),
];

/// Ops that other parts of the project bring later.
pub static PLANNED: &[&str] = &[
    "sort",
    "argsort",
    "topk",
    "fft",
    "ifft",
    "rfft",
    "irfft",
    "solve",
    "nonzero",
    "linear_recurrence",
    "bilinear",
    "categorical",
    "entropy",
    "onehot",
    "argmax",
    "argmin",
    "norm",
    "resize",
    "softplus",
];

pub fn find(name: &str) -> Option<&'static Builtin> {
    TABLE.iter().find(|builtin| builtin.name == name)
}

impl Builtin {
    pub fn call<'a>(&'static self, e: &mut Elaborator<'a>, args: Vec<Arg<'a>>, span: Span) -> Outcome<Value<'a>> {
        let bound = e.sort_args(self, args, span)?;
        (self.run)(e, bound)
    }
}

impl<'a> Elaborator<'a> {
    fn sort_args(&mut self, builtin: &Builtin, args: Vec<Arg<'a>>, span: Span) -> Outcome<Bound<'a>> {
        let variadic = builtin.params.last() == Some(&"...");
        let params = &builtin.params[..builtin.params.len() - usize::from(variadic)];
        let mut bound = Bound { args: params.iter().map(|_| None).collect(), rest: Vec::new(), span };
        let (mut next, given) = (0, args.len());
        for arg in args {
            let place = match &arg.name {
                Some(name) => params.iter().position(|own| *own == &**name),
                None => {
                    next += 1;
                    Some(next - 1).filter(|place| *place < params.len())
                }
            };
            match (place, &arg.name) {
                (Some(place), _) => bound.args[place] = Some(arg),
                (None, _) if variadic => bound.rest.push(arg),
                (None, Some(name)) => {
                    let diagnostic =
                        Diagnostic::error("E0303", format!("`{}` has no parameter `{name}`", builtin.name))
                            .at(self.name_before(arg.span, name), "no such parameter")
                            .did_you_mean(parameter_for(name, params.iter().copied()))
                            .with_note(format!("it has {}", params.join(", ")));
                    return Err(self.report(diagnostic));
                }
                (None, None) => {
                    let message =
                        format!("`{}` takes {}, and this is one more", builtin.name, count(params.len(), "argument"));
                    return self.error("E0303", message, arg.span, "too many");
                }
            }
        }
        let missing = params.iter().take(builtin.needs).zip(&bound.args).find(|(_, arg)| arg.is_none());
        if let Some((name, _)) = missing {
            let message = format!("`{}` is missing its `{name}`", builtin.name);
            return self.error("E0303", message, span, "this call");
        }
        if given < builtin.needs {
            let message = format!("`{}` takes {} at least", builtin.name, count(builtin.needs, "argument"));
            return self.error("E0303", message, span, "this call");
        }
        Ok(bound)
    }

    fn list_of(&mut self, (value, span): (Value<'a>, Span)) -> Outcome<Rc<Vec<Value<'a>>>> {
        match value {
            Value::List(items) => Ok(items),
            Value::Tuple(fields) => Ok(Rc::new(fields.iter().map(|field| field.value.clone()).collect())),
            other => Err(self.wanted("a list", &other, span)),
        }
    }

    fn len(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let (value, span) = b.value(0);
        if value.is_tensor() {
            let shape = self.shape_of(&value);
            return match shape.first() {
                Some(size) => Ok(Value::size(size.clone())),
                None => self.error("E0202", "a tensor without axes has no length", span, "no axes here"),
            };
        }
        let items = self.list_of((value, span))?;
        Ok(Value::Int(items.len() as i64))
    }

    fn zip(&mut self, b: Bound<'a>) -> Outcome<Value<'a>> {
        let mut lists = Vec::new();
        for arg in b.rest {
            lists.push(self.list_of((arg.value, arg.span))?);
        }
        // The shortest list decides: `zip(widths, widths[1:])` pairs neighbours.
        let length = lists.iter().map(|list| list.len()).min().unwrap_or(0);
        self.charge(length.saturating_mul(lists.len()), b.span)?;
        let tuple = |at: usize| Value::tuple(lists.iter().map(|list| list[at].clone()).collect());
        Ok(Value::list((0..length).map(tuple).collect()))
    }

    fn enumerate(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let value = b.value(0);
        let items = self.list_of(value)?;
        self.charge(items.len(), b.span)?;
        let pair = |(idx, item): (usize, &Value<'a>)| Value::tuple(vec![Value::Int(idx as i64), item.clone()]);
        Ok(Value::list(items.iter().enumerate().map(pair).collect()))
    }

    fn counted(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let (first, at) = b.value(0);
        let (low, high) = match b.take(1) {
            Some(arg) => (first, arg.value),
            None => (Value::Int(0), first),
        };
        let (Value::Int(low), Value::Int(high)) = (low, high) else {
            return self.error("E0402", "`range` counts through ints of config", at, "not an int of config");
        };
        self.check_length(usize::try_from(high.saturating_sub(low).max(0)).unwrap_or(usize::MAX), b.span)?;
        Ok(Value::list((low..high.max(low)).map(Value::Int).collect()))
    }

    fn to_int(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        match b.value(0) {
            (Value::Bool(truth), _) => Ok(Value::Int(i64::from(truth))),
            (Value::Float(value), span) => match super::value::whole(value) {
                Some(value) => Ok(Value::Int(value)),
                None => self.error("E0404", format!("{value:?} is not whole"), span, "`floor` and `ceil` round"),
            },
            (value @ (Value::Int(_) | Value::Size(_)), _) => Ok(value),
            (other, span) => Err(self.wanted("a number", &other, span)),
        }
    }

    fn clone_builtin(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let (value, _) = b.value(0);
        Ok(Value::Blueprint(Rc::new(Blueprint { kind: BlueprintKind::Clone(value), span: b.span })))
    }

    /// A fold of a list of config or of tensors, or a reduction of a tensor.
    fn fold(&mut self, op: &str, scalar: Scalar, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let (value, span) = b.value(0);
        match value {
            Value::List(items) => self.fold_list(scalar, &items, span, b.span),
            value => {
                let args = [b.take(1), b.take(2)].into_iter().flatten().next();
                let keep = b.take(3);
                self.reduction(op, (value, span), args, keep, b.span)
            }
        }
    }

    fn fold_list(&mut self, scalar: Scalar, items: &[Value<'a>], at: Span, span: Span) -> Outcome<Value<'a>> {
        let op = match scalar {
            Scalar::Add => Some((BinaryOp::Add, Value::Int(0))),
            Scalar::Mul => Some((BinaryOp::Multiply, Value::Int(1))),
            Scalar::Or => Some((BinaryOp::Or, Value::Bool(false))),
            Scalar::And => Some((BinaryOp::And, Value::Bool(true))),
            _ => None,
        };
        let mut rest = items.iter().cloned();
        let Some(mut total) = rest.next() else {
            let empty = "the largest or smallest of nothing";
            return op.map_or_else(|| self.error("E0404", empty, at, "this list is empty"), |(_, unit)| Ok(unit));
        };
        for item in rest {
            let operands = [(total, at), (item, at)];
            total = match &op {
                Some((op, _)) => self.operate(*op, span, operands, span)?,
                None => self.pairwise(scalar, operands, span)?,
            };
        }
        Ok(total)
    }

    fn pairwise(&mut self, scalar: Scalar, operands: [(Value<'a>, Span); 2], span: Span) -> Outcome<Value<'a>> {
        let args = operands.into_iter().map(|(value, span)| Arg { name: None, value, span }).collect();
        match crate::ops::find(scalar.name()) {
            Some(op) => self.call_op(op, args, span),
            None => self.error("E0302", format!("there is no op `{scalar}` yet"), span, "needed here"),
        }
    }

    /// `max(list)`, `max(a, b)`, `max(x, axis: 1)`.
    fn extreme(&mut self, op: &str, scalar: Scalar, b: Bound<'a>) -> Outcome<Value<'a>> {
        let (named, plain): (Vec<_>, Vec<_>) = b.rest.into_iter().partition(|arg| arg.name.is_some());
        let mut plain = plain.into_iter();
        let Some(first) = plain.next() else { return self.error("E0303", "this needs a value", b.span, "this call") };
        let rest: Vec<Arg<'a>> = plain.collect();
        if named.is_empty() && rest.is_empty() {
            return match first.value {
                Value::List(items) => self.fold_list(scalar, &items, first.span, b.span),
                value => self.reduction(op, (value, first.span), None, None, b.span),
            };
        }
        if named.is_empty() {
            let mut total = (first.value, first.span);
            for arg in rest {
                total = (self.pairwise(scalar, [total, (arg.value, arg.span)], b.span)?, b.span);
            }
            return Ok(total.0);
        }
        let (mut axes, mut keep) = (None, None);
        for arg in named {
            match arg.name.as_deref() {
                Some("axis" | "axes") => axes = Some(arg),
                Some("keep") => keep = Some(arg),
                other => {
                    let message = format!("`{scalar}` has no parameter `{}`", other.unwrap_or_default());
                    return self.error("E0303", message, arg.span, "it has axis, axes, keep");
                }
            }
        }
        self.reduction(op, (first.value, first.span), axes, keep, b.span)
    }

    fn reduction(
        &mut self,
        op: &str,
        (value, at): (Value<'a>, Span),
        axes: Option<Arg<'a>>,
        keep: Option<Arg<'a>>,
        span: Span,
    ) -> Outcome<Value<'a>> {
        let Some(op) = crate::ops::find(op) else {
            return self.error("E0302", format!("there is no op `{op}` yet"), span, "needed here");
        };
        let mut args = vec![Arg { name: None, value, span: at }];
        let rename = |arg: Arg<'a>, name: &str| Arg { name: Some(Rc::from(name)), ..arg };
        args.extend(axes.map(|arg| rename(arg, "axes")));
        args.extend(keep.map(|arg| rename(arg, "keep")));
        self.call_op(op, args, span)
    }

    fn cumulate(&mut self, combine: &str, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let Some(op) = crate::ops::find("cumulate") else {
            return self.error("E0302", "there is no op `cumulate` yet", b.span, "needed here");
        };
        let mut args: Vec<Arg<'a>> = b.take(0).into_iter().collect();
        let named = |name: &str, value: Value<'a>| Arg { name: Some(Rc::from(name)), value, span: b.span };
        args.push(named("combine", Value::str(combine)));
        for (idx, name) in [(1, "axis"), (2, "exclusive"), (3, "reverse")] {
            if let Some(arg) = b.args.get_mut(idx).and_then(Option::take) {
                args.push(Arg { name: Some(Rc::from(name)), ..arg });
            }
        }
        self.call_op(op, args, b.span)
    }

    fn fill_shape(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
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

    fn iota(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let (value, span) = b.value(0);
        let size = self.size_of(&value, span)?;
        let wire = self.emit("iota", &[], Attrs::none().with("size", size), b.span)?;
        Ok(Value::Wire(Wire { flexible: true, ..wire }))
    }

    fn eye(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let (value, at) = b.value(0);
        let size = self.size_of(&value, at)?;
        let iota = self.emit("iota", &[], Attrs::none().with("size", size.clone()), b.span)?;
        let column = self.reshape_to(iota, vec![size.clone(), Dim::constant(1)], b.span)?;
        let shape = [size.clone(), size];
        let (row, column) = (self.broadcast_to(iota, &shape, b.span)?, self.broadcast_to(column, &shape, b.span)?);
        let equal = self.emit("eq", &[row, column], Attrs::none(), b.span)?;
        self.cast(equal, DType::Real, b.span).map(Value::Wire)
    }

    fn linspace(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let (from, to, (steps, at)) = (b.value(0), b.value(1), b.value(2));
        let size = self.size_of(&steps, at)?;
        let iota = self.emit("iota", &[], Attrs::none().with("size", size), b.span)?;
        let iota = Value::Wire(Wire { flexible: true, ..iota });
        let span = b.span;
        let width = self.operate(BinaryOp::Subtract, span, [to, from.clone()], span)?;
        let last = self.operate(BinaryOp::Subtract, span, [(steps, at), (Value::Int(1), at)], span)?;
        let last = self.operate(BinaryOp::Divide, span, [(width, span), (last, span)], span)?;
        let scaled = self.operate(BinaryOp::Multiply, span, [(iota, span), (last, span)], span)?;
        self.operate(BinaryOp::Add, span, [from, (scaled, span)], span)
    }

    fn joined(&mut self, b: Bound<'a>) -> Outcome<(Vec<Wire>, i64)> {
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

    fn concat(&mut self, b: Bound<'a>) -> Outcome<Value<'a>> {
        let span = b.span;
        let (wires, axis) = self.joined(b)?;
        self.emit("concat", &wires, Attrs::none().with("axis", axis), span).map(Value::Wire)
    }

    fn stack(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
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

    fn axis_of(&mut self, arg: Option<Arg<'a>>, rank: usize, otherwise: i64, span: Span) -> Outcome<usize> {
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

    /// `expand(x, n)`: an axis of size one repeated, the first unless another is named.
    fn expand(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
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

    fn split_axis(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let ((value, at), sizes) = (b.value(0), b.value(1));
        let wire = self.tensor(value, at)?;
        let shape = self.type_of(wire).shape;
        let axis = b.take(2);
        let axis = self.axis_of(axis, shape.len(), 0, b.span)?;
        let sizes_at = sizes.1;
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

    fn pad_axis(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let (value, at) = b.value(0);
        let wire = self.tensor(value, at)?;
        let rank = self.type_of(wire).rank();
        let axis = b.take(1);
        let axis = self.axis_of(axis, rank, 0, b.span)?;
        let mut sides = [vec![Dim::constant(0); rank], vec![Dim::constant(0); rank]];
        for (side, idx) in sides.iter_mut().zip([2, 3]) {
            if let Some(arg) = b.take(idx) {
                side[axis] = self.size_of(&arg.value, arg.span)?;
            }
        }
        let fill = b.take(4).and_then(|arg| arg.value.as_number()).unwrap_or(0.0);
        let [low, high] = sides;
        let attrs = Attrs::none().with("low", low).with("high", high).with("value", fill);
        self.emit("pad", &[wire], attrs, b.span).map(Value::Wire)
    }

    fn update(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let ((base, base_at), (piece, piece_at), (place, place_at)) = (b.value(0), b.value(1), b.value(3));
        let wires = self.promote(vec![(base, base_at), (piece, piece_at)], false, b.span)?;
        let rank = self.type_of(wires[0]).rank();
        let axis = b.take(2);
        let axis = self.axis_of(axis, rank, 0, b.span)?;
        let at = self.fit(place, &Type::scalar(DType::I64), place_at, |diagnostic| diagnostic)?;
        let attrs = Attrs::none().with("axis", axis as i64);
        self.emit("update", &[wires[0], wires[1], at], attrs, b.span).map(Value::Wire)
    }

    fn clip(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let (x, low, high) = (b.value(0), b.value(1), b.value(2));
        let raised = self.pairwise(Scalar::Max, [x, low], b.span)?;
        self.pairwise(Scalar::Min, [(raised, b.span), high], b.span)
    }

    /// `a + (b - a) * t`.
    fn lerp(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let (from, to, t) = (b.value(0), b.value(1), b.value(2));
        if matches!(from.0, Value::Module(_)) {
            return Err(self.reports.not_yet(b.span, "lerp of modules"));
        }
        let span = b.span;
        let width = self.operate(BinaryOp::Subtract, span, [to, from.clone()], span)?;
        let part = self.operate(BinaryOp::Multiply, span, [(width, span), t], span)?;
        self.operate(BinaryOp::Add, span, [from, (part, span)], span)
    }

    /// `normal(std: 0.02)` waits for its shape; with a shape it draws.
    fn distribution(&mut self, kind: &str, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let mut numbers = if kind == "normal" { [0.0, 1.0] } else { [0.0, 1.0] };
        for (idx, number) in numbers.iter_mut().enumerate() {
            if let Some(arg) = b.take(idx) {
                *number = match arg.value.as_number() {
                    Some(value) => value,
                    None => return Err(self.wanted("a number of config", &arg.value.clone(), arg.span)),
                };
            }
        }
        let draw = match kind {
            "normal" => Draw::Normal { mean: numbers[0], std: numbers[1] },
            _ => Draw::Uniform { low: numbers[0], high: numbers[1] },
        };
        match b.take(2) {
            Some(shape) => self.call_draw(draw, vec![Arg { name: None, ..shape }], b.span),
            None => Ok(Value::Draw(draw)),
        }
    }

    fn unit(&mut self, shape: Type, span: Span) -> Outcome<(Value<'a>, Span)> {
        let unit = self.draw(Draw::Uniform { low: 0.0, high: 1.0 }, &shape.with_dtype(DType::Real), span)?;
        Ok((Value::Wire(unit), span))
    }

    /// `low + floor(u * (high - low))`, for bounds known at run time too.
    fn randint(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let (low, high) = (b.value(0), b.value(1));
        let shape = b.take(2).into_iter().collect::<Vec<_>>();
        let shape = self.shape_argument(&shape)?;
        let span = b.span;
        let unit = self.unit(shape, span)?;
        let (low, high) = (self.floated(low)?, self.floated(high)?);
        let width = self.operate(BinaryOp::Subtract, span, [high, low.clone()], span)?;
        let scaled = self.operate(BinaryOp::Multiply, span, [unit, (width, span)], span)?;
        let floor = self.map("floor", scaled, span, span)?;
        let shifted = self.operate(BinaryOp::Add, span, [low, (floor, span)], span)?;
        let wire = self.tensor(shifted, span)?;
        self.cast(wire, DType::I64, span).map(Value::Wire)
    }

    fn floated(&mut self, (value, span): (Value<'a>, Span)) -> Outcome<(Value<'a>, Span)> {
        match value.as_number() {
            Some(number) => Ok((Value::Float(number), span)),
            None => {
                let wire = self.tensor(value, span)?;
                Ok((Value::Wire(self.cast(wire, DType::Real, span)?), span))
            }
        }
    }

    fn bernoulli(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let p = b.value(0);
        let shape = b.take(1).into_iter().collect::<Vec<_>>();
        let shape = self.shape_argument(&shape)?;
        let unit = self.unit(shape, b.span)?;
        self.operate(BinaryOp::Less, b.span, [unit, p], b.span)
    }

    /// Zeroes elements, or whole examples along a path, while training; scales what stays.
    fn dropout(&mut self, mut b: Bound<'a>, whole: bool) -> Outcome<Value<'a>> {
        let ((value, at), (p, p_at)) = (b.value(0), b.value(1));
        if p.as_number().is_none() && !p.is_tensor() {
            return Err(self.wanted("a probability", &p, p_at));
        }
        if !self.training || same(&p, &Value::Int(0)) == Some(true) {
            return Ok(value);
        }
        let span = b.span;
        let wire = self.tensor(value, at)?;
        let mut shape = self.type_of(wire);
        if whole {
            shape.shape.iter_mut().skip(1).for_each(|size| *size = Dim::constant(1));
        }
        let unit = self.unit(shape, span)?;
        let stays = self.operate(BinaryOp::GreaterEqual, span, [unit, (p.clone(), p_at)], span)?;
        let room = self.operate(BinaryOp::Subtract, span, [(Value::Float(1.0), span), (p, p_at)], span)?;
        let scaled = self.operate(BinaryOp::Divide, span, [(Value::Wire(wire), at), (room, span)], span)?;
        let operands = vec![(stays, span), (scaled, span), (Value::Float(0.0), span)];
        self.apply_scalar(Scalar::Select, operands, span)
    }
}
