//! A kernel as the text of a shader: declarations, control flow, statements.
//!
//! Invariant: a value of the kernel is `vN`; constants are written where they are used. Carried values are variables, and
//! all are read before any is set.

use std::fmt::Write as _;

use super::scalar::{helpers, literal};
use super::{each_op, has_narrow_stores};
use crate::codegen::{CodegenError, Unit};
use crate::graph::DType;
use crate::kernel::*;

pub fn print_kernel(unit: &Unit) -> Result<String, CodegenError> {
    let kernel = unit.kernel;
    if kernel.threads < 2 {
        return Err(CodegenError::new("a shader is made of kernels of blocks"));
    }
    let mut printer = Printer {
        kernel,
        text: String::new(),
        indent: 1,
        names: vec![None; kernel.values.len()],
        is_literal: vec![false; kernel.values.len()],
        n_temps: 0,
        may_be_wide: may_be_wide(kernel),
    };
    let head = printer.head()?;
    printer.block(&kernel.body)?;
    if printer.may_be_wide {
        printer.line("if (wide != 0u) { atomicStore(&flag[0], 1u); }");
    }
    let (body, threads, symbol) = (printer.text, kernel.threads, unit.symbol);
    let builtins = "@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32";
    let main = format!("@compute @workgroup_size({threads})\nfn {symbol}({builtins}) {{\n{body}}}\n");
    Ok(format!("{head}{}{main}", helpers(&body)))
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

pub(super) struct Printer<'a> {
    pub kernel: &'a Kernel,
    text: String,
    indent: usize,
    /// What a value is called, or its literal.
    names: Vec<Option<String>>,
    is_literal: Vec<bool>,
    n_temps: usize,
    pub may_be_wide: bool,
}

/// The type of a value.
pub(super) fn type_name(dtype: DType) -> Result<&'static str, CodegenError> {
    Ok(match dtype {
        DType::F32 | DType::F16 | DType::BF16 => "f32",
        DType::I64 | DType::I32 | DType::I8 => "i32",
        DType::U32 | DType::U8 => "u32",
        DType::Bool => "bool",
        DType::F64 => return Err(CodegenError::new("this device has no f64")),
        DType::Real => return Err(CodegenError::new("a kernel with floats of undecided precision")),
    })
}

/// The type of an element of a memory of the block or the thread.
pub(super) fn local_type(dtype: DType) -> Result<&'static str, CodegenError> {
    if dtype == DType::Bool { Ok("u32") } else { type_name(dtype) }
}

impl Printer<'_> {
    /// What comes before the functions.
    fn head(&mut self) -> Result<String, CodegenError> {
        let kernel = self.kernel;
        let mut head = format!("// {}\n", kernel.name);
        for (at, buffer) in kernel.buffers.iter().enumerate() {
            let shape: Vec<String> = buffer.shape.iter().map(|dim| dim.to_string()).collect();
            let word = if has_narrow_stores(kernel, at) { "atomic<u32>" } else { "u32" };
            let comment = format!("// {}: {}[{}]", buffer.name, buffer.dtype, shape.join(", "));
            let _ = writeln!(head, "@group(0) @binding({at}) var<storage, read_write> b{at}: array<{word}>; {comment}");
        }
        let mut binding = kernel.buffers.len();
        if self.may_be_wide {
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

    pub fn line(&mut self, text: &str) {
        let indent = self.indent * 2;
        let _ = writeln!(self.text, "{:indent$}{text}", "");
    }

    /// A name for something that the kernel has no name for.
    pub fn temp(&mut self, text: &str) -> String {
        let name = format!("t{}", self.next_temp());
        self.line(&format!("let {name} = {text};"));
        name
    }

    pub fn next_temp(&mut self) -> usize {
        self.n_temps += 1;
        self.n_temps
    }

    pub fn name(&self, value: Value) -> String {
        self.names[value.0 as usize].clone().unwrap_or_else(|| format!("v{}", value.0))
    }

    /// Whether a constant stands for the value, which an overflow in constant arithmetic would make an error.
    pub fn is_literal(&self, value: Value) -> bool {
        self.is_literal[value.0 as usize]
    }

    pub fn dtype(&self, value: Value) -> DType {
        self.kernel.type_of(value).dtype
    }

    fn block(&mut self, block: &Block) -> Result<(), CodegenError> {
        block.stmts.iter().try_for_each(|stmt| self.stmt(stmt))
    }

    fn inner(&mut self, block: &Block) -> Result<(), CodegenError> {
        self.indent += 1;
        self.block(block)?;
        self.indent -= 1;
        Ok(())
    }

    fn stmt(&mut self, stmt: &Stmt) -> Result<(), CodegenError> {
        match (&stmt.op, stmt.results.as_slice()) {
            (Op::Loop(inner), results) => self.loop_stmt(inner, results),
            (Op::If(inner), results) => self.if_stmt(inner, results),
            (Op::StoreAt(place, value), []) => self.store(place, *value),
            (Op::PrefetchAt(_), []) => Ok(()),
            (Op::Barrier, []) => {
                self.line("storageBarrier();");
                self.line("workgroupBarrier();");
                Ok(())
            }
            (Op::Const(constant), &[result]) => {
                self.names[result.0 as usize] = Some(literal(*constant, self.dtype(result))?);
                self.is_literal[result.0 as usize] = true;
                Ok(())
            }
            (Op::Argument(argument), &[result]) => {
                self.names[result.0 as usize] = Some(match argument {
                    Argument::Begin => "begin".to_string(),
                    Argument::End => "end".to_string(),
                    Argument::Thread => "thread".to_string(),
                    Argument::Size(at) => format!("s{at}"),
                });
                Ok(())
            }
            (op, &[result]) => {
                let dtype = self.dtype(result);
                let text = match op {
                    Op::LoadAt(place) => self.load(place, dtype)?,
                    op => self.expression(op, dtype)?,
                };
                self.line(&format!("let v{} = {text};", result.0));
                Ok(())
            }
            (op, _) => Err(CodegenError::new(format!("no shader has {op:?}"))),
        }
    }

    fn loop_stmt(&mut self, inner: &Loop, results: &[Value]) -> Result<(), CodegenError> {
        let index = format!("v{}", inner.index.0);
        for (&param, &init) in inner.params.iter().zip(&inner.inits) {
            let (ty, init) = (type_name(self.dtype(param))?, self.name(init));
            self.line(&format!("var v{}: {ty} = {init};", param.0));
        }
        let (start, end) = (self.name(inner.start), self.name(inner.end));
        self.line(&format!("for (var {index}: i32 = {start}; {index} < {end}; {index} += {}) {{", inner.step));
        self.inner(&inner.body)?;
        self.indent += 1;
        let next: Vec<String> = inner.body.yields.iter().map(|&value| self.name(value)).collect();
        // Of several, one may be what another was.
        let next: Vec<String> = match next.len() {
            0 | 1 => next,
            _ => next.iter().map(|name| self.temp(name)).collect(),
        };
        for (&param, next) in inner.params.iter().zip(next) {
            self.line(&format!("v{} = {next};", param.0));
        }
        self.indent -= 1;
        self.line("}");
        for (&result, &param) in results.iter().zip(&inner.params) {
            self.names[result.0 as usize] = Some(format!("v{}", param.0));
        }
        Ok(())
    }

    fn if_stmt(&mut self, inner: &If, results: &[Value]) -> Result<(), CodegenError> {
        let Condition::Value(condition) = inner.condition else {
            return Err(CodegenError::new("guards are gone at the loop level"));
        };
        for &result in results {
            let ty = type_name(self.dtype(result))?;
            self.line(&format!("var v{}: {ty};", result.0));
        }
        let condition = self.name(condition);
        self.line(&format!("if ({condition}) {{"));
        self.branch(&inner.then, results)?;
        if !inner.otherwise.stmts.is_empty() || !results.is_empty() {
            self.line("} else {");
            self.branch(&inner.otherwise, results)?;
        }
        self.line("}");
        Ok(())
    }

    fn branch(&mut self, block: &Block, results: &[Value]) -> Result<(), CodegenError> {
        self.inner(block)?;
        self.indent += 1;
        for (&result, &value) in results.iter().zip(&block.yields) {
            let value = self.name(value);
            self.line(&format!("v{} = {value};", result.0));
        }
        self.indent -= 1;
        Ok(())
    }
}

fn n_elements(local: &Local) -> u64 {
    Type::new(local.dtype, local.shape.clone()).n_elements().max(1)
}
