//! Programs written by hand over kernels that are functions of this process.

use super::*;
use crate::device::cpu::{self, KernelFn};
use crate::exec::gpu::tests::{Device, complaint};
use crate::program::{
    Access, Bound, Check, DType, Dim, Entry, InitValue, Kernel, KernelArg, KernelId, ParamDecl, Port, Relation,
    ScalarDecl, SizeDecl, SliceMove, StateDecl, Storage, Target, ValueDecl, ValueId,
};

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

fn device() -> Arc<Device> {
    Device::new(vec![add as KernelFn, scale, less])
}

fn open_on(device: &Arc<Device>, program: &Program, options: Options) -> Result<Session, RunError> {
    let weights = WeightSet::from_fn(&program.params, |_, shape| (0..shape[0]).map(|i| i as f32).collect())?;
    Session::open(Arc::new(program.clone()), Arc::clone(device), Arc::new(weights), options)
}

pub(super) fn poisoned() -> Options {
    Options { threads: 2, poison: true, ..Options::default() }
}

/// `y = (x + x) * N`, through two arena values.
fn double_and_scale() -> Entry {
    Entry {
        inputs: vec![port("x", DType::F32, &["N"])],
        outputs: vec![port("y", DType::F32, &["N"])],
        values: vec![
            value(DType::F32, &["N"], Storage::Input(0), (0, 0)),
            value(DType::F32, &["N"], Storage::Arena, (0, 1)),
            value(DType::F32, &["N"], Storage::Arena, (1, 2)),
            value(DType::F32, &["N"], Storage::Output(0), (2, 2)),
        ],
        steps: vec![
            launch(ADD, &[0, 0, 1], &[], "N"),
            launch(SCALE, &[1, 2], &["N"], "N"),
            Step::Copy { from: ValueId(2), to: ValueId(3) },
        ],
        labels: vec!["x + x".into(), "* N".into(), "y".into()],
        ..entry("call")
    }
}

pub(super) fn floats(session: &mut Session, entry: &str, inputs: &[(&str, TensorRef)]) -> Result<Vec<f32>, RunError> {
    let outputs = session.run(entry, inputs)?;
    Ok(outputs[0].1.as_slice::<f32>().unwrap().to_vec())
}

#[test]
fn one_program_serves_every_size() {
    for open in EVERYWHERE {
        let program = program(vec![double_and_scale()]);
        for options in [poisoned(), Options { threads: 1, ..Options::default() }] {
            let mut session = open(&program, options).unwrap();
            for n in [1usize, 7, 100, 7, 1000, 3] {
                let x: Vec<f32> = (0..n).map(|i| i as f32).collect();
                let y = floats(&mut session, "call", &[("x", TensorRef::of(&[n], &x).unwrap())]).unwrap();
                assert!(y.iter().enumerate().all(|(i, &y)| y == (2 * i * n) as f32), "n = {n}");
            }
            for n in 1..40usize {
                let x = vec![1f32; n];
                floats(&mut session, "call", &[("x", TensorRef::of(&[n], &x).unwrap())]).unwrap();
            }
            assert!(session.plans[0].len() <= MAX_PLANS);
        }
    }
}

#[test]
fn outputs_may_be_the_callers() {
    for open in EVERYWHERE {
        let mut session = open(&program(vec![double_and_scale()]), poisoned()).unwrap();
        let mut y = Tensor::zeros(DType::F32, &[3]).unwrap();
        let inputs = [("x", TensorRef::of(&[3], &[1f32, 2.0, 3.0]).unwrap())];
        session.run_into("call", &inputs, &mut [("y", y.view_mut())]).unwrap();
        assert_eq!(y.as_slice::<f32>(), Some(&[6.0, 12.0, 18.0][..]));
        let mut short = Tensor::zeros(DType::F32, &[2]).unwrap();
        let error = session.run_into("call", &inputs, &mut [("y", short.view_mut())]).unwrap_err();
        assert_eq!(error.message, "output `y` is f32[3], not f32[2]");
        assert!(session.run_into("call", &inputs, &mut []).is_err());
    }
}

#[test]
fn wrong_calls_are_explained() {
    for open in EVERYWHERE {
        let mut session = open(&program(vec![double_and_scale()]), poisoned()).unwrap();
        let x = [1f32, 2.0];
        let good = TensorRef::of(&[2], &x).unwrap();
        let flat = TensorRef::of(&[1, 2], &x).unwrap();
        let ints = TensorRef::of(&[1], &[1i32]).unwrap();
        let mut message =
            |entry: &str, inputs: &[(&str, TensorRef)]| session.run(entry, inputs).unwrap_err().to_string();
        assert!(message("cal", &[]).contains("did you mean `call`?"));
        assert!(message("call", &[]).contains("`call` needs the input `x`: f32[N]"));
        assert!(message("call", &[("z", good)]).contains("`call` has no input `z`"));
        assert!(message("call", &[("x", good), ("x", good)]).contains("passed twice"));
        assert!(message("call", &[("x", flat)]).contains("must be f32[N], not f32[1, 2]"));
        assert!(message("call", &[("x", ints)]).contains("must be f32[N], not i32[1]"));
        assert!(message("call", &[("x", TensorRef::of(&[0], &[0f32; 0]).unwrap())]).contains("from 1 to 1000, not 0"));
        let bad_size = Options { sizes: vec![("M".into(), 2)], ..Options::default() };
        let error = open(&program(vec![double_and_scale()]), bad_size).err().unwrap();
        assert!(error.to_string().contains("no size `M`"));
    }
}

#[test]
fn memory_is_limited_before_anything_runs() {
    for open in EVERYWHERE {
        let options = Options { max_memory: Some(1024), ..Options::default() };
        let mut session = open(&program(vec![double_and_scale()]), options).unwrap();
        let x = vec![1f32; 500];
        assert!(session.run("call", &[("x", TensorRef::of(&[10], &x[..10]).unwrap())]).is_ok());
        let error = session.run("call", &[("x", TensorRef::of(&[500], &x).unwrap())]).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Memory);
        assert!(error.message.contains("4.0 KiB"), "{error}");
    }
}

/// `sum <- sum + x` over a state that starts from a weight; then ten rounds of `y = y + sum`.
fn accumulate() -> (Entry, StateDecl) {
    let call = Entry {
        inputs: vec![port("x", DType::F32, &["4"]), port("rounds", DType::I64, &[])],
        outputs: vec![port("y", DType::F32, &["4"])],
        values: vec![
            value(DType::F32, &["4"], Storage::Input(0), (0, 0)),
            value(DType::I64, &[], Storage::Input(1), (0, 0)),
            value(DType::F32, &["4"], Storage::State(0), (0, 0)),
            value(DType::F32, &["4"], Storage::Arena, (0, 1)),
            value(DType::I64, &[], Storage::Arena, (3, 5)),
            value(DType::F32, &["4"], Storage::Output(0), (0, 0)),
            value(DType::F32, &["4"], Storage::Arena, (2, 6)),
            value(DType::F32, &["4"], Storage::Arena, (4, 5)),
        ],
        steps: vec![
            launch(ADD, &[0, 2, 3], &[], "4"),
            Step::Copy { from: ValueId(3), to: ValueId(2) },
            launch(SCALE, &[2, 6], &["0"], "4"),
            Step::Repeat {
                counter: ValueId(4),
                from: Bound::Size(dim("0")),
                to: Bound::Value(ValueId(1)),
                body: vec![launch(ADD, &[6, 2, 7], &[], "4"), Step::Copy { from: ValueId(7), to: ValueId(6) }],
            },
            Step::Copy { from: ValueId(6), to: ValueId(5) },
        ],
        sizes: vec![],
        ..entry("call")
    };
    let sum = StateDecl { name: "sum".into(), dtype: DType::F32, shape: vec![dim("4")], init: InitValue::Param(0) };
    (call, sum)
}

#[test]
fn state_lasts_and_loops_carry() {
    for open in EVERYWHERE {
        let (call, sum) = accumulate();
        let mut program = program(vec![call]);
        program.states.push(sum);
        let mut session = open(&program, poisoned()).unwrap();
        let x = TensorRef::of(&[4], &[1f32; 4]).unwrap();
        let mut call = |rounds: i64| {
            let rounds = TensorRef::of(&[], std::slice::from_ref(&rounds)).unwrap();
            floats(&mut session, "call", &[("x", x), ("rounds", rounds)]).unwrap()
        };
        assert_eq!(call(1), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(call(10), [20.0, 30.0, 40.0, 50.0]);
        assert_eq!(call(-3), [0.0; 4]);
        assert_eq!(session.state("sum").unwrap().as_slice::<f32>(), Some(&[3.0, 4.0, 5.0, 6.0][..]));
        session.reset().unwrap();
        assert_eq!(session.state("sum").unwrap().as_slice::<f32>(), Some(&[0.0, 1.0, 2.0, 3.0][..]));
        session.set_state("sum", TensorRef::of(&[4], &[9f32; 4]).unwrap()).unwrap();
        assert!(session.set_state("sum", TensorRef::of(&[2], &[9f32; 2]).unwrap()).is_err());
        let zero = TensorRef::of(&[], &[0i64]).unwrap();
        session.run("call", &[("x", x), ("rounds", zero)]).unwrap();
        assert_eq!(session.state("sum").unwrap().as_slice::<f32>(), Some(&[10.0; 4][..]));
    }
}

/// `while x < limit { x = x + x }`, then `if x < limit2 { y = x + x } else { y = x }`.
fn until() -> Entry {
    let f32_at = |storage, lifetime| value(DType::F32, &["1"], storage, lifetime);
    Entry {
        inputs: vec![
            port("x", DType::F32, &["1"]),
            port("limit", DType::F32, &["1"]),
            port("other", DType::F32, &["1"]),
        ],
        outputs: vec![port("y", DType::F32, &["1"])],
        values: vec![
            f32_at(Storage::Input(0), (0, 0)),
            f32_at(Storage::Input(1), (0, 0)),
            f32_at(Storage::Input(2), (0, 0)),
            f32_at(Storage::Arena, (0, 8)),
            value(DType::Bool, &[], Storage::Arena, (2, 2)),
            f32_at(Storage::Arena, (3, 4)),
            value(DType::Bool, &[], Storage::Arena, (5, 6)),
            f32_at(Storage::Output(0), (0, 0)),
        ],
        steps: vec![
            Step::Copy { from: ValueId(0), to: ValueId(3) },
            Step::While {
                at_most: Some(Bound::Size(dim("20"))),
                cond: ValueId(4),
                test: vec![launch(LESS, &[3, 1, 4], &[], "1")],
                body: vec![launch(ADD, &[3, 3, 5], &[], "1"), Step::Copy { from: ValueId(5), to: ValueId(3) }],
            },
            launch(LESS, &[3, 2, 6], &[], "1"),
            Step::Cond {
                cond: ValueId(6),
                then: vec![launch(ADD, &[3, 3, 7], &[], "1")],
                otherwise: vec![Step::Copy { from: ValueId(3), to: ValueId(7) }],
            },
        ],
        sizes: vec![],
        ..entry("call")
    }
}

#[test]
fn while_and_cond_follow_their_conditions() {
    for open in EVERYWHERE {
        let mut session = open(&program(vec![until()]), poisoned()).unwrap();
        let mut call = |x: f32, limit: f32, other: f32| {
            let values = [[x], [limit], [other]];
            let view = |i: usize| TensorRef::of(&[1], &values[i]).unwrap();
            floats(&mut session, "call", &[("x", view(0)), ("limit", view(1)), ("other", view(2))]).unwrap()[0]
        };
        assert_eq!(call(1.0, 100.0, 0.0), 128.0);
        assert_eq!(call(1.0, 100.0, 1000.0), 256.0);
        assert_eq!(call(5.0, 1.0, 0.0), 5.0);
        assert_eq!(call(1.0, f32::INFINITY, 0.0), (1 << 20) as f32);
    }
}

/// A state of N rows: `rows[at] = x`, `y = rows[at]`; `at < N` is checked at entry if `checked`.
fn rows(checked: bool) -> (Entry, StateDecl) {
    let mut call = Entry {
        inputs: vec![port("x", DType::F32, &["4"]), port("at", DType::I64, &[]), port("n", DType::U8, &["N"])],
        outputs: vec![port("y", DType::F32, &["4"])],
        values: vec![
            value(DType::F32, &["4"], Storage::Input(0), (0, 0)),
            value(DType::I64, &[], Storage::Input(1), (0, 0)),
            value(DType::F32, &["N", "4"], Storage::State(0), (0, 0)),
            value(DType::F32, &["4"], Storage::Output(0), (0, 0)),
        ],
        steps: [(0, 2, SliceMove::Write), (2, 3, SliceMove::Read)]
            .map(|(from, to, direction)| Step::CopySlice {
                from: ValueId(from),
                to: ValueId(to),
                at: ValueId(1),
                direction,
            })
            .to_vec(),
        ..entry("call")
    };
    if checked {
        call.scalars.push(ScalarDecl { symbol: Symbol::new("at"), input: 1 });
        let (left, right, message) = (dim("at + 1"), dim("N"), "the cache is full".to_string());
        call.checks.push(Check { left, relation: Relation::AtMost, right, message });
    }
    let rows =
        StateDecl { name: "rows".into(), dtype: DType::F32, shape: vec![dim("N"), dim("4")], init: InitValue::Zeros };
    (call, rows)
}

#[test]
fn rows_are_checked_and_state_sizes_stay_fixed() {
    for open in EVERYWHERE {
        for checked in [false, true] {
            let (call, state) = rows(checked);
            let mut program = program(vec![call]);
            program.states.push(state);
            let mut session = open(&program, poisoned()).unwrap();
            assert!(session.state("rows").is_err());
            let mut call = |at: i64, n: usize| {
                let bytes = vec![0u8; n];
                let x = TensorRef::of(&[4], &[1f32, 2.0, 3.0, 4.0]).unwrap();
                let at = TensorRef::of(&[], std::slice::from_ref(&at)).unwrap();
                let n = TensorRef::of(std::slice::from_ref(&n), &bytes).unwrap();
                floats(&mut session, "call", &[("x", x), ("at", at), ("n", n)]).map_err(|error| error.to_string())
            };
            assert_eq!(call(2, 3).unwrap(), [1.0, 2.0, 3.0, 4.0]);
            let error = call(3, 3).unwrap_err();
            assert!(
                error.contains(if checked { "the cache is full" } else { "row 3 of a tensor with 3 rows" }),
                "{error}"
            );
            assert_eq!(checked, error.contains("at is 3: the input `at`"));
            assert!(call(-1, 3).unwrap_err().contains(if checked { "row -1" } else { "row -1 of" }));
            let error = call(0, 5).unwrap_err();
            assert!(error.contains("N is 3: fixed by the first call"), "{error}");
            assert_eq!(session.state("rows").unwrap().shape(), [3, 4]);
        }
    }
}

#[test]
fn a_state_may_start_from_an_entry() {
    for open in EVERYWHERE {
        let start = Entry {
            inputs: vec![port("seed", DType::I64, &[])],
            outputs: vec![port("w2", DType::F32, &["4"])],
            values: vec![
                value(DType::F32, &["4"], Storage::Param(0), (0, 0)),
                value(DType::F32, &["4"], Storage::Output(0), (0, 0)),
            ],
            steps: vec![launch(ADD, &[0, 0, 1], &[], "4")],
            sizes: vec![],
            ..entry("start")
        };
        let (call, mut sum) = accumulate();
        sum.init = InitValue::Entry { entry: 1, output: 0 };
        let mut program = program(vec![call, start]);
        program.states.push(sum);
        let mut session = open(&program, poisoned()).unwrap();
        assert_eq!(session.state("sum").unwrap().as_slice::<f32>(), Some(&[0.0, 2.0, 4.0, 6.0][..]));
    }
}

#[test]
fn a_wrong_lifetime_shows_as_nan() {
    let mut call = double_and_scale();
    // The checker catches a use outside a life; a kernel that reads what it should write is
    // only seen by the poison.
    call.steps[1] = launch(SCALE, &[2, 2], &["N"], "N");
    let mut session = open(&program(vec![call]), poisoned()).unwrap();
    let y = floats(&mut session, "call", &[("x", TensorRef::of(&[2], &[1f32, 2.0]).unwrap())]).unwrap();
    assert!(y.iter().all(|y| y.is_nan()));
}

#[test]
fn a_profile_counts_each_step() {
    let options = Options { profile: true, ..Options::default() };
    let mut session = open(&program(vec![double_and_scale()]), options).unwrap();
    for _ in 0..3 {
        session.run("call", &[("x", TensorRef::of(&[2], &[1f32, 2.0]).unwrap())]).unwrap();
    }
    let profile = session.profile();
    let lines: Vec<_> =
        profile.iter().map(|line| (line.what.as_str(), line.label.as_str(), line.counter.calls)).collect();
    assert_eq!(lines, [("add", "x + x", 3), ("scale", "* N", 3), ("copy", "y", 3)]);
}

#[test]
fn a_launch_must_keep_to_its_kernel() {
    for open in EVERYWHERE {
        type Edit = fn(&mut Program);
        let edits: [(&str, Edit); 5] = [
            ("`add` with n = 5, out of its range", |p| p.kernels[0].sizes[0].hi = Some(4)),
            ("`add` over 5 items instead of 10", |p| p.kernels[0].grid = dim("2*n")),
            ("with 20 bytes as argument 2, which takes 24", |p| p.kernels[0].args[2].shape = vec![dim("n + 1")]),
            ("with 20 bytes as argument 0, which takes more", |p| p.kernels[0].args[0].shape = vec![dim("n - 6")]),
            ("value 3 has 20 bytes, its storage 80", |p| p.entries[0].outputs[0].shape = vec![dim("4*N")]),
        ];
        for (message, edit) in edits {
            let mut program = program(vec![double_and_scale()]);
            edit(&mut program);
            let mut session = open(&program, poisoned()).unwrap();
            let error = session.run("call", &[("x", TensorRef::of(&[5], &[0f32; 5]).unwrap())]).unwrap_err();
            assert!(error.message.contains(message), "expected {message:?}, found {error}");
            assert_eq!(error.kind, ErrorKind::Program);
        }
    }
}

#[test]
fn a_session_can_move_to_another_thread() {
    for open in EVERYWHERE {
        let mut session = open(&program(vec![double_and_scale()]), poisoned()).unwrap();
        let y = std::thread::spawn(move || {
            let x = TensorRef::of(&[2], &[1f32, 2.0]).unwrap();
            floats(&mut session, "call", &[("x", x)]).unwrap()
        });
        assert_eq!(y.join().unwrap(), [4.0, 8.0]);
    }
}

/// The state waits for N, which the first call says; then it starts from an entry that is given
/// the seed, while the inputs of that first call wait.
#[test]
fn a_late_state_starts_from_an_entry_with_the_seed() {
    for open in EVERYWHERE {
        let start = Entry {
            inputs: vec![port("seed", DType::I64, &[])],
            outputs: vec![port("rows", DType::F32, &["N", "4"])],
            values: vec![
                value(DType::F32, &["4"], Storage::Param(0), (0, 0)),
                value(DType::I64, &[], Storage::Input(0), (0, 0)),
                value(DType::F32, &["N", "4"], Storage::Output(0), (0, 0)),
            ],
            steps: vec![Step::CopySlice {
                from: ValueId(0),
                to: ValueId(2),
                at: ValueId(1),
                direction: SliceMove::Write,
            }],
            ..entry("start")
        };
        let (call, mut state) = rows(true);
        state.init = InitValue::Entry { entry: 1, output: 0 };
        let mut program = program(vec![call, start]);
        program.states.push(state);
        let mut session = open(&program, Options { seed: 1, ..Options::default() }).unwrap();
        let x = TensorRef::of(&[4], &[5f32; 4]).unwrap();
        let n = TensorRef::of(&[3], &[0u8; 3]).unwrap();
        let y =
            floats(&mut session, "call", &[("x", x), ("at", TensorRef::of(&[], &[0i64]).unwrap()), ("n", n)]).unwrap();
        assert_eq!(y, [5.0; 4]);
        // Nobody wrote the third row.
        let expected = [5.0, 5.0, 5.0, 5.0, 0.0, 1.0, 2.0, 3.0];
        assert_eq!(session.state("rows").unwrap().to_f64()[..8], expected);
        let mut late = open(&program, Options { seed: 9, ..Options::default() }).unwrap();
        let error = late.run("call", &[("x", x), ("at", TensorRef::of(&[], &[0i64]).unwrap()), ("n", n)]).unwrap_err();
        assert!(error.message.contains("row 9 of a tensor with 3 rows"), "{error}");
        assert!(late.state("rows").is_err());
    }
}

#[test]
fn states_stay_on_a_device_until_they_are_asked_for() {
    let (call, sum) = accumulate();
    let mut program = program(vec![call]);
    program.states.push(sum);
    let device = device();
    let mut session = open_on(&device, &program, Options::default()).unwrap();
    let x = TensorRef::of(&[4], &[1f32; 4]).unwrap();
    let zero = TensorRef::of(&[], &[0i64]).unwrap();
    let mut written = || {
        let before = device.written.load(std::sync::atomic::Ordering::Relaxed);
        session.run("call", &[("x", x), ("rounds", zero)]).unwrap();
        device.written.load(std::sync::atomic::Ordering::Relaxed) - before
    };
    assert_eq!(written(), 16 + 16 + 8, "x, the state and the rounds");
    assert_eq!(written(), 16 + 8, "the state is there");
    let state = |session: &mut Session| session.state("sum").unwrap().to_f64();
    assert_eq!(state(&mut session), [2.0, 3.0, 4.0, 5.0]);
    assert_eq!(session.states().unwrap()[0].1.to_f64(), [2.0, 3.0, 4.0, 5.0]);
    session.set_state("sum", TensorRef::of(&[4], &[7f32; 4]).unwrap()).unwrap();
    assert_eq!(state(&mut session), [7.0; 4], "what the device had is forgotten");
    session.run("call", &[("x", x), ("rounds", zero)]).unwrap();
    assert_eq!(state(&mut session), [8.0; 4]);
}

#[test]
fn what_a_device_complains_of_fails_one_call() {
    let device = device();
    let mut session = open_on(&device, &program(vec![double_and_scale()]), Options::default()).unwrap();
    let x = TensorRef::of(&[2], &[1f32, 2.0]).unwrap();
    *device.complaint.lock().unwrap() = Some(complaint());
    let error = session.run("call", &[("x", x)]).unwrap_err();
    assert!(error.message.contains("does not fit") && error.notes[0].contains("in `call`"), "{error}");
    assert_eq!(floats(&mut session, "call", &[("x", x)]).unwrap(), [4.0, 8.0]);
}
