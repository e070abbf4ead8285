//! Writes results over operands that die: an elementwise step whose operand is read for the last time needs no memory of
//! its own.
//!
//! Only between values of the arena, only where the operand's life ends at this very step (loops that run it again count
//! as later), and only where every read of the operand allows it.

use tilewright_runtime::program::{Storage, ValueId};

use super::draft::{Action, Draft, InPlace, Step};
use super::forward::{apply_in_place, way_over};
use super::uses::Uses;
use crate::seeded::{Fault, is};

pub fn reuse_operands(draft: &mut Draft) {
    let mut found = Vec::new();
    collect(&draft.steps, &mut 0, &mut found);
    let mut uses = Uses::of(draft);
    for (number, launch) in found {
        let mut merged: Vec<ValueId> = Vec::new();
        for way in &launch.in_place {
            let pair @ (result, operand) = (draft.root(launch.args[way.result]), draft.root(launch.args[way.operand]));
            let is_taken = [result, operand].iter().any(|value| merged.contains(value));
            if !is_taken && can_overwrite(draft, &uses, number, &launch, pair) {
                apply_in_place(draft, number, pair);
                draft.merge(result, operand);
                uses.merge(result, operand);
                merged.push(operand);
            }
        }
    }
}

struct Candidate {
    args: Vec<ValueId>,
    in_place: Vec<InPlace>,
}

fn collect(steps: &[Step], next: &mut usize, found: &mut Vec<(usize, Candidate)>) {
    for step in steps {
        if let Action::Launch(launch) = &step.action
            && !launch.in_place.is_empty()
        {
            found.push((*next, Candidate { args: launch.args.clone(), in_place: launch.in_place.clone() }));
        }
        *next += 1;
        step.action.blocks().into_iter().for_each(|block| collect(block, next, found));
    }
}

fn can_overwrite(
    draft: &Draft,
    uses: &Uses,
    number: usize,
    launch: &Candidate,
    pair @ (result, operand): (ValueId, ValueId),
) -> bool {
    let in_arena = |id: ValueId| draft.slot(id).storage == Storage::Arena;
    if operand == result || !in_arena(operand) || !in_arena(result) || !draft.same_bytes(operand, result) {
        return false;
    }
    let has_way = way_over(draft, &launch.args, &launch.in_place, pair).is_some();
    let (Some((first, last)), Some((born, _))) = (uses.lifetime(operand), uses.lifetime(result)) else { return false };
    let loops = &uses.places[number].loops;
    let dies = last == number || is(Fault::OverwritesTheLiving);
    has_way && dies && born == number && loops.iter().all(|&(start, _)| start < first)
}
