//! What a name means: a local, a name of the instance, of the file, of the language, or an op; the nearest wins.

use std::rc::Rc;

use super::Elaborator;
use super::builtins;
use super::report::{Outcome, Reports};
use super::scope::{Env, Locals};
use super::value::{Closure, Constructor, Draw, Instance, Value};
use crate::diag::{Diagnostic, Span, suggest};
use crate::front::ast::{self, Entry, Ident, Item};
use crate::graph::DType;
use crate::ops;

/// Names that belong to the language, besides functions and element types.
const WORDS: &[&str] = &["zeros", "ones", "training", "float"];

impl<'a> Elaborator<'a> {
    pub fn resolve(&mut self, name: &'a Ident, env: &Env<'a>) -> Outcome<Value<'a>> {
        match self.find(&name.text, env)? {
            Some(Value::Poison) => Err(Reports::silent()),
            Some(value) => Ok(value),
            None => Err(self.unknown(&name.text, name.span, env)),
        }
    }

    /// `None` where nothing in sight has this name.
    pub fn find(&mut self, name: &str, env: &Env<'a>) -> Outcome<Option<Value<'a>>> {
        if let Some(link) = env.locals.find(name) {
            return Ok(Some(link.value.borrow().clone()));
        }
        if let Some(instance) = &env.instance
            && let Some(value) = self.name_of(instance, name)
        {
            return Ok(Some(value));
        }
        if let Some(value) = self.item(name, env.file)? {
            return Ok(Some(value));
        }
        Ok(self.word(name))
    }

    /// A name that an instance shows: a parameter, a `let`, a member or a function.
    pub fn name_of(&self, instance: &Rc<Instance<'a>>, name: &str) -> Option<Value<'a>> {
        let known = instance.names.borrow().get(name).cloned();
        known.or_else(|| self.function_of(instance, name))
    }

    pub fn function_of(&self, instance: &Rc<Instance<'a>>, name: &str) -> Option<Value<'a>> {
        let entries = &instance.constructor.module.entries;
        let function = entries.iter().find_map(|entry| match entry {
            Entry::Fn(function) if function.name.text == name => Some(function),
            _ => None,
        })?;
        Some(Value::Function(Rc::new(Closure { function, env: Env::of_instance(instance) })))
    }

    fn item(&mut self, name: &str, file: usize) -> Outcome<Option<Value<'a>>> {
        let program = self.program;
        let Some(named) = program.files.get(file).and_then(|file| file.names.get(name)) else { return Ok(None) };
        let Some(source) = program.files.get(named.file) else { return Err(Reports::silent()) };
        match &source.ast.items[named.item] {
            Item::Use(_) => Ok(None),
            Item::Fn(function) => {
                let closure = Closure { function, env: Env::of_file(named.file) };
                Ok(Some(Value::Function(Rc::new(closure))))
            }
            Item::Module(module) => Ok(Some(Value::Constructor(Constructor { module, file: named.file }))),
            Item::Const(item) => self.constant(item, named.file, named.item, name).map(Some),
        }
    }

    /// A const is evaluated once, away from any graph, and may be a pattern.
    fn constant(&mut self, item: &'a ast::Const, file: usize, index: usize, name: &str) -> Outcome<Value<'a>> {
        let value = match self.consts.get(&(file, index)) {
            Some(Some(value)) => value.clone(),
            Some(None) => return self.error("E0406", format!("`{name}` needs itself"), item.span, "in a circle"),
            None => {
                self.consts.insert((file, index), None);
                let frames = std::mem::take(&mut self.frames);
                let context = std::mem::take(&mut self.context);
                let value = self.constant_value(item, file);
                self.frames = frames;
                self.context = context;
                self.consts.insert((file, index), Some(value.clone()));
                value
            }
        };
        let mut locals = Locals::default();
        self.bind_pattern(&item.pattern, value, item.value.span, &mut locals)?;
        match locals.find(name).map(|link| link.value.borrow().clone()) {
            Some(Value::Poison) | None => Err(Reports::silent()),
            Some(value) => Ok(value),
        }
    }

    fn constant_value(&mut self, item: &'a ast::Const, file: usize) -> Value<'a> {
        let mut env = Env::of_file(file);
        let value = self.eval(&item.value, &mut env);
        let value = match (value, &item.ty) {
            (Ok(value), Some(ty)) => self.coerce(value, ty, &mut env, item.value.span),
            (value, _) => value,
        };
        value.unwrap_or(Value::Poison)
    }

    /// Names that belong to the language.
    pub fn word(&self, name: &str) -> Option<Value<'a>> {
        Some(match name {
            "training" => Value::Bool(self.training),
            "pi" => Value::Float(std::f64::consts::PI),
            "inf" => Value::Float(f64::INFINITY),
            "nan" => Value::Float(f64::NAN),
            "zeros" => Value::Draw(Draw::Zeros),
            "ones" => Value::Draw(Draw::Ones),
            "float" => Value::DType(DType::Real),
            _ => return self.word_of_tables(name),
        })
    }

    fn word_of_tables(&self, name: &str) -> Option<Value<'a>> {
        if let Some(dtype) = DType::from_name(name).filter(|dtype| *dtype != DType::Real) {
            return Some(Value::DType(dtype));
        }
        let builtin = builtins::find(name).map(Value::Builtin);
        builtin.or_else(|| super::ops::visible(name).map(Value::Op))
    }

    pub fn unknown(&mut self, name: &str, span: Span, env: &Env<'a>) -> super::Poisoned {
        if self.lost_item(name, env.file) {
            return Reports::silent();
        }
        let uppercase = name.starts_with(char::is_uppercase);
        let candidates = self.names_in_sight(env);
        let of_module = uppercase && name.contains(char::is_lowercase);
        let suggestion = suggest(name, candidates.iter().map(|name| &**name));
        // What a module might be called is no function, unless only the first letter is wrong.
        let likely =
            |found: &&str| !of_module || !found.starts_with(char::is_lowercase) || found.eq_ignore_ascii_case(name);
        let written = super::elsewhere::written(name);
        let suggestion = suggestion.filter(likely).filter(|_| written.is_none());
        let mut diagnostic = Diagnostic::error("E0301", format!("nothing here is called `{name}`"))
            .at(span, "unknown name")
            .did_you_mean(suggestion);
        let is_planned = builtins::PLANNED.contains(&name);
        if is_planned && suggestion.is_none() {
            diagnostic = diagnostic.with_note(format!("`{name}` is planned and not there yet"));
        }
        if let Some(written) = written {
            diagnostic = diagnostic.help(format!("write {written}"));
        } else if suggestion.is_none() {
            if let Some(function) = self.function_with(name, env) {
                diagnostic = diagnostic.help(format!("`{name}` is known within `fn {function}` only: compute there"));
            } else if let Some(part) = self.prelude_with(name) {
                diagnostic = diagnostic.help(format!("write `use {part} {{ {name} }}` at the top of the file"));
            } else if of_module {
                diagnostic =
                    diagnostic.help(format!("define `module {name}` here, or write `use ./file {{ {name} }}`"));
            } else if uppercase {
                diagnostic = diagnostic.help("a size binds where it stands alone in the type of a parameter");
            }
        }
        self.report(diagnostic)
    }

    /// A function of the module being put together that has a parameter of this name.
    fn function_with(&self, name: &str, env: &Env<'a>) -> Option<&'a str> {
        let module = env.instance.as_ref().filter(|_| self.frames.is_empty())?.constructor.module;
        module.entries.iter().find_map(|entry| match entry {
            Entry::Fn(function) => {
                let has = function.params.iter().any(|param| param.name.text == name);
                has.then_some(function.name.text.as_str())
            }
            _ => None,
        })
    }

    /// Whether the file has an item of this name that could not be read: what is wrong with it was said there.
    fn lost_item(&self, name: &str, file: usize) -> bool {
        let Some(file) = self.program.files.get(file) else { return false };
        let in_file = |found: &Diagnostic| found.span().is_some_and(|span| span.file == file.ast.id);
        if !self.program.diagnostics.iter().any(in_file) {
            return false;
        }
        let text = self.program.sources.text(file.ast.id);
        ["fn", "module", "model", "train", "const"].iter().any(|word| crate::front::load::defines(text, word, name))
    }

    /// The part of the prelude that has an item of this name.
    fn prelude_with(&self, name: &str) -> Option<&'static str> {
        crate::front::load::prelude_part_with(name)
    }

    fn names_in_sight(&self, env: &Env<'a>) -> Vec<Rc<str>> {
        let mut names = env.locals.names();
        if let Some(instance) = &env.instance {
            names.extend(instance.names.borrow().keys().cloned());
            let entries = instance.constructor.module.entries.iter();
            names.extend(entries.filter_map(|entry| match entry {
                Entry::Fn(function) => Some(Rc::from(function.name.text.as_str())),
                _ => None,
            }));
        }
        if let Some(file) = self.program.files.get(env.file) {
            names.extend(file.names.keys().map(|name| Rc::from(name.as_str())));
        }
        names.sort_unstable();
        names.extend(WORDS.iter().map(|word| Rc::from(*word)));
        names.extend(builtins::TABLE.iter().map(|builtin| Rc::from(builtin.name)));
        names.extend(ops::TABLE.iter().map(|op| Rc::from(op.name)));
        names
    }
}
