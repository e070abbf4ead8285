//! What is wrong with an item that does not parse: all of it.
//!
//! Invariant: every error found is in the smallest piece that fails by itself. A piece is read with its
//! blocks emptied, to judge what is around them; then each line of each block is a piece of its own.

use std::ops::Range;

use pest::Parser;

use super::build::Builder;
use super::grammar::{Grammar, Rule};
use super::{Region, Source};
use crate::diag::Diagnostic;

/// What a piece is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    Item,
    Entry,
    Statement,
}

impl Piece {
    fn rule(self) -> Rule {
        match self {
            Piece::Item => Rule::only_item,
            Piece::Entry => Rule::only_entry,
            Piece::Statement => Rule::only_statement,
        }
    }
}

type Failure = pest::error::Error<Rule>;

impl Source<'_> {
    /// Reports every error of an item; at least one.
    pub fn recover_item(&mut self, region: Region) {
        let before = self.diagnostics.len();
        let same_line_brace = self.word(region.start) == "{";
        if same_line_brace && !self.diagnostics.is_empty() {
            // The header before it was refused for lacking this very brace.
            return;
        }
        self.recover(&region, Piece::Item);
        let bytes = self.bytes(&region);
        let excused = self
            .diagnostics
            .iter()
            .any(|known| known.span().is_some_and(|span| bytes.contains(&(span.start as usize))));
        if self.diagnostics.len() == before && !excused {
            let span = crate::diag::Span::new(self.file, bytes);
            let diagnostic = Diagnostic::error("E0101", "this item cannot be read");
            self.diagnostics.push(diagnostic.at(span, "here"));
        }
    }

    fn recover(&mut self, region: &Region, piece: Piece) {
        let bytes = self.bytes(region);
        let failure = match self.read(&self.laid_out[bytes.clone()], piece, bytes.start) {
            Ok(found) => return self.diagnostics.extend(found),
            Err(failure) => failure,
        };
        let blocks = self.blocks(region);
        if blocks.is_empty() {
            return self.explain(region, piece, &failure);
        }
        let before = self.diagnostics.len();
        let hollow = self.hollow(&bytes, &blocks);
        match self.read(&hollow, piece, bytes.start) {
            Ok(found) => self.diagnostics.extend(found),
            Err(failure) => self.explain(region, piece, &failure),
        }
        let body = self.body(region, piece);
        for block in blocks {
            let inside = match body == Some(block.start) {
                true => Piece::Entry,
                false => Piece::Statement,
            };
            for line in self.lines(&block) {
                self.recover(&line, inside);
            }
        }
        if self.diagnostics.len() == before {
            self.explain(region, piece, &failure);
        }
    }

    /// Reads a piece for its errors alone: those of the tree, or the grammar's refusal.
    fn read(&self, text: &str, piece: Piece, base: usize) -> Result<Vec<Diagnostic>, Box<Failure>> {
        let pairs = Grammar::parse(piece.rule(), text).map_err(Box::new)?;
        let mut diagnostics = Vec::new();
        let mut builder = Builder { file: self.file, base, diagnostics: &mut diagnostics };
        if let Some(pair) = pairs.flatten().nth(1) {
            // The tree is not kept, so why it could not be built is in the diagnostics alone.
            let _ = match piece {
                Piece::Item => builder.item(pair).map(drop),
                Piece::Entry => builder.entry(pair).map(drop),
                Piece::Statement => builder.statement(pair, 0).map(drop),
            };
        }
        Ok(diagnostics)
    }

    /// The outermost blocks of a region: token indices of each `{` and its `}`. A `use` list and a
    /// schedule have braces and no statements.
    fn blocks(&self, region: &Region) -> Vec<Range<usize>> {
        let mut blocks = Vec::new();
        let mut at = region.start;
        while at < region.end {
            let close = match self.word(at) {
                "{" if !self.lists_names(region, at) => self.brackets.closed_by[at],
                _ => None,
            };
            at = match close {
                Some(close) => {
                    blocks.push(at..close);
                    close
                }
                None => at + 1,
            };
        }
        blocks
    }

    fn lists_names(&self, region: &Region, brace: usize) -> bool {
        self.word(region.start) == "use" || brace > 0 && self.word(brace - 1) == "loop"
    }

    /// The `{` of a module's body, which holds entries.
    fn body(&self, region: &Region, piece: Piece) -> Option<usize> {
        let is_module = matches!(self.word(region.start), "module" | "model" | "train" | "class" | "struct");
        let blocks = self.blocks(region);
        let body = blocks.last().map(|block| block.start);
        body.filter(|_| piece == Piece::Item && is_module)
    }

    fn hollow(&self, bytes: &Range<usize>, blocks: &[Range<usize>]) -> String {
        let mut text = String::with_capacity(bytes.len());
        let mut at = bytes.start;
        for block in blocks {
            let inner = self.tokens[block.start].end..self.tokens[block.end].start;
            text += &self.laid_out[at..inner.start];
            text.extend(inner.clone().map(|_| ' '));
            at = inner.end;
        }
        text + &self.laid_out[at..bytes.end]
    }

    /// The statements or entries of a block.
    fn lines(&self, block: &Range<usize>) -> Vec<Region> {
        self.split(block.start + 1..block.end, |at| self.ends[at] && self.brackets.inside[at] == Some(block.start))
    }
}
