//! After the first call for a size, a call into the caller's own outputs allocates nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use tilewright_runtime::data::{Tensor, TensorRef};
use tilewright_runtime::device::cpu::{Code, KernelFn};
use tilewright_runtime::exec::{Options, Session};
use tilewright_runtime::program::*;
use tilewright_runtime::weights::WeightSet;

struct Counting;

thread_local! {
    /// Of this thread: others, such as the test's own, may be starting up meanwhile.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// `out[i] = in[i] + 1`
unsafe extern "C" fn increment(args: *const *mut u8, _: *const i64, begin: i64, end: i64) {
    for i in begin as usize..end as usize {
        // SAFETY: launched over two buffers of as many floats as items.
        unsafe { *(*args.add(1)).cast::<f32>().add(i) = *(*args).cast::<f32>().add(i) + 1.0 };
    }
}

/// `y = x`, then `rounds` times `y = y + 1`, with a check on `rounds`.
fn program() -> Program {
    let dim = |text: &str| text.parse::<Dim>().unwrap();
    let port = |name: &str, dtype, shape: &[&str]| Port {
        name: name.into(),
        dtype,
        shape: shape.iter().map(|text| dim(text)).collect(),
    };
    let value = |dtype, shape: &[&str], storage, lifetime| ValueDecl {
        dtype,
        shape: shape.iter().map(|text| dim(text)).collect(),
        storage,
        lifetime,
    };
    let launch = |from, to| Step::Launch {
        kernel: KernelId(0),
        args: vec![ValueId(from), ValueId(to)],
        sizes: vec![dim("N")],
        grid: dim("N"),
        grain: dim("16"),
    };
    let mut program = Program::new("count", Target::default());
    program.kernels.push(Kernel {
        name: "increment".into(),
        text: String::new(),
        symbol: "increment".into(),
        object: None,
        sizes: vec![SizeDecl { symbol: Symbol::new("n"), lo: 1, hi: None }],
        args: [Access::Read, Access::Write]
            .map(|access| KernelArg { access, dtype: DType::F32, shape: vec![dim("n")] })
            .to_vec(),
        grid: dim("n"),
        sequential: false,
    });
    program.entries.push(Entry {
        name: "call".into(),
        graph: String::new(),
        sizes: vec![SizeDecl { symbol: Symbol::new("N"), lo: 1, hi: None }],
        names: vec![],
        scalars: vec![ScalarDecl { symbol: Symbol::new("rounds"), input: 1 }],
        checks: vec![Check {
            left: dim("rounds"),
            relation: Relation::AtMost,
            right: dim("100"),
            message: String::new(),
        }],
        inputs: vec![port("x", DType::F32, &["N"]), port("rounds", DType::I64, &[])],
        outputs: vec![port("y", DType::F32, &["N"])],
        values: vec![
            value(DType::F32, &["N"], Storage::Input(0), (0, 0)),
            value(DType::I64, &[], Storage::Input(1), (0, 0)),
            value(DType::F32, &["N"], Storage::Output(0), (0, 0)),
            value(DType::F32, &["N"], Storage::Arena, (2, 3)),
            value(DType::I64, &[], Storage::Arena, (1, 3)),
        ],
        steps: vec![
            Step::Copy { from: ValueId(0), to: ValueId(2) },
            Step::Repeat {
                counter: ValueId(4),
                from: Bound::Size(dim("0")),
                to: Bound::Value(ValueId(1)),
                body: vec![launch(2, 3), Step::Copy { from: ValueId(3), to: ValueId(2) }],
            },
        ],
        labels: vec![],
    });
    program
}

#[test]
fn repeated_calls_allocate_nothing() {
    // SAFETY: this is the one kernel that `program` declares.
    let code = unsafe { Code::from_functions(vec![increment as KernelFn]) };
    let options = Options { threads: 2, ..Options::default() };
    let weights = Arc::new(WeightSet::default());
    let mut session = Session::open(Arc::new(program()), Arc::new(code), weights, options).unwrap();
    let sizes = [1000usize, 50];
    let x = vec![0.5f32; 1000];
    let rounds = [20i64];
    let mut outputs = sizes.map(|n| Tensor::zeros(DType::F32, &[n]).unwrap());
    let mut call_all = |session: &mut Session| {
        for (n, output) in sizes.iter().zip(&mut outputs) {
            let x = TensorRef::of(std::slice::from_ref(n), &x[..*n]).unwrap();
            let rounds = TensorRef::of(&[], &rounds).unwrap();
            session.run_into("call", &[("x", x), ("rounds", rounds)], &mut [("y", output.view_mut())]).unwrap();
        }
    };
    call_all(&mut session);
    let before = ALLOCATIONS.get();
    for _ in 0..100 {
        call_all(&mut session);
    }
    assert_eq!(ALLOCATIONS.get(), before);
    assert!(outputs[0].as_slice::<f32>().unwrap().iter().all(|&y| y == 20.5));
}
