//! Rules that let contractions absorb transpositions: their patterns name axes, so the order costs nothing to change.
//!
//! Each is exact in the sense of a contraction: the order of the sum is the implementation's anyway.

use super::Expr::Old;
use super::{Expr, Rule, Site};
use crate::graph::Attrs;

#[rustfmt::skip]
pub static RULES: &[Rule] = &[
    Rule { name: "contract-permuted", equation: "contract(permute(a, p), b, \"x, y -> z\") => contract(a, b, \"p⁻¹ x, y -> z\")",
        exact: "always", ops: &["contract"], rewrite: contract_permuted },
    Rule { name: "permute-contract", equation: "permute(contract(a, b, \"x, y -> z\"), p) => contract(a, b, \"x, y -> p z\")",
        exact: "the contraction has no other user", ops: &["permute"], rewrite: permute_contract },
    Rule { name: "contract-broadcast", equation: "contract(a, broadcast(b), \"x, n y -> z\") => contract(a, b, \"x, y -> z\")",
        exact: "the new axes n are in x and in z, and b is not stretched", ops: &["contract"], rewrite: contract_broadcast },
];

/// The axes of the operands, then of the result; `None` for patterns with more than names.
fn axes_of(pattern: &str) -> Option<Vec<Vec<&str>>> {
    let (operands, result) = pattern.split_once("->")?;
    let lists = operands.split(',').chain([result]);
    let lists: Vec<Vec<&str>> = lists.map(|list| list.split_whitespace().collect()).collect();
    let is_name = |name: &&str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    (lists.len() == 3 && lists.iter().flatten().all(is_name)).then_some(lists)
}

/// The contraction's attributes with another pattern.
fn with_pattern(attrs: &Attrs, lists: &[Vec<&str>]) -> Attrs {
    let text: Vec<String> = lists.iter().map(|list| list.join(" ")).collect();
    attrs.clone().with("pattern", format!("{}, {} -> {}", text[0], text[1], text[2]))
}

fn contract_permuted(site: &Site) -> Option<Expr> {
    let pattern = site.attrs().str("pattern");
    let mut lists = axes_of(&pattern)?;
    let mut operands = site.operands.clone();
    for (list, operand) in lists.iter_mut().zip(&mut operands) {
        let Some(below) = site.defined_by(*operand, "permute") else { continue };
        let axes = below.permutation();
        if axes.len() != list.len() {
            return None;
        }
        for (name, &axis) in list.clone().into_iter().zip(&axes) {
            list[axis] = name;
        }
        *operand = below.operands[0];
    }
    let operands: Vec<Expr> = (operands != site.operands).then(|| operands.into_iter().map(Old).collect())?;
    Some(Expr::Apply("contract", operands, with_pattern(site.attrs(), &lists)))
}

fn contract_broadcast(site: &Site) -> Option<Expr> {
    let pattern = site.attrs().str("pattern");
    let mut lists = axes_of(&pattern)?;
    let mut operands = site.operands.clone();
    for idx in 0..2 {
        let Some(below) = site.defined_by(operands[idx], "broadcast") else { continue };
        let x = below.operands[0];
        let (from, to) = (&site.type_of(x).shape, &below.ty().shape);
        let (new, kept) = lists[idx].split_at(to.len() - from.len());
        let elsewhere = new.iter().all(|name| lists[1 - idx].contains(name) && lists[2].contains(name));
        if to.ends_with(from) && elsewhere {
            (lists[idx], operands[idx]) = (kept.to_vec(), x);
        }
    }
    let operands: Vec<Expr> = (operands != site.operands).then(|| operands.into_iter().map(Old).collect())?;
    Some(Expr::Apply("contract", operands, with_pattern(site.attrs(), &lists)))
}

fn permute_contract(site: &Site) -> Option<Expr> {
    let below = site.defined_by(site.operands[0], "contract").filter(|_| site.n_uses(site.operands[0]) == 1)?;
    let pattern = below.attrs().str("pattern");
    let mut lists = axes_of(&pattern)?;
    if lists[2].len() != site.ty().rank() {
        return None;
    }
    lists[2] = site.permutation().into_iter().map(|axis| lists[2][axis]).collect();
    Some(Expr::Apply(
        "contract",
        below.operands.iter().copied().map(Old).collect(),
        with_pattern(below.attrs(), &lists),
    ))
}
