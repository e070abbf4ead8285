//! Emission: terms of a body become statements on tiles.
//!
//! Invariant: a term is computed at its natural shape: an axis of the tile along which it does not vary has extent one,
//! and is repeated only where it meets a term that varies. Half-width floats are computed in f32 and rounded to their type
//! after each operation.

use rustc_hash::FxHashMap;

use super::body::{Body, Load, Position, Term, TermId};
use super::{Loops, Reduce};
use crate::graph::{Atom, DType, Dim, Ranges, Scalar, Symbol, round};
use crate::kernel::{self, Builder, Index, Memory, RandomBits, Value, lane_bounds, lane_symbol};

/// Beyond this, and below its inverse, divisors are scaled before they are inverted.
const HUGE: f64 = 18_446_744_073_709_551_616.0;

/// Where a tile lies in the iteration space, and how its terms are computed there.
pub struct Tile<'a> {
    pub loops: &'a Loops,
    pub body: &'a Body,
    /// Each axis `i0, i1, …` as an index expression over loop variables and lanes.
    pub at: Vec<Dim>,
    pub shape: Vec<u64>,
    /// Hold for the lanes that take part; each mentions a lane.
    pub guards: Vec<Dim>,
    /// Where each operand lies.
    pub operands: &'a [Memory],
    /// Terms that need not be computed: results of stages, and what was computed before.
    pub memo: FxHashMap<TermId, Value>,
    /// Terms that were stored before: they are loaded.
    pub kept: &'a [Kept],
    /// Divisors that were inverted before.
    pub inverses: FxHashMap<TermId, Inverse>,
}

/// A term that is stored for later, at these positions along the axes `i0, i1, …` and the lanes.
#[derive(Clone, Debug)]
pub struct Kept {
    pub term: TermId,
    pub memory: Memory,
    pub index: Vec<Dim>,
}

/// `x / y = x · inverse · factor`: the factor, a power of two, keeps the inverse of a `y` of any size exact.
#[derive(Clone, Copy, Debug)]
pub struct Inverse {
    pub inverse: Value,
    pub factor: Value,
}

impl<'a> Tile<'a> {
    pub fn new(loops: &'a Loops, operands: &'a [Memory], at: Vec<Dim>, shape: Vec<u64>, guards: Vec<Dim>) -> Tile<'a> {
        let (memo, inverses) = Default::default();
        Tile { loops, body: &loops.body, at, shape, guards, operands, memo, kept: &[], inverses }
    }

    /// Computes a term, in its natural shape.
    pub fn value(&mut self, b: &mut Builder, root: TermId) -> Value {
        let is_had = |id: TermId| self.memo.contains_key(&id) || self.kept.iter().any(|kept| kept.term == id);
        for id in self.body.needed_until(&[root], &is_had) {
            if !self.memo.contains_key(&id) {
                let value = match self.kept.iter().find(|kept| kept.term == id) {
                    Some(kept) => self.fetch(b, kept),
                    None => self.statement(b, id),
                };
                self.memo.insert(id, value);
            }
        }
        self.memo[&root]
    }

    /// Stores a term for later.
    pub fn keep(&mut self, b: &mut Builder, kept: &Kept) {
        let value = self.full(b, kept.term);
        let index: Vec<Dim> = kept.index.iter().map(|dim| self.place(dim)).collect();
        b.store(kept.memory, index, self.guards.clone(), value);
    }

    fn fetch(&self, b: &mut Builder, kept: &Kept) -> Value {
        let index: Vec<Dim> = kept.index.iter().map(|dim| self.place(dim)).collect();
        b.load(kept.memory, self.shape.clone(), index, self.guards.clone(), 0.0)
    }

    /// Makes divisions by a term cheap.
    pub fn invert(&mut self, b: &mut Builder, divisor: TermId) {
        let y = self.value(b, divisor);
        let ty = b.type_of(y).clone();
        let size = b.scalar(Scalar::Abs, &[y]);
        let [one, huge, tiny] = [1.0, HUGE, 1.0 / HUGE].map(|number| b.constant(ty.clone(), number));
        let is_huge = b.scalar(Scalar::Gt, &[size, huge]);
        let is_tiny = b.scalar(Scalar::Lt, &[size, tiny]);
        let factor = b.scalar(Scalar::Select, &[is_tiny, huge, one]);
        let factor = b.scalar(Scalar::Select, &[is_huge, tiny, factor]);
        let scaled = b.scalar(Scalar::Mul, &[y, factor]);
        let inverse = b.scalar(Scalar::Div, &[one, scaled]);
        self.inverses.insert(divisor, Inverse { inverse, factor });
    }

    /// Computes a term over the whole tile.
    pub fn full(&mut self, b: &mut Builder, root: TermId) -> Value {
        let value = self.value(b, root);
        b.broadcast(value, self.shape.clone())
    }

    /// Combines an element of a stage with what has been gathered: a product is added with one rounding.
    pub fn combine(mut self, b: &mut Builder, stage: &Reduce, gathered: Value) -> Value {
        let dtype = b.type_of(gathered).dtype;
        let is_known =
            self.memo.contains_key(&stage.element) || self.kept.iter().any(|kept| kept.term == stage.element);
        if let Term::Apply(Scalar::Mul, factors) = self.body.term(stage.element)
            && stage.combine == Scalar::Add
            && dtype.is_float()
            && self.body.dtype(stage.element) == dtype
            && !is_known
        {
            let [x, y] = [factors[0], factors[1]].map(|factor| self.full(b, factor));
            return b.scalar(Scalar::Fma, &[x, y, gathered]);
        }
        let element = self.full(b, stage.element);
        let element = b.cast(element, dtype);
        b.scalar(stage.combine, &[gathered, element])
    }

    fn statement(&mut self, b: &mut Builder, id: TermId) -> Value {
        let dtype = self.body.dtype(id);
        let ones = vec![1; self.shape.len()];
        match self.body.term(id).clone() {
            Term::Const(number) => match is_half(dtype) {
                true => {
                    let wide = b.constant(kernel::Type::new(DType::F32, ones), round(dtype, number.value()));
                    b.cast(wide, dtype)
                }
                false => b.constant(kernel::Type::new(dtype, ones), number.value()),
            },
            Term::Index(dim) => self.index(b, &dim),
            Term::Test(dims) => self.test(b, &dims),
            Term::Load(load) => self.load(b, &load, dtype),
            Term::Pair(halves) => self.pair(b, halves.map(|half| self.memo[&half])),
            Term::Apply(Scalar::Div, args) if self.inverses.contains_key(&args[1]) => {
                let Inverse { inverse, factor } = self.inverses[&args[1]];
                let product = self.joined(b, Scalar::Mul, &[self.memo[&args[0]], inverse]);
                self.joined(b, Scalar::Mul, &[product, factor])
            }
            Term::Apply(scalar, args) => self.apply(b, scalar, &args, dtype),
            Term::Cast(arg) => self.cast(b, self.memo[&arg], dtype),
            Term::RandomBits { seed, stream, counter, key, word } => {
                let counter = self.memo[&counter];
                let shape = b.type_of(counter).shape.clone();
                let scalar = |b: &mut Builder, value: Value| b.reshape(value, []);
                let (seed, stream) = (scalar(b, self.memo[&seed]), scalar(b, self.memo[&stream]));
                let index = Index::Value(counter);
                b.random_bits(shape, RandomBits { seed, stream, index, key, word: word as u8 })
            }
            Term::Reduced(_) => unreachable!("what uses a result is emitted after its stage"),
            Term::Dot(..) => unreachable!("only schedules of contractions make it, and sum it themselves"),
        }
    }

    /// Makes the result of a stage known.
    pub fn reduced(&mut self, b: &mut Builder, stage: usize, value: Value) {
        for id in self.body.results_of(stage) {
            let value = self.cast(b, value, self.body.dtype(id));
            self.memo.insert(id, value);
        }
    }

    pub fn place(&self, dim: &Dim) -> Dim {
        let at = |symbol: &Symbol| crate::graph::rows::axis_of(symbol).and_then(|axis| self.at.get(axis)).cloned();
        let dim = dim.substitute(&at);
        // Quotients of lanes, by the width of a panel, vanish where the lanes stay inside one.
        if !quotients_mention(&dim, &|symbol| (0..self.shape.len()).any(|axis| *symbol == lane_symbol(axis))) {
            return dim;
        }
        let mut ranges = self.loops.ranges.clone();
        for (lane, low, high) in lane_bounds(&self.shape) {
            ranges.declare(lane, low, Some(high));
        }
        ranges.simplify(&dim)
    }

    /// Where a load reads, if that does not depend on data.
    pub fn places(&self, load: &Load) -> Option<Vec<Dim>> {
        let place = |position: &Position| match position {
            Position::Dim(dim) => Some(self.place(dim)),
            Position::Term(_) => None,
        };
        load.index.iter().map(place).collect()
    }

    /// The extents of the lanes that these index expressions mention.
    fn shape_of<'d>(&self, dims: impl IntoIterator<Item = &'d Dim>) -> Vec<u64> {
        let mut shape = vec![1; self.shape.len()];
        for dim in dims {
            for (axis, extent) in shape.iter_mut().enumerate() {
                if dim.mentions(&lane_symbol(axis)) {
                    *extent = self.shape[axis];
                }
            }
        }
        shape
    }

    fn index(&self, b: &mut Builder, dim: &Dim) -> Value {
        let dim = self.place(dim);
        let shape = self.shape_of([&dim]);
        b.index(shape, dim)
    }

    fn test(&self, b: &mut Builder, dims: &[Dim]) -> Value {
        let mut all = None;
        for dim in dims {
            let value = self.index(b, dim);
            let zero = b.constant(b.type_of(value).clone(), 0.0);
            let test = b.scalar(Scalar::Ge, &[value, zero]);
            all = Some(all.map_or(test, |all| self.joined(b, Scalar::And, &[all, test])));
        }
        all.unwrap_or_else(|| b.constant(kernel::Type::new(DType::Bool, vec![1; self.shape.len()]), 1.0))
    }

    /// Two f32 that are bf16 as one word.
    fn pair(&self, b: &mut Builder, halves: [Value; 2]) -> Value {
        let [low, high] = halves.map(|half| b.bitcast(half, DType::U32));
        let sixteen = b.constant(b.type_of(low).clone(), 16.0);
        let low = b.scalar(Scalar::Shr, &[low, sixteen]);
        self.joined(b, Scalar::Or, &[low, high])
    }

    fn load(&self, b: &mut Builder, load: &Load, dtype: DType) -> Value {
        let positions: Vec<Index> = load
            .index
            .iter()
            .map(|position| match position {
                Position::Dim(dim) => Index::Dim(self.place(dim)),
                Position::Term(term) => Index::Value(b.cast(self.memo[term], DType::I64)),
            })
            .collect();
        let mut guards: Vec<Dim> = load.guards.iter().map(|guard| self.place(guard)).collect();
        let dims =
            positions.iter().filter_map(|position| if let Index::Dim(dim) = position { Some(dim) } else { None });
        let mut shape = self.shape_of(dims.chain(&guards));
        for position in &positions {
            if let Index::Value(value) = position {
                shape = joined_shape(&shape, &b.type_of(*value).shape);
            }
        }
        // A guard of the tile concerns a load only if the load varies along the lanes of the guard.
        let varies = |symbol: &Symbol| (0..shape.len()).any(|axis| shape[axis] > 1 && *symbol == lane_symbol(axis));
        for guard in &self.guards {
            let mut concerned = false;
            guard.for_each_symbol(&mut |symbol| concerned |= varies(symbol));
            if concerned && !guards.contains(guard) {
                guards.push(guard.clone());
            }
        }
        self.guard_quotients(load, &positions, &mut guards);
        let memory = self.operands[load.operand];
        match self.loops.operands[load.operand].dtype == dtype {
            true => b.load(memory, shape, positions, guards, load.otherwise.value()),
            false => b.load_words(memory, shape, positions, guards),
        }
    }

    /// Lanes that a guard of the tile leaves out may carry a quotient out of range, which no proof sees: say it outright.
    fn guard_quotients(&self, load: &Load, positions: &[Index], guards: &mut Vec<Dim>) {
        if self.guards.is_empty() {
            return;
        }
        for (position, extent) in positions.iter().zip(&self.loops.operands[load.operand].shape) {
            let Index::Dim(dim) = position else { continue };
            if crate::graph::rows::divides(dim) {
                guards.extend(
                    [dim.clone(), Builder::below(dim, extent)].into_iter().filter(|g| g.as_constant().is_none()),
                );
            }
        }
    }

    fn apply(&self, b: &mut Builder, scalar: Scalar, args: &[TermId], dtype: DType) -> Value {
        let widened = |b: &mut Builder, value: Value| match is_half(b.type_of(value).dtype) && scalar != Scalar::Select
        {
            true => b.cast(value, DType::F32),
            false => value,
        };
        let args: Vec<Value> = args.iter().map(|arg| widened(b, self.memo[arg])).collect();
        let result = self.joined(b, scalar, &args);
        b.cast(result, dtype)
    }

    /// Applies a scalar function to tiles of different natural shapes.
    fn joined(&self, b: &mut Builder, scalar: Scalar, args: &[Value]) -> Value {
        let ones = vec![1; self.shape.len()];
        let shape = args.iter().fold(ones, |shape, &arg| joined_shape(&shape, &b.type_of(arg).shape));
        let args: Vec<Value> = args.iter().map(|&arg| b.broadcast(arg, shape.clone())).collect();
        b.scalar(scalar, &args)
    }

    fn cast(&self, b: &mut Builder, value: Value, dtype: DType) -> Value {
        let from = b.type_of(value).dtype;
        match (is_half(from), is_half(dtype)) {
            // Half-width floats convert to f32 only, and from floats.
            (true, _) if dtype != DType::F32 => {
                let wide = b.cast(value, DType::F32);
                self.cast(b, wide, dtype)
            }
            (false, true) if !from.is_float() => {
                let wide = b.cast(value, DType::F32);
                b.cast(wide, dtype)
            }
            _ if dtype == DType::Bool => {
                let zero = b.constant(b.type_of(value).clone(), 0.0);
                b.scalar(Scalar::Ne, &[value, zero])
            }
            _ => b.cast(value, dtype),
        }
    }

    /// Stores a value of the whole tile at the position of the tile in the result.
    pub fn store(&self, b: &mut Builder, result: Memory, value: Value) {
        b.store(result, self.loops.place(&self.at), self.guards.clone(), value);
    }
}

/// Whether a quotient or a remainder in it mentions such a symbol.
fn quotients_mention(dim: &Dim, is_meant: &dyn Fn(&Symbol) -> bool) -> bool {
    let mut found = false;
    for atom in dim.terms().flat_map(|(monomial, _)| monomial).map(|(atom, _)| atom) {
        if let Atom::FloorDiv(a, b) | Atom::Mod(a, b) = atom {
            [a, b].into_iter().for_each(|dim| dim.for_each_symbol(&mut |symbol| found |= is_meant(symbol)));
        }
    }
    found
}

fn joined_shape(a: &[u64], b: &[u64]) -> Vec<u64> {
    a.iter().zip(b).map(|(&a, &b)| a.max(b)).collect()
}

fn is_half(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16)
}

/// Declares the sizes and buffers that every kernel of this nest has: operands, then the result.
pub fn begin(loops: &Loops) -> (Builder, Vec<Memory>, Memory) {
    let mut b = Builder::new("kernel");
    declare_sizes(&mut b, &loops.ranges, &|symbol| {
        crate::graph::rows::axis_of(symbol).is_none() && is_used(loops, &loops.roots(), symbol)
    });
    let operands = loops.operands.iter().enumerate();
    let operands =
        operands.map(|(idx, ty)| b.buffer(format!("a{idx}"), ty.dtype, ty.shape.clone(), kernel::Rights::Read));
    let operands: Vec<Memory> = operands.collect();
    let result = b.buffer("out", loops.result.dtype, loops.result.shape.clone(), kernel::Rights::Write);
    (b, operands, result)
}

/// Declares the sizes that are used, with what is known about them.
pub fn declare_sizes(b: &mut Builder, ranges: &Ranges, is_used: &dyn Fn(&Symbol) -> bool) {
    for range in ranges.iter().filter(|range| is_used(&range.symbol)) {
        let low = range.low.as_constant().unwrap_or(0);
        b.size(range.symbol.name(), low, range.high.as_ref().and_then(Dim::as_constant));
    }
}

/// Whether a size occurs in the shapes, or in what these terms need.
pub fn is_used(loops: &Loops, roots: &[TermId], symbol: &Symbol) -> bool {
    let shapes = loops
        .operands
        .iter()
        .flat_map(|ty| &ty.shape)
        .chain(&loops.result.shape)
        .chain(&loops.start)
        .chain(&loops.axes);
    shapes.into_iter().any(|dim| dim.mentions(symbol))
        || loops.body.needed(roots).into_iter().any(|id| loops.body.term(id).mentions(symbol))
}
