//! "Did you mean …?": the candidate nearest to a misspelt name.
//!
//! Invariant: a suggestion is near enough that a person would have thought of it: at most one edit
//! for each three letters, case set aside. Ties go to the earliest candidate.

/// The candidate that `name` was probably meant to be.
pub fn suggest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.to_lowercase();
    let allowed = (wanted.chars().count() / 3).max(1);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        if candidate == name {
            continue;
        }
        let edits = strsim::damerau_levenshtein(&wanted, &candidate.to_lowercase());
        // Replacing a whole short name is no resemblance.
        let resembles = edits <= allowed && edits < wanted.chars().count();
        if resembles && best.is_none_or(|(least, _)| edits < least) {
            best = Some((edits, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::suggest;

    const LAYERS: [&str; 4] = ["Linear", "LayerNorm", "Conv2d", "Conv1d"];

    #[test]
    fn finds_the_nearest_and_refuses_the_far() {
        assert_eq!(suggest("Liner", LAYERS), Some("Linear"));
        assert_eq!(suggest("layernorm", LAYERS), Some("LayerNorm"));
        assert_eq!(suggest("Conv3d", LAYERS), Some("Conv2d"));
        assert_eq!(suggest("Dropout", LAYERS), None);
        assert_eq!(suggest("x", ["y"]), None);
        assert_eq!(suggest("Linear", LAYERS), None);
    }
}
