//! The ops: one file each, and this table. Names in specs, the text form, the manual, random graphs and gradient checks
//! all derive from it.

mod broadcast;
mod elementwise;

use crate::graph::OpDef;

/// Every op that graphs are made of, in the order of the manual.
pub static TABLE: &[&OpDef] =
    &[&elementwise::ADD, &elementwise::SUB, &elementwise::DIV, &elementwise::MAX, &elementwise::EXP, &broadcast::OP];

/// The op of this name.
pub fn find(name: &str) -> Option<&'static OpDef> {
    TABLE.iter().copied().find(|op| op.name == name)
}
