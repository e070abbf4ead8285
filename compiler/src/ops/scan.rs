//! `scan(carries…, captures…)`: the body `trip` times, passing values on and stacking others.

mod gradient;

pub use gradient::keeping;

use super::region;
use crate::graph::{
    AttrKind, Call, DType, Data, Default, Eval, EvalError, Gradient, Meaning, OpDef, OpError, Operands, Tensor, Type,
    attr,
};

pub static OP: OpDef = OpDef {
    name: "scan",
    doc: "Runs its body for each index from 0 up to `trip`, not included. The body takes the index, the carries and the \
          captures and gives the next carries, then outputs. The results are the last carries, then the outputs of all \
          steps stacked along a new first axis.",
    operands: Operands::Variadic(&[], "carry or capture"),
    attrs: &[attr("carries", AttrKind::Int, Default::Required), attr("trip", AttrKind::Dim, Default::Required)],
    infer,
    meaning: Meaning::Control { eval },
    gradient: Gradient::Kept { keep: gradient::keep, rule: gradient::gradient },
    aliases: &[],
    sample: None,
};

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    region::count(call, 1)?;
    let n_carries = region::n_carries(call, 0)?;
    let index = Type::scalar(DType::I64);
    let arguments: Vec<Type> = std::iter::once(&index).chain(call.operands).cloned().collect();
    let mut results = region::results(call, 0, &arguments)?;
    let given = &results[..n_carries.min(results.len())];
    region::agree(call, "its carries", &call.operands[..n_carries], given)?;
    for output in &mut results[n_carries..] {
        output.shape.insert(0, call.attrs.dim("trip"));
    }
    Ok(results)
}

fn eval(eval: &Eval) -> Result<Vec<Tensor>, EvalError> {
    let n_carries = eval.call.attrs.int("carries") as usize;
    let trip = eval.size(&eval.call.attrs.dim("trip"))?;
    let (carries, captures) = eval.operands.split_at(n_carries);
    let mut carries = carries.to_vec();
    let mut steps: Vec<Vec<Tensor>> = vec![Vec::new(); eval.results.len() - n_carries];
    for index in 0..trip {
        carries.insert(0, Tensor::int_scalar(DType::I64, index as i64));
        carries.extend_from_slice(captures);
        carries = eval.region(0, carries)?;
        let outputs = carries.split_off(n_carries.min(carries.len()));
        steps.iter_mut().zip(outputs).for_each(|(steps, output)| steps.push(output));
    }
    for (idx, steps) in steps.iter().enumerate() {
        carries.push(stacked(steps, eval.results[n_carries + idx].dtype, eval.shape(n_carries + idx)?));
    }
    Ok(carries)
}

fn stacked(steps: &[Tensor], dtype: DType, shape: Vec<usize>) -> Tensor {
    let data = match dtype.is_float() {
        true => {
            let floats = steps.iter().filter_map(Tensor::as_floats);
            Data::Float(floats.flatten().copied().collect::<Vec<_>>().into())
        }
        false => {
            let ints = steps.iter().filter_map(Tensor::as_ints);
            Data::Int(ints.flatten().copied().collect::<Vec<_>>().into())
        }
    };
    Tensor { dtype, shape, data }
}
