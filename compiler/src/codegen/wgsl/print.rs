//! A kernel as the text of a shader: declarations, and how the language spells the rest.
//!
//! Invariant: what the names of values and control flow are is said in `codegen::source`.

use std::fmt::Write as _;

use super::scalar::{self, helpers};
use super::{each_op, has_narrow_stores, wide};
use crate::codegen::source::{self, Dialect, described, n_elements};
use crate::codegen::{CodegenError, Unit};
use crate::graph::DType;
use crate::kernel::{Kernel, Literal, Memory, Op, Place, Scope, Value};

#[derive(Default)]
pub(super) struct Wgsl {
    /// By value: see [`wide::data`].
    pub data: Vec<bool>,
}
pub(super) type Printer<'a> = source::Printer<'a, Wgsl>;

pub fn print_kernel(unit: &Unit) -> Result<String, CodegenError> {
    let kernel = unit.kernel;
    if kernel.threads < 2 {
        return Err(CodegenError::new("a shader is made of kernels of blocks"));
    }
    let mut printer = Printer::new(kernel);
    printer.dialect.data = wide::data(kernel);
    let may_be_wide = may_be_wide(kernel) || wide::computes(&kernel.body, &printer.dialect.data);
    let head = printer.head(may_be_wide)?;
    printer.block(&kernel.body)?;
    if may_be_wide {
        printer.line("if (wide != 0u) { atomicStore(&flag[0], 1u); }");
    }
    let (body, threads, symbol) = (printer.text, kernel.threads, unit.symbol);
    let builtins = "@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32";
    let main = format!("@compute @workgroup_size({threads})\nfn {symbol}({builtins}) {{\n{body}}}\n");
    Ok(format!("{head}{}{main}", helpers(&body)))
}

impl Dialect for Wgsl {
    const LACKS: &str = "no shader has";
    const BARRIER: &[&str] = &["storageBarrier();", "workgroupBarrier();"];
    const UNROLL: Option<[&str; 3]> = None;

    fn type_name(dtype: DType) -> Result<&'static str, CodegenError> {
        Ok(match dtype {
            DType::F32 | DType::F16 | DType::BF16 => "f32",
            DType::I64 | DType::I32 | DType::I8 => "i32",
            DType::U32 | DType::U8 => "u32",
            DType::Bool => "bool",
            DType::F64 => return Err(CodegenError::new("this device has no f64")),
            DType::Real => return Err(CodegenError::new("a kernel with floats of undecided precision")),
        })
    }

    fn literal(literal: Literal, dtype: DType) -> Result<String, CodegenError> {
        scalar::literal(literal, dtype)
    }

    fn constant(_: DType, name: &str, value: &str) -> Result<String, CodegenError> {
        Ok(format!("let {name} = {value};"))
    }

    fn variable(dtype: DType, name: &str, value: Option<&str>) -> Result<String, CodegenError> {
        let value = value.map(|value| format!(" = {value}")).unwrap_or_default();
        Ok(format!("var {name}: {}{value};", Wgsl::type_name(dtype)?))
    }

    fn load(printer: &mut Printer, place: &Place, dtype: DType) -> Result<String, CodegenError> {
        printer.load(place, dtype)
    }

    fn store(printer: &mut Printer, place: &Place, value: Value) -> Result<(), CodegenError> {
        printer.store(place, value)
    }

    fn mma(of: DType, _: &[String], _: &[String]) -> Result<String, CodegenError> {
        Err(source::lacks::<Wgsl>(format!("matrix product of {of} by warps")))
    }

    fn expression(printer: &mut Printer, op: &Op, dtype: DType) -> Result<String, CodegenError> {
        printer.expression(op, dtype)
    }
}

/// Whether a number of 64 bits may be met that does not fit 32.
fn may_be_wide(kernel: &Kernel) -> bool {
    let mut found = false;
    each_op(&kernel.body, &mut |op| match op {
        Op::LoadAt(place) => found |= kernel.memory_dtype(place.memory) == DType::I64 && is_buffer(place.memory),
        Op::Cast(a) => found |= matches!(kernel.type_of(*a).dtype, DType::U32 | DType::F32),
        _ => {}
    });
    found
}

pub(super) fn is_buffer(memory: Memory) -> bool {
    matches!(memory, Memory::Buffer(_))
}

/// The type of an element of a memory of the block or the thread.
pub(super) fn local_type(dtype: DType) -> Result<&'static str, CodegenError> {
    if dtype == DType::Bool { Ok("u32") } else { Wgsl::type_name(dtype) }
}

impl Printer<'_> {
    /// What comes before the functions.
    fn head(&mut self, may_be_wide: bool) -> Result<String, CodegenError> {
        let kernel = self.kernel;
        let mut head = format!("// {}\n", kernel.name);
        for (at, buffer) in kernel.buffers.iter().enumerate() {
            let word = if has_narrow_stores(kernel, at) { "atomic<u32>" } else { "u32" };
            let (binding, buffer) = (format!("@group(0) @binding({at})"), described(buffer));
            let _ = writeln!(head, "{binding} var<storage, read_write> b{at}: array<{word}>; // {buffer}");
        }
        let mut binding = kernel.buffers.len();
        if may_be_wide {
            let _ = writeln!(head, "@group(0) @binding({binding}) var<storage, read_write> flag: array<atomic<u32>>;");
            let _ = writeln!(head, "var<private> wide: u32 = 0u;");
            binding += 1;
        }
        let n_words = 2 + kernel.buffers.len() + kernel.sizes.len();
        let n_vectors = n_words.div_ceil(4);
        let _ = writeln!(head, "@group(0) @binding({binding}) var<uniform> call: array<vec4<i32>, {n_vectors}>;");
        for (at, local) in kernel.locals.iter().enumerate().filter(|(_, local)| local.scope == Scope::Shared) {
            let (ty, len) = (local_type(local.dtype)?, n_elements(local));
            let _ = writeln!(head, "var<workgroup> l{at}: array<{ty}, {len}>; // {}", local.name);
        }
        self.prologue()?;
        Ok(head)
    }

    fn prologue(&mut self) -> Result<(), CodegenError> {
        let kernel = self.kernel;
        self.line("let thread = i32(local);");
        self.line("let begin = min(i32(group.x) * call[0][1], call[0][0]);");
        self.line("let end = min(begin + call[0][1], call[0][0]);");
        let named = (0..kernel.buffers.len()).map(|at| format!("o{at}"));
        let named = named.chain((0..kernel.sizes.len()).map(|at| format!("s{at}")));
        for (at, name) in named.enumerate() {
            let word = at + 2;
            let comment = match at.checked_sub(kernel.buffers.len()) {
                Some(size) => format!(" // {}", kernel.sizes[size].symbol),
                None => String::new(),
            };
            self.line(&format!("let {name} = call[{}][{}];{comment}", word / 4, word % 4));
        }
        for (at, local) in kernel.locals.iter().enumerate().filter(|(_, local)| local.scope == Scope::Local) {
            let (ty, len) = (local_type(local.dtype)?, n_elements(local));
            self.line(&format!("var l{at}: array<{ty}, {len}>; // {}", local.name));
        }
        Ok(())
    }

    /// What the text stands for, by a name.
    pub(super) fn temp(&mut self, text: &str) -> String {
        let name = self.next_temp();
        self.line(&format!("let {name} = {text};"));
        name
    }
}
