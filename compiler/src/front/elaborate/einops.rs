//! Patterns that name axes: `rearrange`, `reduce`, `repeat`, `einsum`, `gather`, `scatter`.
//!
//! Invariant: a pattern is taken apart into single axes, which are permuted, reduced or repeated, and put together again:
//! at most a reshape, a permute, a reduction or a broadcast, and a reshape.

use indexmap::IndexMap;

use super::Elaborator;
use super::builtins::Bound;
use super::call::Arg;
use super::report::{Outcome, Poisoned};
use super::value::{Value, Wire};
use crate::diag::{Diagnostic, Span, suggest};
use crate::graph::{Attr, Attrs, Dim, Shape};
use crate::ops::pattern::{self, Item, Kind, Pattern};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Rearrange,
    Reduce,
    Repeat,
}

/// A pattern with the place it is written at.
struct Written {
    pattern: Pattern,
    span: Span,
}

type Sizes = IndexMap<String, Dim>;

impl<'a> Elaborator<'a> {
    pub fn rearrange(&mut self, bound: Bound<'a>) -> Outcome<Value<'a>> {
        self.axes_form(Form::Rearrange, bound)
    }

    pub fn reduce(&mut self, bound: Bound<'a>) -> Outcome<Value<'a>> {
        self.axes_form(Form::Reduce, bound)
    }

    pub fn repeat_axes(&mut self, bound: Bound<'a>) -> Outcome<Value<'a>> {
        self.axes_form(Form::Repeat, bound)
    }

    fn axes_form(&mut self, form: Form, mut bound: Bound<'a>) -> Outcome<Value<'a>> {
        let (x, text) = (bound.take(0), bound.take(1));
        let how = if form == Form::Reduce { bound.take(2) } else { None };
        let (Some(x), Some(text)) = (x, text) else { return Err(self.wanted("a pattern", &Value::Absent, bound.span)) };
        let x_span = x.span;
        let wire = self.tensor(x.value, x.span)?;
        let written = self.pattern(&text.value, text.span)?;
        let (rest, result) = self.one_operand(written, &wire, text.span)?;
        let shape = self.type_of(wire).shape;
        let sizes = self.axis_sizes(&rest, &shape, &bound.rest, form, x_span)?;
        self.check_lengths(&sizes, &bound.rest, &rest, &result)?;
        let mut names: Vec<String> = Vec::new();
        flat_names(&rest.pattern.operands[0], &mut names);
        let mut target: Vec<String> = Vec::new();
        flat_names(result.pattern.result.as_deref().unwrap_or_default(), &mut target);
        let flat: Vec<Dim> = names.iter().map(|name| sizes[name].clone()).collect();
        let mut current = self.reshape_to(wire, flat, bound.span)?;
        if form == Form::Reduce {
            let how = self.combination(how, bound.span)?;
            let gone: Vec<i64> = names
                .iter()
                .enumerate()
                .filter(|(_, name)| !target.contains(name))
                .map(|(axis, _)| axis as i64)
                .collect();
            current = self.emit(how, &[current], Attrs::none().with("axes", gone), bound.span)?;
            names.retain(|name| target.contains(name));
        }
        let kept: Vec<&String> = target.iter().filter(|name| names.contains(name)).collect();
        let order: Vec<i64> =
            kept.iter().filter_map(|name| names.iter().position(|own| own == *name)).map(|axis| axis as i64).collect();
        if order.windows(2).any(|pair| pair[0] > pair[1]) {
            current = self.emit("permute", &[current], Attrs::none().with("axes", order), bound.span)?;
        }
        if kept.len() < target.len() {
            let one = |name: &String| if names.contains(name) { sizes[name].clone() } else { Dim::constant(1) };
            current = self.reshape_to(current, target.iter().map(one).collect(), bound.span)?;
            let full: Vec<Dim> = target.iter().map(|name| sizes[name].clone()).collect();
            current = self.broadcast_to(current, &full, bound.span)?;
        }
        let shape = result.pattern.result.iter().flatten().map(|item| item_size(item, &sizes)).collect();
        let made = self.reshape_to(current, shape, bound.span)?;
        Ok(Value::Wire(Wire { flexible: wire.flexible && form != Form::Reduce, ..made }))
    }

    pub fn reshape_to(&mut self, wire: Wire, shape: Vec<Dim>, span: Span) -> Outcome<Wire> {
        match self.type_of(wire).shape == shape {
            true => Ok(wire),
            false => {
                let made = self.emit("reshape", &[wire], Attrs::none().with("shape", shape), span)?;
                Ok(Wire { flexible: wire.flexible, ..made })
            }
        }
    }

    fn combination(&mut self, how: Option<Arg<'a>>, span: Span) -> Outcome<&'static str> {
        let name = how.as_ref().and_then(|arg| arg.value.as_option()).unwrap_or_default().to_string();
        let known = [
            ("mean", "mean"),
            ("sum", "reduce_sum"),
            ("max", "reduce_max"),
            ("min", "reduce_min"),
            ("prod", "reduce_prod"),
            ("any", "reduce_any"),
            ("all", "reduce_all"),
        ];
        match known.iter().find(|(own, _)| *own == name) {
            Some((_, op)) => Ok(op),
            None => {
                let at = how.map_or(span, |how| how.span);
                let names = known.map(|(own, _)| own);
                let message = match name.is_empty() {
                    true => "how to reduce is missing".to_string(),
                    false => format!("there is no way to reduce called `{name}`"),
                };
                let near = if name == "average" { Some("mean") } else { suggest(&name, names) };
                let diagnostic = Diagnostic::error("E0303", message)
                    .at(at, "not known")
                    .did_you_mean(near)
                    .with_note("the ways are sum, mean, max, min, prod, any, all");
                Err(self.report(diagnostic))
            }
        }
    }

    fn pattern(&mut self, value: &Value<'a>, span: Span) -> Outcome<Written> {
        let Value::Str(text) = value else {
            let message = format!("a pattern is wanted here, and this is {}", value.kind());
            let diagnostic = Diagnostic::error("E0403", message)
                .at(span, value.show())
                .help("`einsum`, `gather` and `scatter` take it first, the others behind the tensor: \"b n -> n b\"");
            return Err(self.report(diagnostic));
        };
        match pattern::parse(text) {
            Ok(pattern) => Ok(Written { pattern, span }),
            Err(error) => {
                let at = inside(span, error.at, 1);
                let message = format!("this pattern cannot be read: {}", error.message);
                let diagnostic = Diagnostic::error("E0210", message).at(at, "here");
                Err(self
                    .report(diagnostic.help("axes stand side by side, with spaces between: \"b (h w) c -> b h w c\"")))
            }
        }
    }

    /// The pattern twice: once for its operand, once for its result; `..` is written out.
    fn one_operand(&mut self, written: Written, wire: &Wire, span: Span) -> Outcome<(Written, Written)> {
        let mut pattern = written.pattern;
        if pattern.operands.len() != 1 || pattern.result.is_none() {
            let diagnostic = Diagnostic::error("E0210", "this pattern needs one operand and a result")
                .at(span, "here")
                .help("write what goes in and what comes out: \"b n d -> b d n\"");
            return Err(self.report(diagnostic));
        }
        let rank = self.type_of(*wire).rank();
        if let Err(error) = pattern::write_out_rest(&mut pattern, &[rank]) {
            return self.error("E0210", error.message, inside(span, error.at, 2), "here");
        }
        let items = &pattern.operands[0];
        if items.len() != rank {
            let shape = self.type_of(*wire).shape;
            let message = format!("the pattern has {} axes, and the tensor has {rank}", items.len());
            let diagnostic = Diagnostic::error("E0202", message).at(span, format!("{} axes", items.len()));
            return Err(self.report(diagnostic.with_note(format!("the tensor is {}", Shape(&shape)))));
        }
        let again = Written { pattern: pattern.clone(), span };
        Ok((Written { pattern, span }, again))
    }

    /// The size of every single axis: written as an argument, read off the tensor, or what is left of a group.
    fn axis_sizes(
        &mut self,
        written: &Written,
        shape: &[Dim],
        lengths: &[Arg<'a>],
        form: Form,
        x: Span,
    ) -> Outcome<Sizes> {
        let mut sizes = Sizes::new();
        for arg in lengths {
            let Some(name) = &arg.name else {
                return self.error("E0303", "lengths of axes are given by name", arg.span, "such as `h: heads`");
            };
            let size = self.size_of(&arg.value, arg.span)?;
            sizes.insert(name.to_string(), size);
        }
        self.once_each(written)?;
        for (axis, (item, size)) in written.pattern.operands[0].iter().zip(shape).enumerate() {
            match &item.kind {
                Kind::Group(parts) => self.group_sizes(written, item, parts, size, &mut sizes, x)?,
                Kind::One if size.is(1) => {}
                Kind::Name(name) => match sizes.get(name) {
                    Some(known) if known != size => {
                        let message = format!("`{name}` is {known}, and axis {axis} has size {size}");
                        return Err(self.pattern_error(written, item, message, x, shape));
                    }
                    _ => {
                        sizes.insert(name.clone(), size.clone());
                    }
                },
                Kind::One => {
                    let message = format!("`1` stands for axis {axis}, whose size is {size}");
                    return Err(self.pattern_error(written, item, message, x, shape));
                }
                _ => return Err(self.pattern_error(written, item, "this does not belong here".to_string(), x, shape)),
            }
        }
        self.same_names(written, &sizes, form)?;
        Ok(sizes)
    }

    /// Both sides name the same axes, but for those that the form adds or takes away.
    fn same_names(&mut self, written: &Written, sizes: &Sizes, form: Form) -> Outcome<()> {
        let mut left = Vec::new();
        flat_names(&written.pattern.operands[0], &mut left);
        let items: Vec<Item> = written.pattern.result.clone().unwrap_or_default();
        let mut right = Vec::new();
        flat_names(&items, &mut right);
        for name in right.iter().filter(|name| !left.contains(name)) {
            if form != Form::Repeat || !sizes.contains_key(name) {
                let message = format!("`{name}` is not an axis of the tensor");
                let item = find_item(&items, name);
                let mut diagnostic = Diagnostic::error("E0210", message)
                    .at(item.map_or(written.span, |at| inside(written.span, at, name.len())), "only on the right")
                    .did_you_mean(suggest(name, left.iter().map(String::as_str)));
                diagnostic = diagnostic.help(match form {
                    Form::Repeat => format!("say how often: `{name}: 2`"),
                    _ => format!("`repeat(x, pattern, {name}: 2)` adds an axis"),
                });
                return Err(self.report(diagnostic));
            }
        }
        for name in left.iter().filter(|name| !right.contains(name)) {
            if form != Form::Reduce {
                let item = find_item(&written.pattern.operands[0], name);
                let diagnostic = Diagnostic::error("E0210", format!("the axis `{name}` is lost"))
                    .at(item.map_or(written.span, |at| inside(written.span, at, name.len())), "only on the left")
                    .did_you_mean(suggest(name, right.iter().map(String::as_str)))
                    .help("`reduce(x, pattern, sum)` sums an axis away");
                return Err(self.report(diagnostic));
            }
        }
        Ok(())
    }

    /// A pattern of one operand has no diagonals.
    fn once_each(&mut self, written: &Written) -> Outcome<()> {
        let mut names = Vec::new();
        flat_names(&written.pattern.operands[0], &mut names);
        let twice = names.iter().enumerate().find(|(idx, name)| names[..*idx].contains(name));
        let Some((_, name)) = twice else { return Ok(()) };
        let at = find_item(&written.pattern.operands[0], name);
        let diagnostic = Diagnostic::error("E0210", format!("the axis `{name}` stands twice on one side"))
            .at(at.map_or(written.span, |at| inside(written.span, at, name.len())), "first here")
            .help("give each axis a name of its own; `einsum` takes diagonals");
        Err(self.report(diagnostic))
    }

    fn group_sizes(
        &mut self,
        written: &Written,
        item: &Item,
        parts: &[Item],
        size: &Dim,
        sizes: &mut Sizes,
        x: Span,
    ) -> Outcome<()> {
        let names: Vec<&String> = parts.iter().filter_map(name_of).collect();
        let unknown: Vec<&&String> = names.iter().filter(|name| !sizes.contains_key(**name)).collect();
        let known =
            names.iter().filter_map(|name| sizes.get(*name)).fold(Dim::constant(1), |product, size| &product * size);
        let shape = [size.clone()];
        match unknown.as_slice() {
            [] if known == *size => Ok(()),
            [] => {
                let message = format!("this group has {known} elements, and its axis has size {size}");
                Err(self.pattern_error(written, item, message, x, &shape))
            }
            [name] => match size.exact_div(&known) {
                Some(rest) => {
                    let name = (**name).clone();
                    sizes.insert(name, rest);
                    Ok(())
                }
                None if size.as_constant().is_none() || known.as_constant().is_none() => {
                    let diagnostic = Diagnostic::error("E0208", format!("nothing shows that {known} divides {size}"))
                        .at(inside(written.span, item.at, 1), "this group")
                        .also(x, format!("its axis has size {size}"))
                        .help(self.ask_divides(size, &known));
                    Err(self.report(diagnostic))
                }
                None => {
                    let message = format!("{known} does not divide {size}");
                    Err(self.pattern_error(written, item, message, x, &shape))
                }
            },
            more => {
                let names: Vec<String> = more.iter().map(|name| format!("`{name}`")).collect();
                let message = format!("the sizes of {} are not known", names.join(" and "));
                let diagnostic = Diagnostic::error("E0210", message)
                    .at(inside(written.span, item.at, 1), "one of a group may be left out")
                    .help(format!("give all but one: `{}: …`", more[0]));
                Err(self.report(diagnostic))
            }
        }
    }

    fn pattern_error(&mut self, written: &Written, item: &Item, message: String, x: Span, shape: &[Dim]) -> Poisoned {
        let length = match &item.kind {
            Kind::Name(name) | Kind::Indexed(name) => name.len(),
            _ => 1,
        };
        let diagnostic = Diagnostic::error("E0203", message)
            .at(inside(written.span, item.at, length), "this axis")
            .also(x, format!("{} here", Shape(shape)));
        self.report(diagnostic)
    }

    fn check_lengths(&mut self, sizes: &Sizes, lengths: &[Arg<'a>], left: &Written, right: &Written) -> Outcome<()> {
        let mut names = Vec::new();
        flat_names(&left.pattern.operands[0], &mut names);
        flat_names(right.pattern.result.as_deref().unwrap_or_default(), &mut names);
        let _ = sizes;
        for arg in lengths {
            if let Some(name) = &arg.name
                && !names.iter().any(|own| **own == **name)
            {
                let diagnostic = Diagnostic::error("E0303", format!("the pattern has no axis `{name}`"))
                    .at(self.name_before(arg.span, name), "given here")
                    .also(left.span, "the pattern")
                    .did_you_mean(suggest(name, names.iter().map(String::as_str)));
                return Err(self.report(diagnostic));
            }
        }
        Ok(())
    }

    /// `einsum`, `gather` and `scatter`: the op reads the pattern itself.
    pub fn pattern_op(&mut self, op: &str, bound: Bound<'a>) -> Outcome<Value<'a>> {
        let mut bound = bound;
        let Some(text) = bound.take(0) else { return Err(self.wanted("a pattern", &Value::Absent, bound.span)) };
        let written = self.pattern(&text.value, text.span)?;
        let wanted = written.pattern.operands.len() + usize::from(op == "scatter");
        let mut operands = Vec::new();
        let mut attrs = Attrs::none();
        for arg in std::mem::take(&mut bound.rest) {
            match (&arg.name, &arg.value) {
                (None, _) => operands.push(arg),
                (Some(name), value) if &**name == "combine" && op == "scatter" => match value.as_option() {
                    Some(how) => attrs.set("combine", Attr::Str(how.to_string())),
                    None => return Err(self.wanted("for `combine`, a string", value, arg.span)),
                },
                (Some(name), _) => {
                    return self.error("E0303", format!("`{op}` has no parameter `{name}`"), arg.span, "given here");
                }
            }
        }
        if operands.len() != wanted {
            let wanted = super::call::count(wanted, "operand");
            let message = format!("the pattern has {wanted}, and the call gives {}", operands.len());
            let diagnostic = Diagnostic::error("E0303", message).at(text.span, "the pattern");
            let lacks_updates = op == "scatter" && written.pattern.result.is_none();
            let help = "the axes of what is written stand behind `->`: \"b [n] c, b m -> b m c\"";
            let diagnostic = if lacks_updates { diagnostic.help(help) } else { diagnostic };
            return Err(self.report(diagnostic));
        }
        let spans: Vec<Span> = operands.iter().map(|arg| arg.span).collect();
        let pairs: Vec<_> = operands.into_iter().map(|arg| (arg.value, arg.span)).collect();
        let wires = match op {
            "einsum" => self.promote(pairs, false, bound.span)?,
            _ => {
                let mut wires = Vec::with_capacity(pairs.len());
                for (value, span) in pairs {
                    wires.push(self.tensor(value, span)?);
                }
                wires
            }
        };
        // Sums of products of indices and sizes are still such.
        let flexible = op == "einsum" && wires.iter().all(|wire| wire.flexible);
        let text_of = |text: &str| if op == "scatter" { text.replacen("->", ",", 1) } else { text.to_string() };
        let Value::Str(raw) = &text.value else { return Err(self.wanted("a pattern", &text.value, text.span)) };
        attrs.set("pattern", Attr::Str(text_of(raw)));
        let made = self.emit_pattern(op, &wires, attrs, &spans, text.span, bound.span)?;
        Ok(Value::Wire(Wire { flexible, ..made }))
    }

    fn emit_pattern(
        &mut self,
        name: &str,
        wires: &[Wire],
        attrs: Attrs,
        spans: &[Span],
        text: Span,
        span: Span,
    ) -> Outcome<Wire> {
        let op = match crate::ops::find(name) {
            Some(op) => op,
            // Two operands need no expansion.
            None if name == "einsum" && wires.len() == 2 => return self.emit("contract", wires, attrs, span),
            None => return self.error("E0302", format!("there is no op `{name}` yet"), span, "needed here"),
        };
        let mut values = Vec::with_capacity(wires.len());
        for wire in wires {
            values.push(self.enter(*wire, span)?);
        }
        let origin = self.origin(span);
        let error = match self.frame(span)?.apply(op, &values, &attrs, Vec::new(), &origin) {
            Ok(node) => return Ok(self.wire(crate::graph::Value { node, result: 0 })),
            Err(error) => error,
        };
        let place = error.at.map_or(text, |at| inside(text, at, 1));
        // The op's own names for its operands mean nothing to who wrote the pattern.
        let message = error.message.replace("`x`", "the first operand").replace("`more`", "a later one");
        let mut diagnostic = Diagnostic::error("E0203", format!("`{name}`: {message}")).at(place, "this pattern");
        if !self.text(text).contains(' ') {
            diagnostic = diagnostic.help("every name is one axis: put spaces between, as in \"b n d, e d -> b n e\"");
        }
        for (idx, (wire, at)) in wires.iter().zip(spans).enumerate() {
            if error.operand.is_none_or(|operand| operand == idx) || wires.len() <= 3 {
                diagnostic = diagnostic.also(*at, format!("{} here", self.type_of(*wire)));
            }
        }
        Err(self.report(super::fixed::with_help(diagnostic, &error)))
    }
}

/// The place of an offset in a string literal, after its quote.
fn inside(span: Span, at: usize, length: usize) -> Span {
    let start = (span.start as usize + 1 + at).min(span.end as usize);
    Span::new(span.file, start..(start + length).min(span.end as usize))
}

fn name_of(item: &Item) -> Option<&String> {
    match &item.kind {
        Kind::Name(name) => Some(name),
        _ => None,
    }
}

fn flat_names(items: &[Item], names: &mut Vec<String>) {
    for item in items {
        match &item.kind {
            Kind::Name(name) => names.push(name.clone()),
            Kind::Group(parts) => names.extend(parts.iter().filter_map(name_of).cloned()),
            _ => {}
        }
    }
}

fn find_item(items: &[Item], name: &str) -> Option<usize> {
    items.iter().find_map(|item| match &item.kind {
        Kind::Name(own) if own == name => Some(item.at),
        Kind::Group(parts) => {
            parts.iter().find(|part| name_of(part).is_some_and(|own| own == name)).map(|part| part.at)
        }
        _ => None,
    })
}

fn item_size(item: &Item, sizes: &Sizes) -> Dim {
    match &item.kind {
        Kind::Name(name) => sizes.get(name).cloned().unwrap_or_else(|| Dim::constant(1)),
        Kind::Group(parts) => {
            parts.iter().filter_map(name_of).filter_map(|name| sizes.get(name)).fold(Dim::constant(1), |a, b| &a * b)
        }
        _ => Dim::constant(1),
    }
}
