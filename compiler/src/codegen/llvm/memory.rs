//! Loads and stores as LLVM instructions.
//!
//! Invariant: every access is aligned to one element only, and says so, but for stores that stream: those are written out
//! as such where the memory that the caller gave begins at a multiple of a line. A bool is an `i8` in memory and an `i1` outside.

use super::pointers::Sum;
use super::print::{Printer, lanes_of, memory_element, text_of, with_lanes};
use crate::codegen::CodegenError;
use crate::graph::DType;
use crate::kernel::{Place, Type, Value};

/// The metadata that says a store streams.
const ONE: &str = "!{i32 1}";

impl Printer<'_> {
    pub fn load(&mut self, place: &Place, ty: &Type) -> Result<String, CodegenError> {
        let stored = match self.kernel.neighbours(place.memory, ty) {
            Some(2..) => text_of(ty)?,
            _ => self.stored_type(place, ty)?,
        };
        let align = align_of(self.kernel.memory_dtype(place.memory));
        let pointer = self.pointer(place, ty)?;
        let gathers = !self.kernel.type_of(place.offset).is_scalar();
        let instruction = if !gathers && place.mask.is_none() {
            format!("load {stored}, {pointer}, align {align}")
        } else {
            let mask = self.mask(place, ty);
            let otherwise = self.otherwise(place, ty, &stored)?;
            let name = if gathers { "gather" } else { "load" };
            let suffix = suffix(ty, gathers)?;
            format!("call {stored} @llvm.masked.{name}.{suffix}({pointer}, i32 {align}, {mask}, {otherwise})")
        };
        if ty.dtype != DType::Bool {
            return Ok(instruction);
        }
        let bytes = self.temp(instruction);
        let zero = if ty.is_scalar() { "0" } else { "zeroinitializer" };
        Ok(format!("icmp ne {stored} {bytes}, {zero}"))
    }

    pub fn store(&mut self, place: &Place, value: Value) -> Result<(), CodegenError> {
        let ty = self.kernel.type_of(value).clone();
        let stored = self.stored_type(place, &ty)?;
        let align = align_of(ty.dtype);
        let mut value = self.typed(value)?;
        if ty.dtype == DType::Bool {
            value = format!("{stored} {}", self.temp(format!("zext {value} to {stored}")));
        }
        let pointer = self.pointer(place, &ty)?;
        let scatters = !self.kernel.type_of(place.offset).is_scalar();
        if place.streams && self.streams {
            let bytes = lanes_of(&ty) as usize * align;
            self.line(format_args!("  store {value}, {pointer}, align {bytes}, !nontemporal {ONE}"));
            return Ok(());
        }
        if !scatters && place.mask.is_none() {
            self.line(format_args!("  store {value}, {pointer}, align {align}"));
            return Ok(());
        }
        let mask = self.mask(place, &ty);
        let name = if scatters { "scatter" } else { "store" };
        let suffix = suffix(&ty, scatters)?;
        self.line(format_args!("  call void @llvm.masked.{name}.{suffix}({value}, {pointer}, i32 {align}, {mask})"));
        Ok(())
    }

    /// For reading, into all caches; where registers of matrices multiply, not into the first one: what they read next fills
    /// it already.
    pub fn prefetch(&mut self, place: &Place) -> Result<(), CodegenError> {
        let locality = if self.shapes.is_empty() { 3 } else { 2 };
        let pointer = self.pointer(place, &Type::scalar(self.kernel.memory_dtype(place.memory)))?;
        self.line(format_args!("  call void @llvm.prefetch.p0({pointer}, i32 0, i32 {locality}, i32 1)"));
        Ok(())
    }

    fn stored_type(&self, place: &Place, ty: &Type) -> Result<String, CodegenError> {
        if self.kernel.memory_dtype(place.memory) != ty.dtype {
            return Err(CodegenError::new(format!("an access as {ty} to memory of another type")));
        }
        Ok(with_lanes(memory_element(ty.dtype)?, ty))
    }

    /// The typed address: one pointer, or a vector of them.
    pub fn pointer(&mut self, place: &Place, ty: &Type) -> Result<String, CodegenError> {
        let stored = self.kernel.memory_dtype(place.memory);
        let element = memory_element(stored)?;
        let bytes = place.plus.wrapping_mul(stored.size_of() as i64);
        if let Some(sum) = self.pointers.sum(place.offset)
            && self.pointers.is_carried(place.memory, sum)
        {
            let pointer = self.carried(place.memory, sum);
            return Ok(format!("ptr {}", self.further(pointer, bytes)));
        }
        let (memory, offset) = match self.pointers.sum(place.offset) {
            Some(Sum { base: Some(base), rest }) => (self.base(place.memory, base), rest),
            _ => (self.memory(place.memory), place.offset),
        };
        let offset = self.typed(offset)?;
        let lanes = self.kernel.type_of(place.offset);
        if !lanes.is_scalar() {
            // A gather takes a scalar base and a vector of indices, so the constant goes to the base.
            let base = self.temp(format!("getelementptr i8, ptr {memory}, i64 {bytes}"));
            let pointers = self.temp(format!("getelementptr {element}, ptr {base}, {offset}"));
            return Ok(format!("{} {pointers}", with_lanes("ptr", ty)));
        }
        let pointer = self.temp(format!("getelementptr {element}, ptr {memory}, {offset}"));
        Ok(format!("ptr {}", self.further(pointer, bytes)))
    }

    fn mask(&self, place: &Place, ty: &Type) -> String {
        let mask = place.mask.map_or_else(|| "splat (i1 true)".to_string(), |mask| self.operand(mask.mask));
        format!("{} {mask}", with_lanes("i1", ty))
    }

    /// What the lanes that read nothing give, as it would lie in memory.
    fn otherwise(&mut self, place: &Place, ty: &Type, stored: &str) -> Result<String, CodegenError> {
        let Some(value) = place.mask.and_then(|mask| mask.otherwise) else {
            return Ok(format!("{stored} poison"));
        };
        if ty.dtype != DType::Bool {
            return self.typed(value);
        }
        let value = format!("{} {}", text_of(ty)?, self.operand(value));
        Ok(format!("{stored} {}", self.temp(format!("zext {value} to {stored}"))))
    }
}

fn align_of(dtype: DType) -> usize {
    dtype.size_of()
}

/// The part of an intrinsic's name that tells its types.
fn suffix(ty: &Type, lane_wise: bool) -> Result<String, CodegenError> {
    let element = match memory_element(ty.dtype)? {
        "double" => "f64",
        "float" => "f32",
        other => other,
    };
    let lanes = lanes_of(ty);
    let pointers = if lane_wise { format!("v{lanes}p0") } else { "p0".to_string() };
    Ok(format!("v{lanes}{element}.{pointers}"))
}
