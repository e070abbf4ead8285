//! Casts as LLVM instructions.
//!
//! Invariant: f16 and bf16 are 16-bit integers outside this file, and only casts from and to f32 give them meaning: bf16
//! and f16 by the machine's conversion if it has one, else by integer arithmetic. That for bf16 takes denormals as zeros.

use super::print::{Printer, lanes_of, text_of, with_lanes};
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
            (DType::F32, DType::BF16) if lanes_of(to) == 16 && self.target.has("avx512bf16") => {
                let narrow = self.temp(format!("call <16 x bfloat> @llvm.x86.avx512bf16.cvtneps2bf16.512({source})"));
                format!("bitcast <16 x bfloat> {narrow} to {target}")
            }
            (DType::F32, DType::BF16) => self.narrow_bf16(&source, to),
            (DType::BF16, DType::F32) => self.widen_bf16(&source, to),
            (DType::F32, DType::F16) if !self.converts_f16() => self.narrow_f16(&source, to),
            (DType::F16, DType::F32) if !self.converts_f16() => self.widen_f16(&source, to),
            (DType::F32, DType::F16) => {
                let half = self.temp(format!("fptrunc {source} to {}", with_lanes("half", to)));
                format!("bitcast {} {half} to {target}", with_lanes("half", to))
            }
            (DType::F16, DType::F32) => {
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
                (true, false) if to.dtype.is_signed() && !to.is_scalar() && self.target.arch == Arch::X86_64 => {
                    self.saturated(value, to)?
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

    fn converts_f16(&self) -> bool {
        self.target.arch == Arch::Aarch64 || self.target.has("f16c")
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
