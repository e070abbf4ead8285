//! Loads and stores as Cranelift instructions.
//!
//! Invariant: no access is assumed to be aligned to more than its element. A bool is one byte in memory, whatever it is
//! outside.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{self, Endianness, InstBuilder, MemFlagsData, types};

use super::function::{Printer, is_vector, type_of};
use crate::codegen::CodegenError;
use crate::graph::DType;
use crate::kernel::{Memory, Place, Type, Value};

/// The proof of every access is the verifier's, so none traps.
const ACCESS: MemFlagsData = MemFlagsData::new().with_notrap();
/// The tables of buffers and sizes.
pub const READ_ONLY: MemFlagsData = MemFlagsData::trusted();
/// How the lanes of a vector lie in its bits.
pub const BITS: MemFlagsData = MemFlagsData::new().with_endianness(Endianness::Little);

impl Printer<'_> {
    pub fn load(&mut self, place: &Place, ty: &Type) -> Result<ir::Value, CodegenError> {
        let (address, offset) = self.address(place, ty)?;
        if ty.dtype != DType::Bool {
            return Ok(self.builder.ins().load(type_of(ty)?, ACCESS, address, offset));
        }
        if !is_vector(ty) {
            let byte = self.builder.ins().load(types::I8, ACCESS, address, offset);
            return Ok(self.builder.ins().icmp_imm_u(IntCC::NotEqual, byte, 0));
        }
        let packed = self.builder.ins().load(types::I32, ACCESS, address, offset);
        let packed = self.builder.ins().scalar_to_vector(types::I32X4, packed);
        let bytes = self.lane_bits(packed, types::I8X16);
        let halves = self.builder.ins().uwiden_low(bytes);
        let words = self.builder.ins().uwiden_low(halves);
        let zero = self.vector_constant([0; 4], types::I32X4)?;
        Ok(self.builder.ins().icmp(IntCC::NotEqual, words, zero))
    }

    pub fn store(&mut self, place: &Place, value: Value) -> Result<(), CodegenError> {
        let ty = self.kernel.type_of(value).clone();
        let (address, offset) = self.address(place, &ty)?;
        let mut value = self.value(value)?;
        if ty.dtype == DType::Bool && is_vector(&ty) {
            let ones = self.vector_constant([1; 4], types::I32X4)?;
            let bits = self.builder.ins().band(value, ones);
            let halves = self.builder.ins().snarrow(bits, bits);
            let bytes = self.builder.ins().snarrow(halves, halves);
            let words = self.lane_bits(bytes, types::I32X4);
            value = self.builder.ins().extractlane(words, 0);
        }
        self.builder.ins().store(ACCESS, value, address, offset);
        Ok(())
    }

    /// The address without its constant part, and that part.
    fn address(&mut self, place: &Place, ty: &Type) -> Result<(ir::Value, i32), CodegenError> {
        if place.mask.is_some() || is_vector(self.kernel.type_of(place.offset)) {
            return Err(CodegenError::new("Cranelift has no masked or lane-wise accesses"));
        }
        let stored = self.kernel.memory_dtype(place.memory);
        if self.kernel.neighbours(place.memory, ty).is_none() {
            return Err(CodegenError::new(format!("an access as {ty} to memory of another type")));
        }
        let base = match place.memory {
            Memory::Buffer(idx) => self.buffers[idx as usize],
            Memory::Local(idx) => self.locals[idx as usize],
        };
        let size = stored.size_of();
        let offset = self.value(place.offset)?;
        let scaled =
            if size == 1 { offset } else { self.builder.ins().ishl_imm_u(offset, i64::from(size.trailing_zeros())) };
        let address = self.builder.ins().iadd(base, scaled);
        let plus = place.plus.wrapping_mul(size as i64);
        Ok(match i32::try_from(plus) {
            Ok(plus) => (address, plus),
            Err(_) => (self.builder.ins().iadd_imm_s(address, plus), 0),
        })
    }
}
