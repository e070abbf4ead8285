//! Names in modules that cannot be made without config: all that can be said about those before they get it.
//!
//! Invariant: what is reported would be an error whatever the config. A name counts as known if anything in the module
//! binds it, so scopes are not told apart, and sizes, which stand for themselves, are left alone.

use rustc_hash::FxHashSet;

use super::Elaborator;
use super::implied::sizes_in;
use super::scope::Env;
use super::types::lone_size;
use crate::front::ast::*;

impl<'a> Elaborator<'a> {
    /// Reports names that nothing could be called in a module of the first file.
    pub fn check_names(&mut self, module: &'a Module) {
        let mut names = Names::default();
        names.module(module);
        let Some(file) = self.program.files.first() else { return };
        for name in std::mem::take(&mut names.used) {
            let text = name.text.as_str();
            let known = names.bound.contains(text) || file.names.contains_key(text) || self.word(text).is_some();
            let is_size = !text.contains(char::is_lowercase);
            if !known && !is_size && !name.is_wildcard() {
                self.unknown(text, name.span, &Env::of_file(0));
                names.bound.insert(text);
            }
        }
    }
}

#[derive(Default)]
struct Names<'a> {
    bound: FxHashSet<&'a str>,
    used: Vec<&'a Ident>,
}

impl<'a> Names<'a> {
    fn bind(&mut self, name: &'a Ident) {
        self.bound.insert(&name.text);
    }

    fn module(&mut self, module: &'a Module) {
        self.header(&module.params, &module.condition);
        for entry in &module.entries {
            match entry {
                Entry::Let(entry) => self.binding(&entry.pattern, &entry.ty, &entry.value),
                Entry::Member(member) => {
                    self.bind(&member.name);
                    self.expr(&member.value);
                }
                Entry::Fn(function) | Entry::Step(function) => self.function(function),
                Entry::Schedule(schedule) => {
                    schedule.turns.iter().filter_map(|turn| turn.times.as_ref()).for_each(|times| self.expr(times));
                }
            }
        }
    }

    fn header(&mut self, params: &'a [Param], condition: &'a Option<Expr>) {
        for param in params {
            self.bind(&param.name);
            self.ty(&param.ty);
            self.exprs(&param.default);
        }
        self.exprs(condition);
    }

    fn function(&mut self, function: &'a Function) {
        self.bind(&function.name);
        self.header(&function.params, &function.condition);
        function.result.iter().for_each(|ty| self.ty(ty));
        self.block(&function.body);
    }

    fn binding(&mut self, pattern: &'a Pattern, ty: &'a Option<Type>, value: &'a Expr) {
        self.pattern(pattern);
        ty.iter().for_each(|ty| self.ty(ty));
        self.expr(value);
    }

    fn pattern(&mut self, pattern: &'a Pattern) {
        match &pattern.kind {
            PatternKind::Name(name) => self.bind(name),
            PatternKind::Wildcard => {}
            PatternKind::Tuple(parts) => parts.iter().for_each(|part| self.pattern(part)),
        }
    }

    fn ty(&mut self, ty: &'a Type) {
        match &ty.kind {
            TypeKind::ListOf(inner) => self.ty(inner),
            TypeKind::Tuple(fields) => fields.iter().for_each(|field| self.ty(&field.ty)),
            TypeKind::Tensor { dims, .. } => {
                for dim in dims {
                    // A size that stands alone binds.
                    if let Some(size) = lone_size(dim) {
                        self.bind(size);
                    } else if let DimKind::Size(size) = &dim.kind {
                        // So may one in an expression.
                        let mut sizes = Vec::new();
                        sizes_in(size, &mut sizes);
                        sizes.into_iter().for_each(|size| self.bind(size));
                        self.expr(size);
                    }
                }
            }
            _ => {}
        }
    }

    fn block(&mut self, block: &'a Block) {
        block.statements.iter().for_each(|statement| self.statement(&statement.kind));
        block.value.iter().for_each(|value| self.expr(value));
    }

    fn statement(&mut self, statement: &'a StatementKind) {
        match statement {
            StatementKind::Let(entry) => self.binding(&entry.pattern, &entry.ty, &entry.value),
            StatementKind::Fn(function) => self.function(function),
            StatementKind::Rebind { pattern, value } => self.binding(pattern, &None, value),
            StatementKind::Write { target, value } => self.exprs([target, value]),
            StatementKind::For { pattern, list, body } => {
                self.binding(pattern, &None, list);
                self.block(body);
            }
            StatementKind::Minimize { loss, updates } => {
                self.expr(loss);
                updates.iter().for_each(|update| self.exprs([&update.target, &update.optimizer]));
            }
            StatementKind::Metric { value, .. } => self.expr(value),
            StatementKind::Assert { condition, message } => self.exprs([condition].into_iter().chain(message)),
            StatementKind::Expr(value) => self.expr(value),
        }
    }

    fn exprs(&mut self, values: impl IntoIterator<Item = &'a Expr>) {
        values.into_iter().for_each(|value| self.expr(value));
    }

    fn expr(&mut self, value: &'a Expr) {
        match &value.kind {
            ExprKind::Int(_) | ExprKind::Float(_) | ExprKind::Str(_) | ExprKind::Bool(_) => {}
            ExprKind::Name(name) => self.used.push(name),
            ExprKind::Tuple(fields) => self.exprs(fields.iter().map(|field| &field.value)),
            ExprKind::List(elements) => self.exprs(elements.iter().map(|element| &element.value)),
            ExprKind::Repeat { element, count } => self.exprs([&**element, count]),
            ExprKind::Comprehension { element, clauses } => {
                self.expr(&element.value);
                for clause in clauses {
                    match clause {
                        Clause::For { pattern, list } => self.binding(pattern, &None, list),
                        Clause::If(condition) => self.expr(condition),
                    }
                }
            }
            ExprKind::Unary { operand, .. } => self.expr(operand),
            ExprKind::Binary { left, right, .. } => self.exprs([&**left, right]),
            ExprKind::Range { start, end } => self.exprs([&**start, end]),
            ExprKind::Pipe { value, callee } => self.exprs([&**value, callee]),
            ExprKind::Call { callee, arguments } => {
                self.expr(callee);
                arguments.iter().for_each(|argument| self.argument(argument));
            }
            ExprKind::Index { value, indices } => {
                self.expr(value);
                indices.iter().for_each(|index| self.index(index));
            }
            ExprKind::Field { value, .. } => self.expr(value),
            _ => self.compound(&value.kind),
        }
    }

    /// A word may be the choice of an op, as in `mode: nearest`.
    fn argument(&mut self, argument: &'a Argument) {
        if argument.name.is_none() || !matches!(argument.value.kind, ExprKind::Name(_)) {
            self.expr(&argument.value);
        }
    }

    fn index(&mut self, index: &'a Index) {
        match &index.kind {
            IndexKind::At(value) => self.expr(value),
            IndexKind::Slice { start, end } => self.exprs(start.iter().chain(end)),
            IndexKind::Rest | IndexKind::New => {}
        }
    }

    /// Expressions that hold blocks or types.
    fn compound(&mut self, value: &'a ExprKind) {
        match value {
            ExprKind::If { branches, otherwise } => {
                for branch in branches {
                    self.expr(&branch.condition);
                    self.block(&branch.body);
                }
                otherwise.iter().for_each(|block| self.block(block));
            }
            ExprKind::Block(block) => self.block(block),
            ExprKind::Loop { index, range, carry, body } | ExprKind::Scan { index, range, carry, body } => {
                self.binding(index, &None, range);
                self.region(carry, body);
            }
            ExprKind::While { condition, bound, carry, body } => {
                self.exprs([&**condition].into_iter().chain(bound.as_deref()));
                self.region(carry, body);
            }
            ExprKind::Declare { ty, init, name, .. } => {
                self.ty(ty);
                self.exprs([&**init].into_iter().chain(name.as_deref()));
            }
            _ => {}
        }
    }

    fn region(&mut self, carry: &'a Carry, body: &'a Block) {
        self.binding(&carry.pattern, &None, &carry.start);
        self.block(body);
    }
}
