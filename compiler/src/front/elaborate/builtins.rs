//! Functions that are no ops: config, forms that look at their arguments, and short words for a few ops.
//!
//! Invariant: a row of the table names its parameters in order; `needs` of them have no default, and after `...` come any
//! number more. Each function finds its arguments sorted.

mod draws;
mod folds;
pub mod gradients;
mod lists;
mod tensors;

use super::Elaborator;
use super::call::{Arg, count, parameter_for};
use super::report::Outcome;
use super::value::{Draw, Value};
use crate::diag::{Diagnostic, Span};
use crate::graph::{Dim, Scalar};

pub struct Builtin {
    pub name: &'static str,
    params: &'static [&'static str],
    needs: usize,
    run: for<'a> fn(&mut Elaborator<'a>, Bound<'a>) -> Outcome<Value<'a>>,
}

/// Arguments by parameter, and those after `...` with the names they came with.
pub struct Bound<'a> {
    args: Vec<Option<Arg<'a>>>,
    pub rest: Vec<Arg<'a>>,
    pub span: Span,
}

impl<'a> Bound<'a> {
    pub fn take(&mut self, idx: usize) -> Option<Arg<'a>> {
        self.args.get_mut(idx).and_then(Option::take)
    }

    fn value(&mut self, idx: usize) -> (Value<'a>, Span) {
        self.take(idx).map_or((Value::Absent, self.span), |arg| (arg.value, arg.span))
    }
}

type Run = for<'a> fn(&mut Elaborator<'a>, Bound<'a>) -> Outcome<Value<'a>>;

const fn row(name: &'static str, params: &'static [&'static str], needs: usize, run: Run) -> Builtin {
    Builtin { name, params, needs, run }
}

#[rustfmt::skip]
pub static TABLE: &[Builtin] = &[
    // config
    row("len", &["list"], 1, |e, b| e.len(b)),
    row("zip", &["..."], 1, |e, b| e.zip(b)),
    row("enumerate", &["list"], 1, |e, b| e.enumerate(b)),
    row("range", &["from", "to"], 1, |e, b| e.counted(b)),
    row("int", &["value"], 1, |e, b| e.to_int(b)),
    row("str", &["value"], 1, |e, b| e.to_str(b)),
    row("tensor", &["list"], 1, |e, mut b| { let (v, s) = b.value(0); e.constant_tensor(&v, s) }),
    row("identity", &["x"], 1, |_, mut b| Ok(b.value(0).0)),
    row("clone", &["module"], 1, |e, b| e.clone_builtin(b)),
    row("eval", &["module"], 1, |e, mut b| { let (v, s) = b.value(0); e.evaluated(&v, s) }),
    // reductions, or folds of lists, or elementwise
    row("sum", &["x", "axis", "axes", "keep"], 1, |e, b| e.fold("reduce_sum", Scalar::Add, b)),
    row("prod", &["x", "axis", "axes", "keep"], 1, |e, b| e.fold("reduce_prod", Scalar::Mul, b)),
    row("any", &["x", "axis", "axes", "keep"], 1, |e, b| e.fold("reduce_any", Scalar::Or, b)),
    row("all", &["x", "axis", "axes", "keep"], 1, |e, b| e.fold("reduce_all", Scalar::And, b)),
    row("max", &["..."], 1, |e, b| e.extreme("reduce_max", Scalar::Max, b)),
    row("min", &["..."], 1, |e, b| e.extreme("reduce_min", Scalar::Min, b)),
    row("cumsum", &["x", "axis", "exclusive", "reverse"], 1, |e, b| e.cumulate("add", b)),
    row("cumprod", &["x", "axis", "exclusive", "reverse"], 1, |e, b| e.cumulate("mul", b)),
    row("cummax", &["x", "axis", "exclusive", "reverse"], 1, |e, b| e.cumulate("max", b)),
    // axes by name
    row("rearrange", &["x", "pattern", "..."], 2, |e, b| e.rearrange(b)),
    row("reduce", &["x", "pattern", "by", "..."], 3, |e, b| e.reduce(b)),
    row("repeat", &["x", "pattern", "..."], 2, |e, b| e.repeat_axes(b)),
    row("einsum", &["pattern", "..."], 2, |e, b| e.pattern_op("einsum", b)),
    row("gather", &["pattern", "..."], 3, |e, b| e.pattern_op("gather", b)),
    row("scatter", &["pattern", "..."], 4, |e, b| e.pattern_op("scatter", b)),
    // making and joining tensors
    row("fill", &["shape", "value"], 2, |e, b| e.fill_shape(b)),
    row("iota", &["size"], 1, |e, b| e.iota(b)),
    row("eye", &["size"], 1, |e, b| e.eye(b)),
    row("linspace", &["from", "to", "steps"], 3, |e, b| e.linspace(b)),
    row("concat", &["..."], 1, |e, b| e.concat(b)),
    row("stack", &["list", "axis"], 1, |e, b| e.stack(b)),
    row("expand", &["x", "size", "axis"], 2, |e, b| e.expand(b)),
    row("split", &["x", "sizes", "axis"], 2, |e, b| e.split_axis(b)),
    row("pad", &["x", "axis", "before", "after", "value"], 2, |e, b| e.pad_axis(b)),
    row("update", &["x", "piece", "axis", "at"], 4, |e, b| e.update(b)),
    row("clip", &["x", "low", "high"], 1, |e, b| e.clip(b)),
    row("lerp", &["a", "b", "t"], 3, |e, b| e.lerp(b)),
    row("size", &["x"], 1, |e, mut b| { let (v, s) = b.value(0); e.tensor(v.clone(), s)?; Ok(Value::size(Dim::product(&e.shape_of(&v)))) }),
    row("shape", &["x"], 1, |e, mut b| { let (v, s) = b.value(0); e.tensor(v.clone(), s)?; Ok(Value::list(e.shape_of(&v).into_iter().map(Value::size).collect())) }),
    // draws
    row("normal", &["mean", "std", "shape"], 0, |e, b| e.distribution("normal", b)),
    row("uniform", &["low", "high", "shape"], 0, |e, b| e.distribution("uniform", b)),
    row("rand", &["..."], 0, |e, b| e.call_draw(Draw::Uniform { low: 0.0, high: 1.0 }, b.rest, b.span)),
    row("randn", &["..."], 0, |e, b| e.call_draw(Draw::Normal { mean: 0.0, std: 1.0 }, b.rest, b.span)),
    row("randint", &["low", "high", "shape"], 3, |e, b| e.randint(b)),
    row("bernoulli", &["p", "shape"], 2, |e, b| e.bernoulli(b)),
    row("dropout", &["x", "p"], 2, |e, b| e.dropout(b, false)),
    row("drop_path", &["x", "p"], 2, |e, b| e.dropout(b, true)),
    // gradients
    row("grad", &["y", "x"], 2, |e, b| e.grad(b)),
    row("vjp", &["y", "x", "cotangent"], 3, |e, b| e.vjp(b)),
    row("jvp", &["y", "x", "direction"], 3, |e, b| e.jvp(b)),
    row("stop_gradient", &["x"], 1, |e, b| e.stop_gradient(b)),
    row("straight_through", &["hard", "soft"], 2, |e, b| e.straight_through(b)),
];

/// Names that the language has room for and that nothing answers to yet.
pub static PLANNED: &[&str] = &[
    "fft",
    "ifft",
    "rfft",
    "irfft",
    "solve",
    "nonzero",
    "linear_recurrence",
    "bilinear",
    "broadcast",
    "categorical",
    "entropy",
];

pub fn find(name: &str) -> Option<&'static Builtin> {
    TABLE.iter().find(|builtin| builtin.name == name)
}

impl Builtin {
    /// `expand(x, size, axis?)`, `zip(..)`.
    pub fn signature(&self) -> String {
        let param = |(idx, name): (usize, &&str)| match *name {
            "..." => "..".to_string(),
            name if idx < self.needs => name.to_string(),
            name => format!("{name}?"),
        };
        format!("{}({})", self.name, self.params.iter().enumerate().map(param).collect::<Vec<_>>().join(", "))
    }

    pub(super) fn call<'a>(
        &'static self,
        e: &mut Elaborator<'a>,
        args: Vec<Arg<'a>>,
        span: Span,
    ) -> Outcome<Value<'a>> {
        let bound = e.sort_args(self, args, span)?;
        (self.run)(e, bound)
    }
}

impl<'a> Elaborator<'a> {
    fn sort_args(&mut self, builtin: &Builtin, args: Vec<Arg<'a>>, span: Span) -> Outcome<Bound<'a>> {
        let variadic = builtin.params.last() == Some(&"...");
        let params = &builtin.params[..builtin.params.len() - usize::from(variadic)];
        let mut bound = Bound { args: params.iter().map(|_| None).collect(), rest: Vec::new(), span };
        let (mut next, given) = (0, args.len());
        for arg in args {
            let place = match &arg.name {
                Some(name) => params.iter().position(|own| *own == &**name),
                None => {
                    next += 1;
                    Some(next - 1).filter(|place| *place < params.len())
                }
            };
            match (place, &arg.name) {
                (Some(place), _) => bound.args[place] = Some(arg),
                (None, _) if variadic => bound.rest.push(arg),
                (None, Some(name)) => {
                    let diagnostic =
                        Diagnostic::error("E0303", format!("`{}` has no parameter `{name}`", builtin.name))
                            .at(self.name_before(arg.span, name), "no such parameter")
                            .did_you_mean(parameter_for(name, params.iter().copied()))
                            .with_note(format!("it has {}", params.join(", ")));
                    return Err(self.report(diagnostic));
                }
                (None, None) => {
                    let message =
                        format!("`{}` takes {}, and this is one more", builtin.name, count(params.len(), "argument"));
                    return self.error("E0303", message, arg.span, "too many");
                }
            }
        }
        let missing = params.iter().take(builtin.needs).zip(&bound.args).find(|(_, arg)| arg.is_none());
        if let Some((name, _)) = missing {
            let message = format!("`{}` is missing its `{name}`", builtin.name);
            return self.error("E0303", message, span, "this call");
        }
        if given < builtin.needs {
            let message = format!("`{}` takes {} at least", builtin.name, count(builtin.needs, "argument"));
            return self.error("E0303", message, span, "this call");
        }
        Ok(bound)
    }
}
