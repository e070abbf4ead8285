//! Writes results over operands that die: an elementwise step whose operand is read for the last time needs no memory of
//! its own.
//!
//! Only between values of the arena, only where the operand's life ends at this very step (loops that run it again count
//! as later), and only where every read of the operand allows it.

use tilewright_runtime::program::{Storage, ValueId};

use super::draft::{Action, Draft, InPlace, Launch, Step};
use super::forward::{apply_in_place, way_over};
use super::uses::Uses;
use crate::seeded::{Fault, is};

pub fn reuse_operands(draft: &mut Draft) {
    let mut found = Vec::new();
    collect(&draft.steps, &mut 0, &mut found);
    let mut uses = Uses::of(draft);
    for (number, launch) in found {
        let result = draft.root(launch.result);
        let mut dying = launch.in_place.iter().map(|in_place| draft.root(launch.args[in_place.operand]));
        let chosen = dying.find(|&operand| can_overwrite(draft, &uses, number, &launch, operand, result));
        if let Some(operand) = chosen {
            apply_in_place(draft, number, operand);
            draft.merge(result, operand);
            uses.merge(result, operand);
        }
    }
}

struct Candidate {
    args: Vec<ValueId>,
    in_place: Vec<InPlace>,
    result: ValueId,
}

fn collect(steps: &[Step], next: &mut usize, found: &mut Vec<(usize, Candidate)>) {
    for step in steps {
        if let Action::Launch(launch) = &step.action
            && !launch.in_place.is_empty()
        {
            found.push((*next, candidate(launch)));
        }
        *next += 1;
        step.action.blocks().into_iter().for_each(|block| collect(block, next, found));
    }
}

fn candidate(launch: &Launch) -> Candidate {
    Candidate { args: launch.args.clone(), in_place: launch.in_place.clone(), result: launch.result() }
}

fn can_overwrite(
    draft: &Draft,
    uses: &Uses,
    number: usize,
    launch: &Candidate,
    operand: ValueId,
    result: ValueId,
) -> bool {
    let in_arena = |id: ValueId| draft.slot(id).storage == Storage::Arena;
    if operand == result || !in_arena(operand) || !in_arena(result) || !draft.same_bytes(operand, result) {
        return false;
    }
    let has_way = way_over(draft, &launch.args, &launch.in_place, operand).is_some();
    let (Some((first, last)), Some((born, _))) = (uses.lifetime(operand), uses.lifetime(result)) else { return false };
    let loops = &uses.places[number].loops;
    let dies = last == number || is(Fault::OverwritesTheLiving);
    has_way && dies && born == number && loops.iter().all(|&(start, _)| start < first)
}
