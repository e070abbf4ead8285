//! Rules on scalar functions, element by element.

use super::Expr::Old;
use super::{Expr, Number, Rule, Site, apply, fill};
use crate::graph::{DType, Value};
use crate::seeded::{Fault, is};

#[rustfmt::skip]
pub static RULES: &[Rule] = &[
    Rule { name: "add-zero", equation: "x + 0 => x", exact: "always, but for the sign of a zero", ops: &["add"],
        rewrite: |s| s.with_number(0.0).map(Old) },
    Rule { name: "sub-zero", equation: "x - 0 => x", exact: "always, but for the sign of a zero", ops: &["sub"],
        rewrite: |s| match is(Fault::SubZeroOnEitherSide) {
            true => s.with_number(0.0).map(Old),
            false => s.is_number(s.operands[1], 0.0).then(|| Old(s.operands[0])),
        } },
    Rule { name: "mul-one", equation: "x * 1 => x", exact: "always", ops: &["mul"],
        rewrite: |s| s.with_number(1.0).map(Old) },
    Rule { name: "mul-minus-one", equation: "x * -1 => -x", exact: "always", ops: &["mul"],
        rewrite: |s| Some(apply("neg", vec![Old(s.with_number(-1.0).filter(|_| s.ty().dtype.is_signed())?)])) },
    Rule { name: "mul-zero", equation: "x * 0 => 0", exact: "integers: a float x may be NaN or infinite", ops: &["mul"],
        rewrite: |s| s.with_number(0.0).filter(|_| s.ty().dtype.is_int()).map(|_| fill(0.0, s.ty())) },
    Rule { name: "div-one", equation: "x / 1 => x", exact: "always", ops: &["div"],
        rewrite: |s| s.is_number(s.operands[1], 1.0).then(|| Old(s.operands[0])) },
    Rule { name: "div-power-of-two", equation: "x / 2^k => x * 2^-k",
        exact: "2^k and 2^-k are normal in the type: both round the same exact value", ops: &["div"],
        rewrite: div_power_of_two },
    Rule { name: "sub-itself", equation: "x - x => 0", exact: "integers: a float x may be NaN or infinite", ops: &["sub"],
        rewrite: |s| (s.operands[0] == s.operands[1] && s.ty().dtype.is_int()).then(|| fill(0.0, s.ty())) },
    Rule { name: "add-negated", equation: "a + -b => a - b", exact: "always", ops: &["add"], rewrite: add_negated },
    Rule { name: "add-scattered", equation: "y + scatter(0, i, u) => scatter(y, i, u)",
        exact: "updates are added; no half-width floats; up to the order of the sum", ops: &["add"], rewrite: add_scattered },
    Rule { name: "sub-negated", equation: "a - -b => a + b", exact: "always", ops: &["sub"],
        rewrite: |s| Some(apply("add", vec![Old(s.operands[0]), Old(inner(s, s.operands[1], "neg")?)])) },
    Rule { name: "neg-neg", equation: "-(-x) => x", exact: "always", ops: &["neg"],
        rewrite: |s| inner(s, s.operands[0], "neg").map(Old) },
    Rule { name: "neg-sub", equation: "-(a - b) => b - a", exact: "integers wrap alike; a float difference of zero would change its sign",
        ops: &["neg"], rewrite: neg_sub },
    Rule { name: "not-not", equation: "not not x => x", exact: "always", ops: &["not"],
        rewrite: |s| inner(s, s.operands[0], "not").map(Old) },
    Rule { name: "abs-abs", equation: "| |x| | => |x|", exact: "always", ops: &["abs"],
        rewrite: |s| s.defined_by(s.operands[0], "abs").map(|_| Old(s.operands[0])) },
    Rule { name: "abs-neg", equation: "| -x | => |x|", exact: "always", ops: &["abs"],
        rewrite: |s| Some(apply("abs", vec![Old(inner(s, s.operands[0], "neg")?)])) },
    Rule { name: "same-twice", equation: "max(x, x), min(x, x), x and x, x or x => x", exact: "always",
        ops: &["max", "min", "and", "or"],
        rewrite: |s| (s.operands[0] == s.operands[1]).then(|| Old(s.operands[0])) },
    Rule { name: "and-constant", equation: "x and true => x; x and false => false", exact: "booleans", ops: &["and"],
        rewrite: |s| logic(s, 1.0) },
    Rule { name: "or-constant", equation: "x or false => x; x or true => true", exact: "booleans", ops: &["or"],
        rewrite: |s| logic(s, 0.0) },
    Rule { name: "pow-integer", equation: "x^0 => 1; x^1 => x; x^2 => x*x; x^3 => x*x*x; x^4 => (x*x)*(x*x); x^-1 => 1/x",
        exact: "up to rounding; powers of zero, NaN and infinities agree", ops: &["pow"], rewrite: pow_integer },
    Rule { name: "select-constant", equation: "select(true, a, b) => a; select(false, a, b) => b", exact: "always",
        ops: &["select"], rewrite: select_constant },
    Rule { name: "select-same", equation: "select(c, x, x) => x", exact: "always", ops: &["select"],
        rewrite: |s| (s.operands[1] == s.operands[2]).then(|| Old(s.operands[1])) },
    Rule { name: "select-not", equation: "select(not c, a, b) => select(c, b, a)", exact: "always", ops: &["select"],
        rewrite: |s| {
            let test = inner(s, s.operands[0], "not")?;
            if is(Fault::SelectNotKeepsSides) {
                return Some(apply("select", vec![Old(test), Old(s.operands[1]), Old(s.operands[2])]));
            }
            Some(apply("select", vec![Old(test), Old(s.operands[2]), Old(s.operands[1])]))
        } },
    Rule { name: "cast-same", equation: "cast(x, its own type) => x", exact: "always", ops: &["cast"],
        rewrite: |s| (s.type_of(s.operands[0]) == s.ty()).then(|| Old(s.operands[0])) },
    Rule { name: "cast-cast", equation: "cast(cast(x, t), u) => cast(x, u)",
        exact: "t holds every value of x's type; not for i32 and u32 through f64 to less than f32",
        ops: &["cast"], rewrite: cast_cast },
];

/// The operand of an op with one operand.
fn inner(site: &Site, value: Value, op: &str) -> Option<Value> {
    site.defined_by(value, op).map(|inner| inner.operands[0])
}

fn add_scattered(site: &Site) -> Option<Expr> {
    let [a, b] = site.operands[..] else { return None };
    let onto = |y: Value, scattered: Value| {
        let below = site.defined_by(scattered, "scatter")?;
        let adds = below.attrs().get("combine").is_some() && below.attrs().str("combine") == "add";
        let is_alone = site.n_uses(scattered) == 1 && below.is_number(below.operands[0], 0.0);
        let is_half = matches!(site.ty().dtype, DType::F16 | DType::BF16);
        let operands = [y].into_iter().chain(below.operands[1..].iter().copied()).map(Old).collect();
        (adds && is_alone && !is_half).then(|| Expr::Apply("scatter", operands, below.attrs().clone()))
    };
    onto(a, b).or_else(|| onto(b, a))
}

fn add_negated(site: &Site) -> Option<Expr> {
    let [a, b] = site.operands[..] else { return None };
    match (inner(site, a, "neg"), inner(site, b, "neg")) {
        (_, Some(b)) => Some(apply("sub", vec![Old(a), Old(b)])),
        (Some(a), _) => Some(apply("sub", vec![Old(b), Old(a)])),
        _ => None,
    }
}

fn neg_sub(site: &Site) -> Option<Expr> {
    let is_sole = site.ty().dtype.is_int() && site.n_uses(site.operands[0]) == 1;
    let sub = site.defined_by(site.operands[0], "sub").filter(|_| is_sole)?;
    Some(apply("sub", vec![Old(sub.operands[1]), Old(sub.operands[0])]))
}

/// A boolean combined with a constant: the neutral one leaves it, the other one wins.
fn logic(site: &Site, neutral: f64) -> Option<Expr> {
    if site.ty().dtype != DType::Bool {
        return None;
    }
    let wins = 1.0 - neutral;
    site.with_number(neutral).map(Old).or_else(|| site.with_number(wins).map(|_| fill(wins, site.ty())))
}

/// The largest k for which both 2^k and 2^-k are normal; an undecided type may become any of those with eight bits.
fn normal_exponent(dtype: DType) -> i32 {
    match dtype {
        DType::F64 => 1022,
        DType::F32 | DType::BF16 => 126,
        _ => 14,
    }
}

fn div_power_of_two(site: &Site) -> Option<Expr> {
    let Number::Float(by) = site.number(site.operands[1])? else { return None };
    let limit = 2f64.powi(normal_exponent(site.ty().dtype));
    let is_power = by.is_normal() && by.to_bits() & ((1 << 52) - 1) == 0;
    let fits = (limit.recip()..=limit).contains(&by.abs());
    (is_power && fits).then(|| apply("mul", vec![Old(site.operands[0]), fill(by.recip(), site.ty())]))
}

fn pow_integer(site: &Site) -> Option<Expr> {
    let [x, exponent] = site.operands[..] else { return None };
    let exponent = site.number(exponent)?.as_float()?;
    let square = || apply("mul", vec![Old(x), Old(x)]);
    match exponent {
        0.0 => Some(fill(1.0, site.ty())),
        1.0 => Some(Old(x)),
        2.0 => Some(square()),
        3.0 if is(Fault::CubeIsFourthPower) => Some(apply("mul", vec![square(), square()])),
        3.0 => Some(apply("mul", vec![square(), Old(x)])),
        4.0 => Some(apply("mul", vec![square(), square()])),
        -1.0 => Some(apply("div", vec![fill(1.0, site.ty()), Old(x)])),
        _ => None,
    }
}

fn select_constant(site: &Site) -> Option<Expr> {
    match site.number(site.operands[0])? {
        Number::Int(test) => Some(Old(site.operands[if test != 0 { 1 } else { 2 }])),
        Number::Float(_) => None,
    }
}

fn cast_cast(site: &Site) -> Option<Expr> {
    let between = site.defined_by(site.operands[0], "cast")?;
    let x = between.operands[0];
    let (from, through, to) = (site.type_of(x).dtype, between.ty().dtype, site.ty().dtype);
    // Integers reach narrow floats by way of f32, which rounds them once more than f64 does.
    let by_f32 = matches!(from, DType::I32 | DType::U32) && matches!(to, DType::F16 | DType::BF16 | DType::Real);
    let is_exact = holds(through, from) && !(by_f32 && through == DType::F64);
    is_exact.then(|| match from == to {
        true => Old(x),
        false => Expr::Apply("cast", vec![Old(x)], site.attrs().clone()),
    })
}

/// Every value of `small` is one of `wide`.
fn holds(wide: DType, small: DType) -> bool {
    use DType::*;
    match small {
        Bool => wide != Bool && wide != Real,
        F16 | BF16 => matches!(wide, F32 | F64),
        F32 => wide == F64,
        U8 => matches!(wide, I64 | I32 | U32 | F64 | F32 | F16),
        I8 => matches!(wide, I64 | I32 | F64 | F32 | F16 | BF16),
        I32 | U32 => matches!(wide, I64 | F64),
        F64 | I64 | Real => false,
    }
}
