//! The parts of a program that all its entries share: kernels, constants, weights and state.
//!
//! Invariant: bytes live only in `blobs`; everything else is small and is what a program file's
//! header holds. Several kernels may name one blob: an object with many functions.

use serde::{Deserialize, Serialize};

use super::size::constant_shape;
use super::{DType, Dim, Entry, SizeDecl};
use crate::bytes::Blob;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlobId(pub u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KernelId(pub u32);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Program {
    pub name: String,
    pub target: Target,
    pub kernels: Vec<Kernel>,
    pub constants: Vec<Constant>,
    pub params: Vec<ParamDecl>,
    #[serde(default)]
    pub prepared: Vec<PreparedDecl>,
    pub states: Vec<StateDecl>,
    pub entries: Vec<Entry>,
    #[serde(skip)]
    pub blobs: Vec<Blob>,
}

/// The machine that the kernels' code was made for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Target {
    /// `llvm` or `cranelift`, with the version that decides whether cached code is still good.
    pub backend: String,
    pub triple: String,
    pub cpu: String,
    pub features: String,
}

/// One compiled function, and what it may be given.
///
/// Each launch is checked against `sizes`, `args` and `grid` before it runs; that the code keeps
/// to them is vouched for by whoever built it from `text`.
///
/// Its code is called as `KernelFn`: pointers in the order of
/// `args`, then as many `i64` sizes as `sizes` says, then the range of grid items to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kernel {
    pub name: String,
    /// Kernel IR, from which code that is not trusted is built again.
    pub text: String,
    /// The function's name inside `object`.
    pub symbol: String,
    /// A relocatable object; `None` until a backend has run.
    pub object: Option<BlobId>,
    /// The sizes that a launch passes. The code is right for these ranges only.
    pub sizes: Vec<SizeDecl>,
    pub args: Vec<KernelArg>,
    /// How many items there are, over the kernel's own sizes.
    pub grid: Dim,
    /// Items must run in order, on one thread.
    #[serde(default)]
    pub sequential: bool,
}

/// A buffer that a kernel takes: at least a tensor of this type and shape, over the kernel's
/// own sizes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KernelArg {
    pub access: Access,
    pub dtype: DType,
    pub shape: Vec<Dim>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    Read,
    /// Every element is written and none is read before that.
    Write,
    Update,
}

impl Access {
    pub fn reads(self) -> bool {
        self != Access::Write
    }

    pub fn writes(self) -> bool {
        self != Access::Read
    }
}

/// A tensor whose bytes travel with the program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Constant {
    pub name: String,
    pub dtype: DType,
    pub shape: Vec<usize>,
    pub data: BlobId,
}

/// A tensor of a weight file. As a parameter it is supplied when a session is opened, and never written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParamDecl {
    pub name: String,
    pub dtype: DType,
    pub shape: Vec<usize>,
}

/// A value made of weights alone: an output of an entry without inputs, computed once when a session is opened. It is
/// never written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreparedDecl {
    pub dtype: DType,
    pub shape: Vec<usize>,
    pub entry: u32,
    pub output: u32,
}

/// Memory that a session keeps between calls. Its symbolic sizes are fixed with the session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StateDecl {
    pub name: String,
    pub dtype: DType,
    pub shape: Vec<Dim>,
    pub init: InitValue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InitValue {
    Zeros,
    Constant(u32),
    /// The session starts from a copy of a weight: what training writes.
    Param(u32),
    /// An output of an entry that takes no inputs but perhaps `seed`, an `i64` scalar; it runs
    /// once, when the session is opened or the state's sizes become known.
    Entry {
        entry: u32,
        output: u32,
    },
}

impl StateDecl {
    /// What a weight file may hold of it: a tensor, if no size of it is left open.
    pub fn fixed(&self) -> Option<ParamDecl> {
        Some(ParamDecl { name: self.name.clone(), dtype: self.dtype, shape: constant_shape(&self.shape)? })
    }
}

impl Program {
    pub fn new(name: impl Into<String>, target: Target) -> Program {
        Program {
            name: name.into(),
            target,
            kernels: Vec::new(),
            constants: Vec::new(),
            params: Vec::new(),
            prepared: Vec::new(),
            states: Vec::new(),
            entries: Vec::new(),
            blobs: Vec::new(),
        }
    }

    /// The states that a weight file may hold.
    pub fn fixed_states(&self) -> Vec<ParamDecl> {
        self.states.iter().filter_map(StateDecl::fixed).collect()
    }

    /// Stores bytes, once for equal contents.
    pub fn add_blob(&mut self, bytes: &[u8]) -> BlobId {
        let known = self.blobs.iter().position(|blob| blob.as_slice() == bytes);
        let index = known.unwrap_or_else(|| {
            self.blobs.push(Blob::copy_of(bytes));
            self.blobs.len() - 1
        });
        BlobId(index as u32)
    }

    pub fn blob(&self, id: BlobId) -> &[u8] {
        self.blobs[id.0 as usize].as_slice()
    }

    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }
}
