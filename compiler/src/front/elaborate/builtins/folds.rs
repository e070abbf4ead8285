//! Builtins that combine many values into one: folds of lists, reductions and running totals of tensors.
//!
//! Invariant: a list is folded from its first element, so that config stays config where all of it is.

use std::rc::Rc;

use super::Bound;
use crate::diag::Span;
use crate::front::ast::BinaryOp;
use crate::front::elaborate::Elaborator;
use crate::front::elaborate::call::Arg;
use crate::front::elaborate::report::Outcome;
use crate::front::elaborate::value::Value;
use crate::graph::Scalar;

impl<'a> Elaborator<'a> {
    /// A fold of a list of config or of tensors, or a reduction of a tensor.
    pub(super) fn fold(&mut self, op: &str, scalar: Scalar, mut b: Bound<'a>) -> Outcome<Value<'a>> {
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

    pub(super) fn fold_list(
        &mut self,
        scalar: Scalar,
        items: &[Value<'a>],
        at: Span,
        span: Span,
    ) -> Outcome<Value<'a>> {
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

    pub(super) fn pairwise(
        &mut self,
        scalar: Scalar,
        operands: [(Value<'a>, Span); 2],
        span: Span,
    ) -> Outcome<Value<'a>> {
        let args = operands.into_iter().map(|(value, span)| Arg { name: None, value, span }).collect();
        match crate::ops::find(scalar.name()) {
            Some(op) => self.call_op(op, args, span),
            None => self.error("E0302", format!("there is no op `{scalar}` yet"), span, "needed here"),
        }
    }

    /// `max(list)`, `max(a, b)`, `max(x, axis: 1)`.
    pub(super) fn extreme(&mut self, op: &str, scalar: Scalar, b: Bound<'a>) -> Outcome<Value<'a>> {
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

    pub(super) fn reduction(
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

    pub(super) fn cumulate(&mut self, combine: &str, mut b: Bound<'a>) -> Outcome<Value<'a>> {
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
}
