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
pub mod regions;
pub mod rewrite;
pub mod rows;
pub mod shrink;
pub mod values;

use tilewright::compiler::graph::{Domain, Graph, Symbol};

/// The one symbolic size of generated graphs.
pub const SIZE: &str = "N";

/// A graph and how to call it.
#[derive(Clone)]
pub struct Case {
    /// Who it is: `seed:index`, or the name of a file.
    pub name: String,
    pub graph: Graph,
    /// Where each argument is drawn from; those missing from [-2, 2].
    pub domains: Vec<(String, Domain)>,
    /// The values of `N` to run it at; one value that means nothing where there is no `N`.
    pub sizes: Vec<i64>,
    /// Infinities and NaN are among the floats of the arguments.
    pub has_specials: bool,
    pub seed: u64,
}

pub fn size_lookup(value: i64) -> impl Fn(&Symbol) -> Option<i64> {
    move |symbol| (symbol.name() == SIZE).then_some(value)
}
