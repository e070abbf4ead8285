//! Index maps of reshapes: where an element of the new shape lies in the old one.
//!
//! Invariant: both shapes have equally many elements for every value of the sizes. Axes are matched in the smallest
//! groups of equal products, so that splitting or merging axes touches no others.

use super::Dim;

/// The index in a tensor of shape `from` of the element at `at` in the same tensor seen with shape `to`.
pub fn reshape_index(from: &[Dim], to: &[Dim], at: &[Dim]) -> Vec<Dim> {
    let mut index = Vec::with_capacity(from.len());
    for (old, new) in groups(from, to) {
        let mut linear = Dim::constant(0);
        for axis in new {
            linear = &(&linear * &to[axis]) + &at[axis];
        }
        let old_shape = &from[old];
        for axis in 0..old_shape.len() {
            let stride = Dim::product(&old_shape[axis + 1..]);
            let quotient = linear.floor_div(&stride);
            // The outermost axis of a group needs no remainder.
            index.push(if axis == 0 { quotient } else { quotient.modulo(&old_shape[axis]) });
        }
    }
    index
}

type Group = (std::ops::Range<usize>, std::ops::Range<usize>);

fn groups(from: &[Dim], to: &[Dim]) -> Vec<Group> {
    let mut groups = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < from.len() || j < to.len() {
        let (start_i, start_j) = (i, j);
        match next_group(&from[i..], &to[j..]) {
            Some((n, m)) => (i, j) = (i + n, j + m),
            None => (i, j) = (from.len(), to.len()),
        }
        groups.push((start_i..i, start_j..j));
    }
    groups
}

/// How many leading axes of each have equal products, at least one of either.
fn next_group(from: &[Dim], to: &[Dim]) -> Option<(usize, usize)> {
    let mut best = None;
    let mut left = Dim::constant(1);
    for n in 0..=from.len() {
        if n > 0 {
            left = &left * &from[n - 1];
        }
        let mut right = Dim::constant(1);
        for m in 0..=to.len() {
            if m > 0 {
                right = &right * &to[m - 1];
            }
            if n + m > 0 && left == right && best.is_none_or(|(a, b)| n + m < a + b) {
                best = Some((n, m));
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(from: &str, to: &str) -> String {
        let shape = |text: &str| text.split(' ').map(|dim| dim.parse().expect("a size")).collect::<Vec<Dim>>();
        let to = shape(to);
        let at: Vec<Dim> = (0..to.len()).map(|idx| Dim::symbol(format!("i{idx}"))).collect();
        let index = reshape_index(&shape(from), &to, &at);
        index.iter().map(Dim::to_string).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn splits_and_merges_stay_affine_where_they_can() {
        assert_eq!(map("B 6*d", "B 6 d"), "i0, i2 + d*i1");
        assert_eq!(map("B 3 H W", "B 3 H*W"), "i0, i1, floordiv(i2, W), mod(i2, W)");
        assert_eq!(map("4 6", "2 12"), "floordiv(i1, 6) + 2*i0, mod(i1, 6)");
        assert_eq!(map("1 N", "N"), "0, i0");
        assert_eq!(map("N", "1 N 1"), "i1");
    }
}
