//! Casts as Cranelift instructions.
//!
//! Invariant: f16 and bf16 are converted by integer arithmetic, because Cranelift's targets need not have instructions
//! for it. Both directions agree with IEEE 754: round to nearest even, denormals kept, NaN made quiet.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{self, InstBuilder, types};

use super::function::{Printer, is_vector, type_of};
use crate::codegen::CodegenError;
use crate::graph::DType;
use crate::kernel::{Type, Value};
use crate::seeded::{Fault, is};

impl Printer<'_> {
    pub fn cast(&mut self, value: Value, to: &Type) -> Result<ir::Value, CodegenError> {
        let from = self.kernel.type_of(value).clone();
        let source = self.value(value)?;
        match (from.dtype, to.dtype) {
            _ if is_vector(to) => self.vector_cast(source, &from, to),
            (DType::F32, DType::BF16) => Ok(self.narrow_bf16(source)),
            (DType::BF16, DType::F32) => {
                let wide = self.builder.ins().uextend(types::I32, source);
                let bits = self.builder.ins().ishl_imm_u(wide, 16);
                Ok(self.lane_bits(bits, types::F32))
            }
            (DType::F32, DType::F16) => Ok(self.narrow_f16(source)),
            (DType::F16, DType::F32) => Ok(self.widen_f16(source)),
            (DType::F16 | DType::BF16 | DType::Real, _) | (_, DType::F16 | DType::BF16 | DType::Real | DType::Bool) => {
                Err(no_cast(&from, to))
            }
            (DType::F32, DType::F64) => Ok(self.builder.ins().fpromote(types::F64, source)),
            (DType::F64, DType::F32) => Ok(self.builder.ins().fdemote(types::F32, source)),
            (DType::F32 | DType::F64, _) => Ok(self.float_to_int(source, to.dtype)),
            (_, DType::F32 | DType::F64) => {
                let printed = type_of(to)?;
                let ins = self.builder.ins();
                let signed = from.dtype.is_signed();
                Ok(if signed { ins.fcvt_from_sint(printed, source) } else { ins.fcvt_from_uint(printed, source) })
            }
            _ => {
                let (from_type, to_type) = (type_of(&from)?, type_of(to)?);
                let ins = self.builder.ins();
                Ok(match from_type.bits().cmp(&to_type.bits()) {
                    std::cmp::Ordering::Equal => source,
                    std::cmp::Ordering::Greater => ins.ireduce(to_type, source),
                    std::cmp::Ordering::Less if from.dtype.is_signed() => ins.sextend(to_type, source),
                    std::cmp::Ordering::Less => ins.uextend(to_type, source),
                })
            }
        }
    }

    fn vector_cast(&mut self, source: ir::Value, from: &Type, to: &Type) -> Result<ir::Value, CodegenError> {
        let source = match from.dtype {
            DType::Bool => {
                let ones = self.vector_constant([1; 4], types::I32X4)?;
                self.builder.ins().band(source, ones)
            }
            _ => source,
        };
        let ins = self.builder.ins();
        Ok(match (from.dtype, to.dtype) {
            (DType::F32, DType::I32) => ins.fcvt_to_sint_sat(types::I32X4, source),
            (DType::F32, DType::U32) => ins.fcvt_to_uint_sat(types::I32X4, source),
            (DType::I32 | DType::Bool, DType::F32) => ins.fcvt_from_sint(types::F32X4, source),
            (DType::U32, DType::F32) => ins.fcvt_from_uint(types::F32X4, source),
            (DType::I32 | DType::U32 | DType::Bool, DType::I32 | DType::U32) => source,
            _ => return Err(no_cast(from, to)),
        })
    }

    pub fn bitcast(&mut self, value: Value, to: &Type) -> Result<ir::Value, CodegenError> {
        let (source, to_type) = (self.value(value)?, type_of(to)?);
        if self.builder.func.dfg.value_type(source).bits() != to_type.bits() {
            return Err(no_cast(self.kernel.type_of(value), to));
        }
        Ok(self.lane_bits(source, to_type))
    }

    /// Saturates; bytes saturate after a conversion to 32 bits, which keeps what is out of range out of range.
    fn float_to_int(&mut self, source: ir::Value, to: DType) -> ir::Value {
        let wide = if to == DType::I64 { types::I64 } else { types::I32 };
        let ins = self.builder.ins();
        let int = if to.is_signed() { ins.fcvt_to_sint_sat(wide, source) } else { ins.fcvt_to_uint_sat(wide, source) };
        match to {
            DType::I8 | DType::U8 if is(Fault::CastsWrap) => self.builder.ins().ireduce(types::I8, int),
            DType::I8 => {
                let [low, high] = [-128, 127].map(|bound| self.int(bound));
                let above = self.builder.ins().smax(int, low);
                let within = self.builder.ins().smin(above, high);
                self.builder.ins().ireduce(types::I8, within)
            }
            DType::U8 => {
                let high = self.int(255);
                let within = self.builder.ins().umin(int, high);
                self.builder.ins().ireduce(types::I8, within)
            }
            _ => int,
        }
    }

    fn narrow_bf16(&mut self, source: ir::Value) -> ir::Value {
        let bits = self.lane_bits(source, types::I32);
        let high = self.builder.ins().ushr_imm_u(bits, 16);
        let odd = self.builder.ins().band_imm_u(high, 1);
        let bias = self.builder.ins().iadd_imm_s(odd, 0x7fff);
        let sum = self.builder.ins().iadd(bits, bias);
        let rounded = self.builder.ins().ushr_imm_u(sum, 16);
        let quiet = self.builder.ins().bor_imm_u(high, 0x40);
        let nan = self.builder.ins().fcmp(FloatCC::Unordered, source, source);
        let picked = self.builder.ins().select(nan, quiet, rounded);
        self.builder.ins().ireduce(types::I16, picked)
    }

    fn widen_f16(&mut self, source: ir::Value) -> ir::Value {
        let bits = self.builder.ins().uextend(types::I32, source);
        let sign = self.builder.ins().band_imm_u(bits, 0x8000);
        let sign = self.builder.ins().ishl_imm_u(sign, 16);
        let magnitude = self.builder.ins().band_imm_u(bits, 0x7fff);
        let shifted = self.builder.ins().ishl_imm_u(magnitude, 13);
        // As an f32 those bits are 2^112 times too small, denormals included.
        let scale = self.builder.ins().f32const(2f32.powi(112));
        let small = self.lane_bits(shifted, types::F32);
        let scaled = self.builder.ins().fmul(small, scale);
        let finite = self.lane_bits(scaled, types::I32);
        let infinite = self.builder.ins().bor_imm_u(shifted, 0x7f80_0000);
        let quiet = self.builder.ins().bor_imm_u(infinite, 0x0040_0000);
        let is_nan = self.builder.ins().icmp_imm_u(IntCC::UnsignedGreaterThan, magnitude, 0x7c00);
        let special = self.builder.ins().select(is_nan, quiet, infinite);
        let is_special = self.builder.ins().icmp_imm_u(IntCC::UnsignedGreaterThanOrEqual, magnitude, 0x7c00);
        let picked = self.builder.ins().select(is_special, special, finite);
        let signed = self.builder.ins().bor(picked, sign);
        self.lane_bits(signed, types::F32)
    }

    fn narrow_f16(&mut self, source: ir::Value) -> ir::Value {
        let bits = self.lane_bits(source, types::I32);
        let magnitude = self.builder.ins().band_imm_u(bits, 0x7fff_ffff);
        // Normal: rebias the exponent, round by adding to the bits.
        let high = self.builder.ins().ushr_imm_u(magnitude, 13);
        let odd = self.builder.ins().band_imm_u(high, 1);
        let rebias = self.builder.ins().iadd_imm_s(magnitude, 0xfff - (112 << 23));
        let sum = self.builder.ins().iadd(rebias, odd);
        let normal = self.builder.ins().ushr_imm_u(sum, 13);
        // Denormal: an addition to 0.5 rounds at the last bit of an f16 denormal.
        let half = self.builder.ins().f32const(0.5);
        let small = self.lane_bits(magnitude, types::F32);
        let added = self.builder.ins().fadd(small, half);
        let added = self.lane_bits(added, types::I32);
        let denormal = self.builder.ins().iadd_imm_s(added, -i64::from(0.5f32.to_bits()));
        let payload = self.builder.ins().band_imm_u(high, 0x3ff);
        let quiet = self.builder.ins().bor_imm_u(payload, 0x7e00);
        let infinite = self.int(0x7c00);
        let mut picked = normal;
        for (order, bound, other) in [
            (IntCC::UnsignedLessThan, 0x3880_0000, denormal),
            (IntCC::UnsignedGreaterThanOrEqual, 0x477f_f000, infinite),
            (IntCC::UnsignedGreaterThan, 0x7f80_0000, quiet),
        ] {
            let applies = self.builder.ins().icmp_imm_u(order, magnitude, bound);
            picked = self.builder.ins().select(applies, other, picked);
        }
        let sign = self.builder.ins().ushr_imm_u(bits, 16);
        let sign = self.builder.ins().band_imm_u(sign, 0x8000);
        let signed = self.builder.ins().bor(picked, sign);
        self.builder.ins().ireduce(types::I16, signed)
    }

    fn int(&mut self, value: i64) -> ir::Value {
        self.builder.ins().iconst(types::I32, value & 0xffff_ffff)
    }
}

fn no_cast(from: &Type, to: &Type) -> CodegenError {
    CodegenError::new(format!("Cranelift prints no cast from {from} to {to}"))
}
