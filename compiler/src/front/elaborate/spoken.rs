//! Sizes as a spec writes them, for messages: no name of ours, and what to say where nothing shows that two are equal.
//!
//! Invariant: what is offered to be written can be written there, and makes the sizes equal.

use std::collections::BTreeSet;

use super::Elaborator;
use crate::diag::Diagnostic;
use crate::graph::{Atom, Dim, Symbol, greatest_divisor};

/// A symbol that stands for a part of a size: `H_8` for `H / 8`.
pub struct Part {
    pub symbol: Symbol,
    pub of: String,
    pub by: i64,
}

/// An axis that is `_` in the type of a parameter.
pub struct Unnamed {
    pub symbol: Symbol,
    pub param: String,
    pub axis: usize,
}

/// Where no clause of a `where` would do.
const UNSAYABLE: &str = "fix a size: `where N == 64`, or `--dim N=64` for one program";

impl<'a> Elaborator<'a> {
    /// The diagnostic in the words of the spec.
    pub fn in_words(&self, mut diagnostic: Diagnostic) -> Diagnostic {
        let labels = diagnostic.labels.iter_mut().map(|label| &mut label.text);
        let texts = labels.chain(&mut diagnostic.notes).chain(&mut diagnostic.helps).chain([&mut diagnostic.message]);
        for text in texts {
            *text = self.parts.iter().fold(std::mem::take(text), |text, part| whole(&text, part));
            *text = remainders(text.replace("floordiv(", "floor_div("));
        }
        diagnostic
    }

    /// Help where it cannot be seen that two sizes are equal.
    pub fn ask_equal(&self, a: &Dim, b: &Dim) -> String {
        if let Some(naming) = self.ask_for_names(&[a, b]) {
            return naming;
        }
        let mut divisors = BTreeSet::new();
        let difference = a - b;
        divisors_in(&difference, &mut divisors);
        let multiple = self.multiple_where(&[&difference], divisors, |sizes| sizes[0].is(0));
        let relation = multiple.or_else(|| self.equation(a, b));
        relation.map_or_else(|| UNSAYABLE.to_string(), |relation| format!("say so: `where {relation}`"))
    }

    /// Help where a `where` itself says that two sizes are equal, and neither is the name of one.
    pub fn ask_alone(&self, a: &Dim, b: &Dim) -> String {
        match self.equation(a, b) {
            Some(equation) => format!("let one size stand alone: `{equation}`"),
            None => UNSAYABLE.to_string(),
        }
    }

    /// Help where it cannot be seen that one size divides another.
    pub fn ask_divides(&self, whole: &Dim, by: &Dim) -> String {
        if let Some(naming) = self.ask_for_names(&[whole, by]) {
            return naming;
        }
        let number = by.as_constant().filter(|by| (2..=1 << 16).contains(by)).unwrap_or(1);
        let divisors = (2..=number).filter(|own| number % own == 0).collect();
        let relation = self.multiple_where(&[whole, by], divisors, |sizes| sizes[0].exact_div(&sizes[1]).is_some());
        relation.map_or_else(|| UNSAYABLE.to_string(), |relation| format!("say so: `where {relation}`"))
    }

    /// `N == 2*M - 1`, where a size of the entry stands alone in it.
    fn equation(&self, a: &Dim, b: &Dim) -> Option<String> {
        for (one, other) in [(a, b), (b, a)] {
            if let Some(symbol) = one.as_symbol()
                && self.is_own_size(symbol)
                && !other.mentions(symbol)
            {
                return Some(format!("{one} == {other}"));
            }
        }
        let difference = a - b;
        let mut symbols = Vec::new();
        difference.for_each_symbol(&mut |symbol| symbols.push(symbol.clone()));
        symbols.into_iter().filter(|symbol| self.is_own_size(symbol)).find_map(|symbol| {
            let (slope, rest) = difference.affine_in(&symbol)?;
            let made = match slope.as_constant()? {
                1 => -&rest,
                -1 => rest,
                _ => return None,
            };
            Some(format!("{symbol} == {made}"))
        })
    }

    /// Help where sizes have no name yet.
    fn ask_for_names(&self, sizes: &[&Dim]) -> Option<String> {
        let unnamed = self.entry.unnamed.iter().filter(|axis| sizes.iter().any(|size| size.mentions(&axis.symbol)));
        let axes: Vec<String> = unnamed.map(|axis| format!("axis {} of `{}`", axis.axis, axis.param)).collect();
        let place = match axes.len() {
            0 => return None,
            1 => "its type has `_`; then a `where` can speak of it",
            _ => "their types have `_`: one name for sizes that are the same",
        };
        Some(format!("name {} where {place}", axes.join(" and ")))
    }

    /// `H % 8 == 0`, where what is wanted of the sizes is so for every multiple of one of these numbers.
    fn multiple_where(&self, sizes: &[&Dim], by: BTreeSet<i64>, wanted: impl Fn(&[Dim]) -> bool) -> Option<String> {
        let mut symbols = Vec::new();
        sizes.iter().for_each(|size| size.for_each_symbol(&mut |symbol| symbols.push(symbol.clone())));
        let symbols: Vec<Symbol> = symbols.into_iter().filter(|symbol| !self.is_argument(symbol)).collect();
        let tries = by.into_iter().flat_map(|by| symbols.iter().map(move |symbol| (symbol, by)));
        for (symbol, by) in tries {
            let multiple = |own: &Symbol| (own == symbol).then(|| Dim::from(own) * by);
            let replaced: Vec<Dim> = sizes.iter().map(|size| size.substitute(&multiple)).collect();
            if wanted(&replaced) {
                let part = self.parts.iter().find(|part| part.symbol == *symbol);
                let (name, by) = part.map_or((symbol.name(), by), |part| (&part.of, part.by * by));
                return Some(format!("{name} % {by} == 0"));
            }
        }
        None
    }

    fn is_argument(&self, symbol: &Symbol) -> bool {
        self.mentions_argument(&Dim::from(symbol))
    }

    /// Whether the entry calls a size by this name.
    fn is_own_size(&self, symbol: &Symbol) -> bool {
        let is_part = self.parts.iter().any(|part| part.symbol == *symbol);
        !is_part && !self.is_argument(symbol) && symbol.name().starts_with(char::is_uppercase)
    }
}

/// The numbers that sizes are divided by within a size.
fn divisors_in(dim: &Dim, found: &mut BTreeSet<i64>) {
    for (atom, _) in dim.terms().flat_map(|(monomial, _)| monomial) {
        match atom {
            Atom::Symbol(_) => {}
            Atom::FloorDiv(a, b) | Atom::Mod(a, b) => {
                found.extend(b.as_constant().filter(|by| (2..=1 << 16).contains(by)));
                divisors_in(a, found);
            }
            Atom::Min(a, b) | Atom::Max(a, b) => [a, b].into_iter().for_each(|side| divisors_in(side, found)),
        }
    }
}

/// The text with `H` where it says `8*H_8`, and `3*H / 8` where it says `3*H_8`.
fn whole(text: &str, part: &Part) -> String {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut made = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(part.symbol.name()) {
        let end = at + part.symbol.name().len();
        made.push_str(&rest[..at]);
        let inside = made.ends_with(is_word) || rest[end..].starts_with(is_word);
        let powered = rest[end..].starts_with('^');
        rest = &rest[end..];
        match (inside, powered) {
            (true, _) => made.push_str(part.symbol.name()),
            (_, true) => made += &format!("({} / {})", part.of, part.by),
            _ => {
                let factor = take_factor(&mut made);
                let common = greatest_divisor(factor.unsigned_abs(), part.by.unsigned_abs()) as i64;
                let times = if factor == common { String::new() } else { format!("{}*", factor / common) };
                let over = if part.by == common { String::new() } else { format!(" / {}", part.by / common) };
                made += &format!("{times}{}{over}", part.of);
            }
        }
    }
    made + rest
}

/// Takes `8*` from the end of a text.
fn take_factor(text: &mut String) -> i64 {
    let Some(before) = text.strip_suffix('*') else { return 1 };
    let start = before.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let is_number = !before[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '^');
    match before[start..].parse() {
        Ok(factor) if is_number => {
            text.truncate(start);
            factor
        }
        _ => 1,
    }
}

/// The text with `a % b` where it says `mod(a, b)`.
fn remainders(text: String) -> String {
    let Some(at) = text.rfind("mod(") else { return text };
    if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
        return text;
    }
    let inner = &text[at + "mod(".len()..];
    let (mut depth, mut comma) = (0, None);
    for (idx, c) in inner.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth > 0 => depth -= 1,
            ',' if depth == 0 => comma = Some(idx),
            ')' => {
                let Some(comma) = comma else { return text };
                let quoted = |side: &str| if side.contains(' ') { format!("({side})") } else { side.to_string() };
                let (a, b) = (quoted(inner[..comma].trim()), quoted(inner[comma + 1..idx].trim()));
                return remainders(format!("{}({a} % {b}){}", &text[..at], &inner[idx + 1..]));
            }
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_written_as_quotients() {
        let part = Part { symbol: Symbol::new("H_8"), of: "H".to_string(), by: 8 };
        for (text, wanted) in [
            ("8*H_8", "H"),
            ("16*H_8*W + 1", "2*H*W + 1"),
            ("[B, H_8, 3*H_8]", "[B, H / 8, 3*H / 8]"),
            ("4*H_8^2 - H_8", "4*(H / 8)^2 - H / 8"),
            ("W*H_8, XH_8, H_80", "W*H / 8, XH_8, H_80"),
        ] {
            assert_eq!(whole(text, &part), wanted);
        }
    }

    #[test]
    fn remainders_are_written_with_their_operator() {
        let given = "mod(N + 1, 4) and modulo(x), 2*mod(min(M, N), 3)".to_string();
        assert_eq!(remainders(given), "((N + 1) % 4) and modulo(x), 2*((min(M, N)) % 3)");
    }
}
