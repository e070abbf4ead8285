//! Builtins that draw: distributions, integers, coins and dropout.
//!
//! Invariant: every draw goes through `Elaborator::draw`, which gives it a key of its own.

use super::Bound;
use crate::diag::{Diagnostic, Span};
use crate::front::ast::BinaryOp;
use crate::front::elaborate::Elaborator;
use crate::front::elaborate::call::Arg;
use crate::front::elaborate::config::same;
use crate::front::elaborate::report::{Outcome, Poisoned};
use crate::front::elaborate::value::{Draw, Value};
use crate::graph::{DType, Dim, Scalar, Type};

impl<'a> Elaborator<'a> {
    /// `normal(std: 0.02)` waits for its shape; with a shape it draws.
    pub(super) fn distribution(&mut self, kind: &str, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let mut numbers = [0.0, 1.0];
        let mut at = b.span;
        for (idx, number) in numbers.iter_mut().enumerate() {
            if let Some(arg) = b.take(idx) {
                *number = match arg.value.as_number() {
                    Some(value) => value,
                    None => return Err(self.wanted("a number of config", &arg.value.clone(), arg.span)),
                };
                at = arg.span;
            }
        }
        let [first, second] = numbers;
        let draw = match kind {
            "normal" if second < 0.0 => {
                let message = format!("a deviation is never negative, and this is {second:?}");
                return self.error("E0404", message, at, "the deviation, `std`");
            }
            "normal" => Draw::Normal { mean: first, std: second },
            _ if first > second => return Err(self.no_room(first, second, at)),
            _ => Draw::Uniform { low: first, high: second },
        };
        match b.take(2) {
            Some(shape) => self.call_draw(draw, vec![Arg { name: None, ..shape }], b.span),
            None => Ok(Value::Draw(draw)),
        }
    }

    fn no_room(&mut self, low: f64, high: f64, at: Span) -> Poisoned {
        let message = format!("there is nothing to draw from {low} up to {high}");
        let diagnostic = Diagnostic::error("E0404", message).at(at, "the bounds");
        self.report(diagnostic.help("the lower bound comes first"))
    }

    pub(super) fn unit(&mut self, shape: Type, span: Span) -> Outcome<(Value<'a>, Span)> {
        let unit = self.draw(Draw::Uniform { low: 0.0, high: 1.0 }, &shape.with_dtype(DType::Real), span)?;
        Ok((Value::Wire(unit), span))
    }

    /// `low + floor(u * (high - low))`, for bounds known at run time too.
    pub(super) fn randint(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let (low, high) = (b.value(0), b.value(1));
        if let (Some(least), Some(end)) = (low.0.as_number(), high.0.as_number())
            && least >= end
        {
            return Err(self.no_room(least, end, low.1.to(high.1)));
        }
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

    pub(super) fn floated(&mut self, (value, span): (Value<'a>, Span)) -> Outcome<(Value<'a>, Span)> {
        match value.as_number() {
            Some(number) => Ok((Value::Float(number), span)),
            None => {
                let wire = self.tensor(value, span)?;
                Ok((Value::Wire(self.cast(wire, DType::Real, span)?), span))
            }
        }
    }

    /// A probability that is known now is one.
    fn probability(&mut self, function: &str, p: &Value<'a>, at: Span) -> Outcome<()> {
        let Some(number) = p.as_number().filter(|number| !(0.0..=1.0).contains(number)) else { return Ok(()) };
        let message = format!("`{function}` takes a probability from 0 to 1, and this is {}", p.show());
        let diagnostic = Diagnostic::error("E0404", message).at(at, "no probability");
        let part = number / 100.0;
        Err(self.report(match (2.0..=100.0).contains(&number) {
            true => diagnostic.help(format!("{number} % are written `{part}`")),
            false => diagnostic,
        }))
    }

    pub(super) fn bernoulli(&mut self, mut b: Bound<'a>) -> Outcome<Value<'a>> {
        let p = b.value(0);
        self.probability("bernoulli", &p.0, p.1)?;
        let shape = b.take(1).into_iter().collect::<Vec<_>>();
        let shape = self.shape_argument(&shape)?;
        let unit = self.unit(shape, b.span)?;
        self.operate(BinaryOp::Less, b.span, [unit, p], b.span)
    }

    /// Zeroes elements, or whole examples along a path, while training; scales what stays.
    pub(super) fn dropout(&mut self, mut b: Bound<'a>, whole: bool) -> Outcome<Value<'a>> {
        let ((value, at), (p, p_at)) = (b.value(0), b.value(1));
        if p.as_number().is_none() && !p.is_tensor() {
            return Err(self.wanted("a probability", &p, p_at));
        }
        let function = if whole { "drop_path" } else { "dropout" };
        self.probability(function, &p, p_at)?;
        // Said outside of training too, where nothing is dropped: a model is checked before it learns.
        if p.as_number() == Some(1.0) {
            let message = format!("`{function}` of probability 1 leaves nothing that could be scaled up");
            let diagnostic = Diagnostic::error("E0404", message).at(p_at, "everything would be dropped");
            return Err(self.report(diagnostic.help("choose a probability below 1; `fill(shape(x), 0)` is all zeros")));
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
