//! A kernel as CUDA C++: the head, and how the language spells the rest.
//!
//! Invariant: what the names of values and control flow are is said in `codegen::source`.

use std::fmt::Write as _;

use super::scalar;
use crate::codegen::source::{self, Dialect, described, n_elements};
use crate::codegen::{CodegenError, Unit};
use crate::graph::DType;
use crate::kernel::mma::MmaDef;
use crate::kernel::{Literal, Op, Place, Rights, Scope, Value};

#[derive(Default)]
pub(super) struct Cuda;
pub(super) type Printer<'a> = source::Printer<'a, Cuda>;

pub fn print_kernel(unit: &Unit) -> Result<String, CodegenError> {
    let kernel = unit.kernel;
    if kernel.threads < 2 {
        return Err(CodegenError::new("CUDA runs kernels of blocks"));
    }
    let mut printer = Printer::new(kernel);
    printer.head(unit.symbol)?;
    printer.block(&kernel.body)?;
    printer.text.push_str("}\n");
    Ok(printer.text)
}

impl Dialect for Cuda {
    const LACKS: &str = "CUDA has no";
    const BARRIER: &[&str] = &["__syncthreads();"];
    const UNROLL: Option<[&str; 3]> = Some(["#pragma unroll", "#pragma unroll 1", "#pragma unroll 4"]);

    fn type_name(dtype: DType) -> Result<&'static str, CodegenError> {
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

    fn literal(literal: Literal, dtype: DType) -> Result<String, CodegenError> {
        scalar::literal(literal, dtype)
    }

    fn constant(dtype: DType, name: &str, value: &str) -> Result<String, CodegenError> {
        Ok(format!("const {} {name} = {value};", Cuda::type_name(dtype)?))
    }

    fn variable(dtype: DType, name: &str, value: Option<&str>) -> Result<String, CodegenError> {
        let value = value.map(|value| format!(" = {value}")).unwrap_or_default();
        Ok(format!("{} {name}{value};", Cuda::type_name(dtype)?))
    }

    fn load(printer: &mut Printer, place: &Place, dtype: DType) -> Result<String, CodegenError> {
        Ok(printer.load(place, dtype))
    }

    fn store(printer: &mut Printer, place: &Place, value: Value) -> Result<(), CodegenError> {
        printer.store(place, value);
        Ok(())
    }

    fn mma(of: DType, results: &[String], operands: &[String]) -> Result<String, CodegenError> {
        let def = MmaDef::find(of).ok_or_else(|| source::lacks::<Cuda>(format!("matrix product of {of}")))?;
        let values = [results, operands].concat().join(", ");
        Ok(format!("mma_{}_{of}({values});", def.shape))
    }

    fn expression(printer: &mut Printer, op: &Op, dtype: DType) -> Result<String, CodegenError> {
        printer.expression(op, dtype)
    }
}

/// The type of an element of memory.
pub(super) fn memory_type(dtype: DType) -> Result<&'static str, CodegenError> {
    if dtype == DType::Bool { Ok("u8") } else { Cuda::type_name(dtype) }
}

impl Printer<'_> {
    fn head(&mut self, symbol: &str) -> Result<(), CodegenError> {
        let kernel = self.kernel;
        let mut params = Vec::new();
        for (at, buffer) in kernel.buffers.iter().enumerate() {
            let _ = writeln!(self.text, "// b{at} {}", described(buffer));
            let constant = if buffer.rights == Rights::Read { "const " } else { "" };
            params.push(format!("{constant}{}* __restrict__ b{at}", memory_type(buffer.dtype)?));
        }
        params.extend(["i64 items".to_string(), "i64 per_block".to_string()]);
        for (at, size) in kernel.sizes.iter().enumerate() {
            let _ = writeln!(self.text, "// s{at} {}", size.symbol);
            params.push(format!("i64 s{at}"));
        }
        // With one block to count on, the compiler takes the registers it needs, and spills none to make room for more.
        let bounds = format!("__launch_bounds__({}, 1)", kernel.threads);
        let _ = writeln!(self.text, "extern \"C\" __global__ void {bounds} {symbol}({}) {{", params.join(", "));
        for (at, local) in kernel.locals.iter().enumerate() {
            let scope = if local.scope == Scope::Shared { "__shared__ " } else { "" };
            let (ty, len) = (memory_type(local.dtype)?, n_elements(local));
            self.line(&format!("{scope}{ty} l{at}[{len}]; // {}", local.name));
        }
        self.line("const i64 thread = threadIdx.x;");
        self.line("const i64 begin = smaller(blockIdx.x * per_block, items);");
        self.line("const i64 end = smaller(begin + per_block, items);");
        Ok(())
    }
}
