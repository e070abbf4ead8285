//! One well-formed program, then one broken rule at a time.

use super::*;
use crate::program::{
    Access, Bound, Check, Constant, Kernel, KernelArg, KernelId, ParamDecl, Relation, ScalarDecl, SizeDecl, SliceMove,
    StateDecl, Step, Target, ValueId,
};

fn dim(text: &str) -> Dim {
    text.parse().unwrap()
}

fn value(dtype: DType, shape: &[&str], storage: Storage, lifetime: (u32, u32)) -> ValueDecl {
    ValueDecl { dtype, shape: shape.iter().map(|text| dim(text)).collect(), storage, lifetime }
}

fn launch(args: &[u32]) -> Step {
    let args = args.iter().map(|&id| ValueId(id)).collect();
    Step::Launch { kernel: KernelId(0), args, sizes: vec![dim("N")], grid: dim("N"), grain: dim("1") }
}

/// Step 0 launches, 1 repeats {2 launches, 3 copies}, 4 moves a row, 5 branches on a bool {6 | 7}.
pub(crate) fn good() -> Program {
    let mut program = Program::new("p", Target::default());
    let object = program.add_blob(b"object");
    let data = program.add_blob(&[0; 16]);
    program.kernels.push(Kernel {
        name: "k".into(),
        text: "kernel".into(),
        symbol: "k".into(),
        object: Some(object),
        sizes: vec![SizeDecl { symbol: Symbol::new("n"), lo: 1, hi: None }],
        args: [Access::Read, Access::Write]
            .map(|access| KernelArg { access, dtype: DType::F32, shape: vec![dim("n"), dim("4")] })
            .to_vec(),
        grid: dim("n"),
        sequential: false,
    });
    program.constants.push(Constant { name: "c".into(), dtype: DType::F32, shape: vec![4], data });
    program.params.push(ParamDecl { name: "w".into(), dtype: DType::F32, shape: vec![4] });
    let state = |name: &str, init| StateDecl { name: name.into(), dtype: DType::F32, shape: vec![dim("4")], init };
    program.states.push(state("s", InitValue::Constant(0)));
    program.states.push(state("t", InitValue::Entry { entry: 1, output: 0 }));
    let f32_port = |name: &str, shape: &[&str]| Port {
        name: name.into(),
        dtype: DType::F32,
        shape: shape.iter().map(|text| dim(text)).collect(),
    };
    let scalar = |name: &str, dtype| Port { name: name.into(), dtype, shape: vec![] };
    let copy = |from, to| Step::Copy { from: ValueId(from), to: ValueId(to) };
    let call = Entry {
        name: "call".into(),
        graph: "graph".into(),
        sizes: vec![SizeDecl { symbol: Symbol::new("N"), lo: 1, hi: None }],
        names: vec![],
        scalars: vec![ScalarDecl { symbol: Symbol::new("at"), input: 1 }],
        checks: vec![Check { left: dim("at"), relation: Relation::Less, right: dim("N"), message: "full".into() }],
        inputs: vec![f32_port("x", &["N", "4"]), scalar("at", DType::I64), scalar("flag", DType::Bool)],
        outputs: vec![f32_port("y", &["N*4"])],
        values: vec![
            value(DType::F32, &["N", "4"], Storage::Input(0), (0, 0)),
            value(DType::I64, &[], Storage::Input(1), (0, 0)),
            value(DType::Bool, &[], Storage::Input(2), (0, 0)),
            value(DType::F32, &["N", "4"], Storage::Arena, (0, 7)),
            value(DType::F32, &["4*N"], Storage::Alias(ValueId(3)), (0, 0)),
            value(DType::I64, &[], Storage::Arena, (1, 3)),
            value(DType::F32, &["N", "4"], Storage::Arena, (2, 3)),
            value(DType::F32, &["4"], Storage::State(0), (0, 0)),
            value(DType::F32, &["4*N"], Storage::Output(0), (0, 0)),
        ],
        steps: vec![
            launch(&[0, 3]),
            Step::Repeat {
                counter: ValueId(5),
                from: Bound::Size(dim("0")),
                to: Bound::Value(ValueId(1)),
                body: vec![launch(&[3, 6]), copy(6, 3)],
            },
            Step::CopySlice { from: ValueId(3), to: ValueId(7), at: ValueId(1), direction: SliceMove::Read },
            Step::Cond { cond: ValueId(2), then: vec![copy(4, 8)], otherwise: vec![copy(3, 8)] },
        ],
        labels: vec![],
    };
    let start = Entry {
        name: "start".into(),
        graph: String::new(),
        sizes: vec![],
        names: vec![],
        scalars: vec![],
        checks: vec![],
        inputs: vec![scalar("seed", DType::I64)],
        outputs: vec![f32_port("s", &["4"])],
        values: vec![],
        steps: vec![],
        labels: vec![],
    };
    program.entries = vec![call, start];
    program
}

#[test]
fn a_good_program_passes() {
    good().check().unwrap();
    assert_eq!(good().entries[0].n_steps(), 8);
}

type Break = fn(&mut Program);

/// What is broken, and what the message must say.
static BROKEN: &[(&str, Break)] = &[
    ("two entrys are called `call`", |p| p.entries[1].name = "call".into()),
    ("two states are called `s`", |p| p.states[1].name = "s".into()),
    ("kernel `k`: no blob 9", |p| p.kernels[0].object = Some(BlobId(9))),
    ("kernel `k`: size m is not declared", |p| p.kernels[0].grid = dim("m")),
    ("kernel `k`: size m is not declared", |p| p.kernels[0].args[0].shape = vec![dim("m")]),
    ("kernel `k`: the range of n is empty", |p| p.kernels[0].sizes[0].lo = -1),
    ("step 0: `k` takes i32 where value 0 is f32", |p| p.kernels[0].args[0].dtype = DType::I32),
    ("a float's precision is not decided", |p| p.entries[0].values[3].dtype = DType::Real),
    ("constant `c`: no blob 9", |p| p.constants[0].data = BlobId(9)),
    ("constant `c`: 16 bytes, not 20", |p| p.constants[0].shape = vec![5]),
    ("constant `c`: larger than any memory", |p| p.constants[0].shape = vec![usize::MAX, 2]),
    ("param `w`: 65 axes", |p| p.params[0].shape = vec![1; MAX_RANK + 1]),
    ("state `s`: no constant 3", |p| p.states[0].init = InitValue::Constant(3)),
    ("state `s`: its initial value has another type", |p| p.states[0].dtype = DType::I32),
    ("state `t`: no output 1", |p| p.states[1].init = InitValue::Entry { entry: 1, output: 1 }),
    ("takes inputs other than the seed", |p| p.states[1].init = InitValue::Entry { entry: 0, output: 0 }),
    ("size N is not declared", |p| p.entries[0].sizes.clear()),
    ("the range of N is empty", |p| p.entries[0].sizes[0].hi = Some(0)),
    ("at stands for no i64 scalar", |p| p.entries[0].scalars[0].input = 0),
    ("no input 7", |p| p.entries[0].scalars[0].input = 7),
    ("size M is not declared", |p| p.entries[0].checks[0].right = dim("M")),
    ("`y`: size at is not declared", |p| p.entries[0].outputs[0].shape = vec![dim("at")]),
    ("value 0: no input 5", |p| p.entries[0].values[0].storage = Storage::Input(5)),
    ("value 0: it is f32, its storage i64", |p| p.entries[0].values[0].storage = Storage::Input(1)),
    ("value 4: it is an alias of no earlier value", |p| p.entries[0].values[4].storage = Storage::Alias(ValueId(4))),
    ("value 4: it is f64, for which the f32 of a caller are not aligned", |p| {
        p.entries[0].values[3].storage = Storage::Input(0);
        p.entries[0].values[4].dtype = DType::F64;
    }),
    ("step 0: no kernel 1", |p| edit_launch(p, |kernel, _| *kernel = KernelId(1))),
    ("step 0: `k` takes 2 values, 1 sizes", |p| edit_launch(p, |_, args| args.truncate(1))),
    ("step 0: no value 99", |p| edit_launch(p, |_, args| args[0] = ValueId(99))),
    ("step 0: value 0 is written, but it is read-only", |p| edit_launch(p, |_, args| args[1] = ValueId(0))),
    ("step 0: `k` writes memory of value 4 that is another argument's too", |p| {
        edit_launch(p, |_, args| *args = vec![ValueId(3), ValueId(4)]);
    }),
    ("step 0: `k` writes memory of value 8 that is another argument's too", |p| {
        p.entries[0].values[6].storage = Storage::Output(0);
        edit_launch(p, |_, args| *args = vec![ValueId(6), ValueId(8)]);
    }),
    ("step 0: `k` writes memory of value 3 that is another argument's too", |p| {
        p.kernels[0].args[0].access = Access::Update;
        edit_launch(p, |_, args| args[0] = ValueId(3));
    }),
    ("value 3 is used outside its life 1..=7", |p| p.entries[0].values[3].lifetime = (1, 7)),
    ("value 3 is used outside its life 0..=5", |p| p.entries[0].values[3].lifetime = (0, 5)),
    ("value 6 crosses the edge of the loop 1..=3", |p| p.entries[0].values[6].lifetime = (2, 4)),
    ("value 6 crosses the edge of the loop 1..=3", |p| p.entries[0].values[6].lifetime = (1, 2)),
    ("must be an arena value that lives through its loop", |p| p.entries[0].values[5].lifetime = (1, 2)),
    ("step 2: value 5 is written, but it counts a loop around", |p| {
        edit_body(p, |body| body[0] = Step::Copy { from: ValueId(1), to: ValueId(5) });
    }),
    ("value 5 is written, but it counts a loop around", |p| {
        edit_body(p, |body| {
            let (from, to) = (Bound::Size(dim("0")), Bound::Size(dim("1")));
            *body = vec![Step::Repeat { counter: ValueId(5), from, to, body: std::mem::take(body) }];
        });
        p.entries[0].values[5].lifetime = (1, 4);
    }),
    ("value 5 lives from step 1 to 8 of 8", |p| p.entries[0].values[5].lifetime = (1, 8)),
    ("value 2 is no i64 scalar", |p| edit_row(p, |at| *at = ValueId(2))),
    ("value 3 is no i64 scalar", |p| edit_row(p, |at| *at = ValueId(3))),
    ("7 labels for 8 steps", |p| p.entries[0].labels = vec![String::new(); 7]),
    ("control flow nests deeper than 32", |p| {
        for _ in 0..40 {
            let otherwise = std::mem::take(&mut p.entries[0].steps);
            p.entries[0].steps = vec![Step::Cond { cond: ValueId(2), then: vec![], otherwise }];
        }
    }),
];

fn edit_launch(program: &mut Program, edit: impl Fn(&mut KernelId, &mut Vec<ValueId>)) {
    if let Step::Launch { kernel, args, .. } = &mut program.entries[0].steps[0] {
        edit(kernel, args);
    }
}

fn edit_body(program: &mut Program, edit: impl Fn(&mut Vec<Step>)) {
    if let Step::Repeat { body, .. } = &mut program.entries[0].steps[1] {
        edit(body);
    }
}

fn edit_row(program: &mut Program, edit: impl Fn(&mut ValueId)) {
    if let Step::CopySlice { at, .. } = &mut program.entries[0].steps[2] {
        edit(at);
    }
}

#[test]
fn each_broken_rule_is_named() {
    for (message, break_it) in BROKEN {
        let mut program = good();
        break_it(&mut program);
        let found = program.check().expect_err(message).to_string();
        assert!(found.contains(message), "expected {message:?}, found {found:?}");
    }
}
