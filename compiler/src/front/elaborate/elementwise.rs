//! Elementwise operations: element types are settled, shapes are made equal by visible broadcasts, then the op applies.
//!
//! Invariant: no two strict tensors of different types ever meet: numbers, sizes and indices adopt the other operand's type,
//! and whatever else differs is an error that asks for a cast.

use super::Elaborator;
use super::config::Operand;
use super::report::Outcome;
use super::value::{Value, Wire, whole};
use crate::diag::{Diagnostic, Span};
use crate::front::ast::BinaryOp;
use crate::graph::scalar::Signature;
use crate::graph::{Attrs, DType, Dim, Scalar, Shape, Type};

/// The scalar function behind each operator.
static OPERATORS: &[(BinaryOp, Scalar)] = &[
    (BinaryOp::Or, Scalar::Or),
    (BinaryOp::And, Scalar::And),
    (BinaryOp::Equal, Scalar::Eq),
    (BinaryOp::NotEqual, Scalar::Ne),
    (BinaryOp::Less, Scalar::Lt),
    (BinaryOp::LessEqual, Scalar::Le),
    (BinaryOp::Greater, Scalar::Gt),
    (BinaryOp::GreaterEqual, Scalar::Ge),
    (BinaryOp::Add, Scalar::Add),
    (BinaryOp::Subtract, Scalar::Sub),
    (BinaryOp::Multiply, Scalar::Mul),
    (BinaryOp::Divide, Scalar::Div),
    (BinaryOp::Remainder, Scalar::Modulo),
    (BinaryOp::Power, Scalar::Pow),
];

/// Of integers of 64 bits, higher powers of two are zero.
const MAX_POWER: i64 = 64;

impl<'a> Elaborator<'a> {
    pub fn elementwise(&mut self, op: BinaryOp, operands: [Operand<'a>; 2], span: Span) -> Outcome<Value<'a>> {
        if op == BinaryOp::Power
            && let Some(value) = self.small_power(&operands, span)
        {
            return value;
        }
        let scalar = OPERATORS.iter().find(|(known, _)| *known == op).map_or(Scalar::Add, |(_, scalar)| *scalar);
        self.apply_scalar(scalar, operands.to_vec(), span)
    }

    /// `x ^ 2` is a product; so are all powers of integers.
    fn small_power(&mut self, operands: &[Operand<'a>; 2], span: Span) -> Option<Outcome<Value<'a>>> {
        let [(base, base_span), (exponent, _)] = operands;
        let most = if self.dtype_of(base).is_int() { MAX_POWER } else { 4 };
        let power = exponent.as_number().and_then(whole).filter(|power| (1..=most).contains(power))?;
        if !base.is_tensor() {
            return None;
        }
        let wire = match self.tensor(base.clone(), *base_span) {
            Ok(wire) => wire,
            Err(poisoned) => return Some(Err(poisoned)),
        };
        let multiply = |this: &mut Self, a: Wire, b: Wire| -> Outcome<Wire> {
            let flexible = wire.flexible;
            this.emit("mul", &[a, b], Attrs::none(), span).map(|made| Wire {
                flexible,
                new_axes: wire.new_axes,
                ..made
            })
        };
        // By squares, for each binary digit behind the first.
        let mut product = wire;
        for digit in (0..power.ilog2()).rev() {
            let squared = multiply(self, product, product);
            let next = match squared {
                Ok(squared) if power >> digit & 1 == 1 => multiply(self, squared, wire),
                squared => squared,
            };
            product = match next {
                Ok(next) => next,
                Err(poisoned) => return Some(Err(poisoned)),
            };
        }
        Some(Ok(Value::Wire(product)))
    }

    /// Applies a scalar function to operands of any kinds, after promotion and broadcasting.
    pub fn apply_scalar(&mut self, scalar: Scalar, operands: Vec<Operand<'a>>, span: Span) -> Outcome<Value<'a>> {
        let floats_only = scalar.def().signature == Signature::Float;
        let spans: Vec<Span> = operands.iter().map(|(_, span)| *span).collect();
        let mut operands = operands;
        let mut wires = Vec::with_capacity(operands.len());
        if scalar == Scalar::Select {
            let (test, test_span) = operands.remove(0);
            let test = match test {
                Value::Bool(truth) => self.number(f64::from(truth), &Type::scalar(DType::Bool), test_span)?,
                test => self.tensor(test, test_span)?,
            };
            wires.push(test);
        }
        let values = self.promote(operands, floats_only, span)?;
        let flexible = values.iter().all(|wire| wire.flexible) && self.type_of(values[0]).dtype.is_int();
        wires.extend(values);
        let wires = self.broadcast_all(wires, &spans, span)?;
        let new_axes = self.shared_new_axes(&wires);
        let made = self.emit(scalar.name(), &wires, Attrs::none(), span)?;
        let flexible = flexible && self.type_of(made).dtype != DType::Bool;
        Ok(Value::Wire(Wire { flexible, new_axes, ..made }))
    }

    /// A function of one tensor.
    pub fn map(&mut self, op: &str, value: Value<'a>, operand: Span, span: Span) -> Outcome<Value<'a>> {
        match Scalar::from_name(op) {
            Some(scalar) => self.apply_scalar(scalar, vec![(value, operand)], span),
            None => {
                let wire = self.tensor(value, operand)?;
                self.emit(op, &[wire], Attrs::none(), span).map(Value::Wire)
            }
        }
    }

    /// Wires of one element type: numbers, sizes and indices adopt it.
    pub fn promote(&mut self, operands: Vec<Operand<'a>>, floats_only: bool, span: Span) -> Outcome<Vec<Wire>> {
        let dtype = self.common_dtype(&operands, floats_only, span)?;
        let shape = self.shape_for_draws(&operands)?;
        let mut wires = Vec::with_capacity(operands.len());
        for (value, at) in operands {
            wires.push(self.adopt(value, dtype, &shape, at)?);
        }
        Ok(wires)
    }

    fn adopt(&mut self, value: Value<'a>, dtype: DType, shape: &[Dim], span: Span) -> Outcome<Wire> {
        match value {
            Value::Int(number) if dtype.is_int() => {
                let wire = self.integer(number, &Type::scalar(dtype), span)?;
                Ok(Wire { flexible: true, ..wire })
            }
            Value::Int(_) | Value::Float(_) | Value::Bool(_) => {
                let number = match value {
                    Value::Bool(truth) => f64::from(truth),
                    ref other => other.as_number().unwrap_or(0.0),
                };
                let fits = match dtype {
                    DType::Bool => matches!(value, Value::Bool(_)),
                    _ if dtype.is_int() => whole(number).is_some() && !matches!(value, Value::Bool(_)),
                    _ => !matches!(value, Value::Bool(_)),
                };
                if !fits {
                    let message = format!("{} cannot become {dtype}", value.show());
                    let diagnostic = Diagnostic::error("E0206", message)
                        .at(span, format!("the other operand is {dtype}"))
                        .help("`float(x)` casts a tensor to the model's float type");
                    return Err(self.report(diagnostic));
                }
                let wire = self.number(number, &Type::scalar(dtype), span)?;
                Ok(Wire { flexible: true, ..wire })
            }
            Value::Draw(draw) => self.draw(draw, &Type::new(dtype, shape.to_vec()), span),
            Value::Constant(tensor) if tensor.dtype.is_float() && dtype.is_float() => {
                self.rounded_constant(&tensor, dtype, span)
            }
            Value::Constant(tensor) if tensor.dtype.is_float() => {
                let diagnostic = Diagnostic::error("E0206", format!("{dtype} and {} do not mix", tensor.dtype))
                    .at(span, format!("the other operand is {dtype}"))
                    .help("`float(x)` casts a tensor to the model's float type");
                Err(self.report(diagnostic))
            }
            value => {
                let wire = self.tensor(value, span)?;
                match self.type_of(wire).dtype == dtype {
                    true => Ok(wire),
                    false => self.cast(wire, dtype, span),
                }
            }
        }
    }

    fn common_dtype(&mut self, operands: &[Operand<'a>], floats_only: bool, span: Span) -> Outcome<DType> {
        let mut strict: Option<(DType, Span)> = None;
        let mut loose = None;
        for (value, at) in operands {
            let dtype = match value {
                Value::Int(_) | Value::Size(_) => Some(DType::I64),
                Value::Float(_) | Value::Ratio(..) | Value::Draw(_) => Some(DType::Real),
                Value::Bool(_) => Some(DType::Bool),
                Value::Constant(tensor) if tensor.dtype != DType::Bool => Some(tensor.dtype),
                Value::Wire(wire) if wire.flexible => Some(self.type_of(*wire).dtype),
                Value::Wire(_) | Value::Slot(_) | Value::Constant(_) => None,
                other => return Err(self.wanted("a tensor or a number", &other.clone(), *at)),
            };
            if let Some(dtype) = dtype {
                loose = Some(if loose == Some(DType::Real) { DType::Real } else { dtype });
                continue;
            }
            let found = self.dtype_of(value);
            match strict {
                Some((first, first_span)) if first != found => {
                    let diagnostic = Diagnostic::error("E0206", format!("{first} and {found} do not mix"))
                        .at(span, "both meet here")
                        .also(first_span, format!("{first} here"))
                        .also(*at, format!("{found} here"))
                        .help(format!(
                            "cast one of them: `{}(…)`",
                            if found.is_float() { cast_name(found) } else { cast_name(first) }
                        ));
                    return Err(self.report(diagnostic));
                }
                _ => strict = Some((found, *at)),
            }
        }
        match strict {
            Some((dtype, at)) if floats_only && dtype.is_int() => {
                let diagnostic = Diagnostic::error("E0206", format!("this works on floats, and {dtype} is not one"))
                    .at(at, format!("{dtype} here"))
                    .help("`float(x)` casts it; `floor_div(a, b)` divides integers");
                Err(self.report(diagnostic))
            }
            Some((dtype, _)) => Ok(dtype),
            None if floats_only && loose != Some(DType::Bool) => Ok(DType::Real),
            None => Ok(loose.unwrap_or(DType::Real)),
        }
    }

    pub fn dtype_of(&self, value: &Value<'a>) -> DType {
        match value {
            Value::Wire(wire) => self.type_of(*wire).dtype,
            Value::Slot(slot) => slot.ty.dtype,
            Value::Constant(tensor) => tensor.dtype,
            Value::Int(_) | Value::Size(_) => DType::I64,
            Value::Bool(_) => DType::Bool,
            _ => DType::Real,
        }
    }

    /// A draw without a shape takes that of the tensors it meets.
    fn shape_for_draws(&mut self, operands: &[Operand<'a>]) -> Outcome<Vec<Dim>> {
        let mut best: Vec<Dim> = Vec::new();
        if !operands.iter().any(|(value, _)| matches!(value, Value::Draw(_))) {
            return Ok(best);
        }
        for (value, at) in operands {
            if value.is_tensor() {
                let wire = self.tensor(value.clone(), *at)?;
                let shape = self.type_of(wire).shape;
                if shape.len() >= best.len() {
                    best = shape;
                }
            }
        }
        Ok(best)
    }

    /// Wires of one shape: axes align from the last, and those of size one stretch.
    pub fn broadcast_all(&mut self, wires: Vec<Wire>, spans: &[Span], span: Span) -> Outcome<Vec<Wire>> {
        let shapes: Vec<Vec<Dim>> = wires.iter().map(|wire| self.type_of(*wire).shape).collect();
        let shape = self.common_shape(&shapes, spans, span)?;
        self.check_stretch(&wires, &shapes, &shape, spans, span)?;
        let mut stretched = Vec::with_capacity(wires.len());
        for (wire, from) in wires.into_iter().zip(shapes) {
            stretched.push(if from == shape { wire } else { self.broadcast_to(wire, &shape, span)? });
        }
        Ok(stretched)
    }

    fn common_shape(&mut self, shapes: &[Vec<Dim>], spans: &[Span], span: Span) -> Outcome<Vec<Dim>> {
        let rank = shapes.iter().map(Vec::len).max().unwrap_or(0);
        let mut common: Vec<Dim> = vec![Dim::constant(1); rank];
        let mut owner: Vec<usize> = vec![0; rank];
        for (operand, shape) in shapes.iter().enumerate() {
            for (offset, size) in shape.iter().enumerate() {
                let axis = rank - shape.len() + offset;
                if size.is(1) {
                    continue;
                }
                if common[axis].is(1) {
                    (common[axis], owner[axis]) = (size.clone(), operand);
                } else if common[axis] != *size {
                    let (first, second) = (owner[axis], operand);
                    let from_end = rank - axis;
                    return Err(self.disagree(
                        [first, second],
                        [&shapes[first], &shapes[second]],
                        from_end,
                        spans,
                        span,
                    ));
                }
            }
        }
        Ok(common)
    }

    fn disagree(
        &mut self,
        operands: [usize; 2],
        shapes: [&Vec<Dim>; 2],
        from_end: usize,
        spans: &[Span],
        span: Span,
    ) -> super::Poisoned {
        let sizes = shapes.map(|shape| shape[shape.len() - from_end].clone());
        let place = |operand: usize| spans.get(operand).copied().unwrap_or(span);
        let decided = (&sizes[0] - &sizes[1]).as_constant().is_some();
        let mut diagnostic = match decided {
            true => Diagnostic::error("E0203", format!("sizes do not agree: {} and {}", sizes[0], sizes[1])),
            false => {
                let message = format!("nothing shows that {} equals {}", sizes[0], sizes[1]);
                Diagnostic::error("E0208", message).help(self.ask_equal(&sizes[0], &sizes[1]))
            }
        };
        diagnostic = diagnostic.at(place(operands[1]), format!("{} here", Shape(shapes[1])));
        diagnostic = diagnostic.also(place(operands[0]), format!("{} here", Shape(shapes[0])));
        if shapes[0].len() != shapes[1].len() {
            diagnostic = diagnostic.with_note("axes align from the last; `[:, new]` adds an axis of size one");
        }
        self.report(diagnostic)
    }

    fn check_stretch(
        &mut self,
        wires: &[Wire],
        shapes: &[Vec<Dim>],
        shape: &[Dim],
        spans: &[Span],
        span: Span,
    ) -> Outcome<()> {
        let stretches = |own: &Vec<Dim>| !own.is_empty() && own.as_slice() != shape;
        let stretched: Vec<usize> = (0..wires.len()).filter(|idx| stretches(&shapes[*idx])).collect();
        let visible = wires.iter().any(|wire| wire.new_axes != 0);
        // Where some operand has the whole shape, nothing is made larger than what was written.
        let whole_shape = shapes.iter().any(|own| own.as_slice() == shape);
        if stretched.len() < 2 || visible || whole_shape {
            return Ok(());
        }
        let place = |operand: usize| spans.get(operand).copied().unwrap_or(span);
        let diagnostic = Diagnostic::error("E0204", format!("both operands would stretch, to {}", Shape(shape)))
            .at(place(stretched[1]), format!("{} here", Shape(&shapes[stretched[1]])))
            .also(place(stretched[0]), format!("{} here", Shape(&shapes[stretched[0]])))
            .help(
                "if an outer combination is meant, show it: `x[:, new]` has a new axis behind, `x[new]` one in front",
            );
        Err(self.report(diagnostic))
    }

    pub fn broadcast_to(&mut self, wire: Wire, shape: &[Dim], span: Span) -> Outcome<Wire> {
        let made = self.emit("broadcast", &[wire], Attrs::none().with("shape", shape.to_vec()), span)?;
        Ok(Wire { flexible: wire.flexible, new_axes: wire.new_axes, ..made })
    }

    /// New axes that are still of size one.
    fn shared_new_axes(&self, wires: &[Wire]) -> u64 {
        let marks = wires.iter().fold(0, |marks, wire| marks | wire.new_axes);
        let shape = wires.first().map(|wire| self.type_of(*wire).shape).unwrap_or_default();
        let ones = shape.iter().rev().take(64).enumerate().filter(|(_, size)| size.is(1));
        marks & ones.fold(0, |mask, (bit, _)| mask | 1 << bit)
    }
}

fn cast_name(dtype: DType) -> &'static str {
    if dtype == DType::Real { "float" } else { dtype.name() }
}
