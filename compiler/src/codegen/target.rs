//! Which CPU code is generated for, and what it can do.
//!
//! Invariant: a target lists every feature that generated code may use; nothing is implied by a CPU's name, because a
//! virtual machine may hide features of the CPU it runs on. The name only tunes.

use std::fmt;

use tilewright_runtime::machine::{Matrices, matrices};

use super::{Backend, CodegenError};
use crate::kernel::TargetDesc;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arch {
    X86_64,
    Aarch64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    pub arch: Arch,
    /// The CPU whose timings instruction selection and scheduling assume.
    pub tune: String,
    /// Names as LLVM writes them, in the order of `FEATURES`.
    pub features: Vec<&'static str>,
}

struct Feature {
    arch: Arch,
    name: &'static str,
    cranelift: Option<&'static str>,
    /// The first `x86-64-vN` that has it; 0 where no level does.
    level: u8,
    detect: fn() -> bool,
}

/// Asks the machine for a feature, by its name in Rust.
macro_rules! here {
    (X86_64, $name:tt) => {{
        #[cfg(target_arch = "x86_64")]
        let found = std::arch::is_x86_feature_detected!($name);
        #[cfg(not(target_arch = "x86_64"))]
        let found = false;
        found
    }};
    (Aarch64, $name:tt) => {{
        #[cfg(target_arch = "aarch64")]
        let found = std::arch::is_aarch64_feature_detected!($name);
        #[cfg(not(target_arch = "aarch64"))]
        let found = false;
        found
    }};
}

macro_rules! feature {
    ($arch:tt, $name:literal, $rust:tt, $cranelift:expr, $level:literal) => {
        Feature { arch: Arch::$arch, name: $name, cranelift: $cranelift, level: $level, detect: || here!($arch, $rust) }
    };
}

/// Registers of matrices: the system has to let this process use them.
macro_rules! matrices {
    ($name:literal, $has:expr) => {
        Feature {
            arch: Arch::X86_64,
            name: $name,
            cranelift: None,
            level: 0,
            detect: || {
                let has: fn(Matrices) -> bool = $has;
                matrices().is_some_and(has)
            },
        }
    };
}

#[rustfmt::skip]
static FEATURES: &[Feature] = &[
    feature!(X86_64, "sse3", "sse3", Some("has_sse3"), 2),
    feature!(X86_64, "ssse3", "ssse3", Some("has_ssse3"), 2),
    feature!(X86_64, "sse4.1", "sse4.1", Some("has_sse41"), 2),
    feature!(X86_64, "sse4.2", "sse4.2", Some("has_sse42"), 2),
    feature!(X86_64, "popcnt", "popcnt", Some("has_popcnt"), 2),
    feature!(X86_64, "avx", "avx", Some("has_avx"), 3),
    feature!(X86_64, "avx2", "avx2", Some("has_avx2"), 3),
    feature!(X86_64, "bmi", "bmi1", Some("has_bmi1"), 3),
    feature!(X86_64, "bmi2", "bmi2", Some("has_bmi2"), 3),
    feature!(X86_64, "f16c", "f16c", None, 3),
    feature!(X86_64, "fma", "fma", Some("has_fma"), 3),
    feature!(X86_64, "lzcnt", "lzcnt", Some("has_lzcnt"), 3),
    feature!(X86_64, "movbe", "movbe", None, 3),
    feature!(X86_64, "avx512f", "avx512f", Some("has_avx512f"), 4),
    feature!(X86_64, "avx512bw", "avx512bw", None, 4),
    feature!(X86_64, "avx512cd", "avx512cd", None, 4),
    feature!(X86_64, "avx512dq", "avx512dq", Some("has_avx512dq"), 4),
    feature!(X86_64, "avx512vl", "avx512vl", Some("has_avx512vl"), 4),
    feature!(X86_64, "avx512vbmi", "avx512vbmi", Some("has_avx512vbmi"), 0),
    feature!(X86_64, "avx512vbmi2", "avx512vbmi2", None, 0),
    feature!(X86_64, "avx512vnni", "avx512vnni", None, 0),
    feature!(X86_64, "avx512bf16", "avx512bf16", None, 0),
    feature!(X86_64, "avx512bitalg", "avx512bitalg", Some("has_avx512bitalg"), 0),
    matrices!("amx-tile", |_| true),
    matrices!("amx-bf16", |found| found.bf16),
    matrices!("amx-int8", |found| found.int8),
    feature!(Aarch64, "neon", "neon", None, 0),
    feature!(Aarch64, "lse", "lse", Some("has_lse"), 0),
    feature!(Aarch64, "dotprod", "dotprod", None, 0),
    feature!(Aarch64, "bf16", "bf16", None, 0),
    feature!(Aarch64, "i8mm", "i8mm", None, 0),
];

/// CPUs that take four times as long for products of pairs of bf16 as for multiply-adds of f32: they have units for whole
/// matrices of bf16, which a virtual machine may hide.
const SLOW_DOTS: [&str; 4] = ["sapphirerapids", "emeraldrapids", "graniterapids", "graniterapids-d"];

const X86_LEVELS: [&str; 4] = ["x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4"];

impl Arch {
    pub const HOST: Arch = if cfg!(target_arch = "aarch64") { Arch::Aarch64 } else { Arch::X86_64 };

    /// Objects are ELF on every system, because the loader is ours.
    pub fn triple(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64-unknown-linux-gnu",
            Arch::Aarch64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// The CPU that has no optional feature.
    pub fn baseline(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86-64",
            Arch::Aarch64 => "generic",
        }
    }
}

impl Target {
    /// The machine that this runs on.
    pub fn host() -> Target {
        let has = |feature: &&Feature| feature.arch == Arch::HOST && (feature.detect)();
        let features = FEATURES.iter().filter(has).map(|feature| feature.name).collect();
        let tune = super::llvm::host_cpu().unwrap_or_else(|| Arch::HOST.baseline().to_string());
        Target { arch: Arch::HOST, tune, features }
    }

    /// `native`, or the name of a level: `x86-64`, `x86-64-v2`, `x86-64-v3`, `x86-64-v4`, `aarch64`.
    pub fn named(name: &str) -> Result<Target, CodegenError> {
        if name == "native" {
            return Ok(Target::host());
        }
        if name == "aarch64" {
            return Ok(Target { arch: Arch::Aarch64, tune: "generic".to_string(), features: vec!["neon"] });
        }
        let Some(level) = X86_LEVELS.iter().position(|&level| level == name) else {
            let known = X86_LEVELS.map(|level| format!("`{level}`")).join(", ");
            let message = format!("no target CPU is called `{name}`: there are `native`, {known} and `aarch64`");
            return Err(CodegenError::new(message));
        };
        let within = |feature: &&Feature| feature.level != 0 && usize::from(feature.level) <= level + 1;
        let features = FEATURES.iter().filter(within).map(|feature| feature.name).collect();
        Ok(Target { arch: Arch::X86_64, tune: name.to_string(), features })
    }

    pub fn has(&self, feature: &str) -> bool {
        self.features.contains(&feature)
    }

    /// Bytes of the widest vector that has masks or needs none: 64, 32 or 16.
    pub fn vector_bytes(&self) -> u32 {
        let avx512 = ["avx512f", "avx512bw", "avx512dq", "avx512vl"].iter().all(|feature| self.has(feature));
        match self.arch {
            Arch::X86_64 if avx512 => 64,
            Arch::X86_64 if self.has("avx2") => 32,
            _ => 16,
        }
    }

    /// What the kernel lowering may use.
    pub fn desc(&self, backend: Backend) -> TargetDesc {
        let fma = self.has_fma();
        match (backend, self.vector_bytes()) {
            (Backend::Wgsl, _) => TargetDesc::BLOCKS,
            (Backend::Cuda, _) => TargetDesc::CUDA,
            (Backend::Cranelift, _) => TargetDesc { fma, ..TargetDesc::WORDS },
            (Backend::Llvm, 64) => {
                let is_slow = self.has("amx-tile") || SLOW_DOTS.contains(&self.tune.as_str());
                let dots = self.has("avx512bf16") && !is_slow;
                let byte_dots = self.has("avx512vnni");
                let matrices = ["amx-tile", "amx-bf16", "amx-int8"].iter().all(|feature| self.has(feature));
                TargetDesc { fma, dots, byte_dots, matrices, ..TargetDesc::AVX512 }
            }
            (Backend::Llvm, 32) => TargetDesc { fma, ..TargetDesc::AVX2 },
            (Backend::Llvm, _) => TargetDesc { fma, ..TargetDesc::SSE },
        }
    }

    /// AMD's CPUs: they divide vectors in units of their own, and their stores past the caches hold up loads.
    pub fn is_zen(&self) -> bool {
        self.tune.starts_with("znver")
    }

    pub fn has_fma(&self) -> bool {
        self.arch == Arch::Aarch64 || self.has("fma")
    }

    /// The flags that Cranelift knows these features by.
    pub(super) fn cranelift_flags(&self) -> impl Iterator<Item = &'static str> {
        let mine = |feature: &&Feature| feature.arch == self.arch && self.has(feature.name);
        FEATURES.iter().filter(mine).filter_map(|feature| feature.cranelift)
    }
}

/// All that decides the code, as one line: a part of the cache's key.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tune {} features {}", self.arch.triple(), self.tune, self.features.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::DType;

    #[test]
    fn levels_have_the_vectors_they_are_known_for() {
        for (name, bytes, fma) in
            [("x86-64", 16, false), ("x86-64-v2", 16, false), ("x86-64-v3", 32, true), ("x86-64-v4", 64, true)]
        {
            let target = Target::named(name).unwrap();
            assert_eq!((target.vector_bytes(), target.has_fma()), (bytes, fma), "{name}");
        }
        assert_eq!(Target::named("aarch64").unwrap().vector_bytes(), 16);
        assert!(Target::named("z80").unwrap_err().message.contains("x86-64-v3"));
    }

    #[test]
    fn zen_is_known_by_its_name() {
        let is_zen = |tune: &str| Target { tune: tune.to_string(), ..Target::named("x86-64-v4").unwrap() }.is_zen();
        assert!(is_zen("znver4") && !is_zen("sapphirerapids") && !is_zen("x86-64-v4"));
    }

    #[test]
    fn pairs_of_bf16_are_multiplied_where_that_is_fast() {
        let named = |tune: &str| {
            let mut target = Target::named("x86-64-v4").unwrap();
            target.features.push("avx512bf16");
            target.tune = tune.to_string();
            target
        };
        let multiplies = |tune: &str, backend| named(tune).desc(backend).multiplies(DType::BF16);
        assert!(multiplies("znver5", Backend::Llvm) && !multiplies("sapphirerapids", Backend::Llvm));
        assert!(multiplies("sapphirerapids", Backend::Cranelift) && multiplies("sapphirerapids", Backend::Cuda));
        assert!(!Target::named("x86-64-v3").unwrap().desc(Backend::Llvm).multiplies(DType::F16));
    }

    #[test]
    fn the_host_has_features_of_its_own_architecture_only() {
        let target = Target::host();
        assert!(FEATURES.iter().filter(|feature| target.has(feature.name)).all(|feature| feature.arch == Arch::HOST));
        assert_eq!(Target::named("native").unwrap(), target);
    }
}
