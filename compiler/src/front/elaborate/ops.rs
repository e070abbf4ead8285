//! Calls of ops by the op table: operands first, attributes after them or by name.

use std::rc::Rc;

use super::Elaborator;
use super::call::{Arg, count, parameter_for};
use super::config::rounded;
use super::report::Outcome;
use super::value::{Field, Value, Wire};
use crate::diag::{Diagnostic, Span};
use crate::graph::{Attr, AttrDef, AttrKind, Attrs, DType, Default, Dim, OpDef, Operands, Scalar, Type, exact_float};

/// Ops that specs write in other ways.
static HIDDEN: &[&str] = &[
    "argument",
    "constant",
    "fill",
    "dim",
    "random_bits",
    "cast",
    "loop",
    "while",
    "scan",
    "cond",
    "fused",
    "attend",
    "banded",
    "broadcast",
    "winograd_image",
    "winograd_kernel",
    "winograd_result",
];

/// What the results of ops with several are called: `topk(x, 3).index`.
static RESULTS: &[(&str, &[&str])] = &[("sort", &["value", "index"]), ("topk", &["value", "index"])];

/// The op of this name, where a spec may call it.
pub fn visible(name: &str) -> Option<&'static OpDef> {
    crate::ops::find(name).filter(|_| !HIDDEN.contains(&name))
}

impl<'a> Elaborator<'a> {
    pub fn call_op(&mut self, op: &'static OpDef, args: Vec<Arg<'a>>, span: Span) -> Outcome<Value<'a>> {
        let scalar = Scalar::from_name(op.name);
        if let Some(scalar) = scalar
            && let Some(value) = self.config_scalar(scalar, &args)
        {
            return Ok(value);
        }
        let (operands, attrs) = self.sort_op_args(op, args, span)?;
        if let Some(scalar) = scalar {
            let pairs = operands.into_iter().map(|arg| (arg.value, arg.span)).collect();
            return self.apply_scalar(scalar, pairs, span);
        }
        let mut wires = Vec::with_capacity(operands.len());
        let spans: Vec<Span> = operands.iter().map(|arg| arg.span).collect();
        for arg in operands {
            wires.push(self.tensor(arg.value, arg.span)?);
        }
        self.apply_op(op, wires, attrs, &spans, span)
    }

    /// Applies a composite or structural op; indices become floats where integers do not fit.
    fn apply_op(
        &mut self,
        op: &'static OpDef,
        wires: Vec<Wire>,
        attrs: Attrs,
        spans: &[Span],
        span: Span,
    ) -> Outcome<Value<'a>> {
        let mut wires = wires;
        for attempt in 0..2 {
            let mut values = Vec::with_capacity(wires.len());
            for wire in &wires {
                values.push(self.enter(*wire, span)?);
            }
            let origin = self.origin(span);
            let frame = self.frame(span)?;
            let applied = frame.apply(op, &values, &attrs, Vec::new(), &origin);
            let error = match applied.and_then(|node| Ok((node, frame.graph.open_rooms(node)?))) {
                Ok((node, rooms)) => {
                    let results: Vec<_> = frame.graph.results(node).collect();
                    rooms.into_iter().for_each(|room| self.must_fit(room, span));
                    let mut made: Vec<Value<'a>> = results.iter().map(|value| Value::Wire(self.wire(*value))).collect();
                    return Ok(if made.len() == 1 { made.remove(0) } else { named_results(op, made) });
                }
                Err(error) => error,
            };
            let loose = wires.iter().any(|wire| wire.flexible && self.type_of(*wire).dtype.is_int());
            if attempt == 0 && loose {
                for wire in &mut wires {
                    if wire.flexible && self.type_of(*wire).dtype.is_int() {
                        *wire = self.cast(*wire, DType::Real, span)?;
                    }
                }
                continue;
            }
            let place = error.operand.and_then(|operand| spans.get(operand)).copied().unwrap_or(span);
            let mut diagnostic =
                Diagnostic::error("E0201", said_by(op.name, &error.message)).at(place, "this does not fit");
            for (idx, (wire, at)) in wires.iter().zip(spans).enumerate().take(4) {
                if Some(idx) != error.operand || *at != place {
                    diagnostic = diagnostic.also(*at, format!("{} here", self.type_of(*wire)));
                }
            }
            return Err(self.report(super::fixed::with_help(diagnostic, &error)));
        }
        self.error("E0201", format!("`{}` does not apply", spoken(op.name)), span, "here")
    }

    /// Scalar functions of config are computed now, by their reference meaning.
    fn config_scalar(&mut self, scalar: Scalar, args: &[Arg<'a>]) -> Option<Value<'a>> {
        let def = scalar.def();
        if args.len() != def.arity || args.iter().any(|arg| arg.name.is_some()) {
            return None;
        }
        if let [Arg { value: Value::Ratio(a, b), .. }] = args {
            return match scalar {
                Scalar::Floor => Some(Value::size(a.floor_div(b))),
                Scalar::Ceil => Some(Value::size(a.ceil_div(b))),
                _ => None,
            };
        }
        if let (Scalar::Floor | Scalar::Ceil | Scalar::Round | Scalar::Trunc, [Arg { value: Value::Size(dim), .. }]) =
            (scalar, args)
        {
            return Some(Value::Size(dim.clone()));
        }
        let late = |arg: &Arg<'a>| matches!(arg.value, Value::Size(_));
        if args.iter().any(late) {
            return self.late_scalar(scalar, args);
        }
        let ints: Option<Vec<i64>> =
            args.iter().map(|arg| if let Value::Int(value) = arg.value { Some(value) } else { None }).collect();
        if let (Some(ints), Some(int)) = (ints, def.int) {
            let at = |idx: usize| ints.get(idx).copied().unwrap_or(0);
            return Some(Value::Int(int(at(0), at(1), at(2)))).filter(|_| !is_comparison(scalar));
        }
        let floats: Option<Vec<f64>> = args.iter().map(|arg| arg.value.as_number()).collect();
        let (floats, float) = (floats?, def.float?);
        let at = |idx: usize| floats.get(idx).copied().unwrap_or(0.0);
        let result = float(at(0), at(1), at(2));
        Some(match scalar {
            Scalar::Floor | Scalar::Ceil | Scalar::Round | Scalar::Trunc => rounded(result),
            _ if is_comparison(scalar) => Value::Bool(result != 0.0),
            _ => Value::Float(result),
        })
    }

    fn late_scalar(&mut self, scalar: Scalar, args: &[Arg<'a>]) -> Option<Value<'a>> {
        let dims: Option<Vec<Dim>> = args.iter().map(|arg| arg.value.as_dim()).collect();
        match (scalar, dims?.as_slice()) {
            (Scalar::Min, [a, b]) => Some(Value::size(a.least(b))),
            (Scalar::Max, [a, b]) => Some(Value::size(a.greatest(b))),
            (Scalar::FloorDiv, [a, b]) if !b.is(0) => Some(Value::size(a.floor_div(b))),
            _ => None,
        }
    }

    fn sort_op_args(&mut self, op: &'static OpDef, args: Vec<Arg<'a>>, span: Span) -> Outcome<(Vec<Arg<'a>>, Attrs)> {
        let (names, variadic): (&[&str], bool) = match op.operands {
            Operands::Fixed(names) => (names, false),
            Operands::Variadic(names, _) => (names, true),
        };
        let mut operands: Vec<Option<Arg<'a>>> = names.iter().map(|_| None).collect();
        let (mut rest, mut attrs) = (Vec::new(), Attrs::none());
        let mut next = 0;
        for arg in args {
            let place = match &arg.name {
                Some(name) => match names.iter().position(|own| *own == &**name) {
                    Some(place) => place,
                    None => {
                        self.named_attr(op, name, &arg, &mut attrs)?;
                        continue;
                    }
                },
                None => {
                    next += 1;
                    next - 1
                }
            };
            match operands.get_mut(place) {
                Some(slot) => *slot = Some(arg),
                None if variadic => match arg.value {
                    Value::List(items) => {
                        rest.extend(items.iter().map(|item| Arg { name: None, value: item.clone(), span: arg.span }));
                    }
                    _ => rest.push(arg),
                },
                None => {
                    let Some(def) = op.attrs.get(place - names.len()) else {
                        let n_args = count(names.len() + op.attrs.len(), "argument");
                        let message = format!("`{}` takes {n_args}, and this is one more", spoken(op.name));
                        return self.error("E0303", message, arg.span, "too many");
                    };
                    if def.name != "scale" || !self.fractions(op, &arg, &mut attrs)? {
                        let value = self.attr(def, &arg)?;
                        attrs.set(def.name, value);
                    }
                }
            }
        }
        let missing = operands.iter().position(Option::is_none).map(|place| names[place]);
        self.none_missing_of(op, missing, &attrs, span)?;
        let operands: Vec<Arg<'a>> = operands.into_iter().flatten().chain(rest).collect();
        if let Some(first) = operands.first() {
            spread(op, self.shape_of(&first.value).len(), &mut attrs);
        }
        Ok((operands, attrs))
    }

    /// Every operand is there, and every attribute that has no default.
    fn none_missing_of(&mut self, op: &OpDef, operand: Option<&str>, attrs: &Attrs, span: Span) -> Outcome<()> {
        let mut required = op.attrs.iter().filter(|def| def.default == Default::Required);
        let message = match (operand, required.find(|def| attrs.get(def.name).is_none())) {
            (Some(operand), _) => format!("`{}` is missing its `{operand}`", spoken(op.name)),
            (None, Some(def)) => format!("`{}` is missing `{}`: {}", spoken(op.name), def.name, def.kind.wanted()),
            (None, None) => return Ok(()),
        };
        let diagnostic = Diagnostic::error("E0303", message).at(span, "this call");
        Err(self.report(diagnostic.with_note(op.doc)))
    }

    fn named_attr(&mut self, op: &'static OpDef, name: &str, arg: &Arg<'a>, attrs: &mut Attrs) -> Outcome<()> {
        let axes = |def: &&AttrDef| name == "axis" && def.name == "axes";
        let own = |wanted: &str| op.attrs.iter().find(|def| def.name == wanted);
        // `padding: p` is the same padding on both sides.
        if let (None, "padding", Some(low), Some(high)) = (own(name), name, own("low"), own("high")) {
            for side in [low, high] {
                let value = self.attr(side, arg)?;
                attrs.set(side.name, value);
            }
            return Ok(());
        }
        let def = op.attrs.iter().find(|def| def.name == name).or_else(|| op.attrs.iter().find(axes));
        let Some(def) = def else {
            let names = op.attrs.iter().map(|def| def.name);
            let mut diagnostic = Diagnostic::error("E0303", format!("`{}` has no parameter `{name}`", spoken(op.name)))
                .at(self.name_before(arg.span, name), "no such parameter")
                .did_you_mean(parameter_for(name, names.clone()));
            let (Operands::Fixed(operands) | Operands::Variadic(operands, _)) = op.operands;
            let known: Vec<&str> = operands.iter().copied().chain(names).collect();
            if !known.is_empty() {
                diagnostic = diagnostic.with_note(format!("it has {}", known.join(", ")));
            }
            return Err(self.report(diagnostic));
        };
        if def.name != "scale" || !self.fractions(op, arg, attrs)? {
            let value = self.attr(def, arg)?;
            attrs.set(def.name, value);
        }
        Ok(())
    }

    fn attr(&mut self, def: &AttrDef, arg: &Arg<'a>) -> Outcome<Attr> {
        let int = |value: &Value<'a>| value.as_dim().and_then(|dim| dim.as_constant());
        let attr = match (def.kind, &arg.value) {
            (AttrKind::Bool, Value::Bool(truth)) => Some(Attr::Bool(*truth)),
            (AttrKind::Int | AttrKind::Axis, value) => int(value).map(Attr::Int),
            (AttrKind::Float, _) => Some(Attr::Float(self.float_attr(def.name, arg)?)),
            (AttrKind::Str, value) => value.as_option().map(|text| Attr::Str(text.to_string())),
            (AttrKind::Ints | AttrKind::Axes | AttrKind::PerAxis, Value::List(items)) => {
                items.iter().map(int).collect::<Option<Vec<i64>>>().map(Attr::Ints)
            }
            (AttrKind::Axes, value) => int(value).map(|value| Attr::Ints(vec![value])),
            (AttrKind::PerAxis, value) => int(value).map(Attr::Int),
            (AttrKind::Dims | AttrKind::PerAxisDims, Value::List(items)) => {
                items.iter().map(Value::as_dim).collect::<Option<Vec<Dim>>>().map(Attr::Dims)
            }
            (AttrKind::Dim | AttrKind::PerAxisDims, value) => value.as_dim().map(Attr::Dim),
            (AttrKind::DType, Value::DType(dtype)) => Some(Attr::DType(*dtype)),
            (AttrKind::Tensor, Value::Constant(tensor)) => Some(Attr::Tensor(tensor.clone())),
            _ => None,
        };
        match attr {
            Some(attr) => Ok(attr),
            None => {
                Err(self.wanted(&format!("for `{}`, {}", def.name, def.kind.wanted()), &arg.value.clone(), arg.span))
            }
        }
    }

    /// A number of config as a float; an integer that no float is would become another one.
    pub fn float_attr(&mut self, name: &str, arg: &Arg<'a>) -> Outcome<f64> {
        match &arg.value {
            Value::Int(number) if exact_float(*number).is_none() => {
                let message = format!("`{name}` is a float, and no float is {number}");
                self.error("E0404", message, arg.span, "write the float that is meant")
            }
            value => value.as_number().ok_or_else(|| {
                let wanted = format!("for `{name}`, {}", AttrKind::Float.wanted());
                self.wanted(&wanted, value, arg.span)
            }),
        }
    }

    /// `f32(x)`, `i64(ok)`, `float(n)`.
    pub fn call_cast(&mut self, dtype: DType, args: Vec<Arg<'a>>, span: Span) -> Outcome<Value<'a>> {
        let [arg] = args.as_slice() else {
            return self.error("E0303", "a cast takes one value", span, "this call");
        };
        match (&arg.value, dtype) {
            (Value::Int(_) | Value::Float(_), DType::Real) => Ok(Value::Float(arg.value.as_number().unwrap_or(0.0))),
            (Value::Int(_), DType::I64) => Ok(arg.value.clone()),
            (Value::Float(number), DType::I64) => Ok(Value::Int(*number as i64)),
            (Value::Bool(truth), DType::I64) => Ok(Value::Int(i64::from(*truth))),
            (Value::Float(number), dtype) if dtype.is_float() => {
                self.number(*number, &Type::scalar(dtype), arg.span).map(Value::Wire)
            }
            (Value::Constant(tensor), dtype) if tensor.dtype.is_float() && dtype.is_float() => {
                self.rounded_constant(tensor, dtype, arg.span).map(Value::Wire)
            }
            (value, _) => {
                let wire = self.tensor(value.clone(), arg.span)?;
                match self.type_of(wire).dtype == dtype {
                    true => Ok(Value::Wire(Wire { flexible: false, ..wire })),
                    false => self.cast(wire, dtype, span).map(Value::Wire),
                }
            }
        }
    }
}

fn named_results<'a>(op: &OpDef, made: Vec<Value<'a>>) -> Value<'a> {
    let names = RESULTS.iter().find(|(own, _)| *own == op.name).map_or(&[][..], |(_, names)| names);
    let field = |(idx, value): (usize, Value<'a>)| Field { name: names.get(idx).map(|name| Rc::from(*name)), value };
    Value::Tuple(Rc::new(made.into_iter().enumerate().map(field).collect()))
}

/// Makes a list of one number that stands for every spatial axis: those of the first operand after batch and channels.
fn spread(op: &OpDef, rank: usize, attrs: &mut Attrs) {
    let n_axes = rank.saturating_sub(2);
    for def in op.attrs {
        let list = match (def.kind, attrs.get(def.name)) {
            (AttrKind::PerAxis, Some(Attr::Int(value))) => Attr::Ints(vec![*value; n_axes]),
            (AttrKind::PerAxisDims, Some(Attr::Dim(value))) => Attr::Dims(vec![value.clone(); n_axes]),
            _ => continue,
        };
        attrs.set(def.name, list);
    }
}

/// What a spec calls an op: `sum` is `reduce_sum` where the axes are listed.
fn spoken(op: &str) -> &str {
    op.strip_prefix("reduce_").unwrap_or(op)
}

/// An op's refusal, with its name once, as a spec calls it.
pub fn said_by(op: &str, message: &str) -> String {
    let (message, op) = (message.replace(&format!("`{op}`"), &format!("`{}`", spoken(op))), spoken(op));
    if message.starts_with(&format!("`{op}` ")) { message } else { format!("`{op}`: {message}") }
}

fn is_comparison(scalar: Scalar) -> bool {
    matches!(scalar, Scalar::Eq | Scalar::Ne | Scalar::Lt | Scalar::Le | Scalar::Gt | Scalar::Ge)
}
