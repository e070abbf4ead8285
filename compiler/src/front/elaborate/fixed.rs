//! Config becoming tensors: numbers, sizes, constants; and casts.

use std::sync::Arc;

use super::Elaborator;
use super::report::{Outcome, Reports};
use super::value::{Value, Wire, whole};
use crate::diag::{Diagnostic, Span};
use crate::graph::{Attrs, DType, OpError, Shape, Tensor, Type, exact_float, round};
use crate::ops;

/// Elements of one constant.
const MAX_CONSTANT: usize = 1 << 22;

impl<'a> Elaborator<'a> {
    /// Applies an op by name in the innermost graph.
    pub fn emit(&mut self, op: &str, operands: &[Wire], attrs: Attrs, span: Span) -> Outcome<Wire> {
        let Some(op) = ops::find(op) else {
            return self.error("E0302", format!("there is no op `{op}` yet"), span, "needed here");
        };
        let mut values = Vec::with_capacity(operands.len());
        for wire in operands {
            values.push(self.enter(*wire, span)?);
        }
        let origin = self.origin(span);
        match self.frame(span)?.apply(op, &values, &attrs, Vec::new(), &origin) {
            Ok(node) => Ok(self.wire(crate::graph::Value { node, result: 0 })),
            Err(error) => {
                let diagnostic = Diagnostic::error("E0201", super::ops::said_by(op.name, &error.message));
                let diagnostic = diagnostic.at(span, "this does not fit together");
                Err(self.report(with_help(diagnostic, &error)))
            }
        }
    }

    /// One number, repeated to a shape.
    pub fn number(&mut self, value: f64, ty: &Type, span: Span) -> Outcome<Wire> {
        let attrs = Attrs::none().with("value", value).with("shape", ty.shape.clone()).with("dtype", ty.dtype);
        self.emit("fill", &[], attrs, span)
    }

    /// One integer, repeated to a shape. `fill` is told a float, so what no float is stands as a constant.
    pub fn integer(&mut self, value: i64, ty: &Type, span: Span) -> Outcome<Wire> {
        if ty.dtype != DType::I64 || exact_float(value).is_some() {
            return self.number(value as f64, ty, span);
        }
        let attrs = Attrs::none().with("value", Arc::new(Tensor::int_scalar(DType::I64, value)));
        let wire = self.emit("constant", &[], attrs, span)?;
        if ty.rank() == 0 { Ok(wire) } else { self.broadcast_to(wire, &ty.shape, span) }
    }

    pub fn cast(&mut self, wire: Wire, to: DType, span: Span) -> Outcome<Wire> {
        let made = self.emit("cast", &[wire], Attrs::none().with("to", to), span)?;
        Ok(Wire { new_axes: wire.new_axes, ..made })
    }

    /// A constant of floats in the type that it is wanted in: rounded once.
    pub fn rounded_constant(&mut self, tensor: &Tensor, dtype: DType, span: Span) -> Outcome<Wire> {
        let elements = tensor.as_floats().into_iter().flatten().map(|&element| round(dtype, element));
        let typed = Tensor::floats(dtype, tensor.shape.clone(), elements.collect());
        self.emit("constant", &[], Attrs::none().with("value", Arc::new(typed)), span)
    }

    /// Any value that can be a tensor, as one; numbers in the type that suits them.
    pub fn tensor(&mut self, value: Value<'a>, span: Span) -> Outcome<Wire> {
        match value {
            Value::Wire(wire) => Ok(wire),
            Value::Slot(slot) => self.read_slot(&slot, span),
            Value::Constant(tensor) => {
                let flexible = tensor.dtype.is_int();
                let wire = self.emit("constant", &[], Attrs::none().with("value", tensor), span)?;
                Ok(Wire { flexible, ..wire })
            }
            Value::Int(number) => {
                let wire = self.integer(number, &Type::scalar(DType::I64), span)?;
                Ok(Wire { flexible: true, ..wire })
            }
            Value::Float(number) => self.number(number, &Type::scalar(DType::Real), span),
            Value::Bool(truth) => self.number(f64::from(truth), &Type::scalar(DType::Bool), span),
            Value::Size(dim) => {
                let wire = self.emit("dim", &[], Attrs::none().with("size", dim), span)?;
                Ok(Wire { flexible: true, ..wire })
            }
            Value::Ratio(a, b) => {
                let (a, b) = (self.tensor(Value::Size(a), span)?, self.tensor(Value::size(b), span)?);
                let (a, b) = (self.cast(a, DType::Real, span)?, self.cast(b, DType::Real, span)?);
                self.emit("div", &[a, b], Attrs::none(), span)
            }
            Value::Poison => Err(Reports::silent()),
            other => Err(self.wanted("a tensor", &other, span)),
        }
    }

    /// A value as a tensor of exactly this type; `explain` says where the type comes from.
    pub fn fit(
        &mut self,
        value: Value<'a>,
        ty: &Type,
        span: Span,
        explain: impl FnOnce(Diagnostic) -> Diagnostic,
    ) -> Outcome<Wire> {
        match &value {
            Value::Draw(draw) => return self.draw(*draw, ty, span),
            Value::Int(_) | Value::Float(_) if ty.dtype.is_float() => {
                return self.number(value.as_number().unwrap_or(0.0), ty, span);
            }
            Value::Int(number) if ty.dtype.is_int() => return self.integer(*number, ty, span),
            Value::Float(number) if ty.dtype.is_int() && whole(*number).is_some() => {
                return self.number(*number, ty, span);
            }
            Value::Bool(truth) if ty.dtype == DType::Bool => return self.number(f64::from(*truth), ty, span),
            _ => {}
        }
        let wire = self.tensor(value, span)?;
        let found = self.type_of(wire);
        if found.shape != ty.shape {
            let message = format!("the shape {} is wanted, and this is {}", Shape(&ty.shape), Shape(&found.shape));
            let diagnostic = Diagnostic::error("E0203", message).at(span, format!("{found} here"));
            return Err(self.report(explain(diagnostic)));
        }
        self.fit_dtype(wire, ty.dtype, span, explain)
    }

    /// Floats fit any float type, and indices fit any number; the rest must be equal.
    pub fn fit_dtype(
        &mut self,
        wire: Wire,
        dtype: DType,
        span: Span,
        explain: impl FnOnce(Diagnostic) -> Diagnostic,
    ) -> Outcome<Wire> {
        let found = self.type_of(wire).dtype;
        if found == dtype {
            return Ok(wire);
        }
        let adopts = wire.flexible && dtype != DType::Bool;
        if adopts || found.is_float() && dtype.is_float() {
            return self.cast(wire, dtype, span);
        }
        let name = if dtype == DType::Real { "float" } else { dtype.name() };
        let wanted = if dtype == DType::Real { "a float tensor" } else { dtype.name() };
        let diagnostic = Diagnostic::error("E0206", format!("{wanted} is wanted, and this is {found}"))
            .at(span, format!("{found} here"))
            .help(format!("cast it: `{name}(…)`"));
        Err(self.report(explain(diagnostic)))
    }

    /// `tensor([[1, 2], [3, 4]])`.
    pub fn constant_tensor(&mut self, value: &Value<'a>, span: Span) -> Outcome<Value<'a>> {
        let (mut shape, mut leaves) = (Vec::new(), Vec::new());
        if self.collect(value, 0, &mut shape, &mut leaves, span).is_err() {
            return Err(Reports::silent());
        }
        let expected: usize = shape.iter().product();
        if expected != leaves.len() {
            return self.error("E0404", "the lists of a tensor have equal lengths", span, "they differ here");
        }
        Ok(Value::Constant(Arc::new(tensor_of(shape, &leaves))))
    }

    fn collect<'v>(
        &mut self,
        value: &'v Value<'a>,
        depth: usize,
        shape: &mut Vec<usize>,
        leaves: &mut Vec<&'v Value<'a>>,
        span: Span,
    ) -> Outcome<()> {
        if leaves.len() > MAX_CONSTANT {
            return self.error("E0407", "this constant is too large", span, "give it as an input or a param");
        }
        let parts: Option<Vec<&'v Value<'a>>> = match value {
            Value::List(list) => Some(list.iter().collect()),
            Value::Tuple(fields) => Some(fields.iter().map(|field| &field.value).collect()),
            _ => None,
        };
        if let Some(parts) = parts {
            match shape.get(depth) {
                None if depth == shape.len() && depth < 16 && leaves.is_empty() => shape.push(parts.len()),
                Some(known) if *known == parts.len() => {}
                _ => return self.error("E0404", "the lists of a tensor have equal lengths", span, "they differ here"),
            }
            return parts.into_iter().try_for_each(|item| self.collect(item, depth + 1, shape, leaves, span));
        }
        if depth != shape.len() {
            return self.error("E0404", "the lists of a tensor have equal depths", span, "they differ here");
        }
        match value {
            Value::Bool(_) | Value::Int(_) | Value::Float(_) => leaves.push(value),
            other => return Err(self.wanted("a number of config", other, span)),
        }
        Ok(())
    }
}

/// Numbers of config in the type that holds them all: floats if there is one among them, or none at all.
fn tensor_of(shape: Vec<usize>, leaves: &[&Value<'_>]) -> Tensor {
    let int = |leaf: &&Value<'_>| match leaf {
        Value::Bool(truth) => Some(i64::from(*truth)),
        Value::Int(number) => Some(*number),
        _ => None,
    };
    let float = |leaf: &&Value<'_>| leaf.as_number().or_else(|| int(leaf).map(|number| number as f64)).unwrap_or(0.0);
    let is_truth = |leaf: &&Value<'_>| matches!(leaf, Value::Bool(_));
    match leaves.iter().map(int).collect::<Option<Vec<i64>>>() {
        Some(ints) if !ints.is_empty() => {
            let dtype = if leaves.iter().all(is_truth) { DType::Bool } else { DType::I64 };
            Tensor::ints(dtype, shape, ints)
        }
        _ => Tensor::floats(DType::Real, shape, leaves.iter().map(float).collect()),
    }
}

pub fn with_help(diagnostic: Diagnostic, error: &OpError) -> Diagnostic {
    match &error.help {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}
