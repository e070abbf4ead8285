//! Scalar functions, casts and literals as expressions of CUDA C++.
//!
//! Invariant: results are those of the table in `graph::scalar`, rounded to the type.

use super::print::{Cuda, Printer};
use crate::codegen::CodegenError;
use crate::codegen::source::{Dialect, called, filled, lacks};
use crate::graph::{DType, Scalar};
use crate::kernel::{Literal, Op, Value};

/// How a function is written, `$a`, `$b` and `$c` being its operands and `$t` their type.
struct Row {
    scalar: Scalar,
    float: &'static str,
    int: &'static str,
}

const fn row(scalar: Scalar, float: &'static str, int: &'static str) -> Row {
    Row { scalar, float, int }
}

#[rustfmt::skip]
static ROWS: &[Row] = &[
    row(Scalar::Add, "$a + $b", "add<$t>($a, $b)"),
    row(Scalar::Sub, "$a - $b", "sub<$t>($a, $b)"),
    row(Scalar::Mul, "$a * $b", "mul<$t>($a, $b)"),
    row(Scalar::Div, "$a / $b", ""),
    row(Scalar::Fma, "fmaf($a, $b, $c)", ""),
    row(Scalar::Neg, "-$a", "sub<$t>(0, $a)"),
    row(Scalar::Abs, "fabsf($a)", "$a < 0 ? sub<$t>(0, $a) : $a"),
    row(Scalar::Min, "least($a, $b)", "smaller<$t>($a, $b)"),
    row(Scalar::Max, "greatest($a, $b)", "larger<$t>($a, $b)"),
    row(Scalar::Sqrt, "sqrtf($a)", ""),
    row(Scalar::Floor, "floorf($a)", ""),
    row(Scalar::Ceil, "ceilf($a)", ""),
    row(Scalar::Round, "rintf($a)", ""),
    row(Scalar::Trunc, "truncf($a)", ""),
    row(Scalar::Eq, "$a == $b", "$a == $b"),
    row(Scalar::Ne, "$a != $b", "$a != $b"),
    row(Scalar::Lt, "$a < $b", "$a < $b"),
    row(Scalar::Le, "$a <= $b", "$a <= $b"),
    row(Scalar::Gt, "$a > $b", "$a > $b"),
    row(Scalar::Ge, "$a >= $b", "$a >= $b"),
    row(Scalar::And, "", "($t)($a & $b)"),
    row(Scalar::Or, "", "($t)($a | $b)"),
    row(Scalar::Xor, "", "($t)($a ^ $b)"),
    row(Scalar::Shl, "", "shl<$t>($a, $b)"),
    row(Scalar::Shr, "", "($t)($a >> $b)"),
];

/// Functions of the device.
#[rustfmt::skip]
static CALLS: &[(Scalar, &str)] = &[
    (Scalar::Exp, "expf"), (Scalar::Log, "logf"), (Scalar::Sin, "sinf"), (Scalar::Cos, "cosf"), (Scalar::Tan, "tanf"),
    (Scalar::Asin, "asinf"), (Scalar::Acos, "acosf"), (Scalar::Atan, "atanf"), (Scalar::Sinh, "sinhf"),
    (Scalar::Cosh, "coshf"), (Scalar::Asinh, "asinhf"), (Scalar::Acosh, "acoshf"), (Scalar::Atanh, "atanhf"),
    (Scalar::Tanh, "tanhf"), (Scalar::Erf, "erff"), (Scalar::Log1p, "log1pf"), (Scalar::Expm1, "expm1f"),
    (Scalar::Exp2, "exp2f"), (Scalar::Pow, "powf"), (Scalar::Atan2, "atan2f"), (Scalar::Modulo, "floor_mod"),
];

impl Printer<'_> {
    pub(super) fn expression(&mut self, op: &Op, dtype: DType) -> Result<String, CodegenError> {
        match op {
            Op::Scalar(scalar, operands) => self.scalar(*scalar, operands),
            Op::Cast(a) => self.cast(*a, dtype),
            Op::Bitcast(a) => self.bitcast(*a, dtype),
            Op::Quotient(a, b) => Ok(format!("({})({} / {})", Cuda::type_name(dtype)?, self.name(*a), self.name(*b))),
            Op::Call(scalar, operands) => called::<Cuda>(CALLS, *scalar, &self.operands(operands)),
            other => Err(lacks::<Cuda>(format!("{other:?}"))),
        }
    }

    fn scalar(&self, scalar: Scalar, operands: &[Value]) -> Result<String, CodegenError> {
        let dtype = self.dtype(operands[0]);
        let names = self.operands(operands);
        match (scalar, dtype) {
            (Scalar::Select, _) => return Ok(format!("{} ? {} : {}", names[0], names[1], names[2])),
            (Scalar::Not, DType::Bool) => return Ok(format!("!{}", names[0])),
            (Scalar::Not, _) => return Ok(format!("({})(~{})", Cuda::type_name(dtype)?, names[0])),
            (_, DType::F64) => return Err(lacks::<Cuda>("f64 here")),
            _ => {}
        }
        let row = ROWS.iter().find(|row| row.scalar == scalar);
        let template = row.map(|row| if dtype == DType::F32 { row.float } else { row.int });
        let refused = || lacks::<Cuda>(format!("`{scalar}` of {dtype} here"));
        let template = template.filter(|text| !text.is_empty()).ok_or_else(refused)?;
        Ok(filled(template, &names).replace("$t", Cuda::type_name(dtype)?))
    }

    fn cast(&self, a: Value, to: DType) -> Result<String, CodegenError> {
        use DType::*;
        let (from, name) = (self.dtype(a), self.name(a));
        Ok(match (from, to) {
            (F32, F16) => format!("to_f16({name})"),
            (F32, BF16) => format!("to_bf16({name})"),
            (F16, F32) => format!("of_f16({name})"),
            (BF16, F32) => format!("of_bf16({name})"),
            (F32, I64 | I32 | U32 | I8 | U8) => format!("to_{to}({name})"),
            (F64 | F16 | BF16, _) | (_, F64 | F16 | BF16) => {
                return Err(lacks::<Cuda>(format!("cast from {from} to {to} here")));
            }
            _ => format!("({}){name}", Cuda::type_name(to)?),
        })
    }

    fn bitcast(&self, a: Value, to: DType) -> Result<String, CodegenError> {
        let (from, name) = (self.dtype(a), self.name(a));
        Ok(match (from, to) {
            (DType::F32, DType::I32) => format!("__float_as_int({name})"),
            (DType::F32, DType::U32) => format!("__float_as_uint({name})"),
            (DType::I32, DType::F32) => format!("__int_as_float({name})"),
            (DType::U32, DType::F32) => format!("__uint_as_float({name})"),
            _ if from.is_int() && to.is_int() => format!("({}){name}", Cuda::type_name(to)?),
            _ => return Err(lacks::<Cuda>(format!("bits of {from} as {to} here"))),
        })
    }
}

pub(super) fn literal(literal: Literal, dtype: DType) -> Result<String, CodegenError> {
    Ok(match dtype {
        DType::F32 => match literal.as_f64() as f32 {
            value if value.is_finite() && value.is_sign_negative() => format!("({value:?}f)"),
            value if value.is_finite() => format!("{value:?}f"),
            value => format!("__uint_as_float({:#x}u)", value.to_bits()),
        },
        DType::F16 => format!("(u16){:#x}", half::f16::from_f64(literal.as_f64()).to_bits()),
        DType::BF16 => format!("(u16){:#x}", half::bf16::from_f64(literal.as_f64()).to_bits()),
        DType::Bool => (literal.as_i64() != 0).to_string(),
        DType::I64 if literal.as_i64() == i64::MIN => "(i64)0x8000000000000000ull".to_string(),
        DType::I64 => format!("(i64){}ll", literal.as_i64()),
        DType::I32 if literal.as_i64() == i64::from(i32::MIN) => "(int)0x80000000u".to_string(),
        DType::I32 => format!("({})", literal.as_i64()),
        DType::U32 => format!("{}u", literal.as_i64()),
        DType::I8 | DType::U8 => format!("({}){}", Cuda::type_name(dtype)?, literal.as_i64()),
        DType::F64 | DType::Real => return Err(lacks::<Cuda>(format!("{dtype} here"))),
    })
}
