//! Building kernels: values are made by methods, blocks by closures.
//!
//! Invariant: the builder never fails: it infers types as well as it can, and leaves every judgement to the verifier.
//! Values that are ill-typed get the type of their first operand.
//!
//! ```
//! use tilewright_compiler::graph::{DType, Dim, Scalar};
//! use tilewright_compiler::kernel::{Builder, Rights, Type, lane};
//!
//! let mut b = Builder::new("double");
//! let n = b.size("N", 0, None);
//! let x = b.buffer("x", DType::F32, [n.clone()], Rights::Read);
//! let y = b.buffer("y", DType::F32, [n.clone()], Rights::Write);
//! let i = b.grid("i", n.ceil_div(&Dim::constant(64)));
//! let at = &(&i * 64) + &lane(0);
//! let inside = Builder::below(&at, &n);
//! let loaded = b.load(x, [64], [&at], [inside.clone()], 0.0);
//! let doubled = b.scalar(Scalar::Add, &[loaded, loaded]);
//! b.store(y, [&at], [inside], doubled);
//! let kernel = b.finish();
//! assert_eq!(kernel.type_of(loaded), &Type::new(DType::F32, [64]));
//! ```

mod blocks;
mod inline;
mod loops;
mod tiles;

pub use blocks::Span;

use super::types::*;
use crate::graph::{DType, Dim, Symbol};

pub struct Builder {
    kernel: Kernel,
    /// Statements of the blocks that are open, outermost first.
    open: Vec<Vec<Stmt>>,
}

impl Builder {
    /// A tile kernel with nothing in it.
    pub fn new(name: impl Into<String>) -> Builder {
        Builder::with_level(name, Level::Tile, 1)
    }

    pub fn with_level(name: impl Into<String>, level: Level, lanes: u32) -> Builder {
        let kernel = Kernel {
            name: name.into(),
            level,
            lanes,
            threads: 1,
            sizes: Vec::new(),
            buffers: Vec::new(),
            locals: Vec::new(),
            grid: Vec::new(),
            sequential: false,
            body: Block::default(),
            values: Vec::new(),
        };
        Builder { kernel, open: vec![Vec::new()] }
    }

    /// Another kernel's interface (sizes, buffers, locals, grid) with an empty body.
    pub fn like(kernel: &Kernel, level: Level, lanes: u32) -> Builder {
        let kernel = Kernel {
            level,
            lanes,
            threads: 1,
            body: Block::default(),
            values: Vec::new(),
            name: kernel.name.clone(),
            sizes: kernel.sizes.clone(),
            buffers: kernel.buffers.clone(),
            locals: kernel.locals.clone(),
            grid: kernel.grid.clone(),
            sequential: kernel.sequential,
        };
        Builder { kernel, open: vec![Vec::new()] }
    }

    /// A size known at run time: `low <= size <= high`.
    pub fn size(&mut self, symbol: &str, low: i64, high: Option<i64>) -> Dim {
        let symbol = Symbol::new(symbol);
        let dim = Dim::from(&symbol);
        self.kernel.sizes.push(SizeParam { symbol, low, high });
        dim
    }

    pub fn buffer(
        &mut self,
        name: impl Into<String>,
        dtype: DType,
        shape: impl Into<Vec<Dim>>,
        rights: Rights,
    ) -> Memory {
        self.kernel.buffers.push(Buffer { name: name.into(), dtype, shape: shape.into(), rights, streamed: false });
        Memory::Buffer(self.kernel.buffers.len() as u32 - 1)
    }

    /// Stores to a buffer may go past the caches.
    pub fn stream(&mut self, memory: Memory) {
        if let Memory::Buffer(at) = memory {
            self.kernel.buffers[at as usize].streamed = true;
        }
    }

    pub fn local(&mut self, name: impl Into<String>, dtype: DType, shape: impl Into<Vec<u64>>) -> Memory {
        self.memory(name, dtype, shape, Scope::Local)
    }

    /// One memory for all that ask by this name.
    pub fn common_local(&mut self, name: &str, dtype: DType, shape: impl Into<Vec<u64>>) -> Memory {
        let local = Local { name: name.to_string(), dtype, shape: shape.into(), scope: Scope::Local };
        match self.kernel.locals.iter().position(|known| *known == local) {
            Some(known) => Memory::Local(known as u32),
            None => self.local(local.name, local.dtype, local.shape),
        }
    }

    /// Memory of one thread, or of all threads of an item.
    pub fn memory(
        &mut self,
        name: impl Into<String>,
        dtype: DType,
        shape: impl Into<Vec<u64>>,
        scope: Scope,
    ) -> Memory {
        let local = Local { name: name.into(), dtype, shape: shape.into(), scope };
        self.kernel.locals.push(local);
        Memory::Local(self.kernel.locals.len() as u32 - 1)
    }

    /// Lets all threads of an item see a local.
    pub(in crate::kernel) fn share_local(&mut self, at: u32) {
        self.kernel.locals[at as usize].scope = Scope::Shared;
    }

    /// Leaves one thread of `threads` its part of a local, along an axis.
    pub(in crate::kernel) fn divide_local(&mut self, at: u32, axis: usize, threads: u64) {
        let extent = &mut self.kernel.locals[at as usize].shape[axis];
        *extent = extent.div_ceil(threads);
    }

    /// Adds the next inner axis of the grid and gives its symbol.
    pub fn grid(&mut self, symbol: &str, extent: impl Into<Dim>) -> Dim {
        let symbol = Symbol::new(symbol);
        let dim = Dim::from(&symbol);
        self.kernel.grid.push(GridAxis { symbol, extent: extent.into() });
        dim
    }

    /// Items run in order on one thread.
    pub fn sequential(&mut self) {
        self.kernel.sequential = true;
    }

    /// So many threads run an item together.
    pub fn threads(&mut self, threads: u32) {
        self.kernel.threads = threads;
    }

    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    pub fn type_of(&self, value: Value) -> &Type {
        self.kernel.type_of(value)
    }

    /// A new value that no statement defines yet.
    pub fn value(&mut self, ty: Type) -> Value {
        self.kernel.values.push(ty);
        Value(self.kernel.values.len() as u32 - 1)
    }

    /// Appends a statement with one result to the innermost open block.
    pub fn push(&mut self, op: Op, ty: Type) -> Value {
        let depth = self.depth();
        self.push_at(depth, op, ty)
    }

    /// Appends to an outer open block, which comes before the statement that the inner blocks will become.
    pub fn push_at(&mut self, depth: usize, op: Op, ty: Type) -> Value {
        let result = self.value(ty);
        self.open[depth].push(Stmt { results: vec![result], op });
        result
    }

    pub fn push_stmt(&mut self, stmt: Stmt) {
        if let Some(block) = self.open.last_mut() {
            block.push(stmt);
        }
    }

    /// How many blocks are open around the innermost one.
    pub fn depth(&self) -> usize {
        self.open.len() - 1
    }

    /// Opens a block; statements go there until it is closed.
    pub fn open_block(&mut self) {
        self.open.push(Vec::new());
    }

    pub fn close_block(&mut self, yields: Vec<Value>) -> Block {
        Block { stmts: self.open.pop().unwrap_or_default(), yields }
    }

    /// The kernel, in canonical numbering. Values that were handed out before keep their numbers only if they were
    /// defined in textual order.
    pub fn finish(mut self) -> Kernel {
        self.kernel.body = self.close_block(Vec::new());
        self.kernel.canonical()
    }
}
