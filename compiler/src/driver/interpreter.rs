//! The reference interpreter behind the interface of a session: weights, inputs, states that stay between calls.
//!
//! Invariant: a state changes only if the whole call succeeded.

use std::cell::RefCell;
use std::collections::HashMap;

use tilewright_runtime::program::{SEED_INPUT, STEP_INPUT};

use crate::graph::interpret::{MAX_ELEMENTS, Watch, interpret_watched};
use crate::graph::{DType, EvalError, Graph, Model, NodeId, Precision, Role, Symbol, Tensor};

use super::initial::initial_params;
use crate::passes::{Context, differentiate, precision};

pub struct Interpreter {
    model: Model,
    params: HashMap<String, Tensor>,
    states: HashMap<String, Tensor>,
    /// Sizes fixed for the whole session.
    sizes: HashMap<Symbol, i64>,
    seed: i64,
    precision: Precision,
}

impl Interpreter {
    /// Params by path; those that are missing are an error when an entry uses them.
    pub fn new(mut model: Model, params: HashMap<String, Tensor>, precision: Precision) -> Interpreter {
        // Where a gradient cannot be written out, it stays, and running its entry says so.
        let written_out = |entry: &Graph| (differentiate::PASS.run)(entry, &Context::default());
        model.entries.iter_mut().for_each(|entry| *entry = written_out(entry).unwrap_or_else(|_| entry.clone()));
        Interpreter { model, params, states: HashMap::new(), sizes: HashMap::new(), seed: 0, precision }
    }

    pub fn with_seed(self, seed: i64) -> Interpreter {
        Interpreter { seed, ..self }
    }

    pub fn with_size(mut self, name: &str, value: i64) -> Interpreter {
        self.sizes.insert(Symbol::new(name), value);
        self
    }

    /// Gives all params their initial values.
    pub fn initialize(&mut self) -> Result<(), EvalError> {
        let model = initial_params(&self.model);
        let outputs = self.evaluate(&model.entries[0], &HashMap::new())?;
        self.params.extend(outputs.into_iter().map(|(name, _, tensor)| (name, tensor)));
        Ok(())
    }

    /// The value of a param.
    pub fn param(&self, path: &str) -> Option<&Tensor> {
        self.params.get(path)
    }

    /// What these states start from, whose sizes are known.
    pub fn first_states(&self, paths: &[String]) -> Result<Vec<(String, Tensor)>, EvalError> {
        let made = self.evaluate_some(&self.model.init, paths)?;
        let first = |(path, _, value): (String, Role, Tensor)| {
            let given = self.states.get(&path).cloned();
            (path, given.unwrap_or(value))
        };
        Ok(made.into_iter().map(first).collect())
    }

    /// What a checkpoint says of a state, instead of its initial value.
    pub fn set_state(&mut self, path: &str, value: Tensor) {
        self.states.insert(path.to_string(), value);
    }

    /// Runs an entry; gives its outputs by name, in order.
    pub fn run(&mut self, entry: &str, inputs: &HashMap<String, Tensor>) -> Result<Vec<(String, Tensor)>, EvalError> {
        let graph = self.model.entry(entry).ok_or_else(|| EvalError::new(format!("there is no entry `{entry}`")))?;
        let graph = graph.clone();
        self.start_states(&graph, inputs)?;
        let mut results = Vec::new();
        for (name, role, tensor) in self.evaluate(&graph, inputs)? {
            match role {
                Role::State => _ = self.states.insert(name, tensor),
                _ => results.push((name, tensor)),
            }
        }
        Ok(results)
    }

    /// Runs an entry, changing no state: the first op that makes a NaN of none, or else something infinite of what is
    /// finite, and where the spec has it.
    pub fn first_not_finite(
        &mut self,
        entry: &str,
        inputs: &HashMap<String, Tensor>,
    ) -> Result<Option<(&'static str, String)>, EvalError> {
        let graph = self.model.entry(entry).ok_or_else(|| EvalError::new(format!("there is no entry `{entry}`")))?;
        let decided = (precision::PASS.run)(graph, &Context::default());
        let (graph, precision) = decided.map_or((graph.clone(), Precision::Wide), |graph| (graph, Precision::Declared));
        self.start_states(&graph, inputs)?;
        self.precision = precision;
        let found = RefCell::new([None; 2]);
        let any = |tensors: &[Tensor], odd: fn(f64) -> bool| {
            tensors.iter().any(|tensor| tensor.as_floats().is_some_and(|values| values.iter().any(|&value| odd(value))))
        };
        let watch = |id: NodeId, operands: &[Tensor], results: &[Tensor]| {
            let mut found = found.borrow_mut();
            for (found, odd) in found.iter_mut().zip([f64::is_nan, f64::is_infinite]) {
                if found.is_none() && !operands.is_empty() && any(results, odd) && !any(operands, odd) {
                    *found = Some(id);
                }
            }
        };
        self.evaluate_watched(&graph, inputs, Some(&watch))?;
        let [nan, infinite] = *found.borrow();
        Ok(nan.or(infinite).map(|id| (graph.node(id).op.name, graph.node(id).origin.to_string())))
    }

    fn evaluate(
        &self,
        graph: &Graph,
        inputs: &HashMap<String, Tensor>,
    ) -> Result<Vec<(String, Role, Tensor)>, EvalError> {
        self.evaluate_watched(graph, inputs, None)
    }

    fn evaluate_watched(
        &self,
        graph: &Graph,
        inputs: &HashMap<String, Tensor>,
        watch: Option<Watch>,
    ) -> Result<Vec<(String, Role, Tensor)>, EvalError> {
        let mut arguments = Vec::new();
        for argument in graph.arguments() {
            let source = match argument.role {
                Role::Data => inputs,
                Role::Param => &self.params,
                Role::State => &self.states,
            };
            let given = source.get(&argument.name).cloned();
            let default = || match (argument.name.as_str(), argument.role) {
                (SEED_INPUT, Role::Data) => Some(Tensor::int_scalar(DType::I64, self.seed)),
                (STEP_INPUT, Role::Data) => Some(Tensor::int_scalar(DType::I64, 0)),
                _ => None,
            };
            let missing = || {
                let (name, ty) = (&argument.name, graph.type_of(argument.value));
                EvalError::new(format!("`{}` needs the {} `{name}`: {ty}", graph.name, argument.role.name()))
            };
            arguments.push(given.or_else(default).ok_or_else(missing)?);
        }
        let sizes = |symbol: &Symbol| self.sizes.get(symbol).copied();
        let values = interpret_watched(graph, &arguments, &sizes, self.precision, MAX_ELEMENTS, watch)?;
        let named = graph.outputs().iter().zip(values);
        Ok(named.map(|(output, value)| (output.name.clone(), output.role, value)).collect())
    }

    /// States that an entry uses for the first time get their initial values, at the sizes of this call.
    fn start_states(&mut self, graph: &Graph, inputs: &HashMap<String, Tensor>) -> Result<(), EvalError> {
        let is_new = |name: &String| !self.states.contains_key(name);
        let used = graph.arguments().iter().filter(|argument| argument.role == Role::State);
        let missing: Vec<String> = used.map(|argument| argument.name.clone()).filter(is_new).collect();
        if missing.is_empty() {
            return Ok(());
        }
        for argument in graph.arguments().iter().filter(|argument| argument.role == Role::Data) {
            let Some(input) = inputs.get(&argument.name) else { continue };
            for (dim, &size) in graph.type_of(argument.value).shape.iter().zip(&input.shape) {
                if let (Some(symbol), Ok(size)) = (dim.as_symbol(), i64::try_from(size)) {
                    self.sizes.entry(symbol.clone()).or_insert(size);
                }
            }
        }
        let init = self.model.init.clone();
        for (name, _, tensor) in self.evaluate_some(&init, &missing)? {
            self.states.insert(name, tensor);
        }
        Ok(())
    }

    fn evaluate_some(&self, init: &Graph, names: &[String]) -> Result<Vec<(String, Role, Tensor)>, EvalError> {
        let wanted = super::initial::outputs_named(init, names);
        self.evaluate(&wanted, &HashMap::new())
    }
}
