//! How the summed axes of a contraction are cut into stretches, each as deep as one panel.
//!
//! Invariant: the stretches, one after the other, visit each position of the summed axes once, in row-major order.

use crate::graph::Dim;
use crate::kernel::{Builder, Span, Value};
use crate::schedule::Loops;

/// A loop of at most so many steps is written out.
const UNROLLED: i64 = 4;
/// So are nested ones of at most so many steps together: taps of an image, but not those of a volume.
const UNROLLED_TOGETHER: i64 = 128;
/// Of a longer one, over the last axis, so many steps are, the first of these numbers that divides it.
const AT_ONCE: [i64; 2] = [8, 4];

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
        let mut stretch = Stretch {
            at: at.to_vec(),
            loops: Vec::new(),
            number: Dim::constant(0),
            count: Dim::constant(1),
            chunk: self.chunked.filter(|_| self.outer.is_empty() && self.inner.is_empty()).map(|(_, chunk)| chunk),
        };
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
    /// How far it is to the next along the last axis, where that is all by which they differ.
    pub chunk: Option<i64>,
}

/// What is done at a position of a stretch: it gets the position along all axes, and its number in the stretch.
pub type Body<'f> = dyn FnMut(&mut Builder, &[Dim], &Dim, &[Value]) -> Vec<Value> + 'f;

/// Something done once before every so many steps along the last axis; it gets the position along all axes but that one,
/// and how many times it was done before.
pub struct Between<'f> {
    pub steps: i64,
    pub body: &'f mut dyn FnMut(&mut Builder, &[Dim], &Dim),
}

impl Stretch {
    /// Runs `body` for each position, carrying values.
    pub fn each(&self, b: &mut Builder, name: &str, inits: &[Value], body: &mut Body<'_>) -> Vec<Value> {
        Visit { name, dropped: 0, between: None, body }.nest(b, &self.loops, &self.at, &Dim::constant(0), inits)
    }

    /// The same with something in between, and without the last `dropped` positions.
    pub fn each_with(
        &self,
        b: &mut Builder,
        between: Option<Between<'_>>,
        dropped: i64,
        inits: &[Value],
        body: &mut Body<'_>,
    ) -> Vec<Value> {
        Visit { name: "k", dropped, between, body }.nest(b, &self.loops, &self.at, &Dim::constant(0), inits)
    }

    /// Runs `body` for every so many positions along the last axis, which they divide; it gets the first of them.
    pub fn each_of(
        &self,
        b: &mut Builder,
        some: i64,
        inits: &[Value],
        body: &mut dyn FnMut(&mut Builder, &[Dim], &[Value]) -> Vec<Value>,
    ) -> Vec<Value> {
        let mut stretch = self.clone();
        let Some((axis, first, length)) = stretch.loops.pop() else { return body(b, &self.at, inits) };
        let n_steps = length.floor_div(&Dim::constant(some));
        stretch.each(b, "k", inits, &mut |b, at, _, carried| {
            let mut at = at.to_vec();
            let span = Span::new(&format!("k{axis}"), 0, n_steps.clone(), 1);
            b.for_loop(span, carried, |b, step, carried| {
                at[axis] = &first + &(step * some);
                body(b, &at, carried)
            })
        })
    }

    /// Runs `body` once for each position along all axes but the last; it gets that one, where it starts and how long it is.
    pub fn each_line(&self, b: &mut Builder, body: &mut dyn FnMut(&mut Builder, &[Dim], (usize, &Dim, &Dim))) {
        let mut stretch = self.clone();
        let Some((axis, first, length)) = stretch.loops.pop() else { return };
        stretch.each(b, "k", &[], &mut |b, at, _, _| {
            body(b, at, (axis, &first, &length));
            Vec::new()
        });
    }

    /// Runs `body` once for each position along all axes but the last, `some` positions before the end of that one; it gets
    /// the number of the position, too.
    pub fn each_end(&self, b: &mut Builder, some: i64, inits: &[Value], body: &mut Body<'_>) -> Vec<Value> {
        let mut stretch = self.clone();
        let Some((axis, first, length)) = stretch.loops.pop() else { return inits.to_vec() };
        stretch.at[axis] = &(&first + &length) - some;
        stretch.each(b, "e", inits, body)
    }

    /// The same stretch at this position along an axis that is not summed.
    pub fn at(&self, axis: usize, position: &Dim) -> Stretch {
        let mut stretch = self.clone();
        stretch.at[axis] = position.clone();
        stretch
    }

    /// Whether no axis but the last has several positions.
    pub fn is_one_axis(&self) -> bool {
        self.loops.split_last().is_some_and(|(_, others)| others.iter().all(|(_, _, length)| length.is(1)))
    }

    /// The last axis and how many positions it has in this stretch, if that is known.
    pub fn last_axis(&self) -> Option<(usize, Dim, i64)> {
        let (axis, start, length) = self.loops.last()?;
        Some((*axis, start.clone(), length.as_constant()?))
    }
}

struct Visit<'v, 'b, 'f> {
    name: &'v str,
    dropped: i64,
    between: Option<Between<'b>>,
    body: &'v mut Body<'f>,
}

impl Visit<'_, '_, '_> {
    fn nest(
        &mut self,
        b: &mut Builder,
        loops: &[(usize, Dim, Dim)],
        at: &[Dim],
        number: &Dim,
        inits: &[Value],
    ) -> Vec<Value> {
        let Some(((axis, start, length), rest)) = loops.split_first() else {
            return (self.body)(b, at, number, inits);
        };
        let steps = if rest.is_empty() { length - self.dropped } else { length.clone() };
        let name = format!("{}{axis}", self.name);
        let known = steps.as_constant();
        let every = self.between.as_ref().map(|between| between.steps).filter(|_| rest.is_empty());
        let mut at = at.to_vec();
        let step = |this: &mut Self, b: &mut Builder, at: &mut [Dim], position: &Dim, carried: &[Value]| {
            at[*axis] = start + position;
            this.nest(b, rest, at, &(&(number * length) + position), carried)
        };
        if let (Some(every), Some(known)) = (every.filter(|&every| known.is_some_and(|n| n >= every)), known) {
            let rounds = known / every;
            let carried = b.for_loop(Span::new(&format!("{name}_"), 0, rounds, 1), inits, |b, round, carried| {
                if let Some(between) = &mut self.between {
                    (between.body)(b, &at, round);
                }
                some_at_once(b, &name, every, carried, &mut |b, position, carried| {
                    step(self, b, &mut at, &(&(round * every) + position), carried)
                })
            });
            let left = known - rounds * every;
            return some_at_once(b, &format!("{name}r"), left, &carried, &mut |b, position, carried| {
                step(self, b, &mut at, &(position + rounds * every), carried)
            });
        }
        let step = &mut |b: &mut Builder, position: &Dim, carried: &[Value]| step(self, b, &mut at, position, carried);
        match known.filter(|_| rest.is_empty()) {
            Some(known) => some_at_once(b, &name, known, inits, step),
            None => {
                let together = known.unwrap_or(i64::MAX).saturating_mul(written_out(rest));
                let unroll = is_short(known) && together <= UNROLLED_TOGETHER;
                b.for_loop(Span { unroll, ..Span::new(&name, 0, steps, 1) }, inits, step)
            }
        }
    }
}

fn is_short(steps: Option<i64>) -> bool {
    steps.is_some_and(|steps| steps <= UNROLLED)
}

/// How many steps of the loops inside one are written out in it, if it is written out itself.
fn written_out(inside: &[(usize, Dim, Dim)]) -> i64 {
    let Some(((.., last), outer)) = inside.split_last() else { return 1 };
    let known = last.as_constant().unwrap_or(1);
    let innermost = at_once(known).unwrap_or(if is_short(Some(known)) { known } else { 1 });
    let short = outer.iter().filter_map(|(.., length)| length.as_constant()).filter(|&steps| is_short(Some(steps)));
    short.fold(innermost.max(1), i64::saturating_mul)
}

/// How many steps of a longer loop are written out, if any.
fn at_once(steps: i64) -> Option<i64> {
    AT_ONCE.into_iter().find(|&some| steps > UNROLLED && steps % some == 0)
}

/// A loop that says less often whether it goes on: a core that foresees that otherwise misses the end of many short ones.
fn some_at_once(
    b: &mut Builder,
    name: &str,
    steps: i64,
    inits: &[Value],
    step: &mut dyn FnMut(&mut Builder, &Dim, &[Value]) -> Vec<Value>,
) -> Vec<Value> {
    let Some(some) = at_once(steps) else {
        return b.for_loop(Span { unroll: is_short(Some(steps)), ..Span::new(name, 0, steps, 1) }, inits, step);
    };
    b.for_loop(Span::new(&format!("{name}s"), 0, steps / some, 1), inits, |b, round, carried| {
        b.for_loop(Span { unroll: true, ..Span::new(name, 0, some, 1) }, carried, |b, position, carried| {
            step(b, &(&(round * some) + position), carried)
        })
    })
}
