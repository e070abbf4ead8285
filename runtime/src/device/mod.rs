//! Where kernels run. One folder per kind of device.

pub mod cpu;
