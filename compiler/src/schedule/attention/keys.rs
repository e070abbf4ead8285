//! The part of a tile of keys that a group of rows needs: which panels, and whether all of their keys take part.
//!
//! Invariant: panels cover every key that a row keeps, in ascending order; those of `whole` have no key that any row masks.

use super::bounds::Keys;
use super::emit::Item;
use crate::graph::Dim;
use crate::kernel::{Builder, Span, Value};

/// A tile of keys: panels `first..end`, keys `start..stop`.
pub struct KeyTile {
    pub base: Dim,
    pub panels: Segments,
    pub keys: (Dim, Dim),
}

/// Panels at the edges of what a mask leaves, or of the keys; those where all keys take part; and a narrower last one.
pub struct Segments {
    pub before: (Dim, Dim),
    pub whole: (Dim, Dim),
    pub after: (Dim, Dim),
    pub narrow: Option<(Dim, u64)>,
}

impl Item<'_> {
    fn keys_of_rows(&self, row: &Dim, n_rows: u64) -> [Keys; 2] {
        let first = &self.row_start + row;
        self.of.keys_of(&self.at, &first, &(&first + (n_rows as i64 - 1)))
    }

    /// The part of a tile of keys that these rows need.
    pub fn tile(&self, b: &mut Builder, row: &Dim, n_rows: u64, number: &Dim, keys: &Dim) -> KeyTile {
        let (width, panels) = (self.width as i64, self.panels as i64);
        let of_width = Dim::constant(width);
        let base = &(number * panels) * width;
        let first = number * panels;
        let n_panels = keys.ceil_div(&of_width);
        let end = if self.carried.is_some() { (&first + panels).least(&n_panels) } else { n_panels };
        let whole_end = keys.floor_div(&of_width).least(&end).greatest(&first);
        let stop = if self.carried.is_some() { (&base + panels * width).least(keys) } else { keys.clone() };
        if !self.of.bounds.is_empty() {
            return self.masked_tile(b, (row, n_rows), base, (first, end, whole_end), stop);
        }
        // Of a pair of weights both are there.
        let least = self.of.machine.lanes.max(if self.weights.is_some() { 2 } else { 1 });
        let narrow = match keys.as_constant() {
            Some(keys) if self.carried.is_none() && self.mixed.is_none() && keys % width != 0 => {
                Some((keys.div_euclid(width), ((keys % width) as u64).next_multiple_of(least)))
            }
            _ => None,
        };
        let after = if narrow.is_some() { (end.clone(), end.clone()) } else { (whole_end.clone(), end) };
        let narrow = narrow.map(|(panel, width)| (Dim::constant(panel), width));
        let panels = Segments { before: (first.clone(), first.clone()), whole: (first, whole_end), after, narrow };
        KeyTile { keys: (base.clone(), stop), base, panels }
    }

    fn masked_tile(
        &self,
        b: &mut Builder,
        (row, n_rows): (&Dim, u64),
        base: Dim,
        (first, end, whole_end): (Dim, Dim, Dim),
        stop: Dim,
    ) -> KeyTile {
        let width = Dim::constant(self.width as i64);
        let [loose, tight] = self.keys_of_rows(row, n_rows);
        let most = |dims: &[Dim], from: &Dim| dims.iter().fold(from.clone(), |most, dim| most.greatest(dim));
        let least = |dims: &[Dim], from: &Dim| dims.iter().fold(from.clone(), |least, dim| least.least(dim));
        let between = |b: &mut Builder, name: &str, value: Dim, low: &Dim, high: &Dim| {
            let value = b.index([], value);
            b.symbol(name, value, low.clone(), high.clone())
        };
        let low = between(b, "low", most(&loose.low, &base), &base, &stop);
        let high = between(b, "high", least(&loose.high, &stop), &low, &stop);
        let start = between(b, "start", low.floor_div(&width), &first, &whole_end);
        let needed = high.ceil_div(&width);
        let mut panels = Segments {
            before: (start.clone(), start.clone()),
            whole: (start.clone(), start.clone()),
            after: (start.clone(), start),
            narrow: None,
        };
        if self.of.bounds.is_complete {
            if !tight.low.is_empty() {
                let clear = most(&tight.low, &base).ceil_div(&width).least(&needed);
                panels.before.1 = between(b, "clear", clear, &panels.before.0, &whole_end);
            }
            let edge = least(&tight.high, &stop).floor_div(&width);
            let edge = between(b, "edge", edge, &panels.before.1, &whole_end);
            panels.whole = (panels.before.1.clone(), edge.clone());
            panels.after.0 = edge;
        }
        panels.after.1 = between(b, "end", needed, &panels.after.0, &end);
        KeyTile { base, panels, keys: (low, high) }
    }

    /// Runs `body` for each panel of the tile, carrying values: it gets the panel, its width, and whether it is an edge.
    pub fn each_panel(
        &self,
        b: &mut Builder,
        name: &str,
        segments: &Segments,
        inits: &[Value],
        body: &mut dyn FnMut(&mut Builder, &Dim, u64, bool, &[Value]) -> Vec<Value>,
    ) -> Vec<Value> {
        let mut carried = inits.to_vec();
        let parts = [(&segments.before, true), (&segments.whole, false), (&segments.after, true)];
        for (idx, ((start, end), is_edge)) in parts.into_iter().enumerate() {
            if start == end {
                continue;
            }
            let span = Span::new(&format!("{name}{idx}"), start.clone(), end.clone(), 1);
            carried = b.for_loop(span, &carried, |b, panel, carried| body(b, panel, self.width, is_edge, carried));
        }
        if let Some((panel, width)) = &segments.narrow {
            carried = body(b, panel, *width, true, &carried);
        }
        carried
    }

    /// The same where edges are like all others.
    pub fn each_strip(
        &self,
        b: &mut Builder,
        name: &str,
        segments: &Segments,
        init: Value,
        body: &mut dyn FnMut(&mut Builder, &Dim, u64, Value) -> Value,
    ) -> Value {
        let Segments { before, after, narrow, .. } = segments;
        let (start, end) = (before.0.clone(), after.1.clone());
        let end = if narrow.is_some() { segments.whole.1.clone() } else { end };
        let span = Span::new(name, start, end, 1);
        let result = b.for_loop(span, &[init], |b, panel, carried| vec![body(b, panel, self.width, carried[0])])[0];
        match narrow {
            Some((panel, width)) => body(b, panel, *width, result),
            None => result,
        }
    }
}
