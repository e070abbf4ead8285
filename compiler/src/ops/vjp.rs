//! `vjp(y, cotangent, xs…)`: what reaches earlier values of the graph when a cotangent is sent back from `y`.
//!
//! Invariant: it speaks of the graph it stands in, not of numbers: `y` and `xs` are places there. The pass `differentiate`
//! writes it out before anything else looks at the graph.

use crate::graph::{Call, EvalError, Gradient, Meaning, OpDef, OpError, Operands, Type};

pub static OP: OpDef = OpDef {
    name: "vjp",
    doc: "The sum over the elements of `y` of the cotangent times the derivative by each element of `x`, for each `x` from \
          which `y` is computed. The pass `differentiate` replaces it by that computation.",
    operands: Operands::Variadic(&["y", "cotangent"], "x"),
    attrs: &[],
    infer,
    meaning: Meaning::Control {
        eval: |_| Err(EvalError::new("gradients are written out before a graph is evaluated")),
    },
    gradient: Gradient::None("is written out before what uses it is differentiated"),
    aliases: &[],
    sample: None,
};

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    let (y, cotangent) = (call.operand(0), call.operand(1));
    if y != cotangent {
        return Err(OpError::operand(1, format!("`y` is {y} and its cotangent {cotangent}")));
    }
    for idx in (0..call.operands.len()).filter(|&idx| idx != 1) {
        if !call.operand(idx).dtype.is_float() {
            let message = format!("gradients are of floats and by floats, found {}", call.operand(idx));
            return Err(OpError::operand(idx, message));
        }
    }
    Ok(call.operands[2..].to_vec())
}
