//! Words for expansions, so that they read like formulas: `let e = b.exp(b.sub(x, m)?)?`.
//!
//! Invariant: nothing here decides anything; each method applies the op of its name.

use super::{broadcast, cast, dim, elementwise, fill, iota, permute, reduction, reshape};
use crate::graph::{Attrs, Builder, DType, Dim, OpDef, OpError, Scalar, Type, Value};

pub type Built = Result<Value, OpError>;

macro_rules! scalar_methods {
    ($($name:ident($($arg:ident),*) $scalar:ident)*) => {
        impl Builder<'_> {
            $(pub fn $name(&mut self, $($arg: Value),*) -> Built {
                self.apply(elementwise::of(Scalar::$scalar), &[$($arg),*], Attrs::none())
            })*
        }
    };
}
scalar_methods! {
    add(a, b) Add
    sub(a, b) Sub
    mul(a, b) Mul
    div(a, b) Div
    min(a, b) Min
    max(a, b) Max
    eq(a, b) Eq
    ne(a, b) Ne
    lt(a, b) Lt
    le(a, b) Le
    ge(a, b) Ge
    gt(a, b) Gt
    or(a, b) Or
    and(a, b) And
    neg(x) Neg
    abs(x) Abs
    exp(x) Exp
    expm1(x) Expm1
    log(x) Log
    log1p(x) Log1p
    sqrt(x) Sqrt
    tanh(x) Tanh
    erf(x) Erf
    floor(x) Floor
    sign(x) Sign
    sin(x) Sin
    cos(x) Cos
    sinh(x) Sinh
    cosh(x) Cosh
    pow(a, b) Pow
    scalb(a, b) Scalb
    floor_div(a, b) FloorDiv
    not(x) Not
    select(test, a, b) Select
}

impl Builder<'_> {
    pub fn shape_of(&self, x: Value) -> Vec<Dim> {
        self.type_of(x).shape.clone()
    }

    /// `value` everywhere, in the type of `like`.
    pub fn number(&mut self, value: f64, like: Value) -> Built {
        let ty = self.type_of(like).clone();
        self.filled(value, ty)
    }

    pub fn filled(&mut self, value: f64, ty: Type) -> Built {
        let attrs = Attrs::none().with("value", value).with("shape", ty.shape).with("dtype", ty.dtype);
        self.apply(&fill::OP, &[], attrs)
    }

    pub fn add_number(&mut self, x: Value, value: f64) -> Built {
        let value = self.number(value, x)?;
        self.add(x, value)
    }

    pub fn mul_number(&mut self, x: Value, value: f64) -> Built {
        let value = self.number(value, x)?;
        self.mul(x, value)
    }

    pub fn max_number(&mut self, x: Value, value: f64) -> Built {
        let value = self.number(value, x)?;
        self.max(x, value)
    }

    pub fn min_number(&mut self, x: Value, value: f64) -> Built {
        let value = self.number(value, x)?;
        self.min(x, value)
    }

    /// `factor * x * x + rest`.
    pub fn quadratic(&mut self, x: Value, factor: f64, rest: f64) -> Built {
        let square = self.mul(x, x)?;
        let scaled = if factor == 1.0 { square } else { self.mul_number(square, factor)? };
        if rest == 0.0 { Ok(scaled) } else { self.add_number(scaled, rest) }
    }

    /// A size as a number in the type and shape of `like`.
    pub fn size_like(&mut self, size: &Dim, like: Value) -> Built {
        if let Some(value) = size.as_constant() {
            return self.number(value as f64, like);
        }
        let ty = self.type_of(like).clone();
        let value = self.apply(&dim::OP, &[], Attrs::none().with("size", size.clone()))?;
        let value = self.cast(value, ty.dtype)?;
        self.broadcast(value, &ty.shape)
    }

    pub fn cast(&mut self, x: Value, to: DType) -> Built {
        if self.type_of(x).dtype == to {
            return Ok(x);
        }
        self.apply(&cast::OP, &[x], Attrs::none().with("to", to))
    }

    pub fn broadcast(&mut self, x: Value, shape: &[Dim]) -> Built {
        if self.type_of(x).shape == shape {
            return Ok(x);
        }
        self.apply(&broadcast::OP, &[x], Attrs::none().with("shape", shape.to_vec()))
    }

    pub fn reshape(&mut self, x: Value, shape: &[Dim]) -> Built {
        if self.type_of(x).shape == shape {
            return Ok(x);
        }
        self.apply(&reshape::OP, &[x], Attrs::none().with("shape", shape.to_vec()))
    }

    pub fn permute(&mut self, x: Value, order: &[usize]) -> Built {
        if order.iter().enumerate().all(|(to, &from)| to == from) {
            return Ok(x);
        }
        let axes: Vec<i64> = order.iter().map(|&axis| axis as i64).collect();
        self.apply(&permute::OP, &[x], Attrs::none().with("axes", axes))
    }

    pub fn reduce(&mut self, op: &'static OpDef, x: Value, axes: &[usize], keep: bool) -> Built {
        let axes: Vec<i64> = axes.iter().map(|&axis| axis as i64).collect();
        self.apply(op, &[x], Attrs::none().with("axes", axes).with("keep", keep))
    }

    pub fn sum(&mut self, x: Value, axes: &[usize], keep: bool) -> Built {
        self.reduce(&reduction::SUM, x, axes, keep)
    }

    /// The mean along axes, which stay with size one.
    pub fn mean_kept(&mut self, x: Value, axes: &[usize]) -> Built {
        let n = Dim::product(axes.iter().map(|&axis| &self.type_of(x).shape[axis]).collect::<Vec<_>>());
        let sum = self.sum(x, axes, true)?;
        let n = self.size_like(&n, sum)?;
        self.div(sum, n)
    }

    /// Takes away axes of size one that a reduction has kept.
    pub fn without(&mut self, x: Value, axes: &[usize], keep: bool) -> Built {
        match keep {
            true => Ok(x),
            false => {
                let shape = reduction::reduced_shape(&self.shape_of(x), axes, false);
                self.reshape(x, &shape)
            }
        }
    }

    /// The position along `axis`, for each element of a shape, as i64.
    pub fn position(&mut self, shape: &[Dim], axis: usize) -> Built {
        let positions = self.apply(&iota::OP, &[], Attrs::none().with("size", shape[axis].clone()))?;
        let mut aligned = vec![Dim::constant(1); shape.len() - axis];
        aligned[0] = shape[axis].clone();
        let positions = self.reshape(positions, &aligned)?;
        self.broadcast(positions, shape)
    }

    /// `x` where it is finite, else zero.
    pub fn finite_or_zero(&mut self, x: Value) -> Built {
        let size = self.abs(x)?;
        let infinity = self.number(f64::INFINITY, x)?;
        let finite = self.lt(size, infinity)?;
        let zero = self.number(0.0, x)?;
        self.select(finite, x, zero)
    }
}

/// That an operand is of floats.
pub fn check_float(call: &crate::graph::Call, idx: usize) -> Result<(), OpError> {
    let (name, ty) = (call.operand_name(idx), call.operand(idx));
    match ty.dtype.is_float() {
        true => Ok(()),
        false => {
            let message = format!("`{}` takes floats and `{name}` is {ty}", call.op.name);
            Err(OpError::operand(idx, message).help("cast it to a float first"))
        }
    }
}
