//! Models written as graphs (`.twir`): one graph per entry, members declared by their roles.

use tilewright_compiler::graph::parse::{Library, parse_module};
use tilewright_compiler::graph::verify::verify;
use tilewright_compiler::graph::{Argument, Graph, Member, Model, Module, Role};
use tilewright_compiler::ops;

use crate::Error;

/// A model whose entries are these graphs. States start as zeros, params have no initialisers.
pub fn model_from_text(name: &str, text: &str) -> Result<Model, Error> {
    let library = Library::of_ops(&|name| ops::find(name));
    let entries = parse_module(text, library).map_err(|error| Error::request(format!("{name}:{error}")))?;
    for graph in &entries {
        if let Err(violations) = verify(graph) {
            let list: Vec<String> = violations.iter().map(ToString::to_string).collect();
            return Err(Error::request(format!("{name}: {}", list.join("\n"))));
        }
    }
    Ok(Model {
        name: name.to_string(),
        params: members(&entries, Role::Param)?,
        states: members(&entries, Role::State)?,
        entries,
        init: Graph::new("init"),
        tree: Module::default(),
        schedule: Vec::new(),
        sizes: Vec::new(),
        skipped: Vec::new(),
        assertions: Vec::new(),
    })
}

fn members(entries: &[Graph], role: Role) -> Result<Vec<Member>, Error> {
    let mut members: Vec<Member> = Vec::new();
    for graph in entries {
        let mine = graph.arguments().iter().filter(|argument| argument.role == role);
        for Argument { name, value, .. } in mine {
            let ty = graph.type_of(*value).clone();
            match members.iter().find(|member| member.path == *name) {
                Some(known) if known.ty != ty => {
                    let (one, other) = (&known.ty, &ty);
                    return Err(Error::request(format!("the {} `{name}` is {one} and {other}", role.name())));
                }
                Some(_) => {}
                None => members.push(Member {
                    path: name.clone(),
                    ty,
                    origin: Default::default(),
                    copy_of: None,
                    is_learned: role == Role::Param,
                }),
            }
        }
    }
    Ok(members)
}
