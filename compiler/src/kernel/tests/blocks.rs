//! Kernels of blocks of threads: what the interpreter finds in wrong ones, and that it finds nothing in others.
//!
//! The clean kernels are those of `tests/kernels`, lowered; mutants of them are made by one change each.

use super::*;
use crate::graph::Scalar;

/// Threads of the blocks that are run: few, so that runs are short, and a tree of two stages is needed.
const THREADS: u32 = 16;

fn blocks() -> TargetDesc {
    TargetDesc { threads: THREADS, ..TargetDesc::BLOCKS }
}

/// Four threads, a shared and a global memory of four elements.
fn block(body: &str) -> String {
    let memories = "buffer x: f32[4] read buffer y: f32[4] readwrite shared t: f32[4] local own: f32[4]";
    let known = "%0: i64<> = argument thread %1: i64<> = const 0 %2: i64<> = const 1 %3: f32<> = const 1.0";
    format!("kernel k loop 1 threads 4 {{ {memories} {known} {body} }}")
}

fn fault_of(text: &str) -> Option<String> {
    let kernel = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(parse(&print(&kernel)).as_ref(), Ok(&kernel));
    let mut buffers = [vec![0; 16], vec![0; 16]];
    interpret(&kernel, &[], &mut buffers, Order::Forward).err().map(|fault| fault.message)
}

#[test]
fn races_are_found() {
    let no_barrier = "by two threads, and no barrier is between";
    let cases = [
        ("store t at %1, %3", "element 0 is written"),
        ("store y at %1, %3", "element 0 is written"),
        ("store t at %0, %3 %4: f32<> = load t at %1", "element 0 is read and written"),
        ("%4: f32<> = load y at %1 store y at %0, %4", "element 0 is read and written"),
        ("store t at %0, %3 barrier %4: f32<> = load t at %1 store t at %0, %4", "element 0 is read and written"),
    ];
    for (body, what) in cases {
        let message = fault_of(&block(body)).unwrap_or_else(|| panic!("nothing found in `{body}`"));
        assert!(message.contains(what) && message.ends_with(no_barrier), "{body}: {message}");
    }
    for clean in [
        "store own at %1, %3 %4: f32<> = load own at %1",
        "store t at %0, %3 %4: f32<> = load t at %0 store t at %0, %4",
        "store t at %0, %3 barrier %4: f32<> = load t at %1 barrier store t at %0, %4",
        "%4: f32<> = load y at %1 %5: f32<> = load x at %1",
    ] {
        assert_eq!(fault_of(&block(clean)), None, "{clean}");
    }
}

#[test]
fn other_faults_of_blocks_are_found() {
    let first = "%4: bool<> = eq %0, %1 if %4 {";
    let cases = [
        (format!("{first} barrier }}"), "thread 0 is at a barrier"),
        (format!("{first} barrier }} else {{ barrier }}"), "thread 0 is at a barrier"),
        ("loop %4 in %1..%0 step 1 { barrier }".to_string(), "is at"),
        ("%4: f32<> = load t at %1".to_string(), "element 0 is read before it is written"),
        (format!("{first} store own at %1, %3 }} barrier %5: f32<> = load own at %1"), "read before it is written"),
        ("store t at %0 + 1, %3".to_string(), "element 4 is outside 0..4"),
        ("%4: f32<> = load x at %0 - 1".to_string(), "element -1 is outside 0..4"),
    ];
    for (body, what) in cases {
        let message = fault_of(&block(&body)).unwrap_or_else(|| panic!("nothing found in `{body}`"));
        assert!(message.contains(what), "{body}: {message}");
    }
}

#[test]
fn blocks_that_are_not_are_refused() {
    let first = "%4: bool<> = eq %0, %1 if %4 {";
    let apart = "not every thread of the block reaches it";
    let cases = [
        (block(&format!("{first} barrier }}")), apart),
        (block("loop %4 in %1..%0 step 1 { barrier }"), apart),
        (block("%4: f32<> = load x at %0 %5: bool<> = eq %4, %3 if %5 { barrier }"), apart),
        (
            block(
                "%4: i64<> = add %1, %2 %8: i64<> = loop %5 in %1..%2 step 1 carry %6 = %1 { loop %7 in %1..%6 step 1 { barrier } yield %0 }",
            ),
            apart,
        ),
        ("kernel k loop 1 { barrier }".to_string(), "only kernels with several threads"),
        ("kernel k loop 1 { %0: i64<> = argument thread }".to_string(), "only kernels with several threads"),
        ("kernel k tile { barrier }".to_string(), "it is not a statement of this level"),
        ("kernel k loop 1 { shared t: f32[4] }".to_string(), "only threads of one block share memory"),
        ("kernel k loop 4 threads 4 { }".to_string(), "it cannot have 4 threads"),
        ("kernel k loop 1 threads 3 { }".to_string(), "it cannot have 3 threads"),
        ("kernel k loop 1 threads 2048 { }".to_string(), "it cannot have 2048 threads"),
        ("kernel k loop 1 threads 4 { local t: f32[100000] }".to_string(), "the locals of a thread take"),
    ];
    for (text, wanted) in cases {
        let kernel = parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let found = errors(verify(&kernel).expect_err(&text));
        assert!(found.contains(wanted), "{text}: {found}");
    }
    let uniform =
        block("%4: f32<> = load x at %1 %5: bool<> = eq %4, %3 if %5 { barrier } loop %6 in %1..%2 step 1 { barrier }");
    assert_eq!(verify(&parse(&uniform).expect("a kernel")), Ok(()));
}

/// Small changes that make a kernel of blocks wrong.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// The barrier of this number is left out.
    NoBarrier(usize),
    /// Only the first thread comes to it.
    LonelyBarrier(usize),
    /// The access of this number goes one further.
    OneFurther(usize),
    /// The access of this number is where that of the first thread is.
    SameForAll(usize),
    /// The condition of this number always holds.
    Always(usize),
    /// A shared memory is every thread's own.
    NotShared(usize),
    /// The `mma` of this number gets two of its operands the wrong way round.
    Swapped(usize, [usize; 2]),
    /// Only the first thread comes to the `mma` of this number.
    LonelyMma(usize),
}

/// Applies the change to what it counts; false if there are fewer.
fn change(kernel: &mut Kernel, change: Change) -> bool {
    let mut body = std::mem::take(&mut kernel.body);
    let mut left = match change {
        Change::NotShared(nth) => {
            kernel.body = body;
            let shared = kernel.locals.iter_mut().filter(|local| local.scope == Scope::Shared);
            return shared.into_iter().nth(nth).map(|local| local.scope = Scope::Local).is_some();
        }
        Change::NoBarrier(nth)
        | Change::LonelyBarrier(nth)
        | Change::OneFurther(nth)
        | Change::SameForAll(nth)
        | Change::Swapped(nth, _)
        | Change::LonelyMma(nth)
        | Change::Always(nth) => nth + 1,
    };
    walk(kernel, &mut body, change, &mut left);
    kernel.body = body;
    left == 0
}

fn walk(kernel: &mut Kernel, block: &mut Block, change: Change, left: &mut usize) {
    let mut at = 0;
    while at < block.stmts.len() && *left > 0 {
        let stmt = &mut block.stmts[at];
        let fits = match (&stmt.op, change) {
            (Op::Barrier, Change::NoBarrier(_) | Change::LonelyBarrier(_)) => true,
            (Op::LoadAt(_) | Op::StoreAt(..), Change::OneFurther(_) | Change::SameForAll(_)) => true,
            (Op::If(_), Change::Always(_)) => true,
            (Op::Mma(..), Change::Swapped(..) | Change::LonelyMma(_)) => true,
            _ => false,
        };
        if fits {
            *left -= 1;
            if *left == 0 {
                apply(kernel, block, at, change);
                return;
            }
        }
        let stmt = &mut block.stmts[at];
        for inner in stmt.op.blocks_mut() {
            walk(kernel, inner, change, left);
        }
        at += 1;
    }
}

fn apply(kernel: &mut Kernel, block: &mut Block, at: usize, change: Change) {
    let mut fresh = |ty: Type| {
        kernel.values.push(ty);
        Value(kernel.values.len() as u32 - 1)
    };
    let scalar = |dtype| Type::scalar(dtype);
    match change {
        Change::NoBarrier(_) => {
            block.stmts.remove(at);
        }
        Change::LonelyBarrier(_) | Change::LonelyMma(_) => {
            let stmt = block.stmts.remove(at);
            let results: Vec<Value> = stmt.results.iter().map(|_| fresh(scalar(DType::F32))).collect();
            let sums = stmt.op.operands()[..results.len()].to_vec();
            let (thread, zero, is_first) =
                (fresh(scalar(DType::I64)), fresh(scalar(DType::I64)), fresh(scalar(DType::Bool)));
            let own = Stmt { results: results.clone(), op: stmt.op };
            let then = Block { stmts: vec![own], yields: results };
            let otherwise = Block { stmts: Vec::new(), yields: sums };
            let lonely = If { condition: Condition::Value(is_first), then, otherwise };
            let stmts = [
                Stmt { results: vec![thread], op: Op::Argument(Argument::Thread) },
                Stmt { results: vec![zero], op: Op::Const(Literal::int(0)) },
                Stmt { results: vec![is_first], op: Op::Scalar(Scalar::Eq, vec![thread, zero]) },
                Stmt { results: stmt.results, op: Op::If(Box::new(lonely)) },
            ];
            block.stmts.splice(at..at, stmts);
        }
        Change::OneFurther(_) => {
            if let Op::LoadAt(place) | Op::StoreAt(place, _) = &mut block.stmts[at].op {
                place.plus += 1;
            }
        }
        Change::SameForAll(_) => {
            let zero = fresh(scalar(DType::I64));
            if let Op::LoadAt(place) | Op::StoreAt(place, _) = &mut block.stmts[at].op {
                place.offset = zero;
            }
            block.stmts.insert(at, Stmt { results: vec![zero], op: Op::Const(Literal::int(0)) });
        }
        Change::Always(_) => {
            let yes = fresh(scalar(DType::Bool));
            if let Op::If(inner) = &mut block.stmts[at].op {
                inner.condition = Condition::Value(yes);
            }
            block.stmts.insert(at, Stmt { results: vec![yes], op: Op::Const(Literal::bool(true)) });
        }
        Change::Swapped(_, [a, b]) => {
            if let Op::Mma(_, operands) = &mut block.stmts[at].op {
                operands.swap(a, b);
            }
        }
        Change::NotShared(_) => {}
    }
}

/// The faults that the checker must find, by kernel.
#[rustfmt::skip]
const SEEDED: [(&str, Change); 30] = [
    ("argmax", Change::NoBarrier(1)), ("argmax", Change::NoBarrier(2)), ("argmax", Change::NoBarrier(3)),
    ("argmax", Change::NoBarrier(4)), ("bools", Change::NoBarrier(1)), ("bools", Change::NoBarrier(2)),
    ("columns", Change::NoBarrier(2)), ("columns", Change::NoBarrier(3)), ("columns", Change::NoBarrier(4)),
    ("columns", Change::NoBarrier(5)), ("softmax", Change::NoBarrier(1)), ("softmax", Change::NoBarrier(2)),
    ("softmax", Change::NoBarrier(4)), ("softmax", Change::NoBarrier(5)),
    ("argmax", Change::NotShared(1)), ("columns", Change::NotShared(2)), ("softmax", Change::NotShared(0)),
    ("softmax", Change::LonelyBarrier(1)), ("columns", Change::LonelyBarrier(3)),
    ("transpose", Change::OneFurther(2)), ("gather", Change::OneFurther(2)), ("matmul", Change::OneFurther(9)),
    ("softmax", Change::OneFurther(10)), ("columns", Change::OneFurther(6)), ("scatter", Change::OneFurther(2)),
    ("gather", Change::SameForAll(3)), ("transpose", Change::SameForAll(8)), ("scatter", Change::SameForAll(3)),
    ("gather", Change::Always(0)), ("scatter", Change::Always(0)),
];

/// The same of products that warps compute. Those of the second list race with nobody: their numbers are wrong.
#[rustfmt::skip]
const SEEDED_PRODUCTS: [(&str, Change); 10] = [
    ("mma", Change::NoBarrier(0)), ("mma", Change::NoBarrier(1)), ("mma", Change::NoBarrier(2)),
    ("mma_half", Change::NoBarrier(1)), ("staged", Change::NoBarrier(0)), ("staged", Change::NoBarrier(1)),
    ("mma", Change::NotShared(0)), ("mma", Change::NotShared(1)), ("mma", Change::LonelyMma(3)),
    ("staged", Change::NotShared(0)),
];
#[rustfmt::skip]
const WRONG_PRODUCTS: [(&str, Change); 6] = [
    ("mma", Change::Swapped(0, [4, 5])), ("mma", Change::Swapped(1, [5, 6])), ("mma", Change::Swapped(2, [8, 9])),
    ("mma_half", Change::Swapped(3, [0, 2])), ("mma", Change::OneFurther(8)), ("mma", Change::SameForAll(9)),
];

fn lowered(name: &str) -> (Kernel, Vec<Vec<i64>>) {
    lowered_for(name, &blocks())
}

fn lowered_for(name: &str, target: &TargetDesc) -> (Kernel, Vec<Vec<i64>>) {
    let (_, text) = fixtures("").into_iter().find(|(other, _)| other == name).expect("a fixture");
    let kernel = parse(&text).expect("a kernel");
    let runs = directives(&text, "run").map(|run| sizes_of(&kernel, run)).collect();
    (lower(&kernel, target).expect("a kernel of blocks"), runs)
}

fn first_fault(kernel: &Kernel, runs: &[Vec<i64>]) -> Option<String> {
    let orders = [Order::Forward, Order::Whole];
    let each = runs.iter().flat_map(|sizes| orders.map(|order| (sizes, order)));
    each.into_iter().find_map(|(sizes, order)| {
        let mut buffers = inputs(kernel, sizes);
        interpret(kernel, sizes, &mut buffers, order).err().map(|fault| fault.to_string())
    })
}

#[test]
fn seeded_faults_are_found() {
    for (name, fault) in SEEDED {
        let (clean, runs) = lowered(name);
        assert_eq!(first_fault(&clean, &runs), None, "{name}");
        let mut mutant = clean.clone();
        assert!(change(&mut mutant, fault), "{name} has no place for {fault:?}");
        assert!(first_fault(&mutant, &runs).is_some(), "{name} with {fault:?} passes\n{mutant}");
    }
}

#[test]
fn faults_in_products_of_warps_are_found() {
    for (name, fault) in SEEDED_PRODUCTS {
        let (clean, runs) = lowered_for(name, &TargetDesc::CUDA);
        assert_eq!(first_fault(&clean, &runs), None, "{name}");
        let mut mutant = clean.clone();
        assert!(change(&mut mutant, fault), "{name} has no place for {fault:?}");
        assert!(first_fault(&mutant, &runs).is_some(), "{name} with {fault:?} passes");
    }
}

#[test]
fn elements_in_the_wrong_lanes_give_other_numbers() {
    for (name, fault) in WRONG_PRODUCTS {
        let (clean, runs) = lowered_for(name, &TargetDesc::CUDA);
        let mut mutant = clean.clone();
        assert!(change(&mut mutant, fault), "{name} has no place for {fault:?}");
        let is_found = runs.iter().any(|sizes| {
            let mut buffers = inputs(&mutant, sizes);
            let ran = interpret(&mutant, sizes, &mut buffers, Order::Forward);
            ran.is_err() || buffers != run(name, &clean, sizes, Order::Forward)
        });
        assert!(is_found, "{name} with {fault:?} gives the same");
    }
}

#[test]
fn products_of_warps_that_are_not_are_refused() {
    let ones = "%0: f32<> = const 1.0 %1: u32<> = const 0";
    let results = "%2: f32<>, %3: f32<>, %4: f32<>, %5: f32<>";
    let operands = "%0, %0, %0, %0, %1, %1, %1, %1, %1, %1";
    let text = |threads: u32, body: &str| format!("kernel k loop 1 threads {threads} {{ {ones} {body} }}");
    let thread = "%6: i64<> = argument thread %7: bool<> = eq %6, %6 if %7 {";
    let cases = [
        (text(16, &format!("{results} = mma bf16 {operands}")), "it takes warps of 32 threads"),
        (text(32, &format!("{results} = mma f64 {operands}")), "there is no matrix product of f64"),
        (text(32, &format!("{results} = mma bf16 %0, %1")), "it takes 10 values, not 2"),
        (text(32, &format!("%2: f32<> = mma bf16 {operands}")), "it has 1 results, not 4"),
        (text(32, &format!("{results} = mma f16 {}", operands.replace("%1", "%0"))), "%0 is f32<>, not u32<>"),
        (text(32, &format!("{thread} {results} = mma bf16 {operands} }}")), "not every thread of the block reaches it"),
    ];
    for (text, wanted) in cases {
        let kernel = parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let found = errors(verify(&kernel).expect_err(&text));
        assert!(found.contains(wanted), "{text}: {found}");
    }
    let clean = text(64, &format!("{results} = mma bf16 {operands}"));
    let kernel = parse(&clean).expect("a kernel");
    assert_eq!((verify(&kernel), parse(&print(&kernel)).as_ref()), (Ok(()), Ok(&kernel)));
}
