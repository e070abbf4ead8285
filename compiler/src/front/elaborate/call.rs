//! Calls: arguments find their parameters, sizes bind, the body is read.
//!
//! Invariant: every argument is evaluated before a call fails, so that each mistake is found; a call whose arguments are
//! poisoned does nothing.

use std::rc::Rc;

use super::Elaborator;
use super::report::{Outcome, Reports};
use super::scope::Env;
use super::value::{Blueprint, BlueprintKind, Closure, Constructor, Value};
use super::wheres::Claim;
use crate::diag::{Diagnostic, Span, suggest};
use crate::front::ast::{Argument, Expr, ExprKind, Function, Param, Type, TypeKind};

pub struct Arg<'a> {
    pub name: Option<Rc<str>>,
    pub value: Value<'a>,
    pub span: Span,
}

impl<'a> Elaborator<'a> {
    pub fn call_expr(
        &mut self,
        callee: &'a Expr,
        arguments: &'a [Argument],
        piped: Option<Outcome<(Value<'a>, Span)>>,
        env: &mut Env<'a>,
        span: Span,
    ) -> Outcome<Value<'a>> {
        let function = self.eval(callee, env);
        let mut args = Vec::with_capacity(arguments.len() + 1);
        let mut failed = None;
        match piped {
            Some(Ok((value, at))) => args.push(Arg { name: None, value, span: at }),
            Some(Err(poisoned)) => failed = Some(poisoned),
            None => {}
        }
        let words = matches!(function, Ok(Value::Op(_) | Value::Builtin(_)));
        for argument in arguments {
            match self.argument(argument, words, env) {
                Ok(arg) => args.push(arg),
                Err(poisoned) => failed = Some(poisoned),
            }
        }
        let function = function?;
        failed.map_or(Ok(()), Err)?;
        self.call(function, args, callee.span, span)
    }

    /// An option such as `mode: nearest` may be a bare word.
    fn argument(&mut self, argument: &'a Argument, words: bool, env: &mut Env<'a>) -> Outcome<Arg<'a>> {
        let span = argument.value.span;
        let name = argument.name.as_ref().map(|name| Rc::from(name.text.as_str()));
        let value = match &argument.value.kind {
            ExprKind::Name(word) if words && name.is_some() => match self.find(&word.text, env)? {
                Some(value) => value,
                None => Value::Word(Rc::from(word.text.as_str()), span),
            },
            _ => self.eval(&argument.value, env)?,
        };
        match value {
            Value::Poison => Err(Reports::silent()),
            value => Ok(Arg { name, value, span }),
        }
    }

    pub fn call(&mut self, function: Value<'a>, args: Vec<Arg<'a>>, at: Span, span: Span) -> Outcome<Value<'a>> {
        self.descend(span)?;
        let result = self.call_value(function, args, at, span);
        self.depth -= 1;
        result
    }

    fn call_value(&mut self, function: Value<'a>, args: Vec<Arg<'a>>, at: Span, span: Span) -> Outcome<Value<'a>> {
        match function {
            Value::Function(closure) => self.call_function(&closure, args, span),
            Value::Module(instance) => match self.function_of(&instance, "call") {
                Some(Value::Function(closure)) => self.call_function(&closure, args, span),
                _ => {
                    let name = &instance.constructor.module.name;
                    let diagnostic = Diagnostic::error("E0306", format!("`{}` has no `fn call`", name.text))
                        .at(at, "called here")
                        .also(name.span, "defined here")
                        .help("call one of its functions by name, or give it a `fn call`");
                    Err(self.report(diagnostic))
                }
            },
            Value::List(items) => self.thread(&items, args, at, span),
            Value::Constructor(constructor) => self.construct(constructor, args, span),
            Value::Builtin(builtin) => builtin.call(self, args, span),
            Value::Op(op) => self.call_op(op, args, span),
            Value::DType(dtype) => self.call_cast(dtype, args, span),
            Value::Draw(draw) => self.call_draw(draw, args, span),
            Value::Blueprint(_) => {
                let diagnostic = Diagnostic::error("E0307", "this module has no place in the tree")
                    .at(at, "built and called in one go")
                    .help("make it a member: a line `name = …` of the module; its weights need a path");
                Err(self.report(diagnostic))
            }
            other => {
                let message = format!("{} cannot be called", other.kind());
                self.error("E0306", message, at, "called here")
            }
        }
    }

    /// A list of callables is applied in turn to its first argument; an empty one is the identity.
    fn thread(&mut self, items: &[Value<'a>], args: Vec<Arg<'a>>, at: Span, span: Span) -> Outcome<Value<'a>> {
        let mut args = args.into_iter();
        let Some(first) = args.next() else {
            return self.error("E0303", "a list of modules is applied to a value", span, "there is none here");
        };
        let rest: Vec<Arg<'a>> = args.collect();
        let mut value = first.value;
        for item in items {
            let mut args = vec![Arg { name: None, value, span: first.span }];
            args.extend(rest.iter().map(|arg| Arg {
                name: arg.name.clone(),
                value: arg.value.clone(),
                span: arg.span,
            }));
            value = self.call(item.clone(), args, at, span)?;
        }
        Ok(value)
    }

    pub fn call_function(&mut self, closure: &Closure<'a>, args: Vec<Arg<'a>>, span: Span) -> Outcome<Value<'a>> {
        let function = closure.function;
        let mut env = closure.env.clone();
        let entered = match &closure.env.instance {
            Some(instance) if self.context.last().is_none_or(|top| !Rc::ptr_eq(top, instance)) => {
                self.context.push(instance.clone());
                true
            }
            _ => false,
        };
        let outer = (self.training, self.evaluating);
        if closure.env.instance.as_ref().is_some_and(|instance| instance.evaluated) {
            (self.training, self.evaluating) = (false, true);
        }
        self.calls.push(span);
        self.entered = &function.name.text;
        let result = self.call_body(function, &mut env, args, span);
        self.calls.pop();
        (self.training, self.evaluating) = outer;
        if entered {
            self.context.pop();
        }
        result
    }

    fn call_body(
        &mut self,
        function: &'a Function,
        env: &mut Env<'a>,
        args: Vec<Arg<'a>>,
        span: Span,
    ) -> Outcome<Value<'a>> {
        let args = self.match_params(&function.name.text, &function.params, args, span, function.name.span)?;
        self.bind_params(&function.params, args, env, span)?;
        if let Some(condition) = &function.condition {
            self.hold(condition, env, Claim::WHERE)?;
        }
        self.body(function, env)
    }

    /// The body of a function whose parameters are bound, and its result against its type.
    pub fn body(&mut self, function: &'a Function, env: &mut Env<'a>) -> Outcome<Value<'a>> {
        let value = self.block(&function.body, env)?;
        let at = function.body.value.as_ref().map_or(function.body.span, |value| value.span);
        match &function.result {
            Some(ty) => {
                self.bind_sizes(&value, ty, env)?;
                self.coerce(value, ty, env, at)
            }
            None => Ok(value),
        }
    }

    /// One argument per parameter, in the order of the parameters.
    pub fn match_params(
        &mut self,
        callee: &str,
        params: &'a [Param],
        args: Vec<Arg<'a>>,
        span: Span,
        defined: Span,
    ) -> Outcome<Vec<Option<Arg<'a>>>> {
        let mut matched: Vec<Option<Arg<'a>>> = params.iter().map(|_| None).collect();
        let mut failed = None;
        let mut next = 0;
        for arg in args {
            let place = match &arg.name {
                None => {
                    next += 1;
                    Some(next - 1).filter(|place| *place < params.len())
                }
                Some(name) => params.iter().position(|param| param.name.text == **name),
            };
            match place.map(|place| &mut matched[place]) {
                Some(free @ None) => *free = Some(arg),
                _ => {
                    let diagnostic = self.unmatched(callee, params, &arg, place, defined);
                    failed = Some(self.report(diagnostic));
                }
            }
        }
        failed.map_or(Ok(()), Err)?;
        self.none_missing(callee, params, &matched, span, defined)?;
        Ok(matched)
    }

    /// Why an argument belongs to no parameter, or to one that is given already.
    fn unmatched(
        &self,
        callee: &str,
        params: &[Param],
        arg: &Arg<'a>,
        place: Option<usize>,
        defined: Span,
    ) -> Diagnostic {
        match (place, &arg.name) {
            (Some(place), _) => {
                let message = format!("`{callee}` is given `{}` twice", params[place].name.text);
                Diagnostic::error("E0303", message).at(arg.span, "again here")
            }
            (None, None) => {
                let message = format!("`{callee}` takes {}, and this is one more", count(params.len(), "argument"));
                Diagnostic::error("E0303", message).at(arg.span, "too many").also(defined, "defined here")
            }
            (None, Some(name)) => {
                let names = params.iter().map(|param| param.name.text.as_str());
                let suggestion = parameter_for(name, names.clone());
                let diagnostic = Diagnostic::error("E0303", format!("`{callee}` has no parameter `{name}`"))
                    .at(self.name_before(arg.span, name), "no such parameter")
                    .also(defined, "defined here")
                    .did_you_mean(suggestion);
                match suggestion {
                    None if !params.is_empty() => {
                        diagnostic.with_note(format!("it has {}", names.collect::<Vec<_>>().join(", ")))
                    }
                    _ => diagnostic,
                }
            }
        }
    }

    /// Each parameter has an argument or a default.
    fn none_missing(
        &mut self,
        callee: &str,
        params: &[Param],
        matched: &[Option<Arg<'a>>],
        span: Span,
        defined: Span,
    ) -> Outcome<()> {
        let missing: Vec<&Param> = params
            .iter()
            .zip(matched)
            .filter(|(param, arg)| arg.is_none() && param.default.is_none())
            .map(|(p, _)| p)
            .collect();
        if let Some(first) = missing.first() {
            let names: Vec<String> = missing.iter().map(|param| format!("`{}`", param.name.text)).collect();
            let place = if span == defined { "a preset or `--set` may give it" } else { "this call" };
            let diagnostic = Diagnostic::error("E0303", format!("`{callee}` is missing {}", names.join(" and ")))
                .at(span, place)
                .also(first.span, "without a default");
            return Err(self.report(diagnostic));
        }
        Ok(())
    }

    /// Binds parameters: config from left to right, so that defaults see what stands before; then sizes; then tensors.
    pub fn bind_params(
        &mut self,
        params: &'a [Param],
        args: Vec<Option<Arg<'a>>>,
        env: &mut Env<'a>,
        span: Span,
    ) -> Outcome<()> {
        let mut pending: Vec<(&'a Param, Value<'a>, Span)> = Vec::new();
        for (param, arg) in params.iter().zip(args) {
            let (value, at) = match (arg, &param.default) {
                (Some(arg), _) => (arg.value, arg.span),
                (None, Some(default)) => (self.eval(default, env)?, default.span),
                (None, None) => (Value::Poison, span),
            };
            match holds_tensors(&param.ty) {
                true => pending.push((param, value, at)),
                false => {
                    let value = self.coerce(value, &param.ty, env, at)?;
                    env.locals.bind(&param.name.text, value, self.frames.len());
                }
            }
        }
        for (param, value, _) in &pending {
            self.bind_sizes(value, &param.ty, env)?;
        }
        self.bind_implied(&pending, env)?;
        let mut failed = None;
        for (param, value, at) in pending {
            match self.coerce(value, &param.ty, env, at) {
                Ok(value) => env.locals.bind(&param.name.text, value, self.frames.len()),
                Err(poisoned) => failed = Some(poisoned),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// A module applied to its parameters: no instance yet, for it has no path.
    fn construct(&mut self, constructor: Constructor<'a>, args: Vec<Arg<'a>>, span: Span) -> Outcome<Value<'a>> {
        let module = constructor.module;
        let args = self.match_params(&module.name.text, &module.params, args, span, module.name.span)?;
        let given = module.params.iter().zip(&args).filter(|(_, arg)| arg.is_some());
        let explicit = given.map(|(param, _)| Rc::from(param.name.text.as_str())).collect();
        let params = self.module_params(constructor, args, span)?;
        let kind = BlueprintKind::Module { constructor, params, explicit };
        Ok(Value::Blueprint(Rc::new(Blueprint { kind, span })))
    }

    pub fn module_params(
        &mut self,
        constructor: Constructor<'a>,
        args: Vec<Option<Arg<'a>>>,
        span: Span,
    ) -> Outcome<Vec<(Rc<str>, Value<'a>)>> {
        let module = constructor.module;
        let mut env = Env::of_file(constructor.file);
        let mut params = Vec::new();
        let mut failed = None;
        let mut unsure = Vec::new();
        module.condition.iter().for_each(|condition| super::wheres::clauses(condition, &mut unsure));
        for (param, arg) in module.params.iter().zip(args) {
            // A default may need what the `where` asks for, so that is looked at as soon as it can be.
            if arg.is_none() {
                let (ready, rest): (Vec<_>, Vec<_>) =
                    unsure.into_iter().partition(|clause| self.is_bound(clause, &module.params, &env));
                unsure = rest;
                for clause in ready {
                    self.hold_config(clause, &mut env, &module.name.text, span)?;
                }
            }
            let (value, at) = match (arg, &param.default) {
                (Some(arg), _) => (Ok(arg.value), arg.span),
                (None, Some(default)) => (self.eval(default, &mut env), default.span),
                (None, None) => (Ok(Value::Poison), span),
            };
            let value = match value.and_then(|value| self.coerce(value, &param.ty, &mut env, at)) {
                Ok(value) => value,
                Err(poisoned) => {
                    failed = Some(poisoned);
                    Value::Poison
                }
            };
            env.locals.bind(&param.name.text, value.clone(), self.frames.len());
            params.push((Rc::from(param.name.text.as_str()), value));
        }
        failed.map_or(Ok(()), Err)?;
        for clause in unsure {
            self.hold_config(clause, &mut env, &module.name.text, span)?;
        }
        Ok(params)
    }

    /// The place of the name before an argument's value.
    pub fn name_before(&self, value: Span, name: &str) -> Span {
        let text = self.program.sources.text(value.file).get(..value.start as usize).unwrap_or_default();
        let named = text.trim_end().strip_suffix(':').map(str::trim_end).filter(|text| text.ends_with(name));
        named.map_or(value, |text| Span::new(value.file, text.len() - name.len()..text.len()))
    }
}

/// Whether values of this type are tensors or hold them.
pub fn holds_tensors(ty: &Type) -> bool {
    match &ty.kind {
        TypeKind::Tensor { .. } => true,
        TypeKind::Tuple(fields) => fields.iter().any(|field| holds_tensors(&field.ty)),
        _ => false,
    }
}

/// What other libraries call the same.
static ELSEWHERE: &[(&str, &[&str])] = &[
    ("axis", &["dim"]),
    ("axes", &["dims", "dim"]),
    ("keep", &["keepdim", "keepdims"]),
    ("correction", &["unbiased", "ddof"]),
    ("kernel", &["kernel_size"]),
    ("from", &["in_features", "in_channels"]),
    ("to", &["out_features", "out_channels"]),
    ("eps", &["epsilon"]),
    ("low", &["min", "a_min"]),
    ("high", &["max", "a_max"]),
];

/// The parameter that was probably meant.
pub fn parameter_for<'n>(name: &str, params: impl Iterator<Item = &'n str> + Clone) -> Option<&'n str> {
    let same = |own: &str| ELSEWHERE.iter().any(|(ours, theirs)| *ours == own && theirs.contains(&name));
    params.clone().find(|own| same(own)).or_else(|| suggest(name, params))
}

pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
