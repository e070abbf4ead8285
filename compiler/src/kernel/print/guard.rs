//! Guards as comparisons: `64*k + l0 < N` says more than `N - 64*k - l0 - 1 >= 0`.
//!
//! Invariant: read back as `right - left - 1` or `right - left`, the text gives the same `Dim`.

use crate::graph::Dim;

/// The guard `dim >= 0`, with every term on the side where it is positive.
pub fn guard(dim: &Dim) -> String {
    let side = |negative: bool| {
        let terms = dim.terms().filter(|(monomial, c)| !monomial.is_empty() && (*c < 0) == negative);
        Dim::from_terms(terms.map(|(monomial, c)| (monomial.clone(), c.saturating_abs())))
    };
    let (right, left, constant) = (side(false), side(true), dim.constant_term());
    let (text, meaning) = if left.is(0) {
        (format!("{right} >= {}", constant.saturating_neg()), &right + &Dim::constant(constant))
    } else if right.is(0) {
        (format!("{left} <= {constant}"), &Dim::constant(constant) - &left)
    } else if constant < 0 {
        let left = &left + &Dim::constant(constant.saturating_neg() - 1);
        (format!("{left} < {right}"), &(&right - &left) - &Dim::constant(1))
    } else {
        let right = &right + &Dim::constant(constant);
        (format!("{left} <= {right}"), &right - &left)
    };
    if meaning == *dim { text } else { format!("{dim} >= 0") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_read_like_comparisons() {
        for (dim, text) in [
            ("N - 64*k - l0 - 1", "l0 + 64*k < N"),
            ("k - 3", "k >= 3"),
            ("5 - k", "k <= 5"),
            ("N - k + 2", "k <= N + 2"),
            ("N - k - 3", "k + 2 < N"),
            ("7", "0 >= -7"),
        ] {
            assert_eq!(guard(&dim.parse().expect("a size")), text);
        }
    }
}
