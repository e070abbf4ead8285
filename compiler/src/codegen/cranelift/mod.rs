//! The Cranelift backend: every build has it. Vectors are 128 bits: four lanes of f32, i32 or u32.
//!
//! Invariant: masks are all-ones and all-zeros lanes of i32, a bool scalar is 0 or 1 in an i8, and f16 and bf16 are
//! 16-bit integers until they are cast. Wider vectors and masked accesses are errors: lowering does not make them for
//! this target.

mod cast;
mod function;
mod memory;
mod scalar;

use cranelift_codegen::ir::{AbiParam, Signature, types};
use cranelift_codegen::isa::{self, OwnedTargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use cranelift_frontend::FunctionBuilderContext;
use cranelift_module::{Linkage, Module, default_libcall_names};
use cranelift_object::{ObjectBuilder, ObjectModule};

use super::{CodegenError, Target, Unit};

/// Lanes of every vector.
pub const LANES: u64 = 4;

const SETTINGS: &[(&str, &str)] = &[
    // The optimiser hoists loads out of loops with many accumulators, which then spill.
    ("opt_level", "none"),
    ("is_pic", "true"),
    ("unwind_info", "false"),
    ("probestack_strategy", "inline"),
];

pub fn compile(units: &[Unit], target: &Target) -> Result<Vec<u8>, CodegenError> {
    let builder = ObjectBuilder::new(isa(target)?, "kernels", default_libcall_names()).map_err(|e| refused(&e))?;
    let mut module = ObjectModule::new(builder);
    let mut scratch = FunctionBuilderContext::new();
    for unit in units {
        define(&mut module, &mut scratch, unit).map_err(|error| error.in_kernel(&unit.kernel.name))?;
    }
    module.finish().emit().map_err(|error| refused(&error))
}

/// The functions as Cranelift writes them, before its own lowering.
pub fn print(units: &[Unit], target: &Target) -> Result<String, CodegenError> {
    let builder = ObjectBuilder::new(isa(target)?, "kernels", default_libcall_names()).map_err(|e| refused(&e))?;
    let mut module = ObjectModule::new(builder);
    let mut scratch = FunctionBuilderContext::new();
    let mut text = String::new();
    for unit in units {
        let mut context = module.make_context();
        context.func.signature = signature(&module);
        function::print_kernel(&mut module, &mut context.func, &mut scratch, unit.kernel)
            .map_err(|error| error.in_kernel(&unit.kernel.name))?;
        text += &format!("; {}\n{}\n", unit.symbol, context.func.display());
    }
    Ok(text)
}

fn define(module: &mut ObjectModule, scratch: &mut FunctionBuilderContext, unit: &Unit) -> Result<(), CodegenError> {
    let mut context = module.make_context();
    context.func.signature = signature(module);
    let id = module.declare_function(unit.symbol, Linkage::Export, &context.func.signature);
    let id = id.map_err(|error| refused(&error))?;
    function::print_kernel(module, &mut context.func, scratch, unit.kernel)?;
    let defined = module.define_function(id, &mut context);
    defined.map_err(|error| refused(&error).with_dump(context.func.display().to_string()))
}

/// Buffers, sizes, begin, end: see `runtime::device::cpu::KernelFn`.
fn signature(module: &ObjectModule) -> Signature {
    let mut signature = module.make_signature();
    signature.params = vec![AbiParam::new(types::I64); 4];
    signature
}

fn isa(target: &Target) -> Result<OwnedTargetIsa, CodegenError> {
    let mut flags = settings::builder();
    for (name, value) in SETTINGS {
        flags.set(name, value).map_err(|error| refused(&error))?;
    }
    let mut builder = isa::lookup_by_name(target.arch.triple()).map_err(|error| refused(&error))?;
    for flag in target.cranelift_flags() {
        builder.enable(flag).map_err(|error| refused(&error))?;
    }
    builder.finish(settings::Flags::new(flags)).map_err(|error| refused(&error))
}

fn refused(error: &dyn std::fmt::Debug) -> CodegenError {
    CodegenError::new(format!("Cranelift refused: {error:?}"))
}

pub fn version() -> String {
    let settings: Vec<String> = SETTINGS.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{} {}", cranelift_codegen::VERSION, settings.join(" "))
}
