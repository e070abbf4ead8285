//! The outside of an entry: what comes in, what goes out, and what the program keeps.
//!
//! Invariant: an output and a new state arrive by a copy at the end, outputs first: they may show what a state was.

use tilewright_runtime::program::size::constant_shape;
use tilewright_runtime::program::{InitValue, ParamDecl, Port, PreparedDecl, Program, StateDecl, Storage, ValueId};

use super::build::Planner;
use super::draft::{Action, Step};
use super::{Interface, PlanError};
use crate::graph::{Graph, Role, Type};

#[derive(Default)]
pub struct Ports {
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
}

pub fn declare_members(program: &mut Program, interface: &Interface) -> Result<(), PlanError> {
    for (name, ty) in &interface.params {
        program.params.push(ParamDecl { name: name.clone(), dtype: ty.dtype, shape: param_shape(name, ty)? });
    }
    if let Some((entry, values)) = &interface.prepared {
        for (output, (name, ty)) in values.iter().enumerate() {
            let (dtype, shape) = (ty.dtype, param_shape(name, ty)?);
            program.prepared.push(PreparedDecl { dtype, shape, entry: *entry as u32, output: output as u32 });
        }
    }
    for state in &interface.states {
        let init = state.initial.map_or(InitValue::Zeros, |(entry, output)| InitValue::Entry {
            entry: entry as u32,
            output: output as u32,
        });
        let (dtype, shape) = (state.ty.dtype, state.ty.shape.clone());
        program.states.push(StateDecl { name: state.name.clone(), dtype, shape, init });
    }
    Ok(())
}

fn param_shape(name: &str, ty: &Type) -> Result<Vec<usize>, PlanError> {
    constant_shape(&ty.shape).ok_or_else(|| PlanError::new(format!("the param `{name}` has the type {ty}")))
}

impl Planner<'_, '_> {
    /// Plans the graph of an entry into the draft.
    pub fn entry(&mut self, program: &Program, interface: &Interface, graph: &Graph) -> Result<Ports, PlanError> {
        let mut ports = Ports::default();
        let mut arguments = Vec::new();
        for argument in graph.arguments() {
            let ty = graph.type_of(argument.value).clone();
            let storage = match argument.role {
                Role::Data => {
                    ports.inputs.push(port(&argument.name, &ty));
                    Storage::Input(ports.inputs.len() as u32 - 1)
                }
                Role::Param => match prepared(interface, &argument.name) {
                    Some(number) => Storage::Prepared(number),
                    None => Storage::Param(member(graph, &argument.name, program.params.iter().map(|p| &p.name))?),
                },
                Role::State => Storage::State(member(graph, &argument.name, program.states.iter().map(|s| &s.name))?),
            };
            arguments.push(self.draft.add(ty, storage));
        }
        let (steps, results) = self.graph(graph, &arguments)?;
        self.draft.steps = steps;
        self.outputs(program, graph, &arguments, &results, &mut ports)?;
        Ok(ports)
    }

    fn outputs(
        &mut self,
        program: &Program,
        graph: &Graph,
        arguments: &[ValueId],
        results: &[ValueId],
        ports: &mut Ports,
    ) -> Result<(), PlanError> {
        let (mut new_states, mut states) = (Vec::new(), Vec::new());
        for (output, &from) in graph.outputs().iter().zip(results) {
            let ty = graph.type_of(output.value).clone();
            match output.role {
                Role::Data => {
                    ports.outputs.push(port(&output.name, &ty));
                    let to = self.draft.add(ty, Storage::Output(ports.outputs.len() as u32 - 1));
                    self.draft.steps.push(Step { label: output.name.clone(), action: Action::Copy { from, to } });
                }
                Role::State => {
                    let number = member(graph, &output.name, program.states.iter().map(|s| &s.name))?;
                    let known = arguments.iter().find(|&&id| self.draft.slot(id).storage == Storage::State(number));
                    let to = known.copied().unwrap_or_else(|| self.draft.add(ty, Storage::State(number)));
                    new_states.push(from);
                    states.push(to);
                }
                Role::Param => {
                    let message = format!("the param `{}` is written, which only training does", output.name);
                    return Err(PlanError::of(graph, message));
                }
            }
        }
        let mut copies = Vec::new();
        self.move_all(&new_states, &states, "state", &mut copies);
        self.draft.steps.append(&mut copies);
        Ok(())
    }
}

fn port(name: &str, ty: &Type) -> Port {
    Port { name: name.to_string(), dtype: ty.dtype, shape: ty.shape.clone() }
}

fn prepared(interface: &Interface, name: &str) -> Option<u32> {
    let (_, values) = interface.prepared.as_ref()?;
    values.iter().position(|(known, _)| known == name).map(|number| number as u32)
}

fn member<'a>(graph: &Graph, name: &str, mut names: impl Iterator<Item = &'a String>) -> Result<u32, PlanError> {
    let position = names.position(|known| known == name);
    position.map(|at| at as u32).ok_or_else(|| PlanError::of(graph, format!("the model declares no member `{name}`")))
}
