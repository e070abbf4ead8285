//! The programs that the tests of sessions are written in: kernels that are functions of this process, and short names for
//! the parts of a plan.
//!
//! Invariant: what opens here opens on the CPU and on a device that holds its own memory alike.

use std::sync::Arc;

use crate::data::TensorRef;
use crate::device::cpu::{self, KernelFn};
use crate::error::RunError;
use crate::exec::gpu::tests::Device;
use crate::exec::{Options, Session};
use crate::program::{
    Access, DType, Dim, Entry, Kernel, KernelArg, KernelId, ParamDecl, Port, Program, SizeDecl, Step, Storage, Symbol,
    Target, ValueDecl, ValueId,
};
use crate::weights::WeightSet;

/// `out[i] = a[i] + b[i]`
unsafe extern "C" fn add(args: *const *mut u8, _: *const i64, begin: i64, end: i64) {
    for i in begin as usize..end as usize {
        // SAFETY: the tests launch this over buffers of as many floats as the grid has items.
        unsafe {
            let at = |arg: usize| (*args.add(arg)).cast::<f32>().add(i);
            *at(2) = *at(0) + *at(1);
        }
    }
}

/// `out[i] = a[i] * sizes[0]`
unsafe extern "C" fn scale(args: *const *mut u8, sizes: *const i64, begin: i64, end: i64) {
    for i in begin as usize..end as usize {
        // SAFETY: as in `add`.
        unsafe {
            let at = |arg: usize| (*args.add(arg)).cast::<f32>().add(i);
            *at(1) = *at(0) * *sizes as f32;
        }
    }
}

/// `out = a[0] < limit[0]`
unsafe extern "C" fn less(args: *const *mut u8, _: *const i64, _: i64, _: i64) {
    // SAFETY: the tests pass one float, one float and one bool.
    unsafe {
        let at = |arg: usize| (*args.add(arg)).cast::<f32>();
        *(*args.add(2)) = u8::from(*at(0) < *at(1));
    }
}

pub(super) const ADD: KernelId = KernelId(0);
pub(super) const SCALE: KernelId = KernelId(1);
pub(super) const LESS: KernelId = KernelId(2);

pub(super) fn dim(text: &str) -> Dim {
    text.parse().unwrap()
}

pub(super) fn port(name: &str, dtype: DType, shape: &[&str]) -> Port {
    Port { name: name.into(), dtype, shape: shape.iter().map(|text| dim(text)).collect() }
}

pub(super) fn value(dtype: DType, shape: &[&str], storage: Storage, lifetime: (u32, u32)) -> ValueDecl {
    ValueDecl { dtype, shape: shape.iter().map(|text| dim(text)).collect(), storage, lifetime }
}

pub(super) fn launch(kernel: KernelId, args: &[u32], sizes: &[&str], grid: &str) -> Step {
    let args = args.iter().map(|&id| ValueId(id)).collect();
    let sizes = sizes.iter().copied().chain([grid]).map(dim).collect();
    Step::Launch { kernel, args, sizes, grid: dim(grid), grain: dim("2") }
}

pub(super) fn entry(name: &str) -> Entry {
    Entry {
        name: name.into(),
        graph: String::new(),
        sizes: vec![SizeDecl { symbol: Symbol::new("N"), lo: 1, hi: Some(1000) }],
        names: vec![],
        scalars: vec![],
        checks: vec![],
        inputs: vec![],
        outputs: vec![],
        values: vec![],
        steps: vec![],
        labels: vec![],
    }
}

pub(super) fn program(entries: Vec<Entry>) -> Program {
    let mut program = Program::new("test", Target::default());
    let arg = |access, dtype, shape: &str| KernelArg { access, dtype, shape: vec![dim(shape)] };
    let (read, write) = (arg(Access::Read, DType::F32, "n"), arg(Access::Write, DType::F32, "n"));
    let bool_out = arg(Access::Write, DType::Bool, "1");
    let kernels = [
        ("add", vec![read.clone(), read.clone(), write.clone()], vec!["n"], "n"),
        ("scale", vec![read.clone(), write], vec!["by", "n"], "n"),
        ("less", vec![read.clone(), read, bool_out], vec!["n"], "n"),
    ];
    for (name, args, sizes, grid) in kernels {
        let (name, text) = (name.to_string(), String::new());
        let size = |name: &str| SizeDecl { symbol: Symbol::new(name), lo: 0, hi: Some(1 << 20) };
        program.kernels.push(Kernel {
            symbol: name.clone(),
            name,
            text,
            object: None,
            sizes: sizes.into_iter().map(size).collect(),
            args,
            grid: dim(grid),
            sequential: false,
        });
    }
    program.params.push(ParamDecl { name: "w".into(), dtype: DType::F32, shape: vec![4] });
    program.entries = entries;
    program
}

pub(super) fn open(program: &Program, options: Options) -> Result<Session, RunError> {
    // SAFETY: these are the kernels that `program` declares.
    let code = unsafe { cpu::Code::from_functions(vec![add as KernelFn, scale, less]) };
    let weights = WeightSet::from_fn(&program.params, |_, shape| (0..shape[0]).map(|i| i as f32).collect())?;
    Session::open(Arc::new(program.clone()), Arc::new(code), Arc::new(weights), options)
}

pub(super) type Open = fn(&Program, Options) -> Result<Session, RunError>;

/// On the CPU, and on a device that holds its own memory.
pub(super) const EVERYWHERE: [Open; 2] = [open, |program, options| open_on(&device(), program, options)];

pub(super) fn device() -> Arc<Device> {
    Device::new(vec![add as KernelFn, scale, less])
}

pub(super) fn open_on(device: &Arc<Device>, program: &Program, options: Options) -> Result<Session, RunError> {
    let weights = WeightSet::from_fn(&program.params, |_, shape| (0..shape[0]).map(|i| i as f32).collect())?;
    Session::open(Arc::new(program.clone()), Arc::clone(device), Arc::new(weights), options)
}

pub(super) fn poisoned() -> Options {
    Options { threads: 2, poison: true, ..Options::default() }
}

pub(super) fn floats(session: &mut Session, entry: &str, inputs: &[(&str, TensorRef)]) -> Result<Vec<f32>, RunError> {
    let outputs = session.run(entry, inputs)?;
    Ok(outputs[0].1.as_slice::<f32>().unwrap().to_vec())
}
