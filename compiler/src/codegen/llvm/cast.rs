//! Casts as LLVM instructions.
//!
//! Invariant: f16 and bf16 are 16-bit integers outside this file, and only casts from and to f32 give them meaning: bf16
//! by integer arithmetic, because the instruction for it flushes denormals; f16 by the machine's conversion.

use super::print::{Printer, splat, text_of, with_lanes};
use super::scalar::mangled;
use crate::codegen::{Arch, CodegenError};
use crate::graph::DType;
use crate::kernel::{Type, Value};

impl Printer<'_> {
    pub fn cast(&mut self, value: Value, to: &Type) -> Result<String, CodegenError> {
        let from = self.kernel.type_of(value).clone();
        let source = self.typed(value)?;
        let target = text_of(to)?;
        let floats = (from.dtype.is_float(), to.dtype.is_float());
        Ok(match (from.dtype, to.dtype) {
            (DType::F32, DType::BF16) => self.to_bf16(&source, to),
            (DType::BF16, DType::F32) => {
                let wide = self.temp(format!("zext {source} to {}", with_lanes("i32", to)));
                let bits = self.temp(format!("shl {} {wide}, {}", with_lanes("i32", to), splat("i32", "16", to)));
                format!("bitcast {} {bits} to {target}", with_lanes("i32", to))
            }
            (DType::F32, DType::F16) => {
                self.require_f16()?;
                let half = self.temp(format!("fptrunc {source} to {}", with_lanes("half", to)));
                format!("bitcast {} {half} to {target}", with_lanes("half", to))
            }
            (DType::F16, DType::F32) => {
                self.require_f16()?;
                let half = self.temp(format!("bitcast {source} to {}", with_lanes("half", to)));
                format!("fpext {} {half} to {target}", with_lanes("half", to))
            }
            (DType::F16 | DType::BF16 | DType::Real, _) | (_, DType::F16 | DType::BF16 | DType::Real | DType::Bool) => {
                return Err(CodegenError::new(format!("no backend prints a cast from {from} to {to}")));
            }
            _ => match floats {
                (true, true) => {
                    let opcode = if from.dtype.size_of() < to.dtype.size_of() { "fpext" } else { "fptrunc" };
                    format!("{opcode} {source} to {target}")
                }
                (true, false) => {
                    let name = if to.dtype.is_signed() { "fptosi" } else { "fptoui" };
                    format!("call {target} @llvm.{name}.sat.{}.{}({source})", mangled(to)?, mangled(&from)?)
                }
                (false, true) => {
                    let opcode = if from.dtype.is_signed() { "sitofp" } else { "uitofp" };
                    format!("{opcode} {source} to {target}")
                }
                (false, false) => format!("{} {source} to {target}", integer_cast(from.dtype, to.dtype)),
            },
        })
    }

    /// Rounds to nearest even by adding to the bits; NaN stays NaN, made quiet.
    fn to_bf16(&mut self, source: &str, to: &Type) -> String {
        let int = with_lanes("i32", to);
        let number = |value: &str| splat("i32", value, to);
        let bits = self.temp(format!("bitcast {source} to {int}"));
        let high = self.temp(format!("lshr {int} {bits}, {}", number("16")));
        let odd = self.temp(format!("and {int} {high}, {}", number("1")));
        let bias = self.temp(format!("add {int} {odd}, {}", number("32767")));
        let sum = self.temp(format!("add {int} {bits}, {bias}"));
        let rounded = self.temp(format!("lshr {int} {sum}, {}", number("16")));
        let quiet = self.temp(format!("or {int} {high}, {}", number("64")));
        let zero = if to.is_scalar() { "0.0" } else { "zeroinitializer" };
        let nan = self.temp(format!("fcmp uno {source}, {zero}"));
        let mask = with_lanes("i1", to);
        let picked = self.temp(format!("select {mask} {nan}, {int} {quiet}, {int} {rounded}"));
        format!("trunc {int} {picked} to {}", with_lanes("i16", to))
    }

    fn require_f16(&self) -> Result<(), CodegenError> {
        let found = self.target.arch == Arch::Aarch64 || self.target.has("f16c");
        if found { Ok(()) } else { Err(CodegenError::new("f16 needs a CPU with F16C")) }
    }
}

fn integer_cast(from: DType, to: DType) -> &'static str {
    let bits = |dtype: DType| if dtype == DType::Bool { 1 } else { 8 * dtype.size_of() };
    match bits(from).cmp(&bits(to)) {
        std::cmp::Ordering::Equal => "bitcast",
        std::cmp::Ordering::Greater => "trunc",
        std::cmp::Ordering::Less if from.is_signed() => "sext",
        std::cmp::Ordering::Less => "zext",
    }
}
