//! The front end: spec text becomes a syntax tree, and a tree's text one canonical layout.
//!
//! Invariant: text flows one way. `scan` sees characters, `brackets` and `layout` decide what nests and
//! which newlines count, `grammar.pest` reads the result, `parse` builds the tree; spans are offsets into
//! the original text throughout.

pub mod ast;
mod brackets;
pub mod elaborate;
pub mod format;
mod habits;
mod layout;
pub mod load;
pub mod parse;
pub mod presets;
mod scan;

#[cfg(test)]
mod tests;
