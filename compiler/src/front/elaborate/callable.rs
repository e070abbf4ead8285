//! What a spec can call without importing it: built-in functions, and the ops that it can call as they are.
//!
//! Invariant: a name means here what it means in a spec, where built-in functions come before ops.

use super::builtins::{self, Builtin};
use super::ops::visible;
use crate::graph::OpDef;

#[derive(Clone, Copy)]
pub enum Callable {
    Function(&'static Builtin),
    Op(&'static OpDef),
}

impl Callable {
    /// All of them, by name.
    pub fn all() -> Vec<Callable> {
        let own = |op: &&OpDef| visible(op.name).is_some() && builtins::find(op.name).is_none();
        let ops = crate::ops::TABLE.iter().copied().filter(own).map(Callable::Op);
        let mut all: Vec<Callable> = builtins::TABLE.iter().map(Callable::Function).chain(ops).collect();
        all.sort_by_key(Callable::name);
        all
    }

    pub fn find(name: &str) -> Option<Callable> {
        Callable::all().into_iter().find(|callable| callable.name() == name)
    }

    pub fn name(&self) -> &'static str {
        match self {
            Callable::Function(function) => function.name,
            Callable::Op(op) => op.name,
        }
    }

    /// The op of this name, which `ops.NAME` is in any case.
    pub fn op(&self) -> Option<&'static OpDef> {
        visible(self.name())
    }

    pub fn signature(&self) -> String {
        match self {
            Callable::Function(function) => function.signature(),
            Callable::Op(op) => op.signature(),
        }
    }
}
