//! The front end: spec text becomes a syntax tree, and a tree's text one canonical layout.
//!
//! Invariant: text flows one way. `scan` sees characters, `layout` decides which newlines count,
//! `grammar.pest` sees the result, `parse` builds the tree; spans are offsets into the original text.

pub mod ast;
