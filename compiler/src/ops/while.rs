//! `while(carries…, captures…)`: the body as long as a condition holds, passing values on.

use super::{cond, region, reverse, scan};
use crate::graph::{
    Attr, AttrKind, Attrs, Builder, Call, DType, Default, Dim, Eval, EvalError, Gradient, Meaning, OpDef, OpError,
    Operands, Tensor, Type, Value, attr,
};

pub static OP: OpDef = OpDef {
    name: "while",
    doc: "Runs its second region as long as its first gives true, at most `at_most` times. Both take the carries and \
          the captures; the second gives the next carries. The result is the last carries.",
    operands: Operands::Variadic(&[], "carry or capture"),
    attrs: &[attr("carries", AttrKind::Int, Default::Required), attr("at_most", AttrKind::Dim, Default::Absent)],
    infer,
    meaning: Meaning::Control { eval },
    gradient: Gradient::Kept { keep, rule: |b, pull| reverse::through(b, pull, keep) },
    aliases: &[],
    sample: None,
};

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    region::count(call, 2)?;
    let carries = &call.operands[..region::n_carries(call, 0)?];
    let test = region::results(call, 0, call.operands)?;
    region::agree(call, "its condition", &[Type::scalar(DType::Bool)], &test)?;
    let results = region::results(call, 1, call.operands)?;
    region::agree(call, "its carries", carries, &results)?;
    Ok(results)
}

fn eval(eval: &Eval) -> Result<Vec<Tensor>, EvalError> {
    let at_most = match eval.call.attrs.get("at_most") {
        Some(Attr::Dim(most)) => eval.size(&not_negative(most))?,
        _ => usize::MAX,
    };
    let (carries, captures) = eval.operands.split_at(eval.results.len());
    let mut carries = carries.to_vec();
    for _ in 0..at_most {
        carries.extend_from_slice(captures);
        let goes_on = eval.region(0, carries.clone())?.first().is_some_and(|test| test.int_at(0) != 0);
        if !goes_on {
            carries.truncate(eval.results.len());
            break;
        }
        carries = eval.region(1, carries)?;
    }
    Ok(carries)
}

fn not_negative(at_most: &Dim) -> Dim {
    at_most.greatest(&Dim::constant(0))
}

/// The same as a `scan` of `at_most` turns, whose body is a `cond` on whether it still goes on.
fn keep(b: &mut Builder, call: &Call, operands: &[Value]) -> Result<Vec<Value>, OpError> {
    let Some(Attr::Dim(at_most)) = call.attrs.get("at_most") else {
        let message = "nobody knows before it runs how many turns this loop takes, so it cannot be differentiated";
        return Err(OpError::new(message).help("bound it: `loop while …, at most n carry …`"));
    };
    let n_carries = call.attrs.int("carries") as usize;
    let (carries, captures) = call.operands.split_at(n_carries);
    let flag = Type::scalar(DType::Bool);
    let types = [&[Type::scalar(DType::I64)], carries, std::slice::from_ref(&flag), captures].concat();
    let mut body = region::with_arguments(b.graph, "body", &types);
    let arguments: Vec<Value> = body.arguments().iter().map(|argument| argument.value).collect();
    let own = [&arguments[1..=n_carries], &arguments[n_carries + 2..]].concat();
    let mut inner = Builder::new(&mut body, b.origin.clone());
    let test = region::inline(&mut inner, &call.regions[0], &own)?[0];
    let goes_on = inner.and(arguments[n_carries + 1], test)?;
    let mut stays = region::with_arguments(inner.graph, "stays", call.operands);
    let kept: Vec<Value> = stays.arguments()[..n_carries].iter().map(|argument| argument.value).collect();
    region::set_outputs(&mut stays, &kept);
    let branches = vec![call.regions[1].clone(), stays];
    let mut results = inner.apply_with(&cond::OP, &[&[goes_on], &own[..]].concat(), Attrs::none(), branches)?;
    results.push(goes_on);
    region::set_outputs(&mut body, &results);
    let begins = b.filled(1.0, flag)?;
    let attrs = Attrs::none().with("carries", n_carries as i64 + 1).with("trip", not_negative(at_most));
    let operands = [&operands[..n_carries], &[begins], &operands[n_carries..]].concat();
    scan::keeping(b, attrs, &operands, body)
}
