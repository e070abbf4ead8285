//! The LLVM backend: kernels are printed as LLVM's assembly text, which LLVM parses, verifies and makes an object of.
//!
//! Invariant: the text is the same for every supported version of LLVM (19 and later; older spellings of an intrinsic are
//! upgraded by the parser), and no pass over LLVM's IR runs: what the kernel says is what is generated.
//!
//! Each kernel is two functions. The outer one has the ABI that the runtime calls; it loads buffer addresses and sizes
//! and passes them to the inner one as parameters, where `noalias` and `readonly` can say what the kernel promises.

mod cast;
#[cfg(feature = "inkwell")]
mod emit;
mod matrix;
mod memory;
mod narrow;
mod pointers;
mod print;
mod reduce;
mod saturate;
mod scalar;

use std::fmt::Write as _;

use super::{CodegenError, Target, Unit};
use crate::graph::Scalar;

/// The one intrinsic whose signature has changed: declared as it was, so that newer versions know what to make of it.
const BYTE_DOT: &str = "llvm.x86.avx512.vpdpbusd.512";

/// The text of a module that defines every unit.
pub fn print(units: &[Unit], target: &Target) -> Result<String, CodegenError> {
    let mut text = format!("target triple = \"{}\"\n", target.arch.triple());
    let mut calls = Vec::new();
    for unit in units {
        let printed = print::print_kernel(unit, target).map_err(|error| error.in_kernel(&unit.kernel.name))?;
        text += &printed.text;
        calls.extend(printed.calls);
    }
    calls.sort();
    calls.dedup();
    text += &declarations(&calls);
    if text.contains(BYTE_DOT) {
        let _ = writeln!(text, "declare <16 x i32> @{BYTE_DOT}(<16 x i32>, <16 x i32>, <16 x i32>)");
    }
    text += &attributes(target);
    Ok(text)
}

/// Host functions; intrinsics need no declaration.
fn declarations(calls: &[Scalar]) -> String {
    let mut text = String::new();
    for scalar in calls {
        let params = vec!["double"; scalar.def().arity].join(", ");
        let _ = writeln!(text, "declare double @{}({params}) #1", scalar.name());
    }
    text
}

fn attributes(target: &Target) -> String {
    let features: Vec<String> = target.features.iter().map(|feature| format!("+{feature}")).collect();
    let bits = target.vector_bytes() * 8;
    let facts = [
        ("target-cpu", target.arch.baseline().to_string()),
        ("tune-cpu", target.tune.clone()),
        ("target-features", features.join(",")),
        ("prefer-vector-width", bits.to_string()),
        ("min-legal-vector-width", bits.to_string()),
        ("probe-stack", "inline-asm".to_string()),
    ];
    let facts: String = facts.iter().map(|(name, value)| format!(" \"{name}\"=\"{value}\"")).collect();
    format!("attributes #0 = {{ nounwind{facts} }}\nattributes #1 = {{ nounwind nobuiltin }}\n")
}

#[cfg(feature = "inkwell")]
pub fn compile(units: &[Unit], target: &Target) -> Result<Vec<u8>, CodegenError> {
    let text = print(units, target)?;
    emit::object(&text, target).map_err(|error| error.with_dump(text))
}

#[cfg(not(feature = "inkwell"))]
pub fn compile(_: &[Unit], _: &Target) -> Result<Vec<u8>, CodegenError> {
    Err(CodegenError::new("this build has no LLVM: use the backend `cranelift`"))
}

/// LLVM's name for the CPU of this machine.
pub(super) fn host_cpu() -> Option<String> {
    #[cfg(feature = "inkwell")]
    return Some(emit::host_cpu());
    #[cfg(not(feature = "inkwell"))]
    None
}

pub fn version() -> String {
    #[cfg(feature = "inkwell")]
    return emit::version();
    #[cfg(not(feature = "inkwell"))]
    "none".to_string()
}
