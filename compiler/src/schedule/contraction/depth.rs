//! How the summed axes of a contraction are cut into stretches, each as deep as one panel.
//!
//! Invariant: the stretches, one after the other, visit each position of the summed axes once, in row-major order.

use crate::graph::Dim;
use crate::kernel::{Builder, Span, Value};
use crate::schedule::Loops;

/// A loop of at most so many steps is written out.
const UNROLLED: i64 = 4;

/// Axes outside of a stretch, perhaps one axis that is cut into chunks, and axes that a stretch covers whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Depth {
    outer: Vec<usize>,
    chunked: Option<(usize, i64)>,
    inner: Vec<usize>,
    /// Positions of a stretch at most, where that is known.
    pub n_rows: i64,
}

impl Depth {
    /// All positions in one stretch, however many.
    pub fn whole(loops: &Loops) -> Depth {
        let inner: Vec<usize> = (loops.n_parallel..loops.axes.len()).collect();
        let n_rows = inner.iter().filter_map(|&axis| loops.axes[axis].as_constant()).fold(1, i64::saturating_mul);
        Depth { outer: Vec::new(), chunked: None, inner, n_rows }
    }

    /// Stretches of at most `limit` positions.
    pub fn new(loops: &Loops, limit: i64) -> Depth {
        let mut depth = Depth { outer: Vec::new(), chunked: None, inner: Vec::new(), n_rows: 1 };
        for axis in (loops.n_parallel..loops.axes.len()).rev() {
            let extent = loops.axes[axis].as_constant().map(|extent| extent.max(1));
            let is_open = depth.outer.is_empty() && depth.chunked.is_none();
            match extent.and_then(|extent| depth.n_rows.checked_mul(extent)).filter(|&n_rows| n_rows <= limit) {
                Some(n_rows) if is_open => {
                    depth.inner.insert(0, axis);
                    depth.n_rows = n_rows;
                }
                // An axis of which not even a few positions fit is one of many short stretches.
                _ if is_open && limit / depth.n_rows > 1 => {
                    let chunk = even_chunk(extent, limit / depth.n_rows);
                    depth.chunked = Some((axis, chunk));
                    depth.n_rows *= chunk;
                }
                _ => depth.outer.insert(0, axis),
            }
        }
        depth
    }

    pub fn is_one_stretch(&self) -> bool {
        self.outer.is_empty() && self.chunked.is_none()
    }

    /// Runs `body` for each stretch.
    pub fn each(&self, b: &mut Builder, loops: &Loops, at: &[Dim], body: &mut dyn FnMut(&mut Builder, &Stretch)) {
        let mut stretch =
            Stretch { at: at.to_vec(), loops: Vec::new(), number: Dim::constant(0), count: Dim::constant(1) };
        for &axis in &self.inner {
            stretch.loops.push((axis, Dim::constant(0), loops.axes[axis].clone()));
        }
        self.outer_loops(b, loops, &self.outer, &stretch, body);
    }

    fn outer_loops(
        &self,
        b: &mut Builder,
        loops: &Loops,
        axes: &[usize],
        stretch: &Stretch,
        body: &mut dyn FnMut(&mut Builder, &Stretch),
    ) {
        let mut next = stretch.clone();
        if let Some((&axis, rest)) = axes.split_first() {
            let extent = &loops.axes[axis];
            next.count = &stretch.count * extent;
            b.for_loop(Span::new(&format!("kb{axis}"), 0, extent.clone(), 1), &[], |b, position, _| {
                next.at[axis] = position.clone();
                next.number = &(&stretch.number * extent) + position;
                self.outer_loops(b, loops, rest, &next, body);
                Vec::new()
            });
            return;
        }
        let Some((axis, chunk)) = self.chunked else { return body(b, stretch) };
        let (extent, size) = (&loops.axes[axis], Dim::constant(chunk));
        let n_chunks = extent.ceil_div(&size);
        next.count = &stretch.count * &n_chunks;
        b.for_loop(Span::new("kb", 0, n_chunks.clone(), 1), &[], |b, position, _| {
            let start = position * chunk;
            let is_even = extent.as_constant().is_some_and(|extent| extent % chunk == 0);
            let length = if is_even { size.clone() } else { (extent - &start).least(&size) };
            let mut next = next.clone();
            next.loops.insert(0, (axis, start, length));
            next.number = &(&stretch.number * &n_chunks) + position;
            body(b, &next);
            Vec::new()
        });
    }
}

/// The largest chunk up to `most`, or a smaller one that divides the extent nearly evenly.
fn even_chunk(extent: Option<i64>, most: i64) -> i64 {
    match extent {
        Some(extent) => {
            let n_chunks = (extent + most - 1) / most;
            (extent + n_chunks - 1) / n_chunks
        }
        None => most,
    }
}

/// A stretch of the summed axes.
#[derive(Clone)]
pub struct Stretch {
    /// Positions along all axes, as far as they are known.
    at: Vec<Dim>,
    /// Axes that it loops over: from where, how many positions.
    loops: Vec<(usize, Dim, Dim)>,
    /// Its number, and how many there are.
    pub number: Dim,
    pub count: Dim,
}

impl Stretch {
    /// Runs `body` for each position, carrying values: it gets the position along all axes, and its number in the stretch.
    pub fn each(
        &self,
        b: &mut Builder,
        name: &str,
        dropped: i64,
        inits: &[Value],
        body: &mut dyn FnMut(&mut Builder, &[Dim], &Dim, &[Value]) -> Vec<Value>,
    ) -> Vec<Value> {
        self.nest(b, name, dropped, &self.loops, &self.at, &Dim::constant(0), inits, body)
    }

    #[allow(clippy::too_many_arguments)]
    fn nest(
        &self,
        b: &mut Builder,
        name: &str,
        dropped: i64,
        loops: &[(usize, Dim, Dim)],
        at: &[Dim],
        number: &Dim,
        inits: &[Value],
        body: &mut dyn FnMut(&mut Builder, &[Dim], &Dim, &[Value]) -> Vec<Value>,
    ) -> Vec<Value> {
        let Some(((axis, start, length), rest)) = loops.split_first() else { return body(b, at, number, inits) };
        let steps = if rest.is_empty() { length - dropped } else { length.clone() };
        let unroll = steps.as_constant().is_some_and(|steps| steps <= UNROLLED);
        let span = Span { unroll, ..Span::new(&format!("{name}{axis}"), 0, steps, 1) };
        let mut at = at.to_vec();
        b.for_loop(span, inits, |b, position, carried| {
            at[*axis] = start + position;
            let number = &(number * length) + position;
            self.nest(b, name, dropped, rest, &at, &number, carried, body)
        })
    }
}
