//! Sizes that stand in expressions only: `[2 * N]` and `[H / 8]` in the type of a parameter say what N and H are.
//!
//! Invariant: a size that stands alone somewhere binds there. Of the others, those of an entry get a symbol and each must
//! follow from the axes of its inputs; those of a function that is called are solved for, one unknown at a time.

use std::collections::HashSet;

use super::Elaborator;
use super::fields::{names_of, pairing};
use super::report::Outcome;
use super::scope::Env;
use super::types::{align, lone_size, names_asked};
use super::value::Value;
use crate::diag::{Diagnostic, Span};
use crate::front::ast::{BinaryOp, DimKind, Expr, ExprKind, Ident, Param, Type, TypeKind};
use crate::graph::{Dim, Symbol};

/// Where one side of an expression is a size that is looked for, what that side must be.
type Solved = Outcome<Option<Dim>>;

/// An axis that is an expression, what it is of a value, and the size that is looked for.
struct Asked<'s, 'a> {
    expr: &'a Expr,
    found: &'s Dim,
    name: &'s str,
    at: Span,
}

impl<'a> Elaborator<'a> {
    /// The sizes in the types of these parameters that stand alone nowhere and mean nothing yet.
    pub fn implied_sizes(&mut self, params: &[&'a Param], env: &Env<'a>) -> Outcome<Vec<&'a Ident>> {
        let (mut alone, mut found) = (Vec::new(), Vec::<&'a Ident>::new());
        params.iter().for_each(|param| dims_of(&param.ty, &mut Vec::new(), &mut alone));
        for name in params.iter().flat_map(|param| made_of(&param.ty)) {
            let is_new = !alone.contains(&&*name.text) && found.iter().all(|other| other.text != name.text);
            if is_new && self.may_bind(&name.text, env)? {
                found.push(name);
            }
        }
        Ok(found)
    }

    /// Makes sure that each of these sizes of an entry follows from the axes of its inputs.
    pub fn all_follow(&mut self, names: &[&'a Ident], axes: &[Dim], env: &Env<'a>) -> Outcome<()> {
        let mut known: HashSet<Symbol> = HashSet::new();
        while let Some(symbol) = axes.iter().find_map(|axis| only_unknown(axis, &known)) {
            known.insert(symbol);
        }
        for name in names {
            let size = env.locals.find(&name.text).and_then(|link| link.value.borrow().as_dim());
            let unknown = size.is_some_and(|size| symbols_of(&size).iter().any(|symbol| !known.contains(symbol)));
            if unknown {
                let message = format!("nothing says what `{}` is: it follows from no axis of an input", name.text);
                let diagnostic = Diagnostic::error("E0301", message).at(name.span, "this cannot be found");
                let help = "a size binds where it stands alone in the type of a parameter, or is the only unknown one in a \
                            sum or a product, as in `2 * N + 1` and `H / 8`";
                return Err(self.report(diagnostic.help(help)));
            }
        }
        Ok(())
    }

    /// Binds the sizes that stand in expressions only to what the given values make of them.
    pub fn bind_implied(&mut self, given: &[(&'a Param, Value<'a>, Span)], env: &mut Env<'a>) -> Outcome<()> {
        let params: Vec<&'a Param> = given.iter().map(|(param, ..)| *param).collect();
        if params.iter().all(|param| made_of(&param.ty).is_empty()) {
            return Ok(());
        }
        let mut axes = Vec::new();
        given.iter().for_each(|(param, value, at)| self.axes_of(value, &param.ty, *at, &mut axes));
        loop {
            let unknown: Vec<&str> = self.implied_sizes(&params, env)?.iter().map(|name| name.text.as_str()).collect();
            let mut bound = false;
            for (expr, found, at) in &axes {
                let mut names = Vec::new();
                sizes_in(expr, &mut names);
                names.retain(|name| unknown.contains(&name.text.as_str()));
                let [name] = names.as_slice() else { continue };
                let asked = Asked { expr, found, name: &name.text, at: *at };
                if let Some(size) = self.solve(expr, found.clone(), &asked, env)? {
                    env.locals.bind(&name.text, Value::size(size), self.frames.len());
                    bound = true;
                    break;
                }
            }
            if !bound {
                return Ok(());
            }
        }
    }

    /// What a size must be for a part of an axis to be `found`.
    fn solve(&mut self, part: &'a Expr, found: Dim, asked: &Asked<'_, 'a>, env: &mut Env<'a>) -> Solved {
        if found.as_constant().is_some_and(|size| size < 0) {
            return Err(self.unsolvable(asked));
        }
        let (op, left, right) = match &part.kind {
            ExprKind::Name(own) if own.text == asked.name => return Ok(Some(found)),
            ExprKind::Binary { op, left, right, .. } => (op, left, right),
            _ => return Ok(None),
        };
        let mut names = Vec::new();
        sizes_in(left, &mut names);
        let is_left = names.iter().any(|own| own.text == asked.name);
        let (side, other) = if is_left { (left, right) } else { (right, left) };
        let Some(other) = self.eval(other, env)?.as_dim() else { return Ok(None) };
        let wanted = match (op, is_left) {
            (BinaryOp::Add, _) => &found - &other,
            (BinaryOp::Subtract, true) => &found + &other,
            (BinaryOp::Subtract, false) => &other - &found,
            (BinaryOp::Divide, true) => &found * &other,
            (BinaryOp::Multiply, _) => match found.exact_div(&other) {
                Some(quotient) => quotient,
                None if found.as_constant().is_some() => return Err(self.unsolvable(asked)),
                None => return Err(self.not_whole(&found, &other, asked.at)),
            },
            _ => return Ok(None),
        };
        self.solve(side, wanted, asked, env)
    }

    fn unsolvable(&mut self, asked: &Asked) -> super::Poisoned {
        let (text, Asked { found, name, .. }) = (self.text(asked.expr.span), asked);
        let diagnostic = Diagnostic::error("E0203", format!("no size {name} makes `{text}` be {found}"));
        self.report(diagnostic.at(asked.at, format!("{text} is {found} here")).also(asked.expr.span, "asked for here"))
    }

    /// The written axes of a type that are expressions, with the sizes of a value.
    fn axes_of(&self, value: &Value<'a>, ty: &'a Type, at: Span, axes: &mut Vec<(&'a Expr, Dim, Span)>) {
        match (&ty.kind, value) {
            (TypeKind::Tensor { dims, .. }, value) if value.is_tensor() => {
                let pairs = align(dims, &self.shape_of(value)).unwrap_or_default();
                let expressions = pairs.into_iter().filter(|(dim, _)| lone_size(dim).is_none());
                axes.extend(expressions.filter_map(|(dim, size)| match &dim.kind {
                    DimKind::Size(expr) => Some((expr, size, at)),
                    _ => None,
                }));
            }
            (TypeKind::Tuple(types), Value::Tuple(fields)) if types.len() == fields.len() => {
                let order = pairing(&names_asked(types), &names_of(fields)).unwrap_or_default();
                for (ty, place) in types.iter().zip(order) {
                    self.axes_of(&fields[place].value, &ty.ty, at, axes);
                }
            }
            _ => {}
        }
    }
}

/// The axes of a type that are expressions, and the names of those that stand alone.
pub fn dims_of<'t>(ty: &'t Type, expressions: &mut Vec<&'t Expr>, alone: &mut Vec<&'t str>) {
    match &ty.kind {
        TypeKind::Tensor { dims, .. } => {
            for dim in dims {
                match (&dim.kind, lone_size(dim)) {
                    (_, Some(name)) => alone.push(&name.text),
                    (DimKind::Size(expr), None) => expressions.push(expr),
                    _ => {}
                }
            }
        }
        TypeKind::Tuple(fields) => fields.iter().for_each(|field| dims_of(&field.ty, expressions, alone)),
        _ => {}
    }
}

/// The names of sizes that the axes of a type are made of.
fn made_of(ty: &Type) -> Vec<&Ident> {
    let (mut expressions, mut names) = (Vec::new(), Vec::new());
    dims_of(ty, &mut expressions, &mut Vec::new());
    expressions.into_iter().for_each(|expr| sizes_in(expr, &mut names));
    names
}

/// The names in an expression that may be sizes.
pub fn sizes_in<'e>(expr: &'e Expr, names: &mut Vec<&'e Ident>) {
    match &expr.kind {
        ExprKind::Name(name) if name.text.starts_with(char::is_uppercase) => names.push(name),
        ExprKind::Unary { operand, .. } => sizes_in(operand, names),
        ExprKind::Binary { left, right, .. } => {
            sizes_in(left, names);
            sizes_in(right, names);
        }
        ExprKind::Call { arguments, .. } => arguments.iter().for_each(|argument| sizes_in(&argument.value, names)),
        _ => {}
    }
}

fn symbols_of(size: &Dim) -> Vec<Symbol> {
    let mut symbols = Vec::new();
    size.for_each_symbol(&mut |symbol| {
        if !symbols.contains(symbol) {
            symbols.push(symbol.clone());
        }
    });
    symbols
}

/// The one symbol of an axis that is not known, if the axis is a number of them and more.
fn only_unknown(axis: &Dim, known: &HashSet<Symbol>) -> Option<Symbol> {
    let mut unknown = symbols_of(axis).into_iter().filter(|symbol| !known.contains(symbol));
    let (symbol, None) = (unknown.next()?, unknown.next()) else { return None };
    let (slope, _) = axis.affine_in(&symbol)?;
    (!slope.is(0)).then_some(symbol)
}
