//! Contractions of bf16 taken pair by pair: where the weight lies in pairs (`pack` with a depth of two), or where a machine
//! multiplies matrices of pairs. The latter of f16 too, as far as both factors lie so that a word is a pair.
//!
//! Invariant: the paired nest has half the positions along its last summed axis, and at each of them the sum of the
//! products of both. Its element is `Dot`; whatever else it computes does not change.

use crate::graph::{Atom, DType, Dim, Scalar};
use crate::schedule::Loops;
use crate::schedule::body::{Body, Load, Position, Term, TermId};

/// The nest pair by pair, if one factor lies in pairs.
pub fn paired(loops: &Loops) -> Option<Loops> {
    by_pairs(loops, false)
}

/// The nest pair by pair, if both factors are numbers of 16 bits, wherever they lie.
pub fn paired_anyhow(loops: &Loops) -> Option<Loops> {
    by_pairs(loops, true)
}

/// Whether a factor lies in pairs.
pub fn has_pairs(loops: &Loops) -> bool {
    let Some(k) = loops.axes.len().checked_sub(1) else { return false };
    let elements = loops.stages.iter().map(|stage| loops.body.term(stage.element));
    elements.into_iter().any(|term| match term {
        Term::Apply(Scalar::Mul, factors) => factors.iter().any(|&factor| lies_in_pairs(loops, factor, k)),
        _ => false,
    })
}

fn by_pairs(loops: &Loops, anyhow: bool) -> Option<Loops> {
    let [reduce] = loops.stages.as_slice() else { return None };
    let k = loops.axes.len().checked_sub(1)?;
    let half = loops.axes[k].exact_div(&Dim::constant(2)).filter(|_| k >= loops.n_parallel)?;
    let Term::Apply(Scalar::Mul, factors) = loops.body.term(reduce.element) else { return None };
    let weight = factors.iter().position(|&factor| lies_in_pairs(loops, factor, k));
    let [a, b] = [factors[0], factors[1]].map(|factor| narrow_type(loops, factor));
    let of = match weight {
        Some(weight) => [a, b][weight]?,
        None => a.filter(|_| anyhow && a == b)?,
    };
    // Two f16 become no word by arithmetic: see `Halves::factor`.
    if of == DType::F16 && !(anyhow && a == b) {
        return None;
    }
    let mut paired = loops.clone();
    paired.axes[k] = half;
    paired.ranges.remove(&Loops::symbol(k));
    paired.ranges.declare(Loops::symbol(k), Dim::constant(0), Some(&paired.axes[k] - 1));
    let mut body = Body::default();
    let halves = Halves { loops, paired: &paired, k, of };
    let words = [0, 1].map(|idx| match Some(idx) == weight {
        true => halves.word(&mut body, factors[idx]),
        false => halves.factor(&mut body, factors[idx]),
    });
    let element = body.add(Term::Dot(of, [words[0]?, words[1]?]), DType::F32);
    let stored = loops.body.copy_to(&mut body, loops.stored, &Dim::clone);
    paired.stages[0].element = element;
    (paired.stored, paired.body) = (stored, body);
    Some(paired)
}

/// The type of 16 bits that a factor is a cast of.
fn narrow_type(loops: &Loops, factor: TermId) -> Option<DType> {
    let Term::Cast(arg) = loops.body.term(factor) else { return None };
    Some(loops.body.dtype(*arg)).filter(|dtype| matches!(dtype, DType::BF16 | DType::F16))
}

/// The load of such numbers that a factor is a cast of.
fn narrow_load(loops: &Loops, factor: TermId) -> Option<&Load> {
    narrow_type(loops, factor)?;
    let Term::Cast(arg) = loops.body.term(factor) else { return None };
    if let Term::Load(load) = loops.body.term(*arg) { Some(load) } else { None }
}

/// Whether a factor is read at `[.., floordiv(k, 2), column, mod(k, 2)]`.
fn lies_in_pairs(loops: &Loops, factor: TermId, k: usize) -> bool {
    let Some(load) = narrow_load(loops, factor) else { return false };
    let Some(Position::Dim(parity)) = load.index.last() else { return false };
    let own = Dim::from(&Loops::symbol(k));
    let is_parity = matches!(parity.terms().next(), Some((monomial, 1))
        if matches!(monomial.as_slice(), [(Atom::Mod(of, by), 1)] if *of == own && by.is(2)));
    let is_pair = loops.operands[load.operand].shape.last().is_some_and(|extent| extent.is(2));
    is_parity && is_pair && parity.n_terms() == 1 && load.guards.is_empty()
}

struct Halves<'a> {
    loops: &'a Loops,
    paired: &'a Loops,
    k: usize,
    of: DType,
}

impl Halves<'_> {
    /// An index expression at the first or the second position of a pair.
    fn at(&self, dim: &Dim, second: bool) -> Dim {
        let own = Loops::symbol(self.k);
        let position = &(&Dim::from(&own) * 2) + i64::from(second);
        self.paired.ranges.simplify(&dim.substitute(&|symbol| (*symbol == own).then(|| position.clone())))
    }

    /// A factor whose pairs lie side by side, as one load.
    fn word(&self, body: &mut Body, factor: TermId) -> Option<TermId> {
        let mut load = narrow_load(self.loops, factor)?.clone();
        for position in &mut load.index {
            match position {
                Position::Dim(dim) => *dim = self.at(dim, false),
                Position::Term(_) => return None,
            }
        }
        load.guards.iter_mut().for_each(|guard| *guard = self.at(guard, false));
        Some(body.add(Term::Load(load), DType::U32))
    }

    fn factor(&self, body: &mut Body, factor: TermId) -> Option<TermId> {
        if narrow_load(self.loops, factor).is_some_and(|load| self.is_side_by_side(load))
            && let Some(word) = self.word(body, factor)
        {
            return Some(word);
        }
        if self.of != DType::BF16 {
            return None;
        }
        let halves = [false, true].map(|second| self.loops.body.copy_to(body, factor, &|dim| self.at(dim, second)));
        Some(body.add(Term::Pair(halves), DType::U32))
    }

    /// Both numbers of a pair are in the operand or neither is, and the second follows the first.
    fn is_side_by_side(&self, load: &Load) -> bool {
        let both = |dim: &Dim| [false, true].map(|second| self.at(dim, second));
        let stays = |dim: &Dim| {
            let [first, second] = both(dim);
            first == second
        };
        let Some((Position::Dim(last), before)) = load.index.split_last() else { return false };
        let [first, second] = both(last);
        load.otherwise.value() == 0.0
            && &second - &first == Dim::constant(1)
            && load.guards.iter().all(stays)
            && before.iter().all(|position| matches!(position, Position::Dim(dim) if stays(dim)))
    }
}
