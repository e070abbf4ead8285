//! Builtins of config: lists, counting, conversions.
//!
//! Invariant: what makes a list pays for its elements first.

use std::rc::Rc;

use super::Bound;
use crate::diag::Span;
use crate::front::elaborate::Elaborator;
use crate::front::elaborate::report::Outcome;
use crate::front::elaborate::value::{Blueprint, BlueprintKind, Value};

impl<'a> Elaborator<'a> {
    pub(super) fn list_of(&mut self, (value, span): (Value<'a>, Span)) -> Outcome<Rc<Vec<Value<'a>>>> {
        match value {
            Value::List(items) => Ok(items),
            Value::Tuple(fields) => Ok(Rc::new(fields.iter().map(|field| field.value.clone()).collect())),
            other => Err(self.wanted("a list", &other, span)),
        }
    }

    pub(super) fn len(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
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

    pub(super) fn zip(&mut self, b: Bound<'a>) -> Outcome<Value<'a>> {
        let mut lists = Vec::new();
        for arg in b.rest {
            lists.push(self.list_of((arg.value, arg.span))?);
        }
        // The shortest list decides: `zip(widths, widths[1:])` pairs neighbours.
        let length = lists.iter().map(|list| list.len()).min().unwrap_or(0);
        self.charge(length.saturating_mul(lists.len()), b.span)?;
        let tuple = |at: usize| Value::tuple(lists.iter().map(|list| list[at].clone()).collect());
        self.bounded(Value::list((0..length).map(tuple).collect()), b.span)
    }

    pub(super) fn enumerate(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let value = b.value(0);
        let items = self.list_of(value)?;
        self.charge(items.len(), b.span)?;
        let pair = |(idx, item): (usize, &Value<'a>)| Value::tuple(vec![Value::Int(idx as i64), item.clone()]);
        self.bounded(Value::list(items.iter().enumerate().map(pair).collect()), b.span)
    }

    pub(super) fn counted(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
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

    pub(super) fn to_int(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        match b.value(0) {
            (Value::Bool(truth), _) => Ok(Value::Int(i64::from(truth))),
            (Value::Float(value), span) => match crate::front::elaborate::value::whole(value) {
                Some(value) => Ok(Value::Int(value)),
                None => self.error("E0404", format!("{value:?} is not whole"), span, "`floor` and `ceil` round"),
            },
            (value @ (Value::Int(_) | Value::Size(_)), _) => Ok(value),
            (other, span) => Err(self.wanted("a number", &other, span)),
        }
    }

    /// A number of config as text, to make names of.
    pub(super) fn to_str(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        match b.value(0) {
            (Value::Str(text), _) => Ok(Value::Str(text)),
            (value @ (Value::Int(_) | Value::Float(_) | Value::Bool(_)), _) => Ok(Value::str(&value.show())),
            (other, span) => Err(self.wanted("a number of config", &other, span)),
        }
    }

    pub(super) fn clone_builtin(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let (value, _) = b.value(0);
        Ok(Value::Blueprint(Rc::new(Blueprint { kind: BlueprintKind::Clone(value), span: b.span })))
    }
}
