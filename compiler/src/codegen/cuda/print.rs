//! A kernel as CUDA C++: the head, control flow, statements.
//!
//! Invariant: a value of the kernel is `vN`; constants are written where they are used. Carried values are variables, and
//! all are read before any is set.

use std::fmt::Write as _;

use super::scalar::literal;
use crate::codegen::{CodegenError, Unit};
use crate::graph::DType;
use crate::kernel::*;

pub fn print_kernel(unit: &Unit) -> Result<String, CodegenError> {
    let kernel = unit.kernel;
    if kernel.threads < 2 {
        return Err(CodegenError::new("CUDA runs kernels of blocks"));
    }
    let names = vec![None; kernel.values.len()];
    let mut printer = Printer { kernel, text: String::new(), indent: 1, names, n_temps: 0 };
    printer.head(unit.symbol)?;
    printer.block(&kernel.body)?;
    printer.text.push_str("}\n");
    Ok(printer.text)
}

pub(super) struct Printer<'a> {
    pub kernel: &'a Kernel,
    text: String,
    indent: usize,
    /// What a value is called, or its literal.
    names: Vec<Option<String>>,
    n_temps: usize,
}

/// The type of a value.
pub(super) fn type_name(dtype: DType) -> Result<&'static str, CodegenError> {
    Ok(match dtype {
        DType::F32 => "float",
        DType::F16 | DType::BF16 => "u16",
        DType::I64 => "i64",
        DType::I32 => "int",
        DType::U32 => "u32",
        DType::I8 => "i8",
        DType::U8 => "u8",
        DType::Bool => "bool",
        DType::F64 => "double",
        DType::Real => return Err(CodegenError::new("a kernel with floats of undecided precision")),
    })
}

/// The type of an element of memory.
pub(super) fn memory_type(dtype: DType) -> Result<&'static str, CodegenError> {
    if dtype == DType::Bool { Ok("u8") } else { type_name(dtype) }
}

impl Printer<'_> {
    fn head(&mut self, symbol: &str) -> Result<(), CodegenError> {
        let kernel = self.kernel;
        let mut params = Vec::new();
        for (at, buffer) in kernel.buffers.iter().enumerate() {
            let shape: Vec<String> = buffer.shape.iter().map(|dim| dim.to_string()).collect();
            let _ = writeln!(self.text, "// b{at} {}: {}[{}]", buffer.name, buffer.dtype, shape.join(", "));
            let constant = if buffer.rights == Rights::Read { "const " } else { "" };
            params.push(format!("{constant}{}* __restrict__ b{at}", memory_type(buffer.dtype)?));
        }
        params.extend(["i64 items".to_string(), "i64 per_block".to_string()]);
        for (at, size) in kernel.sizes.iter().enumerate() {
            let _ = writeln!(self.text, "// s{at} {}", size.symbol);
            params.push(format!("i64 s{at}"));
        }
        let bounds = format!("__launch_bounds__({})", kernel.threads);
        let _ = writeln!(self.text, "extern \"C\" __global__ void {bounds} {symbol}({}) {{", params.join(", "));
        for (at, local) in kernel.locals.iter().enumerate() {
            let scope = if local.scope == Scope::Shared { "__shared__ " } else { "" };
            let len = Type::new(local.dtype, local.shape.clone()).n_elements().max(1);
            self.line(&format!("{scope}{} l{at}[{len}]; // {}", memory_type(local.dtype)?, local.name));
        }
        self.line("const i64 thread = threadIdx.x;");
        self.line("const i64 begin = smaller(blockIdx.x * per_block, items);");
        self.line("const i64 end = smaller(begin + per_block, items);");
        Ok(())
    }

    pub fn line(&mut self, text: &str) {
        let indent = self.indent * 2;
        let _ = writeln!(self.text, "{:indent$}{text}", "");
    }

    pub fn name(&self, value: Value) -> String {
        self.names[value.0 as usize].clone().unwrap_or_else(|| format!("v{}", value.0))
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
                self.line("__syncthreads();");
                Ok(())
            }
            (Op::Const(constant), &[result]) => {
                self.names[result.0 as usize] = Some(literal(*constant, self.dtype(result))?);
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
                    Op::LoadAt(place) => self.load(place, dtype),
                    op => self.expression(op, dtype)?,
                };
                self.line(&format!("const {} v{} = {text};", type_name(dtype)?, result.0));
                Ok(())
            }
            (op, _) => Err(CodegenError::new(format!("CUDA has no {op:?}"))),
        }
    }

    fn loop_stmt(&mut self, inner: &Loop, results: &[Value]) -> Result<(), CodegenError> {
        let index = format!("v{}", inner.index.0);
        for (&param, &init) in inner.params.iter().zip(&inner.inits) {
            let (ty, init) = (type_name(self.dtype(param))?, self.name(init));
            self.line(&format!("{ty} v{} = {init};", param.0));
        }
        let (start, end) = (self.name(inner.start), self.name(inner.end));
        if inner.unroll {
            self.line("#pragma unroll");
        }
        self.line(&format!("for (i64 {index} = {start}; {index} < {end}; {index} += {}) {{", inner.step));
        self.inner(&inner.body)?;
        self.indent += 1;
        let mut next: Vec<String> = inner.body.yields.iter().map(|&value| self.name(value)).collect();
        // Of several, one may be what another was.
        if next.len() > 1 {
            for (name, &param) in next.iter_mut().zip(&inner.params) {
                let ty = type_name(self.kernel.type_of(param).dtype)?;
                self.n_temps += 1;
                let temp = format!("t{}", self.n_temps);
                self.line(&format!("const {ty} {temp} = {name};"));
                *name = temp;
            }
        }
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
            self.line(&format!("{ty} v{};", result.0));
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
