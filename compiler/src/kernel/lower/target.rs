//! What a machine can do, as far as lowering cares.

use crate::graph::DType;
use crate::kernel::types::*;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TargetDesc {
    pub vector_bytes: u32,
    /// Vector loads and stores can leave lanes out.
    pub masks: bool,
    /// Fused multiply-add is one instruction.
    pub fma: bool,
    /// Loads can take an address per lane.
    pub gather: bool,
    /// Whole vectors of f32 are multiplied by powers of two in one instruction, and one gives their fractions.
    pub scalb: bool,
    /// Vectors hold elements of four bytes and nothing else.
    pub only_words: bool,
    /// Dot products of pairs of bf16 are one instruction on whole vectors, and faster than two multiply-adds of f32.
    pub dots: bool,
    /// The same for fours of bytes.
    pub byte_dots: bool,
    /// Registers hold matrices, and multiply those of bf16.
    pub matrices: bool,
    /// Threads of a block, which take the place of a vector's lanes; 1 on CPUs.
    pub threads: u32,
    /// Bytes that the threads of a block may share.
    pub shared_bytes: u32,
    /// Warps multiply matrices of narrow numbers.
    pub mma: bool,
}

impl TargetDesc {
    pub const AVX512: TargetDesc = TargetDesc { vector_bytes: 64, scalb: true, ..TargetDesc::AVX2 };
    pub const AVX2: TargetDesc = TargetDesc { vector_bytes: 32, masks: true, gather: true, ..TargetDesc::SCALAR };
    pub const NEON: TargetDesc = TargetDesc { vector_bytes: 16, ..TargetDesc::SCALAR };
    pub const SSE: TargetDesc = TargetDesc { vector_bytes: 16, fma: false, ..TargetDesc::SCALAR };
    /// Cranelift: 128 bits, and lane types that need no conversion between widths.
    pub const WORDS: TargetDesc = TargetDesc { vector_bytes: 16, only_words: true, ..TargetDesc::SCALAR };
    pub const SCALAR: TargetDesc = TargetDesc {
        vector_bytes: 4,
        masks: false,
        fma: true,
        gather: false,
        scalb: false,
        only_words: false,
        dots: false,
        byte_dots: false,
        matrices: false,
        threads: 1,
        shared_bytes: 0,
        mma: false,
    };

    /// A GPU: blocks of so many threads. Every one lets them share as much.
    pub const BLOCKS: TargetDesc = TargetDesc { threads: 64, shared_bytes: 16 << 10, ..TargetDesc::SCALAR };
    /// NVIDIA's since compute capability 8.0.
    pub const CUDA: TargetDesc = TargetDesc { shared_bytes: 48 << 10, mma: true, ..TargetDesc::BLOCKS };

    /// Whether products of these narrow floats are no slower than those of f32. Otherwise it takes time to widen them.
    pub fn multiplies(&self, dtype: DType) -> bool {
        // Where vectors hold words, pairs are the only narrow numbers that are read as vectors.
        self.threads > 1 || self.only_words || dtype == DType::BF16 && (self.dots || self.matrices)
    }

    /// Elements of a vector in this kernel, or of what a block takes at once, counted in elements of four bytes.
    pub fn lanes(&self, kernel: &Kernel) -> u32 {
        if self.threads > 1 {
            return self.threads;
        }
        let word = |dtype: DType| dtype.size_of() == 4;
        let vector_fits = |ty: &Type| ty.n_elements() == 1 || word(ty.dtype) || ty.dtype == DType::Bool;
        let words = kernel.values.iter().all(vector_fits)
            && kernel.buffers.iter().all(|buffer| word(buffer.dtype) || buffer.dtype == DType::I64)
            && kernel.locals.iter().all(|local| word(local.dtype));
        if self.only_words && !words { 1 } else { (self.vector_bytes / 4).max(1) }
    }
}
