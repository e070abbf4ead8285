//! `loop`, `loop while` and `scan`: one node each, whose body is a region over what it carries.
//!
//! Invariant: a carry keeps its type from turn to turn. A number or an index that starts one may take the type that the body
//! gives it; the body is then read once more. States that the body writes are carried behind the written carries.

use std::rc::Rc;

use super::Elaborator;
use super::branch::capture;
use super::fields::Meeting;
use super::frame::{Frame, FrameKind, RegionArgument, StateSlot, close};
use super::report::{Outcome, Reports};
use super::scope::Env;
use super::structure::rebuild;
use super::value::{Value, Wire};
use crate::diag::{Diagnostic, Span};
use crate::front::ast::{Block, Carry, Expr, ExprKind, Pattern};
use crate::graph::{self, Attrs, DType, Dim, Graph, Role, Type};

/// What goes on around a body.
struct Turns<'a> {
    op: &'static str,
    index: Option<&'a Pattern>,
    /// Added to the index that the region counts.
    offset: Option<Wire>,
    condition: Option<&'a Expr>,
    /// Operands before the carries.
    bounds: Vec<Wire>,
    attrs: Attrs,
    span: Span,
}

/// A body that has been read: its graph and what it gives.
struct Body<'a> {
    frame: Frame<'a>,
    test: Option<Graph>,
    arguments: Vec<graph::Value>,
    carried: Vec<graph::Value>,
    outs: Vec<graph::Value>,
    out_template: Value<'a>,
}

/// What a region is given from outside, what stands for it inside, and what it gives.
#[derive(Default)]
struct Ties {
    operands: Vec<graph::Value>,
    inner: Vec<graph::Value>,
    outputs: Vec<graph::Value>,
}

impl Ties {
    fn close(&self, graph: Graph) -> Graph {
        let argument = |(idx, &value): (usize, &graph::Value)| capture(idx, graph.type_of(value).clone(), Some(value));
        let arguments: Vec<RegionArgument> = self.inner.iter().enumerate().map(argument).collect();
        let output = |(idx, &value): (usize, &graph::Value)| (format!("r{idx}"), Role::Data, value);
        let outputs: Vec<_> = self.outputs.iter().enumerate().map(output).collect();
        close(graph, arguments, &outputs)
    }
}

enum Attempt<'a> {
    Read(Box<Body<'a>>),
    /// The body gives these types to carries that can take them.
    Widen(Vec<DType>),
}

impl<'a> Elaborator<'a> {
    pub fn loop_expr(
        &mut self,
        index: &'a Pattern,
        range: &'a Expr,
        carry: &'a Carry,
        body: &'a Block,
        env: &mut Env<'a>,
        span: Span,
    ) -> Outcome<Value<'a>> {
        let (start, end) = self.ends(range, env)?;
        let turns = start.0.as_dim().zip(end.0.as_dim()).map(|(from, to)| &to - &from);
        let bounds = vec![self.index_wire(start.0, start.1)?, self.index_wire(end.0, end.1)?];
        let mut attrs = Attrs::none();
        if let Some(turns) = turns.filter(|turns| turns.as_constant().is_none_or(|turns| turns >= 0)) {
            attrs.set("turns", graph::Attr::Dim(turns));
        }
        let turns = Turns { op: "loop", index: Some(index), offset: None, condition: None, bounds, attrs, span };
        self.region(turns, carry, body, env)
    }

    pub fn scan_expr(
        &mut self,
        index: &'a Pattern,
        range: &'a Expr,
        carry: &'a Carry,
        body: &'a Block,
        env: &mut Env<'a>,
        span: Span,
    ) -> Outcome<Value<'a>> {
        let (start, end) = self.ends(range, env)?;
        let (from, to) = (self.size_of(&start.0, start.1)?, self.size_of(&end.0, end.1)?);
        let offset = match from.is(0) {
            true => None,
            false => Some(self.tensor(Value::size(from.clone()), start.1)?),
        };
        let attrs = Attrs::none().with("trip", &to - &from);
        let turns = Turns { op: "scan", index: Some(index), offset, condition: None, bounds: Vec::new(), attrs, span };
        self.region(turns, carry, body, env)
    }

    pub fn while_expr(
        &mut self,
        condition: &'a Expr,
        bound: Option<&'a Expr>,
        carry: &'a Carry,
        body: &'a Block,
        env: &mut Env<'a>,
        span: Span,
    ) -> Outcome<Value<'a>> {
        let mut attrs = Attrs::none();
        if let Some(bound) = bound {
            attrs.set("at_most", graph::Attr::Dim(self.most_turns(bound, env)?));
        }
        let condition = Some(condition);
        let turns = Turns { op: "while", index: None, offset: None, condition, bounds: Vec::new(), attrs, span };
        self.region(turns, carry, body, env)
    }

    /// The bound of a `loop while`: a whole number, or a size.
    fn most_turns(&mut self, bound: &'a Expr, env: &mut Env<'a>) -> Outcome<Dim> {
        let value = self.eval(bound, env)?;
        if let Some(size) = value.as_dim() {
            return Ok(size);
        }
        if value.is_tensor() {
            let diagnostic =
                Diagnostic::error("E0402", "the bound of a loop is config or a size, and this is a tensor")
                    .at(bound.span, "this is only known when the program runs")
                    .help(
                        "carry a count, and test it: `loop while c and k < n carry (x, k) = (x0, 0) { …, k + 1 }`; \
                         gradients need a number besides: `at most 100`",
                    );
            return Err(self.report(diagnostic));
        }
        self.size_of(&value, bound.span)
    }

    fn ends(&mut self, range: &'a Expr, env: &mut Env<'a>) -> Outcome<((Value<'a>, Span), (Value<'a>, Span))> {
        match &range.kind {
            ExprKind::Range { start, end } => {
                let (low, high) = (self.eval(start, env), self.eval(end, env));
                Ok(((low?, start.span), (high?, end.span)))
            }
            _ => {
                let diagnostic = Diagnostic::error("E0403", "a `loop` or `scan` counts through a range")
                    .at(range.span, "write `0..n`")
                    .help("`for` goes through a list of config");
                Err(self.report(diagnostic))
            }
        }
    }

    fn index_wire(&mut self, value: Value<'a>, span: Span) -> Outcome<Wire> {
        self.fit(value, &Type::scalar(DType::I64), span, |diagnostic| diagnostic)
    }

    fn region(&mut self, turns: Turns<'a>, carry: &'a Carry, body: &'a Block, env: &mut Env<'a>) -> Outcome<Value<'a>> {
        self.check_nesting(turns.span)?;
        let start = self.eval(&carry.start, env)?;
        let mut leaves = Vec::new();
        self.leaves(&start, carry.start.span, &mut leaves)?;
        let mut wires = Vec::with_capacity(leaves.len());
        for leaf in leaves {
            wires.push(self.tensor(leaf, carry.start.span)?);
        }
        for _ in 0..3 {
            let draws = self.entry.draws.clone();
            match self.attempt(&turns, &start, &wires, carry, body, env)? {
                Attempt::Read(read) => return self.finish(turns, &start, &wires, *read),
                Attempt::Widen(dtypes) => {
                    self.entry.draws = draws;
                    for (wire, dtype) in wires.iter_mut().zip(dtypes) {
                        if self.type_of(*wire).dtype != dtype {
                            *wire = self.cast(*wire, dtype, carry.start.span)?;
                        }
                    }
                }
            }
        }
        self.error("E0209", "the carry does not settle on a type", carry.start.span, "it changes from turn to turn")
    }

    fn attempt(
        &mut self,
        turns: &Turns<'a>,
        start: &Value<'a>,
        wires: &[Wire],
        carry: &'a Carry,
        body: &'a Block,
        env: &Env<'a>,
    ) -> Outcome<Attempt<'a>> {
        let types: Vec<Type> = wires.iter().map(|wire| self.type_of(*wire)).collect();
        let test = match turns.condition {
            Some(condition) => Some(self.test(condition, start, wires, carry, env, turns.span)?),
            None => None,
        };
        self.push_frame(FrameKind::Body, "body");
        let attempt = self.read_body(turns, start, wires, &types, carry, body, env);
        let frame = self.pop_frame();
        match (attempt?, frame, test) {
            (Ok((arguments, carried, outs, out_template)), Some(mut frame), test) => {
                let test = test.map(|test| self.merge_test(test, &mut frame, &arguments));
                Ok(Attempt::Read(Box::new(Body { frame, test, arguments, carried, outs, out_template })))
            }
            (Err(dtypes), ..) => Ok(Attempt::Widen(dtypes)),
            _ => Err(Reports::silent()),
        }
    }

    /// Reads the body in its frame: what it gives, or the types to which carries must be widened.
    #[allow(clippy::type_complexity, clippy::too_many_arguments)]
    fn read_body(
        &mut self,
        turns: &Turns<'a>,
        start: &Value<'a>,
        wires: &[Wire],
        types: &[Type],
        carry: &'a Carry,
        body: &'a Block,
        env: &Env<'a>,
    ) -> Outcome<Result<(Vec<graph::Value>, Vec<graph::Value>, Vec<graph::Value>, Value<'a>), Vec<DType>>> {
        let mut env = env.clone();
        self.bind_index(turns, &mut env)?;
        let arguments = self.carry_arguments(types, turns.span)?;
        let value = self.carried(start, wires, &arguments);
        self.bind_pattern(&carry.pattern, value, carry.start.span, &mut env.locals)?;
        let value = self.block(body, &mut env)?;
        let at = body.value.as_ref().map_or(body.span, |value| value.span);
        let (next, out) = self.carry_and_out(turns, value, at)?;
        let next =
            self.in_order_of(&next, start, Meeting { code: "E0209", found: at, wanted: Some(carry.start.span) })?;
        let mut leaves = Vec::new();
        self.leaves(&next, at, &mut leaves)?;
        if leaves.len() != types.len() {
            let message = format!("the carry has {} tensors, and the body gives {}", types.len(), leaves.len());
            let diagnostic = Diagnostic::error("E0209", message).at(at, "given here");
            return Err(self.report(diagnostic.also(carry.start.span, "started here")));
        }
        let dtypes: Vec<DType> = leaves.iter().map(|leaf| self.dtype_of(leaf)).collect();
        let wider = |idx: usize| wires[idx].flexible && types[idx].dtype.is_int() && dtypes[idx].is_float();
        if (0..types.len()).any(wider) {
            let own = |idx: usize| if wider(idx) { dtypes[idx] } else { types[idx].dtype };
            return Ok(Err((0..types.len()).map(own).collect()));
        }
        let mut carried = Vec::with_capacity(leaves.len());
        for (leaf, ty) in leaves.into_iter().zip(types) {
            let started = carry.start.span;
            let wire =
                self.fit(leaf, ty, at, |diagnostic| diagnostic.also(started, format!("the carry starts as {ty}")))?;
            carried.push(self.enter(wire, at)?);
        }
        let mut outs = Vec::new();
        let mut out_leaves = Vec::new();
        self.leaves(&out, at, &mut out_leaves)?;
        for leaf in out_leaves {
            let wire = self.tensor(leaf, at)?;
            outs.push(self.enter(wire, at)?);
        }
        Ok(Ok((arguments, carried, outs, out)))
    }

    /// The number of the turn, as the body sees it.
    fn bind_index(&mut self, turns: &Turns<'a>, env: &mut Env<'a>) -> Outcome<()> {
        let Some(pattern) = turns.index else { return Ok(()) };
        let frame = self.frame(turns.span)?;
        let index = frame.graph.add_argument("i", Role::Data, Type::scalar(DType::I64));
        frame.index = Some(index);
        let mut wire = Wire { flexible: true, ..self.wire(index) };
        if let Some(offset) = turns.offset {
            wire = Wire { flexible: true, ..self.emit("add", &[wire, offset], Attrs::none(), turns.span)? };
        }
        self.bind_pattern(pattern, Value::Wire(wire), pattern.span, &mut env.locals)
    }

    fn carry_arguments(&mut self, types: &[Type], span: Span) -> Outcome<Vec<graph::Value>> {
        let frame = self.frame(span)?;
        let add = |(idx, ty): (usize, &Type)| frame.graph.add_argument(format!("x{idx}"), Role::Data, ty.clone());
        Ok(types.iter().enumerate().map(add).collect())
    }

    /// What a body or a condition sees of the carry: a number that starts one still adopts the type of what it meets.
    fn carried(&self, start: &Value<'a>, wires: &[Wire], arguments: &[graph::Value]) -> Value<'a> {
        let inside = |(wire, value): (&Wire, &graph::Value)| Wire { flexible: wire.flexible, ..self.wire(*value) };
        rebuild(start, &mut wires.iter().zip(arguments).map(inside))
    }

    /// The body of a `scan` gives a pair: what is carried and what is put out.
    fn carry_and_out(&mut self, turns: &Turns<'a>, value: Value<'a>, at: Span) -> Outcome<(Value<'a>, Value<'a>)> {
        if turns.op != "scan" {
            return Ok((value, Value::Absent));
        }
        match &value {
            Value::Tuple(fields) if fields.len() == 2 => Ok((fields[0].value.clone(), fields[1].value.clone())),
            other => {
                let message = format!("the body of a `scan` gives `(carry, output)`, and this is {}", other.kind());
                self.error("E0209", message, at, "given here")
            }
        }
    }

    /// The condition of a `while`, as a graph of its own over the carries.
    fn test(
        &mut self,
        condition: &'a Expr,
        start: &Value<'a>,
        wires: &[Wire],
        carry: &'a Carry,
        env: &Env<'a>,
        span: Span,
    ) -> Outcome<Test<'a>> {
        self.push_frame(FrameKind::Body, "condition");
        let read = self.read_test(condition, start, wires, carry, env, span);
        let frame = self.pop_frame();
        match (read, frame) {
            (Ok((arguments, result)), Some(frame)) => Ok(Test { frame, arguments, result }),
            _ => Err(Reports::silent()),
        }
    }

    fn read_test(
        &mut self,
        condition: &'a Expr,
        start: &Value<'a>,
        wires: &[Wire],
        carry: &'a Carry,
        env: &Env<'a>,
        span: Span,
    ) -> Outcome<(Vec<graph::Value>, graph::Value)> {
        let mut env = env.clone();
        let types: Vec<Type> = wires.iter().map(|wire| self.type_of(*wire)).collect();
        let arguments = self.carry_arguments(&types, span)?;
        let value = self.carried(start, wires, &arguments);
        self.bind_pattern(&carry.pattern, value, carry.start.span, &mut env.locals)?;
        let value = self.eval(condition, &mut env)?;
        let wire = self.condition(value, condition.span)?;
        Ok((arguments, self.enter(wire, condition.span)?))
    }

    /// The body's frame learns what the condition captured, so that both regions have the same arguments.
    fn merge_test(&mut self, test: Test<'a>, frame: &mut Frame<'a>, arguments: &[graph::Value]) -> Graph {
        let outer = self.frames.len() - 1;
        for value in test.frame.captures.keys() {
            if !frame.captures.contains_key(value) {
                let ty = self.frames[outer].graph.type_of(*value).clone();
                let inner = frame.graph.add_argument("c", Role::Data, ty);
                frame.captures.insert(*value, inner);
            }
        }
        for path in
            test.frame.states.keys().filter(|path| !frame.states.contains_key(*path)).cloned().collect::<Vec<_>>()
        {
            if let Some(state) = self.frames[outer].states.get(&path) {
                let ty = self.frames[outer].graph.type_of(state.current).clone();
                let argument = frame.graph.add_argument(&*path, Role::Data, ty);
                frame.states.insert(path, super::frame::StateSlot { argument, current: argument, written: false });
            }
        }
        let mut wanted: Vec<RegionArgument> = Vec::new();
        for (value, own) in arguments.iter().zip(&test.arguments) {
            wanted.push(capture(wanted.len(), frame.graph.type_of(*value).clone(), Some(*own)));
        }
        for (_, state) in frame.states.iter().filter(|(_, state)| state.written) {
            wanted.push(capture(wanted.len(), frame.graph.type_of(state.argument).clone(), None));
        }
        // States are found again by name below; the order is that of `finish`.
        let written: Vec<Rc<str>> =
            frame.states.iter().filter(|(_, s)| s.written).map(|(path, _)| path.clone()).collect();
        for (argument, path) in wanted.iter_mut().skip(arguments.len()).zip(&written) {
            argument.value = test.frame.states.get(path).map(|state| state.argument);
        }
        if frame.index.is_some() {
            wanted.push(capture(wanted.len(), Type::scalar(DType::I64), None));
        }
        for (value, inner) in &frame.captures {
            let ty = frame.graph.type_of(*inner).clone();
            wanted.push(capture(wanted.len(), ty, test.frame.captures.get(value).copied()));
        }
        for (path, state) in frame.states.iter().filter(|(_, state)| !state.written) {
            let ty = frame.graph.type_of(state.argument).clone();
            wanted.push(capture(wanted.len(), ty, test.frame.states.get(path).map(|state| state.argument)));
        }
        close(test.frame.graph, wanted, &[("r0".to_string(), Role::Data, test.result)])
    }

    fn finish(&mut self, turns: Turns<'a>, start: &Value<'a>, wires: &[Wire], body: Body<'a>) -> Outcome<Value<'a>> {
        let span = turns.span;
        let outer = self.frames.len() - 1;
        let mut frame = body.frame;
        let mut ties = Ties { outputs: body.carried.clone(), ..Ties::default() };
        for wire in turns.bounds.iter().chain(wires) {
            ties.operands.push(self.enter(*wire, span)?);
        }
        let counted = turns.index.is_some();
        ties.inner.extend(frame.index.filter(|_| counted));
        ties.inner.extend(&body.arguments);
        let written: Vec<Rc<str>> =
            frame.states.iter().filter(|(_, s)| s.written).map(|(path, _)| path.clone()).collect();
        for path in &written {
            ties.outputs.push(frame.states[path].current);
            self.tie_state(path, frame.states[path], &mut ties);
        }
        let mut n_carries = body.carried.len() + written.len();
        if !counted && let Some(turn) = frame.index {
            ties.inner.push(turn);
            ties.outputs.push(self.next_turn(&mut frame.graph, turn, span)?);
            let zero = self.number(0.0, &Type::scalar(DType::I64), span)?;
            ties.operands.push(self.enter(zero, span)?);
            n_carries += 1;
        }
        ties.outputs.extend(&body.outs);
        for (value, captured) in &frame.captures {
            ties.inner.push(*captured);
            ties.operands.push(*value);
        }
        for (path, state) in frame.states.iter().filter(|(_, state)| !state.written) {
            self.tie_state(path, *state, &mut ties);
        }
        let regions = body.test.into_iter().chain([ties.close(frame.graph)]).collect();
        let attrs = turns.attrs.clone().with("carries", n_carries as i64);
        let results = self.emit_regions(turns.op, &ties.operands, attrs, regions, span)?;
        let (carried, rest) = results.split_at(body.carried.len());
        for (path, value) in written.iter().zip(rest) {
            if let Some(state) = self.frames[outer].states.get_mut(path) {
                (state.current, state.written) = (*value, true);
            }
        }
        let wires = |values: &[graph::Value]| values.iter().map(|value| self.wire(*value)).collect::<Vec<_>>();
        let last = rebuild(start, &mut wires(carried).into_iter());
        if turns.op != "scan" {
            return Ok(last);
        }
        let outs = wires(&results[n_carries..]);
        Ok(Value::tuple(vec![last, rebuild(&body.out_template, &mut outs.into_iter())]))
    }

    /// A state comes in as the frame around has it.
    fn tie_state(&self, path: &str, state: StateSlot, ties: &mut Ties) {
        let outer = &self.frames[self.frames.len() - 1];
        ties.inner.push(state.argument);
        ties.operands.extend(outer.states.get(path).map(|state| state.current));
    }

    fn next_turn(&mut self, graph: &mut Graph, turn: graph::Value, span: Span) -> Outcome<graph::Value> {
        let origin = self.origin(span);
        let attrs = Attrs::none().with("value", 1.0).with("shape", Vec::<Dim>::new()).with("dtype", DType::I64);
        let mut apply = |op: &str, operands: &[graph::Value], attrs: Attrs| {
            let op = crate::ops::find(op)?;
            let node = graph.apply(op, operands, &attrs, Vec::new(), &origin).ok()?;
            Some(graph::Value { node, result: 0 })
        };
        let next = apply("fill", &[], attrs).and_then(|one| apply("add", &[turn, one], Attrs::none()));
        next.map_or_else(|| self.error("E0302", "this loop cannot count its turns", span, "here"), Ok)
    }

    /// Applies an op with regions to values of the innermost graph.
    pub fn emit_regions(
        &mut self,
        op: &str,
        operands: &[graph::Value],
        attrs: Attrs,
        regions: Vec<Graph>,
        span: Span,
    ) -> Outcome<Vec<graph::Value>> {
        let Some(op) = crate::ops::find(op) else {
            return self.error("E0302", format!("there is no op `{op}` yet"), span, "needed here");
        };
        let origin = self.origin(span);
        let frame = self.frame(span)?;
        match frame.apply(op, operands, &attrs, regions, &origin) {
            Ok(node) => Ok(frame.graph.results(node).collect()),
            Err(error) => {
                let message = format!("`{}`: {}", op.name, error.message);
                self.error("E0201", message, span, "this does not fit together")
            }
        }
    }
}

struct Test<'a> {
    frame: Frame<'a>,
    arguments: Vec<graph::Value>,
    result: graph::Value,
}
