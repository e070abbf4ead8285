//! Functions of floats that neither the language nor a library has, as every stage computes them.
//!
//! Invariant: the reference evaluator and the code that calls back into this process use these, so they agree in every bit.

/// What is left of `a` after whole multiples of `b`, with the sign of `b`.
pub fn modulo(a: f64, b: f64) -> f64 {
    let remainder = a % b;
    if remainder != 0.0 && (remainder < 0.0) != (b < 0.0) { remainder + b } else { remainder }
}

/// The greatest whole number that is not above the exact quotient, which the rounded one may be. A quotient by zero has no
/// such number and stays as it is.
pub fn floor_div(a: f64, b: f64) -> f64 {
    let (quotient, rest) = (a / b, modulo(a, b));
    if b == 0.0 {
        quotient
    } else if rest == b {
        // What is less than `b` and of the other sign.
        -1.0
    } else {
        (quotient - rest / b).round_ties_even()
    }
}

/// `a` times 2 to the power of the floor of `b`. Where the power is no finite number, the product may be.
pub fn scalb(a: f64, b: f64) -> f64 {
    let exponent = b.floor();
    if exponent.is_finite() { libm::scalbn(a, exponent as i32) } else { a * exponent.exp2() }
}

/// The library's is some number for numbers below -1.
pub fn acosh(a: f64) -> f64 {
    if a < 1.0 { f64::NAN } else { libm::acosh(a) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remainders_have_the_sign_of_the_divisor() {
        for (a, b, wanted) in [(7.0, 2.0, 1.0), (-7.0, 2.0, 1.0), (7.0, -2.0, -1.0), (-7.0, -2.0, -1.0)] {
            assert_eq!(modulo(a, b), wanted, "{a} mod {b}");
        }
    }

    #[test]
    fn powers_may_be_beyond_every_number() {
        for (a, b, wanted) in
            [(3.0, 2.9, 12.0), (1.0, -1.5, 0.25), (0.5, f64::INFINITY, f64::INFINITY), (2.0, f64::NEG_INFINITY, 0.0)]
        {
            assert_eq!(scalb(a, b), wanted, "{a} by {b}");
        }
    }
}
