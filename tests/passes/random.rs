//! Random graphs through the whole pipeline: what comes out is well formed, reads back from its text, and computes the same.
//! `RANDOM_GRAPHS=20000 cargo test --test passes random` looks longer than the default.

use std::collections::{BTreeSet, HashMap};

use tilewright::compiler::graph::rows::Rows;
use tilewright::compiler::graph::{
    Attrs, Builder, DType, Dim, Graph, Meaning, NodeId, Origin, Role, Sampler, Symbol, Type, Value,
};
use tilewright::compiler::ops;
use tilewright::compiler::passes::pipeline::PIPELINE;
use tilewright::compiler::passes::{Context, run_pipeline};

use super::{check, compare};

const SCALARS: &[&str] = &["add", "sub", "mul", "max", "min", "neg", "abs", "sin", "tanh", "sigmoid", "square", "fma"];

/// Grows a graph by applications that fit; what does not fit is not applied.
fn random(sampler: &mut Sampler) -> Graph {
    let mut graph = Graph::new("random");
    let (b, n) = (Dim::symbol("B"), Dim::symbol("N"));
    graph.sizes.declare(Symbol::new("B"), Dim::constant(1), Some(Dim::constant(9)));
    graph.sizes.declare(Symbol::new("N"), Dim::constant(2), None);
    let shapes = [vec![b.clone(), n.clone()], vec![n.clone()], vec![b.clone(), 1.into()], vec![], vec![b, 4.into(), n]];
    let mut values: Vec<Value> = Vec::new();
    for (idx, shape) in shapes.into_iter().enumerate() {
        values.push(graph.add_argument(format!("x{idx}"), Role::Data, Type::new(DType::Real, shape)));
    }
    let mut builder = Builder::new(&mut graph, Origin::default());
    for _ in 0..sampler.int(4, 40) {
        if let Some(value) = grow(&mut builder, &values, sampler) {
            values.push(value);
        }
    }
    for idx in 0..sampler.int(1, 3) {
        let value = values[values.len() - 1 - sampler.int(0, 3) as usize];
        graph.add_output(format!("y{idx}"), Role::Data, value);
    }
    graph
}

fn grow(builder: &mut Builder, values: &[Value], sampler: &mut Sampler) -> Option<Value> {
    // Later values are more likely, so that chains grow long.
    let mut pick = || {
        let (a, b) = (sampler.int(0, values.len() as i64 - 1), sampler.int(0, values.len() as i64 - 1));
        values[a.max(b) as usize]
    };
    let (x, y) = (pick(), pick());
    let ty = builder.type_of(x).clone();
    let rank = ty.rank() as i64;
    let (name, operands, attrs) = match sampler.int(0, 9) {
        0..=3 => {
            let name = *sampler.pick(SCALARS);
            let arity = match ops::find(name)?.operands {
                tilewright::compiler::graph::Operands::Fixed(names) => names.len(),
                _ => return None,
            };
            let (x, y) = broadcast_both(builder, x, y)?;
            (name, [x, y, x][..arity].to_vec(), Attrs::none())
        }
        4 => {
            let name = *sampler.pick(&["reduce_sum", "reduce_max", "softmax", "mean"]);
            let axis = sampler.int(0, (rank - 1).max(0));
            let attrs = match name {
                "softmax" => Attrs::none().with("axis", axis),
                _ => Attrs::none().with("axes", vec![axis]).with("keep", sampler.flip()),
            };
            (name, vec![x], attrs)
        }
        5 => {
            let mut axes: Vec<i64> = (0..rank).collect();
            (1..axes.len()).rev().for_each(|last| axes.swap(last, sampler.int(0, last as i64) as usize));
            ("permute", vec![x], Attrs::none().with("axes", axes))
        }
        6 => {
            let mut shape = ty.shape.clone();
            match sampler.flip() || shape.len() < 2 {
                true => shape.insert(sampler.int(0, rank) as usize, 1.into()),
                false => {
                    let last = shape.pop()?;
                    let before = shape.pop()?;
                    shape.push(&before * &last);
                }
            }
            ("reshape", vec![x], Attrs::none().with("shape", shape))
        }
        7 => {
            let value = *sampler.pick(&[0.0, 1.0, 2.0, -1.0, 0.3]);
            let attrs = Attrs::none().with("value", value).with("shape", ty.shape).with("dtype", DType::Real);
            ("fill", vec![], attrs)
        }
        8 if rank == 2 && builder.type_of(y).rank() == 2 => {
            let pattern = *sampler.pick(&["i k, k j -> i j", "i k, j k -> j i", "i j, i j -> i", "i j, i j -> j i"]);
            ("contract", vec![x, y], Attrs::none().with("pattern", pattern))
        }
        8 => ("concat", vec![x, x], Attrs::none().with("axis", -1)),
        _ => {
            let steps = vec![1; ty.rank()];
            let starts = vec![Dim::constant(0); ty.rank()];
            let mut stops = ty.shape.clone();
            if let Some(last) = stops.last_mut().filter(|last| !last.is(1)) {
                *last = &*last - 1;
            }
            ("slice", vec![x], Attrs::none().with("starts", starts).with("stops", stops).with("steps", steps))
        }
    };
    builder.apply(ops::find(name)?, &operands, attrs).ok()
}

/// Both values in one shape, if one of them can be stretched to the other's.
fn broadcast_both(builder: &mut Builder, x: Value, y: Value) -> Option<(Value, Value)> {
    let (from, to) = (builder.type_of(x).clone(), builder.type_of(y).clone());
    let broadcast = ops::find("broadcast")?;
    if from == to {
        return Some((x, y));
    }
    match builder.apply(broadcast, &[x], Attrs::none().with("shape", to.shape)) {
        Ok(x) => Some((x, y)),
        Err(_) => Some((x, builder.apply(broadcast, &[y], Attrs::none().with("shape", from.shape)).ok()?)),
    }
}

/// What the schedules ask of a group.
fn check_groups(graph: &Graph) {
    for node in graph.node_ids().map(|id| graph.node(id)).filter(|node| node.op.name == "fused") {
        let region = &node.regions[0];
        let is_inside = |id: &NodeId| region.arguments().iter().all(|argument| argument.value.node != *id);
        let members: BTreeSet<NodeId> = region.node_ids().filter(is_inside).collect();
        let is_opened = |id: &NodeId| {
            !matches!(region.node(*id).op.meaning, Meaning::Control { .. } | Meaning::Group { .. } | Meaning::Expand(_))
        };
        assert!(members.iter().all(is_opened), "{region}");
        let rows = Rows::of(region, region.outputs()[0].value, &members);
        assert!(rows.is_ok(), "{rows:?}\n{region}");
        if let Ok(rows) = rows {
            let is_single = region.outputs().len() == 1;
            let shapes = region.outputs().iter().map(|output| &region.type_of(output.value).shape);
            let is_one_shape = shapes.collect::<BTreeSet<_>>().len() == 1;
            assert!(is_single || rows.stages.is_empty() && is_one_shape, "{region}");
        }
        assert!(region.arguments().iter().all(|argument| region.n_uses(argument.value) > 0), "{region}");
    }
}

#[test]
fn random_graphs_keep_their_meaning() {
    let n_graphs = std::env::var("RANDOM_GRAPHS").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
    let mut n_fused = 0;
    for seed in 0..n_graphs {
        let graph = random(&mut Sampler::new(seed));
        check(&graph);
        let after = run_pipeline(&graph, PIPELINE, &Context::default()).unwrap_or_else(|error| panic!("{error}"));
        check(&after);
        check_groups(&after);
        n_fused += after.node_ids().filter(|&id| after.node(id).op.name == "fused").count();
        let sizes = HashMap::from([(Symbol::new("B"), 3), (Symbol::new("N"), 5)]);
        for (seed, special) in [(seed, false), (seed + 1, true)] {
            compare("precision", &graph, &after, &sizes, seed, special);
        }
    }
    assert!(n_fused as u64 > n_graphs, "only {n_fused} groups");
}

/// Each op alone, as its record samples it.
#[test]
fn every_op_keeps_its_meaning() {
    for op in ops::TABLE {
        let Some(sample) = op.sample else { continue };
        for seed in 0..6 {
            let sample = sample(op, &mut Sampler::new(seed));
            let mut graph = Graph::new(op.name);
            let operands = sample.operands.iter().enumerate();
            let operands: Vec<Value> =
                operands.map(|(idx, ty)| graph.add_argument(format!("x{idx}"), Role::Data, ty.clone())).collect();
            let node = graph.apply(op, &operands, &sample.attrs, vec![], &Origin::default()).unwrap();
            let results: Vec<Value> = graph.results(node).collect();
            for (idx, value) in results.into_iter().enumerate() {
                graph.add_output(format!("y{idx}"), Role::Data, value);
            }
            check(&graph);
            let after = run_pipeline(&graph, PIPELINE, &Context::default()).unwrap_or_else(|error| panic!("{error}"));
            check(&after);
            check_groups(&after);
            compare("precision", &graph, &after, &HashMap::new(), seed, false);
        }
    }
}
