//! Functions of numbers that generated code calls by name, where the machine or the code generator has no instruction.
//!
//! Invariant: a name of a scalar function means that function on f64, as the graph's reference evaluator computes it; the
//! others mean what C's functions of that name do, which both code generators take for granted.

use crate::program::float;

macro_rules! table {
    ($($name:ident($($operand:ident),+): $float:ty = $body:expr;)*) => {
        $(extern "C" fn $name($($operand: $float),+) -> $float {
            $body
        })*

        /// Names with addresses.
        pub fn functions() -> impl Iterator<Item = (&'static str, *const ())> {
            [$((stringify!($name), $name as *const ())),*].into_iter()
        }
    };
}

table! {
    exp(a): f64 = a.exp();
    log(a): f64 = a.ln();
    sin(a): f64 = a.sin();
    cos(a): f64 = a.cos();
    tan(a): f64 = a.tan();
    asin(a): f64 = a.asin();
    acos(a): f64 = a.acos();
    atan(a): f64 = a.atan();
    sinh(a): f64 = a.sinh();
    cosh(a): f64 = a.cosh();
    asinh(a): f64 = libm::asinh(a);
    acosh(a): f64 = float::acosh(a);
    atanh(a): f64 = libm::atanh(a);
    tanh(a): f64 = a.tanh();
    erf(a): f64 = libm::erf(a);
    log1p(a): f64 = a.ln_1p();
    expm1(a): f64 = a.exp_m1();
    exp2(a): f64 = a.exp2();
    pow(a, b): f64 = a.powf(b);
    atan2(a, b): f64 = a.atan2(b);
    scalb(a, b): f64 = float::scalb(a, b);
    modulo(a, b): f64 = float::modulo(a, b);
    // For CPUs without the instruction.
    fma(a, b, c): f64 = a.mul_add(b, c);
    fmaf(a, b, c): f32 = a.mul_add(b, c);
    floor(a): f64 = a.floor();
    floorf(a): f32 = a.floor();
    ceil(a): f64 = a.ceil();
    ceilf(a): f32 = a.ceil();
    trunc(a): f64 = a.trunc();
    truncf(a): f32 = a.trunc();
    nearbyint(a): f64 = a.round_ties_even();
    nearbyintf(a): f32 = a.round_ties_even();
    roundeven(a): f64 = a.round_ties_even();
    roundevenf(a): f32 = a.round_ties_even();
}

#[cfg(test)]
mod tests {
    use super::functions;

    #[test]
    fn names_are_distinct() {
        let mut names: Vec<&str> = functions().map(|(name, _)| name).collect();
        names.sort();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
