//! Scalar functions, casts and literals as expressions of WGSL.
//!
//! Invariant: results are those of the table in `graph::scalar` as far as the language promises it: quotients, roots and
//! fused multiply-adds may be less exact, and so remainders of large quotients. Integers of 8 bits are wrapped after each
//! operation that may leave their range.

use super::print::{Printer, Wgsl};
use super::wide::may_leave;
use crate::codegen::CodegenError;
use crate::codegen::source::{Dialect, called, filled, lacks};
use crate::graph::{DType, Scalar};
use crate::kernel::{Literal, Op, Value};

/// Functions that the language lacks, each after those that it uses. A float that is not finite comes from bits at run
/// time: as a constant it is refused.
#[rustfmt::skip]
static HELPERS: &[(&str, &str)] = &[
    ("is_nan", "fn is_nan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }"),
    ("float_of", "fn float_of(bits: u32) -> f32 { return bitcast<f32>(bits); }"),
    ("least", "fn least(a: f32, b: f32) -> f32 { return select(select(a, b, b < a), b, is_nan(b)); }"),
    ("greatest", "fn greatest(a: f32, b: f32) -> f32 { return select(select(a, b, b > a), b, is_nan(b)); }"),
    ("wrap_i8", "fn wrap_i8(x: i32) -> i32 { return (x << 24u) >> 24u; }"),
    ("to_i32", "fn to_i32(x: f32) -> i32 {
  if (is_nan(x)) { return 0; }
  if (x >= 2147483648.0) { return 2147483647; }
  if (x < -2147483648.0) { return i32(-2147483648); }
  return i32(x);
}"),
    ("to_u32", "fn to_u32(x: f32) -> u32 {
  if (!(x > 0.0)) { return 0u; }
  if (x >= 4294967296.0) { return 4294967295u; }
  return u32(x);
}"),
    ("to_f16", "fn to_f16(x: f32) -> f32 { return unpack2x16float(pack2x16float(vec2<f32>(x, 0.0))).x; }"),
    ("to_bf16", "fn to_bf16(x: f32) -> f32 {
  let bits = bitcast<u32>(x);
  if (is_nan(x)) { return bitcast<f32>((bits & 0xffff0000u) | 0x400000u); }
  return bitcast<f32>((bits + 0x7fffu + ((bits >> 16u) & 1u)) & 0xffff0000u);
}"),
    ("floor_mod", "fn floor_mod(a: f32, b: f32) -> f32 {
  if ((bitcast<u32>(b) & 0x7fffffffu) == 0x7f800000u) { return select(a + b, a, a == 0.0 || (a < 0.0) == (b < 0.0)); }
  let r = fma(-floor(a / b), b, a);
  if (r != 0.0 && (r < 0.0) != (b < 0.0)) { return r + b; }
  return select(r, r - b, abs(r) >= abs(b));
}"),
    ("power", "fn power(x: f32, y: f32) -> f32 {
  if (y == 0.0) { return 1.0; }
  if (x >= 0.0) { return pow(x, y); }
  if (floor(y) != y) { return float_of(0x7fc00000u); }
  let size = pow(-x, y);
  return select(size, -size, abs(y - 2.0 * floor(y * 0.5)) == 1.0);
}"),
];

/// Those of them that a text uses.
pub(super) fn helpers(text: &str) -> String {
    let mut used: Vec<&str> = Vec::new();
    for (name, helper) in HELPERS.iter().rev() {
        let call = format!("{name}(");
        if text.contains(&call) || used.iter().any(|other| other.contains(&call)) {
            used.push(helper);
        }
    }
    used.iter().rev().map(|helper| format!("{helper}\n")).collect()
}

/// How a function is written, `a`, `b` and `c` being its operands.
struct Row {
    scalar: Scalar,
    float: &'static str,
    signed: &'static str,
    unsigned: &'static str,
}

const fn row(scalar: Scalar, float: &'static str, signed: &'static str, unsigned: &'static str) -> Row {
    Row { scalar, float, signed, unsigned }
}

#[rustfmt::skip]
static ROWS: &[Row] = &[
    row(Scalar::Add, "($a + $b)", "($a + $b)", "($a + $b)"),
    row(Scalar::Sub, "($a - $b)", "($a - $b)", "($a - $b)"),
    row(Scalar::Mul, "($a * $b)", "($a * $b)", "($a * $b)"),
    row(Scalar::Div, "($a / $b)", "", ""),
    row(Scalar::Fma, "fma($a, $b, $c)", "", ""),
    row(Scalar::Neg, "(-$a)", "(-$a)", "(0u - $a)"),
    row(Scalar::Abs, "abs($a)", "abs($a)", "$a"),
    row(Scalar::Min, "least($a, $b)", "min($a, $b)", "min($a, $b)"),
    row(Scalar::Max, "greatest($a, $b)", "max($a, $b)", "max($a, $b)"),
    row(Scalar::Sqrt, "sqrt($a)", "", ""),
    row(Scalar::Floor, "floor($a)", "", ""),
    row(Scalar::Ceil, "ceil($a)", "", ""),
    row(Scalar::Round, "round($a)", "", ""),
    row(Scalar::Trunc, "trunc($a)", "", ""),
    row(Scalar::Eq, "($a == $b)", "($a == $b)", "($a == $b)"),
    row(Scalar::Ne, "($a != $b)", "($a != $b)", "($a != $b)"),
    row(Scalar::Lt, "($a < $b)", "($a < $b)", "($a < $b)"),
    row(Scalar::Le, "($a <= $b)", "($a <= $b)", "($a <= $b)"),
    row(Scalar::Gt, "($a > $b)", "($a > $b)", "($a > $b)"),
    row(Scalar::Ge, "($a >= $b)", "($a >= $b)", "($a >= $b)"),
    row(Scalar::And, "", "($a & $b)", "($a & $b)"),
    row(Scalar::Or, "", "($a | $b)", "($a | $b)"),
    row(Scalar::Xor, "", "($a ^ $b)", "($a ^ $b)"),
    row(Scalar::Not, "", "(~$a)", "(~$a)"),
];

/// The same of booleans.
#[rustfmt::skip]
static BOOLEANS: &[(Scalar, &str)] = &[
    (Scalar::Eq, "($a == $b)"), (Scalar::Ne, "($a != $b)"), (Scalar::And, "($a & $b)"), (Scalar::Or, "($a | $b)"),
    (Scalar::Xor, "($a != $b)"), (Scalar::Not, "(!$a)"), (Scalar::Lt, "(!$a & $b)"), (Scalar::Gt, "($a & !$b)"),
    (Scalar::Le, "(!$a | $b)"), (Scalar::Ge, "($a | !$b)"),
];

/// Functions of the device.
#[rustfmt::skip]
static CALLS: &[(Scalar, &str)] = &[
    (Scalar::Exp, "exp"), (Scalar::Log, "log"), (Scalar::Sin, "sin"), (Scalar::Cos, "cos"), (Scalar::Tan, "tan"),
    (Scalar::Asin, "asin"), (Scalar::Acos, "acos"), (Scalar::Atan, "atan"), (Scalar::Sinh, "sinh"),
    (Scalar::Cosh, "cosh"), (Scalar::Asinh, "asinh"), (Scalar::Acosh, "acosh"), (Scalar::Atanh, "atanh"),
    (Scalar::Tanh, "tanh"), (Scalar::Pow, "power"), (Scalar::Atan2, "atan2"),
    (Scalar::Modulo, "floor_mod"),
];

impl Printer<'_> {
    pub(super) fn expression(&mut self, op: &Op, dtype: DType) -> Result<String, CodegenError> {
        match op {
            Op::Scalar(scalar, operands) => self.scalar(*scalar, operands),
            Op::Cast(a) => self.cast(*a, dtype),
            Op::Bitcast(a) => Ok(format!("bitcast<{}>({})", Wgsl::type_name(dtype)?, self.name(*a))),
            Op::Quotient(a, b) => {
                let mut names = self.varying(&[*a, *b]);
                // Nobody reaches a quotient by zero, but a shader in which one can be seen is refused.
                if names[1] == "0i" {
                    let zero = self.next_temp();
                    self.line(&Wgsl::variable(self.dtype(*b), &zero, Some("0i"))?);
                    names[1] = zero;
                }
                Ok(format!("({} / {})", names[0], names[1]))
            }
            Op::Call(scalar, operands) => called::<Wgsl>(CALLS, *scalar, &self.varying(operands)),
            other => Err(lacks::<Wgsl>(format!("{other:?}"))),
        }
    }

    /// The operands, not all of them constants: an overflow in constant arithmetic would be an error.
    fn varying(&mut self, values: &[Value]) -> Vec<String> {
        let mut names = self.operands(values);
        if values.iter().all(|&value| self.is_literal(value)) {
            names[0] = self.temp(&names[0]);
        }
        names
    }

    fn scalar(&mut self, scalar: Scalar, operands: &[Value]) -> Result<String, CodegenError> {
        let dtype = self.dtype(operands[0]);
        let names = self.varying(operands);
        let refused = || lacks::<Wgsl>(format!("`{scalar}` of {dtype}"));
        let is_data = dtype == DType::I64 && self.dialect.data[operands[0].0 as usize];
        if is_data && may_leave(scalar) {
            return Ok(self.noticed(scalar, &names));
        }
        match scalar {
            Scalar::Select => return Ok(format!("select({}, {}, {})", names[2], names[1], names[0])),
            Scalar::Shl | Scalar::Shr => {
                let shifted = shift(scalar, dtype, &names[0], &names[1]);
                return Ok(if scalar == Scalar::Shl { wrapped(dtype, shifted) } else { shifted });
            }
            _ => {}
        }
        let template = match dtype {
            DType::Bool => BOOLEANS.iter().find(|(other, _)| *other == scalar).map(|(_, text)| *text),
            _ => ROWS.iter().find(|row| row.scalar == scalar).map(|row| match dtype {
                DType::F32 => row.float,
                _ if dtype.is_signed() => row.signed,
                _ => row.unsigned,
            }),
        };
        let template = template.filter(|text| !text.is_empty()).ok_or_else(refused)?;
        let text = filled(template, &names);
        let compares = matches!(scalar, Scalar::Eq | Scalar::Ne | Scalar::Lt | Scalar::Le | Scalar::Gt | Scalar::Ge);
        Ok(if compares { text } else { wrapped(dtype, text) })
    }

    /// An integer of 64 bits that says so if it does not fit 32. Of products, those within a thousand of the ends count as
    /// beyond them: a float cannot tell.
    fn noticed(&mut self, scalar: Scalar, names: &[String]) -> String {
        let (a, b) = (self.temp(&names[0]), names.get(1).map(|b| self.temp(b)).unwrap_or_default());
        let text = match scalar {
            Scalar::Shl => shift(scalar, DType::I64, &a, &b),
            _ => {
                let row = ROWS.iter().find(|row| row.scalar == scalar);
                filled(row.map_or("$a", |row| row.signed), &[a.clone(), b.clone()])
            }
        };
        let result = self.temp(&text);
        let leaves = match scalar {
            Scalar::Add => format!("bitcast<u32>(({a} ^ {result}) & ({b} ^ {result})) >> 31u"),
            Scalar::Sub => format!("bitcast<u32>(({a} ^ {b}) & ({a} ^ {result})) >> 31u"),
            Scalar::Mul => format!("u32(abs(f32({a}) * f32({b})) >= 2147482624.0)"),
            Scalar::Shl => format!("u32(({result} >> min(u32({b}), 31u)) != {a})"),
            _ => format!("u32({a} == i32(-2147483648))"),
        };
        self.line(&format!("wide = wide | ({leaves});"));
        result
    }

    fn cast(&mut self, a: Value, to: DType) -> Result<String, CodegenError> {
        use DType::*;
        let (from, name) = (self.dtype(a), self.name(a));
        if matches!((from, to), (U32, I64)) {
            self.line(&format!("wide = wide | ({name} >> 31u);"));
        }
        if matches!((from, to), (F32, I64)) {
            self.line(&format!("wide = wide | u32(abs({name}) >= 2147483648.0);"));
        }
        Ok(match (from, to) {
            (F32, F16) => format!("to_f16({name})"),
            (F32, BF16) => format!("to_bf16({name})"),
            (F16 | BF16, F32) => name,
            (F32, I32 | I64) => format!("to_i32({name})"),
            (F32, I8) => format!("clamp(to_i32({name}), -128, 127)"),
            (F32, U32) => format!("to_u32({name})"),
            (F32, U8) => format!("min(to_u32({name}), 255u)"),
            (_, F32) => format!("f32({name})"),
            (_, I64 | I32) => format!("i32({name})"),
            (_, U32) => format!("u32({name})"),
            (_, I8) => format!("wrap_i8(i32({name}))"),
            (_, U8) => format!("(u32({name}) & 0xffu)"),
            _ => return Err(CodegenError::new(format!("no shader casts {from} to {to}"))),
        })
    }
}

/// Amounts lie within the type's width, which is more than that of what stands for 64 bits.
fn shift(scalar: Scalar, dtype: DType, a: &str, amount: &str) -> String {
    let amount = format!("u32({amount})");
    match (scalar, dtype) {
        (Scalar::Shl, DType::I64) => format!("select({a} << min({amount}, 31u), 0, {amount} > 31u)"),
        (_, DType::I64) => format!("({a} >> min({amount}, 31u))"),
        (Scalar::Shl, _) => format!("({a} << {amount})"),
        _ => format!("({a} >> {amount})"),
    }
}

/// Back into the range of a type of 8 bits.
fn wrapped(dtype: DType, text: String) -> String {
    match dtype {
        DType::I8 => format!("wrap_i8({text})"),
        DType::U8 => format!("({text} & 0xffu)"),
        _ => text,
    }
}

pub(super) fn literal(literal: Literal, dtype: DType) -> Result<String, CodegenError> {
    Ok(match dtype {
        DType::F32 | DType::F16 | DType::BF16 => float(literal.as_f64() as f32),
        DType::Bool => (literal.as_i64() != 0).to_string(),
        DType::U32 | DType::U8 => format!("{}u", literal.as_i64()),
        // The neutral elements of minimum and maximum are as good where every number fits 32 bits.
        DType::I64 if matches!(literal.as_i64(), i64::MIN | i64::MAX) => {
            signed(if literal.as_i64() < 0 { i32::MIN } else { i32::MAX })
        }
        DType::I64 | DType::I32 | DType::I8 => match i32::try_from(literal.as_i64()) {
            Ok(value) => signed(value),
            Err(_) => return Err(CodegenError::new(format!("{literal} does not fit 32 bits"))),
        },
        DType::F64 | DType::Real => return Err(lacks::<Wgsl>(format!("{dtype}"))),
    })
}

fn signed(value: i32) -> String {
    if value < 0 { format!("i32({value})") } else { format!("{value}i") }
}

fn float(value: f32) -> String {
    match value.is_finite() {
        true if value.is_sign_negative() => format!("({value:?}f)"),
        true => format!("{value:?}f"),
        false => format!("float_of({:#x}u)", value.to_bits()),
    }
}
