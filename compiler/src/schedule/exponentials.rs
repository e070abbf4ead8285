//! Exponentials of what is below the largest of its row, and those of the logistic function 1 / (1 + exp(x)), as powers of
//! two: with base 2 the argument is taken apart exactly by one instruction. The quotient of the latter is the product with
//! a reciprocal, where that takes a fraction of the time; elsewhere what is multiplied by such a quotient of 1 is divided
//! itself. What is rounded to bf16 at once is made of rough powers.
//!
//! Invariant: no result is off by more than the rounding of one that is near 1, or a tenth of its own. The product with
//! 1 / ln 2 is rounded, which errs the more in relation to a result the further the argument is from zero; below zero results
//! shrink faster, and above it those of the logistic function.

use rustc_hash::FxHashSet;

use super::Loops;
use super::body::{Body, Term, TermId};
use super::tiles::Machine;
use crate::graph::{DType, Scalar};
use crate::kernel::{Builder, Value};

const LOG2_E: f64 = std::f64::consts::LOG2_E;

/// exp(scale · x) of tiles on a CPU, as a power whose exponent is `factor · x`.
#[derive(Clone, Copy)]
pub struct Power {
    scalar: Scalar,
    pub factor: f64,
}

impl Power {
    /// The scale is positive.
    pub fn of(dtype: DType, scale: f64) -> Power {
        match dtype {
            DType::F32 => Power { scalar: Scalar::Exp2, factor: scale * LOG2_E },
            _ => Power { scalar: Scalar::Exp, factor: scale },
        }
    }

    pub fn raise(self, b: &mut Builder, exponent: Value) -> Value {
        b.scalar(self.scalar, &[exponent])
    }

    /// The same for a weight beside others near 1, which is zero where it would be denormal: products with such numbers take
    /// a hundred times as long, and masks that subtract some number, as Swin's do, make many of them.
    pub fn weight(self, b: &mut Builder, exponent: Value) -> Value {
        let power = self.raise(b, exponent);
        let ty = b.type_of(power).clone();
        let least = match (self.scalar, ty.dtype) {
            (Scalar::Exp2, _) => f64::from(f32::MIN_EXP - 1),
            (_, DType::F32) => f64::from(f32::MIN_POSITIVE).ln(),
            _ => f64::MIN_POSITIVE.ln(),
        };
        let [least, zero] = [least, 0.0].map(|number| b.constant(ty.clone(), number));
        let is_denormal = b.scalar(Scalar::Lt, &[exponent, least]);
        b.scalar(Scalar::Select, &[is_denormal, zero, power])
    }
}

/// The same in the body of loops.
pub fn by_powers_of_two(mut loops: Loops, machine: &Machine) -> Loops {
    let mut roots = loops.roots();
    let needed = loops.body.needed(&roots);
    let (mut powers, quotients) = logistic(&loops.body, &needed, &roots);
    powers.extend(needed.iter().filter(|&&id| is_below_largest(&loops, id)));
    if powers.is_empty() {
        return loops;
    }
    let products = products(&loops.body, &needed, &roots, &quotients);
    let is_rounded = |id: &&TermId| is_rounded(&loops.body, &needed, &roots, **id);
    let rough: FxHashSet<TermId> = powers.iter().filter(is_rounded).copied().collect();
    let mut body = Body::default();
    loops.body.map_to(&mut body, &mut roots, |body, id, term| match &term {
        Term::Apply(_, args) if powers.contains(&id) => {
            let (of, factor) = match body.term(args[0]) {
                Term::Apply(Scalar::Neg, args) => (args[0], -LOG2_E),
                _ => (args[0], LOG2_E),
            };
            let factor = body.constant(DType::F32, factor);
            let exponent = body.apply(Scalar::Mul, &[of, factor]);
            body.apply(if rough.contains(&id) { Scalar::RoughExp2 } else { Scalar::Exp2 }, &[exponent])
        }
        Term::Apply(_, sides) if quotients.contains(&id) && !machine.divides => {
            let inverse = body.apply(Scalar::Recip, &sides[1..]);
            if is_one(body, sides[0]) { inverse } else { body.apply(Scalar::Mul, &[sides[0], inverse]) }
        }
        Term::Apply(Scalar::Mul, sides) if products.contains(&id) && machine.divides => {
            let (of, divisor) = match (body.term(sides[0]), body.term(sides[1])) {
                (_, &Term::Apply(Scalar::Div, ref inverse)) if is_one(body, inverse[0]) => (sides[0], inverse[1]),
                (&Term::Apply(Scalar::Div, ref inverse), _) => (sides[1], inverse[1]),
                _ => return body.add(term, loops.body.dtype(id)),
            };
            body.apply(Scalar::Div, &[of, divisor])
        }
        _ => body.add(term, loops.body.dtype(id)),
    });
    loops.body = body;
    loops.set_roots(&roots);
    loops
}

/// Products with those of the quotients of 1 that nothing else takes.
fn products(body: &Body, needed: &[TermId], roots: &[TermId], quotients: &FxHashSet<TermId>) -> FxHashSet<TermId> {
    let is_inverse = |id: &&TermId| match body.term(**id) {
        Term::Apply(Scalar::Div, sides) => quotients.contains(id) && is_one(body, sides[0]) && !roots.contains(id),
        _ => false,
    };
    let product = |&id: &TermId| match users(body, needed, id)[..] {
        [user] => matches!(body.term(user), Term::Apply(Scalar::Mul, sides) if sides[0] != sides[1]).then_some(user),
        _ => None,
    };
    needed.iter().filter(is_inverse).filter_map(product).collect()
}

/// Whether all that is made of the quotients of a power is rounded to bf16.
fn is_rounded(body: &Body, needed: &[TermId], roots: &[TermId], power: TermId) -> bool {
    let users = |id: TermId| if roots.contains(&id) { Vec::new() } else { users(body, needed, id) };
    let is_rounded = |&id: &TermId| matches!(body.term(id), Term::Cast(_)) && body.dtype(id) == DType::BF16;
    let [sum] = users(power)[..] else { return false };
    let all = |ids: Vec<TermId>, is: &dyn Fn(&TermId) -> bool| !ids.is_empty() && ids.iter().all(is);
    let is_product = |&id: &TermId| matches!(body.term(id), Term::Apply(Scalar::Mul, _)) && all(users(id), &is_rounded);
    all(users(sum), &|&quotient| all(users(quotient), &|id| is_rounded(id) || is_product(id)))
}

fn users(body: &Body, needed: &[TermId], id: TermId) -> Vec<TermId> {
    let uses = |user: &&TermId| {
        let mut uses = false;
        body.term(**user).for_each_operand(&mut |operand| uses |= operand == id);
        uses
    };
    needed.iter().filter(uses).copied().collect()
}

/// Exponentials of which nothing but a sum with 1 is taken, that divides and does nothing else; and the quotients.
fn logistic(body: &Body, needed: &[TermId], roots: &[TermId]) -> (FxHashSet<TermId>, FxHashSet<TermId>) {
    let users = |id: TermId| users(body, needed, id);
    let (mut powers, mut quotients) = (FxHashSet::default(), FxHashSet::default());
    for &id in needed {
        let is_exponential = matches!(body.term(id), Term::Apply(Scalar::Exp, _)) && body.dtype(id) == DType::F32;
        let [sum] = (if is_exponential { users(id) } else { Vec::new() })[..] else { continue };
        let Term::Apply(Scalar::Add, sides) = body.term(sum) else { continue };
        let divided = users(sum);
        let divides = |user: &TermId| matches!(body.term(*user), Term::Apply(Scalar::Div, sides) if sides[1] == sum && sides[0] != sum);
        let is_plain = !roots.contains(&id) && !roots.contains(&sum);
        if is_plain
            && sides.iter().any(|&side| is_one(body, side))
            && !divided.is_empty()
            && divided.iter().all(divides)
        {
            powers.insert(id);
            quotients.extend(divided);
        }
    }
    (powers, quotients)
}

fn is_one(body: &Body, id: TermId) -> bool {
    matches!(body.term(id), Term::Const(number) if number.value() == 1.0)
}

/// `exp(x - y)` where y is made of the largest x.
fn is_below_largest(loops: &Loops, id: TermId) -> bool {
    let body = &loops.body;
    let Term::Apply(Scalar::Exp, args) = body.term(id) else { return false };
    let Term::Apply(Scalar::Sub, sides) = body.term(args[0]) else { return false };
    let is_largest = |id: &TermId| match *body.term(*id) {
        Term::Reduced(stage) => {
            let stage = &loops.stages[stage];
            stage.combine == Scalar::Max && stage.element == sides[0]
        }
        _ => false,
    };
    body.dtype(id) == DType::F32 && body.needed(&sides[1..]).iter().any(is_largest)
}
