//! Who uses which memory, and when: steps by number, the blocks and loops around them, lifetimes.
//!
//! Invariant: numbers are pre-order as in `program::step`; a lifetime covers every use, and the whole of each loop that a
//! value crosses the edge of.

use tilewright_runtime::program::{Bound, ValueId};

use super::draft::{Action, Draft, Step};
use crate::kernel::Rights;
use crate::seeded::{Fault, is};

pub struct Uses {
    /// By step.
    pub places: Vec<Place>,
    /// By value that is a root: its uses.
    pub by_root: Vec<Vec<Use>>,
}

/// Where a step stands.
#[derive(Clone, Debug)]
pub struct Place {
    /// The block that holds it, by a number of its own.
    pub block: usize,
    /// First and last step of each loop around it, outermost first.
    pub loops: Vec<(usize, usize)>,
    /// The last step inside it.
    pub end: usize,
    /// The condition that its block is a branch of.
    pub cond: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    pub step: usize,
    pub writes: bool,
}

impl Uses {
    pub fn of(draft: &Draft) -> Uses {
        let by_root = draft.values.iter().map(|_| Vec::new()).collect();
        let mut walk = Walk { draft, uses: Uses { places: Vec::new(), by_root }, loops: Vec::new(), n_blocks: 0 };
        walk.block(&draft.steps, None);
        walk.uses
    }

    pub fn of_root(&self, root: ValueId) -> &[Use] {
        &self.by_root[root.0 as usize]
    }

    /// Follows `Draft::merge`: what used one root now uses another.
    pub fn merge(&mut self, value: ValueId, of: ValueId) {
        let moved = std::mem::take(&mut self.by_root[value.0 as usize]);
        self.by_root[of.0 as usize].extend(moved);
    }

    /// The first and the last step at which a root's bytes matter; `None` where no step uses it.
    pub fn lifetime(&self, root: ValueId) -> Option<(usize, usize)> {
        let uses = self.of_root(root);
        let (mut first, mut last) = (uses.iter().map(|u| u.step).min()?, uses.iter().map(|u| u.step).max()?);
        // Inner loops come first, so that what widens a life is seen by the loops around.
        let mut loops: Vec<(usize, usize)> = uses.iter().flat_map(|u| self.places[u.step].loops.clone()).collect();
        loops.sort_unstable_by_key(|&(start, end)| (end - start, start));
        loops.dedup();
        for (start, end) in loops {
            let within = start < first && last <= end;
            if !within && !is(Fault::LoopForgetsLifetimes) {
                (first, last) = (first.min(start), last.max(end));
            }
        }
        Some((first, last))
    }
}

struct Walk<'a> {
    draft: &'a Draft,
    uses: Uses,
    loops: Vec<(usize, usize)>,
    n_blocks: usize,
}

impl Walk<'_> {
    fn block(&mut self, steps: &[Step], cond: Option<usize>) {
        let block = self.n_blocks;
        self.n_blocks += 1;
        for step in steps {
            let number = self.uses.places.len();
            let end = number + n_steps(step) - 1;
            self.uses.places.push(Place { block, loops: self.loops.clone(), end, cond });
            self.step(step, number, end);
        }
    }

    fn step(&mut self, step: &Step, number: usize, end: usize) {
        match &step.action {
            Action::Launch(launch) => {
                for (&id, buffer) in launch.args.iter().zip(&launch.kernel.buffers) {
                    self.add(id, Use { step: number, writes: buffer.rights != Rights::Read });
                }
            }
            Action::Copy { from, to } => {
                self.reads(*from, number);
                self.writes(*to, number);
            }
            Action::CopySlice { from, to, at, .. } => {
                self.reads(*from, number);
                self.reads(*at, number);
                self.writes(*to, number);
            }
            Action::Repeat { counter, from, to, .. } => {
                self.bound(from, number);
                self.bound(to, number);
                // It is written before each round and lives through the last.
                self.writes(*counter, number);
                self.writes(*counter, end);
            }
            Action::While { at_most, .. } => {
                if let Some(at_most) = at_most {
                    self.bound(at_most, number);
                }
            }
            Action::Cond { cond, .. } => self.reads(*cond, number),
        }
        if step.action.is_loop() {
            self.loops.push((number, end));
        }
        let [first, second] = step.action.blocks();
        let cond = matches!(step.action, Action::Cond { .. }).then_some(number);
        self.block(first, cond);
        if let Action::While { cond, .. } = &step.action {
            let last_of_test = self.uses.places.len() - 1;
            self.reads(*cond, last_of_test);
        }
        self.block(second, cond);
        if step.action.is_loop() {
            self.loops.pop();
        }
    }

    fn bound(&mut self, bound: &Bound, number: usize) {
        if let Bound::Value(id) = bound {
            self.reads(*id, number);
        }
    }

    fn reads(&mut self, id: ValueId, step: usize) {
        self.add(id, Use { step, writes: false });
    }

    fn writes(&mut self, id: ValueId, step: usize) {
        self.add(id, Use { step, writes: true });
    }

    fn add(&mut self, id: ValueId, found: Use) {
        self.uses.by_root[self.draft.root(id).0 as usize].push(found);
    }
}

pub fn n_steps(step: &Step) -> usize {
    1 + step.action.blocks().into_iter().flatten().map(n_steps).sum::<usize>()
}
