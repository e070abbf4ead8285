//! `cond(test, captures…)`: one of two regions.

use super::{region, reverse};
use crate::graph::{
    Attrs, Builder, Call, Cotangents, DType, Eval, EvalError, Gradient, Graph, Meaning, OpDef, OpError, Operands, Pull,
    Tensor, Type, Value,
};

pub static OP: OpDef = OpDef {
    name: "cond",
    doc: "Runs its first region where `test` is true, else its second; both take the captures and give the same types.",
    operands: Operands::Variadic(&["test"], "capture"),
    attrs: &[],
    infer,
    meaning: Meaning::Control { eval },
    gradient: Gradient::Rule(gradient),
    aliases: &[],
    sample: None,
};

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    let test = Type::scalar(DType::Bool);
    if *call.operand(0) != test {
        let message = format!("the condition must be {test}, found {}", call.operand(0));
        return Err(OpError::operand(0, message).help("`select` chooses element by element"));
    }
    region::count(call, 2)?;
    let [first, second] =
        [region::results(call, 0, &call.operands[1..])?, region::results(call, 1, &call.operands[1..])?];
    region::agree(call, "the results of its branches", &first, &second)?;
    Ok(first)
}

fn eval(eval: &Eval) -> Result<Vec<Tensor>, EvalError> {
    let branch = usize::from(eval.operands[0].int_at(0) == 0);
    eval.region(branch, eval.operands[1..].to_vec())
}

/// The branch that was taken is run again, and back.
fn gradient(b: &mut Builder, pull: &Pull) -> Cotangents {
    let captures = &pull.call.operands[1..];
    let given: Vec<(usize, Value)> = reverse::given(b.graph, pull);
    let seeds: Vec<Type> = given.iter().map(|(_, g)| b.type_of(*g).clone()).collect();
    let branch = |b: &mut Builder, region: &Graph| -> Result<Graph, OpError> {
        let mut back = region::with_arguments(b.graph, "back", &[captures, &seeds[..]].concat());
        let arguments: Vec<Value> = back.arguments().iter().map(|argument| argument.value).collect();
        let (captures, seeds) = arguments.split_at(captures.len());
        let mut inner = Builder::new(&mut back, b.origin.clone());
        let since = inner.graph.n_nodes();
        let results = region::inline_kept(&mut inner, region, captures)?;
        let outputs: Vec<(Value, Value)> =
            given.iter().zip(seeds).map(|((result, _), seed)| (results[*result], *seed)).collect();
        let inputs: Vec<Value> =
            (0..captures.len()).filter(|&idx| pull.wanted[idx + 1]).map(|idx| captures[idx]).collect();
        let found = reverse::pull_back(&mut inner, since, &outputs, &inputs)?;
        let found = reverse::or_zeros(&mut inner, &found, &inputs)?;
        region::set_outputs(&mut back, &found);
        Ok(back)
    };
    let regions = vec![branch(b, &pull.call.regions[0])?, branch(b, &pull.call.regions[1])?];
    let operands: Vec<Value> = pull.operands.iter().copied().chain(given.iter().map(|(_, g)| *g)).collect();
    let mut found = b.apply_with(&OP, &operands, Attrs::none(), regions)?.into_iter();
    Ok(pull.wanted.iter().map(|wanted| if *wanted { found.next() } else { None }).collect())
}
