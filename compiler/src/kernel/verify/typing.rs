//! The types of statements, and which statements a level has.

use super::access::broadcasts;
use crate::graph::{DType, Scalar};
use crate::kernel::types::matrix::{self, Matrix};
use crate::kernel::types::mma::{MmaDef, WARP};
use crate::kernel::types::*;

type Checked = Result<(), String>;

/// Operands are defined; their types and the results' must follow from the statement.
pub(super) fn check(kernel: &Kernel, stmt: &Stmt) -> Checked {
    legal(kernel.level, &stmt.op)?;
    let is_of_blocks = matches!(stmt.op, Op::Barrier | Op::Argument(Argument::Thread));
    require(!is_of_blocks || kernel.threads > 1, || "only kernels with several threads have it".into())?;
    if let Op::Mma(of, _) = stmt.op {
        MmaDef::find(of).ok_or_else(|| format!("there is no matrix product of {of}"))?;
    }
    let wanted = n_results(&stmt.op);
    if stmt.results.len() != wanted {
        return Err(format!("it has {} results, not {wanted}", stmt.results.len()));
    }
    let results: Vec<&Type> = stmt.results.iter().map(|&value| kernel.type_of(value)).collect();
    match (&stmt.op, &results[..]) {
        (Op::If(inner), _) => if_else(kernel, inner, &stmt.results),
        (Op::For(inner), _) => {
            steps(inner.step)?;
            carries(kernel, &stmt.results, [&inner.inits, &inner.params, &inner.body.yields])
        }
        (Op::Loop(inner), _) => {
            steps(inner.step)?;
            for bound in [inner.start, inner.end, inner.index] {
                is(kernel, bound, &Type::scalar(DType::I64))?;
            }
            carries(kernel, &stmt.results, [&inner.inits, &inner.params, &inner.body.yields])
        }
        (Op::Mma(of, operands), results) => mma(kernel, *of, operands, results),
        (op, []) => effect(kernel, op),
        (op, [ty, ..]) => value(kernel, op, ty),
    }
}

fn legal(level: Level, op: &Op) -> Checked {
    use Op::*;
    let own = match op {
        Const(_) | Scalar(..) | Cast(_) | Broadcast(_) | Reduce { .. } | Bitcast(_) | Dot { .. } => {
            return Ok(());
        }
        If(inner) => match inner.condition {
            Condition::Value(_) => return Ok(()),
            Condition::Guards(_) => Level::Tile,
        },
        Index(_)
        | Reshape(_)
        | Contract { .. }
        | RandomBits(_)
        | Load(..)
        | Store(..)
        | Accumulate(..)
        | Prefetch(_)
        | For(_)
        | Symbol(_) => Level::Tile,
        Argument(_)
        | Barrier
        | Lanes
        | Extract { .. }
        | Insert { .. }
        | Shuffle { .. }
        | Quotient(..)
        | Call(..)
        | LoadAt(_)
        | StoreAt(..)
        | PrefetchAt(_)
        | Mma(..)
        | Op::Matrix(_)
        | Loop(_) => Level::Loop,
    };
    if own == level { Ok(()) } else { Err("it is not a statement of this level".into()) }
}

fn n_results(op: &Op) -> usize {
    match op {
        Op::Store(..) | Op::StoreAt(..) | Op::Accumulate(..) | Op::Symbol(_) | Op::Barrier | Op::Matrix(_) => 0,
        Op::Prefetch(_) | Op::PrefetchAt(_) => 0,
        Op::For(inner) => inner.inits.len(),
        Op::Loop(inner) => inner.inits.len(),
        Op::If(inner) => inner.then.yields.len(),
        Op::Mma(of, _) => MmaDef::find(*of).map_or(0, |def| def.acc.registers.len()),
        _ => 1,
    }
}

fn value(kernel: &Kernel, op: &Op, ty: &Type) -> Checked {
    let of = |value: &Value| kernel.type_of(*value);
    match op {
        Op::Const(literal) => require(literal.fits(ty.dtype), || format!("{literal} is no {}", ty.dtype)),
        Op::Scalar(scalar, operands) => elementwise(kernel, *scalar, operands, ty),
        Op::Cast(a) => same(&of(a).shape, &ty.shape).and_then(|()| cast(kernel.level, of(a).dtype, ty.dtype)),
        Op::Bitcast(a) => {
            same(&of(a).shape, &ty.shape)?;
            require(of(a).dtype.size_of() == ty.dtype.size_of() && ty.dtype.size_of() >= 4, || {
                format!("{} and {} differ in width", of(a).dtype, ty.dtype)
            })
        }
        Op::Broadcast(a) => {
            same_dtype(of(a), ty)?;
            require(broadcasts(&of(a).shape, &ty.shape), || format!("{} does not broadcast to {ty}", of(a)))
        }
        Op::Reshape(a) => {
            same_dtype(of(a), ty)?;
            let long = |ty: &Type| ty.shape.iter().copied().filter(|&extent| extent != 1).collect::<Vec<_>>();
            require(long(of(a)) == long(ty), || format!("{} and {ty} differ in more than axes of 1", of(a)))
        }
        Op::Reduce { scalar, value, axis } => reduce(kernel.level, *scalar, of(value), *axis, ty),
        Op::Contract { acc, a, b } => contract(of(acc), of(a), of(b), ty),
        Op::Dot { of: narrow, acc, a, b } => dot(kernel.level, *narrow, [of(acc), of(a), of(b)], ty),
        Op::Index(_) => require(ty.dtype == DType::I64, || "an index is i64".into()),
        Op::RandomBits(bits) => random_bits(kernel, bits, ty),
        Op::Load(access, otherwise) => {
            loaded_type(kernel, access.memory, ty)?;
            require(otherwise.fits(ty.dtype), || format!("{otherwise} is no {}", ty.dtype))
        }
        Op::LoadAt(at) => {
            loaded_type(kernel, at.memory, ty)?;
            let is_word = kernel.memory_dtype(at.memory) != ty.dtype;
            require(!is_word || kernel.type_of(at.offset).is_scalar(), || "words lie side by side".into())?;
            place(kernel, at, ty, true)
        }
        Op::Argument(Argument::Size(at)) if *at as usize >= kernel.sizes.len() => Err("there is no such size".into()),
        Op::Argument(_) => same_type(ty, &Type::scalar(DType::I64)),
        Op::Lanes => require(!ty.is_scalar() && ty.dtype.is_int(), || "lanes are a vector of integers".into()),
        Op::Extract { value, lane } => in_vector(kernel, of(value), *lane, ty),
        Op::Insert { value, lane, scalar } => {
            same_type(of(value), ty)?;
            in_vector(kernel, ty, *lane, of(scalar))
        }
        Op::Shuffle { a, b, lanes } => shuffle([of(a), of(b)], lanes, ty),
        Op::Quotient(a, b) => {
            same_type(of(a), ty).and_then(|()| same_type(of(b), ty))?;
            require(ty.is_scalar() && ty.dtype.is_int(), || "it takes integer scalars".into())
        }
        Op::Call(scalar, operands) => call(kernel, *scalar, operands, ty),
        _ => Ok(()),
    }
}

fn random_bits(kernel: &Kernel, bits: &RandomBits, ty: &Type) -> Checked {
    is(kernel, bits.seed, &Type::scalar(DType::I64))?;
    is(kernel, bits.stream, &Type::scalar(DType::I64))?;
    if let Index::Value(value) = bits.index {
        is(kernel, value, &ty.with_dtype(DType::I64))?;
    }
    require(ty.dtype == DType::U32 && bits.word < 4, || "it gives u32, one of four words".into())
}

fn shuffle([a, b]: [&Type; 2], lanes: &[u32], ty: &Type) -> Checked {
    same_type(a, ty).and_then(|()| same_type(b, ty))?;
    require(!ty.is_scalar() && ty.dtype != DType::Bool, || "it takes vectors of numbers".into())?;
    let n_lanes = ty.n_elements();
    let is_whole = lanes.len() as u64 == n_lanes && lanes.iter().all(|&lane| u64::from(lane) < 2 * n_lanes);
    require(is_whole, || format!("it names {n_lanes} lanes below {}", 2 * n_lanes))
}

fn call(kernel: &Kernel, scalar: Scalar, operands: &[Value], ty: &Type) -> Checked {
    let float = Type::scalar(if kernel.threads > 1 { DType::F32 } else { DType::F64 });
    operands.iter().try_for_each(|&value| is(kernel, value, &float))?;
    require(operands.len() == scalar.def().arity && scalar.def().float.is_some(), || {
        format!("there is no such host function `{scalar}`")
    })?;
    same_type(ty, &float)
}

fn effect(kernel: &Kernel, op: &Op) -> Checked {
    match op {
        Op::Store(access, value) => memory_type(kernel, access.memory, kernel.type_of(*value)),
        Op::Accumulate(access, value) => {
            let ty = kernel.type_of(*value);
            require(!is_narrow_float(ty.dtype) && ty.dtype != DType::Bool, || format!("{} does not add up", ty.dtype))?;
            memory_type(kernel, access.memory, ty)
        }
        Op::StoreAt(at, value) => {
            let ty = kernel.type_of(*value);
            memory_type(kernel, at.memory, ty)?;
            place(kernel, at, ty, false)
        }
        Op::PrefetchAt(at) => place(kernel, at, &Type::scalar(kernel.memory_dtype(at.memory)), false),
        Op::Matrix(matrix) => self::matrix(kernel, matrix),
        Op::Symbol(def) => is(kernel, def.value, &Type::scalar(DType::I64)),
        _ => Ok(()),
    }
}

/// Shapes are those at run time; here is what does not depend on them.
fn matrix(kernel: &Kernel, matrix: &Matrix) -> Checked {
    require(kernel.threads == 1, || "only kernels of a CPU have it".to_string())?;
    let exists = |&register: &matrix::Register| usize::from(register) < matrix::REGISTERS;
    require(matrix.registers().iter().all(exists), || "there are eight registers".to_string())?;
    if let Matrix::Shapes(shapes) = matrix {
        let fits = |&side: &u8| u64::from(side) <= matrix::SIDE;
        return require(shapes.len() <= matrix::REGISTERS && shapes.iter().flatten().all(fits), || {
            "eight registers hold up to 16 rows of 16 words".to_string()
        });
    }
    if let Matrix::Dot { of, .. } = matrix {
        return require(matches!(of, DType::BF16 | DType::I8), || format!("there is no such product of {of}"));
    }
    let Some((place, step)) = matrix.access() else { return Ok(()) };
    for offset in [place.offset, step] {
        is(kernel, offset, &Type::scalar(DType::I64))?;
    }
    let stored = kernel.memory_dtype(place.memory);
    let is_word = matches!(stored, DType::F32 | DType::U32 | DType::I32);
    let is_narrow = matches!(stored, DType::BF16 | DType::F16 | DType::I8);
    let has_words = matches!(matrix, Matrix::Load(..)) && is_narrow;
    require(is_word || has_words, || format!("no register holds {stored}"))?;
    require(place.mask.is_none() && !place.streams, || "rows have no mask".to_string())
}

fn place(kernel: &Kernel, place: &Place, ty: &Type, load: bool) -> Checked {
    let offset = kernel.type_of(place.offset);
    let fits = offset.dtype == DType::I64 && (offset.is_scalar() || offset.shape == ty.shape);
    require(fits, || format!("{} of {offset} is no offset", place.offset))?;
    let may_stream = !load && offset.is_scalar() && !ty.is_scalar() && place.mask.is_none();
    require(!place.streams || may_stream, || "only stores of whole vectors stream".to_string())?;
    let Some(mask) = place.mask else { return Ok(()) };
    require(!ty.is_scalar(), || "a scalar access has no mask".into())?;
    is(kernel, mask.mask, &ty.with_dtype(DType::Bool))?;
    match mask.otherwise {
        Some(value) if load => is(kernel, value, ty),
        None if !load => Ok(()),
        _ => Err("a masked load has an `else`, a masked store has none".into()),
    }
}

fn elementwise(kernel: &Kernel, scalar: Scalar, operands: &[Value], ty: &Type) -> Checked {
    let types: Vec<&Type> = operands.iter().map(|&value| kernel.type_of(value)).collect();
    let dtype = scalar.result(&types.iter().map(|ty| ty.dtype).collect::<Vec<_>>())?;
    if let Some(other) = types.iter().find(|other| other.shape != ty.shape) {
        return Err(format!("operands have the result's shape: found {other} and {ty}"));
    }
    if scalar != Scalar::Select
        && let Some(narrow) = types.iter().find(|ty| is_narrow_float(ty.dtype))
    {
        return Err(format!("{} is not computed with: cast it to f32", narrow.dtype));
    }
    require(dtype == ty.dtype, || format!("`{scalar}` gives {dtype}, not {}", ty.dtype))?;
    // Those that only some targets have, on their vectors. There `scalb` gives anything for NaN times an infinite power,
    // and `fract` may be rounded down, and its zeros negative.
    let is_of_x86 = matches!(scalar, Scalar::Scalb | Scalar::Fract | Scalar::Recip);
    let is_known = is_of_x86 && *ty == Type::new(DType::F32, [16]);
    let primitive = kernel.level == Level::Tile || is_primitive(scalar) || is_known;
    require(primitive, || format!("lowering expands `{scalar}`"))
}

/// Whether every backend prints the function.
pub fn is_primitive(scalar: Scalar) -> bool {
    use Scalar::*;
    matches!(
        scalar,
        Add | Sub
            | Mul
            | Div
            | Fma
            | Neg
            | Abs
            | Min
            | Max
            | Sqrt
            | Floor
            | Ceil
            | Round
            | Trunc
            | Eq
            | Ne
            | Lt
            | Le
            | Gt
            | Ge
            | And
            | Or
            | Xor
            | Not
            | Shl
            | Shr
            | Select
    )
}

fn is_narrow_float(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16)
}

fn cast(level: Level, from: DType, to: DType) -> Checked {
    let narrow = |a: DType, b: DType| is_narrow_float(a) && b != DType::F32;
    let split = level == Level::Loop && (narrow(from, to) || narrow(to, from) || to == DType::Bool);
    require(!split, || format!("lowering expands casts from {from} to {to}"))
}

fn reduce(level: Level, scalar: Scalar, from: &Type, axis: usize, to: &Type) -> Checked {
    use Scalar::*;
    require(matches!(scalar, Add | Mul | Min | Max | And | Or), || format!("`{scalar}` does not reduce"))?;
    require(!is_narrow_float(from.dtype), || format!("{} is not computed with: cast it to f32", from.dtype))?;
    scalar.result(&[from.dtype, from.dtype])?;
    require(axis < from.shape.len(), || format!("{from} has no axis {axis}"))?;
    let mut wanted = from.clone();
    match level {
        Level::Tile => wanted.shape[axis] = 1,
        Level::Loop => wanted.shape.clear(),
    }
    same_type(to, &wanted)
}

fn contract(acc: &Type, a: &Type, b: &Type, ty: &Type) -> Checked {
    same_type(acc, ty)?;
    require(matches!(ty.dtype, DType::F32 | DType::F64), || format!("{} is not contracted", ty.dtype))?;
    same_dtype(a, ty)?;
    same_dtype(b, ty)?;
    products(acc, a, b)
}

/// R×C from R×K and K×C.
fn products(acc: &Type, a: &Type, b: &Type) -> Checked {
    let fits = match (&acc.shape[..], &a.shape[..], &b.shape[..]) {
        ([r, c], [ra, ka], [kb, cb]) => r == ra && c == cb && ka == kb,
        _ => false,
    };
    require(fits, || format!("shapes do not fit: {acc} + {a} · {b}"))
}

fn dot(level: Level, of: DType, [acc, a, b]: [&Type; 3], ty: &Type) -> Checked {
    let sum = match of {
        DType::BF16 | DType::F16 => DType::F32,
        DType::I8 | DType::U8 => DType::I32,
        _ => return Err(format!("there is no dot product of {of}")),
    };
    require(a.dtype == DType::U32 && b.dtype == DType::U32, || "its factors are words, of u32".into())?;
    require(ty.dtype == sum, || format!("it is summed in {sum}"))?;
    same_type(acc, ty)?;
    match level {
        Level::Tile => products(acc, a, b),
        Level::Loop => same(&a.shape, &ty.shape).and_then(|()| same(&b.shape, &ty.shape)),
    }
}

fn mma(kernel: &Kernel, of: DType, operands: &[Value], results: &[&Type]) -> Checked {
    let def = MmaDef::find(of).ok_or_else(|| format!("there is no matrix product of {of}"))?;
    require(kernel.threads.is_multiple_of(WARP), || format!("it takes warps of {WARP} threads"))?;
    let (found, wanted) = (operands.len(), def.n_operands());
    require(found == wanted, || format!("it takes {wanted} values, not {found}"))?;
    let (sums, words) = operands.split_at(def.acc.registers.len());
    sums.iter().try_for_each(|&value| is(kernel, value, &Type::scalar(DType::F32)))?;
    words.iter().try_for_each(|&value| is(kernel, value, &Type::scalar(DType::U32)))?;
    results.iter().try_for_each(|ty| same_type(ty, &Type::scalar(DType::F32)))
}

fn carries(kernel: &Kernel, results: &[Value], lists: [&Vec<Value>; 3]) -> Checked {
    for values in lists {
        require(values.len() == results.len(), || "it carries, yields and gives equally many values".into())?;
        for (&value, &result) in values.iter().zip(results) {
            is(kernel, value, kernel.type_of(result))?;
        }
    }
    Ok(())
}

fn if_else(kernel: &Kernel, inner: &If, results: &[Value]) -> Checked {
    if let Condition::Value(value) = inner.condition {
        is(kernel, value, &Type::scalar(DType::Bool))?;
    }
    carries(kernel, results, [&inner.then.yields, &inner.otherwise.yields, &inner.then.yields])
}

fn in_vector(kernel: &Kernel, vector: &Type, lane: u32, scalar: &Type) -> Checked {
    require(!vector.is_scalar() && lane < kernel.lanes, || format!("{vector} has no lane {lane}"))?;
    same_type(scalar, &Type::scalar(vector.dtype))
}

fn memory_type(kernel: &Kernel, memory: Memory, ty: &Type) -> Checked {
    let dtype = kernel.memory_dtype(memory);
    require(dtype == ty.dtype, || format!("`{}` holds {dtype}, not {}", kernel.memory_name(memory), ty.dtype))
}

/// A loaded value has the type of the memory, or is made of words of it.
fn loaded_type(kernel: &Kernel, memory: Memory, ty: &Type) -> Checked {
    match kernel.neighbours(memory, ty) {
        Some(_) => Ok(()),
        None => memory_type(kernel, memory, ty),
    }
}

fn steps(step: i64) -> Checked {
    require(step > 0, || "the step is positive".into())
}

fn is(kernel: &Kernel, value: Value, wanted: &Type) -> Checked {
    let known = kernel.values.get(value.0 as usize);
    require(known == Some(wanted), || match known {
        Some(found) => format!("{value} is {found}, not {wanted}"),
        None => format!("{value} is not defined here"),
    })
}

fn same_type(found: &Type, wanted: &Type) -> Checked {
    require(found == wanted, || format!("expected {wanted}, found {found}"))
}

fn same_dtype(found: &Type, wanted: &Type) -> Checked {
    require(found.dtype == wanted.dtype, || format!("{} and {} differ", found.dtype, wanted.dtype))
}

fn same(found: &[u64], wanted: &[u64]) -> Checked {
    require(found == wanted, || "operand and result have different shapes".into())
}

fn require(holds: bool, message: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(message()) }
}
