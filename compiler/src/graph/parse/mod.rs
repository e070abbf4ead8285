//! The text form of graphs, inwards; see `print` for its look.
//!
//! Invariant: `parse(print(g)) == g`. The text may be hostile: every error has a line and a column, regions nest at most
//! `MAX_DEPTH` deep, nothing larger than the text is allocated (but for splats, on a budget), and the written types must
//! be those that inference finds.

mod attrs;
mod cursor;

use std::collections::HashMap;
use std::sync::Arc;

use super::{Check, Graph, OpDef, Origin, Ranges, Role, Symbol, Tensor, Type, Value};
use cursor::Cursor;
pub use cursor::Parsed;

const MAX_DEPTH: usize = 32;
const SPLAT_BUDGET: usize = 1 << 24;

/// What a text refers to: ops by name, and large constants by the hash of their content.
#[derive(Clone, Copy)]
pub struct Library<'a> {
    pub op: &'a dyn Fn(&str) -> Option<&'static OpDef>,
    pub constant: &'a dyn Fn(&str) -> Option<Arc<Tensor>>,
}

impl<'a> Library<'a> {
    /// A library without stored constants.
    pub fn of_ops(op: &'a dyn Fn(&str) -> Option<&'static OpDef>) -> Library<'a> {
        Library { op, constant: &|_| None }
    }
}

/// Reads a text of exactly one graph.
pub fn parse(text: &str, library: Library) -> Parsed<Graph> {
    let mut parser = Parser::new(text, library);
    let graph = parser.entry()?;
    match parser.cursor.is_at_end() {
        true => Ok(graph),
        false => parser.cursor.error("unexpected text after the graph"),
    }
}

/// Reads a text of any number of graphs, the entries of a model.
pub fn parse_module(text: &str, library: Library) -> Parsed<Vec<Graph>> {
    let mut parser = Parser::new(text, library);
    let mut graphs: Vec<Graph> = Vec::new();
    while !parser.cursor.is_at_end() {
        let start = parser.cursor.at;
        let graph = parser.entry()?;
        if graphs.iter().any(|other| other.name == graph.name) {
            return parser.cursor.error_at(start, format!("a second graph is called `{}`", graph.name));
        }
        graphs.push(graph);
    }
    Ok(graphs)
}

pub(super) struct Parser<'a> {
    cursor: Cursor<'a>,
    library: Library<'a>,
    splat_budget: usize,
}

/// The values of one graph by their numbers in the text.
type Numbered = HashMap<usize, Value>;

impl<'a> Parser<'a> {
    fn new(text: &'a str, library: Library<'a>) -> Parser<'a> {
        Parser { cursor: Cursor { text, at: 0 }, library, splat_budget: SPLAT_BUDGET }
    }

    fn entry(&mut self) -> Parsed<Graph> {
        match self.cursor.eat_word("graph") {
            true => self.graph(0, &Ranges::default()),
            false => self.cursor.error("expected `graph`"),
        }
    }

    fn graph(&mut self, depth: usize, outer: &Ranges) -> Parsed<Graph> {
        if depth > MAX_DEPTH {
            return self.cursor.error("regions nested too deeply");
        }
        self.cursor.expect("@")?;
        let mut graph = Graph::new(self.cursor.name("the name of the graph")?);
        let mut values = Numbered::new();
        self.arguments(&mut graph, &mut values)?;
        self.sizes(&mut graph, outer)?;
        self.cursor.expect("{")?;
        loop {
            if self.cursor.eat_word("return") {
                self.outputs(&mut graph, &values)?;
                self.cursor.expect("}")?;
                return Ok(graph);
            }
            if self.cursor.eat_word("check") {
                self.check(&mut graph)?;
            } else {
                self.node(&mut graph, &mut values, depth)?;
            }
        }
    }

    fn arguments(&mut self, graph: &mut Graph, values: &mut Numbered) -> Parsed<()> {
        self.cursor.expect("(")?;
        if self.cursor.eat(")") {
            return Ok(());
        }
        loop {
            let (start, number) = self.number()?;
            let name = self.cursor.string()?;
            self.cursor.expect(":")?;
            let role = self.role()?;
            let ty = self.ty()?;
            let value = graph.add_argument(name, role, ty);
            self.define(values, start, number, value)?;
            if !self.cursor.eat(",") {
                return self.cursor.expect(")");
            }
        }
    }

    fn sizes(&mut self, graph: &mut Graph, outer: &Ranges) -> Parsed<()> {
        if !self.cursor.eat_word("where") {
            graph.sizes = outer.clone();
            return Ok(());
        }
        if self.cursor.eat_word("none") {
            return Ok(());
        }
        loop {
            self.cursor.skip();
            let start = self.cursor.at;
            let size = self.cursor.dim()?;
            let Some(symbol) = size.as_symbol() else {
                return self.cursor.error_at(start, "expected the name of a size");
            };
            if graph.sizes.get(symbol).is_some() {
                return self.cursor.error_at(start, format!("the size {symbol} is declared twice"));
            }
            if !self.cursor.eat_word("in") {
                return self.cursor.error("expected `in` and a range of sizes");
            }
            let bounds = self.cursor.at;
            let low = self.cursor.dim()?;
            self.cursor.expect("..")?;
            let high = match self.cursor.peek(",") || self.cursor.peek("{") {
                true => None,
                false => Some(self.cursor.dim()?),
            };
            if [Some(&low), high.as_ref()].into_iter().flatten().any(|bound| graph.sizes.reaches(bound, symbol)) {
                return self.cursor.error_at(bounds, format!("the range of {symbol} goes back to {symbol}"));
            }
            graph.sizes.declare(Symbol::clone(symbol), low, high);
            if !self.cursor.eat(",") {
                return Ok(());
            }
        }
    }

    fn check(&mut self, graph: &mut Graph) -> Parsed<()> {
        let not_negative = self.cursor.dim()?;
        self.cursor.expect(">=")?;
        let start = self.cursor.at;
        if self.cursor.int()? != 0 {
            return self.cursor.error_at(start, "a check compares with 0");
        }
        self.cursor.expect(",")?;
        let message = self.cursor.string()?;
        graph.checks.push(Check { not_negative, message });
        Ok(())
    }

    fn node(&mut self, graph: &mut Graph, values: &mut Numbered, depth: usize) -> Parsed<()> {
        let mut numbers = vec![self.number()?];
        while self.cursor.eat(",") {
            numbers.push(self.number()?);
        }
        self.cursor.expect(":")?;
        self.cursor.skip();
        let types_at = self.cursor.at;
        let types = match self.cursor.eat("(") {
            true => {
                self.cursor.at = types_at;
                self.types()?
            }
            false => vec![self.ty()?],
        };
        self.cursor.expect("=")?;
        self.cursor.skip();
        let start = self.cursor.at;
        let name = self.cursor.expect_word("the name of an op")?;
        let Some(op) = (self.library.op)(name) else {
            return self.cursor.error_at(start, format!("there is no op `{name}`"));
        };
        let operands = self.operands(values)?;
        let attrs = self.attrs(op)?;
        let origin = self.cursor.line_comment().and_then(origin).unwrap_or_default();
        let mut regions = Vec::new();
        while self.cursor.peek("@") {
            regions.push(self.graph(depth + 1, &graph.sizes)?);
        }
        let id = match graph.apply(op, &operands, &attrs, regions, &origin) {
            Ok(id) => id,
            Err(error) => return self.cursor.error_at(start, format!("`{name}`: {}", error.message)),
        };
        let found = &graph.node(id).types;
        if *found != types || numbers.len() != types.len() {
            let found = found.iter().map(Type::to_string).collect::<Vec<_>>().join(", ");
            return self.cursor.error_at(types_at, format!("the results of `{name}` have the types {found}"));
        }
        let results: Vec<Value> = graph.results(id).collect();
        for ((at, number), value) in numbers.into_iter().zip(results) {
            self.define(values, at, number, value)?;
        }
        Ok(())
    }

    fn types(&mut self) -> Parsed<Vec<Type>> {
        self.cursor.expect("(")?;
        let mut types = vec![self.ty()?];
        while self.cursor.eat(",") {
            types.push(self.ty()?);
        }
        self.cursor.expect(")")?;
        Ok(types)
    }

    fn operands(&mut self, values: &Numbered) -> Parsed<Vec<Value>> {
        self.cursor.expect("(")?;
        let mut operands = Vec::new();
        if self.cursor.eat(")") {
            return Ok(operands);
        }
        loop {
            operands.push(self.value(values)?);
            if !self.cursor.eat(",") {
                self.cursor.expect(")")?;
                return Ok(operands);
            }
        }
    }

    fn outputs(&mut self, graph: &mut Graph, values: &Numbered) -> Parsed<()> {
        while self.cursor.peek("%") {
            let value = self.value(values)?;
            let name = self.cursor.string()?;
            self.cursor.expect(":")?;
            let role = self.role()?;
            graph.add_output(name, role, value);
            if !self.cursor.eat(",") {
                return Ok(());
            }
        }
        Ok(())
    }

    fn role(&mut self) -> Parsed<Role> {
        self.cursor.skip();
        let start = self.cursor.at;
        let word = self.cursor.expect_word("a role")?;
        match Role::ALL.iter().find(|(_, name)| *name == word) {
            Some((role, _)) => Ok(*role),
            None => self.cursor.error_at(start, "expected a role: data, param or state"),
        }
    }

    /// `%5`, and where it stands.
    fn number(&mut self) -> Parsed<(usize, usize)> {
        self.cursor.skip();
        let start = self.cursor.at;
        self.cursor.expect("%")?;
        Ok((start, self.cursor.count()?))
    }

    fn value(&mut self, values: &Numbered) -> Parsed<Value> {
        let (start, number) = self.number()?;
        match values.get(&number) {
            Some(&value) => Ok(value),
            None => self.cursor.error_at(start, format!("%{number} is not defined above")),
        }
    }

    fn define(&self, values: &mut Numbered, at: usize, number: usize, value: Value) -> Parsed<()> {
        match values.insert(number, value) {
            None => Ok(()),
            Some(_) => self.cursor.error_at(at, format!("%{number} is defined twice")),
        }
    }
}

/// The origin that a comment states, if it has that form: `file:line path`.
fn origin(comment: &str) -> Option<Origin> {
    let mut cursor = Cursor { text: comment, at: 0 };
    let file = match comment.starts_with('"') {
        true => cursor.string().ok()?,
        false => {
            let end = comment.find([':', ' '])?;
            cursor.at = end;
            comment[..end].to_string()
        }
    };
    let rest = cursor.rest().strip_prefix(':')?;
    let (line, path) = rest.split_once(' ').unwrap_or((rest, ""));
    let line = line.parse().ok()?;
    let path = match path.starts_with('"') {
        true => Cursor { text: path, at: 0 }.string().ok()?,
        false if path.contains(' ') => return None,
        false => path.to_string(),
    };
    Some(Origin { file: Arc::from(file), line, path: Arc::from(path) })
}

#[cfg(test)]
mod tests;
