//! The register of error codes: every diagnostic's code has its row here.
//!
//! Invariant: sorted by code, no code twice, and a code never changes its meaning. E01xx are syntax
//! errors, E02xx shapes and dtypes, E03xx names and calls, E04xx config, E05xx files and choices.

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
    row("E0201", "an op does not apply to these operands"),
    row("E0202", "the number of axes is wrong"),
    row("E0203", "sizes do not agree"),
    row("E0204", "both operands would stretch"),
    row("E0205", "an index or an axis is out of range"),
    row("E0206", "element types do not mix"),
    row("E0207", "a condition does not hold"),
    row("E0208", "a relation of sizes cannot be decided"),
    row("E0209", "a loop or a branch changes its types"),
    row("E0210", "a pattern does not fit"),
    row("E0211", "this cannot be differentiated"),
    row("E0301", "nothing has this name"),
    row("E0302", "this part of the language is not there yet"),
    row("E0303", "the arguments do not fit the parameters"),
    row("E0304", "a name is defined twice"),
    row("E0305", "there is no such field"),
    row("E0306", "this cannot be called"),
    row("E0307", "a module has no place in the tree"),
    row("E0308", "a value is used or rebound outside its region"),
    row("E0309", "there is nothing to rebind"),
    row("E0310", "only a state is written"),
    row("E0311", "this is no member"),
    row("E0401", "a tensor is computed where config is wanted"),
    row("E0402", "config of another kind is wanted"),
    row("E0403", "config and tensors stand in each other's place"),
    row("E0404", "config cannot be computed"),
    row("E0405", "an initial value needs another that is not there"),
    row("E0406", "this does not end"),
    row("E0407", "a limit is reached"),
    row("E0501", "a file cannot be read"),
    row("E0502", "the prelude has no such part"),
    row("E0503", "a file has no such item"),
    row("E0504", "files import each other in a circle"),
    row("E0505", "a choice that no parameter asks for"),
    row("E0506", "there is no such preset"),
    row("E0507", "the TOML of a spec cannot be understood"),
    row("E0508", "a preset does not keep its promise"),
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
