//! Scalar functions as LLVM instructions.
//!
//! Invariant: results are those of the table in `graph::scalar`, rounded to the type: no fast-math flag is ever written,
//! and integer arithmetic has no flag that makes overflow undefined.

use super::print::{Printer, splat, text_of, with_lanes};
use crate::codegen::CodegenError;
use crate::graph::{DType, Scalar};
use crate::kernel::{Type, Value};

#[derive(Clone, Copy)]
pub enum Form {
    /// An instruction with its operands.
    Plain(&'static str),
    /// The same, behind a fence where it has lanes: from lanes of zeros on both sides LLVM's x86 selection concludes that
    /// the quotient's are zero, though they are NaN, and drops a `select` that would make them so. (It sees through a freeze.)
    Quotient,
    /// A comparison, with its predicate.
    Compare(&'static str),
    Intrinsic(&'static str),
    /// Minimum or maximum: the ordered predicate that picks the first operand. NaN operands win.
    Pick(&'static str),
    /// Zero minus the operand.
    Negate,
    /// The absolute value of a signed integer.
    Absolute,
    /// The operand itself.
    Same,
    /// x86's product with a power of two, of whole vectors.
    Scale,
    /// x86's difference to the integer below, of whole vectors.
    Fraction,
    /// x86's estimate of 1 / x, of whole vectors, with one step of Newton's method.
    Reciprocal,
    /// Every bit flipped.
    Flip,
    None,
}

use Form::{Compare, Intrinsic, Pick, Plain};

struct Row {
    scalar: Scalar,
    float: Form,
    signed: Form,
    unsigned: Form,
}

const fn row(scalar: Scalar, float: Form, signed: Form, unsigned: Form) -> Row {
    Row { scalar, float, signed, unsigned }
}

const NONE: Form = Form::None;
/// NaN, zero, infinity and denormals, as x86's classification names them.
const SPECIAL: u32 = 0xbf;

#[rustfmt::skip]
static ROWS: &[Row] = &[
    row(Scalar::Add, Plain("fadd"), Plain("add"), Plain("add")),
    row(Scalar::Sub, Plain("fsub"), Plain("sub"), Plain("sub")),
    row(Scalar::Mul, Plain("fmul"), Plain("mul"), Plain("mul")),
    row(Scalar::Div, Form::Quotient, NONE, NONE),
    row(Scalar::Fma, Intrinsic("fma"), NONE, NONE),
    row(Scalar::Neg, Plain("fneg"), Form::Negate, Form::Negate),
    row(Scalar::Abs, Intrinsic("fabs"), Form::Absolute, Form::Same),
    row(Scalar::Min, Pick("olt"), Intrinsic("smin"), Intrinsic("umin")),
    row(Scalar::Max, Pick("ogt"), Intrinsic("smax"), Intrinsic("umax")),
    row(Scalar::Sqrt, Intrinsic("sqrt"), NONE, NONE),
    row(Scalar::Floor, Intrinsic("floor"), NONE, NONE),
    row(Scalar::Ceil, Intrinsic("ceil"), NONE, NONE),
    row(Scalar::Round, Intrinsic("roundeven"), NONE, NONE),
    row(Scalar::Trunc, Intrinsic("trunc"), NONE, NONE),
    row(Scalar::Scalb, Form::Scale, NONE, NONE),
    row(Scalar::Fract, Form::Fraction, NONE, NONE),
    row(Scalar::Recip, Form::Reciprocal, NONE, NONE),
    row(Scalar::Eq, Compare("fcmp oeq"), Compare("icmp eq"), Compare("icmp eq")),
    row(Scalar::Ne, Compare("fcmp une"), Compare("icmp ne"), Compare("icmp ne")),
    row(Scalar::Lt, Compare("fcmp olt"), Compare("icmp slt"), Compare("icmp ult")),
    row(Scalar::Le, Compare("fcmp ole"), Compare("icmp sle"), Compare("icmp ule")),
    row(Scalar::Gt, Compare("fcmp ogt"), Compare("icmp sgt"), Compare("icmp ugt")),
    row(Scalar::Ge, Compare("fcmp oge"), Compare("icmp sge"), Compare("icmp uge")),
    row(Scalar::And, NONE, Plain("and"), Plain("and")),
    row(Scalar::Or, NONE, Plain("or"), Plain("or")),
    row(Scalar::Xor, NONE, Plain("xor"), Plain("xor")),
    row(Scalar::Not, NONE, Form::Flip, Form::Flip),
    row(Scalar::Shl, NONE, Plain("shl"), Plain("shl")),
    row(Scalar::Shr, NONE, Plain("ashr"), Plain("lshr")),
];

impl Printer<'_> {
    pub fn scalar(&mut self, scalar: Scalar, operands: &[Value]) -> Result<String, CodegenError> {
        if let (Scalar::Select, &[condition, a, b]) = (scalar, operands) {
            return Ok(format!("select {}, {}, {}", self.typed(condition)?, self.typed(a)?, self.typed(b)?));
        }
        let ty = self.kernel.type_of(operands[0]).clone();
        let operands: Vec<String> = operands.iter().map(|&value| self.operand(value)).collect();
        self.scalar_of(scalar, &ty, &operands)
    }

    /// The step is left out where the estimate is zero, infinite, denormal or NaN: there it gives NaN.
    fn reciprocal(&mut self, text: &str, a: &str) -> String {
        let one = "splat (float 1.0)";
        let estimate =
            self.temp(format!("call {text} @llvm.x86.avx512.rcp14.ps.512({text} {a}, {text} zeroinitializer, i16 -1)"));
        let negated = self.temp(format!("fneg {text} {a}"));
        let fma =
            |a: &str, b: &str, c: &str| format!("call {text} @llvm.fma.v16f32({text} {a}, {text} {b}, {text} {c})");
        let rest = self.temp(fma(&negated, &estimate, one));
        let better = self.temp(fma(&estimate, &rest, &estimate));
        let special =
            self.temp(format!("call <16 x i1> @llvm.x86.avx512.fpclass.ps.512({text} {estimate}, i32 {SPECIAL})"));
        format!("select <16 x i1> {special}, {text} {estimate}, {text} {better}")
    }

    /// The function on operands of one type.
    pub fn scalar_of(&mut self, scalar: Scalar, ty: &Type, operands: &[String]) -> Result<String, CodegenError> {
        let text = text_of(ty)?;
        let list = operands.join(", ");
        Ok(match (form_of(scalar, ty.dtype), operands) {
            (Plain(opcode) | Compare(opcode), _) => format!("{opcode} {text} {list}"),
            (Form::Quotient, _) if ty.is_scalar() => format!("fdiv {text} {list}"),
            (Form::Quotient, _) => {
                let quotient = self.temp(format!("fdiv {text} {list}"));
                format!("call {text} @llvm.arithmetic.fence.{}({text} {quotient})", mangled(ty)?)
            }
            (Intrinsic(name), _) => {
                let typed: Vec<String> = operands.iter().map(|operand| format!("{text} {operand}")).collect();
                format!("call {text} @llvm.{name}.{}({})", mangled(ty)?, typed.join(", "))
            }
            (Pick(predicate), [a, b]) => {
                let mask = with_lanes("i1", ty);
                let picked = self.picked(predicate, ty, [a, b])?;
                let picked = self.temp(picked);
                let nan = self.temp(format!("fcmp uno {text} {b}, {b}"));
                format!("select {mask} {nan}, {text} {b}, {text} {picked}")
            }
            (Form::Scale, [a, b]) if *ty == Type::new(DType::F32, [16]) => {
                format!(
                    "call {text} @llvm.x86.avx512.mask.scalef.ps.512({text} {a}, {text} {b}, {text} poison, i16 -1, i32 4)"
                )
            }
            (Form::Fraction, [a]) if *ty == Type::new(DType::F32, [16]) => {
                format!(
                    "call {text} @llvm.x86.avx512.mask.reduce.ps.512({text} {a}, i32 1, {text} poison, i16 -1, i32 4)"
                )
            }
            (Form::Reciprocal, [a]) if *ty == Type::new(DType::F32, [16]) => self.reciprocal(&text, a),
            (Form::Negate, [a]) => format!("sub {text} {}, {a}", zero(ty)),
            (Form::Absolute, [a]) => format!("call {text} @llvm.abs.{}({text} {a}, i1 false)", mangled(ty)?),
            (Form::Same, [a]) => format!("or {text} {a}, {}", zero(ty)),
            (Form::Flip, [a]) => {
                let ones = if ty.dtype == DType::Bool { "true" } else { "-1" };
                format!("xor {text} {a}, {}", splat(super::print::element(ty.dtype)?, ones, ty))
            }
            _ => return Err(CodegenError::new(format!("no backend prints `{scalar}` on {ty}"))),
        })
    }
}

pub fn form_of(scalar: Scalar, dtype: DType) -> Form {
    let Some(row) = ROWS.iter().find(|row| row.scalar == scalar) else { return NONE };
    match dtype {
        DType::F64 | DType::F32 => row.float,
        DType::F16 | DType::BF16 | DType::Real => NONE,
        _ if dtype.is_signed() => row.signed,
        _ => row.unsigned,
    }
}

fn zero(ty: &Type) -> &'static str {
    if ty.is_scalar() { "0" } else { "zeroinitializer" }
}

/// The suffix of an intrinsic's name.
pub fn mangled(ty: &Type) -> Result<String, CodegenError> {
    let element = match ty.dtype {
        DType::F64 => "f64",
        DType::F32 => "f32",
        other => super::print::element(other)?,
    };
    Ok(if ty.is_scalar() { element.to_string() } else { format!("v{}{element}", ty.n_elements()) })
}
