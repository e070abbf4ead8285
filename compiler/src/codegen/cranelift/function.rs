//! A kernel as a Cranelift function: blocks and statements.
//!
//! Invariant: a value of the kernel is defined before it is asked for, because Cranelift's blocks are filled in the order
//! of the kernel's text.

use std::collections::HashMap;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::immediates::V128Imm;
use cranelift_codegen::ir::{self, AbiParam, BlockArg, FuncRef, InstBuilder, StackSlotData, StackSlotKind, types};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_module::{Linkage, Module};
use cranelift_object::ObjectModule;
use tilewright_runtime::program::{to_bf16, to_f16};

use super::memory::READ_ONLY;
use super::{LANES, refused};
use crate::codegen::CodegenError;
use crate::graph::{DType, Scalar};
use crate::kernel::{Argument, Block, Condition, If, Kernel, Literal, Loop, MAX_LOCAL_BYTES, Op, Stmt, Type, Value};

const LOCAL_ALIGN: u64 = 64;

pub struct Printer<'a> {
    pub kernel: &'a Kernel,
    pub builder: FunctionBuilder<'a>,
    module: &'a mut ObjectModule,
    values: Vec<Option<ir::Value>>,
    /// The scalar that a vector repeats.
    splats: Vec<Option<ir::Value>>,
    /// Integer literals.
    known: Vec<Option<i64>>,
    pub buffers: Vec<ir::Value>,
    pub locals: Vec<ir::Value>,
    sizes: Vec<ir::Value>,
    range: [ir::Value; 2],
    calls: HashMap<Scalar, FuncRef>,
}

pub fn print_kernel(
    module: &mut ObjectModule,
    func: &mut ir::Function,
    scratch: &mut FunctionBuilderContext,
    kernel: &Kernel,
) -> Result<(), CodegenError> {
    let mut builder = FunctionBuilder::new(func, scratch);
    let entry = builder.create_block();
    builder.append_block_params_for_function_params(entry);
    builder.switch_to_block(entry);
    let &[args, sizes, begin, end] = builder.block_params(entry) else {
        return Err(CodegenError::new("a kernel's function takes four parameters"));
    };
    let mut slots = |base: ir::Value, n: usize| -> Vec<ir::Value> {
        (0..n).map(|idx| builder.ins().load(types::I64, READ_ONLY, base, idx as i32 * 8)).collect()
    };
    let (buffers, sizes) = (slots(args, kernel.buffers.len()), slots(sizes, kernel.sizes.len()));
    let n_values = kernel.values.len();
    let mut printer = Printer {
        kernel,
        builder,
        module,
        values: vec![None; n_values],
        splats: vec![None; n_values],
        known: vec![None; n_values],
        buffers,
        locals: Vec::new(),
        sizes,
        range: [begin, end],
        calls: HashMap::new(),
    };
    printer.make_locals()?;
    printer.block(&kernel.body)?;
    printer.builder.ins().return_(&[]);
    printer.builder.seal_all_blocks();
    let config = printer.module.target_config();
    printer.builder.finalize(config);
    Ok(())
}

impl Printer<'_> {
    fn make_locals(&mut self) -> Result<(), CodegenError> {
        let mut total = 0u64;
        for local in &self.kernel.locals {
            let n_elements = Type::new(local.dtype, local.shape.clone()).n_elements();
            let n_bytes = n_elements.saturating_mul(local.dtype.size_of() as u64);
            total = total.saturating_add(n_bytes);
            if total > MAX_LOCAL_BYTES {
                return Err(CodegenError::new(format!("{total} bytes of scratch memory do not fit the stack")));
            }
            let size = (n_bytes + LOCAL_ALIGN) as u32;
            let slot = StackSlotData::new(StackSlotKind::ExplicitSlot, size, 4);
            let slot = self.builder.create_sized_stack_slot(slot);
            let start = self.builder.ins().stack_addr(types::I64, slot, 0);
            let above = self.builder.ins().iadd_imm_s(start, LOCAL_ALIGN as i64 - 1);
            let aligned = self.builder.ins().band_imm_s(above, -(LOCAL_ALIGN as i64));
            self.locals.push(aligned);
        }
        Ok(())
    }

    fn block(&mut self, block: &Block) -> Result<(), CodegenError> {
        block.stmts.iter().try_for_each(|stmt| self.stmt(stmt))
    }

    fn stmt(&mut self, stmt: &Stmt) -> Result<(), CodegenError> {
        match (&stmt.op, stmt.results.as_slice()) {
            (Op::Loop(inner), results) => self.loop_stmt(inner, results),
            (Op::If(inner), results) => self.if_stmt(inner, results),
            (Op::StoreAt(place, value), []) => self.store(place, *value),
            // There is no such instruction.
            (Op::PrefetchAt(_), []) => Ok(()),
            (op, &[result]) => {
                let value = self.instruction(op, result)?;
                self.values[result.0 as usize] = Some(value);
                Ok(())
            }
            (op, _) => Err(CodegenError::new(format!("no backend prints {op:?}"))),
        }
    }

    fn instruction(&mut self, op: &Op, result: Value) -> Result<ir::Value, CodegenError> {
        let ty = self.kernel.type_of(result).clone();
        match op {
            Op::Const(literal) => self.constant(*literal, &ty, result),
            Op::Argument(argument) => Ok(match *argument {
                Argument::Begin => self.range[0],
                Argument::End => self.range[1],
                Argument::Size(idx) => self.sizes[idx as usize],
                Argument::Thread => return Err(CodegenError::new("a CPU has no blocks of threads")),
            }),
            Op::Scalar(scalar, operands) => self.scalar(*scalar, operands),
            Op::Cast(a) => self.cast(*a, &ty),
            Op::Bitcast(a) => self.bitcast(*a, &ty),
            Op::Broadcast(a) => {
                let scalar = self.value(*a)?;
                self.splats[result.0 as usize] = Some(scalar);
                self.splat(scalar, &ty)
            }
            Op::Lanes => self.lanes(&ty),
            Op::Reduce { scalar, value, .. } => self.reduce(*scalar, *value),
            Op::Extract { value, lane } => self.extract(*value, *lane),
            Op::Insert { value, lane, scalar } => self.insert(*value, *lane, *scalar),
            Op::Shuffle { a, b, lanes } => self.shuffle(*a, *b, lanes),
            Op::Quotient(a, b) => {
                let (a, b) = (self.value(*a)?, self.value(*b)?);
                let ins = self.builder.ins();
                Ok(if ty.dtype.is_signed() { ins.sdiv(a, b) } else { ins.udiv(a, b) })
            }
            Op::Call(scalar, operands) => self.call(*scalar, operands),
            Op::LoadAt(place) => self.load(place, &ty),
            other => Err(CodegenError::new(format!("no backend prints {other:?}"))),
        }
    }

    fn constant(&mut self, literal: Literal, ty: &Type, result: Value) -> Result<ir::Value, CodegenError> {
        let ins = self.builder.ins();
        let scalar = match ty.dtype {
            DType::F64 => ins.f64const(literal.as_f64()),
            DType::F32 => ins.f32const(literal.as_f64() as f32),
            DType::F16 => ins.iconst(types::I16, i64::from(to_f16(literal.as_f64()).to_bits())),
            DType::BF16 => ins.iconst(types::I16, i64::from(to_bf16(literal.as_f64()).to_bits())),
            DType::U32 => ins.iconst(types::I32, literal.as_i64() & 0xffff_ffff),
            DType::I32 => ins.iconst(types::I32, literal.as_i64() & 0xffff_ffff),
            DType::I8 | DType::U8 => ins.iconst(types::I8, literal.as_i64() & 0xff),
            DType::I64 => ins.iconst(types::I64, literal.as_i64()),
            DType::Bool => ins.iconst(types::I8, i64::from(literal.as_i64() != 0)),
            DType::Real => return Err(CodegenError::new("a kernel with floats of undecided precision")),
        };
        if ty.dtype.is_int() {
            self.known[result.0 as usize] = Some(literal.as_i64());
        }
        self.splats[result.0 as usize] = Some(scalar);
        if !is_vector(ty) {
            return Ok(scalar);
        }
        let lane = match ty.dtype {
            DType::F32 => (literal.as_f64() as f32).to_bits(),
            DType::Bool => 0u32.wrapping_sub(u32::from(literal.as_i64() != 0)),
            _ => literal.as_i64() as u32,
        };
        self.vector_constant([lane; 4], type_of(ty)?)
    }

    pub fn vector_constant(&mut self, lanes: [u32; 4], ty: ir::Type) -> Result<ir::Value, CodegenError> {
        let bytes: Vec<u8> = lanes.iter().flat_map(|lane| lane.to_le_bytes()).collect();
        let bytes = V128Imm::from(bytes.as_slice());
        let constant = self.builder.func.dfg.constants.insert(ir::ConstantData::from(bytes));
        Ok(self.builder.ins().vconst(ty, constant))
    }

    fn lanes(&mut self, ty: &Type) -> Result<ir::Value, CodegenError> {
        let printed = type_of(ty)?;
        if is_vector(ty) {
            self.vector_constant([0, 1, 2, 3], printed)
        } else {
            Ok(self.builder.ins().iconst(printed, 0))
        }
    }

    /// A call of a host function.
    fn call(&mut self, scalar: Scalar, operands: &[Value]) -> Result<ir::Value, CodegenError> {
        let operands: Result<Vec<ir::Value>, CodegenError> = operands.iter().map(|&value| self.value(value)).collect();
        let operands = operands?;
        let function = match self.calls.get(&scalar) {
            Some(&function) => function,
            None => {
                let mut signature = self.module.make_signature();
                signature.params = vec![AbiParam::new(types::F64); operands.len()];
                signature.returns = vec![AbiParam::new(types::F64)];
                let id = self.module.declare_function(scalar.name(), Linkage::Import, &signature);
                let id = id.map_err(|error| refused(&error))?;
                let function = self.module.declare_func_in_func(id, self.builder.func);
                self.calls.insert(scalar, function);
                function
            }
        };
        let call = self.builder.ins().call(function, &operands);
        Ok(self.builder.inst_results(call)[0])
    }

    fn loop_stmt(&mut self, inner: &Loop, results: &[Value]) -> Result<(), CodegenError> {
        let [body, exit] = [(); 2].map(|()| self.builder.create_block());
        let (start, end) = (self.value(inner.start)?, self.value(inner.end)?);
        let index = self.builder.append_block_param(body, types::I64);
        self.values[inner.index.0 as usize] = Some(index);
        self.block_params(body, &inner.params)?;
        self.block_params(exit, results)?;
        let inits = self.arguments(&inner.inits)?;
        let mut enter = vec![BlockArg::from(start)];
        enter.extend(&inits);
        let runs = self.known[inner.start.0 as usize].zip(self.known[inner.end.0 as usize]);
        if runs.is_some_and(|(start, end)| start < end) {
            self.builder.ins().jump(body, &enter);
        } else {
            let enters = self.builder.ins().icmp(IntCC::SignedLessThan, start, end);
            self.builder.ins().brif(enters, body, &enter, exit, &inits);
        }
        self.builder.switch_to_block(body);
        self.block(&inner.body)?;
        let next = self.builder.ins().iadd_imm_s(index, inner.step);
        let again = self.builder.ins().icmp(IntCC::SignedLessThan, next, end);
        let yields = self.arguments(&inner.body.yields)?;
        let mut back = vec![BlockArg::from(next)];
        back.extend(&yields);
        self.builder.ins().brif(again, body, &back, exit, &yields);
        self.builder.switch_to_block(exit);
        Ok(())
    }

    fn if_stmt(&mut self, inner: &If, results: &[Value]) -> Result<(), CodegenError> {
        let Condition::Value(condition) = inner.condition else {
            return Err(CodegenError::new("guards are gone at the loop level"));
        };
        let [then, otherwise, join] = [(); 3].map(|()| self.builder.create_block());
        let condition = self.value(condition)?;
        self.builder.ins().brif(condition, then, &[], otherwise, &[]);
        for (at, block) in [(then, &inner.then), (otherwise, &inner.otherwise)] {
            self.builder.switch_to_block(at);
            self.block(block)?;
            let yields = self.arguments(&block.yields)?;
            self.builder.ins().jump(join, &yields);
        }
        self.block_params(join, results)?;
        self.builder.switch_to_block(join);
        Ok(())
    }

    /// Values that a block gets from those that jump to it.
    fn block_params(&mut self, block: ir::Block, values: &[Value]) -> Result<(), CodegenError> {
        for &value in values {
            let ty = type_of(self.kernel.type_of(value))?;
            self.values[value.0 as usize] = Some(self.builder.append_block_param(block, ty));
        }
        Ok(())
    }

    fn arguments(&self, values: &[Value]) -> Result<Vec<BlockArg>, CodegenError> {
        values.iter().map(|&value| self.value(value).map(BlockArg::from)).collect()
    }

    pub fn value(&self, value: Value) -> Result<ir::Value, CodegenError> {
        let found = self.values.get(value.0 as usize).copied().flatten();
        found.ok_or_else(|| CodegenError::new(format!("value {} is used before it is defined", value.0)))
    }

    /// The scalar in every lane of a vector, or the value itself if it is a scalar.
    pub fn uniform(&self, value: Value) -> Result<Option<ir::Value>, CodegenError> {
        if is_vector(self.kernel.type_of(value)) {
            return Ok(self.splats[value.0 as usize]);
        }
        self.value(value).map(Some)
    }
}

pub fn is_vector(ty: &Type) -> bool {
    ty.n_elements() > 1
}

/// The Cranelift type of a value.
pub fn type_of(ty: &Type) -> Result<ir::Type, CodegenError> {
    match (ty.n_elements(), ty.dtype) {
        (1, DType::F64) => Ok(types::F64),
        (1, DType::F32) => Ok(types::F32),
        (1, DType::F16 | DType::BF16) => Ok(types::I16),
        (1, DType::I64) => Ok(types::I64),
        (1, DType::I32 | DType::U32) => Ok(types::I32),
        (1, DType::I8 | DType::U8 | DType::Bool) => Ok(types::I8),
        (LANES, DType::F32) => Ok(types::F32X4),
        (LANES, DType::I32 | DType::U32 | DType::Bool) => Ok(types::I32X4),
        _ => Err(CodegenError::new(format!("Cranelift has no vectors of type {ty}"))),
    }
}
