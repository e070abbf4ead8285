//! What is visible at a point of the walk: values and symbols.
//!
//! Invariant: closing to a mark restores what was visible at the mark; whether a value was ever defined is kept.

use crate::graph::Symbol;
use crate::kernel::types::Value;

pub(super) struct Scopes {
    visible: Vec<bool>,
    ever: Vec<bool>,
    values: Vec<Value>,
    symbols: Vec<Symbol>,
}

impl Scopes {
    pub fn new(n_values: usize) -> Scopes {
        Scopes { visible: vec![false; n_values], ever: vec![false; n_values], values: Vec::new(), symbols: Vec::new() }
    }

    pub fn mark(&self) -> (usize, usize) {
        (self.values.len(), self.symbols.len())
    }

    pub fn close(&mut self, (n_values, n_symbols): (usize, usize)) {
        for value in self.values.drain(n_values..) {
            self.visible[value.0 as usize] = false;
        }
        self.symbols.truncate(n_symbols);
    }

    pub fn defined(&self, value: Value) -> bool {
        self.visible.get(value.0 as usize).copied().unwrap_or(false)
    }

    /// False if the value was defined before.
    pub fn define(&mut self, value: Value) -> bool {
        let at = value.0 as usize;
        let fresh = !self.ever[at];
        (self.ever[at], self.visible[at]) = (true, true);
        self.values.push(value);
        fresh
    }

    pub fn declare(&mut self, symbol: Symbol) {
        self.symbols.push(symbol);
    }

    pub fn knows(&self, symbol: &Symbol) -> bool {
        self.symbols.contains(symbol)
    }
}
