//! Scalar functions, and what moves between lanes, as Cranelift instructions.
//!
//! Invariant: results are those of the table in `graph::scalar`, rounded to the type.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{self, InstBuilder, types};

use super::function::{Printer, is_vector, type_of};
use super::memory::BITS;
use crate::codegen::CodegenError;
use crate::graph::{DType, Scalar};
use crate::kernel::{Type, Value};
use crate::seeded::{Fault, is};

/// A comparison on floats, on signed and on unsigned integers.
static COMPARISONS: &[(Scalar, FloatCC, IntCC, IntCC)] = &[
    (Scalar::Eq, FloatCC::Equal, IntCC::Equal, IntCC::Equal),
    (Scalar::Ne, FloatCC::NotEqual, IntCC::NotEqual, IntCC::NotEqual),
    (Scalar::Lt, FloatCC::LessThan, IntCC::SignedLessThan, IntCC::UnsignedLessThan),
    (Scalar::Le, FloatCC::LessThanOrEqual, IntCC::SignedLessThanOrEqual, IntCC::UnsignedLessThanOrEqual),
    (Scalar::Gt, FloatCC::GreaterThan, IntCC::SignedGreaterThan, IntCC::UnsignedGreaterThan),
    (Scalar::Ge, FloatCC::GreaterThanOrEqual, IntCC::SignedGreaterThanOrEqual, IntCC::UnsignedGreaterThanOrEqual),
];

impl Printer<'_> {
    pub fn scalar(&mut self, scalar: Scalar, operands: &[Value]) -> Result<ir::Value, CodegenError> {
        match (scalar, operands) {
            (Scalar::Select, &[condition, a, b]) => {
                let ty = self.kernel.type_of(a).clone();
                let [condition, a, b] = [self.value(condition)?, self.value(a)?, self.value(b)?];
                self.select(&ty, condition, a, b)
            }
            (Scalar::Shl | Scalar::Shr, &[a, by]) => self.shift(scalar, a, by),
            (_, &[first, ..]) => {
                let ty = self.kernel.type_of(first).clone();
                let operands: Result<Vec<ir::Value>, CodegenError> =
                    operands.iter().map(|&value| self.value(value)).collect();
                self.scalar_of(scalar, &ty, &operands?)
            }
            _ => Err(CodegenError::new(format!("`{scalar}` without operands"))),
        }
    }

    /// The function on operands of one type.
    fn scalar_of(&mut self, scalar: Scalar, ty: &Type, operands: &[ir::Value]) -> Result<ir::Value, CodegenError> {
        let printed = match (ty.dtype, operands) {
            (DType::F16 | DType::BF16 | DType::Real, _) => None,
            (_, &[a, b]) if COMPARISONS.iter().any(|row| row.0 == scalar) => Some(self.compare(scalar, ty, a, b)),
            (DType::F64 | DType::F32, _) => self.float(scalar, ty, operands)?,
            _ => self.integer(scalar, ty, operands),
        };
        printed.ok_or_else(|| CodegenError::new(format!("no backend prints `{scalar}` on {ty}")))
    }

    fn float(&mut self, scalar: Scalar, ty: &Type, operands: &[ir::Value]) -> Result<Option<ir::Value>, CodegenError> {
        if let (Scalar::Min | Scalar::Max, &[a, b]) = (scalar, operands) {
            return self.pick(scalar, ty, a, b).map(Some);
        }
        let ins = self.builder.ins();
        Ok(match (scalar, operands) {
            (Scalar::Add, &[a, b]) => Some(ins.fadd(a, b)),
            (Scalar::Sub, &[a, b]) => Some(ins.fsub(a, b)),
            (Scalar::Mul, &[a, b]) => Some(ins.fmul(a, b)),
            (Scalar::Div, &[a, b]) => Some(ins.fdiv(a, b)),
            (Scalar::Fma, &[a, b, c]) => Some(ins.fma(a, b, c)),
            (Scalar::Neg, &[a]) => Some(ins.fneg(a)),
            (Scalar::Abs, &[a]) => Some(ins.fabs(a)),
            (Scalar::Sqrt, &[a]) => Some(ins.sqrt(a)),
            (Scalar::Floor, &[a]) => Some(ins.floor(a)),
            (Scalar::Ceil, &[a]) => Some(ins.ceil(a)),
            (Scalar::Round, &[a]) => Some(ins.nearest(a)),
            (Scalar::Trunc, &[a]) => Some(ins.trunc(a)),
            _ => None,
        })
    }

    fn integer(&mut self, scalar: Scalar, ty: &Type, operands: &[ir::Value]) -> Option<ir::Value> {
        let signed = ty.dtype.is_signed();
        let flips_one_bit = ty.dtype == DType::Bool && !is_vector(ty);
        let ins = self.builder.ins();
        Some(match (scalar, operands) {
            (Scalar::And, &[a, b]) => ins.band(a, b),
            (Scalar::Or, &[a, b]) => ins.bor(a, b),
            (Scalar::Xor, &[a, b]) => ins.bxor(a, b),
            (Scalar::Not, &[a]) if flips_one_bit => ins.bxor_imm_u(a, 1),
            (Scalar::Not, &[a]) => ins.bnot(a),
            _ if ty.dtype == DType::Bool => return None,
            (Scalar::Add, &[a, b]) => ins.iadd(a, b),
            (Scalar::Sub, &[a, b]) => ins.isub(a, b),
            (Scalar::Mul, &[a, b]) => ins.imul(a, b),
            (Scalar::Neg, &[a]) => ins.ineg(a),
            (Scalar::Abs, &[a]) if signed => ins.iabs(a),
            (Scalar::Abs, &[a]) => a,
            (Scalar::Min, &[a, b]) if signed => ins.smin(a, b),
            (Scalar::Min, &[a, b]) => ins.umin(a, b),
            (Scalar::Max, &[a, b]) if signed => ins.smax(a, b),
            (Scalar::Max, &[a, b]) => ins.umax(a, b),
            _ => return None,
        })
    }

    fn compare(&mut self, scalar: Scalar, ty: &Type, a: ir::Value, b: ir::Value) -> ir::Value {
        let row = COMPARISONS.iter().find(|row| row.0 == scalar).unwrap_or(&COMPARISONS[0]);
        let ins = self.builder.ins();
        match ty.dtype {
            DType::F64 | DType::F32 => ins.fcmp(row.1, a, b),
            _ if ty.dtype.is_signed() => ins.icmp(row.2, a, b),
            _ => ins.icmp(row.3, a, b),
        }
    }

    /// Minimum or maximum of floats: NaN operands win, then the first of equals.
    fn pick(&mut self, scalar: Scalar, ty: &Type, a: ir::Value, b: ir::Value) -> Result<ir::Value, CodegenError> {
        let order = if scalar == Scalar::Min { FloatCC::LessThan } else { FloatCC::GreaterThan };
        let second = self.builder.ins().fcmp(order, b, a);
        let picked = self.select(ty, second, b, a)?;
        if is(Fault::NanLosesMaximum) {
            let nan = self.builder.ins().fcmp(FloatCC::Unordered, a, a);
            return self.select(ty, nan, b, picked);
        }
        let nan = self.builder.ins().fcmp(FloatCC::Unordered, b, b);
        self.select(ty, nan, b, picked)
    }

    pub fn select(
        &mut self,
        ty: &Type,
        condition: ir::Value,
        a: ir::Value,
        b: ir::Value,
    ) -> Result<ir::Value, CodegenError> {
        if !is_vector(ty) {
            return Ok(self.builder.ins().select(condition, a, b));
        }
        let mask = self.lane_bits(condition, type_of(ty)?);
        Ok(self.builder.ins().bitselect(mask, a, b))
    }

    /// Vector shifts take one amount for all lanes; other amounts go lane by lane.
    fn shift(&mut self, scalar: Scalar, a: Value, by: Value) -> Result<ir::Value, CodegenError> {
        let ty = self.kernel.type_of(a).clone();
        let signed = ty.dtype.is_signed();
        let (value, amounts) = (self.value(a)?, self.value(by)?);
        if let Some(amount) = self.uniform(by)? {
            return Ok(self.shift_by(scalar, signed, value, amount));
        }
        let mut result = value;
        for lane in 0..ty.n_elements() as u8 {
            let element = self.builder.ins().extractlane(value, lane);
            let amount = self.builder.ins().extractlane(amounts, lane);
            let shifted = self.shift_by(scalar, signed, element, amount);
            result = self.builder.ins().insertlane(result, shifted, lane);
        }
        Ok(result)
    }

    fn shift_by(&mut self, scalar: Scalar, signed: bool, value: ir::Value, amount: ir::Value) -> ir::Value {
        let ins = self.builder.ins();
        match scalar {
            Scalar::Shl => ins.ishl(value, amount),
            _ if signed => ins.sshr(value, amount),
            _ => ins.ushr(value, amount),
        }
    }

    pub fn splat(&mut self, scalar: ir::Value, ty: &Type) -> Result<ir::Value, CodegenError> {
        let printed = type_of(ty)?;
        if !is_vector(ty) {
            return Ok(scalar);
        }
        let lane = if ty.dtype == DType::Bool { self.mask_of(scalar) } else { scalar };
        Ok(self.builder.ins().splat(printed, lane))
    }

    pub fn extract(&mut self, value: Value, lane: u32) -> Result<ir::Value, CodegenError> {
        let ty = self.kernel.type_of(value).clone();
        let vector = self.value(value)?;
        if !is_vector(&ty) {
            return Ok(vector);
        }
        let element = self.builder.ins().extractlane(vector, lane_of(lane)?);
        if ty.dtype != DType::Bool {
            return Ok(element);
        }
        let bit = self.builder.ins().ireduce(types::I8, element);
        Ok(self.builder.ins().band_imm_u(bit, 1))
    }

    pub fn insert(&mut self, value: Value, lane: u32, scalar: Value) -> Result<ir::Value, CodegenError> {
        let ty = self.kernel.type_of(value).clone();
        let (vector, scalar) = (self.value(value)?, self.value(scalar)?);
        if !is_vector(&ty) {
            return Ok(scalar);
        }
        let element = if ty.dtype == DType::Bool { self.mask_of(scalar) } else { scalar };
        Ok(self.builder.ins().insertlane(vector, element, lane_of(lane)?))
    }

    /// Lanes of two vectors of four, taken as bytes.
    pub fn shuffle(&mut self, a: Value, b: Value, lanes: &[u32]) -> Result<ir::Value, CodegenError> {
        let (a, b) = (self.value(a)?, self.value(b)?);
        let ty = self.builder.func.dfg.value_type(a);
        let [a, b] = [a, b].map(|vector| self.lane_bits(vector, types::I8X16));
        let bytes: Vec<u8> = lanes.iter().flat_map(|&lane| (0..4).map(move |byte| lane as u8 * 4 + byte)).collect();
        let bytes = self.builder.func.dfg.immediates.push(bytes.into());
        let shuffled = self.builder.ins().shuffle(a, b, bytes);
        Ok(self.lane_bits(shuffled, ty))
    }

    /// The pairwise tree of four lanes: (0 with 2) with (1 with 3).
    pub fn reduce(&mut self, scalar: Scalar, value: Value) -> Result<ir::Value, CodegenError> {
        let ty = self.kernel.type_of(value).clone();
        let vector = self.value(value)?;
        let single = Type::scalar(ty.dtype);
        match (is_vector(&ty), ty.dtype, scalar) {
            (false, ..) => Ok(vector),
            (_, DType::Bool, Scalar::And) => Ok(self.builder.ins().vall_true(vector)),
            (_, DType::Bool, Scalar::Or) => Ok(self.builder.ins().vany_true(vector)),
            _ => {
                let lanes = [0u8, 1, 2, 3].map(|lane| self.builder.ins().extractlane(vector, lane));
                let even = self.scalar_of(scalar, &single, &[lanes[0], lanes[2]])?;
                let odd = self.scalar_of(scalar, &single, &[lanes[1], lanes[3]])?;
                self.scalar_of(scalar, &single, &[even, odd])
            }
        }
    }

    /// All ones or all zeros, from a bool scalar.
    fn mask_of(&mut self, scalar: ir::Value) -> ir::Value {
        let wide = self.builder.ins().uextend(types::I32, scalar);
        self.builder.ins().ineg(wide)
    }

    /// The same bits as another type of the same width.
    pub fn lane_bits(&mut self, value: ir::Value, ty: ir::Type) -> ir::Value {
        let from = self.builder.func.dfg.value_type(value);
        if from == ty { value } else { self.builder.ins().bitcast(ty, BITS, value) }
    }
}

fn lane_of(lane: u32) -> Result<u8, CodegenError> {
    let fits = u8::try_from(lane).ok().filter(|&lane| u64::from(lane) < super::LANES);
    fits.ok_or_else(|| CodegenError::new(format!("a vector has no lane {lane}")))
}
