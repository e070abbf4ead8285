//! Spellings that other languages taught: each gets its own message, and a repair so that the rest of
//! the file is still read.
//!
//! Invariant: only what can mean nothing in a spec is reported, besides a few words (`return`, `None`)
//! that are no good names. A repair is never longer than what it replaces: offsets stay.

use std::collections::HashMap;

use super::brackets::Brackets;
use super::scan::{Kind, Token};
use crate::diag::{Diagnostic, FileId, Span, boundary_before};

/// Token index to what the grammar reads in its place.
pub type Repairs = HashMap<usize, String>;

/// When a word is a habit; words are otherwise free to be names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// Wherever a value may stand.
    Value,
    /// When another word follows on its line, as after no name.
    BeforeWord,
    /// At the start of a statement, followed by something that starts a value.
    Leads,
    /// Behind the `}` of a block, on its line.
    AfterBlock,
}

struct Habit {
    found: &'static str,
    when: When,
    /// `None` leaves the token as it is.
    repair: Option<&'static str>,
    message: &'static str,
    help: &'static str,
}

const fn habit(
    found: &'static str,
    when: When,
    repair: Option<&'static str>,
    message: &'static str,
    help: &'static str,
) -> Habit {
    Habit { found, when, repair, message, help }
}

use When::*;

#[rustfmt::skip]
const SIGNS: &[Habit] = &[
    habit("**", Value, Some("^"), "powers are not written `**`", "write `x ^ 2`"),
    habit("&&", Value, Some("^"), "`&&` is not an operator", "write `and`"),
    habit("&", Value, Some("^"), "`&` is not an operator", "write `and`"),
    habit("||", Value, Some("^"), "`||` is not an operator", "write `or`"),
    habit("|", Value, Some("^"), "`|` is not an operator", "write `or`, or `|>` to pipe"),
    habit("!", Value, Some("-"), "`!` is not an operator", "write `not`"),
    habit("~", Value, Some("-"), "`~` is not an operator", "write `not`"),
    habit("@", Value, Some("*"), "`@` is not an operator", "write `einsum(\"i k, k j -> i j\", a, b)`"),
    habit("===", Value, Some("=="), "`===` is not an operator", "write `==`"),
    habit("<<", Value, Some("*"), "`<<` is not an operator", "write `shl(x, 2)`"),
    habit(">>", Value, Some("/"), "`>>` is not an operator", "write `shr(x, 2)`"),
    habit("<>", Value, Some("!="), "`<>` is not an operator", "write `!=`"),
    habit(":=", Value, Some("="), "`:=` binds nothing here", "write `let x = …` to bind, `x = …` to rebind"),
    habit("+=", Value, Some("="), "there is no `+=`", "write `x = x + …`, or `x <- x + …` for a state"),
    habit("-=", Value, Some("="), "there is no `-=`", "write `x = x - …`, or `x <- x - …` for a state"),
    habit("*=", Value, Some("="), "there is no `*=`", "write `x = x * …`, or `x <- x * …` for a state"),
    habit("/=", Value, Some("="), "there is no `/=`", "write `x = x / …`, or `!=` to compare"),
    habit("=>", Value, Some("^"), "`=>` means nothing here", "results are typed with `->`, members with `=`"),
    habit("::", Value, Some("."), "paths are not written `::`", "write `a.b`"),
    habit("...", Value, Some(".."), "`...` has a dot too many", "write `..`"),
    habit("≤", Value, Some("<="), "`≤` is not an operator", "write `<=`"),
    habit("≥", Value, Some(">="), "`≥` is not an operator", "write `>=`"),
    habit("≠", Value, Some("!="), "`≠` is not an operator", "write `!=`"),
    habit("×", Value, Some("*"), "`×` is not an operator", "write `*`"),
    habit("·", Value, Some("*"), "`·` is not an operator", "write `*`"),
    habit("−", Value, Some("-"), "this is a typographic minus", "write `-`"),
    habit("→", Value, Some("->"), "`→` is not a sign of the language", "write `->`"),
    habit("←", Value, Some("<-"), "`←` is not a sign of the language", "write `<-`"),
    habit("?", Value, None, "`?` means nothing here", "a choice is `if a { b } else { c }`"),
];

#[rustfmt::skip]
const WORDS: &[Habit] = &[
    habit("True", Value, Some("true"), "`True` is not a value", "write `true`"),
    habit("False", Value, Some("false"), "`False` is not a value", "write `false`"),
    habit("None", Value, Some("0"), "there is no `None`", "give a default, or choose with `if` over config"),
    habit("def", BeforeWord, Some("fn"), "functions are not declared with `def`", "write `fn name(…) { … }`"),
    habit("func", BeforeWord, Some("fn"), "functions are not declared with `func`", "write `fn name(…) { … }`"),
    habit("function", BeforeWord, Some("fn"), "functions are not declared with `function`", "write `fn name(…) { … }`"),
    habit("class", BeforeWord, Some("model"), "there are no classes", "write `module Name(…) { … }`"),
    habit("struct", BeforeWord, Some("model"), "there are no records", "return a tuple with names: `(x: a, y: b)`"),
    habit("enum", BeforeWord, None, "there are no enums", "tuples, named or not, are enough"),
    habit("mut", BeforeWord, Some(""), "there is no `mut`", "`x = …` rebinds inside `for` and `if`; a `state` lasts"),
    habit("var", BeforeWord, Some("let"), "names are not bound with `var`", "write `let x = …`"),
    habit("lambda", BeforeWord, None, NO_LAMBDAS, NAME_IT),
    habit("elif", AfterBlock, None, "`elif` is spelt out", "write `else if`"),
    habit("import", BeforeWord, None, "nothing is imported with `import`", "write `use nn { Linear }`"),
    habit("from", BeforeWord, None, "nothing is imported with `from`", "write `use nn { Linear }`"),
    habit("new", BeforeWord, Some(""), "nothing is made with `new`", "write `Linear(…)`"),
    habit("return", Leads, Some(""), "there is no `return`", "a block's last expression is its value"),
    habit("while", Leads, None, "there is no `while` on its own", "write `loop while c, at most n carry x = x0 { … }`"),
];

const NO_LAMBDAS: &str = "there are no lambdas";
const NAME_IT: &str = "declare a `fn` in the block and pass its name";
const LAMBDA: Habit = habit("fn", Value, None, NO_LAMBDAS, NAME_IT);
const FUNCTION_TYPE: Habit = habit("fn", Value, None, "the type of a function is not spelt out", "write `f: fn`");
const SELECT: Habit = habit("where", Value, Some("max"), "`where` is no function", "write `select(mask, a, b)`");

/// Everything that follows another language's habits, and what to read instead.
pub fn find(
    file: FileId,
    text: &str,
    tokens: &[Token],
    ends: &[bool],
    brackets: &Brackets,
) -> (Vec<Diagnostic>, Repairs) {
    let mut finder = Finder { file, text, tokens, ends, brackets, diagnostics: Vec::new(), repairs: Repairs::new() };
    let code: Vec<usize> = (0..tokens.len()).filter(|at| tokens[*at].is_code()).collect();
    for (nth, at) in code.iter().enumerate() {
        let before = nth.checked_sub(1).map(|before| code[before]);
        finder.look(before, *at, code.get(nth + 1).copied());
    }
    (finder.diagnostics, finder.repairs)
}

struct Finder<'a> {
    file: FileId,
    text: &'a str,
    tokens: &'a [Token],
    ends: &'a [bool],
    brackets: &'a Brackets,
    diagnostics: Vec<Diagnostic>,
    repairs: Repairs,
}

impl Finder<'_> {
    fn word(&self, at: usize) -> &str {
        self.tokens[at].text(self.text)
    }

    fn is(&self, at: Option<usize>, word: &str) -> bool {
        at.is_some_and(|at| self.word(at) == word)
    }

    fn kind(&self, at: Option<usize>) -> Option<Kind> {
        at.map(|at| self.tokens[at].kind)
    }

    fn look(&mut self, before: Option<usize>, at: usize, after: Option<usize>) {
        if self.repairs.contains_key(&at) {
            // It was part of what came before it.
            return;
        }
        let word = self.word(at);
        match self.tokens[at].kind {
            Kind::Word if word == "where" && self.lists_values(after) => self.take(at, &SELECT),
            Kind::Word if word == "fn" && self.is(after, "(") => {
                let is_type = self.is(before, ":") && !self.is(self.behind(after), "{");
                self.take(at, if is_type { &FUNCTION_TYPE } else { &LAMBDA })
            }
            Kind::Word => {
                if let Some(habit) = WORDS.iter().find(|habit| habit.found == word)
                    && self.applies(habit.when, before, at, after)
                {
                    self.take(at, habit);
                } else if word == "self" && self.is(after, ".") {
                    self.self_dot(at, after);
                }
            }
            Kind::Foreign if matches!(word, "|" | "||") && self.starts_value(before) => self.bars(at),
            Kind::Foreign if word == "::" && self.is_step(before, at, after) => self.step(at, ":"),
            Kind::Operator if word == ":" && self.follows_colon(at) => self.step(at, ""),
            Kind::Foreign | Kind::Unknown => self.foreign(at),
            Kind::OpenText => self.open_text(at),
            Kind::Operator if word == ";" => self.semicolon(at, after),
            Kind::Operator if word == "=" => self.named_argument(before, at),
            Kind::Operator if word == "." => self.bare_fraction(before, at, after),
            _ => {}
        }
    }

    fn applies(&self, when: When, before: Option<usize>, at: usize, after: Option<usize>) -> bool {
        let same_line = after.is_some_and(|after| !self.newline_between(at, after));
        let named = self.is(after, ":") || self.is(after, "=") || self.is(before, ".");
        match when {
            Value => !named,
            BeforeWord => {
                let follows = matches!(self.kind(after), Some(Kind::Word | Kind::Number));
                let operator = after.is_some_and(|after| OPERATOR_WORDS.contains(&self.word(after)));
                same_line && follows && !operator
            }
            AfterBlock => before.is_some_and(|before| self.is(Some(before), "}") && !self.newline_between(before, at)),
            Leads => {
                let starts = before.is_none_or(|before| self.is(Some(before), "{") || self.newline_between(before, at));
                let value = matches!(self.kind(after), Some(Kind::Word | Kind::Number | Kind::Text))
                    || self.is(after, "-")
                    || self.kind(after) == Some(Kind::Open) && self.is_spaced(at);
                starts && same_line && value
            }
        }
    }

    /// Whether a `(` holds several values.
    fn lists_values(&self, open: Option<usize>) -> bool {
        let Some(open) = open.filter(|open| self.word(*open) == "(") else { return false };
        let end = self.brackets.closed_by[open].unwrap_or(open);
        (open..end).any(|at| self.tokens[at].kind == Kind::Comma && self.brackets.inside[at] == Some(open))
    }

    /// The token behind the bracket that closes this one.
    fn behind(&self, open: Option<usize>) -> Option<usize> {
        let close = self.brackets.closed_by[open?]?;
        (close + 1..self.tokens.len()).find(|at| self.tokens[*at].is_code())
    }

    fn starts_value(&self, before: Option<usize>) -> bool {
        matches!(self.kind(before), Some(Kind::Open | Kind::Comma)) || self.is(before, "=") || self.is(before, ":")
    }

    /// `|x, y| …`
    fn bars(&mut self, at: usize) {
        let line = (at + 1..self.tokens.len()).take_while(|other| self.tokens[*other].kind != Kind::Newline);
        if let Some(close) = line.into_iter().find(|other| self.word(at) == "|" && self.word(*other) == "|") {
            self.repairs.insert(close, String::new());
        }
        self.take(at, &LAMBDA);
    }

    fn newline_between(&self, from: usize, to: usize) -> bool {
        (from..to).any(|at| self.ends[at])
    }

    fn is_spaced(&self, at: usize) -> bool {
        self.text[self.tokens[at].end..].starts_with(' ')
    }

    fn span(&self, at: usize) -> Span {
        Span::new(self.file, self.tokens[at].range())
    }

    fn take(&mut self, at: usize, habit: &Habit) {
        if let Some(repair) = habit.repair {
            self.repairs.insert(at, repair.to_owned());
        }
        self.report("E0108", habit.message, at, habit.help);
    }

    fn report(&mut self, code: &'static str, message: impl Into<String>, at: usize, help: &str) {
        let diagnostic = Diagnostic::error(code, message).at(self.span(at), "here");
        self.diagnostics.push(diagnostic.help(help));
    }

    fn foreign(&mut self, at: usize) {
        let word = self.word(at);
        if let Some(habit) = SIGNS.iter().find(|habit| habit.found == word) {
            return self.take(at, habit);
        }
        let (message, help, repair) = if word.starts_with('#') {
            ("comments do not start with `#`", "write `// …`", String::new())
        } else if word.starts_with("/*") {
            ("comments do not span lines", "start each line with `//`", String::new())
        } else if word.starts_with("\"\"\"") {
            let help = "write `//!` lines at the top of a file, `//` lines elsewhere";
            ("there are no doc strings", help, String::new())
        } else if word.starts_with('\'') && word.len() > 1 {
            let inner = word[1..word.len() - 1].replace('"', " ");
            ("strings are not written in single quotes", "write `\"…\"`", format!("\"{inner}\""))
        } else {
            return self.unknown(at);
        };
        self.repairs.insert(at, repair);
        self.report("E0108", message, at, help);
    }

    /// Whether two colons are those before the step of a slice: they stand in an index, or have no name on one side.
    fn is_step(&self, before: Option<usize>, at: usize, after: Option<usize>) -> bool {
        let opens = |before| self.is(before, "[") || self.is(before, ",") || self.kind(before) == Some(Kind::Number);
        let indexes = self.brackets.inside[at].is_some_and(|open| self.is_index(open));
        indexes || opens(before) || self.kind(after) == Some(Kind::Number) || self.is(after, "-")
    }

    /// Whether a `[` touches the value that it belongs to.
    fn is_index(&self, open: usize) -> bool {
        let value = open.checked_sub(1).map(|before| self.tokens[before]);
        let touches = |value: &Token| value.end == self.tokens[open].start;
        self.word(open) == "["
            && value.filter(touches).is_some_and(|value| matches!(value.kind, Kind::Word | Kind::Close))
    }

    /// Whether a place of an index has a colon already.
    fn follows_colon(&self, at: usize) -> bool {
        let Some(open) = self.brackets.inside[at].filter(|open| self.word(*open) == "[") else { return false };
        let own = (open + 1..at).rev().filter(|other| self.brackets.inside[*other] == Some(open));
        own.take_while(|other| self.tokens[*other].kind != Kind::Comma).any(|other| self.word(other) == ":")
    }

    /// The colon is read as `repair`, what comes after it in its place of the index is not.
    fn step(&mut self, at: usize, repair: &str) {
        self.repairs.insert(at, repair.to_owned());
        let open = self.brackets.inside[at];
        let end = open.and_then(|open| self.brackets.closed_by[open]).unwrap_or(at + 1);
        let ends = |other: &usize| self.tokens[*other].kind == Kind::Comma && self.brackets.inside[*other] == open;
        let rest: Vec<usize> = (at + 1..end).take_while(|other| !ends(other)).collect();
        let rest = rest.into_iter().filter(|other| self.tokens[*other].is_code());
        self.repairs.extend(rest.map(|other| (other, String::new())));
        let help = "write `slice(x, starts: [0, 0], stops: [M, N], steps: [1, 2])`, or `flip(x, axes: [1])`; of a list \
                    `[l[2 * i] for i in 0..n]`";
        self.report("E0108", "slices have no steps", at, help);
    }

    fn unknown(&mut self, at: usize) {
        let word = self.word(at);
        let is_name = word.chars().all(char::is_alphanumeric);
        let message = format!("`{}` means nothing in a spec", word.escape_debug());
        let help = match is_name {
            true => "names are spelt with the letters a to z, digits and `_`",
            false => "strings may hold any character, code only those of a plain keyboard",
        };
        let repair = if is_name { "x" } else { "" };
        self.repairs.insert(at, repair.to_owned());
        self.report("E0105", message, at, help);
    }

    fn open_text(&mut self, at: usize) {
        let word = self.word(at);
        let kept = boundary_before(word, word.len() - 1);
        let repair = match kept {
            0 => "0".to_owned(),
            _ => format!("{}\"", word[..kept].replace('\\', " ")),
        };
        self.repairs.insert(at, repair);
        self.report("E0104", "this string is never closed", at, "close it with `\"` on its line");
    }

    /// Only `[x; n]` has one.
    fn semicolon(&mut self, at: usize, after: Option<usize>) {
        let open = self.brackets.inside[at];
        if self.is(open, "[") {
            return;
        }
        let last = after.is_none_or(|after| self.newline_between(at, after)) || self.is(after, "}");
        let repair = if last || self.is(open, "(") { "" } else { "\n" };
        self.repairs.insert(at, repair.to_owned());
        self.report("E0108", "statements do not end in `;`", at, "a statement ends with its line");
    }

    /// `f(x = 1)`: a call's arguments are named with `:`; a parameter's default has a type before it.
    fn named_argument(&mut self, before: Option<usize>, at: usize) {
        let open = self.brackets.inside[at].filter(|open| self.word(*open) == "(");
        let (Some(open), Some(before)) = (open, before) else {
            return;
        };
        let leads = before.checked_sub(1).is_some_and(|first| first == open || self.tokens[first].kind == Kind::Comma);
        let declares = open.checked_sub(2).is_some_and(|word| {
            matches!(self.word(word), "fn" | "module" | "model" | "train" | "step" | "def" | "class")
        });
        if leads && !declares && self.tokens[before].kind == Kind::Word {
            self.repairs.insert(at, ":".to_owned());
            let help = format!("write `{}: …`", self.word(before));
            self.report("E0108", "arguments are not named with `=`", at, &help);
        }
    }

    /// `.5` and `5.`
    fn bare_fraction(&mut self, before: Option<usize>, at: usize, after: Option<usize>) {
        let token = self.tokens[at];
        // `5.x` reads a field, if an odd one.
        let names =
            after.is_some_and(|after| self.tokens[after].kind == Kind::Word && self.tokens[after].start == token.end);
        let number = |other: &usize| self.tokens[*other].kind == Kind::Number;
        let after = after.filter(number).filter(|after| self.tokens[*after].start == token.end);
        let value =
            before.is_some_and(|before| matches!(self.tokens[before].kind, Kind::Word | Kind::Number | Kind::Close));
        let before = before.filter(number).filter(|before| self.tokens[*before].end == token.start);
        let (message, help) = match (before, after) {
            (_, Some(after)) if !value => {
                ("this number lacks its first digit", format!("write `0.{}`", self.word(after)))
            }
            (Some(before), _) if !names => {
                ("this number lacks its last digit", format!("write `{}.0`", self.word(before)))
            }
            _ => return,
        };
        self.repairs.insert(at, String::new());
        self.report("E0106", message, at, &help);
    }

    fn self_dot(&mut self, at: usize, dot: Option<usize>) {
        self.repairs.insert(at, String::new());
        self.repairs.extend(dot.map(|dot| (dot, String::new())));
        let help = "a module's members are in scope by name";
        self.report("E0108", "there is no `self`", at, help);
    }
}

const OPERATOR_WORDS: &[&str] = &["and", "or", "in", "for", "if", "else", "where", "carry", "over", "using"];
