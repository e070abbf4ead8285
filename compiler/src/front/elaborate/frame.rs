//! Graphs under construction: the entry's, and above it one for each region whose body is being read.
//!
//! Invariant: a wire of an outer frame enters an inner one only as an argument of every region in between. State is read
//! through slots: the first access in a region makes an argument, which ends up as a carry if the region writes it and as a
//! capture if it does not.

use std::rc::Rc;

use indexmap::IndexMap;
use rustc_hash::FxHashMap;
use tilewright_runtime::program::check;

use super::Elaborator;
use super::report::Outcome;
use super::scope::Link;
use super::value::{Slot, Value, Wire};
use crate::diag::{Diagnostic, Span};
use crate::front::ast::DeclareKind;
use crate::graph::{self, Attrs, Graph, NodeId, OpDef, OpError, Origin, Ranges, Role, Type};
use crate::ops;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// An entry of the model.
    Entry,
    /// The initial values of params and states.
    Init,
    /// A branch of an `if` over a run-time condition: it may rebind what is outside.
    Branch,
    /// The body of a loop: it may not.
    Body,
}

pub struct Frame<'a> {
    pub kind: FrameKind,
    pub graph: Graph,
    pub serial: u64,
    /// Outer wires by the value they have here, in order of capture.
    pub captures: IndexMap<graph::Value, graph::Value>,
    pub states: IndexMap<Rc<str>, StateSlot>,
    /// Params as they come in, and in the graph of initial values everything that has its value by now.
    pub known: FxHashMap<Rc<str>, graph::Value>,
    /// What a branch has rebound: the link and what it held before.
    pub rebound: Vec<(Rc<Link<'a>>, Value<'a>)>,
    pub stream: Option<graph::Value>,
    /// The index of the loop whose body this is.
    pub index: Option<graph::Value>,
}

#[derive(Clone, Copy)]
pub struct StateSlot {
    pub argument: graph::Value,
    pub current: graph::Value,
    pub written: bool,
}

/// An argument of a finished region: its name, type and what stood for it while the body was read.
pub struct RegionArgument {
    pub name: String,
    pub role: Role,
    pub ty: Type,
    pub value: Option<graph::Value>,
}

/// More nodes than this are a mistake in a spec, not a model.
const MAX_NODES: usize = 400_000;

/// Axes of a tensor in a spec. Passes add some of their own, for which a program has room.
const MAX_RANK: usize = check::MAX_RANK / 2;

impl Frame<'_> {
    /// Applies an op, unless what it makes has more axes than a tensor may.
    pub fn apply(
        &mut self,
        op: &'static OpDef,
        operands: &[graph::Value],
        attrs: &Attrs,
        regions: Vec<Graph>,
        origin: &Origin,
    ) -> Result<NodeId, OpError> {
        let node = self.graph.apply(op, operands, attrs, regions, origin)?;
        match self.graph.node(node).types.iter().find_map(too_many_axes) {
            Some(message) => Err(OpError::new(message)),
            None => Ok(node),
        }
    }
}

fn too_many_axes(ty: &Type) -> Option<String> {
    let rank = ty.rank();
    (rank > MAX_RANK).then(|| format!("{rank} axes are too many: a tensor has {MAX_RANK} at most"))
}

impl<'a> Elaborator<'a> {
    pub fn push_frame(&mut self, kind: FrameKind, name: &str) {
        let mut graph = Graph::new(name);
        graph.sizes = self.frames.last().map_or_else(Ranges::default, |frame| frame.graph.sizes.clone());
        self.serial += 1;
        self.frames.push(Frame {
            kind,
            graph,
            serial: self.serial,
            captures: IndexMap::new(),
            states: IndexMap::new(),
            known: FxHashMap::default(),
            rebound: Vec::new(),
            stream: None,
            index: None,
        });
    }

    /// Makes sure that there is room for one more graph within the innermost.
    pub fn check_nesting(&mut self, span: Span) -> Outcome<()> {
        if self.frames.len() < super::MAX_GRAPHS {
            return Ok(());
        }
        let message = format!("control flow nests deeper than {}", super::MAX_GRAPHS - 1);
        let diagnostic = Diagnostic::error("E0407", message).at(span, "one level too many here");
        Err(self.report(diagnostic.help("each `else if` is one level deeper; `select(mask, a, b)` is none")))
    }

    pub fn pop_frame(&mut self) -> Option<Frame<'a>> {
        self.frames.pop()
    }

    /// The innermost graph, or the error that there is none.
    pub fn frame(&mut self, span: Span) -> Outcome<&mut Frame<'a>> {
        if self.frames.is_empty() {
            let diagnostic = Diagnostic::error("E0401", "a tensor is computed where config is wanted")
                .at(span, "this needs a graph, and there is none while a model is put together")
                .help("tensors are computed in a `fn`; a constant one is written `tensor([…])`");
            return Err(self.report(diagnostic));
        }
        if self.frames.iter().map(|frame| frame.graph.n_nodes()).sum::<usize>() > MAX_NODES {
            let message = format!("this grows beyond {MAX_NODES} nodes");
            return Err(self.report(Diagnostic::error("E0407", message).at(span, "the limit is reached here")));
        }
        Ok(self.frames.last_mut().expect("there is a frame"))
    }

    /// Makes sure that a declared tensor has no more axes than one may.
    pub fn check_rank(&mut self, ty: &Type, span: Span) -> Outcome<()> {
        too_many_axes(ty).map_or(Ok(()), |message| self.error("E0407", message, span, "declared here"))
    }

    pub fn wire(&self, value: graph::Value) -> Wire {
        let depth = self.frames.len() - 1;
        Wire { value, depth, serial: self.frames[depth].serial, flexible: false, new_axes: 0 }
    }

    pub fn type_of(&self, wire: Wire) -> Type {
        match self.frames.get(wire.depth).filter(|frame| frame.serial == wire.serial) {
            Some(frame) => frame.graph.type_of(wire.value).clone(),
            None => Type::scalar(graph::DType::Real),
        }
    }

    /// The wire as a value of the innermost graph.
    pub fn enter(&mut self, wire: Wire, span: Span) -> Outcome<graph::Value> {
        self.frame(span)?;
        if self.frames.get(wire.depth).is_none_or(|frame| frame.serial != wire.serial) {
            let message = "this tensor belongs to a block that has ended";
            return Err(self.report(Diagnostic::error("E0308", message).at(span, "used here")));
        }
        Ok(self.enter_at(wire, self.frames.len() - 1))
    }

    /// The wire as a value of an open frame.
    pub fn enter_at(&mut self, wire: Wire, innermost: usize) -> graph::Value {
        let mut value = wire.value;
        for depth in wire.depth + 1..=innermost {
            let ty = self.frames[depth - 1].graph.type_of(value).clone();
            let frame = &mut self.frames[depth];
            value = match frame.captures.get(&value) {
                Some(inner) => *inner,
                None => {
                    let inner = frame.graph.add_argument(format!("c{}", frame.captures.len()), Role::Data, ty);
                    frame.captures.insert(value, inner);
                    inner
                }
            };
        }
        value
    }

    /// Applies an op with one result in an open frame, whose own values the operands are.
    pub fn apply_at(
        &mut self,
        depth: usize,
        op: &str,
        operands: &[graph::Value],
        attrs: Attrs,
        span: Span,
    ) -> Outcome<graph::Value> {
        let Some(op) = ops::find(op) else {
            return self.error("E0302", format!("there is no op `{op}` yet"), span, "needed here");
        };
        let origin = self.origin(span);
        match self.frames[depth].apply(op, operands, &attrs, Vec::new(), &origin) {
            Ok(node) => Ok(graph::Value { node, result: 0 }),
            Err(error) => self.error("E0201", format!("`{}`: {}", op.name, error.message), span, "here"),
        }
    }

    /// The value of a declared param or state, here and now.
    pub fn read_slot(&mut self, slot: &Slot, span: Span) -> Outcome<Wire> {
        self.frame(span)?;
        if self.frames[0].kind == FrameKind::Init {
            return self.read_initial(slot, span);
        }
        if slot.kind == DeclareKind::State {
            let depth = self.frames.len() - 1;
            let value = self.state_at(slot, depth);
            return Ok(self.wire(value));
        }
        if let Some(wire) = self.updated(&slot.path) {
            return Ok(wire);
        }
        let value = match self.frames[0].known.get(&slot.path) {
            Some(value) => *value,
            None => {
                let ty = self.entry_type(&slot.ty);
                let value = self.frames[0].graph.add_argument(&*slot.path, Role::Param, ty);
                self.frames[0].known.insert(slot.path.clone(), value);
                value
            }
        };
        let serial = self.frames[0].serial;
        Ok(Wire { value, depth: 0, serial, flexible: false, new_axes: 0 })
    }

    fn read_initial(&mut self, slot: &Slot, span: Span) -> Outcome<Wire> {
        let serial = self.frames[0].serial;
        match self.frames[0].known.get(&slot.path) {
            Some(&value) => Ok(Wire { value, depth: 0, serial, flexible: false, new_axes: 0 }),
            None => {
                let message = format!("`{}` has no value yet", slot.path);
                let diagnostic = Diagnostic::error("E0405", message)
                    .at(span, "needed for an initial value")
                    .also(slot.span, "declared here")
                    .help("an initial value may use members declared before it");
                Err(self.report(diagnostic))
            }
        }
    }

    fn state_at(&mut self, slot: &Slot, depth: usize) -> graph::Value {
        if let Some(state) = self.frames[depth].states.get(&slot.path) {
            return state.current;
        }
        let role = if depth == 0 { Role::State } else { Role::Data };
        if depth > 0 {
            self.state_at(slot, depth - 1);
        }
        let ty = self.entry_type(&slot.ty);
        let argument = self.frames[depth].graph.add_argument(&*slot.path, role, ty);
        let state = StateSlot { argument, current: argument, written: false };
        self.frames[depth].states.insert(slot.path.clone(), state);
        argument
    }

    /// `state <- value`, where the value has the state's type.
    pub fn write_slot(&mut self, slot: &Slot, value: graph::Value) {
        let depth = self.frames.len() - 1;
        self.state_at(slot, depth);
        if let Some(state) = self.frames[depth].states.get_mut(&slot.path) {
            state.current = value;
            state.written = true;
        }
    }

    /// Where nodes made now come from.
    pub fn origin(&self, span: Span) -> Origin {
        let (line, _) = self.program.sources.line_column(span);
        let file = self.file_names.get(span.file.0 as usize).cloned().unwrap_or_default();
        let path = self.context.last().map(|instance| std::sync::Arc::from(&*instance.path)).unwrap_or_default();
        Origin { file, line: line as u32, path }
    }
}

/// The graph of a region or an entry with its arguments in the wanted order, whatever order its body asked for them in.
pub fn close(graph: Graph, arguments: Vec<RegionArgument>, outputs: &[(String, Role, graph::Value)]) -> Graph {
    let mut closed = Graph::new(graph.name.clone());
    closed.sizes = graph.sizes.clone();
    closed.checks = graph.checks.clone();
    for argument in &arguments {
        declare_sizes(&mut closed, &argument.ty);
    }
    let mut values: FxHashMap<graph::Value, graph::Value> = FxHashMap::default();
    for argument in arguments {
        let value = closed.add_argument(argument.name, argument.role, argument.ty);
        if let Some(inner) = argument.value {
            values.insert(inner, value);
        }
    }
    for id in graph.node_ids() {
        if std::ptr::eq(graph.node(id).op, &graph::ARGUMENT) {
            continue;
        }
        let operands: Vec<_> = graph.operands(id).iter().filter_map(|value| values.get(value).copied()).collect();
        let copy = closed.push(graph.node(id).clone(), &operands);
        for (old, new) in graph.results(id).zip(closed.results(copy).collect::<Vec<_>>()) {
            values.insert(old, new);
        }
    }
    for (name, role, output) in outputs {
        if let Some(value) = values.get(output) {
            closed.add_output(name.clone(), *role, *value);
        }
    }
    closed
}

/// Every symbol of an argument is a size of the graph: at least one, unless a `where` says otherwise.
pub fn declare_sizes(graph: &mut Graph, ty: &Type) {
    for size in &ty.shape {
        let mut symbols = Vec::new();
        size.for_each_symbol(&mut |symbol| symbols.push(symbol.clone()));
        for symbol in symbols {
            if graph.sizes.get(&symbol).is_none() {
                graph.sizes.declare(symbol, graph::Dim::constant(1), None);
            }
        }
    }
}
