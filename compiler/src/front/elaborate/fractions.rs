//! Factors that are no integers, for ops that take them as quotients of two: `resize(x, scale: [1.5, 2])`.
//!
//! Invariant: sizes stay exact; a factor that is no quotient of small integers is refused.

use super::Elaborator;
use super::call::Arg;
use super::report::Outcome;
use super::value::Value;
use crate::diag::Diagnostic;
use crate::graph::{Attr, Attrs, OpDef};

/// The largest denominator.
const MOST: i64 = 4096;

impl<'a> Elaborator<'a> {
    /// Sets `scale` and `per` where one of the factors is a float; says whether that was so.
    pub fn fractions(&mut self, op: &OpDef, arg: &Arg<'a>, attrs: &mut Attrs) -> Outcome<bool> {
        if !op.attrs.iter().any(|def| def.name == "per") {
            return Ok(false);
        }
        // One number does not say how many axes it is for.
        let Value::List(factors) = &arg.value else {
            return Err(self.wanted("a list of factors, one for each axis,", &arg.value, arg.span));
        };
        if !factors.iter().any(|factor| matches!(factor, Value::Float(_))) {
            return Ok(false);
        }
        let (mut scale, mut per) = (Vec::new(), Vec::new());
        for factor in factors.iter() {
            let Some(number) = factor.as_number() else { return Err(self.wanted("a factor", factor, arg.span)) };
            let Some((above, below)) = fraction(number) else {
                let message = format!("{number:?} is no quotient of integers up to {MOST}");
                let diagnostic = Diagnostic::error("E0404", message).at(arg.span, "sizes stay exact");
                return Err(self.report(diagnostic.help("say how large the result is instead: `size: [H, W]`")));
            };
            scale.push(above);
            per.push(below);
        }
        attrs.set("scale", Attr::Ints(scale));
        attrs.set("per", Attr::Ints(per));
        Ok(true)
    }
}

/// A number as a quotient, the smallest that it is but for its last digits.
fn fraction(number: f64) -> Option<(i64, i64)> {
    (1..=MOST).find_map(|below| {
        let above = (number * below as f64).round();
        let is_close = (above / below as f64 - number).abs() <= 1e-12 * number.abs();
        (is_close && above.abs() < 1e9).then_some((above as i64, below))
    })
}
