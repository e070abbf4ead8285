//! A random graph from a seed and an index.
//!
//! Values are computed while the graph grows, at one value of its size: an op is only applied where its results stay tame,
//! so that what comes out of a deep graph is still worth comparing.

use tilewright::compiler::graph::{Dim, Domain, Graph, Role, Sampler, Symbol, Value};

use super::grow::{Garden, Known};
use super::{Case, ONES, SYMBOLS, Sizes, values};

/// Graphs are run at all of these if they have symbolic sizes; they grow at the first.
const SIZES: &[&[Sizes]] = &[
    &[[5, 3], [1, 1], [2, 9], [17, 1]],
    &[[7, 7], [1, 5], [16, 2], [33, 8]],
    &[[13, 2], [1, 16], [3, 3]],
    &[[4, 6], [1, 2], [31, 4]],
];

pub fn case(seed: u64, index: u64) -> Case {
    let mut sampler = Sampler::new(seed ^ index.wrapping_mul(0xD6E8_FEB8_6659_FD93));
    let is_symbolic = sampler.int(0, 2) == 0;
    let sizes = if is_symbolic { *sampler.pick(SIZES) } else { &[ONES] };
    let mut graph = Graph::new("main");
    if is_symbolic {
        for name in SYMBOLS {
            graph.sizes.declare(Symbol::new(name), Dim::constant(1), Some(Dim::constant(64)));
        }
    }
    let case_seed = sampler.next();
    let has_specials = sampler.int(0, 15) == 0;
    let mut garden = Garden::new(graph, case_seed, sizes[0], is_symbolic, has_specials);
    let n_nodes = sampler.int(1, 6) * sampler.int(1, 5);
    garden.grow(&mut sampler, n_nodes as usize, 0);
    choose_outputs(&mut garden, &mut sampler);
    let name = format!("{seed}:{index}");
    let Garden { graph, domains, .. } = garden;
    Case { name, graph, domains, sizes: sizes.to_vec(), has_specials, seed: case_seed }
}

/// Values that nothing reads, a few of the others, and new values of the states.
fn choose_outputs(garden: &mut Garden, sampler: &mut Sampler) {
    let is_argument = |graph: &Graph, value: Value| graph.arguments().iter().any(|argument| argument.value == value);
    let unread = |known: &&Known| garden.graph.n_uses(known.value) == 0 && !is_argument(&garden.graph, known.value);
    let mut outputs: Vec<Value> = garden.known.iter().filter(unread).map(|known| known.value).collect();
    outputs.retain(|_| sampler.int(0, 9) > 0);
    for _ in 0..sampler.int(0, 2) {
        outputs
            .extend(garden.known.get(sampler.int(0, garden.known.len() as i64 - 1) as usize).map(|known| known.value));
    }
    if outputs.is_empty() {
        outputs.extend(garden.known.last().map(|known| known.value));
    }
    for (idx, value) in outputs.into_iter().enumerate() {
        garden.graph.add_output(format!("y{idx}"), Role::Data, value);
    }
    let states: Vec<_> = garden.graph.arguments().iter().filter(|a| a.role == Role::State).cloned().collect();
    for state in states {
        let ty = garden.graph.type_of(state.value).clone();
        let fits = |known: &&Known| *garden.graph.type_of(known.value) == ty && known.value != state.value;
        let fitting: Vec<Value> = garden.known.iter().filter(fits).map(|known| known.value).collect();
        let new = if fitting.is_empty() { state.value } else { *sampler.pick(&fitting) };
        garden.graph.add_output(state.name.clone(), Role::State, new);
    }
}

/// The domain of a value that becomes an argument: the range it was seen in.
pub fn domain_of(tensor: &tilewright::compiler::graph::Tensor) -> Domain {
    let (low, high) = values::extent(tensor);
    match low.is_finite() && high.is_finite() && low < high {
        true => Domain { low, high },
        false => values::DEFAULT_DOMAIN,
    }
}
