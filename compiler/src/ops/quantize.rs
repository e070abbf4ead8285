//! `quantize(x, scale; bits, zero, axis, group)` and `dequantize`: floats as small integers with a scale for each group of
//! neighbours along an axis, and back.
//!
//! A number is stored as `round(x / scale) + zero`, within `2^(bits-1) - 1` of `zero`. Numbers of four bits lie two to a
//! byte: of eight neighbours the last four are in the upper halves, so that each half holds neighbours.

use crate::graph::{
    AttrKind, Attrs, Builder, Call, Cotangents, DType, Default, Dim, Gradient, Meaning, Nest, OpDef, OpError, Operands,
    Pull, Sample, Sampler, Scalar, ScalarNode, Type, attr, axes, axis,
};

pub static QUANTIZE: OpDef = OpDef {
    name: "quantize",
    doc: "`x` in integers of 8 bits (i8, or u8 if there is a `zero`) or of 4 (u8, two to a byte): the nearest to `x / \
          scale`, plus `zero`. Each `group` of neighbours along `axis` has one entry of `scale`. A scale of zero gives \
          `zero`.",
    operands: Operands::Fixed(&["x", "scale"]),
    attrs: ATTRS,
    infer: infer_quantize,
    gradient: Gradient::None("jumps from integer to integer"),
    meaning: Meaning::Structured { nest: nest_quantize, eval: None },
    aliases: &[],
    sample: Some(sample_quantize),
};

pub static DEQUANTIZE: OpDef = OpDef {
    name: "dequantize",
    doc: "What `quantize` stored, as floats again: `(q - zero) * scale`.",
    operands: Operands::Fixed(&["q", "scale"]),
    attrs: ATTRS,
    infer: infer_dequantize,
    gradient: Gradient::Rule(gradient_dequantize),
    meaning: Meaning::Structured { nest: nest_dequantize, eval: None },
    aliases: &[],
    sample: Some(sample_dequantize),
};

const ATTRS: &[crate::graph::AttrDef] = &[
    attr("bits", AttrKind::Int, Default::Int(8)),
    attr("zero", AttrKind::Int, Default::Int(0)),
    attr("axis", AttrKind::Axis, Default::Int(-1)),
    attr("group", AttrKind::Int, Default::Required),
];

/// The attributes, checked against the shape of the floats.
struct Format {
    bits: i64,
    zero: i64,
    axis: usize,
    group: i64,
}

impl Format {
    fn of(call: &Call, rank: usize) -> Result<Format, OpError> {
        let (bits, zero, group) = (call.attrs.int("bits"), call.attrs.int("zero"), call.attrs.int("group"));
        let axis = call.attrs.int("axis");
        let axis = if axis < 0 { axis + rank as i64 } else { axis };
        let known = [(8, 0), (8, 128), (4, 8)];
        if !known.contains(&(bits, zero)) {
            let message = format!("{bits} bits around {zero}: there are 8 around 0 or 128, and 4 around 8");
            return Err(OpError::attr("bits", message));
        }
        if group < 1 || bits == 4 && group % 8 != 0 {
            return Err(OpError::attr("group", format!("no group of {bits} bits has {group} members")));
        }
        match usize::try_from(axis).ok().filter(|&axis| axis < rank) {
            Some(axis) => Ok(Format { bits, zero, axis, group }),
            None => Err(OpError::attr("axis", format!("there is no axis {axis}"))),
        }
    }

    fn dtype(&self) -> DType {
        if self.zero > 0 { DType::U8 } else { DType::I8 }
    }

    /// The greatest distance from `zero`.
    fn limit(&self) -> f64 {
        ((1 << (self.bits - 1)) - 1) as f64
    }

    /// Numbers in a byte.
    fn per_byte(&self) -> i64 {
        8 / self.bits
    }

    fn check_scale(&self, shape: &[Dim], scale: &Type) -> Result<(), OpError> {
        let mut wanted = shape.to_vec();
        let groups = shape[self.axis].exact_div(&Dim::constant(self.group));
        wanted[self.axis] = groups.ok_or_else(|| {
            OpError::attr("group", format!("{} does not fall into groups of {}", shape[self.axis], self.group))
        })?;
        match scale.shape == wanted && scale.dtype.is_float() {
            true => Ok(()),
            false => Err(OpError::operand(1, format!("the scales of such groups are not {scale}"))),
        }
    }

    /// Where the scale of the number at these positions lies.
    fn scale_index(&self, mut index: Vec<Dim>) -> Vec<Dim> {
        index[self.axis] = index[self.axis].floor_div(&Dim::constant(self.group));
        index
    }
}

fn infer_quantize(call: &Call) -> Result<Vec<Type>, OpError> {
    let x = call.operand(0);
    let format = Format::of(call, x.rank())?;
    if !x.dtype.is_float() || x.dtype != call.operand(1).dtype {
        return Err(OpError::operand(0, format!("{x} and {} are not floats of one type", call.operand(1))));
    }
    format.check_scale(&x.shape, call.operand(1))?;
    let mut shape = x.shape.clone();
    let bytes = shape[format.axis].exact_div(&Dim::constant(format.per_byte()));
    shape[format.axis] = bytes.ok_or_else(|| OpError::attr("bits", "half a byte would be left"))?;
    Ok(vec![x.with_shape(shape).with_dtype(format.dtype())])
}

fn nest_quantize(call: &Call) -> Nest {
    let x = call.operand(0);
    let (Ok(format), Ok(types)) = (Format::of(call, x.rank()), infer_quantize(call)) else {
        return Nest::pointwise(&[]);
    };
    let mut nest = Nest::pointwise(&types[0].shape);
    let mut index = axes(x.rank());
    if format.bits == 8 {
        let number = rounded(&mut nest, &format, index, x.dtype);
        nest.push(ScalarNode::Cast { dtype: format.dtype(), arg: number });
        return nest;
    }
    let (four, byte) = (Dim::constant(4), axis(format.axis));
    let low = &(&byte.floor_div(&four) * 8) + &byte.modulo(&four);
    let halves = [0, 4].map(|further| {
        index[format.axis] = &low + further;
        rounded(&mut nest, &format, index.clone(), x.dtype)
    });
    let sixteen = nest.constant(DType::I32, 16.0);
    let high = nest.apply(Scalar::Mul, &[halves[1], sixteen]);
    let number = nest.apply(Scalar::Add, &[halves[0], high]);
    nest.push(ScalarNode::Cast { dtype: DType::U8, arg: number });
    nest
}

/// The stored number for the float at these positions, as i32.
fn rounded(nest: &mut Nest, format: &Format, index: Vec<Dim>, dtype: DType) -> usize {
    let scale_index = format.scale_index(index.clone());
    let (x, scale) = (nest.load(0, index), nest.load(1, scale_index));
    let quotient = nest.apply(Scalar::Div, &[x, scale]);
    let nearest = nest.apply(Scalar::Round, &[quotient]);
    let [low, high] = [-format.limit(), format.limit()].map(|value| nest.constant(dtype, value));
    let above = nest.apply(Scalar::Max, &[nearest, low]);
    let within = nest.apply(Scalar::Min, &[above, high]);
    let number = nest.push(ScalarNode::Cast { dtype: DType::I32, arg: within });
    match format.zero {
        0 => number,
        zero => {
            let zero = nest.constant(DType::I32, zero as f64);
            nest.apply(Scalar::Add, &[number, zero])
        }
    }
}

fn infer_dequantize(call: &Call) -> Result<Vec<Type>, OpError> {
    let (q, scale) = (call.operand(0), call.operand(1));
    let format = Format::of(call, q.rank())?;
    if q.dtype != format.dtype() {
        return Err(OpError::operand(0, format!("such numbers are {}, not {}", format.dtype(), q.dtype)));
    }
    let mut shape = q.shape.clone();
    shape[format.axis] = &shape[format.axis] * format.per_byte();
    format.check_scale(&shape, scale)?;
    Ok(vec![scale.with_shape(shape)])
}

fn nest_dequantize(call: &Call) -> Nest {
    let (q, scale) = (call.operand(0), call.operand(1));
    let (Ok(format), Ok(types)) = (Format::of(call, q.rank()), infer_dequantize(call)) else {
        return Nest::pointwise(&[]);
    };
    let mut nest = Nest::pointwise(&types[0].shape);
    let mut index = axes(q.rank());
    let scale_index = format.scale_index(index.clone());
    let mut number = if format.bits == 8 {
        nest.load(0, index)
    } else {
        let (four, eight, k) = (Dim::constant(4), Dim::constant(8), axis(format.axis));
        index[format.axis] = &(&k.floor_div(&eight) * 4) + &k.modulo(&four);
        let byte = nest.load(0, index);
        let wide = nest.push(ScalarNode::Cast { dtype: DType::I32, arg: byte });
        let shift = nest.push(ScalarNode::Index(&k.modulo(&eight).floor_div(&four) * 4));
        let shift = nest.push(ScalarNode::Cast { dtype: DType::I32, arg: shift });
        let shifted = nest.apply(Scalar::Shr, &[wide, shift]);
        let fifteen = nest.constant(DType::I32, 15.0);
        nest.apply(Scalar::And, &[shifted, fifteen])
    };
    number = nest.push(ScalarNode::Cast { dtype: scale.dtype, arg: number });
    if format.zero != 0 {
        let zero = nest.constant(scale.dtype, format.zero as f64);
        number = nest.apply(Scalar::Sub, &[number, zero]);
    }
    let scale = nest.load(1, scale_index);
    nest.apply(Scalar::Mul, &[number, scale]);
    nest
}

/// The scale of a group gets the cotangents of its members, each times the integer.
fn gradient_dequantize(b: &mut Builder, pull: &Pull) -> Cotangents {
    let (q, scale) = (pull.operands[0], pull.operands[1]);
    let format = Format::of(pull.call, pull.call.operand(0).rank())?;
    let one = b.number(1.0, scale)?;
    let integers = b.apply(&DEQUANTIZE, &[q, one], pull.call.attrs.clone())?;
    let g = pull.cotangent()?;
    let parts = b.mul(g, integers)?;
    let mut shape = b.type_of(scale).shape.clone();
    shape.insert(format.axis + 1, Dim::constant(format.group));
    let parts = b.reshape(parts, &shape)?;
    Ok(vec![None, Some(b.sum(parts, &[format.axis + 1], false)?)])
}

/// A format, an axis of so many groups, and the sizes before and after it.
fn sample_format(sampler: &mut Sampler) -> (Attrs, i64, Vec<Dim>, Vec<Dim>) {
    let (bits, zero) = *sampler.pick(&[(8, 0), (8, 128), (4, 8)]);
    let group = if bits == 4 { 8 } else { sampler.int(1, 5) };
    let (outer, n_groups, inner) = (sampler.int(1, 3), sampler.int(1, 3), sampler.int(1, 5));
    let attrs = Attrs::none().with("bits", bits).with("zero", zero).with("axis", 1).with("group", group);
    let shape = |k: i64| [outer, k, inner].map(Dim::constant).to_vec();
    (attrs, bits, shape(n_groups * group), shape(n_groups))
}

fn sample_quantize(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let (attrs, _, x, scale) = sample_format(sampler);
    let mut sample = Sample::floats(vec![x, scale], attrs);
    (sample.domains[1].low, sample.domains[1].high) = (0.01, 0.05);
    sample
}

fn sample_dequantize(_: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let (attrs, bits, mut q, scale) = sample_format(sampler);
    q[1] = q[1].floor_div(&Dim::constant(8 / bits));
    let dtype = if attrs.int("zero") > 0 { DType::U8 } else { DType::I8 };
    let mut sample = Sample::floats(vec![q, scale], attrs);
    sample.operands[0].dtype = dtype;
    sample
}
