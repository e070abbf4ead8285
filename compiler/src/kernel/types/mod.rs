//! The data of a kernel. Plain values with derived equality; what makes them well formed is checked by `verify`.
//!
//! # Both levels
//!
//! A value has a type `dtype<shape>`. Statements define values; a value is visible after its statement, in the block that
//! holds it and in the blocks inside. Buffers never overlap. f16 and bf16 are memory types: they are loaded, stored,
//! selected, broadcast and cast; arithmetic happens in f32 or f64. Integers wrap. Floats are rounded to their type after
//! each operation; casting to bf16 a machine's instruction may take denormals as zeros. Casting a float to an integer
//! rounds towards zero and saturates, NaN gives 0; casting to bool is `!= 0`.
//! A load of u32 from memory of narrower numbers reads a word: as many neighbours as fit 32 bits, the first of them in the
//! lowest bits; the index is that of the first. `dot bf16 %acc, %a, %b` takes words of two bf16: acc + a₀·b₀ + a₁·b₁, one
//! fused multiply-add in f32 after the other; a machine's instruction for it may round less often and take denormals as
//! zeros. `dot f16` is the same of two f16. `dot i8 %acc, %a, %b` takes words of four i8: acc + a₀·b₀ + … + a₃·b₃ in i32, exactly; `dot u8` those of four i8 in a and of four u8 in b.
//! `reduce` combines pairwise: with h half the extent rounded up to a power of two, element i is combined with element
//! i + h where that exists (operands in this order), then again, until one is left. The axis stays, with extent 1.
//!
//! # Tile level
//!
//! Shapes are any constants. Index expressions and guards are `Dim`s over sizes, grid symbols, loop symbols, declared
//! symbols, and the lane symbols `l0, l1, …`: the position along axis 0, 1, … of the tile that is accessed. A guard is a
//! `Dim` that must be at least 0. A lane whose guard fails, or whose data-dependent index is out of range, reads nothing
//! (it gives the `otherwise` literal) and writes nothing.
//! `contract %acc, %a, %b` is acc + a·b, one fused multiply-add after the other in order of k; `dot` likewise takes
//! matrices of words.
//!
//! # Loop level: what a backend prints
//!
//! Shapes are `<>` and `<L>`, with L = `Kernel::lanes`. `bool<L>` is a mask. The body runs once per call of the ABI
//! function `fn(args: *const *mut u8, sizes: *const i64, begin: i64, end: i64)`: buffer n is `args[n]`, and the loop over
//! the items `begin..end` of the linearised grid is an explicit `loop` in the body. Locals are one array each, aligned to
//! 64 bytes, their contents undefined at entry. The statements are:
//!
//! | text | meaning |
//! |---|---|
//! | `const c` | the literal in every lane |
//! | `argument begin`, `argument end`, `argument size N` | an `i64<>`: the parameters of the call, the size N |
//! | `argument thread` | an `i64<>`: the number of the thread; GPU kernels only |
//! | `lanes` | 0, 1, … in an integer vector |
//! | `broadcast %a` | `<>` to `<L>` |
//! | `extract %v[n]`, `insert %v[n], %s` | one lane, n constant |
//! | `shuffle %a, %b [m, n, …]` | lanes of two vectors, of which those of b are numbered after those of a |
//! | `cast %a`, `bitcast %a` | see below; between f32, i32 and u32, or f64 and i64 |
//! | `reduce OP %v axis 0` | `<L>` to `<>` by the pairwise tree; add mul min max and or |
//! | scalar functions | see below |
//! | `quotient %a, %b` | `<>` integers, truncating; lowering makes sure that b ≠ 0 and that it does not overflow |
//! | `call exp %a` | a host function named after a `Scalar`, `f64<>` operands and result; a function of the device on `f32<>` in GPU kernels |
//! | `dot bf16 %acc, %a, %b`, `dot u8 …` | f32 or i32, and words, lane by lane; targets with such an instruction only |
//! | `load m at %o + c`, `store m at %o + c, %v` | m a buffer or local; %o an `i64<>` offset in elements, c a constant; consecutive elements from there, aligned to one element only; words lie side by side. With %o an `i64<L>` (targets with gather only): lane-wise addresses |
//! | `… mask %m else %v` | vectors only, targets with masks only: lanes whose bit is clear touch no memory and give %v |
//! | `prefetch m at %o + c` | a hint that the memory there will be read soon, be it beyond the end; %o an `i64<>`. A backend may print nothing |
//! | `matrix …` | registers that hold matrices: see below; targets with such registers only |
//! | `loop %i in %a..%b step c carry …` | `i64<>` bounds, c > 0 constant; runs zero times unless a < b; results are the carried values. `unroll` is a hint |
//! | `if %c … else …` | `bool<>` condition; the results are what the taken block yields |
//! | `barrier` | GPU kernels only: see below |
//! | `%d… = mma bf16 %c…, %a…, %b…` | GPU kernels only: see below; targets with such an instruction only |
//!
//! Scalar functions, on `<>` and `<L>` alike: add sub mul neg abs min max on f32, f64 and all integers; div fma sqrt floor
//! ceil trunc round on f32, f64; and or xor not on integers and bool; shl shr on integers, the amount within 0..width (shr
//! is arithmetic on signed types); eq ne lt le gt ge on all types but f16, bf16 (on floats ne is true when unordered, the
//! others false); select on all types. min and max are NaN when either operand is. Everything else is gone by then.
//!
//! # GPU kernels
//!
//! A kernel with `threads` T is a loop kernel with one lane, run by T threads together: the threads of a block all run the
//! body, each with its own values, its own `local` memories and its own number (`argument thread`, 0..T). Begin and end
//! are the same for all of them. Buffers and `shared` memories are seen by all. Between two barriers no thread touches an
//! element that another writes. A barrier orders all that was done before it, by any thread of the block, before all that
//! is done after it; all threads reach the same barriers, the same number of times: a barrier stands under no condition
//! and in no loop whose bounds depend on the thread. Blocks know nothing of each other.
//!
//! `mma` is a product of matrices, c + a·b, that the threads of a warp, 32 neighbours, compute together: each brings some
//! elements and gets some, as the table in `types::mma` says. All threads of the block reach it, as they do barriers, but
//! it orders nothing. Each element is summed as by `dot`; a machine may sum in another order and round less often.
//!
//! # Registers of matrices
//!
//! A CPU may have eight registers of up to 16 rows of 16 words. They are no values: statements change them.
//!
//! | text | meaning |
//! |---|---|
//! | `matrix shapes [m, n, …] [v, w, …]` | register 0 has m rows of v words, and so on; all are set to zeros |
//! | `matrix zero 0` | register 0 becomes zeros |
//! | `matrix load 4, m at %o + c step %s` | rows of it come from memory, whose first elements are %s elements apart: words of narrower numbers, or numbers of four bytes |
//! | `matrix store 0, m at %o + c step %s` | the way back, of numbers of four bytes |
//! | `matrix dot bf16 0, 4, 6` | to register 0, f32, the product of the words of 4 and 6 is added, as `dot` takes matrices; a machine sums in another order, and takes denormals as zeros |
//! | `matrix release` | no register has a shape any more |
//!
//! Casts: f16 and bf16 only to and from f32 (round to nearest even); between the others any pair, except to bool.
//! A bool in memory is one byte, 0 or 1.

pub mod matrix;
pub mod mma;
mod op;
mod shape;
mod walk;

pub use op::*;
pub use shape::{Literal, Type};

use crate::graph::{DType, Dim, Ranges, Symbol};

/// A value of a kernel: an index into `Kernel::values`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(pub u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    Tile,
    Loop,
}

/// A size that is known when the kernel is called, with what is known about it before.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SizeParam {
    pub symbol: Symbol,
    pub low: i64,
    pub high: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rights {
    Read,
    Write,
    ReadWrite,
}

/// Memory that the caller passes in, row-major.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Buffer {
    pub name: String,
    pub dtype: DType,
    pub shape: Vec<Dim>,
    pub rights: Rights,
    /// No cache holds all of it until it is read again: stores may go past them.
    pub streamed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Of one thread.
    Local,
    /// Of the threads of one grid item.
    Shared,
}

/// Scratch memory of one grid item, row-major, with undefined contents when the item starts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Local {
    pub name: String,
    pub dtype: DType,
    pub shape: Vec<u64>,
    pub scope: Scope,
}

/// One parallel axis; its symbol runs over `0..extent`, which is empty where a check at entry rules the sizes out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GridAxis {
    pub symbol: Symbol,
    pub extent: Dim,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kernel {
    pub name: String,
    pub level: Level,
    /// Elements of a vector at the loop level; 1 at the tile level.
    pub lanes: u32,
    /// Threads that run an item together; 1 but in GPU kernels, which have one lane.
    pub threads: u32,
    pub sizes: Vec<SizeParam>,
    pub buffers: Vec<Buffer>,
    pub locals: Vec<Local>,
    /// Outermost first. Items are numbered row-major.
    pub grid: Vec<GridAxis>,
    /// Items must run in order on one thread; otherwise they run in any order, on any thread.
    pub sequential: bool,
    pub body: Block,
    /// The type of each value.
    pub values: Vec<Type>,
}

impl Kernel {
    pub fn type_of(&self, value: Value) -> &Type {
        &self.values[value.0 as usize]
    }

    /// How many items the grid has: none where an extent is not positive, even if two are.
    pub fn n_items(&self) -> Dim {
        let ranges = self.ranges();
        let count = |axis: &GridAxis| match ranges.lower_bound(&axis.extent) {
            Some(0..) => axis.extent.clone(),
            _ => axis.extent.greatest(&Dim::constant(0)),
        };
        self.grid.iter().map(count).fold(Dim::constant(1), |items, count| &items * &count)
    }

    pub fn memory_name(&self, memory: Memory) -> &str {
        match memory {
            Memory::Buffer(at) => &self.buffers[at as usize].name,
            Memory::Local(at) => &self.locals[at as usize].name,
        }
    }

    pub fn memory_dtype(&self, memory: Memory) -> DType {
        match memory {
            Memory::Buffer(at) => self.buffers[at as usize].dtype,
            Memory::Local(at) => self.locals[at as usize].dtype,
        }
    }

    /// How many neighbours in memory one element of a loaded value holds: several if it is a word of narrow numbers.
    pub fn neighbours(&self, memory: Memory, ty: &Type) -> Option<u64> {
        let dtype = self.memory_dtype(memory);
        match dtype {
            _ if dtype == ty.dtype => Some(1),
            DType::BF16 | DType::F16 | DType::I8 | DType::U8 if ty.dtype == DType::U32 => {
                Some((ty.dtype.size_of() / dtype.size_of()) as u64)
            }
            _ => None,
        }
    }

    pub fn memory_shape(&self, memory: Memory) -> Vec<Dim> {
        match memory {
            Memory::Buffer(at) => self.buffers[at as usize].shape.clone(),
            Memory::Local(at) => {
                self.locals[at as usize].shape.iter().map(|&extent| Dim::constant(extent as i64)).collect()
            }
        }
    }

    /// What is known about sizes and grid symbols.
    pub fn ranges(&self) -> Ranges {
        let mut ranges = Ranges::default();
        for size in &self.sizes {
            ranges.declare(size.symbol.clone(), Dim::constant(size.low), size.high.map(Dim::constant));
        }
        for axis in &self.grid {
            ranges.declare(axis.symbol.clone(), Dim::constant(0), Some(&axis.extent - &Dim::constant(1)));
        }
        ranges
    }
}

/// The symbol of the position along an axis of the accessed tile.
pub fn lane_symbol(axis: usize) -> Symbol {
    Symbol::new(format!("l{axis}"))
}

/// The lane symbols of a tile of this shape, each with its least and its greatest value.
pub fn lane_bounds(shape: &[u64]) -> impl Iterator<Item = (Symbol, Dim, Dim)> {
    let bounds =
        |(axis, &extent): (usize, &u64)| (lane_symbol(axis), Dim::constant(0), Dim::constant(extent as i64 - 1));
    shape.iter().enumerate().map(bounds)
}

/// The position along an axis of the accessed tile.
pub fn lane(axis: usize) -> Dim {
    Dim::from(&lane_symbol(axis))
}
