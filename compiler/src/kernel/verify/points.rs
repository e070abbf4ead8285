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

/// Sizes without an upper bound end here: where rows of pixels, halved a few times, still fill a tile.
const LARGE: i64 = 16383;
/// Bounds from here on are those of sizes.
const FAR: i64 = 1000;

const SIZES: [Pick; 4] = [Pick::Low(0), Pick::Low(1), Pick::Low(66), Pick::High];
const INDICES: [Pick; 3] = [Pick::Low(0), Pick::High, Pick::Middle];

/// Where the search for a refutation begins, and what it tries.
const STARTS: [(Pick, Pick); 2] = [(Pick::Low(LARGE), Pick::High), (Pick::Low(66), Pick::Low(0))];
const PICKS: [Pick; 5] = [Pick::High, Pick::Low(2), Pick::Low(1), Pick::Middle, Pick::Low(0)];
const ROUNDS: u32 = 3;
/// How many points are thrown at random before the search: one of several is often enough.
const THROWS: u32 = 512;
/// How far above its least a symbol is thrown at most.
const SPREADS: [u64; 4] = [8, 80, 640, 5120];
/// As a power of two. The steps halve, and so reach from `LARGE` down to any offset.
const LARGEST_STEP: u32 = 13;

impl Point {
    fn at(ranges: &Ranges, picks: &[Pick]) -> Option<Point> {
        let mut point = Point(Vec::with_capacity(picks.len()));
        for (range, &pick) in ranges.iter().zip(picks) {
            let value = point.pick(range, pick)?;
            point.0.push((range.symbol.clone(), value));
        }
        Some(point)
    }

    pub fn eval(&self, dim: &Dim) -> Option<i64> {
        dim.eval(&|symbol| self.0.iter().rev().find(|(other, _)| other == symbol).map(|&(_, value)| value))
    }

    fn satisfies(&self, known: &[Dim]) -> bool {
        known.iter().all(|guard| self.eval(guard).is_some_and(|value| value >= 0))
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
fn is_far(range: &Range) -> bool {
    range.high.as_ref().is_none_or(|high| high.as_constant().is_some_and(|high| high >= FAR))
}

pub(super) fn allowed(ranges: &Ranges, known: &[Dim]) -> Vec<Point> {
    let shared = SIZES.iter().flat_map(|&size| INDICES.map(|index| start(ranges, size, index)));
    let points = shared.filter_map(|picks| Point::at(ranges, &picks));
    points.filter(|point| point.satisfies(known)).collect()
}

/// One pick for all sizes and one for all indices.
fn start(ranges: &Ranges, size: Pick, index: Pick) -> Vec<Pick> {
    ranges.iter().map(|range| if is_far(range) { size } else { index }).collect()
}

/// A point at which `dim` is negative: one of some that are thrown, or one that is sought from a few points by what helps
/// most at one symbol after the other: first that the guards hold, then that `dim` is small.
pub(super) fn refutation(ranges: &Ranges, known: &[Dim], dim: &Dim) -> Option<Point> {
    thrown(ranges, known, dim).or_else(|| sought(ranges, known, dim))
}

fn thrown(ranges: &Ranges, known: &[Dim], dim: &Dim) -> Option<Point> {
    let mut throw = Throw(0x9e37_79b9_7f4a_7c15);
    (0..THROWS).find_map(|_| {
        let picks: Vec<Pick> = ranges.iter().map(|range| throw.pick(is_far(range))).collect();
        let refutes = |point: &Point| point.eval(dim).is_some_and(|value| value < 0) && point.satisfies(known);
        Point::at(ranges, &picks).filter(refutes)
    })
}

/// Numbers that look random and are the same each time: xorshift (Marsaglia, 2003).
struct Throw(u64);

impl Throw {
    fn below(&mut self, bound: u64) -> u64 {
        for (shift, left) in [(13, true), (7, false), (17, true)] {
            self.0 ^= if left { self.0 << shift } else { self.0 >> shift };
        }
        self.0 % bound
    }

    fn pick(&mut self, is_far: bool) -> Pick {
        let spread = SPREADS[self.below(if is_far { SPREADS.len() as u64 } else { 2 }) as usize];
        let offset = Pick::Low(self.below(spread) as i64);
        match self.below(4) {
            _ if is_far => offset,
            0 => offset,
            1 => INDICES[self.below(INDICES.len() as u64) as usize],
            _ => Pick::High,
        }
    }
}

fn sought(ranges: &Ranges, known: &[Dim], dim: &Dim) -> Option<Point> {
    let far: Vec<bool> = ranges.iter().map(is_far).collect();
    STARTS.iter().find_map(|&(size, index)| {
        let picks = start(ranges, size, index);
        let mut descent = Descent { ranges, known, dim, picks, far: &far, cost: (i64::MAX, i64::MAX) };
        descent.cost = descent.cost_of(&descent.picks)?;
        for _ in 0..ROUNDS {
            let before = descent.cost;
            (0..descent.picks.len()).rev().for_each(|at| descent.improve(at));
            if descent.cost.0 == 0 && descent.cost.1 < 0 {
                return Point::at(ranges, &descent.picks);
            }
            if descent.cost == before {
                break;
            }
        }
        None
    })
}

struct Descent<'a> {
    ranges: &'a Ranges,
    known: &'a [Dim],
    dim: &'a Dim,
    picks: Vec<Pick>,
    far: &'a [bool],
    /// By how much the guards fail, and the value.
    cost: (i64, i64),
}

impl Descent<'_> {
    fn cost_of(&self, picks: &[Pick]) -> Option<(i64, i64)> {
        let point = Point::at(self.ranges, picks)?;
        let fails = self.known.iter().try_fold(0i64, |sum, guard| Some(sum.saturating_sub(point.eval(guard)?.min(0))));
        Some((fails?, point.eval(self.dim)?))
    }

    fn improve(&mut self, at: usize) {
        if !self.far[at] {
            for pick in PICKS {
                self.attempt(at, pick);
            }
            return;
        }
        // Where a guard only just holds, the value is often least.
        let mut offset = LARGE;
        self.attempt(at, Pick::Low(offset));
        for step in (0..=LARGEST_STEP).rev().map(|power| 1 << power) {
            if offset >= step && self.attempt(at, Pick::Low(offset - step)) {
                offset -= step;
            }
        }
    }

    /// Keeps the pick if it is no worse.
    fn attempt(&mut self, at: usize, pick: Pick) -> bool {
        let old = std::mem::replace(&mut self.picks[at], pick);
        let better = self.cost_of(&self.picks).filter(|cost| *cost <= self.cost);
        match better {
            Some(cost) => self.cost = cost,
            None => self.picks[at] = old,
        }
        better.is_some()
    }
}
