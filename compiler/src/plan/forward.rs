//! Removes copies: a value that is only copied somewhere is computed there in the first place.
//!
//! `v = f(…); …; copy v -> t` becomes `t = f(…); …` where nothing else touches `t` in between. If `f` itself reads `t`, it
//! must be able to write over what it reads. Outputs, new states and carried values all arrive as copies, so this one
//! rule places them. A copy whose conditions cannot be shown stays: it costs time and nothing else.

use tilewright_runtime::program::{Storage, ValueId};

use super::draft::{Action, Draft, InPlace, Step};
use super::in_place;
use super::uses::Uses;

pub fn forward_copies(draft: &mut Draft) {
    let mut at = 0;
    loop {
        let uses = Uses::of(draft);
        let Some((copy, from, to)) = next_copy(&draft.steps, at) else { return };
        match can_forward(draft, &uses, copy, from, to) {
            Some(definition) => {
                let (from, to) = (draft.root(from), draft.root(to));
                apply_in_place(draft, definition, (from, to));
                draft.merge(from, to);
                remove(&mut draft.steps, copy);
                at = copy;
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

/// The step that would write to `to` directly, if that changes nothing.
fn can_forward(draft: &Draft, uses: &Uses, copy: usize, from: ValueId, to: ValueId) -> Option<usize> {
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
    let between = uses.of_root(to).iter().filter(|u| (first..copy).contains(&u.step));
    let in_the_way = between.filter(|u| u.step != first || u.writes || !overwrites(draft, first, (from, to))).count();
    let changed_later = uses.of_root(to).iter().any(|u| u.writes && u.step > copy && u.step <= last);
    // A value that has become a carried one is written again, and what was copied from it before is not.
    let moves_on = uses.of_root(from).iter().any(|u| u.writes && u.step > copy);
    (in_the_way == 0 && !changed_later && !moves_on).then_some(first)
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

fn remove(steps: &mut Vec<Step>, number: usize) {
    fn search(steps: &mut Vec<Step>, wanted: usize, next: &mut usize) {
        let mut idx = 0;
        while idx < steps.len() {
            if *next == wanted {
                steps.remove(idx);
                *next += 1;
                continue;
            }
            *next += 1;
            steps[idx].action.blocks_mut().into_iter().for_each(|block| search(block, wanted, next));
            idx += 1;
        }
    }
    search(steps, number, &mut 0);
}
