//! Reductions of a vector.
//!
//! Invariant: the pairwise tree, in which the upper half is combined into the lower until one element is left.

use super::print::{Printer, element, lanes_of, text_of, with_lanes};
use super::scalar::{Form, form_of};
use crate::codegen::CodegenError;
use crate::graph::Scalar;
use crate::kernel::types::{Type, Value};

impl Printer<'_> {
    pub fn reduce(&mut self, scalar: Scalar, value: Value) -> Result<String, CodegenError> {
        let ty = self.kernel.type_of(value).clone();
        let vector = self.operand(value);
        if !lanes_of(&ty).is_power_of_two() {
            return Err(CodegenError::new(format!("a reduction of {ty}: the lanes are no power of two")));
        }
        let Form::Pick(predicate) = form_of(scalar, ty.dtype) else {
            return self.tree(&vector, &ty, |own, ty, [low, high]| own.scalar_of(scalar, ty, &[low, high]));
        };
        let has_nan = self.has_nan(&vector, &ty)?;
        let result = self.tree(&vector, &ty, |own, ty, [low, high]| own.picked(predicate, ty, [&low, &high]))?;
        let (element, result) = (element(ty.dtype)?, self.temp(result));
        Ok(format!("select i1 {has_nan}, {element} 0x7FF8000000000000, {element} {result}"))
    }

    fn tree(
        &mut self,
        vector: &str,
        ty: &Type,
        mut combine: impl FnMut(&mut Self, &Type, [String; 2]) -> Result<String, CodegenError>,
    ) -> Result<String, CodegenError> {
        let (mut ty, mut tree) = (ty.clone(), vector.to_string());
        while lanes_of(&ty) > 1 {
            let (whole, half) = (text_of(&ty)?, lanes_of(&ty) / 2);
            let halves = [0, half].map(|start| {
                let picked: Vec<String> = (start..start + half).map(|lane| format!("i32 {lane}")).collect();
                let picked = format!("<{half} x i32> <{}>", picked.join(", "));
                self.temp(format!("shufflevector {whole} {tree}, {whole} poison, {picked}"))
            });
            ty.shape = vec![half];
            let combined = combine(self, &ty, halves)?;
            tree = self.temp(combined);
        }
        Ok(format!("extractelement {} {tree}, i64 0", text_of(&ty)?))
    }

    /// The smaller or larger of two floats, the first of two equals; of NaN and a number any. One instruction of x86.
    pub fn picked(&mut self, predicate: &str, ty: &Type, [a, b]: [&str; 2]) -> Result<String, CodegenError> {
        let (text, mask) = (text_of(ty)?, with_lanes("i1", ty));
        let second = self.temp(format!("fcmp {predicate} {text} {b}, {a}"));
        Ok(format!("select {mask} {second}, {text} {b}, {text} {a}"))
    }

    /// Whether a lane is NaN: asked once for all of them, it need not be asked at each step of a reduction.
    fn has_nan(&mut self, vector: &str, ty: &Type) -> Result<String, CodegenError> {
        let (text, lanes) = (text_of(ty)?, lanes_of(ty));
        let are_nan = self.temp(format!("fcmp uno {text} {vector}, {vector}"));
        let bits = self.temp(format!("bitcast <{lanes} x i1> {are_nan} to i{lanes}"));
        Ok(self.temp(format!("icmp ne i{lanes} {bits}, 0")))
    }
}
