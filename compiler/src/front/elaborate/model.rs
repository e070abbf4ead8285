//! The whole model: its config is chosen, its tree instantiated, its entries built.

use std::rc::Rc;

use super::Elaborator;
use super::call::Arg;
use super::members::join;
use super::report::{Outcome, Reports};
use super::settings::{Choice, Setting};
use super::value::{Blueprint, BlueprintKind, Constructor, Instance, Slot, Value};
use crate::diag::{Diagnostic, Span, suggest};
use crate::front::ast::{self, DeclareKind, Entry, Item, ModuleKind};
use crate::graph::{Graph, Member, Model, Module, Origin};

impl<'a> Elaborator<'a> {
    pub fn model(&mut self, name: &str) -> Outcome<Model> {
        let constructor = self.item_named(name)?;
        let span = constructor.module.name.span;
        self.check_choices(constructor)?;
        let args = self.chosen(constructor, "")?;
        let args = self.match_params(name, &constructor.module.params, args, span, span)?;
        let chosen_at = self.options.config.iter().find_map(|choice| choice.span).unwrap_or(span);
        let given = self.module_params(constructor, args, chosen_at)?;
        let root = self.instantiate(constructor, given, "", None, span)?;
        let (entries, init) = match self.options.members_only {
            true => (Ok(Vec::new()), Ok(Graph::new("init"))),
            false => (self.entries(&root), self.init_graph()),
        };
        let schedule = self.schedule(&root)?;
        let entries = entries?.into_iter().map(|entry| self.with_trained_states(entry)).collect();
        let init = self.with_trained_states(init?);
        self.unique_paths();
        let members = |this: &Self, kind: DeclareKind| -> Vec<Member> {
            let kind_of = |slot: &Slot| match this.trained.contains(&*slot.path) {
                true => DeclareKind::State,
                false => slot.kind,
            };
            let own = this.members.iter().filter(|declared| kind_of(&declared.slot) == kind);
            own.map(|declared| Member {
                path: declared.slot.path.to_string(),
                ty: this.entry_type(&declared.slot.ty),
                origin: this.origin_at(declared.slot.span, &declared.slot.path),
                copy_of: declared.copy_of.clone(),
                is_learned: declared.slot.kind == DeclareKind::Param,
            })
            .collect()
        };
        Ok(Model {
            name: name.to_string(),
            params: members(self, DeclareKind::Param),
            states: members(self, DeclareKind::State),
            entries,
            init,
            tree: self.tree(&root, ""),
            schedule,
            sizes: std::mem::take(&mut self.sizes),
            skipped: std::mem::take(&mut self.skipped),
            assertions: std::mem::take(&mut self.assertions),
        })
    }

    fn item_named(&mut self, name: &str) -> Outcome<Constructor<'a>> {
        let program = self.program;
        let file = program.files.first().ok_or_else(Reports::silent)?;
        if let Some(named) = file.names.get(name)
            && let Some(source) = program.files.get(named.file)
            && let Item::Module(module) = &source.ast.items[named.item]
        {
            return Ok(Constructor { module, file: named.file });
        }
        let mut models: Vec<&str> = self.modules_of(0).map(|module| module.name.text.as_str()).collect();
        models.sort_unstable();
        let at = Span::new(file.ast.id, 0..0);
        let mut diagnostic = Diagnostic::error("E0301", format!("`{}` has no model `{name}`", file.path))
            .at(at, "this file")
            .did_you_mean(suggest(name, models.iter().copied()));
        if !models.is_empty() {
            diagnostic = diagnostic.with_note(format!("it has {}", models.join(", ")));
        }
        Err(self.report(diagnostic))
    }

    fn modules_of(&self, file: usize) -> impl Iterator<Item = &'a ast::Module> + use<'a> {
        let program = self.program;
        let items = program.files.get(file).into_iter().flat_map(|file| &file.ast.items);
        items.filter_map(|item| match item {
            Item::Module(module) => Some(module),
            _ => None,
        })
    }

    /// The entries in the order of the spec. Those that are wanted are read first, so that each mistake that they meet is told.
    fn entries(&mut self, root: &Rc<Instance<'a>>) -> Outcome<Vec<Graph>> {
        let entries = root.constructor.module.entries.iter().filter_map(|entry| match entry {
            Entry::Fn(function) => Some((function, false)),
            Entry::Step(function) => Some((function, true)),
            _ => None,
        });
        let entries: Vec<(&'a ast::Function, bool)> = entries.collect();
        let mut graphs: Vec<Option<Graph>> = entries.iter().map(|_| None).collect();
        let mut failed = None;
        for is_wanted in [true, false] {
            for (idx, &(function, training)) in entries.iter().enumerate() {
                if self.options.wants(&function.name.text) != is_wanted {
                    continue;
                }
                self.training = training;
                let graph = if is_wanted { self.entry_graph(root, function) } else { self.if_right(root, function) };
                match graph {
                    Ok(graph) => graphs[idx] = graph,
                    Err(poisoned) => failed = Some(poisoned),
                }
                self.training = false;
            }
        }
        failed.map_or_else(|| Ok(graphs.into_iter().flatten().collect()), Err)
    }

    /// An entry that nobody asked for: with a mistake in it, everything is as if it were not there.
    fn if_right(&mut self, root: &Rc<Instance<'a>>, function: &'a ast::Function) -> Outcome<Option<Graph>> {
        let (reports, trained, fuel, depth) = (self.reports.clone(), self.trained.clone(), self.fuel, self.depth);
        let lengths = [self.members.len(), self.skipped.len(), self.sizes.len(), self.assertions.len()];
        let graph = self.entry_graph(root, function);
        if graph.is_ok() && !self.reports.has_errors() {
            return graph;
        }
        (self.reports, self.trained, self.fuel, self.depth) = (reports, trained, fuel, depth);
        self.members.truncate(lengths[0]);
        self.skipped.truncate(lengths[1]);
        self.sizes.truncate(lengths[2]);
        self.assertions.truncate(lengths[3]);
        self.skipped.push((function.name.text.clone(), "there are mistakes in it".to_string()));
        Ok(None)
    }

    /// The arguments that the choices under a prefix make, in no particular order.
    fn chosen(&mut self, constructor: Constructor<'a>, prefix: &str) -> Outcome<Vec<Arg<'a>>> {
        let options = self.options;
        let mut args: Vec<Arg<'a>> = Vec::new();
        for param in &constructor.module.params {
            let key = join(prefix, &param.name.text);
            let at = |choice: &Choice| choice.span.unwrap_or(param.span);
            if let Some(choice) = options.config.iter().rev().find(|choice| choice.key == key) {
                let value = value_of(&choice.value);
                args.push(Arg { name: Some(Rc::from(param.name.text.as_str())), value, span: at(choice) });
                continue;
            }
            let inner = format!("{key}.");
            let Some(choice) = options.config.iter().find(|choice| choice.key.starts_with(&inner)) else { continue };
            let Some(default) = &param.default else { continue };
            let mut env = super::scope::Env::of_file(constructor.file);
            let value = self.eval(default, &mut env)?;
            let value = self.rechosen(value, &key, at(choice))?;
            args.push(Arg { name: Some(Rc::from(param.name.text.as_str())), value, span: default.span });
        }
        Ok(args)
    }

    /// A module parameter's default, built again with the choices for its own parameters.
    fn rechosen(&mut self, value: Value<'a>, prefix: &str, span: Span) -> Outcome<Value<'a>> {
        let Value::Blueprint(blueprint) = &value else {
            return self.error(
                "E0505",
                format!("`{prefix}` is no module, so it has no parameters"),
                span,
                "chosen here",
            );
        };
        let BlueprintKind::Module { constructor, params, explicit } = &blueprint.kind else { return Ok(value) };
        let mut args = self.chosen(*constructor, prefix)?;
        for (name, value) in params.iter().filter(|(name, _)| explicit.contains(name)) {
            if !args.iter().any(|arg| arg.name.as_ref() == Some(name)) {
                args.push(Arg { name: Some(name.clone()), value: value.clone(), span: blueprint.span });
            }
        }
        let module = constructor.module;
        let explicit = args.iter().filter_map(|arg| arg.name.clone()).collect();
        let args = self.match_params(&module.name.text, &module.params, args, span, module.name.span)?;
        let params = self.module_params(*constructor, args, span)?;
        let kind = BlueprintKind::Module { constructor: *constructor, params, explicit };
        Ok(Value::Blueprint(Rc::new(Blueprint { kind, span: blueprint.span })))
    }

    /// A choice that nothing asks for is a mistake.
    fn check_choices(&mut self, constructor: Constructor<'a>) -> Outcome<()> {
        let module = constructor.module;
        let mut names: Vec<&str> = module.params.iter().map(|param| param.name.text.as_str()).collect();
        for entry in &module.entries {
            if let Entry::Fn(function) | Entry::Step(function) = entry {
                names.extend(function.params.iter().map(|param| param.name.text.as_str()));
            }
        }
        let mut failed = None;
        for choice in &self.options.config {
            let first = choice.key.split('.').next().unwrap_or_default();
            if names.contains(&first) {
                continue;
            }
            let own: Vec<&str> = module.params.iter().map(|param| param.name.text.as_str()).collect();
            let message = format!("`{}` has no parameter `{}`", module.name.text, choice.key);
            let mut diagnostic =
                Diagnostic::error("E0505", message).did_you_mean(suggest(first, names.iter().copied()));
            diagnostic = match choice.span {
                Some(span) => diagnostic.at(span, "set here").also(module.name.span, "defined here"),
                None => diagnostic.at(module.name.span, "defined here"),
            };
            failed = Some(self.report(diagnostic.with_note(format!("it has {}", own.join(", ")))));
        }
        failed.map_or(Ok(()), Err)
    }

    /// Two members of one path would share a weight by accident.
    fn unique_paths(&mut self) {
        if self.program.diagnostics.iter().any(|diagnostic| diagnostic.code == "E0304") {
            return;
        }
        let mut seen = std::collections::HashMap::new();
        let slots: Vec<_> = self.members.iter().map(|declared| declared.slot.clone()).collect();
        for slot in slots {
            if let Some(first) = seen.insert(slot.path.clone(), slot.span) {
                let diagnostic = Diagnostic::error("E0304", format!("two members are called `{}`", slot.path))
                    .at(slot.span, "again here")
                    .also(first, "first here");
                self.report(diagnostic);
            }
        }
    }

    fn origin_at(&self, span: Span, path: &str) -> Origin {
        Origin { path: std::sync::Arc::from(path), ..self.origin(span) }
    }

    fn tree(&self, instance: &Instance<'a>, name: &str) -> Module {
        let module = instance.constructor.module;
        let mut node = Module {
            name: name.to_string(),
            path: instance.path.to_string(),
            kind: module.name.text.clone(),
            config: instance.given.iter().map(|(name, value)| (name.to_string(), value.show())).collect(),
            origin: self.origin_at(module.name.span, &instance.path),
            ..Module::default()
        };
        for (name, value) in instance.children.borrow().iter() {
            self.branches(value, name, &mut node);
        }
        node
    }

    fn branches(&self, value: &Value<'a>, name: &str, node: &mut Module) {
        match value {
            Value::Module(instance) => node.children.push(self.tree(instance, name)),
            Value::Slot(slot) => node.members.push(slot.path.to_string()),
            Value::List(items) => {
                for (idx, item) in items.iter().enumerate() {
                    self.branches(item, &format!("{name}.{idx}"), node);
                }
            }
            Value::Tuple(fields) => {
                for (idx, field) in fields.iter().enumerate() {
                    let part = field.name.as_ref().map_or(idx.to_string(), |name| name.to_string());
                    self.branches(&field.value, &format!("{name}.{part}"), node);
                }
            }
            _ => {}
        }
    }

    /// Elaborates each model and train of the file whose parameters all have defaults, and each const.
    pub fn check_all(&mut self) {
        let program = self.program;
        let Some(file) = program.files.first() else { return };
        for (index, item) in file.ast.items.iter().enumerate() {
            match item {
                Item::Module(module) if has_defaults(module) => {
                    self.members.clear();
                    // An optimizer is made for a tensor, here one without axes.
                    self.leaf = is_optimizer(module).then(Vec::new);
                    let _ = self.model(&module.name.text);
                    self.leaf = None;
                    self.frames.clear();
                    self.context.clear();
                    self.depth = 0;
                }
                Item::Const(_) => {
                    let named: Vec<String> = file
                        .names
                        .iter()
                        .filter(|(_, n)| n.file == 0 && n.item == index)
                        .map(|(name, _)| name.clone())
                        .collect();
                    for name in named {
                        let _ = self.find(&name, &super::scope::Env::of_file(0));
                    }
                }
                _ => {}
            }
        }
        // What was made has been checked, and what is wrong there need not be said twice.
        if !self.reports.has_errors() {
            file.ast.items.iter().for_each(|item| match item {
                Item::Module(module) if is_optimizer(module) || !has_defaults(module) => self.check_names(module),
                _ => {}
            });
        }
    }
}

/// Whether a module can stand behind `using`; its `update` is no entry, for it takes tensors of any shape.
pub fn is_optimizer(module: &ast::Module) -> bool {
    let updates = |entry: &Entry| matches!(entry, Entry::Fn(function) if function.name.text == "update");
    module.kind == ModuleKind::Module && module.entries.iter().any(updates)
}

fn has_defaults(module: &ast::Module) -> bool {
    module.params.iter().all(|param| param.default.is_some())
}

pub fn value_of<'a>(setting: &Setting) -> Value<'a> {
    match setting {
        Setting::Int(value) => Value::Int(*value),
        Setting::Float(value) => Value::Float(*value),
        Setting::Bool(value) => Value::Bool(*value),
        Setting::Str(text) => Value::str(text),
        Setting::List(items) => Value::list(items.iter().map(value_of).collect()),
    }
}
