//! Registers of matrices as LLVM's intrinsics for AMX, which name registers by their numbers.
//!
//! Invariant: shapes are constants of the module, 64 bytes as the instruction wants them.

use std::fmt::Write as _;

use super::print::Printer;
use crate::codegen::CodegenError;
use crate::graph::DType;
use crate::kernel::matrix::{Matrix, REGISTERS};
use crate::kernel::{Place, Type, Value};

impl Printer<'_> {
    pub fn matrix(&mut self, matrix: &Matrix) -> Result<(), CodegenError> {
        match matrix {
            Matrix::Shapes(shapes) => {
                let shapes = self.shapes(shapes);
                self.line(format_args!("  call void @llvm.x86.ldtilecfg(ptr {shapes})"));
            }
            Matrix::Zero(register) => self.line(format_args!("  call void @llvm.x86.tilezero(i8 {register})")),
            Matrix::Load(register, place, step) => self.move_rows("tileloadd64", *register, place, *step)?,
            Matrix::Store(register, place, step) => self.move_rows("tilestored64", *register, place, *step)?,
            Matrix::Dot { of: DType::BF16, acc, a, b } => {
                self.line(format_args!("  call void @llvm.x86.tdpbf16ps(i8 {acc}, i8 {a}, i8 {b})"));
            }
            Matrix::Dot { of: DType::I8, acc, a, b } => {
                self.line(format_args!("  call void @llvm.x86.tdpbssd(i8 {acc}, i8 {a}, i8 {b})"));
            }
            Matrix::Dot { of, .. } => return Err(CodegenError::new(format!("no backend multiplies matrices of {of}"))),
            Matrix::Release => self.line(format_args!("  call void @llvm.x86.tilerelease()")),
        }
        Ok(())
    }

    fn move_rows(&mut self, name: &str, register: u8, place: &Place, step: Value) -> Result<(), CodegenError> {
        let dtype = self.kernel.memory_dtype(place.memory);
        let pointer = self.pointer(place, &Type::scalar(dtype))?;
        let step = self.operand(step);
        let bytes = match step.parse::<i64>() {
            Ok(step) => step.wrapping_mul(dtype.size_of() as i64).to_string(),
            Err(_) => self.temp(format!("mul i64 {step}, {}", dtype.size_of())),
        };
        self.line(format_args!("  call void @llvm.x86.{name}(i8 {register}, {pointer}, i64 {bytes})"));
        Ok(())
    }

    /// "Intel 64 and IA-32 Architectures Software Developer's Manual", volume 2, LDTILECFG: palette 1, then from byte 16 on
    /// the bytes of a row of each register, two each, and from byte 48 on the rows.
    fn shapes(&mut self, shapes: &[[u8; 2]]) -> String {
        let mut bytes = [0u8; 64];
        bytes[0] = 1;
        for (register, [rows, words]) in shapes.iter().enumerate().take(REGISTERS) {
            bytes[16 + 2 * register] = 4 * words;
            bytes[48 + register] = *rows;
        }
        let text = bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "\\{byte:02X}");
            text
        });
        let known = self.shapes.iter().position(|other| *other == text);
        let at = known.unwrap_or_else(|| {
            self.shapes.push(text);
            self.shapes.len() - 1
        });
        format!("@\"{}.shapes{at}\"", self.symbol)
    }

    pub fn shape_constants(&mut self) {
        for (at, text) in std::mem::take(&mut self.shapes).into_iter().enumerate() {
            let name = format!("@\"{}.shapes{at}\"", self.symbol);
            self.line(format_args!("{name} = private unnamed_addr constant [64 x i8] c\"{text}\", align 64"));
        }
    }
}
