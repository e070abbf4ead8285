//! The scalar functions as ops: one element in, one element out, all operands of one shape.
//!
//! Invariant: an op of this file has the name and the meaning of its scalar function.

use crate::graph::{Attrs, Call, Meaning, Nest, OpDef, OpError, Operands, Sample, Sampler, Scalar, Shape, Type, axes};

pub static ADD: OpDef = op(Scalar::Add, "The sum.");
pub static SUB: OpDef = op(Scalar::Sub, "The difference.");
pub static DIV: OpDef = op(Scalar::Div, "The quotient of floats.");
pub static MAX: OpDef = op(Scalar::Max, "The larger of two; NaN when either is.");
pub static EXP: OpDef = op(Scalar::Exp, "The exponential function.");

const fn op(scalar: Scalar, doc: &'static str) -> OpDef {
    let def = &crate::graph::scalar::DEFS[scalar as usize];
    OpDef {
        name: def.name,
        doc,
        operands: Operands::Fixed(match def.arity {
            1 => &["x"],
            2 => &["a", "b"],
            _ => &["a", "b", "c"],
        }),
        attrs: &[],
        infer,
        meaning: Meaning::Structured { nest, eval: None },
        aliases: &[(0, 0)],
        sample: Some(sample),
    }
}

fn scalar_of(op: &OpDef) -> Scalar {
    Scalar::from_name(op.name).expect("an elementwise op is named like its scalar function")
}

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    let first = call.operand(0);
    for (idx, other) in call.operands.iter().enumerate() {
        if other.shape != first.shape {
            let message = format!("the shapes {} and {} do not agree", Shape(&first.shape), Shape(&other.shape));
            return Err(OpError::operand(idx, message));
        }
    }
    let dtypes: Vec<_> = call.operands.iter().map(|ty| ty.dtype).collect();
    let dtype = scalar_of(call.op).result(&dtypes).map_err(OpError::new)?;
    Ok(vec![first.with_dtype(dtype)])
}

fn nest(call: &Call) -> Nest {
    let shape = &call.operand(0).shape;
    let mut nest = Nest::pointwise(shape);
    let args: Vec<_> = (0..call.operands.len()).map(|operand| nest.load(operand, axes(shape.len()))).collect();
    nest.apply(scalar_of(call.op), &args);
    nest
}

fn sample(op: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let rank = sampler.int(0, 3) as usize;
    let shape = sampler.shape(rank);
    Sample::floats(vec![shape; scalar_of(op).def().arity], Attrs::none())
}
