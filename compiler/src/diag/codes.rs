//! The register of error codes: every diagnostic's code has its row here.
//!
//! Invariant: sorted by code, no code twice, and a code never changes its meaning. E01xx are syntax
//! errors, E02xx shapes and dtypes, E03xx names and calls, E04xx config, E05xx files and choices, E06xx settings.

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
    row("E0201", "an op does not apply to these tensors"),
    row("E0202", "a tensor has another number of axes"),
    row("E0203", "sizes do not agree"),
    row("E0204", "both operands would stretch"),
    row("E0205", "an axis, an index or a size is out of range"),
    row("E0206", "dtypes do not mix"),
    row("E0207", "a condition does not hold"),
    row("E0208", "what is known of the sizes does not decide this"),
    row("E0209", "branches or turns do not fit together"),
    row("E0210", "a pattern is wrong"),
    row("E0301", "a name is unknown"),
    row("E0302", "an op is not there yet"),
    row("E0303", "arguments and parameters do not match"),
    row("E0304", "a name is taken already"),
    row("E0305", "something has no part of this name"),
    row("E0306", "this cannot be called"),
    row("E0307", "a module or a weight has no place in the tree"),
    row("E0308", "a value belongs to another function or loop"),
    row("E0309", "there is nothing to rebind"),
    row("E0310", "this cannot be written to"),
    row("E0311", "this cannot be a member"),
    row("E0399", "a construct is not there yet"),
    row("E0401", "a tensor is computed outside any function"),
    row("E0402", "another kind of config is wanted"),
    row("E0403", "config and tensors are confused"),
    row("E0404", "a value of config is not allowed"),
    row("E0405", "a first value needs another that has none yet"),
    row("E0406", "this never ends"),
    row("E0407", "a list or a model is too large"),
    row("E0501", "a file cannot be read"),
    row("E0502", "the prelude has no such part"),
    row("E0503", "a file has no such item"),
    row("E0504", "files import each other"),
    row("E0505", "a choice names no parameter"),
    row("E0506", "there is no such preset"),
    row("E0507", "settings cannot be understood"),
    row("E0601", "TOML cannot be read"),
    row("E0602", "settings say something unknown"),
    row("E0603", "a rule for weights cannot be understood"),
    row("E0604", "a preset does not keep its promise"),
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
