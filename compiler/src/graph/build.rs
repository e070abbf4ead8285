//! A cursor for building graphs: applies ops one after another under one origin.

use super::{Attrs, Graph, OpDef, OpError, Origin, Type, Value};

pub struct Builder<'g> {
    pub graph: &'g mut Graph,
    pub origin: Origin,
}

impl<'g> Builder<'g> {
    pub fn new(graph: &'g mut Graph, origin: Origin) -> Builder<'g> {
        Builder { graph, origin }
    }

    pub fn type_of(&self, value: Value) -> &Type {
        self.graph.type_of(value)
    }

    /// Applies an op with one result.
    pub fn apply(&mut self, op: &'static OpDef, operands: &[Value], attrs: Attrs) -> Result<Value, OpError> {
        let node = self.graph.apply(op, operands, &attrs, Vec::new(), &self.origin)?;
        Ok(Value { node, result: 0 })
    }

    /// Applies an op with regions or several results.
    pub fn apply_with(
        &mut self,
        op: &'static OpDef,
        operands: &[Value],
        attrs: Attrs,
        regions: Vec<Graph>,
    ) -> Result<Vec<Value>, OpError> {
        let node = self.graph.apply(op, operands, &attrs, regions, &self.origin)?;
        Ok(self.graph.results(node).collect())
    }
}
