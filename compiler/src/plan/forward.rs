//! Removes copies: a value that is only copied somewhere is computed there in the first place.
//!
//! `v = f(…); …; copy v -> t` becomes `t = f(…); …` where nothing else touches `t` in between. If `f` itself reads `t`, it
//! must be able to write over what it reads; and where one branch of a condition leaves `t` as it is, by a copy `t -> v`,
//! there is nothing left to do in it. Outputs, new states and carried values all arrive as copies, so this one
//! rule places them. A copy whose conditions cannot be shown stays: it costs time and nothing else.

use tilewright_runtime::program::{Storage, ValueId};

use super::draft::{Action, Draft, InPlace, Step};
use super::in_place;
use super::uses::{Place, Use, Uses};

pub fn forward_copies(draft: &mut Draft) {
    let mut at = 0;
    loop {
        let uses = Uses::of(draft);
        let Some((copy, from, to)) = next_copy(&draft.steps, at) else { return };
        match can_forward(draft, &uses, copy, from, to) {
            Some(writes_over) => {
                let (from, to) = (draft.root(from), draft.root(to));
                writes_over.iter().for_each(|&step| apply_in_place(draft, step, (from, to)));
                draft.merge(from, to);
                let mut steps = std::mem::take(&mut draft.steps);
                at = (copy + 1).saturating_sub(drop_empty_copies(draft, &mut steps));
                draft.steps = steps;
            }
            None => at = copy + 1,
        }
    }
}

/// The first copy at or after a step number, with that number.
fn next_copy(steps: &[Step], from: usize) -> Option<(usize, ValueId, ValueId)> {
    fn search(steps: &[Step], least: usize, number: &mut usize) -> Option<(usize, ValueId, ValueId)> {
        for step in steps {
            let own = *number;
            *number += 1;
            if let Action::Copy { from, to } = step.action
                && own >= least
            {
                return Some((own, from, to));
            }
            for block in step.action.blocks() {
                if let Some(found) = search(block, least, number) {
                    return Some(found);
                }
            }
        }
        None
    }
    search(steps, from, &mut 0)
}

/// If all that writes `from` may as well write to `to`: the steps that then write over what they read.
fn can_forward(draft: &Draft, uses: &Uses, copy: usize, from: ValueId, to: ValueId) -> Option<Vec<usize>> {
    let (from, to) = (draft.root(from), draft.root(to));
    if from == to || draft.slot(from).storage != Storage::Arena || !draft.same_bytes(from, to) {
        return None;
    }
    let (first, last) = uses.lifetime(from)?;
    let here = &uses.places[copy];
    // The value belongs to the copy's own block: whatever runs one runs the other.
    let defined_here =
        (0..=first).rev().any(|step| uses.places[step].block == here.block && uses.places[step].end >= first);
    let inside_loops = here.loops.iter().all(|&(start, end)| start < first && last <= end);
    if !defined_here || !inside_loops {
        return None;
    }
    let changed_later = uses.of_root(to).iter().any(|u| u.writes && u.step > copy && u.step <= last);
    // A value that has become a carried one is written again, and what was copied from it before is not.
    let moves_on = uses.of_root(from).iter().any(|u| u.writes && u.step > copy);
    if changed_later || moves_on {
        return None;
    }
    let mut writes_over = Vec::new();
    for found in uses.of_root(to).iter().filter(|u| (first..copy).contains(&u.step)) {
        match meets(draft, uses, found, (from, to)) {
            // The next round of a loop would meet what this one left.
            _ if uses.places[found.step].loops != here.loops => return None,
            Meets::Before => {}
            Meets::Over => writes_over.push(found.step),
            Meets::Change => return None,
        }
    }
    Some(writes_over)
}

/// What a use of `to` would find there, if `from` was written to it.
enum Meets {
    /// What was there before, which nothing changes at the same step.
    Before,
    /// The same, and the step writes over it.
    Over,
    Change,
}

fn meets(draft: &Draft, uses: &Uses, found: &Use, (from, to): (ValueId, ValueId)) -> Meets {
    let place = &uses.places[found.step];
    // Of two branches of a condition only one is taken.
    let is_apart = |other: &Place| place.cond.is_some() && other.cond == place.cond && other.block != place.block;
    let writes = uses.of_root(from).iter().filter(|u| u.writes && !is_apart(&uses.places[u.step]));
    match writes.map(|u| u.step).filter(|&step| step <= found.step).min() {
        _ if found.writes => Meets::Change,
        None => Meets::Before,
        Some(step) if step < found.step => Meets::Change,
        Some(step) if overwrites(draft, step, (from, to)) => Meets::Over,
        Some(step) if is_copy(draft, step, (to, from)) => Meets::Before,
        Some(_) => Meets::Change,
    }
}

fn is_copy(draft: &Draft, number: usize, (from, to): (ValueId, ValueId)) -> bool {
    let mut found = false;
    visit_step(&draft.steps, number, &mut |step| {
        if let Action::Copy { from: source, to: target } = step.action {
            found = (draft.root(source), draft.root(target)) == (from, to);
        }
    });
    found
}

/// Whether step `number` is a launch that may write a result over an operand, which it reads.
fn overwrites(draft: &Draft, number: usize, pair: (ValueId, ValueId)) -> bool {
    let mut found = false;
    visit_step(&draft.steps, number, &mut |step| {
        if let Action::Launch(launch) = &step.action {
            found = way_over(draft, &launch.args, &launch.in_place, pair).is_some();
        }
    });
    found
}

/// The way to run a launch with a result over an operand, if that is read once and in place.
pub fn way_over<'a>(
    draft: &Draft,
    args: &[ValueId],
    ways: &'a [InPlace],
    (result, operand): (ValueId, ValueId),
) -> Option<&'a InPlace> {
    let lies_at = |idx: usize, value: ValueId| draft.root(args[idx]) == value;
    let n_uses = (0..args.len()).filter(|&idx| lies_at(idx, operand)).count();
    ways.iter().find(|way| n_uses == 1 && lies_at(way.operand, operand) && lies_at(way.result, result))
}

/// Chooses the kernel for a result that lies where an operand does, at a step that may read it.
pub fn apply_in_place(draft: &mut Draft, number: usize, pair: (ValueId, ValueId)) {
    let mut steps = std::mem::take(&mut draft.steps);
    visit_step_mut(&mut steps, number, &mut |step| {
        let Action::Launch(launch) = &mut step.action else { return };
        if let Some(way) = way_over(draft, &launch.args, &launch.in_place, pair).cloned() {
            launch.args.remove(way.operand);
            launch.in_place = in_place::ways_after(&way, &launch.in_place);
            launch.kernel = way.kernel;
        }
    });
    draft.steps = steps;
}

pub fn visit_step(steps: &[Step], number: usize, visit: &mut dyn FnMut(&Step)) {
    fn search(steps: &[Step], wanted: usize, next: &mut usize, visit: &mut dyn FnMut(&Step)) {
        for step in steps {
            if *next == wanted {
                visit(step);
            }
            *next += 1;
            step.action.blocks().into_iter().for_each(|block| search(block, wanted, next, visit));
        }
    }
    search(steps, number, &mut 0, visit);
}

pub fn visit_step_mut(steps: &mut [Step], number: usize, visit: &mut dyn FnMut(&mut Step)) {
    fn search(steps: &mut [Step], wanted: usize, next: &mut usize, visit: &mut dyn FnMut(&mut Step)) {
        for step in steps {
            if *next == wanted {
                visit(step);
            }
            *next += 1;
            step.action.blocks_mut().into_iter().for_each(|block| search(block, wanted, next, visit));
        }
    }
    search(steps, number, &mut 0, visit);
}

/// Removes copies from a place to itself, and says how many there were.
fn drop_empty_copies(draft: &Draft, steps: &mut Vec<Step>) -> usize {
    let before = steps.len();
    steps.retain(|step| match step.action {
        Action::Copy { from, to } => draft.root(from) != draft.root(to),
        _ => true,
    });
    let removed = before - steps.len();
    let blocks = steps.iter_mut().flat_map(|step| step.action.blocks_mut());
    removed + blocks.map(|block| drop_empty_copies(draft, block)).sum::<usize>()
}
