//! Vectors of floats as signed integers on x86, whose intrinsic for that goes lane by lane.
//!
//! Invariant: NaN becomes 0, and what is out of range the nearest integer there is, as `llvm.fptosi.sat` has it.

use super::print::{Printer, splat, text_of, with_lanes};
use crate::codegen::CodegenError;
use crate::graph::DType;
use crate::kernel::{Type, Value};

impl Printer<'_> {
    pub fn saturated(&mut self, source: Value, to: &Type) -> Result<String, CodegenError> {
        let from = self.kernel.type_of(source).clone();
        let (x, float, int) = (self.operand(source), text_of(&from)?, text_of(to)?);
        let (element, mask) = (text_of(&Type::scalar(from.dtype))?, with_lanes("i1", to));
        let number = |value: f64| splat(&element, &format!("0x{:016X}", value.to_bits()), &from);
        // The least integer is a float, and so is what follows the greatest.
        let bits = 8 * to.dtype.size_of() as i32;
        let beyond = 2f64.powi(bits - 1);
        let before = if from.dtype == DType::F32 { f64::from((beyond as f32).next_down()) } else { beyond.next_down() };
        let most = before.min(beyond - 1.0);
        let select = |printer: &mut Self, test: &str, a: &str, bound: f64, then: &str, otherwise: &str| {
            let test = printer.temp(format!("fcmp {test} {float} {a}, {}", number(bound)));
            printer.temp(format!("select {mask} {test}, {float} {then}, {float} {otherwise}"))
        };
        let real = select(self, "ord", &x, 0.0, &x, &number(0.0));
        let low = select(self, "olt", &real, -beyond, &number(-beyond), &real);
        let held = select(self, "ogt", &low, most, &number(most), &low);
        let converted = format!("fptosi {float} {held} to {int}");
        if most == beyond - 1.0 && beyond - 1.0 < beyond {
            return Ok(converted);
        }
        let converted = self.temp(converted);
        let is_beyond = self.temp(format!("fcmp oge {float} {x}, {}", number(beyond)));
        let greatest = splat(&text_of(&Type::scalar(to.dtype))?, &format!("{}", i64::MAX >> (64 - bits)), to);
        Ok(format!("select {mask} {is_beyond}, {int} {greatest}, {int} {converted}"))
    }
}
