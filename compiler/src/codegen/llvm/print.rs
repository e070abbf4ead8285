//! A kernel as LLVM text: its functions, blocks and statements.
//!
//! Invariant: value `n` of the kernel is `%vn`, unless it is a literal or an argument, which are written where they are
//! used; `here` is always the label of the block that is being written.

use std::fmt::Write as _;

use tilewright_runtime::program::{to_bf16, to_f16};

use super::pointers::Pointers;
use crate::codegen::{CodegenError, Target, Unit};
use crate::graph::{DType, Scalar};
use crate::kernel::{
    Argument, Block, Condition, If, Kernel, Literal, Local, Loop, MAX_LOCAL_BYTES, Memory, Op, Rights, Stmt, Type,
    Value,
};

/// The inner functions of a kernel: the second one of those that stream.
const PLAIN: &str = "inner";
const STREAMING: &str = "streaming";
/// Bytes of a line of the caches.
const LINE: i64 = 64;

pub struct Printed {
    pub text: String,
    /// Host functions that the kernel calls.
    pub calls: Vec<Scalar>,
}

pub struct Printer<'a> {
    pub kernel: &'a Kernel,
    pub target: &'a Target,
    pub text: String,
    /// Values that are written where they are used.
    inlined: Vec<Option<String>>,
    /// Literals among them that are scalar integers.
    known: Vec<Option<i64>>,
    pub pointers: Pointers<'a>,
    here: String,
    n_temps: usize,
    n_labels: usize,
    calls: Vec<Scalar>,
    /// Whether the stores that may stream do.
    pub streams: bool,
    pub symbol: &'a str,
    /// Shapes of registers of matrices, as text of their bytes.
    pub shapes: Vec<String>,
}

pub fn print_kernel(unit: &Unit, target: &Target) -> Result<Printed, CodegenError> {
    let kernel = unit.kernel;
    let n_values = kernel.values.len();
    let mut printer = Printer {
        kernel,
        target,
        text: String::new(),
        inlined: vec![None; n_values],
        known: vec![None; n_values],
        pointers: Pointers::of(kernel),
        here: "entry".to_string(),
        n_temps: 0,
        n_labels: 0,
        calls: Vec::new(),
        streams: false,
        symbol: unit.symbol,
        shapes: Vec::new(),
    };
    printer.outer_function(unit.symbol);
    printer.inner_function(unit.symbol, PLAIN)?;
    if kernel.buffers.iter().any(|buffer| buffer.streamed) {
        printer.inner_function(unit.symbol, STREAMING)?;
    }
    printer.shape_constants();
    Ok(Printed { text: printer.text, calls: printer.calls })
}

/// A block label, and the values that the loop or `if` gets from it.
type Edge<'a> = (String, &'a [Value]);

impl Printer<'_> {
    fn outer_function(&mut self, symbol: &str) {
        let mut params = Vec::new();
        self.line(format_args!("define void @\"{symbol}\"(ptr %args, ptr %sizes, i64 %begin, i64 %end) #0 {{"));
        for idx in 0..self.kernel.buffers.len() {
            self.line(format_args!("  %a{idx} = getelementptr ptr, ptr %args, i64 {idx}"));
            self.line(format_args!("  %b{idx} = load ptr, ptr %a{idx}, align 8"));
            params.push(format!("ptr %b{idx}"));
        }
        for idx in 0..self.kernel.sizes.len() {
            self.line(format_args!("  %z{idx} = getelementptr i64, ptr %sizes, i64 {idx}"));
            self.line(format_args!("  %s{idx} = load i64, ptr %z{idx}, align 8"));
            params.push(format!("i64 %s{idx}"));
        }
        params.extend(["i64 %begin".to_string(), "i64 %end".to_string()]);
        let inner = |variant: &str| format!("  call void @\"{symbol}.{variant}\"({})\n", params.join(", "));
        let Some(aligned) = self.streams_can_begin() else {
            self.line(format_args!("{}  ret void\n}}", inner(PLAIN)));
            return;
        };
        // Other threads see what has streamed only after a fence.
        self.line(format_args!("  br i1 {aligned}, label %stream, label %plain"));
        self.line(format_args!("stream:\n{}  fence seq_cst\n  ret void", inner(STREAMING)));
        self.line(format_args!("plain:\n{}  ret void\n}}", inner(PLAIN)));
    }

    /// Whether all memory that is streamed begins with a line, where there is such memory.
    fn streams_can_begin(&mut self) -> Option<String> {
        let buffers = self.kernel.buffers.iter().enumerate();
        let streamed: Vec<usize> = buffers.filter(|(_, buffer)| buffer.streamed).map(|(idx, _)| idx).collect();
        let (&first, rest) = streamed.split_first()?;
        let mut all = self.temp(format!("ptrtoint ptr %b{first} to i64"));
        for other in rest {
            let address = self.temp(format!("ptrtoint ptr %b{other} to i64"));
            all = self.temp(format!("or i64 {all}, {address}"));
        }
        let within = self.temp(format!("and i64 {all}, {}", LINE - 1));
        Some(self.temp(format!("icmp eq i64 {within}, 0")))
    }

    fn inner_function(&mut self, symbol: &str, variant: &str) -> Result<(), CodegenError> {
        let kernel = self.kernel;
        (self.streams, self.here) = (variant == STREAMING, "entry".to_string());
        let mut params = Vec::new();
        for (idx, buffer) in kernel.buffers.iter().enumerate() {
            let rights = match buffer.rights {
                Rights::Read => "readonly ",
                Rights::Write => "writeonly ",
                Rights::ReadWrite => "",
            };
            params.push(format!("ptr noalias {rights}%b{idx}"));
        }
        params.extend((0..kernel.sizes.len()).map(|idx| format!("i64 %s{idx}")));
        params.extend(["i64 %begin".to_string(), "i64 %end".to_string()]);
        self.line(format_args!("define internal void @\"{symbol}.{variant}\"({}) noinline #0 {{", params.join(", ")));
        self.line(format_args!("entry:"));
        self.locals(&kernel.locals)?;
        self.block(&kernel.body)?;
        self.line(format_args!("  ret void\n}}"));
        Ok(())
    }

    fn locals(&mut self, locals: &[Local]) -> Result<(), CodegenError> {
        let mut total = 0u64;
        for (idx, local) in locals.iter().enumerate() {
            let n_elements = Type::new(local.dtype, local.shape.clone()).n_elements();
            total = total.saturating_add(n_elements.saturating_mul(local.dtype.size_of() as u64));
            let element = memory_element(local.dtype)?;
            self.line(format_args!("  %l{idx} = alloca [{n_elements} x {element}], align 64"));
        }
        if total > MAX_LOCAL_BYTES {
            return Err(CodegenError::new(format!("{total} bytes of scratch memory do not fit the stack")));
        }
        Ok(())
    }

    pub fn block(&mut self, block: &Block) -> Result<(), CodegenError> {
        block.stmts.iter().try_for_each(|stmt| self.stmt(stmt))
    }

    fn stmt(&mut self, stmt: &Stmt) -> Result<(), CodegenError> {
        match (&stmt.op, stmt.results.as_slice()) {
            (Op::Loop(inner), results) => self.loop_stmt(inner, results),
            (Op::If(inner), results) => self.if_stmt(inner, results),
            (Op::StoreAt(place, value), []) => self.store(place, *value),
            (Op::Matrix(matrix), []) => self.matrix(matrix),
            (Op::PrefetchAt(place), []) => self.prefetch(place),
            (Op::Const(literal), &[result]) => self.literal(*literal, result),
            (Op::Argument(argument), &[result]) => {
                let text = match argument {
                    Argument::Begin => "%begin".to_string(),
                    Argument::End => "%end".to_string(),
                    Argument::Size(idx) => format!("%s{idx}"),
                    Argument::Thread => return Err(CodegenError::new("a CPU has no blocks of threads")),
                };
                self.inlined[result.0 as usize] = Some(text);
                Ok(())
            }
            (op, &[result]) => {
                let instruction = self.instruction(op, self.kernel.type_of(result))?;
                self.line(format_args!("  %v{} = {instruction}", result.0));
                self.bases_behind(result)
            }
            (op, _) => Err(CodegenError::new(format!("no backend prints {op:?}"))),
        }
    }

    fn literal(&mut self, literal: Literal, result: Value) -> Result<(), CodegenError> {
        let ty = self.kernel.type_of(result);
        self.inlined[result.0 as usize] = Some(constant(literal, ty)?);
        if ty.is_scalar() && ty.dtype.is_int() {
            self.known[result.0 as usize] = Some(literal.as_i64());
        }
        Ok(())
    }

    /// The right side of the statement's definition, after whatever it needs.
    fn instruction(&mut self, op: &Op, ty: &Type) -> Result<String, CodegenError> {
        match op {
            Op::Scalar(scalar, operands) => self.scalar(*scalar, operands),
            Op::Cast(a) => self.cast(*a, ty),
            Op::Bitcast(a) => Ok(format!("bitcast {} to {}", self.typed(*a)?, text_of(ty)?)),
            Op::Broadcast(a) => self.broadcast(*a, ty),
            Op::Lanes => self.lanes(ty),
            Op::Reduce { scalar, value, .. } => self.reduce(*scalar, *value),
            Op::Extract { value, lane } => Ok(format!("extractelement {}, i64 {lane}", self.typed(*value)?)),
            Op::Insert { value, lane, scalar } => {
                Ok(format!("insertelement {}, {}, i64 {lane}", self.typed(*value)?, self.typed(*scalar)?))
            }
            Op::Shuffle { a, b, lanes } => {
                let mask: Vec<String> = lanes.iter().map(|lane| format!("i32 {lane}")).collect();
                let (a, b, mask) = (self.typed(*a)?, self.typed(*b)?, mask.join(", "));
                Ok(format!("shufflevector {a}, {b}, <{} x i32> <{mask}>", lanes.len()))
            }
            Op::Quotient(a, b) => {
                let opcode = if ty.dtype.is_signed() { "sdiv" } else { "udiv" };
                Ok(format!("{opcode} {}, {}", self.typed(*a)?, self.operand(*b)))
            }
            Op::Call(scalar, operands) => {
                self.calls.push(*scalar);
                Ok(format!("call double @{}({})", scalar.name(), self.typed_list(operands)?))
            }
            Op::Dot { of, acc, a, b } => self.dot(*of, [*acc, *a, *b], ty),
            Op::LoadAt(place) => self.load(place, ty),
            other => Err(CodegenError::new(format!("no backend prints {other:?}"))),
        }
    }

    /// The instructions take vectors of 512 bits; targets without them have no such statement.
    fn dot(&mut self, of: DType, [acc, a, b]: [Value; 3], ty: &Type) -> Result<String, CodegenError> {
        if lanes_of(ty) != 16 {
            return Err(CodegenError::new(format!("no backend prints a dot product of {ty}")));
        }
        let [acc, a, b] = [self.typed(acc)?, self.typed(a)?, self.typed(b)?];
        match of {
            // The unsigned factor comes first.
            DType::U8 => Ok(format!("call <16 x i32> @{}({acc}, {b}, {a})", super::BYTE_DOT)),
            DType::BF16 => {
                let [a, b] = [a, b].map(|words| self.temp(format!("bitcast {words} to <32 x bfloat>")));
                let name = "@llvm.x86.avx512bf16.dpbf16ps.512";
                Ok(format!("call <16 x float> {name}({acc}, <32 x bfloat> {a}, <32 x bfloat> {b})"))
            }
            of => Err(CodegenError::new(format!("no backend prints a dot product of {of}"))),
        }
    }

    fn broadcast(&mut self, a: Value, ty: &Type) -> Result<String, CodegenError> {
        let (vector, lanes) = (text_of(ty)?, lanes_of(ty));
        let first = self.temp(format!("insertelement {vector} poison, {}, i64 0", self.typed(a)?));
        Ok(format!("shufflevector {vector} {first}, {vector} poison, <{lanes} x i32> zeroinitializer"))
    }

    fn lanes(&mut self, ty: &Type) -> Result<String, CodegenError> {
        let element = element(ty.dtype)?;
        let list: Vec<String> = (0..lanes_of(ty)).map(|lane| format!("{element} {lane}")).collect();
        Ok(format!("add {} zeroinitializer, <{}>", text_of(ty)?, list.join(", ")))
    }

    fn loop_stmt(&mut self, inner: &Loop, results: &[Value]) -> Result<(), CodegenError> {
        let [body, exit] = ["body", "exit"].map(|role| self.label(role));
        let carried = self.starts(inner)?;
        let before = self.here.clone();
        let (start, end) = (self.operand(inner.start), self.operand(inner.end));
        let runs = self.known(inner.start).zip(self.known(inner.end));
        let skippable = runs.is_none_or(|(start, end)| start >= end);
        if skippable {
            let enters = self.temp(format!("icmp slt i64 {start}, {end}"));
            self.line(format_args!("  br i1 {enters}, label %{body}, label %{exit}"));
        } else {
            self.line(format_args!("  br label %{body}"));
        }
        // The phis name the block that the body ends in, so they are written after it and put before it.
        let around = std::mem::take(&mut self.text);
        self.here.clone_from(&body);
        self.block(&inner.body)?;
        let next = self.temp(format!("add i64 %v{}, {}", inner.index.0, inner.step));
        self.move_on(inner, &carried);
        let again = self.temp(format!("icmp slt i64 {next}, {end}"));
        self.line(format_args!("  br i1 {again}, label %{body}, label %{exit}"));
        let text = std::mem::replace(&mut self.text, around);
        let latch = self.here.clone();
        self.line(format_args!("{body}:"));
        self.line(format_args!("  %v{} = phi i64 [ {start}, %{before} ], [ {next}, %{latch} ]", inner.index.0));
        self.pointer_phis(&carried, &before, &latch);
        let first = (before, inner.inits.as_slice());
        let last = (latch, inner.body.yields.as_slice());
        self.phis(&inner.params, &[first.clone(), last.clone()])?;
        self.bases_behind(inner.index)?;
        self.text += &text;
        self.start_block(exit);
        let edges = if skippable { vec![first, last] } else { vec![last] };
        self.phis(results, &edges)
    }

    fn if_stmt(&mut self, inner: &If, results: &[Value]) -> Result<(), CodegenError> {
        let Condition::Value(condition) = inner.condition else {
            return Err(CodegenError::new("guards are gone at the loop level"));
        };
        let [then, otherwise, join] = ["then", "else", "join"].map(|role| self.label(role));
        let condition = self.typed(condition)?;
        self.line(format_args!("  br {condition}, label %{then}, label %{otherwise}"));
        let mut edges = Vec::new();
        for (label, block) in [(then, &inner.then), (otherwise, &inner.otherwise)] {
            self.start_block(label);
            self.block(block)?;
            self.line(format_args!("  br label %{join}"));
            edges.push((self.here.clone(), block.yields.as_slice()));
        }
        self.start_block(join);
        self.phis(results, &edges)
    }

    fn phis(&mut self, results: &[Value], edges: &[Edge]) -> Result<(), CodegenError> {
        for (idx, &result) in results.iter().enumerate() {
            let incoming: Option<Vec<String>> = edges
                .iter()
                .map(|(label, values)| Some(format!("[ {}, %{label} ]", self.operand(*values.get(idx)?))))
                .collect();
            let incoming = incoming.ok_or_else(|| CodegenError::new("a block yields too few values"))?;
            let ty = text_of(self.kernel.type_of(result))?;
            self.line(format_args!("  %v{} = phi {ty} {}", result.0, incoming.join(", ")));
        }
        Ok(())
    }

    fn label(&mut self, role: &str) -> String {
        self.n_labels += 1;
        format!("{role}{}", self.n_labels)
    }

    fn start_block(&mut self, label: String) {
        self.line(format_args!("{label}:"));
        self.here = label;
    }

    pub fn line(&mut self, text: std::fmt::Arguments) {
        let _ = writeln!(self.text, "{text}");
    }

    /// Defines a value that the kernel has no name for.
    pub fn temp(&mut self, instruction: String) -> String {
        self.n_temps += 1;
        let name = format!("%t{}", self.n_temps);
        self.line(format_args!("  {name} = {instruction}"));
        name
    }

    /// The number that a literal stands for.
    pub fn known(&self, value: Value) -> Option<i64> {
        self.known[value.0 as usize]
    }

    pub fn operand(&self, value: Value) -> String {
        self.inlined[value.0 as usize].clone().unwrap_or_else(|| format!("%v{}", value.0))
    }

    pub fn typed(&self, value: Value) -> Result<String, CodegenError> {
        Ok(format!("{} {}", text_of(self.kernel.type_of(value))?, self.operand(value)))
    }

    fn typed_list(&self, values: &[Value]) -> Result<String, CodegenError> {
        let values: Result<Vec<String>, CodegenError> = values.iter().map(|&value| self.typed(value)).collect();
        Ok(values?.join(", "))
    }

    pub fn memory(&self, memory: Memory) -> String {
        match memory {
            Memory::Buffer(idx) => format!("%b{idx}"),
            Memory::Local(idx) => format!("%l{idx}"),
        }
    }
}

pub fn lanes_of(ty: &Type) -> u64 {
    ty.n_elements()
}

/// The type of one element of a value. f16 and bf16 are bits until they are cast.
pub fn element(dtype: DType) -> Result<&'static str, CodegenError> {
    Ok(match dtype {
        DType::Real => return Err(CodegenError::new("a kernel with floats of undecided precision")),
        DType::F64 => "double",
        DType::F32 => "float",
        DType::F16 | DType::BF16 => "i16",
        DType::I64 => "i64",
        DType::I32 | DType::U32 => "i32",
        DType::I8 | DType::U8 => "i8",
        DType::Bool => "i1",
    })
}

/// The type of one element of memory.
pub fn memory_element(dtype: DType) -> Result<&'static str, CodegenError> {
    if dtype == DType::Bool { Ok("i8") } else { element(dtype) }
}

pub fn text_of(ty: &Type) -> Result<String, CodegenError> {
    Ok(with_lanes(element(ty.dtype)?, ty))
}

/// Another element type in the shape of a value.
pub fn with_lanes(element: &str, ty: &Type) -> String {
    match ty.shape.as_slice() {
        [] => element.to_string(),
        _ => format!("<{} x {element}>", lanes_of(ty)),
    }
}

/// An operand that is the same in every lane.
pub fn splat(element: &str, value: &str, ty: &Type) -> String {
    if ty.is_scalar() { value.to_string() } else { format!("splat ({element} {value})") }
}

fn constant(literal: Literal, ty: &Type) -> Result<String, CodegenError> {
    let value = match ty.dtype {
        DType::F64 => format!("0x{:016X}", literal.as_f64().to_bits()),
        DType::F32 => format!("0x{:016X}", f64::from(literal.as_f64() as f32).to_bits()),
        DType::F16 => to_f16(literal.as_f64()).to_bits().to_string(),
        DType::BF16 => to_bf16(literal.as_f64()).to_bits().to_string(),
        DType::Bool => (literal.as_i64() != 0).to_string(),
        _ => literal.as_i64().to_string(),
    };
    Ok(splat(element(ty.dtype)?, &value, ty))
}
