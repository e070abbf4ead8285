//! Rules on ops that only move elements: identities, and pairs that are one.
//!
//! Each is exact: the same elements end in the same places. Compositions do not ask for a single user, since the new op
//! costs what the old one did.

use super::Expr::Old;
use super::{Expr, Rule, Site, is_unit};
use crate::graph::{Attrs, Dim, Type, Value};
use crate::seeded::{Fault, is};

#[rustfmt::skip]
pub static RULES: &[Rule] = &[
    Rule { name: "same-shape", equation: "reshape(x, shape of x), broadcast(x, shape of x) => x", exact: "always",
        ops: &["reshape", "broadcast"],
        rewrite: |s| (s.type_of(s.operands[0]) == s.ty()).then(|| Old(s.operands[0])) },
    Rule { name: "reshape-reshape", equation: "reshape(reshape(x, s), t) => reshape(x, t)", exact: "always",
        ops: &["reshape"], rewrite: |s| through(s, "reshape") },
    Rule { name: "broadcast-broadcast", equation: "broadcast(broadcast(x, s), t) => broadcast(x, t)", exact: "always",
        ops: &["broadcast"], rewrite: |s| through(s, "broadcast") },
    Rule { name: "broadcast-only-units", equation: "broadcast(x, [1, .., shape of x]) => reshape(x, [1, .., shape of x])",
        exact: "always", ops: &["broadcast"], rewrite: broadcast_only_units },
    Rule { name: "broadcast-drops-units", equation: "broadcast(reshape(x, [1, .., shape of x]), t) => broadcast(x, t)",
        exact: "always", ops: &["broadcast"], rewrite: broadcast_drops_units },
    Rule { name: "reshape-adds-units", equation: "reshape(broadcast(x, s), [1, .., s]) => broadcast(x, [1, .., s])",
        exact: "always", ops: &["reshape"], rewrite: reshape_adds_units },
    Rule { name: "permute-identity", equation: "permute(x, 0 1 2 ..) => x", exact: "always", ops: &["permute"],
        rewrite: |s| s.permutation().into_iter().eq(0..s.ty().rank()).then(|| Old(s.operands[0])) },
    Rule { name: "permute-permute", equation: "permute(permute(x, p), q) => permute(x, p after q)", exact: "always",
        ops: &["permute"], rewrite: permute_permute },
    Rule { name: "permute-merged-permute", equation: "permute(reshape(permute(x, p), s), q) => reshape(permute(x, q after p), q of s)",
        exact: "the reshape only merges neighbouring axes, and has no other user", ops: &["permute"], rewrite: permute_merged },
    Rule { name: "permute-units", equation: "permute(x, p) => reshape(x)", exact: "p moves only axes of size one",
        ops: &["permute"], rewrite: permute_units },
    Rule { name: "slice-all", equation: "slice(x, 0..size step 1) => x", exact: "always", ops: &["slice"],
        rewrite: slice_all },
    Rule { name: "slice-slice", equation: "slice(slice(x, a..b step r), c..d step s) => slice(x, a + c r..a + (d - 1) r + 1 step r s)",
        exact: "r and s are positive, and the sizes are seen to agree", ops: &["slice"], rewrite: slice_slice },
    Rule { name: "slice-update", equation: "slice(update(x, p, a), a..a + size) => p", exact: "p has that size along the axis",
        ops: &["slice"], rewrite: slice_update },
    Rule { name: "pad-nothing", equation: "pad(x, 0, 0) => x", exact: "always", ops: &["pad"],
        rewrite: |s| ["low", "high"].iter().all(|name| s.attrs().dims(name).iter().all(|dim| dim.is(0))).then(|| Old(s.operands[0])) },
    Rule { name: "pad-pad", equation: "pad(pad(x, a, b, v), c, d, v) => pad(x, a + c, b + d, v)",
        exact: "no amount is negative, and the values have the same bits", ops: &["pad"], rewrite: pad_pad },
    Rule { name: "concat-one", equation: "concat(x) => x", exact: "always", ops: &["concat"],
        rewrite: |s| (s.operands.len() == 1).then(|| Old(s.operands[0])) },
    Rule { name: "concat-concat", equation: "concat(.., concat(x, y), ..) => concat(.., x, y, ..)",
        exact: "the axes agree, and the inner one has no other user", ops: &["concat"], rewrite: concat_concat },
    Rule { name: "concat-empty", equation: "concat(.., x, ..) => concat(.., ..)", exact: "x has size 0 along the axis",
        ops: &["concat"], rewrite: concat_empty },
    Rule { name: "reduce-units", equation: "reduce(x, axes) => reshape(x)",
        exact: "every axis has size one, but for the sign of a zero", ops: REDUCTIONS, rewrite: reduce_units },
    Rule { name: "reduce-reduce", equation: "reduce(reduce(x, a), b) => reduce(x, a and b)",
        exact: "up to the order of a sum; one combination, axes kept in both or in neither, no other user, and not where short \
                rows of a group are left of many",
        ops: REDUCTIONS, rewrite: reduce_reduce },
];

/// Neighbours that fill half of the widest vector, or less of it.
const SHORT: i64 = 8;
/// Those that fill several.
const LONG: i64 = 64;
/// Elements that are worth a step of their own.
const MANY: i64 = 4096;

const REDUCTIONS: &[&str] = &["reduce_sum", "reduce_prod", "reduce_max", "reduce_min", "reduce_any", "reduce_all"];

/// The same op on the operand of an inner one.
fn through(site: &Site, inner: &str) -> Option<Expr> {
    let below = site.defined_by(site.operands[0], inner)?;
    Some(Expr::Apply(site.graph.node(site.id).op.name, vec![Old(below.operands[0])], site.attrs().clone()))
}

fn reshape(x: Value, ty: &Type) -> Expr {
    Expr::Apply("reshape", vec![Old(x)], Attrs::none().with("shape", ty.shape.clone()))
}

/// `long` is `short` behind axes of size one.
fn adds_units(short: &[Dim], long: &[Dim]) -> bool {
    long.len() > short.len() && long.ends_with(short) && long[..long.len() - short.len()].iter().all(is_unit)
}

fn broadcast_only_units(site: &Site) -> Option<Expr> {
    let x = site.operands[0];
    adds_units(&site.type_of(x).shape, &site.ty().shape).then(|| reshape(x, site.ty()))
}

fn broadcast_drops_units(site: &Site) -> Option<Expr> {
    let below = site.defined_by(site.operands[0], "reshape")?;
    let x = below.operands[0];
    adds_units(&site.type_of(x).shape, &below.ty().shape)
        .then(|| Expr::Apply("broadcast", vec![Old(x)], site.attrs().clone()))
}

fn reshape_adds_units(site: &Site) -> Option<Expr> {
    let below = site.defined_by(site.operands[0], "broadcast")?;
    adds_units(&below.ty().shape, &site.ty().shape).then(|| {
        Expr::Apply("broadcast", vec![Old(below.operands[0])], Attrs::none().with("shape", site.ty().shape.clone()))
    })
}

fn permute_permute(site: &Site) -> Option<Expr> {
    let below = site.defined_by(site.operands[0], "permute")?;
    let (first, then) = match is(Fault::PermutesComposeBackwards) {
        true => (site.permutation(), below.permutation()),
        false => (below.permutation(), site.permutation()),
    };
    let both: Vec<i64> = then.iter().map(|&axis| first[axis] as i64).collect();
    Some(Expr::Apply("permute", vec![Old(below.operands[0])], Attrs::none().with("axes", both)))
}

/// What lies in the merged axes goes with them, as when an image that was put together from its channels is turned.
fn permute_merged(site: &Site) -> Option<Expr> {
    let merged = site.defined_by(site.operands[0], "reshape").filter(|_| site.n_uses(site.operands[0]) == 1)?;
    let first = merged.defined_by(merged.operands[0], "permute").filter(|_| site.n_uses(merged.operands[0]) == 1)?;
    let parts = parts_of_merged(&first.ty().shape, &merged.ty().shape)?;
    let order = first.permutation();
    let axes = site.permutation().into_iter().flat_map(|axis| parts[axis].clone());
    let axes: Vec<i64> = axes.map(|axis| order[axis] as i64).collect();
    let turned = Expr::Apply("permute", vec![Old(first.operands[0])], Attrs::none().with("axes", axes));
    Some(Expr::Apply("reshape", vec![turned], Attrs::none().with("shape", site.ty().shape.clone())))
}

/// The axes that each new one is made of, if each is the product of some neighbours.
fn parts_of_merged(from: &[Dim], to: &[Dim]) -> Option<Vec<std::ops::Range<usize>>> {
    let (mut parts, mut next) = (Vec::with_capacity(to.len()), 0);
    for whole in to {
        let start = next;
        let mut product = Dim::constant(1);
        while product != *whole || next == start {
            product = &product * from.get(next)?;
            next += 1;
        }
        parts.push(start..next);
    }
    (next == from.len()).then_some(parts)
}

fn permute_units(site: &Site) -> Option<Expr> {
    let shape = &site.type_of(site.operands[0]).shape;
    let moved: Vec<usize> = site.permutation().into_iter().filter(|&axis| !is_unit(&shape[axis])).collect();
    moved.is_sorted().then(|| reshape(site.operands[0], site.ty()))
}

fn steps(site: &Site) -> Vec<i64> {
    match site.attrs().get("steps") {
        Some(_) => site.attrs().ints("steps"),
        None => vec![1; site.ty().rank()],
    }
}

fn slice_all(site: &Site) -> Option<Expr> {
    let (starts, stops) = (site.attrs().dims("starts"), site.attrs().dims("stops"));
    let whole = steps(site).iter().all(|&step| step == 1)
        && starts.iter().all(|start| start.is(0))
        && stops == site.type_of(site.operands[0]).shape;
    whole.then(|| Old(site.operands[0]))
}

fn slice_slice(site: &Site) -> Option<Expr> {
    let below = site.defined_by(site.operands[0], "slice")?;
    let (inner, outer) = (steps(&below), steps(site));
    if inner.iter().chain(&outer).any(|&step| step <= 0) {
        return None;
    }
    let (inner_starts, starts) = (below.attrs().dims("starts"), site.attrs().dims("starts"));
    let stops = site.attrs().dims("stops");
    let (mut new_starts, mut new_stops, mut new_steps) = (Vec::new(), Vec::new(), Vec::new());
    for axis in 0..starts.len() {
        let (step, base) = (inner[axis], &inner_starts[axis]);
        let scale = if is(Fault::SlicesForgetTheStep) { 1 } else { step };
        new_starts.push(base + &(&starts[axis] * scale));
        new_stops.push(&(base + &((&stops[axis] - 1) * step)) + 1);
        new_steps.push(step.checked_mul(outer[axis])?);
    }
    let attrs = Attrs::none().with("starts", new_starts).with("stops", new_stops).with("steps", new_steps);
    Some(Expr::Apply("slice", vec![Old(below.operands[0])], attrs))
}

fn slice_update(site: &Site) -> Option<Expr> {
    let below = site.defined_by(site.operands[0], "update")?;
    let [x, piece, at] = below.operands[..] else { return None };
    let along = below.call(|call| call.axis("axis", call.operand(0).rank()).ok())?;
    let at = below.number(at)?.as_float().filter(|at| at.fract() == 0.0 && (0.0..1e15).contains(at))?;
    let (shape, part) = (&site.type_of(x).shape, &site.type_of(piece).shape);
    let (mut starts, mut stops) = (vec![Dim::constant(0); shape.len()], shape.clone());
    starts[along] = Dim::constant(at as i64);
    stops[along] = &starts[along] + &part[along];
    // A start from which the piece would leave the tensor is moved.
    let is_inside = site.graph.sizes.proves_le(&stops[along], &shape[along]);
    let is_it = steps(site).iter().all(|&step| step == 1)
        && site.attrs().dims("starts") == starts
        && site.attrs().dims("stops") == stops;
    (is_inside && is_it).then_some(Old(piece))
}

fn pad_pad(site: &Site) -> Option<Expr> {
    let below = site.defined_by(site.operands[0], "pad")?;
    let sizes = &site.graph.sizes;
    let mut attrs = below.attrs().clone();
    for name in ["low", "high"] {
        let (inner, outer) = (below.attrs().dims(name), site.attrs().dims(name));
        if !inner.iter().chain(&outer).all(|amount| sizes.proves_le(&Dim::constant(0), amount)) {
            return None;
        }
        let sum: Vec<Dim> = inner.iter().zip(&outer).map(|(a, b)| a + b).collect();
        attrs.set(name, sum.into());
    }
    let same = below.attrs().float("value").to_bits() == site.attrs().float("value").to_bits();
    (same || is(Fault::PadsIgnoreValues)).then(|| Expr::Apply("pad", vec![Old(below.operands[0])], attrs))
}

fn concat_axis(site: &Site) -> Option<usize> {
    site.call(|call| call.axis("axis", call.operand(0).rank()).ok())
}

fn concat_concat(site: &Site) -> Option<Expr> {
    let axis = concat_axis(site)?;
    let mut operands = Vec::new();
    for &x in &site.operands {
        match site.defined_by(x, "concat").filter(|below| concat_axis(below) == Some(axis) && site.n_uses(x) == 1) {
            Some(below) => operands.extend(below.operands.iter().copied().map(Old)),
            None => operands.push(Old(x)),
        }
    }
    (operands.len() > site.operands.len()).then(|| Expr::Apply("concat", operands, site.attrs().clone()))
}

fn concat_empty(site: &Site) -> Option<Expr> {
    let axis = concat_axis(site)?;
    let full: Vec<Expr> =
        site.operands.iter().filter(|&&x| !site.type_of(x).shape[axis].is(0)).map(|&x| Old(x)).collect();
    let shrinks = !full.is_empty() && full.len() < site.operands.len();
    shrinks.then(|| Expr::Apply("concat", full, site.attrs().clone()))
}

fn reduce_units(site: &Site) -> Option<Expr> {
    let x = site.operands[0];
    let shape = &site.type_of(x).shape;
    let axes = site.call(|call| call.axes("axes", shape.len()).ok())?;
    axes.iter().all(|&axis| is_unit(&shape[axis])).then(|| match site.type_of(x) == site.ty() {
        true => Old(x),
        false => reshape(x, site.ty()),
    })
}

/// Whether the last axis is short and stays, with others before it, while many are combined: rows of several groups, which
/// fill vectors together as none does alone.
fn is_of_long_rows(shape: &[Dim], combined: &[usize]) -> bool {
    let size = |axes: &dyn Fn(&usize) -> bool| {
        Dim::product((0..shape.len()).filter(axes).map(|axis| &shape[axis])).as_constant()
    };
    let row = size(&|axis| combined.last().is_some_and(|last| axis > last));
    let last = shape.last().and_then(Dim::as_constant);
    last.is_some_and(|last| last <= SHORT)
        && row.is_some_and(|row| row >= LONG)
        && size(&|axis| combined.contains(axis)).is_none_or(|combined| combined >= MANY)
}

fn reduce_reduce(site: &Site) -> Option<Expr> {
    let below = site.defined_by(site.operands[0], site.op()).filter(|_| site.n_uses(site.operands[0]) == 1)?;
    let keep = site.attrs().bool("keep");
    if below.attrs().bool("keep") != keep {
        return None;
    }
    let axes_of = |site: &Site| site.call(|call| call.axes("axes", call.operand(0).rank()).ok());
    let (inner, outer) = (axes_of(&below)?, axes_of(site)?);
    let shape = &site.type_of(below.operands[0]).shape;
    let rank = shape.len();
    if !inner.contains(&(rank - 1)) && is_of_long_rows(shape, &inner) {
        return None;
    }
    let left: Vec<usize> = (0..rank).filter(|axis| keep || !inner.contains(axis)).collect();
    let mut axes: Vec<i64> = inner.iter().map(|&axis| axis as i64).collect();
    axes.extend(outer.iter().map(|&axis| left[axis] as i64).filter(|axis| !inner.contains(&(*axis as usize))));
    axes.sort_unstable();
    let attrs = Attrs::none().with("axes", axes).with("keep", keep);
    Some(Expr::Apply(site.op(), vec![Old(below.operands[0])], attrs))
}
