//! The grammar's refusals in words.
//!
//! Invariant: a message names what was expected and what was found as a user would, never a rule of the
//! grammar; it stands at the first character that cannot belong to any reading of the text.

use pest::error::{Error, ErrorVariant, InputLocation};

use super::grammar::Rule;
use super::recover::Piece;
use super::{Region, Source};
use crate::diag::{Diagnostic, Span, suggest};
use crate::front::brackets::{ITEM_WORDS, closer_of};
use crate::front::scan::Kind;

/// Rules that can be expected, in the order in which they are told; the first that fits wins.
#[rustfmt::skip]
const EXPECTED: &[(Rule, &str)] = &[
    (Rule::ty, "a type"),
    (Rule::ty_field, "a type"),
    (Rule::dim, "a size"),
    (Rule::params, "`(` and the parameters"),
    (Rule::param, "a parameter, `name: type`"),
    (Rule::pattern, "a name or a tuple of names"),
    (Rule::imported, "a name to import"),
    (Rule::use_path, "what to import from, such as `nn` or `./unet`"),
    (Rule::turn, "the name of a step"),
    (Rule::place, "an index"),
    (Rule::element, "a value"),
    (Rule::argument, "a value"),
    (Rule::expr, "a value"),
    (Rule::carry, "`carry name = start`"),
    (Rule::bound, "`at most` and a bound"),
    (Rule::block, "`{`"),
    (Rule::k_in, "`in`"),
    (Rule::update, "`over` and what to update"),
    (Rule::k_over, "`over` and what to update"),
    (Rule::k_using, "`using` and an optimizer"),
    (Rule::name, "a name"),
];

const RESERVED: &[&str] = &[
    "use", "const", "fn", "module", "model", "train", "let", "if", "else", "for", "in", "loop", "while", "scan",
    "carry", "where", "and", "or", "not", "true", "false", "new",
];

/// Words a statement or an entry may start with.
const LEADING_WORDS: &[&str] = &["let", "for", "fn", "minimize", "metric", "assert", "step", "loop", "if"];

/// Where a refusal stands, between two tokens of its region.
struct Place {
    before: Option<usize>,
    /// The token that did not fit; `None` at the end of the region.
    found: Option<usize>,
    /// The innermost bracket of the region around it.
    inside: Option<usize>,
    span: Span,
}

impl Source<'_> {
    pub fn explain(&mut self, region: &Region, piece: Piece, failure: &Error<Rule>) {
        let offset = match failure.location {
            InputLocation::Pos(at) | InputLocation::Span((at, _)) => at,
        };
        let rules: &[Rule] = match &failure.variant {
            ErrorVariant::ParsingError { positives, .. } => positives,
            ErrorVariant::CustomError { .. } => &[],
        };
        let place = self.place(region, self.bytes(region).start + offset);
        if self.is_excused(&place) {
            return;
        }
        let diagnostic = self.describe(region, piece, &place, rules);
        self.diagnostics.push(diagnostic);
    }

    fn place(&self, region: &Region, offset: usize) -> Place {
        let code = |at: &usize| self.tokens[*at].is_code();
        let fits = |at: &usize| self.tokens[*at].end <= offset;
        let before = region.clone().filter(code).take_while(fits).last();
        let found = region.clone().filter(code).find(|at| !fits(at));
        let inside = match (found, before) {
            (Some(at), _) => self.brackets.inside[at],
            (None, Some(at)) => self.brackets.inside[at],
            _ => None,
        };
        let span = match (found, before) {
            (Some(at), _) => self.tokens[at].range(),
            // Past the last token, one character wide where the line goes on.
            (None, Some(at)) => self.tokens[at].end..self.tokens[at].end + 1,
            _ => offset..offset,
        };
        Place { before, found, inside: inside.filter(|open| region.contains(open)), span: Span::new(self.file, span) }
    }

    /// A habit that was reported on the same line explains the refusal already.
    fn is_excused(&self, place: &Place) -> bool {
        let lines = |span: Span| {
            let start = (span.start as usize).min(self.text.len());
            self.text.as_bytes()[..start].iter().rposition(|byte| *byte == b'\n')
        };
        let known = ["E0104", "E0105", "E0106", "E0108"];
        let habits = self.diagnostics.iter().filter(|found| known.contains(&found.code));
        habits.filter_map(Diagnostic::span).any(|span| lines(span) == lines(place.span))
    }

    fn describe(&self, region: &Region, piece: Piece, place: &Place, rules: &[Rule]) -> Diagnostic {
        let found = place.found.map_or("", |at| self.word(at));
        let expected = self.expected(region, piece, place, rules);
        let wants_name = rules.iter().any(|rule| matches!(rule, Rule::name | Rule::pattern | Rule::param));
        let diagnostic = if wants_name && RESERVED.contains(&found) {
            Diagnostic::error("E0116", format!("`{found}` is a reserved word"))
                .at(place.span, "cannot be a name")
                .help("choose another name, such as `{found}_`".replace("{found}", found))
        } else {
            let shown = match place.found {
                Some(at) if self.tokens[at].kind == Kind::Text => "a string".to_owned(),
                Some(_) => format!("`{found}`"),
                None => "the end of the line".to_owned(),
            };
            Diagnostic::error("E0101", format!("expected {expected}, found {shown}"))
                .at(place.span, format!("expected {expected}"))
        };
        let diagnostic = match place.inside {
            Some(open) => {
                let opener = self.word(open);
                let span = Span::new(self.file, self.tokens[open].range());
                diagnostic.also(span, format!("inside this `{opener}`"))
            }
            None => diagnostic,
        };
        match self.hint(region, piece, place, found, &expected) {
            Some(hint) => diagnostic.help(hint),
            None => diagnostic,
        }
    }

    fn expected(&self, region: &Region, piece: Piece, place: &Place, rules: &[Rule]) -> String {
        if place.before.is_none() {
            return match piece {
                Piece::Item => "an item",
                Piece::Entry => "a member, `let` or `fn`",
                Piece::Statement => "a statement",
            }
            .to_owned();
        }
        if let Some(text) = self.expected_sign(region, place) {
            return text;
        }
        let told = EXPECTED.iter().find(|(rule, _)| rules.contains(rule));
        if let Some((_, text)) = told {
            return (*text).to_owned();
        }
        match place.inside.map(|open| self.word(open)) {
            Some(opener) => format!("`,` or `{}`", closer_of(opener)),
            None => "an operator or the end of the line".to_owned(),
        }
    }

    /// Signs have no rule of their own: what stands before tells when one is due.
    fn expected_sign(&self, region: &Region, place: &Place) -> Option<String> {
        let before = place.before?;
        let is_name = self.tokens[before].kind == Kind::Word && !RESERVED.contains(&self.word(before));
        let code = |at: &usize| self.tokens[*at].is_code();
        let earlier = region.clone().filter(code).take_while(|at| *at < before).last();
        match place.inside {
            Some(open) if self.declares(open) => {
                let leads = earlier == Some(open) || earlier.is_some_and(|at| self.word(at) == ",");
                (is_name && leads).then(|| "`:` and a type".to_owned())
            }
            Some(_) => None,
            None => {
                let binds = matches!(self.word(region.start), "let" | "const" | "metric");
                let bound = region.clone().any(|at| at <= before && self.word(at) == "=");
                let due = binds && !bound && before > region.start;
                let due = due && (is_name || self.word(before) == ")");
                due.then(|| "`=`".to_owned())
            }
        }
    }

    /// Whether the parenthesis holds parameters.
    fn declares(&self, open: usize) -> bool {
        let word = open.checked_sub(2).map(|word| self.word(word));
        self.word(open) == "(" && matches!(word, Some("fn" | "module" | "model" | "train" | "step"))
    }

    fn hint(&self, region: &Region, piece: Piece, place: &Place, found: &str, expected: &str) -> Option<String> {
        let first = self.word(region.start);
        let wants_block = expected == "`{`";
        let hint = match found {
            "=" if wants_block => "`==` compares; `=` binds",
            "==" => "`=` binds; `==` compares",
            ":" if place.inside.is_none() => "blocks stand in braces: `{ … }`",
            "," if place.inside.is_none() => "what ends with its line needs no comma",
            "->" => "there are no lambdas: declare a `fn` in the block and pass its name",
            "<-" => "to compare with a negative number put a space between: `< -x`",
            "{" if piece == Piece::Item => "a `{` stands on the line of what it belongs to",
            "" if wants_block => "the `{` stands on the same line",
            _ => "",
        };
        if !hint.is_empty() {
            return Some(hint.to_owned());
        }
        let near = match piece {
            Piece::Item => suggest(first, ITEM_WORDS.iter().copied()),
            _ => suggest(first, LEADING_WORDS.iter().copied()),
        };
        if let Some(near) = near.filter(|_| place.before.is_none_or(|at| at == region.start)) {
            return Some(format!("did you mean `{near}`?"));
        }
        let hint = match piece {
            Piece::Item if place.before.is_none() => "a file holds `use`, `const`, `fn`, `module`, `model` and `train`",
            Piece::Entry if place.before.is_none_or(|at| at == region.start) => {
                "a module's body holds `name = …`, `let` and `fn`; statements go into a `fn`"
            }
            _ if self.side_by_side(place) => "is a `,` or an operator missing between the two?",
            _ => return None,
        };
        Some(hint.to_owned())
    }

    fn side_by_side(&self, place: &Place) -> bool {
        let kind = |at: Option<usize>| at.map(|at| self.tokens[at].kind);
        let is_value = |kind| matches!(kind, Some(Kind::Word | Kind::Number | Kind::Text));
        is_value(kind(place.found)) && (is_value(kind(place.before)) || kind(place.before) == Some(Kind::Close))
    }
}
