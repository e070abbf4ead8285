//! The scalar instruction set: functions of one element that graphs, kernels and backends share.
//!
//! Invariant: `DEFS` is in the order of `Scalar`, and each definition is the reference meaning in f64 and in wrapping
//! 64-bit integers (unsigned values are zero-extended, booleans are 0 and 1). Rounding to the declared type, and wrapping
//! to its width, come after.

use std::fmt;

use tilewright_runtime::program::float;
use tilewright_runtime::program::size::floor_div;

use super::DType;

/// A scalar function. Those a machine lacks are expanded by the kernel lowering; backends print the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scalar {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Modulo,
    Fma,
    Neg,
    Abs,
    Sign,
    Min,
    Max,
    Sqrt,
    Floor,
    Ceil,
    Round,
    Trunc,
    Exp,
    Log,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Asinh,
    Acosh,
    Atanh,
    Tanh,
    Erf,
    Log1p,
    Expm1,
    Exp2,
    Pow,
    Atan2,
    Scalb,
    Fract,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    And,
    Or,
    Xor,
    Not,
    Shl,
    Shr,
    Select,
    Recip,
    RoughExp2,
}

/// Which operand types a function takes, and what it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// Floats to the same float.
    Float,
    /// Floats or integers, to the same type.
    Number,
    /// Integers to the same integer.
    Int,
    /// Integers or booleans, to the same type.
    Bits,
    /// Any type, compared, to a boolean.
    Compare,
    /// Numbers, ordered, to a boolean.
    Order,
    /// A boolean and twice the same type, to that type.
    Select,
}

type FloatFn = fn(f64, f64, f64) -> f64;
type IntFn = fn(i64, i64, i64) -> i64;

pub struct ScalarDef {
    pub scalar: Scalar,
    pub name: &'static str,
    pub arity: usize,
    pub signature: Signature,
    /// The meaning on floats; comparisons give 0 or 1.
    pub float: Option<FloatFn>,
    /// The meaning on integers and booleans.
    pub int: Option<IntFn>,
}

const fn def(
    scalar: Scalar,
    name: &'static str,
    arity: usize,
    signature: Signature,
    float: Option<FloatFn>,
    int: Option<IntFn>,
) -> ScalarDef {
    ScalarDef { scalar, name, arity, signature, float, int }
}

use Scalar::*;
use Signature as S;

#[rustfmt::skip]
pub static DEFS: &[ScalarDef] = &[
    def(Add, "add", 2, S::Number, Some(|a, b, _| a + b), Some(|a, b, _| a.wrapping_add(b))),
    def(Sub, "sub", 2, S::Number, Some(|a, b, _| a - b), Some(|a, b, _| a.wrapping_sub(b))),
    def(Mul, "mul", 2, S::Number, Some(|a, b, _| a * b), Some(|a, b, _| a.wrapping_mul(b))),
    def(Div, "div", 2, S::Float, Some(|a, b, _| a / b), None),
    // Division of integers by zero gives zero, so that no input can trap; the float form is the floor of the exact quotient.
    def(FloorDiv, "floor_div", 2, S::Number, Some(|a, b, _| float::floor_div(a, b)), Some(|a, b, _| int_floor_div(a, b))),
    def(Modulo, "modulo", 2, S::Number, Some(|a, b, _| float::modulo(a, b)), Some(|a, b, _| int_modulo(a, b))),
    def(Fma, "fma", 3, S::Float, Some(|a, b, c| a.mul_add(b, c)), None),
    def(Neg, "neg", 1, S::Number, Some(|a, _, _| -a), Some(|a, _, _| a.wrapping_neg())),
    def(Abs, "abs", 1, S::Number, Some(|a, _, _| a.abs()), Some(|a, _, _| a.wrapping_abs())),
    def(Sign, "sign", 1, S::Number, Some(|a, _, _| if a == 0.0 || a.is_nan() { a } else { a.signum() }), Some(|a, _, _| a.signum())),
    // Minimum and maximum are NaN when either operand is; of two equals, as of zeros with two signs, they are the first.
    def(Min, "min", 2, S::Number, Some(|a, b, _| if b.is_nan() || b < a { b } else { a }), Some(|a, b, _| a.min(b))),
    def(Max, "max", 2, S::Number, Some(|a, b, _| if b.is_nan() || b > a { b } else { a }), Some(|a, b, _| a.max(b))),
    def(Sqrt, "sqrt", 1, S::Float, Some(|a, _, _| a.sqrt()), None),
    def(Floor, "floor", 1, S::Float, Some(|a, _, _| a.floor()), None),
    def(Ceil, "ceil", 1, S::Float, Some(|a, _, _| a.ceil()), None),
    // Halves go to the even neighbour.
    def(Round, "round", 1, S::Float, Some(|a, _, _| a.round_ties_even()), None),
    def(Trunc, "trunc", 1, S::Float, Some(|a, _, _| a.trunc()), None),
    def(Exp, "exp", 1, S::Float, Some(|a, _, _| a.exp()), None),
    def(Log, "log", 1, S::Float, Some(|a, _, _| a.ln()), None),
    def(Sin, "sin", 1, S::Float, Some(|a, _, _| a.sin()), None),
    def(Cos, "cos", 1, S::Float, Some(|a, _, _| a.cos()), None),
    def(Tan, "tan", 1, S::Float, Some(|a, _, _| a.tan()), None),
    def(Asin, "asin", 1, S::Float, Some(|a, _, _| a.asin()), None),
    def(Acos, "acos", 1, S::Float, Some(|a, _, _| a.acos()), None),
    def(Atan, "atan", 1, S::Float, Some(|a, _, _| a.atan()), None),
    def(Sinh, "sinh", 1, S::Float, Some(|a, _, _| a.sinh()), None),
    def(Cosh, "cosh", 1, S::Float, Some(|a, _, _| a.cosh()), None),
    def(Asinh, "asinh", 1, S::Float, Some(|a, _, _| libm::asinh(a)), None),
    def(Acosh, "acosh", 1, S::Float, Some(|a, _, _| float::acosh(a)), None),
    def(Atanh, "atanh", 1, S::Float, Some(|a, _, _| libm::atanh(a)), None),
    def(Tanh, "tanh", 1, S::Float, Some(|a, _, _| a.tanh()), None),
    def(Erf, "erf", 1, S::Float, Some(|a, _, _| libm::erf(a)), None),
    def(Log1p, "log1p", 1, S::Float, Some(|a, _, _| a.ln_1p()), None),
    def(Expm1, "expm1", 1, S::Float, Some(|a, _, _| a.exp_m1()), None),
    def(Exp2, "exp2", 1, S::Float, Some(|a, _, _| a.exp2()), None),
    def(Pow, "pow", 2, S::Float, Some(|a, b, _| a.powf(b)), None),
    def(Atan2, "atan2", 2, S::Float, Some(|a, b, _| a.atan2(b)), None),
    def(Scalb, "scalb", 2, S::Float, Some(|a, b, _| float::scalb(a, b)), None),
    def(Fract, "fract", 1, S::Float, Some(|a, _, _| if a.is_infinite() { 0.0 } else { a - a.floor() }), None),
    def(Eq, "eq", 2, S::Compare, Some(|a, b, _| (a == b).into()), Some(|a, b, _| (a == b).into())),
    def(Ne, "ne", 2, S::Compare, Some(|a, b, _| (a != b).into()), Some(|a, b, _| (a != b).into())),
    def(Lt, "lt", 2, S::Order, Some(|a, b, _| (a < b).into()), Some(|a, b, _| (a < b).into())),
    def(Le, "le", 2, S::Order, Some(|a, b, _| (a <= b).into()), Some(|a, b, _| (a <= b).into())),
    def(Gt, "gt", 2, S::Order, Some(|a, b, _| (a > b).into()), Some(|a, b, _| (a > b).into())),
    def(Ge, "ge", 2, S::Order, Some(|a, b, _| (a >= b).into()), Some(|a, b, _| (a >= b).into())),
    def(And, "and", 2, S::Bits, None, Some(|a, b, _| a & b)),
    def(Or, "or", 2, S::Bits, None, Some(|a, b, _| a | b)),
    def(Xor, "xor", 2, S::Bits, None, Some(|a, b, _| a ^ b)),
    // On booleans `not` is logical: the wrap to one bit follows.
    def(Not, "not", 1, S::Bits, None, Some(|a, _, _| !a)),
    // A shift by a negative amount, or by the width and more, shifts every bit out.
    def(Shl, "shl", 2, S::Int, None, Some(|a, b, _| if (0..64).contains(&b) { a << b } else { 0 })),
    def(Shr, "shr", 2, S::Int, None, Some(|a, b, _| if (0..64).contains(&b) { a >> b } else if a < 0 { -1 } else { 0 })),
    def(Select, "select", 3, S::Select, None, None),
    // Of kernels alone, where what is inverted is rounded anyway: off by an ulp or two, and more where it is denormal.
    def(Recip, "recip", 1, S::Float, Some(|a, _, _| 1.0 / a), None),
    // The same, where what is made of it is rounded to bf16.
    def(RoughExp2, "rough_exp2", 1, S::Float, Some(|a, _, _| a.exp2()), None),
];

/// Rounds down; by zero gives zero, and the least integer by -1 wraps.
pub(super) fn int_floor_div(a: i64, b: i64) -> i64 {
    floor_div(a, b).unwrap_or(if b == 0 { 0 } else { a.wrapping_neg() })
}

/// What is left of [`int_floor_div`].
pub(super) fn int_modulo(a: i64, b: i64) -> i64 {
    a.wrapping_sub(int_floor_div(a, b).wrapping_mul(b))
}

/// Rough costs of scalar functions, in additions; those not listed cost one.
#[rustfmt::skip]
static WORK: &[(&[Scalar], u32)] = &[
    (&[Scalar::Div, Scalar::Sqrt, Scalar::FloorDiv, Scalar::Modulo], 4),
    (&[Scalar::Exp, Scalar::Log, Scalar::Log1p, Scalar::Expm1, Scalar::Exp2, Scalar::Tanh, Scalar::Erf], 16),
    (&[Scalar::Sin, Scalar::Cos, Scalar::Tan, Scalar::Asin, Scalar::Acos, Scalar::Atan, Scalar::Sinh, Scalar::Cosh], 16),
    (&[Scalar::Asinh, Scalar::Acosh, Scalar::Atanh, Scalar::Pow, Scalar::Atan2], 32),
];

impl Scalar {
    /// Roughly, in additions.
    pub fn work(self) -> u32 {
        WORK.iter().find(|(scalars, _)| scalars.contains(&self)).map_or(1, |(_, work)| *work)
    }

    pub fn def(self) -> &'static ScalarDef {
        &DEFS[self as usize]
    }

    pub fn name(self) -> &'static str {
        self.def().name
    }

    pub fn from_name(name: &str) -> Option<Scalar> {
        DEFS.iter().find(|def| def.name == name).map(|def| def.scalar)
    }

    /// The element type of the result, or what was wrong with the operands.
    pub fn result(self, operands: &[DType]) -> Result<DType, String> {
        let def = self.def();
        if operands.len() != def.arity {
            return Err(format!("`{}` takes {} operands, found {}", def.name, def.arity, operands.len()));
        }
        let values = if def.signature == S::Select { &operands[1..] } else { operands };
        let dtype = values[0];
        if let Some(other) = values.iter().find(|&&other| other != dtype) {
            return Err(format!(
                "`{}` takes operands of one type, found {dtype} and {other}: cast one of them",
                def.name
            ));
        }
        let fits = match def.signature {
            S::Float => dtype.is_float(),
            S::Number | S::Order => dtype.is_float() || dtype.is_int(),
            S::Int => dtype.is_int(),
            S::Bits => !dtype.is_float(),
            S::Compare => true,
            S::Select => operands[0] == DType::Bool,
        };
        match def.signature {
            _ if !fits => Err(format!("`{}` takes {}, found {}", def.name, def.signature, operands[0])),
            S::Compare | S::Order => Ok(DType::Bool),
            _ => Ok(dtype),
        }
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            S::Float => "floats",
            S::Number | S::Order => "numbers",
            S::Int => "integers",
            S::Bits => "integers or booleans",
            S::Compare => "any type",
            S::Select => "a boolean and two values of one type",
        })
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        for (idx, def) in DEFS.iter().enumerate() {
            assert_eq!(def.scalar as usize, idx, "{}", def.name);
            assert_eq!(Scalar::from_name(def.name), Some(def.scalar));
        }
        assert_eq!(DEFS.len(), Scalar::RoughExp2 as usize + 1);
    }

    #[test]
    fn integer_division_rounds_down_and_never_traps() {
        for (a, b, quotient, remainder) in
            [(7, 2, 3, 1), (-7, 2, -4, 1), (7, -2, -4, -1), (-7, -2, 3, -1), (5, 0, 0, 5), (i64::MIN, -1, i64::MIN, 0)]
        {
            assert_eq!((int_floor_div(a, b), int_modulo(a, b)), (quotient, remainder), "{a} / {b}");
        }
    }
}
