//! `random_bits(seed, stream, shape, key, word)`: the source of all randomness.

use crate::graph::{
    AttrKind, Attrs, Call, DType, Default, Dim, Domain, Gradient, Meaning, Nest, OpDef, OpError, Operands, Sample,
    Sampler, ScalarNode, Type, attr, axis,
};

pub static OP: OpDef = OpDef {
    name: "random_bits",
    doc: "32 random bits for each element of `shape`, by Philox4x32-10 (Salmon et al., 2011). They depend on `seed`, \
          `stream` (a step or loop index), `key` (which draw of the model this is), `word` (0 to 3) and the position of \
          the element, and on nothing else.",
    operands: Operands::Fixed(&["seed", "stream"]),
    attrs: &[
        attr("shape", AttrKind::Dims, Default::Required),
        attr("key", AttrKind::Int, Default::Required),
        attr("word", AttrKind::Int, Default::Int(0)),
    ],
    infer,
    meaning: Meaning::Structured { nest, eval: None },
    gradient: Gradient::Zero,
    aliases: &[],
    sample: Some(sample),
};

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    for (idx, operand) in call.operands.iter().enumerate() {
        if *operand != Type::scalar(DType::I64) {
            let name = call.operand_name(idx);
            return Err(OpError::operand(idx, format!("`{name}` must be an i64 without axes, found {operand}")));
        }
    }
    if !(0..4).contains(&call.attrs.int("word")) {
        return Err(OpError::attr("word", "a draw has the words 0 to 3"));
    }
    Ok(vec![Type::new(DType::U32, call.attrs.dims("shape"))])
}

fn nest(call: &Call) -> Nest {
    let shape = call.attrs.dims("shape");
    let mut nest = Nest::pointwise(&shape);
    let seed = nest.load(0, vec![]);
    let stream = nest.load(1, vec![]);
    let position = shape.iter().enumerate().fold(Dim::constant(0), |sum, (idx, size)| &(&sum * size) + &axis(idx));
    let counter = nest.push(ScalarNode::Index(position));
    let (key, word) = (call.attrs.int("key") as u64, call.attrs.int("word") as u32);
    nest.push(ScalarNode::RandomBits { seed, stream, counter, key, word });
    nest
}

fn sample(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let rank = sampler.int(0, 3) as usize;
    let attrs = Attrs::none().with("shape", sampler.shape(rank)).with("key", sampler.next() as i64);
    let domains = vec![Domain { low: 0.0, high: 1000.0 }; 2];
    Sample { operands: vec![Type::scalar(DType::I64); 2], attrs: attrs.with("word", sampler.int(0, 3)), domains }
}
