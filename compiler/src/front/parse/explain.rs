//! The grammar's refusals in words.
//!
//! Invariant: a message names what was expected and what was found as a user would, never a rule of the
//! grammar; it stands at the first character that cannot belong to any reading of the text.

use pest::error::{Error, ErrorVariant, InputLocation};

use super::grammar::Rule;
use super::recover::Piece;
use super::{Region, Source};
use crate::diag::{Diagnostic, Span, suggest};
use crate::front::brackets::ITEM_WORDS;
use crate::front::scan::Kind;

/// Rules whose refusal means that a value was due.
const VALUES: &[Rule] = &[Rule::number, Rule::expr, Rule::argument, Rule::element, Rule::place, Rule::prefix];

/// What else can be due and how to say it, the most telling first.
#[rustfmt::skip]
const EXPECTED: &[(Rule, &str)] = &[
    (Rule::ty, "a type"),
    (Rule::ty_field, "a type"),
    (Rule::dim, "a size"),
    (Rule::pattern, "a name or a tuple of names"),
    (Rule::param, "a parameter, `name: type`"),
    (Rule::imported, "a name to import"),
    (Rule::use_path, "what to import from, such as `nn` or `./unet`"),
    (Rule::turn, "the name of a step"),
    (Rule::update, "`over` and what to update"),
    (Rule::k_over, "`over` and what to update"),
    (Rule::k_using, "`using` and an optimizer"),
    (Rule::carry, "`carry name = start`"),
    (Rule::k_carry, "`carry name = start`"),
    (Rule::k_at, "`at most` and a bound"),
    (Rule::k_in, "`in`"),
    (Rule::name, "a name"),
    (Rule::block, "`{`"),
    (Rule::open_brace, "`{`"),
    (Rule::equals, "`=`"),
    (Rule::comma, "`,`"),
    (Rule::close_paren, "`)`"),
    (Rule::close_square, "`]`"),
    (Rule::close_brace, "`}`"),
    (Rule::params, "`(`"),
    (Rule::colon_sign, "`:`"),
    (Rule::open_paren, "`(`"),
    (Rule::open_square, "`[`"),
];

/// What may always follow a value, and is therefore not worth telling there.
const FOLLOW_VALUES: &[Rule] = &[Rule::open_paren, Rule::open_square, Rule::colon_sign];

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
        if self.has_habit(place.span) {
            // What was reported on this line explains the refusal already.
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
            // Right behind the last token.
            (None, Some(at)) => self.tokens[at].end..self.tokens[at].end,
            _ => offset..offset,
        };
        Place { before, found, inside: inside.filter(|open| region.contains(open)), span: Span::new(self.file, span) }
    }

    fn describe(&self, region: &Region, piece: Piece, place: &Place, rules: &[Rule]) -> Diagnostic {
        let found = place.found.map_or("", |at| self.word(at));
        let expected = self.expected(piece, place, rules);
        let names = [Rule::name, Rule::pattern, Rule::param];
        let wants_name = expected != "a value" && rules.iter().any(|rule| names.contains(rule));
        let wants_name = wants_name || self.is_bound_as_name(region, place);
        if wants_name && RESERVED.contains(&found) {
            return Diagnostic::error("E0116", format!("`{found}` is a reserved word"))
                .at(place.span, "cannot be a name")
                .help(format!("choose another name, such as `{found}_`"));
        }
        let shown = match place.found {
            Some(at) if self.tokens[at].kind == Kind::Text => "a string".to_owned(),
            Some(_) => format!("`{found}`"),
            None => "the end of the line".to_owned(),
        };
        let message = format!("expected {expected}, found {shown}");
        let mut diagnostic = Diagnostic::error("E0101", message).at(place.span, format!("expected {expected}"));
        if let Some(open) = place.inside {
            let span = Span::new(self.file, self.tokens[open].range());
            diagnostic = diagnostic.also(span, format!("inside this `{}`", self.word(open)));
        }
        match self.hint(region, piece, place, found, &expected) {
            Some(hint) => diagnostic.help(hint),
            None => diagnostic,
        }
    }

    /// Whether a line begins `found =`, as where a name is given.
    fn is_bound_as_name(&self, region: &Region, place: &Place) -> bool {
        let Some(found) = place.found.filter(|_| place.before.is_none()) else { return false };
        let next = region.clone().find(|at| *at > found && self.tokens[*at].is_code());
        next.is_some_and(|at| self.word(at) == "=")
    }

    fn expected(&self, piece: Piece, place: &Place, rules: &[Rule]) -> String {
        if place.before.is_none() {
            return match piece {
                Piece::Item => "an item",
                Piece::Entry => "a member, `let` or `fn`",
                Piece::Statement => "a statement",
            }
            .to_owned();
        }
        if rules.iter().any(|rule| VALUES.contains(rule)) {
            return "a value".to_owned();
        }
        let after_value = rules.contains(&Rule::infix);
        let mut told: Vec<&str> = Vec::new();
        for (rule, text) in EXPECTED {
            let obvious = after_value && FOLLOW_VALUES.contains(rule);
            if rules.contains(rule) && !obvious && !told.contains(text) {
                told.push(text);
            }
        }
        match told.as_slice() {
            [] => "an operator or the end of the line".to_owned(),
            [only] => (*only).to_owned(),
            [first, second, ..] => format!("{first} or {second}"),
        }
    }

    fn hint(&self, region: &Region, piece: Piece, place: &Place, found: &str, expected: &str) -> Option<String> {
        let leads = place.before.is_none_or(|at| at == region.start);
        if let Some(hint) = self.sign_hint(region, piece, place, found, expected) {
            return Some(hint.to_owned());
        }
        let words = if piece == Piece::Item { ITEM_WORDS } else { LEADING_WORDS };
        let near = suggest(self.word(region.start), words.iter().copied());
        if let Some(near) = near.filter(|_| leads) {
            return Some(format!("did you mean `{near}`?"));
        }
        let radix = ["0x", "0X", "0b", "0B", "0o", "0O"].iter().any(|prefix| found.starts_with(prefix));
        let is_number = found.starts_with(|c: char| c.is_ascii_digit());
        let hint = match piece {
            Piece::Item if place.before.is_none() => "a file holds `use`, `const`, `fn`, `module`, `model` and `train`",
            Piece::Entry if leads => "a module's body holds `name = …`, `let` and `fn`; statements go into a `fn`",
            _ if self.goes_on(place) => "the line above ends in an operator, so it goes on here",
            _ if is_number && place.before.is_some_and(|at| self.word(at) == ".") => {
                "a part without a name is `pair[1]`; `let (a, b) = pair` takes all apart"
            }
            _ if radix && expected == "a value" => "numbers are decimal: `255`, or `86_567`",
            _ if is_number && expected == "a value" => "a product is written `3 * x`, and no name starts with a digit",
            _ if found == "as" && (expected.contains("operator") || expected.contains("`,`")) => {
                "to cast is a call: `i64(x)`; only a param or state takes another name: `w = param [4] = zeros as \"other\"`"
            }
            _ if found == "if" && self.side_by_side(place) => "a choice is `if c { a } else { b }`",
            _ if self.starts_statement(region, piece, place, found) => "every statement has a line of its own",
            _ if !expected.contains("`,`") && !expected.contains("operator") => return None,
            _ if piece == Piece::Statement && place.inside.is_none() && self.side_by_side(place) => {
                "is an operator missing between the two? A statement ends with its line"
            }
            _ if self.side_by_side(place) => "is a `,` or an operator missing between the two?",
            _ => return None,
        };
        Some(hint.to_owned())
    }

    /// What the refused sign or word itself gives away.
    fn sign_hint(
        &self,
        region: &Region,
        piece: Piece,
        place: &Place,
        found: &str,
        expected: &str,
    ) -> Option<&'static str> {
        let wants_block = expected.starts_with("`{`");
        let bare = place.inside.is_none();
        let nested = piece != Piece::Item && place.before.is_none();
        Some(match found {
            _ if wants_block && self.word(region.start) == "use" => "name what to import: `use nn { Linear }`",
            "const" if nested => "inside of items, `let` binds names",
            _ if nested && ITEM_WORDS.contains(&found) => "this stands at the top of a file, outside of other items",
            "" if expected == "`=`" && self.declares(region) => {
                "every `param` and `state` has an initial value: `= zeros`"
            }
            _ if expected == "`carry name = start`" => {
                "what changes from turn to turn is carried: `loop i in 0..n carry x = x0 { … }`"
            }
            _ if expected == "`at most` and a bound" => "write `loop while c, at most 100 carry x = x0 { … }`",
            "=" if wants_block => "`==` compares; `=` binds",
            "==" => "`=` binds; `==` compares",
            ":" if bare => "blocks stand in braces: `{ … }`",
            "," if bare => "what ends with its line needs no comma",
            ".." if expected == "a value" && place.inside.is_some_and(|open| self.word(open) == "(") => {
                "a list is poured out between `[` and `]`: `concat([x, ..parts], axis: 1)`"
            }
            "->" => "there are no lambdas: declare a `fn` in the block and pass its name",
            "<-" => "to compare with a negative number put a space between: `< -x`",
            "{" if expected == "`(`" => "parameters are always listed, even none: `name() { … }`",
            "{" if place.before.is_none() => "a `{` stands on the line of what it belongs to",
            "=" | ")" | "," if expected == "`:`" => "every parameter has a type: `name: type = default`",
            "" if wants_block => "the `{` stands on the same line",
            _ => return None,
        })
    }

    fn declares(&self, region: &Region) -> bool {
        region.clone().any(|at| matches!(self.word(at), "param" | "state"))
    }

    /// Whether the refused token starts a line that the one before did not end.
    fn goes_on(&self, place: &Place) -> bool {
        let (Some(before), Some(found)) = (place.before, place.found) else {
            return false;
        };
        let newline = |at: usize| self.tokens[at].kind == Kind::Newline;
        place.inside.is_none() && self.tokens[before].kind == Kind::Operator && (before..found).any(newline)
    }

    /// Whether the refused token begins a statement behind another one.
    fn starts_statement(&self, region: &Region, piece: Piece, place: &Place, found: &str) -> bool {
        let has_block = matches!(self.word(region.start), "for" | "fn");
        let ends_block = place.before.is_some_and(|at| self.word(at) == "}");
        let leads = ["let", "for", "fn"].contains(&found) && place.before.is_some_and(|at| at > region.start);
        piece != Piece::Item && place.inside.is_none() && (leads || has_block && ends_block)
    }

    fn side_by_side(&self, place: &Place) -> bool {
        let kind = |at: Option<usize>| at.map(|at| self.tokens[at].kind);
        let is_value = |kind| matches!(kind, Some(Kind::Word | Kind::Number | Kind::Text));
        is_value(kind(place.found)) && (is_value(kind(place.before)) || kind(place.before) == Some(Kind::Close))
    }
}
