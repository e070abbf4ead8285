//! What was seen of the values that weights are multiplied by, on data of which there will be more.
//!
//! Invariant: places are numbered in the order in which `quantize` comes to them, which is the same whether it looks or
//! knows. A program that was compiled to look puts out `calibration.N` after all else: the greatest magnitude of each group
//! of neighbours at place `N`.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Where the scales of values come from that change with each call.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Calibration {
    /// From the values themselves, at each call.
    #[default]
    None,
    /// Nothing is rounded; what is greatest is put out.
    Look,
    /// From what was seen. Entries that nobody looked at do without.
    Seen(Arc<Seen>),
}

/// By entry and place, the greatest magnitude of each group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen(BTreeMap<String, Vec<Vec<f32>>>);

/// The output for a place.
pub fn name(place: usize) -> String {
    format!("calibration.{place}")
}

/// The place of an output.
pub fn place(name: &str) -> Option<usize> {
    name.strip_prefix("calibration.")?.parse().ok()
}

impl Seen {
    /// Adds what one call showed at a place.
    pub fn add(&mut self, entry: &str, place: usize, greatest: &[f32]) {
        let places = self.0.entry(entry.to_string()).or_default();
        if places.len() <= place {
            places.resize(place + 1, Vec::new());
        }
        let known = &mut places[place];
        known.resize(greatest.len(), 0.0);
        for (known, &new) in known.iter_mut().zip(greatest) {
            *known = known.max(new);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Places of an entry at which nothing was seen that a scale can come from: only zeros, or something beyond all numbers.
    pub fn n_blank(&self, entry: &str) -> usize {
        let places = self.0.get(entry).map_or(&[][..], Vec::as_slice);
        places.iter().filter(|seen| greatest(seen).is_none()).count()
    }

    /// What to expect of so many groups: a group in which nothing but zeros was seen may be as large as the largest.
    pub fn expected(&self, entry: &str, place: usize, n_groups: usize) -> Option<Vec<f32>> {
        let seen = self.0.get(entry)?.get(place).filter(|seen| seen.len() == n_groups)?;
        let most = greatest(seen)?;
        Some(seen.iter().map(|&greatest| if greatest > 0.0 { greatest } else { most }).collect())
    }
}

/// The greatest of all groups, if a scale can come from it.
fn greatest(seen: &[f32]) -> Option<f32> {
    let most = seen.iter().copied().fold(0.0, f32::max);
    (most > 0.0 && most.is_finite()).then_some(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_of_all_calls_is_kept() {
        let mut seen = Seen::default();
        seen.add("call", 1, &[1.0, 0.0, 3.0]);
        seen.add("call", 1, &[2.0, 0.0, 1.0]);
        assert_eq!(seen.expected("call", 1, 3), Some(vec![2.0, 3.0, 3.0]));
        for (entry, place, n_groups) in [("call", 1, 2), ("call", 0, 0), ("call", 2, 3), ("other", 1, 3)] {
            assert_eq!(seen.expected(entry, place, n_groups), None);
        }
        seen.add("zeros", 0, &[0.0]);
        seen.add("odd", 0, &[f32::INFINITY]);
        assert_eq!((seen.expected("zeros", 0, 1), seen.expected("odd", 0, 1)), (None, None));
        // Nobody looked at the first place of `call`.
        assert_eq!(["call", "zeros", "odd", "other"].map(|entry| seen.n_blank(entry)), [1, 1, 1, 0]);
    }

    #[test]
    fn outputs_are_named_by_their_places() {
        assert_eq!(place(&name(12)), Some(12));
        assert_eq!((place("calibration.x"), place("result")), (None, None));
    }
}
