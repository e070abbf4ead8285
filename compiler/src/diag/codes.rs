//! The register of error codes: every diagnostic's code has its row here.
//!
//! Invariant: sorted by code, no code twice, and a code never changes its meaning. E01xx are syntax
//! errors; later stages add their hundreds below.

/// A code and what it stands for in general; the message of a diagnostic says it in particular.
#[derive(Clone, Copy, Debug)]
pub struct Code {
    pub code: &'static str,
    pub title: &'static str,
}

const fn row(code: &'static str, title: &'static str) -> Code {
    Code { code, title }
}

pub static CODES: &[Code] = &[
    row("E0101", "something else was expected here"),
    row("E0102", "a bracket is never closed"),
    row("E0103", "a closing bracket closes nothing"),
    row("E0104", "a string is never closed"),
    row("E0105", "a character means nothing in a spec"),
    row("E0106", "a number cannot be read"),
    row("E0107", "an escape in a string cannot be read"),
    row("E0108", "a habit of another language"),
    row("E0109", "comparisons do not chain"),
    row("E0110", "no type has this name"),
    row("E0111", "nested too deeply"),
    row("E0112", "this cannot be assigned to"),
    row("E0113", "this is at home in another kind of item"),
    row("E0114", "a file is too large"),
    row("E0115", "a part is missing"),
    row("E0116", "a reserved word is used as a name"),
];

/// The general title of a code.
pub fn title(code: &str) -> Option<&'static str> {
    let row = CODES.binary_search_by_key(&code, |row| row.code).ok()?;
    Some(CODES[row].title)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_unique() {
        assert!(CODES.is_sorted_by(|a, b| a.code < b.code));
        assert_eq!(title("E0109"), Some("comparisons do not chain"));
        assert_eq!(title("E9999"), None);
    }
}
