//! The tree as nested lists, without spans: what tests compare and show.
//!
//! Invariant: two trees dump alike exactly when they differ in nothing but spans. Every expression,
//! pattern and type is parenthesised by its structure, so precedence is visible.

use std::fmt::Display;
use std::mem::discriminant;

use super::*;

/// The whole file, one item after another, blocks indented.
pub fn file(file: &File) -> String {
    let mut dump = Dump { text: String::new(), indent: 0 };
    for line in &file.docs {
        dump.line(format_args!("(doc {line:?})"));
    }
    for entry in &file.items {
        dump.item(entry);
    }
    dump.text
}

/// One expression on its own; blocks inside span lines.
pub fn expr(value: &Expr) -> String {
    let mut dump = Dump { text: String::new(), indent: 0 };
    dump.expr(value);
    dump.text
}

struct Dump {
    text: String,
    indent: usize,
}

impl Dump {
    fn put(&mut self, text: impl Display) {
        self.text += &text.to_string();
    }

    fn newline(&mut self) {
        self.put(format_args!("\n{:1$}", "", 2 * self.indent));
    }

    fn line(&mut self, text: impl Display) {
        self.put(text);
        self.newline();
    }

    /// `(head part part)`.
    fn list(&mut self, head: impl Display, parts: impl FnOnce(&mut Dump)) {
        self.put(format_args!("({head}"));
        parts(self);
        self.put(")");
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::Use(item) => self.imports(item),
            Item::Const(item) => self.binding("const", &item.pattern, &item.ty, &item.value),
            Item::Fn(item) => self.function("fn", item),
            Item::Module(item) => self.module(item),
        }
        self.newline();
    }

    fn imports(&mut self, item: &Use) {
        self.list(format_args!("use {}", item.path.text), |dump| {
            for import in &item.names {
                dump.put(format_args!(" {}", import.name.text));
                if let Some(alias) = &import.alias {
                    dump.put(format_args!(" as {}", alias.text));
                }
            }
        });
    }

    fn binding(&mut self, word: &str, pattern: &Pattern, ty: &Option<Type>, value: &Expr) {
        self.list(word, |dump| {
            dump.pattern(pattern);
            dump.annotation(ty);
            dump.space_expr(value);
        });
    }

    fn annotation(&mut self, ty: &Option<Type>) {
        if let Some(ty) = ty {
            self.put(" :");
            self.ty(ty);
        }
    }

    fn module(&mut self, item: &Module) {
        let word = match item.kind {
            ModuleKind::Module => "module",
            ModuleKind::Model => "model",
            ModuleKind::Train => "train",
        };
        self.list(format_args!("{word} {}", item.name.text), |dump| {
            dump.header(&item.params, &None, &item.condition);
            dump.indent += 1;
            for entry in &item.entries {
                dump.newline();
                dump.entry(entry);
            }
            dump.indent -= 1;
        });
    }

    fn entry(&mut self, entry: &Entry) {
        match entry {
            Entry::Let(entry) => self.binding("let", &entry.pattern, &entry.ty, &entry.value),
            Entry::Member(entry) => {
                self.list(format_args!("member {}", entry.name.text), |dump| {
                    dump.space_expr(&entry.value);
                });
            }
            Entry::Fn(entry) => self.function("fn", entry),
            Entry::Step(entry) => self.function("step", entry),
            Entry::Schedule(entry) => self.list("schedule", |dump| {
                for turn in &entry.turns {
                    dump.put(format_args!(" {}", turn.step.text));
                    if let Some(times) = &turn.times {
                        dump.put(" *");
                        dump.space_expr(times);
                    }
                }
            }),
        }
    }

    fn function(&mut self, word: &str, item: &Function) {
        self.list(format_args!("{word} {}", item.name.text), |dump| {
            dump.header(&item.params, &item.result, &item.condition);
            dump.block(&item.body);
        });
    }

    fn header(&mut self, params: &[Param], result: &Option<Type>, condition: &Option<Expr>) {
        self.put(" ");
        self.list("params", |dump| {
            for param in params {
                dump.put(format_args!(" {}:", param.name.text));
                dump.ty(&param.ty);
                if let Some(default) = &param.default {
                    dump.put(" =");
                    dump.space_expr(default);
                }
            }
        });
        if let Some(result) = result {
            self.put(" ->");
            self.ty(result);
        }
        if let Some(condition) = condition {
            self.put(" where");
            self.space_expr(condition);
        }
    }

    /// Each statement on its own line, then `=> value`.
    fn block(&mut self, block: &Block) {
        self.put(" {");
        self.indent += 1;
        for statement in &block.statements {
            self.newline();
            self.statement(&statement.kind);
        }
        if let Some(value) = &block.value {
            self.newline();
            self.put("=>");
            self.space_expr(value);
        }
        self.indent -= 1;
        self.put("}");
    }

    fn statement(&mut self, statement: &StatementKind) {
        match statement {
            StatementKind::Let(entry) => self.binding("let", &entry.pattern, &entry.ty, &entry.value),
            StatementKind::Fn(function) => self.function("fn", function),
            StatementKind::Rebind { pattern, value } => self.binding("rebind", pattern, &None, value),
            StatementKind::Write { target, value } => self.exprs("write", [target, value]),
            StatementKind::For { pattern, list, body } => self.list("for", |dump| {
                dump.pattern(pattern);
                dump.space_expr(list);
                dump.block(body);
            }),
            StatementKind::Minimize { loss, updates } => {
                self.list("minimize", |dump| {
                    dump.space_expr(loss);
                    for update in updates {
                        dump.put(" ");
                        dump.exprs("over", [&update.target, &update.optimizer]);
                    }
                });
            }
            StatementKind::Metric { name, value } => {
                self.exprs(format_args!("metric {}", name.text), [value]);
            }
            StatementKind::Assert { condition, message } => {
                self.exprs("assert", [condition].into_iter().chain(message));
            }
            StatementKind::Expr(value) => self.exprs("expr", [value]),
        }
    }

    fn exprs<'a>(&mut self, head: impl Display, parts: impl IntoIterator<Item = &'a Expr>) {
        self.list(head, |dump| {
            for part in parts {
                dump.space_expr(part);
            }
        });
    }

    fn space_expr(&mut self, value: &Expr) {
        self.put(" ");
        self.expr(value);
    }

    fn expr(&mut self, value: &Expr) {
        match &value.kind {
            ExprKind::Int(number) => self.put(number),
            ExprKind::Float(number) => self.put(format_args!("{number:?}")),
            ExprKind::Str(text) => self.put(format_args!("{text:?}")),
            ExprKind::Bool(truth) => self.put(truth),
            ExprKind::Name(name) => self.put(&name.text),
            ExprKind::Tuple(fields) => self.arguments("tuple", fields),
            ExprKind::List(elements) => self.list("list", |dump| {
                for element in elements {
                    dump.element(element);
                }
            }),
            ExprKind::Repeat { element, count } => self.exprs("repeat", [&**element, count]),
            ExprKind::Comprehension { element, clauses } => self.list("each", |dump| {
                dump.element(element);
                for clause in clauses {
                    dump.clause(clause);
                }
            }),
            ExprKind::Unary { op, operand } => self.exprs(op.symbol(), [&**operand]),
            ExprKind::Binary { op, left, right, .. } => self.exprs(op.symbol(), [&**left, right]),
            ExprKind::Range { start, end } => self.exprs("..", [&**start, end]),
            ExprKind::Pipe { value, callee } => self.exprs("|>", [&**value, callee]),
            ExprKind::Call { callee, arguments } => {
                self.put("(call ");
                self.expr(callee);
                self.put(" ");
                self.arguments("with", arguments);
                self.put(")");
            }
            ExprKind::Index { value, indices } => self.list("at", |dump| {
                dump.space_expr(value);
                for index in indices {
                    dump.index(index);
                }
            }),
            ExprKind::Field { value, name } => {
                self.list(".", |dump| {
                    dump.space_expr(value);
                    dump.put(format_args!(" {}", name.text));
                });
            }
            _ => self.compound(&value.kind),
        }
    }

    /// Expressions that hold blocks or types.
    fn compound(&mut self, value: &ExprKind) {
        match value {
            ExprKind::If { branches, otherwise } => self.list("if", |dump| {
                for branch in branches {
                    dump.space_expr(&branch.condition);
                    dump.block(&branch.body);
                }
                if let Some(block) = otherwise {
                    dump.put(" else");
                    dump.block(block);
                }
            }),
            ExprKind::Block(block) => self.list("block", |dump| dump.block(block)),
            ExprKind::Loop { index, range, carry, body } => self.region("loop", Some(index), [&**range], carry, body),
            ExprKind::Scan { index, range, carry, body } => self.region("scan", Some(index), [&**range], carry, body),
            ExprKind::While { condition, bound, carry, body } => {
                let parts = [&**condition].into_iter().chain(bound.as_deref());
                self.region("while", None, parts, carry, body);
            }
            ExprKind::Declare { kind, ty, init, name } => {
                let word = match kind {
                    DeclareKind::Param => "param",
                    DeclareKind::State => "state",
                };
                self.list(word, |dump| {
                    dump.ty(ty);
                    dump.space_expr(init);
                    name.iter().for_each(|name| dump.space_expr(name));
                });
            }
            _ => {}
        }
    }

    fn region<'a>(
        &mut self,
        word: &str,
        index: Option<&Pattern>,
        parts: impl IntoIterator<Item = &'a Expr>,
        carry: &Carry,
        body: &Block,
    ) {
        self.list(word, |dump| {
            if let Some(index) = index {
                dump.pattern(index);
            }
            for part in parts {
                dump.space_expr(part);
            }
            dump.put(" ");
            dump.binding("carry", &carry.pattern, &None, &carry.start);
            dump.block(body);
        });
    }

    fn arguments(&mut self, head: &str, arguments: &[Argument]) {
        self.list(head, |dump| {
            for argument in arguments {
                if let Some(name) = &argument.name {
                    dump.put(format_args!(" {}:", name.text));
                }
                dump.space_expr(&argument.value);
            }
        });
    }

    fn element(&mut self, element: &Element) {
        match element.spread {
            true => {
                self.put(" ");
                self.exprs("spread", [&element.value]);
            }
            false => self.space_expr(&element.value),
        }
    }

    fn clause(&mut self, clause: &Clause) {
        self.put(" ");
        match clause {
            Clause::For { pattern, list } => self.binding("for", pattern, &None, list),
            Clause::If(condition) => self.exprs("if", [condition]),
        }
    }

    fn index(&mut self, index: &Index) {
        match &index.kind {
            IndexKind::At(value) => self.space_expr(value),
            IndexKind::Slice { start, end } => {
                self.put(" (slice");
                for bound in [start, end] {
                    match bound {
                        Some(bound) => self.space_expr(bound),
                        None => self.put(" :"),
                    }
                }
                self.put(")");
            }
            IndexKind::Rest => self.put(" .."),
            IndexKind::New => self.put(" new"),
        }
    }

    fn pattern(&mut self, pattern: &Pattern) {
        match &pattern.kind {
            PatternKind::Name(name) => self.put(format_args!(" {}", name.text)),
            PatternKind::Wildcard => self.put(" _"),
            PatternKind::Tuple(parts) => {
                self.put(" ");
                self.list("tuple", |dump| {
                    for part in parts {
                        dump.pattern(part);
                    }
                });
            }
        }
    }

    fn ty(&mut self, ty: &Type) {
        self.put(" ");
        match &ty.kind {
            TypeKind::ListOf(inner) => self.list("list-of", |dump| dump.ty(inner)),
            TypeKind::Tensor { dtype, dims } => {
                let dtype = dtype.as_ref().map_or("tensor", |dtype| &dtype.text);
                self.list(dtype, |dump| {
                    for dim in dims {
                        match &dim.kind {
                            DimKind::Size(size) => dump.space_expr(size),
                            DimKind::Inferred => dump.put(" _"),
                            DimKind::Rest => dump.put(" .."),
                        }
                    }
                });
            }
            TypeKind::Tuple(fields) => self.list("tuple", |dump| {
                for field in fields {
                    if let Some(name) = &field.name {
                        dump.put(format_args!(" {}:", name.text));
                    }
                    dump.ty(&field.ty);
                }
            }),
            word => {
                let same = |kind: &TypeKind| discriminant(kind) == discriminant(word);
                let row = TYPE_WORDS.iter().find(|(_, kind)| same(kind));
                self.put(row.map_or("?", |(word, _)| word));
            }
        }
    }
}
