//! Operators: on config at once, on sizes as polynomials, and on tensors by way of `elementwise`.

use tilewright_runtime::program::size::MAX_DEGREE;

use super::Elaborator;
use super::report::Outcome;
use super::value::{Value, whole};
use crate::diag::{Diagnostic, Span};
use crate::front::ast::BinaryOp;
use crate::graph::{Dim, Ranges, modulo};

pub type Operand<'a> = (Value<'a>, Span);

/// A size with more terms than this comes from a mistake.
const MAX_TERMS: usize = 64;

impl<'a> Elaborator<'a> {
    pub fn operate(
        &mut self,
        op: BinaryOp,
        op_span: Span,
        operands: [Operand<'a>; 2],
        span: Span,
    ) -> Outcome<Value<'a>> {
        let [(left, left_span), (right, right_span)] = &operands;
        if left.is_tensor() || right.is_tensor() {
            return self.elementwise(op, operands, span);
        }
        match (left, right) {
            (Value::Bool(a), Value::Bool(b)) => self.truth(op, *a, *b, op_span),
            (Value::Int(a), Value::Int(b)) => self.ints(op, *a, *b, op_span),
            (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => {
                let numbers = (left.as_number().unwrap_or(0.0), right.as_number().unwrap_or(0.0));
                Ok(floats(op, numbers.0, numbers.1))
            }
            (Value::Str(a), Value::Str(b)) if op == BinaryOp::Add => {
                self.check_length(a.len() + b.len(), span)?;
                self.charge(a.len() + b.len(), span)?;
                Ok(Value::str(&format!("{a}{b}")))
            }
            (Value::List(a), Value::List(b)) if op == BinaryOp::Add => {
                self.check_length(a.len() + b.len(), span)?;
                self.charge(a.len() + b.len(), span)?;
                let items: Vec<_> = a.iter().chain(b.iter()).cloned().collect();
                Ok(Value::list(items))
            }
            _ if is_size(left) && is_size(right) => self.sizes(op, operands, span),
            _ if late_number(left) && late_number(right) => self.elementwise(op, operands, span),
            _ if matches!(op, BinaryOp::Equal | BinaryOp::NotEqual) => match same(left, right) {
                Some(equal) => Ok(Value::Bool(equal == (op == BinaryOp::Equal))),
                None => {
                    let message = format!("{} and {} cannot be compared", left.kind(), right.kind());
                    self.error("E0402", message, op_span, "compared here")
                }
            },
            _ => {
                let symbol = op.symbol();
                let message = format!("`{symbol}` does not go with {} and {}", left.kind(), right.kind());
                let diagnostic = Diagnostic::error("E0402", message)
                    .at(op_span, "this operator")
                    .also(*left_span, left.show())
                    .also(*right_span, right.show());
                Err(self.report(diagnostic))
            }
        }
    }

    fn truth(&mut self, op: BinaryOp, a: bool, b: bool, span: Span) -> Outcome<Value<'a>> {
        Ok(Value::Bool(match op {
            BinaryOp::And => a && b,
            BinaryOp::Or => a || b,
            BinaryOp::Equal => a == b,
            BinaryOp::NotEqual => a != b,
            _ => {
                let message = format!("`{}` does not go with bools", op.symbol());
                return self.error("E0402", message, span, "two bools here");
            }
        }))
    }

    fn ints(&mut self, op: BinaryOp, a: i64, b: i64, span: Span) -> Outcome<Value<'a>> {
        if let Some(truth) = compared(op, &a, &b) {
            return Ok(Value::Bool(truth));
        }
        let result = match op {
            BinaryOp::Add => a.checked_add(b),
            BinaryOp::Subtract => a.checked_sub(b),
            BinaryOp::Multiply => a.checked_mul(b),
            BinaryOp::Divide | BinaryOp::Remainder if b == 0 => {
                return self.error("E0404", "this divides by zero", span, "the divisor is 0 here");
            }
            BinaryOp::Divide if a.checked_rem(b) == Some(0) => a.checked_div(b),
            BinaryOp::Remainder => modulo(a, b),
            BinaryOp::Power if b >= 0 => a.checked_pow(u32::try_from(b).unwrap_or(u32::MAX)),
            _ => return Ok(floats(op, a as f64, b as f64)),
        };
        match result {
            Some(value) => Ok(Value::Int(value)),
            None => self.error("E0404", "this int does not fit into 64 bits", span, "too large here"),
        }
    }

    fn sizes(&mut self, op: BinaryOp, operands: [Operand<'a>; 2], span: Span) -> Outcome<Value<'a>> {
        let [(left, _), (right, _)] = &operands;
        let (Some(a), Some(b)) = (left.as_dim(), right.as_dim()) else {
            return self.ratios(op, operands, span);
        };
        let size = match op {
            BinaryOp::Add => &a + &b,
            BinaryOp::Subtract => &a - &b,
            BinaryOp::Multiply => &a * &b,
            BinaryOp::Divide | BinaryOp::Remainder if b.is(0) => {
                return self.error("E0404", "this divides by zero", span, "the divisor is 0 here");
            }
            BinaryOp::Divide => match a.exact_div(&b) {
                Some(quotient) => quotient,
                None => return Ok(Value::Ratio(a, b)),
            },
            BinaryOp::Remainder => a.modulo(&b),
            BinaryOp::Power => match b.as_constant() {
                Some(power) if (0..=8).contains(&power) && a.n_terms() <= 4 => a.pow(power as u32),
                _ => return self.elementwise(op, operands, span),
            },
            _ => return self.compare_sizes(op, a, b, operands, span),
        };
        if size.n_terms() > MAX_TERMS {
            return self.error("E0407", "this size has too many terms", span, "it grew too large here");
        }
        if size.degree() > MAX_DEGREE {
            let message = format!("this size is a product of more than {MAX_DEGREE} sizes");
            return self.error("E0407", message, span, "it grew too large here");
        }
        Ok(Value::size(size))
    }

    /// `floor(H / 2)` needs the quotient whole or not: it stays a pair until someone asks.
    fn ratios(&mut self, op: BinaryOp, operands: [Operand<'a>; 2], span: Span) -> Outcome<Value<'a>> {
        let parts = |value: &Value<'a>| match value {
            Value::Ratio(a, b) => Some((a.clone(), b.clone())),
            other => other.as_dim().map(|dim| (dim, Dim::constant(1))),
        };
        let [(left, _), (right, _)] = &operands;
        let (Some((a, b)), Some((c, d))) = (parts(left), parts(right)) else {
            return self.elementwise(op, operands, span);
        };
        let (top, bottom) = match op {
            BinaryOp::Add => (&(&a * &d) + &(&c * &b), &b * &d),
            BinaryOp::Subtract => (&(&a * &d) - &(&c * &b), &b * &d),
            BinaryOp::Multiply => (&a * &c, &b * &d),
            BinaryOp::Divide => (&a * &d, &b * &c),
            _ => return self.elementwise(op, operands, span),
        };
        Ok(match top.exact_div(&bottom) {
            Some(whole) => Value::size(whole),
            None => Value::Ratio(top, bottom),
        })
    }

    fn compare_sizes(
        &mut self,
        op: BinaryOp,
        a: Dim,
        b: Dim,
        operands: [Operand<'a>; 2],
        span: Span,
    ) -> Outcome<Value<'a>> {
        match self.decide(op, &a, &b) {
            Some(truth) => Ok(Value::Bool(truth)),
            None if self.frames.is_empty() => {
                let diagnostic = Diagnostic::error("E0208", format!("`{a} {} {b}` cannot be decided", op.symbol()))
                    .at(span, "sizes that are known late")
                    .help("say it in a `where`, or fix a size with `--dim`");
                Err(self.report(diagnostic))
            }
            None => self.elementwise(op, operands, span),
        }
    }

    /// Whether a comparison holds for every value of the sizes, for none, or for some.
    pub fn decide(&self, op: BinaryOp, a: &Dim, b: &Dim) -> Option<bool> {
        let nothing = Ranges::default();
        let ranges = self.frames.first().map_or(&nothing, |frame| &frame.graph.sizes);
        let less = |a: &Dim, b: &Dim| match (ranges.proves_lt(a, b), ranges.proves_le(b, a)) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        };
        let equal = || match (a - b).as_constant() {
            Some(difference) => Some(difference == 0),
            None if ranges.proves_lt(a, b) || ranges.proves_lt(b, a) => Some(false),
            None => None,
        };
        match op {
            BinaryOp::Equal => equal(),
            BinaryOp::NotEqual => equal().map(|truth| !truth),
            BinaryOp::Less => less(a, b),
            BinaryOp::Greater => less(b, a),
            BinaryOp::LessEqual => less(b, a).map(|truth| !truth),
            BinaryOp::GreaterEqual => less(a, b).map(|truth| !truth),
            _ => None,
        }
    }

    pub fn negate(&mut self, value: Value<'a>, operand: Span, span: Span) -> Outcome<Value<'a>> {
        match value {
            Value::Int(number) => Ok(number.checked_neg().map_or(Value::Float(-(number as f64)), Value::Int)),
            Value::Float(number) => Ok(Value::Float(-number)),
            Value::Size(dim) => Ok(Value::size(-&dim)),
            Value::Ratio(a, b) => Ok(Value::Ratio(-&a, b)),
            value if value.is_tensor() => self.map("neg", value, operand, span),
            other => Err(self.wanted("a number or a tensor", &other, operand)),
        }
    }

    pub fn not(&mut self, value: Value<'a>, operand: Span, span: Span) -> Outcome<Value<'a>> {
        match value {
            Value::Bool(truth) => Ok(Value::Bool(!truth)),
            value if value.is_tensor() => self.map("not", value, operand, span),
            other => Err(self.wanted("a bool", &other, operand)),
        }
    }
}

fn is_size(value: &Value) -> bool {
    matches!(value, Value::Int(_) | Value::Size(_) | Value::Ratio(..))
}

fn late_number(value: &Value) -> bool {
    is_size(value) || matches!(value, Value::Float(_))
}

fn floats<'a>(op: BinaryOp, a: f64, b: f64) -> Value<'a> {
    match op {
        BinaryOp::Add => Value::Float(a + b),
        BinaryOp::Subtract => Value::Float(a - b),
        BinaryOp::Multiply => Value::Float(a * b),
        BinaryOp::Divide => Value::Float(a / b),
        BinaryOp::Remainder => Value::Float(a - b * (a / b).floor()),
        BinaryOp::Power => Value::Float(a.powf(b)),
        op => Value::Bool(compared(op, &a, &b).unwrap_or(false)),
    }
}

/// What a comparison says; `None` for other operators.
fn compared<T: PartialOrd>(op: BinaryOp, a: &T, b: &T) -> Option<bool> {
    Some(match op {
        BinaryOp::Equal => a == b,
        BinaryOp::NotEqual => a != b,
        BinaryOp::Less => a < b,
        BinaryOp::LessEqual => a <= b,
        BinaryOp::Greater => a > b,
        BinaryOp::GreaterEqual => a >= b,
        _ => return None,
    })
}

/// Equality of config, part by part; `None` where it takes a run-time comparison.
pub fn same<'a>(a: &Value<'a>, b: &Value<'a>) -> Option<bool> {
    match (a, b) {
        (Value::List(a), Value::List(b)) => all_same(a.len() == b.len(), a.iter().zip(b.iter())),
        (Value::Tuple(a), Value::Tuple(b)) => {
            all_same(a.len() == b.len(), a.iter().map(|f| &f.value).zip(b.iter().map(|f| &f.value)))
        }
        (Value::Str(a), Value::Str(b)) => Some(a == b),
        (Value::Bool(a), Value::Bool(b)) => Some(a == b),
        (Value::Int(a), Value::Int(b)) => Some(a == b),
        (Value::Size(a), Value::Size(b)) if a == b => Some(true),
        (Value::DType(a), Value::DType(b)) => Some(a == b),
        (Value::Absent, _) | (_, Value::Absent) => Some(matches!((a, b), (Value::Absent, Value::Absent))),
        (a, b) => match (a.as_number(), b.as_number()) {
            (Some(a), Some(b)) => Some(a == b),
            _ => None,
        },
    }
}

fn all_same<'v, 'a: 'v>(
    lengths: bool,
    mut pairs: impl Iterator<Item = (&'v Value<'a>, &'v Value<'a>)>,
) -> Option<bool> {
    if !lengths {
        return Some(false);
    }
    pairs.try_fold(true, |truth, (a, b)| same(a, b).map(|equal| truth && equal))
}

/// `floor`, `ceil`, `round` and `trunc` of a number of config.
pub fn rounded<'a>(value: f64) -> Value<'a> {
    whole(value).map_or(Value::Float(value), Value::Int)
}
