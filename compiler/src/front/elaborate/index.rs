//! `value[…]`: elements and slices of lists, typed shapes, and tensors by ints, slices, `new`, `..` and other tensors.

use std::rc::Rc;

use super::Elaborator;
use super::places::from_end;
use super::report::Outcome;
use super::scope::Env;
use super::value::{Value, Wire};
use crate::diag::{Diagnostic, Span};
use crate::front::ast::{Expr, Index, IndexKind};
use crate::graph::{Attrs, DType, Dim, Shape};

/// What an index does with an axis of the tensor.
pub enum Pick {
    /// From one place up to another.
    Slice(Dim, Dim),
    /// One place, known now.
    At(Dim),
    /// One place, known when the program runs.
    Run(Wire, Span),
    /// Many places.
    Gather(Wire, Span),
    New,
}

impl<'a> Elaborator<'a> {
    pub fn index(
        &mut self,
        value: &'a Expr,
        indices: &'a [Index],
        env: &mut Env<'a>,
        span: Span,
    ) -> Outcome<Value<'a>> {
        match self.eval(value, env)? {
            Value::DType(dtype) => {
                let mut sizes = Vec::with_capacity(indices.len());
                for index in indices {
                    match &index.kind {
                        IndexKind::At(size) => sizes.push(self.eval(size, env)?),
                        _ => return self.error("E0402", "a shape lists sizes", index.span, "not a size"),
                    }
                }
                Ok(Value::Typed(dtype, Rc::new(sizes)))
            }
            found if indices.is_empty() => {
                let message = format!("an index names a place, and `{}[]` names none", self.text(value.span));
                self.error("E0402", message, span, &found.show())
            }
            Value::List(items) => self.index_list(&items, indices, env, span),
            Value::Tuple(fields) => {
                let items: Vec<Value<'a>> = fields.iter().map(|field| field.value.clone()).collect();
                self.index_list(&items, indices, env, span)
            }
            found if found.is_tensor() => {
                let wire = self.tensor(found, value.span)?;
                self.index_tensor(wire, value.span, indices, env, span)
            }
            other => {
                let message = format!("{} cannot be indexed", other.kind());
                self.error("E0402", message, value.span, &other.show())
            }
        }
    }

    fn place_in_list(&mut self, at: &'a Expr, env: &mut Env<'a>) -> Outcome<i64> {
        match self.eval(at, env)? {
            place if place.is_tensor() => {
                let message = "the index of a list is an int of config, and this is a tensor";
                let diagnostic = Diagnostic::error("E0402", message).at(at.span, "only known when the program runs");
                let help = "`stack(list)[i]` is one of tensors of one shape; what is called is chosen by `if`: \
                            `if i == 0 { f(x) } else { g(x) }`";
                Err(self.report(diagnostic.help(help)))
            }
            place => self.as_config_int(place, at.span, "the index of a list"),
        }
    }

    fn index_list(
        &mut self,
        items: &[Value<'a>],
        indices: &'a [Index],
        env: &mut Env<'a>,
        span: Span,
    ) -> Outcome<Value<'a>> {
        let [index] = indices else { return self.error("E0402", "a list has one axis", span, "indexed by more") };
        let length = items.len() as i64;
        match &index.kind {
            IndexKind::At(at) => {
                let place = self.place_in_list(at, env)?;
                let from_start = if place < 0 { place.saturating_add(length) } else { place };
                match usize::try_from(from_start).ok().and_then(|place| items.get(place)) {
                    Some(item) => Ok(item.clone()),
                    None => {
                        let message = format!("there is no element {place} in a list of {length}");
                        self.error("E0205", message, at.span, "out of range")
                    }
                }
            }
            IndexKind::Slice { start, end } => {
                let mut bounds = [0, length];
                for (bound, written) in bounds.iter_mut().zip([start, end]) {
                    if let Some(written) = written {
                        let place = self.config_int(written, env, "the bound of a slice")?;
                        let place = if place < 0 { place.saturating_add(length) } else { place };
                        *bound = place;
                    }
                }
                let [low, high] = bounds;
                if low < 0 || high < low || length < high {
                    let message = format!("{low}:{high} is out of range for a list of {length}");
                    return self.error("E0205", message, index.span, "out of range");
                }
                self.charge((high - low) as usize, span)?;
                Ok(Value::list(items[low as usize..high as usize].to_vec()))
            }
            _ => self.error("E0402", "a list is indexed by an int or a slice", index.span, "neither"),
        }
    }

    fn index_tensor(
        &mut self,
        wire: Wire,
        at: Span,
        indices: &'a [Index],
        env: &mut Env<'a>,
        span: Span,
    ) -> Outcome<Value<'a>> {
        let shape = self.type_of(wire).shape;
        let used =
            indices.iter().filter(|index| matches!(index.kind, IndexKind::At(_) | IndexKind::Slice { .. })).count();
        if used > shape.len() {
            let message = format!("{used} indices for {} axes", shape.len());
            let diagnostic = Diagnostic::error("E0202", message).at(span, "too many");
            return Err(self.report(diagnostic.also(at, format!("{} here", Shape(&shape)))));
        }
        let mut picks: Vec<Pick> = Vec::new();
        let mut axis = 0;
        let whole = |size: &Dim| Pick::Slice(Dim::constant(0), size.clone());
        for index in indices {
            match &index.kind {
                IndexKind::New => picks.push(Pick::New),
                IndexKind::Rest => {
                    for _ in 0..shape.len() - used {
                        picks.push(whole(&shape[axis.min(shape.len() - 1)]));
                        axis += 1;
                    }
                }
                _ if axis >= shape.len() => return self.error("E0202", "`..` stands twice", span, "here"),
                IndexKind::At(place) => {
                    picks.push(self.pick(place, &shape[axis], env)?);
                    axis += 1;
                }
                IndexKind::Slice { start, end } => {
                    picks.push(self.slice_pick(start.as_ref(), end.as_ref(), &shape[axis], env, index.span)?);
                    axis += 1;
                }
            }
        }
        while axis < shape.len() {
            picks.push(whole(&shape[axis]));
            axis += 1;
        }
        self.apply_picks(wire, &shape, picks, span)
    }

    fn pick(&mut self, place: &'a Expr, size: &Dim, env: &mut Env<'a>) -> Outcome<Pick> {
        let value = self.eval(place, env)?;
        match &value {
            Value::Int(_) | Value::Size(_) => {
                let at = match &value {
                    Value::Int(place) => from_end(*place, size),
                    other => self.size_of(other, place.span)?,
                };
                self.in_range(&at, &(&at + 1), size, place.span, &value.show())?;
                Ok(Pick::At(at))
            }
            Value::List(items) if !items.is_empty() => self.pick_places(&value, size, place.span),
            value if value.is_tensor() => {
                let mut wire = self.tensor(value.clone(), place.span)?;
                let ty = self.type_of(wire);
                if ty.dtype.is_int() && ty.dtype != DType::I64 {
                    wire = self.cast(wire, DType::I64, place.span)?;
                } else if ty.dtype != DType::I64 {
                    let diagnostic =
                        Diagnostic::error("E0206", format!("an index is an integer, and this is {}", ty.dtype))
                            .at(place.span, format!("{ty} here"))
                            .help(if ty.dtype == DType::Bool {
                                "`select(mask, a, b)` chooses by a mask"
                            } else {
                                "cast it: `i64(…)`"
                            });
                    return Err(self.report(diagnostic));
                }
                Ok(if ty.rank() == 0 { Pick::Run(wire, place.span) } else { Pick::Gather(wire, place.span) })
            }
            other => Err(self.wanted("an index", &other.clone(), place.span)),
        }
    }

    fn slice_pick(
        &mut self,
        start: Option<&'a Expr>,
        end: Option<&'a Expr>,
        size: &Dim,
        env: &mut Env<'a>,
        span: Span,
    ) -> Outcome<Pick> {
        let mut bounds = [Dim::constant(0), size.clone()];
        for (bound, written) in bounds.iter_mut().zip([start, end]) {
            let Some(written) = written else { continue };
            let value = self.eval(written, env)?;
            if value.is_tensor() {
                let diagnostic =
                    Diagnostic::error("E0403", "no size depends on data, and the bounds of a slice make one")
                        .at(written.span, "only known when the program runs")
                        .help("`slice_at(x, at, axis: 0, size: n)` takes n elements from a run-time place on");
                return Err(self.report(diagnostic));
            }
            *bound = match &value {
                Value::Int(place) => from_end(*place, size),
                other => self.size_of(other, written.span)?,
            };
        }
        let [low, high] = bounds;
        let (written, from_start) = (self.text(span), format!("{low}:{high}"));
        let known = if written == from_start { written } else { format!("`{written}`, which is {from_start},") };
        self.in_range(&low, &high, size, span, &known)?;
        Ok(Pick::Slice(low, high))
    }

    /// `0 <= low <= high <= size`, now or as checks of the entry; `written` is what the spec says.
    pub fn in_range(&mut self, low: &Dim, high: &Dim, size: &Dim, span: Span, written: &str) -> Outcome<()> {
        for room in [low.clone(), high - low, size - high] {
            let ranges = &self.frame(span)?.graph.sizes;
            if ranges.lower_bound(&room).is_some_and(|bound| bound >= 0) {
                continue;
            }
            if ranges.upper_bound(&room).is_some_and(|bound| bound < 0) {
                let message = format!("{written} is out of range for an axis of size {size}");
                return self.error("E0205", message, span, "out of range");
            }
            self.must_fit(room, span);
        }
        Ok(())
    }

    fn apply_picks(&mut self, wire: Wire, shape: &[Dim], picks: Vec<Pick>, span: Span) -> Outcome<Value<'a>> {
        let sliced = self.apply_slices(wire, shape, &picks, span)?;
        let mut current = sliced;
        // The sizes that are left, with `None` where a gather stands; new axes come last of all.
        let mut axis = 0;
        for pick in &picks {
            if let Pick::Run(place, at) = pick {
                let attrs = Attrs::none().with("axis", axis as i64).with("size", Dim::constant(1));
                current = self.emit("slice_at", &[current, *place], attrs, *at)?;
            }
            axis += usize::from(!matches!(pick, Pick::New));
        }
        let sizes = self.type_of(current).shape;
        let mut kept: Vec<(Option<Dim>, Option<(Wire, Span)>)> = Vec::new();
        let mut dropped: Vec<Dim> = Vec::new();
        let mut axis = 0;
        for pick in &picks {
            match pick {
                Pick::New => {
                    kept.push((None, None));
                    continue;
                }
                // A new axis that stays is taken out and put in again, so that it goes on to be one.
                Pick::Slice(..) if sizes[axis].is(1) && wire.is_new(sizes.len() - 1 - axis) => {
                    kept.push((None, None));
                    axis += 1;
                    continue;
                }
                Pick::Slice(..) => kept.push((Some(sizes[axis].clone()), None)),
                Pick::Gather(places, at) => kept.push((Some(sizes[axis].clone()), Some((*places, *at)))),
                Pick::At(_) | Pick::Run(..) => {
                    axis += 1;
                    continue;
                }
            }
            dropped.push(sizes[axis].clone());
            axis += 1;
        }
        current = self.reshape_to(current, dropped, span)?;
        let (current, out) = self.apply_gathers(current, kept, span)?;
        let shape: Vec<Dim> = out.iter().map(|size| size.clone().unwrap_or_else(|| Dim::constant(1))).collect();
        let marks = out.iter().rev().take(64).enumerate().filter(|(_, size)| size.is_none());
        let new_axes = marks.fold(0, |mask, (bit, _)| mask | 1 << bit);
        let made = self.reshape_to(current, shape, span)?;
        Ok(Value::Wire(Wire { flexible: wire.flexible, new_axes, ..made }))
    }

    fn apply_slices(&mut self, wire: Wire, shape: &[Dim], picks: &[Pick], span: Span) -> Outcome<Wire> {
        let (mut starts, mut stops) = (Vec::new(), Vec::new());
        for (pick, size) in picks.iter().filter(|pick| !matches!(pick, Pick::New)).zip(shape) {
            let (start, stop) = match pick {
                Pick::Slice(low, high) => (low.clone(), high.clone()),
                Pick::At(place) => (place.clone(), place + 1),
                _ => (Dim::constant(0), size.clone()),
            };
            starts.push(start);
            stops.push(stop);
        }
        if starts.iter().all(|start| start.is(0)) && stops == shape {
            return Ok(wire);
        }
        self.emit("slice", &[wire], Attrs::none().with("starts", starts).with("stops", stops), span)
    }

    /// Index tensors of one shape take the place of the first axis that they index.
    #[allow(clippy::type_complexity)]
    fn apply_gathers(
        &mut self,
        wire: Wire,
        kept: Vec<(Option<Dim>, Option<(Wire, Span)>)>,
        span: Span,
    ) -> Outcome<(Wire, Vec<Option<Dim>>)> {
        let places: Vec<(Wire, Span)> = kept.iter().filter_map(|(_, gather)| *gather).collect();
        if places.is_empty() {
            return Ok((wire, kept.into_iter().map(|(size, _)| size).collect()));
        }
        let spans: Vec<Span> = places.iter().map(|(_, at)| *at).collect();
        let wires = self.broadcast_all(places.iter().map(|(wire, _)| *wire).collect(), &spans, span)?;
        let indexed = self.type_of(wires[0]).shape;
        let index_names: Vec<String> = (0..indexed.len()).map(|axis| format!("i{axis}")).collect();
        let (mut source, mut result, mut out): (Vec<String>, Vec<String>, Vec<Option<Dim>>) = Default::default();
        let mut first = true;
        for (axis, (size, gather)) in kept.into_iter().enumerate() {
            match (size, gather) {
                (None, _) => out.push(None),
                (Some(size), None) => {
                    source.push(format!("a{axis}"));
                    result.push(format!("a{axis}"));
                    out.push(Some(size));
                }
                (Some(_), Some(_)) => {
                    source.push(format!("[a{axis}]"));
                    if std::mem::take(&mut first) {
                        result.extend(index_names.iter().cloned());
                        out.extend(indexed.iter().cloned().map(Some));
                    }
                }
            }
        }
        let indices = vec![index_names.join(" "); wires.len()].join(", ");
        let pattern = format!("{}, {indices} -> {}", source.join(" "), result.join(" "));
        let operands: Vec<Wire> = [wire].into_iter().chain(wires).collect();
        let made = self.emit("gather", &operands, Attrs::none().with("pattern", pattern), span)?;
        Ok((made, out))
    }

    /// A tensor taken apart along its first axis.
    pub fn rows(&mut self, value: Value<'a>, count: usize, pattern: Span, span: Span) -> Outcome<Vec<Value<'a>>> {
        let wire = self.tensor(value, span)?;
        let shape = self.type_of(wire).shape;
        let Some((first, rest)) = shape.split_first() else {
            return self.error("E0202", "a tensor without axes cannot be taken apart", span, "no axes here");
        };
        if !first.is(count as i64) {
            let diagnostic = Diagnostic::error("E0203", format!("{count} names for a first axis of size {first}"))
                .at(pattern, format!("{count} names"))
                .also(span, format!("{} here", Shape(&shape)));
            return Err(self.report(diagnostic));
        }
        let zero = Dim::constant(0);
        let mut rows = Vec::with_capacity(count);
        for row in 0..count as i64 {
            let starts: Vec<Dim> = [Dim::constant(row)].into_iter().chain(rest.iter().map(|_| zero.clone())).collect();
            let stops: Vec<Dim> = [Dim::constant(row + 1)].into_iter().chain(rest.iter().cloned()).collect();
            let piece = self.emit("slice", &[wire], Attrs::none().with("starts", starts).with("stops", stops), span)?;
            let piece = self.reshape_to(piece, rest.to_vec(), span)?;
            rows.push(Value::Wire(Wire { flexible: wire.flexible, ..piece }));
        }
        Ok(rows)
    }
}
