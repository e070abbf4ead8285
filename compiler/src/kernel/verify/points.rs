//! Examples of values that symbols can have, to refute quickly what cannot be proved.
//!
//! Invariant: every point lies in all ranges and satisfies all known guards, so what is negative there is not provable.

use crate::graph::{Dim, Range, Ranges, Symbol};

/// A value for each symbol that is declared.
#[derive(Clone, Debug)]
pub(super) struct Point(Vec<(Symbol, i64)>);

/// Where in its range a symbol is put: at the low end plus this, or at the high end.
#[derive(Clone, Copy)]
enum Pick {
    Low(i64),
    Middle,
    High,
}

/// Sizes without an upper bound end here.
const LARGE: i64 = 1000;

const SIZES: [Pick; 4] = [Pick::Low(0), Pick::Low(1), Pick::Low(66), Pick::High];
const INDICES: [Pick; 3] = [Pick::Low(0), Pick::High, Pick::Middle];

impl Point {
    pub fn eval(&self, dim: &Dim) -> Option<i64> {
        dim.eval(&|symbol| self.0.iter().rev().find(|(other, _)| other == symbol).map(|&(_, value)| value))
    }

    fn pick(&self, range: &Range, pick: Pick) -> Option<i64> {
        let low = self.eval(&range.low)?;
        let high = match &range.high {
            Some(high) => self.eval(high)?,
            None => low.checked_add(LARGE)?,
        };
        let value = match pick {
            Pick::Low(more) => low.checked_add(more)?.min(high),
            Pick::Middle => low.checked_add(high.checked_sub(low)? / 2)?,
            Pick::High => high,
        };
        (low <= value && value <= high).then_some(value)
    }
}

/// Sizes have no upper bound, or a far constant; lanes and short loops have a near one.
fn is_far(high: &Dim) -> bool {
    high.as_constant().is_some_and(|high| high >= LARGE)
}

pub(super) fn allowed(ranges: &Ranges, known: &[Dim]) -> Vec<Point> {
    let mut points = Vec::new();
    for (size, index) in SIZES.iter().flat_map(|&size| INDICES.map(|index| (size, index))) {
        let mut point = Point(Vec::new());
        let complete = ranges.iter().all(|range| {
            let pick = if range.high.as_ref().is_none_or(is_far) { size } else { index };
            let value = point.pick(range, pick);
            point.0.extend(value.map(|value| (range.symbol.clone(), value)));
            value.is_some()
        });
        if complete && known.iter().all(|guard| point.eval(guard).is_some_and(|value| value >= 0)) {
            points.push(point);
        }
    }
    points
}
