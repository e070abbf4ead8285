//! Text to tree: `parse_file`.
//!
//! Invariant: never panics and never stops at the first error. Each item is read on its own; one that
//! does not parse is taken apart into its entries and statements, and each wrong one is reported.

mod build;
mod explain;
mod expressions;
mod grammar;
mod literals;
mod operators;
mod recover;
mod statements;
mod types;

pub use build::MAX_DEPTH;

use std::collections::HashSet;
use std::ops::Range;

use pest::Parser;

use self::build::Builder;
use self::grammar::{Grammar, Rule};
use super::brackets::{Brackets, match_brackets};
use super::scan::{Kind, Token, scan};
use super::{ast, habits, layout};
use crate::diag::{Diagnostic, FileId, Span};

/// Larger than any spec; it keeps offsets within their 32 bits.
pub const MAX_SOURCE: usize = 16 << 20;

/// More errors than a person reads at once.
const MAX_REPORTED: usize = 100;

/// The tree of a file, without the items that have errors, and every error.
pub fn parse_file(file: FileId, text: &str) -> (ast::File, Vec<Diagnostic>) {
    let mut tree = ast::File { id: file, docs: Vec::new(), items: Vec::new() };
    if text.len() > MAX_SOURCE {
        let message = format!("a spec is at most {} MiB of text", MAX_SOURCE >> 20);
        let start = Span::new(file, 0..0);
        return (tree, vec![Diagnostic::error("E0114", message).at(start, "this one is longer")]);
    }
    let mut source = Source::prepare(file, text);
    tree.docs = source.docs();
    for region in source.items() {
        if source.is_faulty(&region) {
            continue;
        }
        match source.parse_item(&region) {
            Some(item) => tree.items.push(item),
            None if source.diagnostics.len() > MAX_REPORTED => break,
            None => source.recover_item(region),
        }
    }
    (tree, in_order(source.diagnostics))
}

fn in_order(mut diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    diagnostics.sort_by_key(|diagnostic| diagnostic.span().map_or(0, |span| span.start));
    diagnostics.dedup();
    if diagnostics.len() > MAX_REPORTED {
        let more = diagnostics.len() - MAX_REPORTED;
        diagnostics.truncate(MAX_REPORTED);
        if let Some(last) = diagnostics.pop() {
            diagnostics.push(last.with_note(format!("{more} more errors in this file")));
        }
    }
    diagnostics
}

/// A range of token indices.
type Region = Range<usize>;

/// A file on its way to the grammar.
struct Source<'a> {
    file: FileId,
    text: &'a str,
    tokens: Vec<Token>,
    brackets: Brackets,
    /// Which tokens are newlines that end a statement.
    ends: Vec<bool>,
    /// What the grammar reads; as long as `text`.
    laid_out: String,
    line_starts: Vec<usize>,
    /// The lines on which a habit was reported.
    habit_lines: HashSet<usize>,
    diagnostics: Vec<Diagnostic>,
}

impl<'a> Source<'a> {
    fn prepare(file: FileId, text: &'a str) -> Source<'a> {
        let tokens = scan(text);
        let mut brackets = match_brackets(file, text, &tokens);
        let ends = layout::statement_ends(text, &tokens, &brackets);
        let (mut diagnostics, repairs) = habits::find(file, text, &tokens, &ends, &brackets);
        let laid_out = layout::lay_out(text, &tokens, &ends, &repairs);
        let breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        let line_starts: Vec<usize> = std::iter::once(0).chain(breaks).collect();
        let spans = diagnostics.iter().filter_map(Diagnostic::span);
        let habit_lines = spans.map(|span| line_of(&line_starts, span)).collect();
        diagnostics.append(&mut brackets.diagnostics);
        brackets.faults.sort_unstable();
        Source { line_starts, habit_lines, file, text, tokens, brackets, ends, laid_out, diagnostics }
    }

    fn word(&self, at: usize) -> &'a str {
        self.tokens[at].text(self.text)
    }

    fn has_habit(&self, span: Span) -> bool {
        self.habit_lines.contains(&line_of(&self.line_starts, span))
    }

    fn docs(&self) -> Vec<String> {
        let head = self.tokens.iter().take_while(|token| !token.is_code());
        let docs = head.filter(|token| token.kind == Kind::Doc);
        let line = |token: &Token| {
            let text = &token.text(self.text)["//!".len()..];
            text.strip_prefix(' ').unwrap_or(text).to_owned()
        };
        docs.map(line).collect()
    }

    /// The items: what newlines outside of all brackets, or starts over after a bracket that is never
    /// closed, separate.
    fn items(&self) -> Vec<Region> {
        let restarts = &self.brackets.restarts;
        self.split(0..self.tokens.len(), |at| {
            self.ends[at] && self.brackets.inside[at].is_none() || restarts.binary_search(&(at + 1)).is_ok()
        })
    }

    /// The parts of a region between the tokens that separate, without those that hold no code.
    fn split(&self, region: Region, separates: impl Fn(usize) -> bool) -> Vec<Region> {
        let mut parts = Vec::new();
        let mut start = region.start;
        for at in region.clone() {
            if separates(at) {
                parts.push(start..at);
                start = at + 1;
            }
        }
        parts.push(start..region.end);
        parts.into_iter().filter_map(|part| self.trim(part)).collect()
    }

    /// The region from its first to its last token of code.
    fn trim(&self, region: Region) -> Option<Region> {
        let is_code = |at: &usize| self.tokens[*at].is_code();
        let first = region.clone().find(is_code)?;
        let last = region.rev().find(is_code)?;
        Some(first..last + 1)
    }

    fn is_faulty(&self, region: &Region) -> bool {
        let faults = &self.brackets.faults;
        let next = faults.partition_point(|fault| *fault < region.start);
        faults.get(next).is_some_and(|fault| *fault < region.end)
    }

    fn bytes(&self, region: &Region) -> Range<usize> {
        self.tokens[region.start].start..self.tokens[region.end - 1].end
    }

    /// The item, or `None` where the grammar refuses it or its tree cannot be built.
    fn parse_item(&mut self, region: &Region) -> Option<ast::Item> {
        let bytes = self.bytes(region);
        let base = bytes.start;
        let pairs = Grammar::parse(Rule::only_item, &self.laid_out[bytes]).ok()?;
        let pair = pairs.flatten().nth(1)?;
        let mut builder = Builder { file: self.file, base, diagnostics: &mut self.diagnostics };
        builder.item(pair).ok()
    }
}

fn line_of(line_starts: &[usize], span: Span) -> usize {
    line_starts.partition_point(|start| *start <= span.start as usize)
}
