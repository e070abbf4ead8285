//! Which bracket closes which, and how deep everything lies.
//!
//! Invariant: works on tokens with an explicit stack, so any nesting is safe to look at; text that
//! passes nests at most `MAX_NESTING` deep and may be given to recursive code.

use super::scan::{Kind, Token};
use crate::diag::{Diagnostic, FileId, Span};

/// How deep brackets, and headers that wait for their block, may nest.
pub const MAX_NESTING: usize = 64;

/// Words that open an item when they stand at the start of a line.
pub const ITEM_WORDS: &[&str] = &["use", "const", "fn", "module", "model", "train"];

/// Words whose block is still to come; each is one level until then.
const HEADER_WORDS: &[&str] = &["if", "loop", "scan", "for"];

#[derive(Debug, Default)]
pub struct Brackets {
    /// For each token, the open bracket it lies directly in.
    pub inside: Vec<Option<usize>>,
    /// For each open bracket that is closed, the token that closes it.
    pub closed_by: Vec<Option<usize>>,
    /// Tokens at fault; the items that hold them cannot be parsed.
    pub faults: Vec<usize>,
    /// Tokens where everything open was given up and an item was taken to start.
    pub restarts: Vec<usize>,
    pub diagnostics: Vec<Diagnostic>,
}

/// Matches all brackets. Where some do not match, an item word at the start of a line is taken to
/// start an item, whatever was open before it.
pub fn match_brackets(file: FileId, text: &str, tokens: &[Token]) -> Brackets {
    let plain = Matcher::new(file, text, tokens).run(false);
    match plain.faults.is_empty() {
        true => plain,
        false => Matcher::new(file, text, tokens).run(true),
    }
}

struct Matcher<'a> {
    file: FileId,
    text: &'a str,
    tokens: &'a [Token],
    stack: Vec<Level>,
    found: Brackets,
    /// A `{` whose `}` is indented less than its line: likely the one that lacks its own.
    suspect: Option<usize>,
    too_deep: bool,
    /// Brackets opened beyond the bound: counted, not kept.
    beyond: usize,
    /// For each token, the indent of its line, and whether it is the line's first.
    indents: Vec<(usize, bool)>,
}

/// More than a person will read; hostile input would give millions.
const MAX_FAULTS: usize = 100;

struct Level {
    open: usize,
    /// Header words met in it that still wait for their block.
    waiting: usize,
}

impl<'a> Matcher<'a> {
    fn new(file: FileId, text: &'a str, tokens: &'a [Token]) -> Matcher<'a> {
        Matcher {
            file,
            text,
            tokens,
            stack: Vec::new(),
            found: Brackets {
                inside: vec![None; tokens.len()],
                closed_by: vec![None; tokens.len()],
                ..Brackets::default()
            },
            suspect: None,
            too_deep: false,
            beyond: 0,
            indents: indents(text, tokens),
        }
    }

    fn run(mut self, resync: bool) -> Brackets {
        let mut waiting = 0;
        for (at, token) in self.tokens.iter().enumerate() {
            if resync && self.starts_item(at) {
                if !self.stack.is_empty() {
                    self.found.restarts.push(at);
                }
                self.abandon();
                waiting = 0;
            }
            self.found.inside[at] = self.stack.last().map(|level| level.open);
            match token.kind {
                Kind::Open => {
                    self.check_depth(at, waiting);
                    if self.stack.len() > MAX_NESTING {
                        self.beyond += 1;
                        continue;
                    }
                    waiting -= usize::from(waiting > 0 && self.is(at, "{"));
                    self.stack.push(Level { open: at, waiting });
                    waiting = 0;
                }
                Kind::Close if self.beyond > 0 => self.beyond -= 1,
                Kind::Close => waiting = self.close(at).unwrap_or(waiting),
                Kind::Word if HEADER_WORDS.contains(&token.text(self.text)) => {
                    waiting += 1;
                    self.check_depth(at, waiting);
                }
                Kind::Newline if !self.in_parentheses() => waiting = 0,
                _ => {}
            }
        }
        self.abandon();
        self.found
    }

    fn is(&self, at: usize, text: &str) -> bool {
        self.tokens[at].text(self.text) == text
    }

    fn span(&self, at: usize) -> Span {
        Span::new(self.file, self.tokens[at].range())
    }

    fn in_parentheses(&self) -> bool {
        let top = self.stack.last();
        top.is_some_and(|level| !self.is(level.open, "{"))
    }

    fn starts_item(&self, at: usize) -> bool {
        let token = self.tokens[at];
        let line_start = token.start == 0 || self.text.as_bytes()[token.start - 1] == b'\n';
        line_start && token.kind == Kind::Word && ITEM_WORDS.contains(&token.text(self.text))
    }

    fn check_depth(&mut self, at: usize, waiting: usize) {
        let outer: usize = self.stack.iter().map(|level| level.waiting).sum();
        if self.too_deep || self.stack.len() + outer + waiting < MAX_NESTING {
            return;
        }
        self.too_deep = true;
        let diagnostic = Diagnostic::error("E0111", "this is nested too deeply")
            .at(self.span(at), format!("more than {MAX_NESTING} levels here"))
            .help("name the inner parts with `let`, or move them to a `fn`");
        self.fault(at, diagnostic);
    }

    /// Closes the nearest bracket of the same kind; how many headers were waiting outside it.
    fn close(&mut self, at: usize) -> Option<usize> {
        let closer = self.tokens[at].text(self.text);
        let opener = opener_of(closer);
        let mut depth = None;
        for (level, entry) in self.stack.iter().enumerate().rev() {
            if self.is(entry.open, opener) {
                depth = Some(level);
                break;
            }
            // A `)` does not reach out of the block it stands in.
            if closer != "}" && self.is(entry.open, "{") {
                break;
            }
        }
        let Some(depth) = depth else {
            self.stray(at, closer);
            // A `]` in the place of a `)` was meant for it.
            let meant = self.stack.pop_if(|level| self.text[self.tokens[level.open].range()] != *"{");
            return meant.map(|level| level.waiting);
        };
        if depth + 1 < self.stack.len() {
            let open = self.stack[depth + 1].open;
            self.unclosed(open, Some(at));
        }
        let level = &self.stack[depth];
        let (open, waiting) = (level.open, level.waiting);
        self.stack.truncate(depth);
        self.found.closed_by[open] = Some(at);
        self.found.inside[at] = self.stack.last().map(|level| level.open);
        let (indent, leads) = self.indents[at];
        if closer == "}" && leads && indent < self.indents[open].0 {
            self.suspect.get_or_insert(open);
        }
        self.too_deep &= !self.stack.is_empty();
        Some(waiting)
    }

    /// Everything still open at the end of the file, or where a new item starts, is never closed.
    fn abandon(&mut self) {
        if let Some(level) = self.stack.first() {
            let outer = level.open;
            let open = match self.is(outer, "{") {
                true => self.suspect.filter(|open| *open > outer).unwrap_or(outer),
                false => outer,
            };
            self.unclosed(open, None);
        }
        self.stack.clear();
        self.suspect = None;
        self.too_deep = false;
        self.beyond = 0;
    }

    fn unclosed(&mut self, open: usize, before: Option<usize>) {
        let opener = self.tokens[open].text(self.text);
        let message = format!("this `{opener}` is never closed");
        let mut diagnostic = Diagnostic::error("E0102", message).at(self.span(open), "opened here");
        if let Some(before) = before {
            let closer = self.tokens[before].text(self.text);
            let text = format!("`{closer}` comes before its `{}`", closer_of(opener));
            diagnostic = diagnostic.also(self.span(before), text);
        }
        if self.comment_takes(open, closer_of(opener)) {
            let help = "`//` starts a comment, and the bracket that closes this one is in it";
            diagnostic = diagnostic.help(format!("{help}; the floor of a quotient is `floor_div(x, 2)`"));
        }
        self.fault(open, diagnostic);
    }

    /// Whether the comment behind a bracket, on its line, holds what would close it.
    fn comment_takes(&self, open: usize, closer: &str) -> bool {
        let line = self.tokens[open..].iter().take_while(|token| token.kind != Kind::Newline);
        let comment = line.last().filter(|token| token.kind == Kind::Comment);
        comment.is_some_and(|comment| comment.text(self.text).contains(closer))
    }

    fn stray(&mut self, at: usize, closer: &str) {
        let message = format!("this `{closer}` closes nothing");
        let mut diagnostic =
            Diagnostic::error("E0103", message).at(self.span(at), format!("no `{}` is open here", opener_of(closer)));
        if let Some(level) = self.stack.last() {
            let opener = self.tokens[level.open].text(self.text);
            let text = format!("this `{opener}` is open, and closes with `{}`", closer_of(opener));
            diagnostic = diagnostic.also(self.span(level.open), text);
        }
        self.fault(at, diagnostic);
    }

    fn fault(&mut self, at: usize, diagnostic: Diagnostic) {
        self.found.faults.push(at);
        if self.found.diagnostics.len() < MAX_FAULTS {
            self.found.diagnostics.push(diagnostic);
        }
    }
}

fn indents(text: &str, tokens: &[Token]) -> Vec<(usize, bool)> {
    let mut leads = true;
    let mut line_start = 0;
    let mut indent = 0;
    let mut indents = Vec::with_capacity(tokens.len());
    for token in tokens {
        if leads {
            indent = token.start - line_start;
        }
        indents.push((indent, leads));
        leads = token.kind == Kind::Newline;
        // A token that spans lines leaves the next one on its last.
        if let Some(newline) = text[token.range()].rfind('\n') {
            line_start = token.start + newline + 1;
        }
    }
    indents
}

fn opener_of(closer: &str) -> &'static str {
    match closer {
        ")" => "(",
        "]" => "[",
        _ => "{",
    }
}

pub fn closer_of(opener: &str) -> &'static str {
    match opener {
        "(" => ")",
        "[" => "]",
        _ => "}",
    }
}
