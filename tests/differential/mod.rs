//! Random whole graphs: generated, interpreted, run through every pass and both backends, compared, shrunk, counted.
//!
//! Invariant: a case is a function of its seed and index, or of the text of a file; nothing else decides what is checked.

pub mod apart;
pub mod attention;
pub mod campaign;
pub mod check;
pub mod compare;
pub mod coverage;
pub mod file;
pub mod generate;
pub mod gradients;
pub mod grow;
pub mod images;
pub mod machine;
pub mod motifs;
pub mod noise;
pub mod products;
pub mod regions;
pub mod rewrite;
pub mod rows;
pub mod shrink;
pub mod values;

use tilewright::compiler::graph::{Domain, Graph, Symbol};

/// The symbolic sizes of generated graphs.
pub const SYMBOLS: [&str; 2] = ["N", "M"];

/// What the symbolic sizes are in a call.
pub type Sizes = [i64; 2];

/// Where no size matters.
pub const ONES: Sizes = [1; 2];

/// A graph and how to call it.
#[derive(Clone)]
pub struct Case {
    /// Who it is: `seed:index`, or the name of a file.
    pub name: String,
    pub graph: Graph,
    /// Where each argument is drawn from; those missing from [-2, 2].
    pub domains: Vec<(String, Domain)>,
    /// The sizes to run it at; one that means nothing where no size is symbolic.
    pub sizes: Vec<Sizes>,
    /// Infinities and NaN are among the floats of the arguments.
    pub has_specials: bool,
    pub seed: u64,
}

pub fn size_lookup(sizes: Sizes) -> impl Fn(&Symbol) -> Option<i64> {
    move |symbol| SYMBOLS.iter().position(|name| symbol.name() == *name).map(|at| sizes[at])
}

/// Sizes as text: `N = 5, M = 1`.
pub fn listed(sizes: Sizes) -> String {
    let each: Vec<String> = SYMBOLS.iter().zip(sizes).map(|(name, size)| format!("{name} = {size}")).collect();
    each.join(", ")
}
