//! How long the stages of a command take, for `-v`.

use std::time::Instant;

use tilewright::Times;

use super::term::detail;

/// Does something and says how long that took.
pub fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    detail(format!("{what} in {:.1?}", start.elapsed()));
    result
}

/// What the compiler spent its time on.
pub fn compiled(times: &Times, n_kernels: usize) {
    let Times { passes, plan, codegen } = times;
    detail(match passes.is_zero() && plan.is_zero() {
        true => format!("read what was compiled before in {codegen:.1?}, {n_kernels} kernels"),
        false => format!("passes {passes:.1?}, plan {plan:.1?}, code {codegen:.1?}, {n_kernels} kernels"),
    });
}
