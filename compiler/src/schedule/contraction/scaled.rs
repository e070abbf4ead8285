//! Contractions of small integers with scales (`dequantize` in both factors), group by group: the products of a group are
//! summed exactly, as integers in words, and scaled once.
//!
//! ```text
//! Σ_k (q_k · s_g) ((u_k − z) · t_g)   =   Σ_g s_g · t_g · (Σ q_k · u_k − z · Σ q_k)      g the group of k
//! ```
//! Invariant: the last summed axis of the nest counts groups; a symbol after the last axis counts the steps in a group, each
//! of as many positions as lie in one word of the weight. What is read at a position is what the nest before read there.

use super::block::Block;
use super::depth::Stretch;
use crate::graph::{Atom, DType, Dim, Scalar};
use crate::kernel::{Builder, Span, Type, Value, lane};
use crate::schedule::Loops;
use crate::schedule::body::{Body, Load, Position, Term, TermId};
use crate::schedule::emit::Tile;

/// Bytes of a word.
const WORD: i64 = 4;
/// By how much signed bytes are moved where a machine multiplies unsigned ones only: their first bit is turned.
const OFFSET: i64 = 128;

#[derive(Clone, Debug, PartialEq)]
pub struct Scaled {
    /// Words of the factor with the rows that one step takes, of i8.
    rows: Vec<TermId>,
    /// The word of the other, of i8, of u8 or of twice as many numbers of four bits.
    columns: TermId,
    pub is_signed: bool,
    /// Of the rows, and of the columns.
    pub scales: [TermId; 2],
    /// What stands for zero in the other factor.
    zero: i64,
    pub n_steps: i64,
}

/// A factor: integers, less `zero`, times a scale.
struct Factor<'a> {
    load: &'a Load,
    dtype: DType,
    /// For numbers of four bits, by how much a byte is shifted.
    shift: Option<&'a Dim>,
    zero: i64,
    scale: TermId,
}

impl Factor<'_> {
    fn of(loops: &Loops, factor: TermId) -> Option<Factor<'_>> {
        let body = &loops.body;
        let Term::Apply(Scalar::Mul, args) = body.term(factor) else { return None };
        let (mut number, scale) = (args[0], args[1]);
        let (Term::Load(_), DType::F32) = (body.term(scale), body.dtype(scale)) else { return None };
        let mut zero = 0;
        if let Term::Apply(Scalar::Sub, args) = body.term(number)
            && let Term::Const(by) = body.term(args[1])
        {
            (number, zero) = (args[0], by.value() as i64);
        }
        let Term::Cast(integer) = *body.term(number) else { return None };
        let (byte, shift) = match body.term(integer) {
            Term::Apply(Scalar::And, args) => (args[0], Some(args[1])),
            _ => (integer, None),
        };
        let factor = |byte: TermId, shift| match body.term(byte) {
            Term::Load(load) => Some(Factor { load, dtype: body.dtype(byte), shift, zero, scale }),
            _ => None,
        };
        let Some(mask) = shift else { return factor(byte, None) };
        let is_low = matches!(body.term(mask), Term::Const(mask) if mask.value() == 15.0);
        let Term::Apply(Scalar::Shr, args) = body.term(byte) else { return None };
        let (Term::Cast(byte), Term::Cast(by), true) = (body.term(args[0]), body.term(args[1]), is_low) else {
            return None;
        };
        match body.term(*by) {
            Term::Index(by) => factor(*byte, Some(by)),
            _ => None,
        }
    }

    /// Positions along the summed axis that one word holds.
    fn per_word(&self) -> i64 {
        if self.shift.is_some() { 2 * WORD } else { WORD }
    }
}

/// The nest group by group, if both factors are scaled integers whose words lie as the machine takes them.
pub fn scaled(loops: &Loops) -> Option<(Loops, Scaled)> {
    let [reduce] = loops.stages.as_slice() else { return None };
    let k = loops.axes.len().checked_sub(1)?;
    let Term::Apply(Scalar::Mul, factors) = loops.body.term(reduce.element) else { return None };
    let [a, b] = [Factor::of(loops, factors[0])?, Factor::of(loops, factors[1])?];
    let (rows, columns) = if loops.moves(factors[0], loops.n_parallel.checked_sub(1)?) { (b, a) } else { (a, b) };
    let is_signed = columns.dtype == DType::I8;
    let has_bytes = (rows.dtype, rows.zero) == (DType::I8, 0) && (is_signed || columns.dtype == DType::U8);
    if k < loops.n_parallel || !has_bytes {
        return None;
    }
    let group = group_of(loops, columns.scale, k).or(loops.axes[k].as_constant())?;
    let (n_groups, step) = (loops.axes[k].exact_div(&Dim::constant(group))?, columns.per_word());
    let n_steps = (group % step == 0).then_some(group / step)?;
    let mut grouped = loops.clone();
    grouped.axes[k] = n_groups;
    for (axis, extent) in [(k, grouped.axes[k].clone()), (k + 1, Dim::constant(n_steps))] {
        grouped.ranges.remove(&Loops::symbol(axis));
        grouped.ranges.declare(Loops::symbol(axis), Dim::constant(0), Some(&extent - 1));
    }
    let steps = Steps { loops, grouped: &grouped, k, group, step };
    let mut body = Body::default();
    let row_words = (0..step / WORD).map(|word| steps.word(&mut body, &rows, word * WORD));
    let row_words = row_words.collect::<Option<Vec<TermId>>>()?;
    let column_word = steps.word(&mut body, &columns, 0)?;
    if columns.shift.is_some() && !steps.has_halves(&columns) {
        return None;
    }
    let scales = [steps.scale(&mut body, rows.scale)?, steps.scale(&mut body, columns.scale)?];
    let element = body.add(Term::Dot(columns.dtype, [row_words[0], column_word]), DType::F32);
    let stored = loops.body.copy_to(&mut body, loops.stored, &Dim::clone);
    let scaled = Scaled { rows: row_words, columns: column_word, is_signed, scales, zero: columns.zero, n_steps };
    grouped.stages[0].element = element;
    (grouped.stored, grouped.body) = (stored, body);
    Some((grouped, scaled))
}

/// The divisor of the summed axis in the index of a scale.
fn group_of(loops: &Loops, scale: TermId, k: usize) -> Option<i64> {
    let Term::Load(load) = loops.body.term(scale) else { return None };
    let own = Dim::from(&Loops::symbol(k));
    let dims = load.index.iter().filter_map(|at| if let Position::Dim(dim) = at { Some(dim) } else { None });
    let mut atoms = dims.flat_map(|dim| dim.terms()).flat_map(|(monomial, _)| monomial);
    atoms.find_map(|(atom, _)| match atom {
        Atom::FloorDiv(of, by) if *of == own => by.as_constant(),
        _ => None,
    })
}

struct Steps<'a> {
    loops: &'a Loops,
    grouped: &'a Loops,
    k: usize,
    group: i64,
    step: i64,
}

impl Steps<'_> {
    /// An index expression at a position of a step.
    fn at(&self, dim: &Dim, position: i64) -> Dim {
        let own = Loops::symbol(self.k);
        // A single step is the first.
        let n_before = if self.step < self.group { self.step } else { 0 };
        let step = &Dim::from(&Loops::symbol(self.k + 1)) * n_before;
        let at = &(&(&Dim::from(&own) * self.group) + &step) + position;
        self.grouped.ranges.simplify(&dim.substitute(&|symbol| (*symbol == own).then(|| at.clone())))
    }

    fn load_at(&self, load: &Load, position: i64) -> Option<Load> {
        let mut load = load.clone();
        for at in &mut load.index {
            match at {
                Position::Dim(dim) => *dim = self.at(dim, position),
                Position::Term(_) => return None,
            }
        }
        load.guards.iter_mut().for_each(|guard| *guard = self.at(guard, position));
        Some(load)
    }

    /// The word from a position on, if its bytes are those of the positions that follow.
    fn word(&self, body: &mut Body, factor: &Factor, position: i64) -> Option<TermId> {
        let first = self.load_at(factor.load, position)?;
        for further in 1..WORD {
            let mut wanted = first.clone();
            let Some(Position::Dim(last)) = wanted.index.last_mut() else { return None };
            *last = &*last + further;
            if self.load_at(factor.load, position + further)? != wanted {
                return None;
            }
        }
        (first.otherwise.value() == 0.0).then(|| body.add(Term::Load(first), DType::U32))
    }

    /// The second word of positions lies in the upper halves of the first word's bytes.
    fn has_halves(&self, factor: &Factor) -> bool {
        (0..WORD).all(|position| {
            let is_same = self.load_at(factor.load, position) == self.load_at(factor.load, position + WORD);
            let shift = |position| factor.shift.map(|by| self.at(by, position));
            is_same && shift(position) == Some(Dim::constant(0)) && shift(position + WORD) == Some(Dim::constant(4))
        })
    }

    /// A scale, if it is that of the whole group.
    fn scale(&self, body: &mut Body, scale: TermId) -> Option<TermId> {
        let Term::Load(load) = self.loops.body.term(scale) else { return None };
        let load = self.load_at(load, 0)?;
        let term = Term::Load(load);
        (!term.mentions(&Loops::symbol(self.k + 1))).then(|| body.add(term, DType::F32))
    }
}

impl Block<'_> {
    /// The sums so far, and those of a stretch of groups.
    pub(super) fn multiply_scaled(
        &self,
        b: &mut Builder,
        scaled: &Scaled,
        (row, n_rows): (&Dim, u64),
        (column_start, guarded): (&Dim, bool),
        k: &Stretch,
        sum: Value,
    ) -> Value {
        let sums = k.each(b, "k", &[sum], &mut |b, at, _, carried| {
            let mut at = at.to_vec();
            self.set_row(&mut at, &(row + &lane(0)));
            at[self.plan.column_axis] = column_start + &lane(1);
            let guards = self.column_guard(guarded, &at);
            let tile =
                |at: Vec<Dim>| Tile::new(self.loops, self.operands, at, vec![n_rows, self.width], guards.clone());
            let zeros = |b: &mut Builder, width: u64| b.constant(Type::new(DType::I32, [n_rows, width]), 0.0);
            let inits = [zeros(b, self.width), zeros(b, self.machine.lanes)];
            let sums = b.for_loop(Span::new("w", 0, scaled.n_steps, 1), &inits, |b, step, sums| {
                let at: Vec<Dim> = at.iter().chain([step]).cloned().collect();
                self.ask_ahead(b, n_rows, &at, column_start, scaled.n_steps);
                let mut tile = tile(at);
                self.products(b, scaled, &mut tile, n_rows, [sums[0], sums[1]]).to_vec()
            });
            // All lanes of the sums of rows are equal.
            let of_rows = b.reduce(Scalar::Max, sums[1], 1);
            let zero = if scaled.is_signed { scaled.zero + OFFSET } else { scaled.zero };
            let zero = b.constant(b.type_of(of_rows).clone(), zero as f64);
            let excess = b.scalar(Scalar::Mul, &[of_rows, zero]);
            let shape = [n_rows, self.width];
            let excess = b.broadcast(excess, shape);
            let exact = b.scalar(Scalar::Sub, &[sums[0], excess]);
            let exact = b.cast(exact, DType::F32);
            let mut tile = tile(at);
            let [rows, columns] = scaled.scales.map(|scale| {
                let scale = tile.value(b, scale);
                b.broadcast(scale, shape)
            });
            let by_row = b.scalar(Scalar::Mul, &[exact, rows]);
            vec![b.scalar(Scalar::Fma, &[by_row, columns, carried[0]])]
        });
        sums[0]
    }

    /// One step: the sums of products, and the sums of the rows' numbers.
    fn products(
        &self,
        b: &mut Builder,
        scaled: &Scaled,
        tile: &mut Tile,
        n_rows: u64,
        [mut sum, mut of_rows]: [Value; 2],
    ) -> [Value; 2] {
        let word = tile.value(b, scaled.columns);
        let ty = b.type_of(word).clone();
        let columns = match scaled.rows.len() {
            1 if scaled.is_signed => {
                let offset = b.constant(ty, f64::from(0x8080_8080_u32));
                vec![b.scalar(Scalar::Xor, &[word, offset])]
            }
            1 => vec![word],
            _ => {
                let [low, four] = [0x0f0f_0f0f, 4].map(|number| b.constant(ty.clone(), f64::from(number)));
                let upper = b.scalar(Scalar::Shr, &[word, four]);
                [word, upper].map(|halves| b.scalar(Scalar::And, &[halves, low])).to_vec()
            }
        };
        let ones = b.constant(Type::new(DType::U32, [1, self.machine.lanes]), f64::from(0x0101_0101));
        for (&row, column) in scaled.rows.iter().zip(columns) {
            let row = tile.value(b, row);
            let row = b.broadcast(row, [n_rows, 1]);
            sum = b.dot(DType::U8, sum, row, column);
            of_rows = b.dot(DType::U8, of_rows, row, ones);
        }
        [sum, of_rows]
    }
}
