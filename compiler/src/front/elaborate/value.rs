//! What a name or an expression of a spec can stand for while it is elaborated.
//!
//! Invariant: config values hold no part of a graph. A `Wire` names a value of one open graph frame; it is brought into
//! an inner frame by capturing it, and never outlives its own.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::builtins::Builtin;
use super::scope::Env;
use crate::diag::Span;
use crate::front::ast;
use crate::graph::{self, DType, Dim, OpDef};

#[derive(Clone)]
pub enum Value<'a> {
    /// What an erroneous expression gives: silent, so that one mistake is one message.
    Poison,
    /// What an `if` without `else` gives when it does not apply.
    Absent,
    Int(i64),
    Float(f64),
    Bool(bool),
    Str(Rc<str>),
    /// An integer known late: a polynomial over symbolic sizes that is no constant.
    Size(Dim),
    /// A quotient of sizes that is not known to come out whole.
    Ratio(Dim, Dim),
    DType(DType),
    /// `i64[B, N]` in an expression.
    Typed(DType, Rc<Vec<Value<'a>>>),
    Wire(Wire),
    /// A tensor known at compile time.
    Constant(Arc<graph::Tensor>),
    /// A declared `param` or `state`: it becomes a wire where it is used.
    Slot(Rc<Slot>),
    /// An initialiser without its shape, such as `normal(std: 0.02)`.
    Draw(Draw),
    Tuple(Rc<Vec<Field<'a>>>),
    List(Rc<Vec<Value<'a>>>),
    Module(Rc<Instance<'a>>),
    /// A module or a parameter that has no place yet; it gets one as a member.
    Blueprint(Rc<Blueprint<'a>>),
    Constructor(Constructor<'a>),
    Function(Rc<Closure<'a>>),
    Builtin(&'static Builtin),
    Op(&'static OpDef),
    /// A bare word that names nothing: an option such as `mode: nearest`. See [`Value::as_option`].
    Word(Rc<str>, Span),
}

#[derive(Clone)]
pub struct Field<'a> {
    pub name: Option<Rc<str>>,
    pub value: Value<'a>,
}

/// A value of the graph being built.
#[derive(Clone, Copy, Debug)]
pub struct Wire {
    pub value: graph::Value,
    /// The frame it belongs to: its depth and serial number.
    pub depth: usize,
    pub serial: u64,
    /// An index or a size: integers that adopt the other operand's type, as numbers do.
    pub flexible: bool,
    /// Axes of size one that were written as `new`, as bits.
    pub new_axes: u64,
}

impl Wire {
    /// Whether the axis that stands this far from the last was written as `new`.
    pub fn is_new(&self, from_last: usize) -> bool {
        u32::try_from(from_last).ok().and_then(|bit| self.new_axes.checked_shr(bit)).is_some_and(|marks| marks & 1 == 1)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Draw {
    Zeros,
    Ones,
    Normal { mean: f64, std: f64 },
    Uniform { low: f64, high: f64 },
}

#[derive(Clone, Copy)]
pub struct Constructor<'a> {
    pub module: &'a ast::Module,
    pub file: usize,
}

/// A function with what it sees around it.
pub struct Closure<'a> {
    pub function: &'a ast::Function,
    pub env: Env<'a>,
}

/// A module applied to its parameters, without a path yet.
pub struct Blueprint<'a> {
    pub kind: BlueprintKind<'a>,
    pub span: Span,
}

pub enum BlueprintKind<'a> {
    /// `explicit` names the parameters that were given, not defaulted.
    Module { constructor: Constructor<'a>, params: Vec<(Rc<str>, Value<'a>)>, explicit: Vec<Rc<str>> },
    Declare {
        kind: ast::DeclareKind,
        ty: &'a ast::Type,
        init: &'a ast::Expr,
        /// Its name in the module that declares it, where that is not the member's.
        name: Option<Rc<str>>,
        env: Env<'a>,
    },
    /// A copy of whatever this is: of an instance, or of lists and tuples of them.
    Clone(Value<'a>),
}

/// A module with its place in the tree.
pub struct Instance<'a> {
    pub path: Rc<str>,
    pub constructor: Constructor<'a>,
    /// Parameters as they were given, for clones: those without a place have none yet.
    pub given: Vec<(Rc<str>, Value<'a>)>,
    /// Parameters, lets, members and functions, by name.
    pub names: RefCell<HashMap<Rc<str>, Value<'a>>>,
    /// The members in order of declaration, and parameters that were built in an argument.
    pub children: RefCell<Vec<(Rc<str>, Value<'a>)>>,
    pub copy_of: Option<Rc<Instance<'a>>>,
    /// Its functions run as outside training.
    pub evaluated: bool,
}

/// A declared parameter or state.
pub struct Slot {
    pub path: Rc<str>,
    pub kind: ast::DeclareKind,
    pub ty: graph::Type,
    pub span: Span,
    /// Its path ends in a name of its own, whatever list it stands in.
    pub is_named: bool,
    /// Its position among all declared members.
    pub index: usize,
}

impl<'a> Value<'a> {
    /// What it says where an option is wanted: `combine: add` says `add`, though an op is called that.
    pub fn as_option(&self) -> Option<&str> {
        match self {
            Value::Str(text) | Value::Word(text, _) => Some(text),
            Value::Builtin(builtin) => Some(builtin.name),
            Value::Op(op) => Some(op.name),
            _ => None,
        }
    }

    pub fn str(text: &str) -> Value<'a> {
        Value::Str(Rc::from(text))
    }

    pub fn list(values: Vec<Value<'a>>) -> Value<'a> {
        Value::List(Rc::new(values))
    }

    pub fn tuple(values: Vec<Value<'a>>) -> Value<'a> {
        Value::Tuple(Rc::new(values.into_iter().map(|value| Field { name: None, value }).collect()))
    }

    /// A size as an `Int` where it is a constant.
    pub fn size(dim: Dim) -> Value<'a> {
        match dim.as_constant() {
            Some(value) => Value::Int(value),
            None => Value::Size(dim),
        }
    }

    pub fn as_wire(&self) -> Option<Wire> {
        match self {
            Value::Wire(wire) => Some(*wire),
            _ => None,
        }
    }

    /// An integer of config or a size.
    pub fn as_dim(&self) -> Option<Dim> {
        match self {
            Value::Int(value) => Some(Dim::constant(*value)),
            Value::Float(value) => whole(*value).map(Dim::constant),
            Value::Size(dim) => Some(dim.clone()),
            _ => None,
        }
    }

    pub fn as_number(&self) -> Option<f64> {
        match self {
            Value::Int(value) => Some(*value as f64),
            Value::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// A tensor, or what becomes one where it is used.
    pub fn is_tensor(&self) -> bool {
        matches!(self, Value::Wire(_) | Value::Constant(_) | Value::Slot(_))
    }

    pub fn is_callable(&self) -> bool {
        match self {
            Value::Module(_) | Value::Function(_) | Value::Builtin(_) | Value::Op(_) | Value::Constructor(_) => true,
            Value::Draw(_) | Value::DType(_) | Value::Blueprint(_) => true,
            Value::List(items) => items.iter().all(Value::is_callable),
            _ => false,
        }
    }

    pub fn is_function(&self) -> bool {
        matches!(self, Value::Function(_) | Value::Builtin(_) | Value::Op(_))
    }

    /// How a message names this kind of value.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Poison => "an error",
            Value::Absent => "nothing",
            Value::Int(_) => "an int",
            Value::Float(_) => "a float",
            Value::Bool(_) => "a bool",
            Value::Str(_) => "a string",
            Value::Size(_) | Value::Ratio(..) => "a size",
            Value::DType(_) => "an element type",
            Value::Typed(..) => "a tensor type",
            Value::Wire(_) | Value::Constant(_) | Value::Slot(_) => "a tensor",
            Value::Draw(_) => "an initialiser",
            Value::Tuple(_) => "a tuple",
            Value::List(_) => "a list",
            Value::Module(_) => "a module",
            Value::Blueprint(_) => "a module",
            Value::Constructor(_) => "a module's constructor",
            Value::Function(_) | Value::Builtin(_) | Value::Op(_) => "a function",
            Value::Word(..) => "a word",
        }
    }

    /// How a message quotes this value: short, and whole where it is config.
    pub fn show(&self) -> String {
        match self {
            Value::Int(value) => value.to_string(),
            Value::Float(value) => format!("{value:?}"),
            Value::Bool(value) => value.to_string(),
            Value::Str(text) => format!("{text:?}"),
            Value::Size(dim) => dim.to_string(),
            Value::Ratio(a, b) => format!("({a}) / ({b})"),
            Value::List(items) => format!("[{}]", show_some(items.iter().map(Value::show))),
            Value::Tuple(fields) => format!("({})", show_some(fields.iter().map(Field::show))),
            Value::Constructor(constructor) => format!("`{}`", constructor.module.name.text),
            Value::Function(closure) => format!("`{}`", closure.function.name.text),
            Value::Module(instance) => format!("`{}`", instance.constructor.module.name.text),
            other => other.kind().to_string(),
        }
    }
}

impl Field<'_> {
    fn show(&self) -> String {
        match &self.name {
            Some(name) => format!("{name}: {}", self.value.show()),
            None => self.value.show(),
        }
    }
}

fn show_some(parts: impl Iterator<Item = String>) -> String {
    let mut shown: Vec<String> = parts.take(9).collect();
    if shown.len() == 9 {
        shown[8] = "…".to_string();
    }
    shown.join(", ")
}

/// The integer that a float is exactly.
pub fn whole(value: f64) -> Option<i64> {
    (value.fract() == 0.0 && value.abs() < 9.0e15).then_some(value as i64)
}
