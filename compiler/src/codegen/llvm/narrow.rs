//! f16 and bf16 by integer arithmetic, for machines without instructions for them.
//!
//! Invariant: conversions agree with IEEE 754: round to nearest even, denormals kept, NaN made quiet.

use super::print::{Printer, splat, with_lanes};
use crate::kernel::Type;

/// The words of the lanes of `ty`.
struct Words<'p, 'k> {
    printer: &'p mut Printer<'k>,
    ty: &'p Type,
    int: String,
}

impl Words<'_, '_> {
    /// An instruction on words and a number.
    fn with(&mut self, opcode: &str, a: &str, number: u32) -> String {
        let number = splat("i32", &number.to_string(), self.ty);
        self.on(opcode, a, &number)
    }

    fn on(&mut self, opcode: &str, a: &str, b: &str) -> String {
        self.printer.temp(format!("{opcode} {} {a}, {b}", self.int))
    }

    /// `a` where the condition holds, else `b`.
    fn select(&mut self, condition: &str, a: &str, b: &str) -> String {
        let mask = with_lanes("i1", self.ty);
        self.printer.temp(format!("select {mask} {condition}, {int} {a}, {int} {b}", int = self.int))
    }

    fn convert(&mut self, opcode: &str, typed: &str, element: &str) -> String {
        self.printer.temp(format!("{opcode} {typed} to {}", with_lanes(element, self.ty)))
    }

    /// Words as floats, in an instruction with a number, as words again.
    fn float(&mut self, opcode: &str, a: &str, number: f32) -> String {
        let float = with_lanes("float", self.ty);
        let number = splat("float", &format!("0x{:016X}", f64::from(number).to_bits()), self.ty);
        let value = self.convert("bitcast", &format!("{} {a}", self.int), "float");
        let result = self.printer.temp(format!("{opcode} {float} {value}, {number}"));
        self.convert("bitcast", &format!("{float} {result}"), "i32")
    }
}

impl<'k> Printer<'k> {
    fn words<'p>(&'p mut self, ty: &'p Type) -> Words<'p, 'k> {
        Words { printer: self, ty, int: with_lanes("i32", ty) }
    }

    /// From bf16: its bits are the upper half.
    pub fn widen_bf16(&mut self, source: &str, to: &Type) -> String {
        let mut words = self.words(to);
        let wide = words.convert("zext", source, "i32");
        let bits = words.with("shl", &wide, 16);
        format!("bitcast {} {bits} to {}", words.int, with_lanes("float", to))
    }

    pub fn narrow_bf16(&mut self, source: &str, to: &Type) -> String {
        let mut words = self.words(to);
        let bits = words.convert("bitcast", source, "i32");
        let high = words.with("lshr", &bits, 16);
        let odd = words.with("and", &high, 1);
        let bias = words.with("add", &odd, 0x7fff);
        let sum = words.on("add", &bits, &bias);
        let rounded = words.with("lshr", &sum, 16);
        let quiet = words.with("or", &high, 0x40);
        let magnitude = words.with("and", &bits, 0x7fff_ffff);
        let nan = words.with("icmp ugt", &magnitude, 0x7f80_0000);
        let picked = words.select(&nan, &quiet, &rounded);
        format!("trunc {} {picked} to {}", words.int, with_lanes("i16", to))
    }

    pub fn widen_f16(&mut self, source: &str, to: &Type) -> String {
        let mut words = self.words(to);
        let bits = words.convert("zext", source, "i32");
        let sign = words.with("and", &bits, 0x8000);
        let sign = words.with("shl", &sign, 16);
        let magnitude = words.with("and", &bits, 0x7fff);
        let shifted = words.with("shl", &magnitude, 13);
        // As an f32 those bits are 2^112 times too small, denormals included.
        let finite = words.float("fmul", &shifted, 2f32.powi(112));
        let infinite = words.with("or", &shifted, 0x7f80_0000);
        let quiet = words.with("or", &infinite, 0x0040_0000);
        let nan = words.with("icmp ugt", &magnitude, 0x7c00);
        let special = words.select(&nan, &quiet, &infinite);
        let is_special = words.with("icmp uge", &magnitude, 0x7c00);
        let picked = words.select(&is_special, &special, &finite);
        let signed = words.on("or", &picked, &sign);
        format!("bitcast {} {signed} to {}", words.int, with_lanes("float", to))
    }

    pub fn narrow_f16(&mut self, source: &str, to: &Type) -> String {
        let mut words = self.words(to);
        let bits = words.convert("bitcast", source, "i32");
        let magnitude = words.with("and", &bits, 0x7fff_ffff);
        // Normal: rebias the exponent, round by adding to the bits.
        let high = words.with("lshr", &magnitude, 13);
        let odd = words.with("and", &high, 1);
        let rebias = words.with("add", &magnitude, 0xfffu32.wrapping_sub(112 << 23));
        let sum = words.on("add", &rebias, &odd);
        let normal = words.with("lshr", &sum, 13);
        // Denormal: an addition to 0.5 rounds at the last bit of an f16 denormal.
        let added = words.float("fadd", &magnitude, 0.5);
        let denormal = words.with("sub", &added, 0.5f32.to_bits());
        let payload = words.with("and", &high, 0x3ff);
        let quiet = words.with("or", &payload, 0x7e00);
        let infinite = splat("i32", "31744", to);
        let mut picked = normal;
        for (order, bound, other) in [
            ("icmp ult", 0x3880_0000, &denormal),
            ("icmp uge", 0x477f_f000, &infinite),
            ("icmp ugt", 0x7f80_0000, &quiet),
        ] {
            let applies = words.with(order, &magnitude, bound);
            picked = words.select(&applies, other, &picked);
        }
        let sign = words.with("lshr", &bits, 16);
        let sign = words.with("and", &sign, 0x8000);
        let signed = words.on("or", &picked, &sign);
        format!("trunc {} {signed} to {}", words.int, with_lanes("i16", to))
    }
}
