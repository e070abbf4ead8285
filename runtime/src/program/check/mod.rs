//! What a well-formed program is. Programs come from files, so nothing is taken on trust.
//!
//! After [`Program::check`]: every index is in range; every size speaks of declared symbols only;
//! aliases name earlier values, aligned for their type; a launch passes what its kernel takes, and
//! what it writes is no other argument; nothing is written that is read-only or counts a loop; every
//! use of an arena value lies inside its lifetime, and lifetimes respect loops; nesting is bounded. What depends on the sizes' values (bytes of aliases, rows, storage) is
//! checked when an entry is bound to sizes, before any of its steps runs.

mod steps;

use std::collections::HashSet;
use std::fmt;

use super::size::constant_shape;
use super::{
    BlobId, DType, Dim, Entry, InitValue, Kernel, Port, PreparedDecl, Program, SizeDecl, Storage, Symbol, ValueDecl,
    ValueId,
};
use crate::error::{ErrorKind, RunError};

/// Axes that a shape may have.
pub const MAX_RANK: usize = 64;
/// How deep control flow may nest.
pub const MAX_NESTING: usize = 32;

/// The first rule that a program breaks, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    pub place: String,
    pub problem: String,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed program: {}: {}", self.place, self.problem)
    }
}

impl std::error::Error for Malformed {}

impl From<Malformed> for RunError {
    fn from(malformed: Malformed) -> RunError {
        RunError::new(ErrorKind::Program, malformed.to_string())
    }
}

/// Problems are made without a place; the callers that know the place add it.
type Checked = Result<(), String>;

fn ensure(holds: bool, problem: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(problem()) }
}

impl Program {
    pub fn check(&self) -> Result<(), Malformed> {
        let at = |place: String| move |problem| Malformed { place, problem };
        distinct("entry", self.entries.iter().map(|entry| &entry.name))
            .and_then(|()| distinct("param", self.params.iter().map(|param| &param.name)))
            .and_then(|()| distinct("state", self.states.iter().map(|state| &state.name)))
            .map_err(at(format!("program `{}`", self.name)))?;
        let decided = self.dtypes().all(|dtype| dtype != DType::Real);
        ensure(decided, || "a float's precision is not decided".to_string()).map_err(at("a type".to_string()))?;
        for kernel in &self.kernels {
            self.check_kernel(kernel).map_err(at(format!("kernel `{}`", kernel.name)))?;
        }
        for constant in &self.constants {
            self.has_blob(constant.data)
                .and_then(|()| {
                    let bytes = concrete_bytes(constant.dtype, &constant.shape)?;
                    let found = self.blob(constant.data).len();
                    ensure(bytes == found, || format!("{found} bytes, not {bytes}"))
                })
                .map_err(at(format!("constant `{}`", constant.name)))?;
        }
        for param in &self.params {
            concrete_bytes(param.dtype, &param.shape).map(drop).map_err(at(format!("param `{}`", param.name)))?;
        }
        for (index, prepared) in self.prepared.iter().enumerate() {
            self.check_prepared(prepared).map_err(at(format!("prepared value {index}")))?;
        }
        for index in 0..self.states.len() {
            let place = format!("state `{}`", self.states[index].name);
            self.check_state(index).map_err(at(place))?;
        }
        for entry in &self.entries {
            let place = format!("entry `{}`", entry.name);
            self.check_entry(entry).map_err(at(place))?;
        }
        Ok(())
    }

    fn dtypes(&self) -> impl Iterator<Item = DType> {
        let args = self.kernels.iter().flat_map(|kernel| &kernel.args).map(|arg| arg.dtype);
        let constants = self.constants.iter().map(|constant| constant.dtype);
        let params = self.params.iter().map(|param| param.dtype);
        let prepared = self.prepared.iter().map(|prepared| prepared.dtype);
        let states = self.states.iter().map(|state| state.dtype);
        let in_entry = |entry: &Entry| {
            let ports = entry.inputs.iter().chain(&entry.outputs).map(|port| port.dtype);
            ports.chain(entry.values.iter().map(|value| value.dtype)).collect::<Vec<_>>()
        };
        args.chain(constants).chain(params).chain(prepared).chain(states).chain(self.entries.iter().flat_map(in_entry))
    }

    fn has_blob(&self, id: BlobId) -> Checked {
        ensure((id.0 as usize) < self.blobs.len(), || format!("no blob {}", id.0))
    }

    fn check_kernel(&self, kernel: &Kernel) -> Checked {
        kernel.object.map_or(Ok(()), |blob| self.has_blob(blob))?;
        check_sizes(&kernel.sizes)?;
        let sizes: HashSet<&Symbol> = kernel.sizes.iter().map(|size| &size.symbol).collect();
        only_mentions(&kernel.grid, &sizes)?;
        kernel.args.iter().try_for_each(|arg| check_shape(&arg.shape, &sizes))
    }

    /// Its entry needs nothing but weights, so that it can run first.
    fn check_prepared(&self, prepared: &PreparedDecl) -> Checked {
        concrete_bytes(prepared.dtype, &prepared.shape)?;
        let entry = get(&self.entries, prepared.entry, "entry")?;
        let is_late = |value: &ValueDecl| matches!(value.storage, Storage::State(_) | Storage::Prepared(_));
        ensure(entry.inputs.is_empty() && !entry.values.iter().any(is_late), || {
            format!("made by `{}`, which needs more than weights", entry.name)
        })?;
        let output = get(&entry.outputs, prepared.output, "output")?;
        let is_same = output.dtype == prepared.dtype && constant_shape(&output.shape).as_ref() == Some(&prepared.shape);
        ensure(is_same, || "it is made with another type".to_string())
    }

    fn check_state(&self, index: usize) -> Checked {
        let state = &self.states[index];
        check_rank(state.shape.len())?;
        let (dtype, rank) = match state.init {
            InitValue::Zeros => return Ok(()),
            InitValue::Constant(from) => {
                let constant = get(&self.constants, from, "constant")?;
                (constant.dtype, constant.shape.len())
            }
            InitValue::Param(from) => {
                let param = get(&self.params, from, "param")?;
                (param.dtype, param.shape.len())
            }
            InitValue::Entry { entry, output } => {
                let entry = get(&self.entries, entry, "entry")?;
                ensure(entry.inputs.iter().all(Port::is_seed), || {
                    format!("initialised by `{}`, which takes inputs other than the seed", entry.name)
                })?;
                let uses_state = |value: &ValueDecl| matches!(value.storage, Storage::State(_));
                ensure(!entry.values.iter().any(uses_state), || {
                    format!("initialised by `{}`, which uses state", entry.name)
                })?;
                let output = get(&entry.outputs, output, "output")?;
                (output.dtype, output.shape.len())
            }
        };
        ensure(dtype == state.dtype && rank == state.shape.len(), || "its initial value has another type".to_string())
    }

    fn check_entry(&self, entry: &Entry) -> Checked {
        check_sizes(&entry.sizes)?;
        distinct("input", entry.inputs.iter().map(|port| &port.name))?;
        distinct("output", entry.outputs.iter().map(|port| &port.name))?;
        let sizes: HashSet<&Symbol> = entry.sizes.iter().map(|size| &size.symbol).collect();
        let mut known = sizes.clone();
        for scalar in &entry.scalars {
            let input = get(&entry.inputs, scalar.input, "input")?;
            ensure(input.dtype == DType::I64 && input.shape.is_empty(), || {
                format!("{} stands for no i64 scalar", scalar.symbol)
            })?;
            ensure(known.insert(&scalar.symbol), || format!("{} is declared twice", scalar.symbol))?;
        }
        for check in &entry.checks {
            only_mentions(&check.left, &known)?;
            only_mentions(&check.right, &known)?;
        }
        for port in entry.inputs.iter().chain(&entry.outputs) {
            check_shape(&port.shape, &sizes).map_err(|problem| format!("`{}`: {problem}", port.name))?;
        }
        for (index, value) in entry.values.iter().enumerate() {
            check_shape(&value.shape, &sizes)
                .and_then(|()| self.check_storage(entry, index))
                .map_err(|problem| format!("value {index}: {problem}"))?;
        }
        steps::check(self, entry, &sizes)
    }

    fn check_storage(&self, entry: &Entry, index: usize) -> Checked {
        let value = &entry.values[index];
        let dtype = match value.storage {
            Storage::Arena => return Ok(()),
            Storage::Alias(of) => {
                ensure((of.0 as usize) < index, || "it is an alias of no earlier value".to_string())?;
                return self.check_alignment(entry, ValueId(index as u32));
            }
            Storage::Input(of) => dtype_of(&entry.inputs, of, "input")?,
            Storage::Output(of) => dtype_of(&entry.outputs, of, "output")?,
            Storage::Param(of) => get(&self.params, of, "param")?.dtype,
            Storage::Prepared(of) => get(&self.prepared, of, "prepared value")?.dtype,
            Storage::State(of) => get(&self.states, of, "state")?.dtype,
            Storage::Constant(of) => get(&self.constants, of, "constant")?.dtype,
        };
        ensure(dtype == value.dtype, || format!("it is {}, its storage {dtype}", value.dtype))
    }

    /// Memory of a session's own is aligned for every type, that of its callers for the type of their tensor.
    fn check_alignment(&self, entry: &Entry, alias: ValueId) -> Checked {
        let (dtype, root) = (entry.value(alias).dtype, entry.value(entry.root(alias)));
        let is_callers = matches!(root.storage, Storage::Input(_) | Storage::Output(_) | Storage::Param(_));
        ensure(!is_callers || dtype.size_of() <= root.dtype.size_of(), || {
            format!("it is {dtype}, for which the {} of a caller are not aligned", root.dtype)
        })
    }
}

fn dtype_of(ports: &[Port], index: u32, what: &str) -> Result<DType, String> {
    get(ports, index, what).map(|port| port.dtype)
}

fn get<'a, T>(items: &'a [T], index: u32, what: &str) -> Result<&'a T, String> {
    let item = items.get(index as usize);
    item.ok_or_else(|| format!("no {what} {index}"))
}

fn distinct<T: Eq + std::hash::Hash + fmt::Display>(what: &str, names: impl Iterator<Item = T>) -> Checked {
    let mut seen = HashSet::new();
    for name in names {
        if seen.contains(&name) {
            return Err(format!("two {what}s are called `{name}`"));
        }
        seen.insert(name);
    }
    Ok(())
}

fn check_sizes(sizes: &[SizeDecl]) -> Checked {
    distinct("size", sizes.iter().map(|size| &size.symbol))?;
    for size in sizes {
        let ordered = size.lo >= 0 && size.hi.is_none_or(|hi| size.lo <= hi);
        ensure(ordered, || format!("the range of {} is empty or negative", size.symbol))?;
    }
    Ok(())
}

fn check_rank(rank: usize) -> Checked {
    ensure(rank <= MAX_RANK, || format!("{rank} axes"))
}

fn check_shape(shape: &[Dim], sizes: &HashSet<&Symbol>) -> Checked {
    check_rank(shape.len())?;
    shape.iter().try_for_each(|dim| only_mentions(dim, sizes))
}

fn only_mentions(dim: &Dim, known: &HashSet<&Symbol>) -> Checked {
    let mut unknown = None;
    dim.for_each_symbol(&mut |symbol| {
        if !known.contains(symbol) {
            unknown = Some(symbol.clone());
        }
    });
    match unknown {
        Some(symbol) => Err(format!("size {symbol} is not declared")),
        None => Ok(()),
    }
}

fn concrete_bytes(dtype: DType, shape: &[usize]) -> Result<usize, String> {
    check_rank(shape.len())?;
    super::dtype::byte_len(dtype, shape).ok_or_else(|| "larger than any memory".to_string())
}

#[cfg(test)]
pub(crate) mod tests;
