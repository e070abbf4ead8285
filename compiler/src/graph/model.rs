//! A model as the front end hands it on: its entries as graphs, what it keeps between calls, and its tree of modules.
//!
//! Invariant: `params` and `states` are in the order of their declaration, paths are unique, and `init` has one output for
//! each of them under that path. An entry's arguments are its data in the order of the signature, `seed` and `step` where it
//! draws random numbers, then the params and states it uses, by path.

use super::{Dim, Graph, Origin, Role, Type};

#[derive(Clone)]
pub struct Model {
    pub name: String,
    pub params: Vec<Member>,
    pub states: Vec<Member>,
    pub entries: Vec<Graph>,
    /// Initial values: no data but `seed: i64[]`, an output per param and state.
    pub init: Graph,
    pub tree: Module,
    /// The round of steps that training repeats, each with how many times in a row; empty but for a `train`.
    pub schedule: Vec<(String, i64)>,
    /// What the spec calls the sizes of each entry; a model that was read from its graphs has none.
    pub sizes: Vec<NamedSize>,
    /// Functions of the model that are no entries, and why.
    pub skipped: Vec<(String, String)>,
    /// Conditions over tensors that an entry computes, by entry and as written: nothing checks them. Those over scalars
    /// that it is called with are checks of its graph.
    pub assertions: Vec<(String, String)>,
}

/// A size by the name that a spec gives it in an entry: `H` is `8*H_8` where its `where` says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedSize {
    pub entry: String,
    pub name: String,
    pub size: Dim,
}

/// A `param` or a `state`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub path: String,
    pub ty: Type,
    pub origin: Origin,
    /// The path of the member it is a copy of after loading, unless a file names it.
    pub copy_of: Option<String>,
    /// Whether it was declared as a `param`: one that a step updates is a state of its model, and learned all the same.
    pub is_learned: bool,
}

/// An instance of a module in the tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Module {
    /// The last part of its path; empty for the root.
    pub name: String,
    pub path: String,
    /// The name of the `module` item.
    pub kind: String,
    /// The config it was built with, as a reader would write it.
    pub config: Vec<(String, String)>,
    pub children: Vec<Module>,
    /// Paths of its own params and states, not those of its children.
    pub members: Vec<String>,
    pub origin: Origin,
}

impl Model {
    pub fn entry(&self, name: &str) -> Option<&Graph> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// How many learned numbers there are.
    pub fn n_params(&self) -> i64 {
        let counts = self.learned().map(|member| member.ty.n_elements().as_constant().unwrap_or(0));
        counts.fold(0, i64::saturating_add)
    }

    /// What is learned: the params, and those states that were declared as such.
    pub fn learned(&self) -> impl Iterator<Item = &Member> {
        self.params.iter().chain(self.states.iter().filter(|state| state.is_learned))
    }

    pub fn member(&self, path: &str) -> Option<(Role, &Member)> {
        let of = |members: &'_ [Member]| members.iter().position(|member| member.path == path);
        match (of(&self.params), of(&self.states)) {
            (Some(idx), _) => Some((Role::Param, &self.params[idx])),
            (None, Some(idx)) => Some((Role::State, &self.states[idx])),
            (None, None) => None,
        }
    }
}
