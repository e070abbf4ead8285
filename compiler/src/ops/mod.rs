//! The ops: one file each, and this table. Names in specs, the text form, the manual, random graphs and gradient checks
//! all derive from it.

pub mod broadcast;
pub mod cast;
pub mod concat;
pub mod constant;
pub mod contract;
pub mod convolve;
pub mod cumulate;
pub mod dim;
pub mod elementwise;
pub mod fill;
pub mod iota;
pub mod pad;
pub mod pattern;
pub mod permute;
pub mod random_bits;
pub mod reduction;
pub mod reshape;
pub mod slice;
pub mod window;

use std::sync::LazyLock;

use crate::graph::OpDef;

/// Every op that graphs are made of, in the order of the manual.
pub static TABLE: LazyLock<Vec<&'static OpDef>> = LazyLock::new(|| [SOURCES, elementwise::ALL, MOVEMENT].concat());

static SOURCES: &[&OpDef] = &[&constant::OP, &fill::OP, &iota::OP, &dim::OP, &random_bits::OP];

static MOVEMENT: &[&OpDef] =
    &[&cast::OP, &broadcast::OP, &reshape::OP, &permute::OP, &slice::OP, &pad::OP, &concat::OP];

/// The op of this name.
pub fn find(name: &str) -> Option<&'static OpDef> {
    TABLE.iter().copied().find(|op| op.name == name)
}
