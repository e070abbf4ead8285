//! Values against written types: sizes bind where they stand alone, and are checked everywhere else.

use std::rc::Rc;

use super::Elaborator;
use super::fields::{Meeting, names_of, pairing};
use super::report::{Outcome, Reports};
use super::scope::Env;
use super::value::{Field, Value, Wire, whole};
use crate::diag::{Diagnostic, Span, suggest};
use crate::front::ast::{self, DimKind, ExprKind, Type, TypeField, TypeKind};
use crate::graph::{self, DType, Dim, Shape};

impl<'a> Elaborator<'a> {
    /// Binds the sizes that stand alone in a type and have no meaning yet to those of the value.
    pub fn bind_sizes(&mut self, value: &Value<'a>, ty: &'a Type, env: &mut Env<'a>) -> Outcome<()> {
        match (&ty.kind, value) {
            (TypeKind::Tensor { dims, .. }, value) if value.is_tensor() => {
                let shape = self.shape_of(value);
                let Some(pairs) = align(dims, &shape) else { return Ok(()) };
                for (dim, size) in pairs {
                    self.bind_size(dim, size, env)?;
                }
                Ok(())
            }
            (TypeKind::Tuple(types), Value::Tuple(fields)) if types.len() == fields.len() => {
                // Where the names differ `coerce` says so.
                let order = pairing(&names_asked(types), &names_of(fields)).unwrap_or_default();
                for (ty, place) in types.iter().zip(order) {
                    self.bind_sizes(&fields[place].value, &ty.ty, env)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn bind_size(&mut self, dim: &'a ast::Dim, size: Dim, env: &mut Env<'a>) -> Outcome<()> {
        if let Some(name) = lone_size(dim)
            && self.may_bind(&name.text, env)?
        {
            env.locals.bind(&name.text, Value::size(size), self.frames.len());
        }
        Ok(())
    }

    /// Whether a size may take this name: it means nothing yet, or something that no size is, such as the model itself.
    pub fn may_bind(&mut self, name: &str, env: &Env<'a>) -> Outcome<bool> {
        Ok(matches!(self.find(name, env)?, None | Some(Value::Constructor(_) | Value::Function(_))))
    }

    pub fn shape_of(&self, value: &Value<'a>) -> Vec<Dim> {
        match value {
            Value::Wire(wire) => self.type_of(*wire).shape,
            Value::Slot(slot) => self.entry_type(&slot.ty).shape,
            Value::Constant(tensor) => tensor.shape.iter().map(|size| Dim::constant(*size as i64)).collect(),
            _ => Vec::new(),
        }
    }

    /// The value as one of this type, or the error that it is none.
    pub fn coerce(&mut self, value: Value<'a>, ty: &'a Type, env: &mut Env<'a>, span: Span) -> Outcome<Value<'a>> {
        if let Value::Poison = value {
            return Err(Reports::silent());
        }
        let wanted = match &ty.kind {
            TypeKind::Int => return self.coerce_int(value, ty, span),
            TypeKind::Float => match value {
                Value::Int(number) => return Ok(Value::Float(number as f64)),
                Value::Float(_) | Value::Size(_) | Value::Ratio(..) => return Ok(value),
                _ => "a float",
            },
            TypeKind::Bool => match value {
                Value::Bool(_) => return Ok(value),
                _ => "a bool",
            },
            TypeKind::Str => match value {
                Value::Str(_) => return Ok(value),
                _ => match value.as_option() {
                    Some(word) => return Ok(Value::str(word)),
                    None => "a string",
                },
            },
            TypeKind::Fn if value.is_callable() => return Ok(value),
            TypeKind::Fn => "a function or a module",
            TypeKind::Module => match value {
                Value::Module(_) | Value::Blueprint(_) => return Ok(value),
                Value::List(ref items) if items.iter().all(Value::is_callable) => return Ok(value),
                _ => "a module",
            },
            TypeKind::List => match value {
                Value::List(_) => return Ok(value),
                _ => "a list",
            },
            TypeKind::Tree => return Ok(value),
            TypeKind::ListOf(inner) => match value {
                Value::List(items) => {
                    let items: Outcome<Vec<_>> =
                        items.iter().map(|item| self.coerce(item.clone(), inner, env, span)).collect();
                    return items.map(Value::list);
                }
                _ => "a list",
            },
            TypeKind::Tensor { dtype, dims } => return self.coerce_tensor(value, dtype.as_ref(), dims, ty, env, span),
            TypeKind::Tuple(types) => return self.coerce_tuple(value, types, ty, env, span),
        };
        Err(self.mismatch(wanted, &value, ty.span, span))
    }

    fn mismatch(&mut self, wanted: &str, found: &Value<'a>, ty: Span, span: Span) -> super::Poisoned {
        if matches!(found, Value::Word(..) | Value::Blueprint(_)) {
            return self.wanted(wanted, found, span);
        }
        let code = if found.is_tensor() || wanted.contains("tensor") { "E0403" } else { "E0402" };
        let mut diagnostic = Diagnostic::error(code, format!("{wanted} is wanted, and this is {}", found.kind()))
            .at(span, found.show())
            .also(ty, format!("{wanted} is asked for here"));
        if found.is_tensor() && code == "E0403" && !wanted.contains("tensor") {
            diagnostic =
                diagnostic.with_note("config is known when the model is put together; a tensor only when it runs");
        }
        if let Some(help) = remedy(wanted, found, &self.text(span)) {
            diagnostic = diagnostic.help(help);
        }
        self.report(diagnostic)
    }

    fn coerce_int(&mut self, value: Value<'a>, ty: &'a Type, span: Span) -> Outcome<Value<'a>> {
        match value {
            Value::Int(_) | Value::Size(_) => Ok(value),
            Value::Float(number) => match whole(number) {
                Some(number) => Ok(Value::Int(number)),
                None => {
                    let diagnostic = Diagnostic::error("E0404", format!("an int is wanted, and this is {number:?}"))
                        .at(span, "this does not come out whole")
                        .also(ty.span, "an int is asked for here")
                        .help("`floor(…)` and `ceil(…)` round");
                    Err(self.report(diagnostic))
                }
            },
            Value::Ratio(a, b) => Err(self.not_whole(&a, &b, span)),
            other => Err(self.mismatch("an int", &other, ty.span, span)),
        }
    }

    pub fn not_whole(&mut self, a: &Dim, b: &Dim, span: Span) -> super::Poisoned {
        let diagnostic = Diagnostic::error("E0208", format!("nothing shows that {b} divides {a}"))
            .at(span, "a size must come out whole")
            .help(format!("{}; or round: `floor(…)`", self.ask_divides(a, b)));
        self.report(diagnostic)
    }

    fn coerce_tensor(
        &mut self,
        value: Value<'a>,
        dtype: Option<&'a ast::Ident>,
        dims: &'a [ast::Dim],
        ty: &'a Type,
        env: &mut Env<'a>,
        span: Span,
    ) -> Outcome<Value<'a>> {
        let dtype = self.dtype(dtype)?;
        match value {
            Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::Draw(_) | Value::Size(_) | Value::Ratio(..) => {
                let number = !matches!(value, Value::Draw(_));
                let shape = self.written_shape(dims, env)?;
                let Some(shape) = shape.filter(|shape| !number || shape.is_empty()) else {
                    return Err(self.mismatch("a tensor", &value, ty.span, span));
                };
                let at = |diagnostic: Diagnostic| diagnostic.also(ty.span, "asked for here");
                self.fit(value, &graph::Type::new(dtype, shape), span, at).map(Value::Wire)
            }
            value if value.is_tensor() => {
                let wire = self.tensor(value, span)?;
                self.check_shape(wire, dims, env, ty.span, span)?;
                let at = |diagnostic: Diagnostic| diagnostic.also(ty.span, "asked for here");
                let fitted = self.fit_dtype(wire, dtype, span, at)?;
                Ok(Value::Wire(Wire { flexible: false, ..fitted }))
            }
            other => Err(self.mismatch("a tensor", &other, ty.span, span)),
        }
    }

    pub fn dtype(&mut self, written: Option<&'a ast::Ident>) -> Outcome<DType> {
        let Some(name) = written else { return Ok(DType::Real) };
        match DType::from_name(&name.text) {
            Some(dtype) => Ok(dtype),
            None => self.error("E0302", format!("`{}` is planned and not there yet", name.text), name.span, "not yet"),
        }
    }

    /// A shape as written, if all of it is; `None` with `..` or `_` in it.
    pub fn written_shape(&mut self, dims: &'a [ast::Dim], env: &mut Env<'a>) -> Outcome<Option<Vec<Dim>>> {
        let mut shape = Vec::with_capacity(dims.len());
        for dim in dims {
            match &dim.kind {
                DimKind::Size(size) => shape.push(self.size(size, env)?),
                DimKind::Inferred | DimKind::Rest => return Ok(None),
            }
        }
        Ok(Some(shape))
    }

    /// An expression that is a size.
    pub fn size(&mut self, expr: &'a ast::Expr, env: &mut Env<'a>) -> Outcome<Dim> {
        if let ExprKind::Name(name) = &expr.kind
            && name.text.starts_with(char::is_lowercase)
            && self.find(&name.text, env)?.is_none()
        {
            return Err(self.unknown_size(name, env));
        }
        let value = self.eval(expr, env)?;
        if value.is_tensor()
            && let ExprKind::Name(name) = &expr.kind
            && env.instance.as_ref().is_some_and(|instance| instance.names.borrow().contains_key(name.text.as_str()))
        {
            let message = format!("`{}` is a tensor here, and hides the config of that name", name.text);
            let diagnostic = Diagnostic::error("E0403", message).at(expr.span, "no size depends on data");
            return Err(self.report(diagnostic.help("give the parameter another name")));
        }
        self.size_of(&value, expr.span)
    }

    fn unknown_size(&mut self, name: &'a ast::Ident, env: &Env<'a>) -> super::Poisoned {
        let near = suggest(&name.text, env.names().iter().map(|name| &**name)).map(str::to_string);
        let mut initial = name.text.chars();
        let upper: String = initial.next().into_iter().flat_map(char::to_uppercase).chain(initial).collect();
        let diagnostic = Diagnostic::error("E0301", format!("nothing here is called `{}`", name.text))
            .at(name.span, "neither config nor a size")
            .did_you_mean(near.as_deref())
            .help(format!("a size that is known when the program runs starts in uppercase: `{upper}`"));
        self.report(diagnostic)
    }

    pub fn size_of(&mut self, value: &Value<'a>, span: Span) -> Outcome<Dim> {
        if let Some(dim) = value.as_dim() {
            return match dim.as_constant().is_some_and(|size| size < 0) {
                true => self.error("E0205", format!("a size is never negative, and this is {dim}"), span, "negative"),
                false => Ok(dim),
            };
        }
        match value {
            Value::Ratio(a, b) => Err(self.not_whole(a, b, span)),
            Value::Float(number) => {
                let message = format!("a size is whole, and this is {number:?}");
                self.error("E0404", message, span, "this does not come out whole")
            }
            value if value.is_tensor() => {
                let diagnostic = Diagnostic::error("E0403", "no size depends on data")
                    .at(span, "this tensor is only known when the program runs")
                    .help("compute with a declared maximum and a count or a mask");
                Err(self.report(diagnostic))
            }
            other => Err(self.wanted("a size", other, span)),
        }
    }

    fn check_shape(
        &mut self,
        wire: Wire,
        dims: &'a [ast::Dim],
        env: &mut Env<'a>,
        ty: Span,
        span: Span,
    ) -> Outcome<()> {
        let shape = self.type_of(wire).shape;
        let Some(pairs) = align(dims, &shape) else {
            let rest = dims.iter().any(|dim| matches!(dim.kind, DimKind::Rest));
            let wanted = if rest { format!("at least {}", dims.len() - 1) } else { dims.len().to_string() };
            let message = format!("{wanted} axes are wanted, and this has {}", shape.len());
            let diagnostic = Diagnostic::error("E0202", message)
                .at(span, format!("{} here", Shape(&shape)))
                .also(ty, format!("{wanted} axes here"));
            return Err(self.report(diagnostic));
        };
        let mut failed = None;
        let hidden = shape.len() - pairs.len();
        let rest = dims.iter().position(|dim| matches!(dim.kind, DimKind::Rest)).unwrap_or(dims.len());
        for (idx, (dim, found)) in pairs.into_iter().enumerate() {
            let axis = if idx < rest { idx } else { idx + hidden };
            let DimKind::Size(expr) = &dim.kind else { continue };
            self.bind_size(dim, found.clone(), env)?;
            let wanted = self.size(expr, env)?;
            if wanted != found {
                failed = Some(self.size_mismatch((dim, &wanted), &found, axis, &shape, span));
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn size_mismatch(
        &mut self,
        (dim, wanted): (&'a ast::Dim, &Dim),
        found: &Dim,
        axis: usize,
        shape: &[Dim],
        span: Span,
    ) -> super::Poisoned {
        let written = self.program.sources.slice(dim.span).trim().to_string();
        let named = if written == wanted.to_string() { written } else { format!("{written} = {wanted}") };
        let diagnostic = match (wanted - found).as_constant() {
            Some(_) => {
                Diagnostic::error("E0203", format!("sizes do not agree: {wanted} is wanted, and this is {found}"))
            }
            None => Diagnostic::error("E0208", format!("nothing shows that {found} equals {wanted}"))
                .help(self.ask_equal(found, wanted)),
        };
        let diagnostic = diagnostic
            .at(span, format!("{} here: {found} at axis {axis}", Shape(shape)))
            .also(dim.span, format!("{named} here"));
        self.report(diagnostic)
    }

    fn coerce_tuple(
        &mut self,
        value: Value<'a>,
        types: &'a [TypeField],
        ty: &'a Type,
        env: &mut Env<'a>,
        span: Span,
    ) -> Outcome<Value<'a>> {
        let fields = match &value {
            Value::Tuple(fields) if fields.len() == types.len() => fields.clone(),
            Value::Tuple(fields) => {
                let message = format!("a tuple of {} is wanted, and this has {}", types.len(), fields.len());
                let diagnostic = Diagnostic::error("E0402", message).at(span, value.show());
                return Err(self.report(diagnostic.also(ty.span, format!("{} here", types.len()))));
            }
            other => return Err(self.mismatch("a tuple", &other.clone(), ty.span, span)),
        };
        let (wanted, found) = (names_asked(types), names_of(&fields));
        let Some(order) = pairing(&wanted, &found) else {
            let meeting = Meeting { code: "E0402", found: span, wanted: Some(ty.span) };
            return Err(self.names_differ(&wanted, &found, meeting));
        };
        let mut coerced = Vec::with_capacity(fields.len());
        for (place, ty) in order.into_iter().zip(types) {
            let field = &fields[place];
            let value = self.coerce(field.value.clone(), &ty.ty, env, span)?;
            let name = ty.name.as_ref().map(|name| Rc::from(name.text.as_str()));
            coerced.push(Field { name: name.or_else(|| field.name.clone()), value });
        }
        Ok(Value::Tuple(Rc::new(coerced)))
    }
}

pub fn names_asked(types: &[TypeField]) -> Vec<Option<&str>> {
    types.iter().map(|field| field.name.as_ref().map(|name| name.text.as_str())).collect()
}

/// What would make the wanted of what was found.
fn remedy(wanted: &str, found: &Value, text: &str) -> Option<String> {
    let is_several = matches!(found, Value::List(_) | Value::Tuple(_));
    if wanted == "an int" && is_several {
        let help = "it is one number, for all axes; a window of several sizes, such as 1 by 7, is written with a `param` \
                    of your own and the op: `convolve(x, weight, …)`";
        return Some(help.to_string());
    }
    if wanted.starts_with("a list") && matches!(found, Value::Tuple(_)) {
        return Some("a list is written in brackets: `[1, 2]`".to_string());
    }
    if !wanted.contains("tensor") {
        return None;
    }
    match found {
        Value::Absent => Some("a block's value is its last expression: end with it, without `let`".to_string()),
        Value::Module(_) | Value::Function(_) => Some(format!("apply it: `{text}(…)`")),
        Value::List(_) => Some(format!("`tensor({text})` makes a constant of a list of numbers")),
        _ => None,
    }
}

/// The name of a size that stands alone, where it can bind.
pub fn lone_size(dim: &ast::Dim) -> Option<&ast::Ident> {
    match &dim.kind {
        DimKind::Size(expr) => match &expr.kind {
            ExprKind::Name(name) if name.text.starts_with(char::is_uppercase) => Some(name),
            _ => None,
        },
        _ => None,
    }
}

/// Written dims with the sizes they stand for; `..` takes what is left. `None` where the ranks do not fit.
pub fn align<'d>(dims: &'d [ast::Dim], shape: &[Dim]) -> Option<Vec<(&'d ast::Dim, Dim)>> {
    let rest = dims.iter().position(|dim| matches!(dim.kind, DimKind::Rest));
    let (before, after) = match rest {
        Some(at) => (&dims[..at], &dims[at + 1..]),
        None => (dims, &dims[dims.len()..]),
    };
    let fits = match rest {
        Some(_) => shape.len() >= before.len() + after.len(),
        None => shape.len() == dims.len(),
    };
    if !fits {
        return None;
    }
    let tail = &shape[shape.len() - after.len()..];
    let pairs = before.iter().zip(shape).chain(after.iter().zip(tail));
    Some(pairs.map(|(dim, size)| (dim, size.clone())).collect())
}
