//! The parser that pest makes of `grammar.pest`.
//!
//! Invariant: it reads laid-out text only (see `front::layout`), and only text whose brackets match and
//! nest within bounds, for it recurses at every bracket.

#[derive(pest_derive::Parser)]
#[grammar = "front/grammar.pest"]
pub struct Grammar;
