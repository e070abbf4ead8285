//! One callable entry: its sizes, its ports, its values and where each value lives.
//!
//! Invariant: every size in an entry is an expression over the entry's declared symbols, all of
//! which are known before its first step runs. No shape depends on data.

use serde::{Deserialize, Serialize};

use super::{DType, Dim, SEED_INPUT, STEP_INPUT, Step, Symbol};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ValueId(pub u32);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub name: String,
    /// The Graph IR that this entry was compiled from.
    pub graph: String,
    pub sizes: Vec<SizeDecl>,
    /// What the spec calls sizes that are more than a symbol: `H` is `8*H_8`. Only who fixes a size by its name asks.
    #[serde(default)]
    pub names: Vec<SizeName>,
    /// Run-time scalars that checks may speak about. They never appear in a shape.
    #[serde(default)]
    pub scalars: Vec<ScalarDecl>,
    /// Decided before the first step, hence before any state is written.
    pub checks: Vec<Check>,
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
    pub values: Vec<ValueDecl>,
    pub steps: Vec<Step>,
    /// What a step was made from, such as `blocks.0.attn vit.tw:16`, by pre-order step number.
    /// Either empty or one label per step.
    #[serde(default)]
    pub labels: Vec<String>,
}

/// A symbolic size and the range it may take, ends included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SizeDecl {
    #[serde(with = "symbol_text")]
    pub symbol: Symbol,
    pub lo: i64,
    pub hi: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SizeName {
    pub name: String,
    pub size: Dim,
}

/// A symbol that stands for the value of an `i64[]` input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScalarDecl {
    #[serde(with = "symbol_text")]
    pub symbol: Symbol,
    pub input: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    pub left: Dim,
    pub relation: Relation,
    pub right: Dim,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    Equal,
    NotEqual,
    Less,
    AtMost,
}

impl Relation {
    pub fn holds(self, left: i64, right: i64) -> bool {
        match self {
            Relation::Equal => left == right,
            Relation::NotEqual => left != right,
            Relation::Less => left < right,
            Relation::AtMost => left <= right,
        }
    }

    pub fn sign(self) -> &'static str {
        match self {
            Relation::Equal => "==",
            Relation::NotEqual => "!=",
            Relation::Less => "<",
            Relation::AtMost => "<=",
        }
    }
}

/// What a caller passes or receives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Port {
    pub name: String,
    pub dtype: DType,
    pub shape: Vec<Dim>,
}

impl Port {
    pub fn is_seed(&self) -> bool {
        self.is_number(SEED_INPUT)
    }

    pub fn is_step(&self) -> bool {
        self.is_number(STEP_INPUT)
    }

    fn is_number(&self, name: &str) -> bool {
        self.name == name && self.dtype == DType::I64 && self.shape.is_empty()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValueDecl {
    pub dtype: DType,
    pub shape: Vec<Dim>,
    pub storage: Storage,
    /// The first and the last step, by pre-order number, at which the value's bytes matter.
    /// Only arena values share memory, so only theirs is looked at.
    pub lifetime: (u32, u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    Arena,
    Input(u32),
    Output(u32),
    Param(u32),
    Prepared(u32),
    State(u32),
    Constant(u32),
    /// The same bytes as an earlier value, under another shape or element type.
    Alias(ValueId),
}

impl Entry {
    pub fn value(&self, id: ValueId) -> &ValueDecl {
        &self.values[id.0 as usize]
    }

    /// The value that owns the bytes of `id`. Aliases name earlier values, so this ends.
    pub fn root(&self, id: ValueId) -> ValueId {
        let mut root = id;
        while let Storage::Alias(of) = self.value(root).storage {
            root = of;
        }
        root
    }

    pub fn n_steps(&self) -> usize {
        self.steps.iter().map(Step::n_steps).sum()
    }

    /// The label of a step, or nothing where labels were not kept.
    pub fn label(&self, step: usize) -> &str {
        self.labels.get(step).map_or("", String::as_str)
    }
}

mod symbol_text {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::program::Symbol;

    pub fn serialize<S: Serializer>(symbol: &Symbol, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(symbol.name())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Symbol, D::Error> {
        String::deserialize(from).map(Symbol::new)
    }
}
