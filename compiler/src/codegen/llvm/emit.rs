//! Text to object, by LLVM.
//!
//! Invariant: each call has a context of its own, so threads share nothing; whatever LLVM refuses is an error value.

use std::ffi::CStr;
use std::sync::Once;

use inkwell::OptimizationLevel;
use inkwell::context::Context;
use inkwell::llvm_sys::support::LLVMParseCommandLineOptions;
use inkwell::memory_buffer::MemoryBuffer;
use inkwell::targets::{CodeModel, FileType, InitializationConfig, RelocMode, TargetMachine, TargetTriple};

use crate::codegen::{Arch, CodegenError, Target};

pub fn object(text: &str, target: &Target) -> Result<Vec<u8>, CodegenError> {
    let machine = machine(target)?;
    let context = Context::create();
    let buffer = MemoryBuffer::create_from_memory_range_copy(text.as_bytes(), "kernels");
    let module = context.create_module_from_ir(buffer).map_err(|error| refused("parse", &error))?;
    module.verify().map_err(|error| refused("verify", &error))?;
    module.set_data_layout(&machine.get_target_data().get_data_layout());
    let object = machine.write_to_memory_buffer(&module, FileType::Object);
    Ok(object.map_err(|error| refused("generate code for", &error))?.as_slice().to_vec())
}

fn machine(target: &Target) -> Result<TargetMachine, CodegenError> {
    initialize();
    let triple = TargetTriple::create(target.arch.triple());
    let found =
        inkwell::targets::Target::from_triple(&triple).map_err(|error| refused("find the target of", &error))?;
    // CPU and features are attributes of each function.
    let machine = found.create_target_machine(
        &triple,
        target.arch.baseline(),
        "",
        OptimizationLevel::Default,
        RelocMode::PIC,
        CodeModel::Default,
    );
    machine.ok_or_else(|| CodegenError::new(format!("LLVM cannot generate code for {}", target.arch.triple())))
}

fn refused(what: &str, error: &inkwell::support::LLVMString) -> CodegenError {
    CodegenError::new(format!("LLVM cannot {what} this module: {}", error.to_string_lossy()))
}

fn initialize() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let config = InitializationConfig { asm_parser: false, disassembler: false, ..InitializationConfig::default() };
        // A system without a native target shows later, as a target that is not found.
        let _ = inkwell::targets::Target::initialize_native(&config);
        parse_options();
    });
}

/// Constants of a polynomial that LLVM has moved out of a loop would take the registers of the sums in the next one. Its
/// search for what a loop should count takes most of its time, and finds no more than `Pointers` says.
const OPTIONS: [&CStr; 3] = [c"tilewright", c"-sink-insts-to-avoid-spills", c"-disable-lsr"];

fn parse_options() {
    let arguments = OPTIONS.map(CStr::as_ptr);
    // SAFETY: the pointers are to texts that live as long as the process, as many as is said; it runs once, before
    // anything that reads the options.
    unsafe { LLVMParseCommandLineOptions(arguments.len() as i32, arguments.as_ptr(), std::ptr::null()) };
}

pub fn host_cpu() -> String {
    let name = TargetMachine::get_host_cpu_name().to_string_lossy().into_owned();
    if name.is_empty() { Arch::HOST.baseline().to_string() } else { name }
}

pub fn version() -> String {
    let (major, minor, patch) = inkwell::support::get_llvm_version();
    format!("{major}.{minor}.{patch}")
}
