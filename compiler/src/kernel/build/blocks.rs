//! Statements with inner blocks.

use super::Builder;
use crate::graph::{DType, Dim, Symbol};
use crate::kernel::types::*;

/// The bounds of a tile-level loop.
pub struct Span {
    pub symbol: Symbol,
    pub start: Dim,
    pub end: Dim,
    pub step: i64,
    pub unroll: bool,
}

impl Span {
    pub fn new(symbol: &str, start: impl Into<Dim>, end: impl Into<Dim>, step: i64) -> Span {
        Span { symbol: Symbol::new(symbol), start: start.into(), end: end.into(), step, unroll: false }
    }
}

impl Builder {
    /// `for symbol in start..end step step`: `body` gets the symbol and the carried values and returns the next ones.
    pub fn for_loop(
        &mut self,
        span: Span,
        inits: &[Value],
        body: impl FnOnce(&mut Builder, &Dim, &[Value]) -> Vec<Value>,
    ) -> Vec<Value> {
        let params = self.like_values(inits);
        self.open_block();
        let yields = body(self, &Dim::from(&span.symbol), &params);
        let body = self.close_block(yields);
        let results = self.like_values(inits);
        let Span { symbol, start, end, step, unroll } = span;
        let op = Op::For(Box::new(For { symbol, start, end, step, unroll, inits: inits.to_vec(), params, body }));
        self.push_stmt(Stmt { results: results.clone(), op });
        results
    }

    /// The loop of the loop level: `body` gets the index and the carried values.
    pub fn value_loop(
        &mut self,
        (start, end, step): (Value, Value, i64),
        inits: &[Value],
        body: impl FnOnce(&mut Builder, Value, &[Value]) -> Vec<Value>,
    ) -> Vec<Value> {
        let index = self.value(Type::scalar(DType::I64));
        let params = self.like_values(inits);
        self.open_block();
        let yields = body(self, index, &params);
        let body = self.close_block(yields);
        let results = self.like_values(inits);
        let inits = inits.to_vec();
        let op = Op::Loop(Box::new(Loop { index, start, end, step, unroll: false, inits, params, body }));
        self.push_stmt(Stmt { results: results.clone(), op });
        results
    }

    /// Both blocks return values of the same types.
    pub fn if_else(
        &mut self,
        condition: Condition,
        then: impl FnOnce(&mut Builder) -> Vec<Value>,
        otherwise: impl FnOnce(&mut Builder) -> Vec<Value>,
    ) -> Vec<Value> {
        self.open_block();
        let yields = then(self);
        let then = self.close_block(yields);
        self.open_block();
        let yields = otherwise(self);
        let otherwise = self.close_block(yields);
        let results = self.like_values(&then.yields);
        let op = Op::If(Box::new(If { condition, then, otherwise }));
        self.push_stmt(Stmt { results: results.clone(), op });
        results
    }

    fn like_values(&mut self, values: &[Value]) -> Vec<Value> {
        values.iter().map(|&value| self.value(self.type_of(value).clone())).collect()
    }
}
