//! Attributes: what an op knows at compile time, as plain data, and how a record declares them.
//!
//! Invariant: an `Attrs` lists its attributes in the order of the record, none twice.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::{DType, Data, Dim, Tensor};

#[derive(Clone, Debug)]
pub enum Attr {
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    Ints(Vec<i64>),
    Dim(Dim),
    Dims(Vec<Dim>),
    DType(DType),
    Tensor(Arc<Tensor>),
}

impl Attr {
    /// Whether a size that is known only at run time occurs in it.
    pub fn mentions_symbols(&self) -> bool {
        match self {
            Attr::Dim(dim) => dim.as_constant().is_none(),
            Attr::Dims(dims) => dims.iter().any(|dim| dim.as_constant().is_none()),
            _ => false,
        }
    }
}

/// What kind of attribute a record asks for. `Axis` and `Axes` are integers that count from the end when negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttrKind {
    Bool,
    Int,
    Float,
    Str,
    Ints,
    Axis,
    Axes,
    Dim,
    Dims,
    DType,
    Tensor,
    /// A list with an entry for each spatial axis; a spec may write one number for all of them.
    PerAxis,
    PerAxisDims,
}

/// The value an attribute takes where it is not written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Default {
    Required,
    /// Left out of the node; the op says what that means.
    Absent,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(&'static str),
}

#[derive(Clone, Copy, Debug)]
pub struct AttrDef {
    pub name: &'static str,
    pub kind: AttrKind,
    pub default: Default,
}

pub const fn attr(name: &'static str, kind: AttrKind, default: Default) -> AttrDef {
    AttrDef { name, kind, default }
}

impl AttrKind {
    /// How a message names what is wanted.
    pub fn wanted(self) -> &'static str {
        match self {
            AttrKind::Bool => "true or false",
            AttrKind::Int => "an integer",
            AttrKind::Float => "a number",
            AttrKind::Str => "a string",
            AttrKind::Ints => "a list of integers",
            AttrKind::Axis => "an axis: an integer, negative to count from the last",
            AttrKind::Axes => "a list of axes",
            AttrKind::Dim => "a size",
            AttrKind::Dims => "a list of sizes",
            AttrKind::DType => "an element type, such as f32",
            AttrKind::Tensor => "a constant tensor",
            AttrKind::PerAxis => "an integer, or a list with one for each spatial axis",
            AttrKind::PerAxisDims => "a size, or a list with one for each spatial axis",
        }
    }

    pub fn admits(self, attr: &Attr) -> bool {
        matches!(
            (self, attr),
            (AttrKind::Bool, Attr::Bool(_))
                | (AttrKind::Int | AttrKind::Axis, Attr::Int(_))
                | (AttrKind::Float, Attr::Float(_))
                | (AttrKind::Str, Attr::Str(_))
                | (AttrKind::Ints | AttrKind::Axes | AttrKind::PerAxis, Attr::Ints(_))
                | (AttrKind::Dim, Attr::Dim(_))
                | (AttrKind::Dims | AttrKind::PerAxisDims, Attr::Dims(_))
                | (AttrKind::DType, Attr::DType(_))
                | (AttrKind::Tensor, Attr::Tensor(_))
        )
    }
}

#[derive(Clone, Debug, std::default::Default, PartialEq, Eq, Hash)]
pub struct Attrs(Vec<(&'static str, Attr)>);

impl Attrs {
    pub fn none() -> Attrs {
        Attrs::default()
    }

    pub fn with(mut self, name: &'static str, value: impl Into<Attr>) -> Attrs {
        self.set(name, value.into());
        self
    }

    pub fn set(&mut self, name: &'static str, value: Attr) {
        match self.0.iter_mut().find(|(key, _)| *key == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    pub fn get(&self, name: &str) -> Option<&Attr> {
        self.0.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Attr)> {
        self.0.iter().map(|(name, value)| (*name, value))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&'static str, &mut Attr)> {
        self.0.iter_mut().map(|(name, value)| (*name, value))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Fills in defaults and sorts by the record; says what is missing, unknown or of the wrong kind.
    pub fn complete(&self, defs: &'static [AttrDef]) -> Result<Attrs, String> {
        if let Some((name, _)) = self.iter().find(|(name, _)| !defs.iter().any(|def| def.name == *name)) {
            return Err(format!("there is no attribute `{name}`"));
        }
        let mut complete = Attrs::none();
        for def in defs {
            match (self.get(def.name), def.default) {
                (Some(value), _) if def.kind.admits(value) => complete.set(def.name, value.clone()),
                (Some(_), _) => return Err(format!("`{}` must be {}", def.name, def.kind.wanted())),
                (None, Default::Required) => return Err(format!("`{}` is missing: {}", def.name, def.kind.wanted())),
                (None, Default::Absent) => {}
                (None, Default::Bool(value)) => complete.set(def.name, Attr::Bool(value)),
                (None, Default::Int(value)) => complete.set(def.name, Attr::Int(value)),
                (None, Default::Float(value)) => complete.set(def.name, Attr::Float(value)),
                (None, Default::Str(value)) => complete.set(def.name, Attr::Str(value.to_string())),
            }
        }
        Ok(complete)
    }
}

/// Typed access. A completed `Attrs` has every required attribute in the kind the record asks for, so a panic here is a
/// bug in the op's own file.
macro_rules! getters {
    ($($method:ident $variant:ident $type:ty),* $(,)?) => {
        impl Attrs {
            $(pub fn $method(&self, name: &str) -> $type {
                match self.get(name) {
                    Some(Attr::$variant(value)) => value.clone(),
                    other => panic!("attribute `{name}`: expected {}, found {other:?}", stringify!($variant)),
                }
            })*
        }
    };
}
getters! {
    bool Bool bool, int Int i64, float Float f64, str Str String, ints Ints Vec<i64>,
    dim Dim Dim, dims Dims Vec<Dim>, dtype DType DType, tensor Tensor Arc<Tensor>,
}

macro_rules! conversions {
    ($($type:ty => $variant:ident),* $(,)?) => {
        $(impl From<$type> for Attr {
            fn from(value: $type) -> Attr { Attr::$variant(value) }
        })*
    };
}
conversions! {
    bool => Bool, i64 => Int, f64 => Float, String => Str, Vec<i64> => Ints, Dim => Dim, Vec<Dim> => Dims,
    DType => DType, Arc<Tensor> => Tensor,
}

impl From<&str> for Attr {
    fn from(value: &str) -> Attr {
        Attr::Str(value.to_string())
    }
}

impl PartialEq for Attr {
    fn eq(&self, other: &Attr) -> bool {
        match (self, other) {
            (Attr::Bool(a), Attr::Bool(b)) => a == b,
            (Attr::Int(a), Attr::Int(b)) => a == b,
            (Attr::Float(a), Attr::Float(b)) => a.to_bits() == b.to_bits(),
            (Attr::Str(a), Attr::Str(b)) => a == b,
            (Attr::Ints(a), Attr::Ints(b)) => a == b,
            (Attr::Dim(a), Attr::Dim(b)) => a == b,
            (Attr::Dims(a), Attr::Dims(b)) => a == b,
            (Attr::DType(a), Attr::DType(b)) => a == b,
            (Attr::Tensor(a), Attr::Tensor(b)) => Arc::ptr_eq(a, b) || a.same(b),
            _ => false,
        }
    }
}

impl Eq for Attr {}

impl Hash for Attr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Attr::Bool(value) => value.hash(state),
            Attr::Int(value) => value.hash(state),
            Attr::Float(value) => value.to_bits().hash(state),
            Attr::Str(value) => value.hash(state),
            Attr::Ints(value) => value.hash(state),
            Attr::Dim(value) => value.hash(state),
            Attr::Dims(value) => value.hash(state),
            Attr::DType(value) => value.hash(state),
            Attr::Tensor(value) => {
                value.shape.hash(state);
                match &value.data {
                    Data::Float(data) => data.iter().for_each(|v| v.to_bits().hash(state)),
                    Data::Int(data) => data.hash(state),
                }
            }
        }
    }
}
