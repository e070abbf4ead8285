//! Rules on values that are the same along axes: fills and broadcasts.
//!
//! Each is exact: the same scalar functions meet the same elements, only fewer times.

use super::Expr::Old;
use super::{Expr, Number, Rule, Site, fill};
use crate::graph::{Attrs, Dim, Type, Value};
use crate::passes::facts;

#[rustfmt::skip]
pub static RULES: &[Rule] = &[
    Rule { name: "move-fill", equation: "broadcast, reshape, permute, slice of fill(v) => fill(v)", exact: "always",
        ops: &["broadcast", "reshape", "permute", "slice"], rewrite: move_fill },
    Rule { name: "constant-fill", equation: "constant(all v) => fill(v)",
        exact: "v is exact in 64 bits of float; rank 0 stays a constant", ops: &["constant"], rewrite: constant_fill },
    Rule { name: "fill-fits", equation: "cast(fill(v), t) => fill(v, t)", exact: "t holds v", ops: &["cast"],
        rewrite: cast_fill },
    Rule { name: "reshape-broadcast", equation: "reshape(broadcast(x, s), t) => broadcast(x, t)", exact: "x has one element",
        ops: &["reshape"], rewrite: reshape_broadcast },
    Rule { name: "hoist-broadcast", equation: "f(broadcast(a, s), broadcast(b, s)) => broadcast(f(a, b), s)",
        exact: "f works element by element; a and b have one shape, or one element",
        ops: &[], rewrite: hoist_broadcast },
];

/// A value that is `fill`, or a constant of rank 0 under a broadcast.
fn uniform(site: &Site, value: Value) -> Option<f64> {
    match site.graph.node(value.node).op.name {
        "fill" | "constant" => site.number(value)?.as_float(),
        _ => None,
    }
}

fn move_fill(site: &Site) -> Option<Expr> {
    Some(fill(uniform(site, site.operands[0])?, site.ty()))
}

fn constant_fill(site: &Site) -> Option<Expr> {
    let tensor = site.attrs().tensor("value");
    tensor.uniform_float().filter(|_| !tensor.shape.is_empty()).map(|value| fill(value, site.ty()))
}

fn cast_fill(site: &Site) -> Option<Expr> {
    let value = uniform(site, site.operands[0])?;
    let same = Number::new(site.ty().dtype, value).as_float() == Some(value);
    (same && site.ty().rank() > 0).then(|| fill(value, site.ty()))
}

fn has_one_element(ty: &Type) -> bool {
    ty.shape.iter().all(|dim| dim.is(1))
}

fn reshape_broadcast(site: &Site) -> Option<Expr> {
    let below = site.defined_by(site.operands[0], "broadcast")?;
    let x = below.operands[0];
    let shape = site.ty().shape.clone();
    has_one_element(site.type_of(x)).then(|| {
        let scalar = match site.type_of(x).rank() {
            0 => Old(x),
            _ => Expr::Apply("reshape", vec![Old(x)], Attrs::none().with("shape", Vec::<Dim>::new())),
        };
        Expr::Apply("broadcast", vec![scalar], Attrs::none().with("shape", shape))
    })
}

fn hoist_broadcast(site: &Site) -> Option<Expr> {
    let source = |&value: &Value| site.defined_by(value, "broadcast").map(|below| below.operands[0]);
    let sources: Vec<Option<Value>> = site.operands.iter().map(source).collect();
    let widest = sources.iter().flatten().max_by_key(|&&x| usize::from(!has_one_element(site.type_of(x))))?;
    if !facts::is_elementwise(site.graph, site.id) {
        return None;
    }
    let small = site.type_of(*widest).shape.clone();
    let mut operands = Vec::new();
    for (&value, source) in site.operands.iter().zip(&sources) {
        operands.push(match (source, uniform(site, value)) {
            (Some(x), _) if site.type_of(*x).shape == small => Old(*x),
            (Some(x), _) if site.type_of(*x).rank() == 0 => {
                Expr::Apply("broadcast", vec![Old(*x)], Attrs::none().with("shape", small.clone()))
            }
            (None, Some(number)) => fill(number, &site.type_of(value).with_shape(small.clone())),
            _ => return None,
        });
    }
    let hoisted = Expr::Apply(site.op(), operands, site.attrs().clone());
    Some(Expr::Apply("broadcast", vec![hoisted], Attrs::none().with("shape", site.ty().shape.clone())))
}
