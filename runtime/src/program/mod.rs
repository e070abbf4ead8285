//! What a compiled program is: plain data, with no behaviour beyond checking and evaluating itself.

pub mod dtype;
pub mod random;
pub mod size;
