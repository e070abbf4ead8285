//! An entry on its way from graph to plan: the steps are there, the sharing of memory is not decided.
//!
//! Invariant: every value has memory of its own until `forward` and `reuse` make it an alias; aliases never form a
//! circle. Steps name their kernels by value; those that survive are numbered when the draft is finished.

use std::rc::Rc;

use tilewright_runtime::program::{Bound, SliceMove, Storage, ValueId};

use crate::graph::Type;
use crate::kernel::Kernel;

#[derive(Default)]
pub struct Draft {
    pub values: Vec<Slot>,
    pub steps: Vec<Step>,
}

pub struct Slot {
    pub ty: Type,
    pub storage: Storage,
}

pub struct Step {
    /// What it was made from: `blocks.0.attn vit.tw:16`.
    pub label: String,
    pub action: Action,
}

pub enum Action {
    Launch(Launch),
    Copy { from: ValueId, to: ValueId },
    CopySlice { from: ValueId, to: ValueId, at: ValueId, direction: SliceMove },
    Repeat { counter: ValueId, from: Bound, to: Bound, body: Vec<Step> },
    While { at_most: Option<Bound>, cond: ValueId, test: Vec<Step>, body: Vec<Step> },
    Cond { cond: ValueId, then: Vec<Step>, otherwise: Vec<Step> },
}

pub struct Launch {
    pub kernel: Rc<Kernel>,
    /// The operands, then the results, then working memory.
    pub args: Vec<ValueId>,
    pub in_place: Vec<InPlace>,
}

/// A way to write a result over an operand that nobody needs afterwards; both are numbers of arguments.
#[derive(Clone)]
pub struct InPlace {
    pub operand: usize,
    pub result: usize,
    /// The kernel to use then. It takes all arguments but the operand.
    pub kernel: Rc<Kernel>,
}

impl Draft {
    pub fn add(&mut self, ty: Type, storage: Storage) -> ValueId {
        self.values.push(Slot { ty, storage });
        ValueId(self.values.len() as u32 - 1)
    }

    /// Memory of their own for values of these types.
    pub fn arena(&mut self, types: &[Type]) -> Vec<ValueId> {
        types.iter().map(|ty| self.add(ty.clone(), Storage::Arena)).collect()
    }

    pub fn slot(&self, id: ValueId) -> &Slot {
        &self.values[id.0 as usize]
    }

    /// The value that owns the bytes.
    pub fn root(&self, id: ValueId) -> ValueId {
        let mut root = id;
        while let Storage::Alias(of) = self.slot(root).storage {
            root = of;
        }
        root
    }

    /// Makes `value`, a root, share the memory of `of`.
    pub fn merge(&mut self, value: ValueId, of: ValueId) {
        debug_assert_ne!(self.root(of), value);
        self.values[value.0 as usize].storage = Storage::Alias(of);
    }

    pub fn same_bytes(&self, a: ValueId, b: ValueId) -> bool {
        let (a, b) = (&self.slot(a).ty, &self.slot(b).ty);
        a.dtype.size_of() == b.dtype.size_of() && a.n_elements() == b.n_elements()
    }
}

impl Action {
    /// The blocks inside, in pre-order.
    pub fn blocks(&self) -> [&[Step]; 2] {
        match self {
            Action::Launch(_) | Action::Copy { .. } | Action::CopySlice { .. } => [&[], &[]],
            Action::Repeat { body, .. } => [body, &[]],
            Action::While { test, body, .. } => [test, body],
            Action::Cond { then, otherwise, .. } => [then, otherwise],
        }
    }

    pub fn blocks_mut(&mut self) -> Vec<&mut Vec<Step>> {
        match self {
            Action::Launch(_) | Action::Copy { .. } | Action::CopySlice { .. } => Vec::new(),
            Action::Repeat { body, .. } => vec![body],
            Action::While { test, body, .. } => vec![test, body],
            Action::Cond { then, otherwise, .. } => vec![then, otherwise],
        }
    }

    pub fn is_loop(&self) -> bool {
        matches!(self, Action::Repeat { .. } | Action::While { .. })
    }
}
