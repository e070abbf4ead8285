//! Fills arena values with NaNs where their lives begin and end, so that a plan that reads a
//! value outside its life gives NaNs instead of numbers that happen to be right.
//!
//! Invariant: poison is written only where a correct plan reads nothing: before the step at
//! which a value's life begins, and after the one at which it ends. A value that lives through a
//! loop ends with the loop, not with the last step inside it.

use crate::program::{Entry, Step, Storage, ValueId};

/// Every byte of poison; as any float a NaN, as a signed integer −1.
pub const POISON: u8 = 0xff;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub offset: usize,
    pub bytes: usize,
}

/// Spans to poison, by step number.
pub struct Poison {
    pub before: Vec<Vec<Span>>,
    /// After a plain step; for control flow, once its conditions and bounds have been read.
    pub after: Vec<Vec<Span>>,
    /// After a loop with all its rounds.
    pub after_loop: Vec<Vec<Span>>,
}

impl Poison {
    pub fn new(entry: &Entry, offsets: &[usize], bytes: &[usize]) -> Poison {
        let n_steps = entry.n_steps();
        let none = || vec![Vec::new(); n_steps];
        let mut poison = Poison { before: none(), after: none(), after_loop: none() };
        let mut facts = Facts::default();
        facts.collect(&entry.steps, &mut 0);
        for (index, value) in entry.values.iter().enumerate() {
            if value.storage != Storage::Arena || bytes[index] == 0 || n_steps == 0 {
                continue;
            }
            let span = Span { offset: offsets[index], bytes: bytes[index] };
            let (first, last) = (value.lifetime.0 as usize, value.lifetime.1 as usize);
            poison.before[first].push(span);
            let left = facts.loops.iter().find(|&&(start, end)| first <= start && start < last && last <= end);
            match left {
                Some(&(start, _)) => poison.after_loop[start].push(span),
                None if facts.read_late(entry, index, last) => {}
                None => poison.after[last].push(span),
            }
        }
        poison
    }
}

#[derive(Default)]
struct Facts {
    /// First and last step of each loop, outer ones before inner ones.
    loops: Vec<(usize, usize)>,
    /// What a `While` reads after a step that is inside it.
    conditions: Vec<(usize, ValueId)>,
}

impl Facts {
    fn collect(&mut self, steps: &[Step], number: &mut usize) {
        for step in steps {
            let start = *number;
            *number += 1;
            if matches!(step, Step::Repeat { .. } | Step::While { .. }) {
                self.loops.push((start, start + step.n_steps() - 1));
            }
            let [first, second] = step.blocks();
            self.collect(first, number);
            if let Step::While { cond, .. } = step {
                self.conditions.push((*number - 1, *cond));
            }
            self.collect(second, number);
        }
    }

    fn read_late(&self, entry: &Entry, index: usize, last: usize) -> bool {
        self.conditions.iter().any(|&(step, cond)| step == last && entry.root(cond).0 as usize == index)
    }
}
