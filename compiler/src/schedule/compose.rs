//! Composition: a node, or a fused region, becomes one loop nest around one scalar body.
//!
//! Loads of inner values are replaced by the bodies of their producers with the index substituted. Nodes that reduce become
//! stages, in order; `graph::rows` says where each lies in the space of the result. What is left becomes what is stored.
//!
//! Invariant: the composed nest computes what the region computes; only the order of the floating-point operations inside
//! a reduction may differ later.

use rustc_hash::FxHashMap;

use super::body::{Body, Load, Number, Position, Term, TermId};
use super::{Loops, Reduce, ScheduleError};
use crate::graph::rows::{Rows, Stage, axis_of};
use crate::graph::{
    Atom, DType, Dim, Graph, Meaning, Nest, NestIndex, NodeId, Ranges, Scalar, ScalarNode, Symbol, Type, Value, axes,
    reshape_index,
};

/// Composes the body of a fused region.
pub fn compose_region(region: &Graph, sizes: &Ranges) -> Result<Loops, ScheduleError> {
    let arguments: Vec<Value> = region.arguments().iter().map(|argument| argument.value).collect();
    compose_from(region, sizes, &arguments)
}

/// The same, given the values that are operands.
pub fn compose_from(region: &Graph, sizes: &Ranges, operands: &[Value]) -> Result<Loops, ScheduleError> {
    let results: Vec<Value> = region.outputs().iter().map(|output| output.value).collect();
    let captures = operands.iter().enumerate().map(|(idx, &value)| (value, idx)).collect();
    let operands: Vec<Type> = operands.iter().map(|&value| region.type_of(value).clone()).collect();
    Composer::new(region, sizes, captures).finish(&results, operands)
}

/// Composes a single node, whose operands are the captures.
pub fn compose_node(graph: &Graph, id: NodeId) -> Result<Loops, ScheduleError> {
    let mut region = Graph::new("node");
    region.sizes = graph.sizes.clone();
    let operands: Vec<Value> = graph
        .operands(id)
        .into_iter()
        .map(|value| region.add_argument("", crate::graph::Role::Data, graph.type_of(value).clone()))
        .collect();
    let node = region.push(graph.node(id).clone(), &operands);
    region.add_output("", crate::graph::Role::Data, Value { node, result: 0 });
    compose_region(&region, &graph.sizes)
}

pub(super) struct Composer<'g> {
    graph: &'g Graph,
    captures: FxHashMap<Value, usize>,
    pub nests: FxHashMap<NodeId, Nest>,
    /// The reductions, where their results are read.
    pub stages: Vec<Stage>,
    /// Sizes and axes, for simplifying index expressions.
    pub ranges: Ranges,
    pub body: Body,
    /// The number of the round, where the graph is the body of a loop: positions that are made of it are known.
    pub round: Option<(Value, Dim)>,
    memo: FxHashMap<(Value, Vec<Position>, Vec<Dim>), TermId>,
}

impl<'g> Composer<'g> {
    pub fn new(graph: &'g Graph, sizes: &Ranges, captures: FxHashMap<Value, usize>) -> Self {
        let mut nests = FxHashMap::default();
        for id in graph.node_ids() {
            if let Meaning::Structured { nest, .. } = graph.node(id).op.meaning {
                nests.insert(id, graph.with_call(id, nest));
            }
        }
        let (stages, body, memo) = Default::default();
        Composer { graph, captures, nests, stages, ranges: sizes.clone(), body, round: None, memo }
    }

    fn finish(mut self, results: &[Value], operands: Vec<Type>) -> Result<Loops, ScheduleError> {
        let [root, more @ ..] = results else { return Err(ScheduleError::new("a group has a result")) };
        let (root, result) = (*root, self.graph.type_of(*root).clone());
        let captured = |id: &NodeId| self.captures.contains_key(&Value { node: *id, result: 0 });
        let members = self.graph.node_ids().filter(|id| !captured(id)).collect();
        let rows = Rows::of(self.graph, root, &members).map_err(ScheduleError::new)?;
        for (idx, extent) in rows.axes.iter().enumerate() {
            self.ranges.declare(Symbol::new(format!("i{idx}")), Dim::constant(0), Some(extent - &Dim::constant(1)));
        }
        self.stages = rows.stages;
        let stages = (0..self.stages.len()).map(|idx| self.stage(idx)).collect::<Result<Vec<Reduce>, _>>()?;
        let at: Vec<Position> = rows.start.into_iter().map(Position::Dim).collect();
        let stored = self.value(root, &at, &[])?;
        let has_shape = |value: &Value| self.graph.type_of(*value).shape == result.shape;
        if !more.is_empty() && !(self.stages.is_empty() && more.iter().all(has_shape)) {
            return Err(ScheduleError::new("several results of a group have one shape, and nothing is reduced"));
        }
        let more = more.iter().map(|&value| self.value(value, &at, &[])).collect::<Result<Vec<TermId>, _>>()?;
        let Rows { axes, n_parallel, inner, .. } = rows;
        let result = result.with_shape(axes[..n_parallel].to_vec());
        let (body, ranges) = (self.body, self.ranges);
        let start = vec![Dim::constant(0); n_parallel];
        Ok(Loops { axes, n_parallel, inner, operands, result, start, body, stages, stored, more, ranges })
    }

    pub fn stage(&mut self, idx: usize) -> Result<Reduce, ScheduleError> {
        let Stage { node, at, along } = self.stages[idx].clone();
        let nest = self.nests[&node].clone();
        let at: Vec<Position> = at.into_iter().chain(along).map(Position::Dim).collect();
        let element = self.nest(node, &nest, &at, &[])?;
        let reduction = nest.reduce.ok_or_else(|| ScheduleError::new("the node does not reduce"))?;
        Ok(Reduce { element, combine: reduction.combine, initial: Number::new(reduction.initial) })
    }

    /// The element of a value at a position. `guards` hold wherever it will be used.
    pub fn value(&mut self, value: Value, at: &[Position], guards: &[Dim]) -> Result<TermId, ScheduleError> {
        let dtype = self.graph.type_of(value).dtype;
        if let Some((_, number)) = self.round.as_ref().filter(|(round, _)| *round == value) {
            return Ok(self.body.add(Term::Index(number.clone()), dtype));
        }
        if let Some(&operand) = self.captures.get(&value) {
            let mut guards = guards.to_vec();
            guards.extend(self.unproved(value, at, &guards));
            let load = Load { operand, index: at.to_vec(), guards, otherwise: Number::new(0.0) };
            return Ok(self.body.add(Term::Load(load), dtype));
        }
        if let Some(idx) = self.stages.iter().position(|stage| stage.node == value.node) {
            let here = self.stages[idx].at.iter().cloned().map(Position::Dim);
            return match at.iter().cloned().eq(here) {
                true => Ok(self.body.add(Term::Reduced(idx), dtype)),
                false => Err(ScheduleError::new("a group uses the result of a reduction at one place of each row")),
            };
        }
        let key = (value, at.to_vec(), guards.to_vec());
        if let Some(&known) = self.memo.get(&key) {
            return Ok(known);
        }
        let term = self.produce(value, at, guards)?;
        self.memo.insert(key, term);
        Ok(term)
    }

    /// Guards for positions that are in range only by a check made when the entry is called (no kernel relies on those), or
    /// by an argument about divisibility, as far as the load does not have them.
    fn unproved(&self, value: Value, at: &[Position], known: &[Dim]) -> Vec<Dim> {
        let mut guards = Vec::new();
        for (position, extent) in at.iter().zip(&self.graph.type_of(value).shape) {
            let Position::Dim(dim) = position else { continue };
            let room = &(extent - dim) - 1;
            let is_unproved = |guard: &&Dim| !known.contains(guard) && !self.ranges.proves_le(&Dim::constant(0), guard);
            guards.extend([dim, &room].into_iter().filter(is_unproved).cloned());
        }
        guards
    }

    fn produce(&mut self, value: Value, at: &[Position], guards: &[Dim]) -> Result<TermId, ScheduleError> {
        let node = self.graph.node(value.node);
        match node.op.meaning {
            Meaning::View => {
                let operand = self.graph.operands(value.node)[0];
                let at = self.view(operand, value, at)?;
                self.value(operand, &at, guards)
            }
            Meaning::Source if node.op.name == "constant" => {
                let tensor = node.attrs.tensor("value");
                match tensor.uniform_float().filter(|_| tensor.n_elements() == 1) {
                    Some(number) => Ok(self.body.constant(tensor.dtype, number)),
                    None => {
                        Err(ScheduleError::new("a constant inside a group that is not one number of 64 bits of float"))
                    }
                }
            }
            Meaning::Structured { .. } => {
                let nest = self.nests[&value.node].clone();
                self.nest(value.node, &nest, at, guards)
            }
            _ => Err(ScheduleError::new(format!("`{}` cannot be part of a kernel", node.op.name))),
        }
    }

    fn view(&mut self, from: Value, to: Value, at: &[Position]) -> Result<Vec<Position>, ScheduleError> {
        let (from, to) = (&self.graph.type_of(from).shape, &self.graph.type_of(to).shape);
        let symbols: Vec<Dim> = axes(at.len());
        let index = reshape_index(from, to, &symbols);
        Ok(index.iter().map(|dim| self.position(dim, at)).collect())
    }

    /// The body of a nest with its axes at `at`; the last term.
    fn nest(&mut self, id: NodeId, nest: &Nest, at: &[Position], guards: &[Dim]) -> Result<TermId, ScheduleError> {
        let operands = self.graph.operands(id);
        let mut terms: Vec<TermId> = Vec::with_capacity(nest.body.len());
        for node in &nest.body {
            let term = match node {
                ScalarNode::Const { dtype, value } => self.body.constant(*dtype, *value),
                ScalarNode::Index(dim) => self.dim_term(dim, at),
                ScalarNode::Apply { scalar, args } => {
                    let args: Vec<TermId> = args.iter().map(|&arg| terms[arg]).collect();
                    self.known_position(*scalar, &args).unwrap_or_else(|| self.body.apply(*scalar, &args))
                }
                ScalarNode::Cast { dtype, arg } => self.cast(terms[*arg], *dtype),
                ScalarNode::RandomBits { seed, stream, counter, key, word } => {
                    let (seed, stream, counter) = (terms[*seed], terms[*stream], terms[*counter]);
                    self.body.add(Term::RandomBits { seed, stream, counter, key: *key, word: *word }, DType::U32)
                }
                ScalarNode::Load { operand, index, guards: own, otherwise } => {
                    let index: Vec<Position> = index
                        .iter()
                        .map(|entry| match entry {
                            NestIndex::Affine(dim) => self.position(dim, at),
                            NestIndex::Value(idx) => Position::Term(self.cast(terms[*idx], DType::I64)),
                        })
                        .collect();
                    let index = self.known_index(operands[*operand], index);
                    let own: Vec<Dim> = own.iter().map(|guard| guard.0.clone()).collect();
                    self.load(operands[*operand], &index, &own, at, guards, *otherwise)?
                }
            };
            terms.push(term);
        }
        terms.last().copied().ok_or_else(|| ScheduleError::new("a nest without a body"))
    }

    /// Arithmetic on the number of a round stays an index expression.
    fn known_position(&mut self, scalar: Scalar, args: &[TermId]) -> Option<TermId> {
        self.round.as_ref()?;
        let [a, b] = args else { return None };
        let (a, b) = (self.known_term(*a)?, self.known_term(*b)?);
        let dim = match scalar {
            Scalar::Add => &a + &b,
            Scalar::Sub => &a - &b,
            Scalar::Mul => &a * &b,
            Scalar::Min => a.least(&b),
            Scalar::Max => a.greatest(&b),
            _ => return None,
        };
        Some(self.body.add(Term::Index(self.ranges.simplify(&dim)), DType::I64))
    }

    fn known_term(&self, term: TermId) -> Option<Dim> {
        match self.body.term(term) {
            Term::Index(dim) => Some(dim.clone()),
            // Larger numbers might not be exact, and are no positions.
            Term::Const(number) if self.body.dtype(term) == DType::I64 && number.value().abs() < 1e9 => {
                Some(Dim::constant(number.value() as i64))
            }
            _ => None,
        }
    }

    /// Positions that turned out to be index expressions, where they are proved to lie inside.
    fn known_index(&self, value: Value, mut index: Vec<Position>) -> Vec<Position> {
        for (position, extent) in index.iter_mut().zip(&self.graph.type_of(value).shape) {
            let Position::Term(term) = position else { continue };
            let Term::Index(dim) = self.body.term(*term) else { continue };
            if self.ranges.proves_le(&Dim::constant(0), dim) && self.ranges.proves_lt(dim, extent) {
                *position = Position::Dim(dim.clone());
            }
        }
        index
    }

    fn cast(&mut self, arg: TermId, dtype: DType) -> TermId {
        if self.body.dtype(arg) == dtype { arg } else { self.body.add(Term::Cast(arg), dtype) }
    }

    /// A load with guards of its own: where they fail, `otherwise`.
    fn load(
        &mut self,
        value: Value,
        index: &[Position],
        own: &[Dim],
        at: &[Position],
        outer: &[Dim],
        otherwise: f64,
    ) -> Result<TermId, ScheduleError> {
        let mut tests = Vec::new();
        let mut run_time = Vec::new();
        for guard in own {
            match self.position(guard, at) {
                Position::Dim(dim) if self.ranges.proves_le(&Dim::constant(0), &dim) => {}
                Position::Dim(dim) => tests.push(dim),
                Position::Term(term) => run_time.push(term),
            }
        }
        let mut guards = outer.to_vec();
        guards.extend(tests.iter().filter(|test| !outer.contains(test)).cloned());
        let inner = self.value(value, index, &guards)?;
        let dtype = self.body.dtype(inner);
        let mut result = inner;
        if !tests.is_empty() {
            result = match self.body.term(inner).clone() {
                // An inner check of a computed position keeps its own value.
                Term::Load(load)
                    if load.guards == guards && (self.is_plain(value, &load, index) || !is_computed(&load.index)) =>
                {
                    self.body.add(Term::Load(Load { otherwise: Number::new(otherwise), ..load }), dtype)
                }
                _ => {
                    let test = self.body.add(Term::Test(tests), DType::Bool);
                    self.or_else(test, inner, otherwise)
                }
            };
        }
        for term in run_time {
            let zero = self.body.constant(DType::I64, 0.0);
            let test = self.body.apply(Scalar::Ge, &[term, zero]);
            result = self.or_else(test, result, otherwise);
        }
        if is_computed(index) {
            result = self.checked(value, index, result, otherwise);
        }
        Ok(result)
    }

    /// Whether a load reads this value itself, and so knows how far it goes: what the value is made of may be read at an
    /// equal position and be longer.
    fn is_plain(&self, value: Value, load: &Load, index: &[Position]) -> bool {
        self.captures.get(&value) == Some(&load.operand) && load.index == index
    }

    /// Gives `otherwise` where a position that is known only at run time is out of range. A plain load checks by itself.
    fn checked(&mut self, value: Value, index: &[Position], result: TermId, otherwise: f64) -> TermId {
        let dtype = self.body.dtype(result);
        if let Term::Load(load) = self.body.term(result).clone()
            && self.is_plain(value, &load, index)
        {
            return self.body.add(Term::Load(Load { otherwise: Number::new(otherwise), ..load }), dtype);
        }
        let shape = self.graph.type_of(value).shape.clone();
        let mut result = result;
        for (position, extent) in index.iter().zip(shape) {
            let &Position::Term(term) = position else { continue };
            let (zero, extent) = (self.body.constant(DType::I64, 0.0), self.body.add(Term::Index(extent), DType::I64));
            for test in [(Scalar::Ge, zero), (Scalar::Lt, extent)] {
                let test = self.body.apply(test.0, &[term, test.1]);
                result = self.or_else(test, result, otherwise);
            }
        }
        result
    }

    fn or_else(&mut self, test: TermId, value: TermId, otherwise: f64) -> TermId {
        let other = self.body.constant(self.body.dtype(value), otherwise);
        self.body.apply(Scalar::Select, &[test, value, other])
    }

    /// An index expression over the axes of a nest, at the positions where the nest is used.
    fn position(&mut self, dim: &Dim, at: &[Position]) -> Position {
        let run_time = |symbol: &Symbol| matches!(axis_of(symbol).and_then(|idx| at.get(idx)), Some(Position::Term(_)));
        let mut any = false;
        dim.for_each_symbol(&mut |symbol| any |= run_time(symbol));
        if any {
            return Position::Term(self.dim_term(dim, at));
        }
        let substituted = dim.substitute(&|symbol| match at.get(axis_of(symbol)?)? {
            Position::Dim(dim) => Some(dim.clone()),
            Position::Term(_) => None,
        });
        Position::Dim(self.ranges.simplify(&substituted))
    }

    /// The same as a term: arithmetic where a position is known only at run time.
    fn dim_term(&mut self, dim: &Dim, at: &[Position]) -> TermId {
        let is_run_time =
            |symbol: &Symbol| matches!(axis_of(symbol).and_then(|idx| at.get(idx)), Some(Position::Term(_)));
        let mut any = false;
        dim.for_each_symbol(&mut |symbol| any |= is_run_time(symbol));
        if !any {
            let Position::Dim(dim) = self.position(dim, at) else { return self.body.constant(DType::I64, 0.0) };
            return self.body.add(Term::Index(dim), DType::I64);
        }
        let mut sum: Option<TermId> = None;
        for (monomial, coefficient) in dim.terms() {
            let mut product = self.body.add(Term::Index(Dim::constant(coefficient)), DType::I64);
            for (atom, power) in monomial {
                let factor = self.atom_term(atom, at);
                for _ in 0..*power {
                    product = match self.body.term(product) {
                        Term::Index(one) if one.is(1) => factor,
                        _ => self.body.apply(Scalar::Mul, &[product, factor]),
                    };
                }
            }
            sum = Some(sum.map_or(product, |sum| self.body.apply(Scalar::Add, &[sum, product])));
        }
        sum.unwrap_or_else(|| self.body.constant(DType::I64, 0.0))
    }

    fn atom_term(&mut self, atom: &Atom, at: &[Position]) -> TermId {
        let (scalar, a, b) = match atom {
            Atom::Symbol(symbol) => {
                return match axis_of(symbol).and_then(|idx| at.get(idx)) {
                    Some(Position::Term(term)) => *term,
                    Some(Position::Dim(dim)) => self.body.add(Term::Index(dim.clone()), DType::I64),
                    None => self.body.add(Term::Index(Dim::from(symbol)), DType::I64),
                };
            }
            Atom::FloorDiv(a, b) => (Scalar::FloorDiv, a, b),
            Atom::Mod(a, b) => (Scalar::Modulo, a, b),
            Atom::Min(a, b) => (Scalar::Min, a, b),
            Atom::Max(a, b) => (Scalar::Max, a, b),
        };
        let (a, b) = (self.dim_term(a, at), self.dim_term(b, at));
        self.body.apply(scalar, &[a, b])
    }
}

/// Whether a position is known only at run time.
fn is_computed(index: &[Position]) -> bool {
    index.iter().any(|position| matches!(position, Position::Term(_)))
}
