//! Names that are given twice where each may stand once: parameters, members and functions.
//!
//! Invariant: `let` may shadow, and a member may have the name of a parameter; nothing else shares a name.

use std::collections::HashMap;

use super::twice;
use crate::diag::{Diagnostic, Span};
use crate::front::ast::{self, Entry, Item};

pub fn find(file: &ast::File) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for item in &file.items {
        match item {
            Item::Fn(function) => among(params(&function.params), &mut found),
            Item::Module(module) => in_module(module, &mut found),
            Item::Use(_) | Item::Const(_) => {}
        }
    }
    found
}

fn in_module(module: &ast::Module, found: &mut Vec<Diagnostic>) {
    among(params(&module.params), found);
    among(module.entries.iter().filter_map(name_of), found);
    for entry in &module.entries {
        if let Entry::Fn(function) | Entry::Step(function) = entry {
            among(params(&function.params), found);
        }
    }
}

fn name_of(entry: &Entry) -> Option<&ast::Ident> {
    match entry {
        Entry::Fn(function) | Entry::Step(function) => Some(&function.name),
        Entry::Member(member) => Some(&member.name),
        Entry::Let(_) | Entry::Schedule(_) => None,
    }
}

fn params(params: &[ast::Param]) -> impl Iterator<Item = &ast::Ident> {
    params.iter().map(|param| &param.name)
}

fn among<'n>(names: impl Iterator<Item = &'n ast::Ident>, found: &mut Vec<Diagnostic>) {
    let mut seen: HashMap<&str, Span> = HashMap::new();
    for name in names {
        if let Some(first) = seen.insert(&name.text, name.span) {
            found.push(twice(name, first));
        }
    }
}
