//! The ops: one file each, and this table. Names in specs, the text form, the manual, random graphs and gradient checks
//! all derive from it.

pub mod activation;
pub mod argmax;
pub mod attend;
pub mod banded;
pub mod broadcast;
pub mod cast;
pub mod clip;
pub mod concat;
pub mod cond;
pub mod constant;
pub mod contract;
pub mod convolve;
pub mod cumulate;
mod derivative;
pub mod dim;
pub mod dot;
pub mod einsum;
pub mod elementwise;
pub mod eye;
pub mod fill;
pub mod flip;
pub mod formula;
pub mod fused;
pub mod gather;
pub mod gelu;
pub mod iota;
pub mod lerp;
pub mod linspace;
pub mod r#loop;
pub mod matmul;
mod movement;
pub mod onehot;
pub mod pack;
pub mod pad;
pub mod pattern;
pub mod permute;
pub mod pool;
pub mod quantize;
pub mod random_bits;
pub mod recomputed;
pub mod rectifier;
pub mod reduction;
mod region;
pub mod reshape;
pub mod resize;
pub mod reverse;
pub mod roll;
pub mod running;
pub mod scan;
pub mod scatter;
pub mod slice;
pub mod slice_at;
pub mod softmax;
pub mod sort;
pub mod stack;
pub mod statistic;
pub mod stop_gradient;
pub mod triangle;
pub mod update;
pub mod vjp;
pub mod r#while;
pub mod window;
pub mod winograd;

use crate::graph::OpDef;
use {activation as act, elementwise as e};

/// Every op that graphs are made of, in the order of the manual.
#[rustfmt::skip]
pub static TABLE: &[&OpDef] = &[
    // sources
    &constant::OP, &fill::OP, &iota::OP, &dim::OP, &random_bits::OP,
    // scalar functions
    &e::ADD, &e::SUB, &e::MUL, &e::DIV, &e::FLOOR_DIV, &e::MODULO, &e::FMA, &e::NEG, &e::ABS, &e::SIGN, &e::MIN, &e::MAX,
    &e::SQRT, &e::FLOOR, &e::CEIL, &e::ROUND, &e::TRUNC, &e::EXP, &e::LOG, &e::SIN, &e::COS, &e::TAN, &e::ASIN, &e::ACOS,
    &e::ATAN, &e::SINH, &e::COSH, &e::ASINH, &e::ACOSH, &e::ATANH, &e::TANH, &e::ERF, &e::LOG1P, &e::EXPM1, &e::EXP2,
    &e::POW, &e::ATAN2, &e::SCALB, &e::FRACT, &e::EQ, &e::NE, &e::LT, &e::LE, &e::GT, &e::GE, &e::AND, &e::OR, &e::XOR,
    &e::NOT, &e::SHL, &e::SHR, &e::SELECT, &cast::OP,
    // movement
    &broadcast::OP, &reshape::OP, &permute::OP, &slice::OP, &pad::OP, &concat::OP, &pack::PACK, &pack::UNPACK,
    &quantize::QUANTIZE, &quantize::DEQUANTIZE,
    // positions
    &gather::OP, &scatter::OP, &update::OP, &slice_at::OP, &sort::SORT, &sort::ARGSORT, &sort::TOPK,
    // reductions and products
    &reduction::SUM, &reduction::PROD, &reduction::MAX, &reduction::MIN, &reduction::ANY, &reduction::ALL,
    &contract::OP, &convolve::OP, &window::OP, &cumulate::OP,
    &winograd::IMAGE, &winograd::KERNEL, &winograd::RESULT,
    // activations
    &act::SIGMOID, &act::SILU, &gelu::OP, &act::RELU, &act::RELU6, &rectifier::LEAKY_RELU, &rectifier::ELU, &act::SELU, &act::SOFTPLUS,
    &act::HARDSIGMOID, &act::HARDSWISH, &act::MISH, &softmax::OP, &softmax::LOG,
    // shorthands
    &act::SQUARE, &act::RSQRT, &act::RECIPROCAL, &act::ISNAN, &act::ISINF, &act::ISFINITE, &clip::OP, &lerp::OP,
    &statistic::MEAN, &statistic::VAR, &statistic::STD, &statistic::NORM, &statistic::LOGSUMEXP, &argmax::MAX, &argmax::MIN,
    &running::SUM, &running::PROD, &dot::OP, &matmul::OP, &einsum::OP, &pool::MAX, &pool::AVG, &resize::OP, &stack::OP,
    &flip::OP, &roll::OP, &triangle::LOWER, &triangle::UPPER, &eye::OP, &linspace::OP, &onehot::OP,
    // gradients
    &stop_gradient::OP, &stop_gradient::STRAIGHT_THROUGH, &vjp::OP,
    // control
    &r#loop::OP, &r#while::OP, &scan::OP, &cond::OP, &fused::OP, &attend::OP, &banded::OP, &recomputed::OP,
];

/// The op of this name.
pub fn find(name: &str) -> Option<&'static OpDef> {
    TABLE.iter().copied().find(|op| op.name == name)
}

#[cfg(test)]
mod tests;
