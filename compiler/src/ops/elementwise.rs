//! The scalar functions as ops: one element in, one element out, all operands of one shape.
//!
//! Invariant: an op of this file has the name and the meaning of its scalar function.

use crate::graph::scalar::Signature;
use crate::graph::{
    Attrs, Call, DType, Domain, Meaning, Nest, OpDef, OpError, Operands, Sample, Sampler, Scalar, Shape, Type, axes,
};

/// One static for each function, and the list of them.
macro_rules! scalar_ops {
    ($($name:ident $scalar:ident $doc:literal),* $(,)?) => {
        $(pub static $name: OpDef = op(Scalar::$scalar, $doc);)*
        pub static ALL: &[&OpDef] = &[$(&$name),*];
    };
}

scalar_ops! {
    ADD Add "The sum; integers wrap.",
    SUB Sub "The difference; integers wrap.",
    MUL Mul "The product; integers wrap.",
    DIV Div "The quotient of floats.",
    FLOOR_DIV FloorDiv "The exact quotient rounded down; an integer divided by zero gives zero.",
    MODULO Modulo "What `floor_div` leaves: it has the sign of the divisor; an integer modulo zero is itself.",
    FMA Fma "`a * b + c`, rounded once.",
    NEG Neg "The negative.",
    ABS Abs "The absolute value.",
    SIGN Sign "-1, 0 or 1 by the sign; NaN stays.",
    MIN Min "The smaller of two; NaN when either is.",
    MAX Max "The larger of two; NaN when either is.",
    SQRT Sqrt "The square root; NaN below zero.",
    FLOOR Floor "The greatest integer that is not above.",
    CEIL Ceil "The least integer that is not below.",
    ROUND Round "The nearest integer; halves go to the even one.",
    TRUNC Trunc "The integer next to `x` towards zero.",
    EXP Exp "The exponential function.",
    LOG Log "The natural logarithm; -inf at zero, NaN below.",
    SIN Sin "The sine, of radians.",
    COS Cos "The cosine, of radians.",
    TAN Tan "The tangent, of radians.",
    ASIN Asin "The arc sine, in radians; NaN outside [-1, 1].",
    ACOS Acos "The arc cosine, in radians; NaN outside [-1, 1].",
    ATAN Atan "The arc tangent, in radians.",
    SINH Sinh "The hyperbolic sine.",
    COSH Cosh "The hyperbolic cosine.",
    ASINH Asinh "The inverse hyperbolic sine.",
    ACOSH Acosh "The inverse hyperbolic cosine; NaN below one.",
    ATANH Atanh "The inverse hyperbolic tangent; NaN outside [-1, 1].",
    TANH Tanh "The hyperbolic tangent.",
    ERF Erf "The error function: 2/sqrt(pi) times the integral of exp(-t^2) from 0 to `x`.",
    LOG1P Log1p "`log(1 + x)`, precise near zero.",
    EXPM1 Expm1 "`exp(x) - 1`, precise near zero.",
    EXP2 Exp2 "2 to the power `x`.",
    POW Pow "`a` to the power `b`, of floats; a negative base takes whole powers only, else NaN.",
    ATAN2 Atan2 "The angle, in radians, of the point with height `a` and width `b`.",
    SCALB Scalb "`a` times 2 to the power of the greatest integer that is not above `b`.",
    FRACT Fract "`x` less the greatest integer that is not above it, 0 for infinities.",
    EQ Eq "True where two elements are equal; NaN equals nothing.",
    NE Ne "True where two elements differ; NaN differs from everything.",
    LT Lt "True where `a` is less than `b`; never with NaN.",
    LE Le "True where `a` is at most `b`; never with NaN.",
    GT Gt "True where `a` is greater than `b`; never with NaN.",
    GE Ge "True where `a` is at least `b`; never with NaN.",
    AND And "True where both are, of booleans; of integers, bit by bit.",
    OR Or "True where either is, of booleans; of integers, bit by bit.",
    XOR Xor "True where exactly one is, of booleans; of integers, bit by bit.",
    NOT Not "True where `x` is not, of booleans; of integers, bit by bit.",
    SHL Shl "`a` shifted left by `b` bits; a shift by the width or more gives zero.",
    SHR Shr "`a` shifted right by `b` bits; signed integers keep their sign.",
    SELECT Select "`b` where `a` is true, else `c`; the other side is not touched.",
}

/// The op of a scalar function that is not of kernels alone.
pub fn of(scalar: Scalar) -> &'static OpDef {
    ALL[scalar as usize]
}

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
        gradient: super::derivative::of(scalar),
        aliases: match (def.signature, def.arity) {
            // The result of a comparison is narrower than what is compared, and so is the first operand of `select`.
            (Signature::Compare | Signature::Order, _) => &[],
            (Signature::Select, _) => &[(1, 0), (2, 0)],
            (_, 1) => &[(0, 0)],
            (_, 2) => &[(0, 0), (1, 0)],
            _ => &[(0, 0), (1, 0), (2, 0)],
        },
        sample: Some(sample),
    }
}

pub fn scalar_of(op: &OpDef) -> Scalar {
    Scalar::from_name(op.name).expect("an elementwise op is named like its scalar function")
}

fn infer(call: &Call) -> Result<Vec<Type>, OpError> {
    let first = call.operand(0);
    for (idx, other) in call.operands.iter().enumerate() {
        if other.shape != first.shape {
            let (a, b) = (call.operand_name(0), call.operand_name(idx));
            let message = format!("`{a}` is {} and `{b}` is {}", Shape(&first.shape), Shape(&other.shape));
            return Err(OpError::operand(idx, message).help("elementwise ops take equal shapes: broadcast one of them"));
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

/// Where each operand is drawn from, away from poles and edges of what is defined.
fn domains(scalar: Scalar) -> [(f64, f64); 2] {
    match scalar {
        Scalar::Div | Scalar::FloorDiv | Scalar::Modulo => [(-4.0, 4.0), (0.5, 3.0)],
        Scalar::Sqrt | Scalar::Log => [(0.25, 4.0); 2],
        Scalar::Asin | Scalar::Acos | Scalar::Atanh => [(-0.9, 0.9); 2],
        Scalar::Acosh => [(1.1, 4.0); 2],
        Scalar::Log1p => [(-0.75, 4.0); 2],
        Scalar::Pow => [(0.25, 3.0), (-2.0, 2.0)],
        Scalar::Atan2 => [(0.25, 2.0), (-2.0, 2.0)],
        Scalar::Tan => [(-1.25, 1.25); 2],
        Scalar::Shl | Scalar::Shr => [(-1000.0, 1000.0), (0.0, 40.0)],
        _ => [(-2.0, 2.0); 2],
    }
}

fn sample(op: &'static OpDef, sampler: &mut Sampler) -> Sample {
    let rank = sampler.int(0, 3) as usize;
    let shape = sampler.shape(rank);
    let scalar = scalar_of(op);
    let def = scalar.def();
    let dtype = match def.signature {
        Signature::Float => DType::Real,
        Signature::Number | Signature::Compare | Signature::Order | Signature::Select => {
            *sampler.pick(&[DType::Real, DType::Real, DType::I64, DType::I32])
        }
        Signature::Int => *sampler.pick(&[DType::I64, DType::U32, DType::I8]),
        Signature::Bits => *sampler.pick(&[DType::Bool, DType::I64, DType::U8]),
    };
    let mut operands = vec![Type::new(dtype, shape); def.arity];
    if def.signature == Signature::Select {
        operands[0].dtype = DType::Bool;
    }
    let domains = domains(scalar);
    let domain = |idx: usize| Domain { low: domains[idx.min(1)].0, high: domains[idx.min(1)].1 };
    Sample { domains: (0..def.arity).map(domain).collect(), operands, attrs: Attrs::none() }
}
