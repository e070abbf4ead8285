//! Plans of small graphs: what they look like, and that they compute what the graphs mean.
//!
//! Every graph runs through Cranelift in an arena that is filled with NaNs outside the lives of values, so that a value
//! which is read too late or overwritten too early cannot go unnoticed.

use std::sync::Arc;

use tilewright_runtime::data::Tensor as Array;
use tilewright_runtime::device::cpu::{Code, Hosts};
use tilewright_runtime::exec::{Options, Session};
use tilewright_runtime::program::Storage;
use tilewright_runtime::weights::WeightSet;

use super::*;
use crate::codegen::{Backend, Cache, Progress, Target as CodeTarget, compile_cached};
use crate::graph::parse::{Library, parse};
use crate::graph::{DType, Precision, Role, Tensor, Type, interpret, verify::verify};
use crate::kernel::lower::TargetDesc;
use crate::ops;
use crate::schedule::{Machine, schedule};

fn graph(text: &str) -> Graph {
    let graph = parse(text, Library::of_ops(&|name| ops::find(name))).unwrap();
    verify(&graph).unwrap();
    graph
}

fn interface(graph: &Graph) -> Interface {
    let of = |role: Role| {
        let mine = graph.arguments().iter().filter(move |argument| argument.role == role);
        mine.map(|argument| (argument.name.clone(), graph.type_of(argument.value).clone()))
    };
    let state = |(name, ty): (String, Type)| State { name, ty, initial: None };
    Interface {
        name: "test".to_string(),
        params: of(Role::Param).collect(),
        prepared: None,
        states: of(Role::State).map(state).collect(),
    }
}

fn planned(graph: &Graph) -> Planned {
    let machine = Machine::of_vectors(4, false, 2);
    let scheduler = |graph: &Graph, id| schedule(graph, id, &machine).map_err(|error| error.to_string());
    plan(&interface(graph), std::slice::from_ref(graph), &scheduler).unwrap()
}

fn open(planned: Planned) -> Session {
    let mut program = planned.program;
    let (desc, target) = (TargetDesc::WORDS, CodeTarget::host());
    let compiled =
        compile_cached(&planned.kernels, &desc, Backend::Cranelift, &target, 2, &Cache::off(), &Progress::default())
            .unwrap();
    let blobs: Vec<_> = compiled.objects.iter().map(|object| program.add_blob(object)).collect();
    for (kernel, entry) in program.kernels.iter_mut().zip(compiled.entries) {
        kernel.object = Some(blobs[entry.object]);
        kernel.symbol = entry.symbol;
    }
    let code = Arc::new(Code::load(&program, &Hosts::standard()).unwrap());
    let weights = WeightSet::from_fn(&program.params, |_, shape| {
        (0..shape.iter().product()).map(|idx: usize| idx as f32 * 0.25 - 1.0).collect()
    });
    let options = Options { threads: 2, poison: true, ..Options::default() };
    Session::open(Arc::new(program), code, Arc::new(weights.unwrap()), options).unwrap()
}

/// A tensor of the reference interpreter as the runtime holds it.
fn array(tensor: &Tensor) -> Array {
    Array::from_bytes(tensor.dtype, &tensor.shape, &tensor.to_bytes()).unwrap()
}

fn numbers(shape: &[usize], scale: f64) -> Tensor {
    let n: usize = shape.iter().product();
    Tensor::floats(DType::F32, shape.to_vec(), (0..n).map(|idx| (idx as f64 * 0.37).sin() * scale).collect())
}

/// Runs the plan `calls` times and the interpreter too, states carried along, and compares every output and state.
fn agrees(text: &str, inputs: &[Tensor], calls: usize) -> String {
    let graph = graph(text);
    let planned = planned(&graph);
    let plan = print::program(&planned.program);
    let states: Vec<String> = planned.program.states.iter().map(|state| state.name.clone()).collect();
    let mut session = open(planned);
    let arrays: Vec<Array> = inputs.iter().map(array).collect();
    let data: Vec<_> = graph.arguments().iter().filter(|argument| argument.role == Role::Data).collect();
    let named: Vec<_> =
        data.iter().zip(&arrays).map(|(argument, array)| (argument.name.as_str(), array.view())).collect();
    let mut memory: Vec<Tensor> = initial(&graph, inputs);
    for _ in 0..calls {
        let results = interpret(&graph, &memory, &|_| None, Precision::Declared).unwrap();
        let outputs = session.run(&graph.name, &named).unwrap();
        let wanted = graph.outputs().iter().zip(&results);
        for (output, expected) in wanted.clone().filter(|(output, _)| output.role == Role::Data) {
            let (_, found) = outputs.iter().find(|(name, _)| *name == output.name).unwrap();
            close(&output.name, found.view().to_f64(), expected, &plan);
        }
        for (output, expected) in wanted.filter(|(output, _)| output.role == Role::State) {
            let at = graph.arguments().iter().position(|argument| argument.name == output.name).unwrap();
            memory[at] = expected.clone();
        }
        for name in &states {
            let at = graph.arguments().iter().position(|argument| argument.name == *name).unwrap();
            close(name, session.state(name).unwrap().to_f64(), &memory[at], &plan);
        }
    }
    plan
}

/// Inputs as given, params as `open` makes them, states of zeros at the sizes of the inputs.
fn initial(graph: &Graph, inputs: &[Tensor]) -> Vec<Tensor> {
    let mut given = inputs.iter();
    let shape = |ty: &Type| ty.shape.iter().map(|dim| dim.as_constant().unwrap() as usize).collect::<Vec<_>>();
    let value = |argument: &crate::graph::Argument| {
        let ty = graph.type_of(argument.value);
        match argument.role {
            Role::Data => given.next().unwrap().clone(),
            Role::Param => {
                let n = shape(ty).iter().product::<usize>();
                Tensor::floats(DType::F32, shape(ty), (0..n).map(|idx| idx as f64 * 0.25 - 1.0).collect())
            }
            Role::State => Tensor::splat(ty.dtype, shape(ty), 0.0),
        }
    };
    graph.arguments().iter().map(value).collect()
}

fn close(name: &str, found: Vec<f64>, expected: &Tensor, plan: &str) {
    assert_eq!(found.len(), expected.n_elements());
    for (idx, &found) in found.iter().enumerate() {
        let expected = expected.float_at(idx);
        assert!(
            (found - expected).abs() <= 1e-5 * (1.0 + expected.abs()),
            "{name}[{idx}]: {found}, not {expected}\n{plan}"
        );
    }
}

#[test]
fn a_chain_runs_in_one_buffer_and_ends_in_the_output() {
    let text = r#"graph @call(%0 "x": data f32[B, 5], %1 "w": param f32[5]) where B in 1.. {
      %2: f32[B, 5] = broadcast(%1) {shape = [B, 5]}
      %3: f32[B, 5] = add(%0, %2)
      %4: f32[B, 5] = exp(%3)
      %5: f32[B, 5] = add(%4, %3)
      %6: f32[5*B] = reshape(%5) {shape = [5*B]}
      %7: f32[5*B] = tanh(%6)
      return %7 "y": data
    }"#;
    insta::assert_snapshot!(agrees(text, &[numbers(&[3, 5], 1.0)], 2));
}

#[test]
fn equal_steps_share_a_kernel() {
    let text = r#"graph @call(%0 "x": data f32[7], %1 "w": param f32[7]) {
      %2: f32[7] = mul(%0, %1)  // spec.tw:3 first
      %3: f32[7] = mul(%1, %0)  // spec.tw:9 second
      %4: f32[7] = add(%2, %3)
      return %4 "y": data, %2 "first": data, %3 "second": data
    }"#;
    agrees(text, &[numbers(&[7], 1.0)], 1);
    assert_eq!(planned(&graph(text)).program.kernels.len(), 2);
}

#[test]
fn a_state_is_updated_where_it_lies() {
    let text = r#"graph @step(%0 "piece": data f32[2, 1, 3], %1 "at": data i64[], %2 "cache": state f32[2, 6, 3]) {
      %3: f32[2, 6, 3] = update(%2, %0, %1) {axis = 1}
      %4: f32[2, 6, 3] = exp(%3)
      return %4 "y": data, %3 "cache": state
    }"#;
    let at = Tensor::int_scalar(DType::I64, 4);
    let plan = agrees(text, &[numbers(&[2, 1, 3], 1.0), at], 2);
    assert!(!plan.contains("copy"), "{plan}");
    insta::assert_snapshot!(plan);
}

#[test]
fn what_is_scattered_onto_a_state_leaves_the_rest_where_it_lies() {
    let text = r#"graph @step(%0 "i": data i64[3], %1 "u": data f32[3, 20], %2 "sums": state f32[5, 20]) {
      %3: f32[5, 20] = scatter(%2, %0, %1) {pattern = "[n] c, b, b c", combine = "add"}
      %4: f32[5, 20] = exp(%3)
      return %4 "y": data, %3 "sums": state
    }"#;
    let i = Tensor::ints(DType::I64, vec![3], vec![4, 1, 4]);
    let plan = agrees(text, &[i, numbers(&[3, 20], 1.0)], 2);
    assert!(!plan.contains("copy"), "{plan}");
    let planned = planned(&graph(text));
    let scatter = planned.kernels.iter().find(|kernel| kernel.name == "scatter").expect("a kernel");
    assert_eq!(scatter.buffers.len(), 3, "{scatter}");
    assert_eq!(scatter.to_string().matches("store").count(), 2, "one for each width of a tile: {scatter}");
}

#[test]
fn several_states_are_updated_by_one_kernel_where_they_lie() {
    let plan = agrees(
        r#"graph @step(%0 "g": data f32[6], %1 "m": state f32[6], %2 "w": state f32[6]) {
          %3, %4, %5: (f32[6], f32[6], f32[6]) = fused(%0, %1, %2)
            @fused(%0 "x0": data f32[6], %1 "x1": data f32[6], %2 "x2": data f32[6]) {
              %3: f32[6] = add(%0, %1)
              %4: f32[6] = mul(%3, %3)
              %5: f32[6] = sub(%2, %4)
              %6: f32[6] = exp(%4)
              return %3 "y": data, %5 "y1": data, %6 "y2": data
            }
          %7: f32[6] = neg(%5)
          return %3 "m": state, %4 "w": state, %7 "y": data
        }"#,
        &[numbers(&[6], 1.0)],
        3,
    );
    insta::assert_snapshot!(plan);
}

#[test]
fn an_old_state_that_is_read_later_is_kept_until_then() {
    let text = r#"graph @step(%0 "x": data f32[4], %1 "a": state f32[4], %2 "b": state f32[4]) {
      %3: f32[4] = add(%1, %0)
      %4: f32[4] = add(%1, %2)
      %5: f32[4] = exp(%1)
      return %5 "y": data, %2 "old": data, %3 "a": state, %4 "b": state
    }"#;
    insta::assert_snapshot!(agrees(text, &[numbers(&[4], 1.0)], 3));
}

#[test]
fn states_that_change_places_do_so_at_once() {
    let text = r#"graph @step(%0 "x": data f32[4], %1 "a": state f32[4], %2 "b": state f32[4]) {
      %3: f32[4] = add(%2, %0)
      return %1 "y": data, %3 "a": state, %1 "b": state
    }"#;
    insta::assert_snapshot!(agrees(text, &[numbers(&[4], 1.0)], 3));
}

#[test]
fn outputs_that_are_no_results_are_copied() {
    let text = r#"graph @call(%0 "x": data f32[4], %1 "w": param f32[4]) {
      %2: f32[4] = add(%0, %1)
      return %0 "x": data, %1 "w": data, %2 "y": data, %2 "again": data
    }"#;
    insta::assert_snapshot!(agrees(text, &[numbers(&[4], 1.0)], 1));
}

#[test]
fn a_loop_carries_its_values_in_place() {
    let text = r#"graph @call(%0 "x": data f32[3], %1 "n": data i64[], %2 "w": param f32[3]) {
      %3: i64[] = constant() {value = i64[] 0}
      %4: f32[3] = exp(%0)
      %5, %6: (f32[3], f32[3]) = loop(%3, %1, %4, %0, %2) {carries = 2}
        @body(%0 "i": data i64[], %1 "a": data f32[3], %2 "b": data f32[3], %3 "w": data f32[3]) {
          %4: f32[] = cast(%0) {to = f32}
          %5: f32[3] = broadcast(%4) {shape = [3]}
          %6: f32[3] = add(%2, %5)
          %7: f32[3] = mul(%1, %3)
          return %7 "a": data, %6 "b": data
        }
      %7: f32[3] = add(%5, %0)
      return %7 "y": data, %6 "z": data
    }"#;
    let n = Tensor::int_scalar(DType::I64, 4);
    insta::assert_snapshot!(agrees(text, &[numbers(&[3], 1.0), n], 2));
    agrees(text, &[numbers(&[3], 1.0), Tensor::int_scalar(DType::I64, 0)], 1);
}

#[test]
fn carried_values_that_change_places_do_so_at_once() {
    let text = r#"graph @call(%0 "x": data f32[3], %1 "y": data f32[3]) {
      %2: i64[] = constant() {value = i64[] 0}
      %3: i64[] = constant() {value = i64[] 5}
      %4, %5: (f32[3], f32[3]) = loop(%2, %3, %0, %1) {carries = 2}
        @body(%0 "i": data i64[], %1 "a": data f32[3], %2 "b": data f32[3]) {
          %3: f32[3] = add(%1, %2)
          return %2 "a": data, %3 "b": data
        }
      %6: f32[3] = sub(%4, %5)
      return %6 "difference": data
    }"#;
    insta::assert_snapshot!(agrees(text, &[numbers(&[3], 1.0), numbers(&[3], 2.0)], 1));
}

#[test]
fn a_scan_stacks_its_outputs() {
    let text = r#"graph @call(%0 "h": data f32[2], %1 "xs": data f32[4, 2]) {
      %2, %3: (f32[2], f32[4, 2]) = scan(%0, %1) {carries = 1, trip = 4}
        @body(%0 "t": data i64[], %1 "h": data f32[2], %2 "xs": data f32[4, 2]) {
          %3: f32[1, 2] = slice_at(%2, %0) {axis = 0, size = 1}
          %4: f32[2] = reshape(%3) {shape = [2]}
          %5: f32[2] = add(%1, %4)
          %6: f32[2] = slice(%5) {starts = [1], stops = [-1], steps = [-1]}
          %7: f32[2] = tanh(%6)
          return %7 "h": data, %5 "out": data
        }
      return %2 "last": data, %3 "all": data
    }"#;
    insta::assert_snapshot!(agrees(text, &[numbers(&[2], 1.0), numbers(&[4, 2], 1.0)], 2));
}

#[test]
fn a_scan_may_be_one_kernel() {
    let text = r#"graph @call(%0 "h": data f32[2], %1 "xs": data f32[4, 2]) {
      %2, %3: (f32[2], f32[4, 2]) = scan(%0, %1) {carries = 1, trip = 4}
        @body(%0 "t": data i64[], %1 "h": data f32[2], %2 "xs": data f32[4, 2]) {
          %3: f32[1, 2] = slice_at(%2, %0) {axis = 0, size = 1}
          %4: f32[2] = reshape(%3) {shape = [2]}
          %5: f32[2] = add(%1, %4)
          %6: f32[2] = tanh(%5)
          return %6 "h": data, %5 "out": data
        }
      return %2 "last": data, %3 "all": data
    }"#;
    insta::assert_snapshot!(agrees(text, &[numbers(&[2], 1.0), numbers(&[4, 2], 1.0)], 2));
}

#[test]
fn a_while_ends_when_its_test_fails() {
    let text = r#"graph @call(%0 "x": data f32[], %1 "limit": data f32[]) {
      %2: f32[] = while(%0, %1) {carries = 1, at_most = 50}
        @test(%0 "x": data f32[], %1 "limit": data f32[]) {
          %2: bool[] = lt(%0, %1)
          return %2 "go": data
        }
        @body(%0 "x": data f32[], %1 "limit": data f32[]) {
          %2: f32[] = add(%0, %0)
          return %2 "x": data
        }
      return %2 "y": data
    }"#;
    let scalar = |value: f64| Tensor::floats(DType::F32, Vec::new(), vec![value]);
    insta::assert_snapshot!(agrees(text, &[scalar(1.0), scalar(100.0)], 2));
}

#[test]
fn a_branch_writes_its_result_either_way() {
    let text = r#"graph @call(%0 "x": data f32[3], %1 "test": data bool[]) {
      %2: f32[3] = exp(%0)
      %3: f32[3] = cond(%1, %2, %0)
        @then(%0 "a": data f32[3], %1 "x": data f32[3]) {
          %2: f32[3] = add(%0, %1)
          %3: f32[3] = tanh(%2)
          return %3 "r": data
        }
        @else(%0 "a": data f32[3], %1 "x": data f32[3]) {
          return %0 "r": data
        }
      %4: f32[3] = add(%3, %2)
      return %4 "y": data
    }"#;
    for test in [0, 1] {
        let plan = agrees(text, &[numbers(&[3], 1.0), Tensor::ints(DType::Bool, Vec::new(), vec![test])], 2);
        insta::assert_snapshot!("a_branch", plan);
    }
}

/// A step over two states, with what each branch makes of them, `%3` is new, and what is read afterwards.
fn states_under_a_condition(then: [&str; 2], otherwise: [&str; 2], read: &str) -> Vec<String> {
    let branch = |name: &str, op: &str, [a, b]: [&str; 2]| {
        let new = if [a, b].contains(&"3") { format!("%3: f32[4] = {op}(%0, %2)") } else { String::new() };
        format!(
            r#"@{name}(%0 "a": data f32[4], %1 "b": data f32[4], %2 "x": data f32[4]) {{
              {new}
              return %{a} "p": data, %{b} "q": data
            }}"#
        )
    };
    let text = format!(
        r#"graph @step(%0 "x": data f32[4], %1 "test": data bool[], %2 "a": state f32[4], %3 "b": state f32[4]) {{
          %4, %5: (f32[4], f32[4]) = cond(%1, %2, %3, %0)
            {}
            {}
          %6: f32[4] = exp(%{read})
          return %6 "y": data, %4 "a": state, %5 "b": state
        }}"#,
        branch("then", "add", then),
        branch("else", "mul", otherwise)
    );
    let test = |test| Tensor::ints(DType::Bool, Vec::new(), vec![test]);
    [0, 1].map(|value| agrees(&text, &[numbers(&[4], 1.0), test(value)], 3)).to_vec()
}

#[test]
fn a_state_that_a_branch_leaves_stays_where_it_lies() {
    for (then, otherwise, read, copies) in [
        (["3", "1"], ["0", "1"], "4", 0),
        (["0", "1"], ["3", "1"], "5", 0),
        (["3", "1"], ["3", "1"], "4", 0),
        (["0", "2"], ["0", "1"], "4", 1),
        // What it was is read after the condition.
        (["3", "1"], ["0", "1"], "2", 2),
        // They change places.
        (["1", "0"], ["0", "1"], "4", 4),
    ] {
        for plan in states_under_a_condition(then, otherwise, read) {
            let found = plan.lines().filter(|line| line.contains(" copy ")).count();
            assert_eq!(found, copies, "{then:?} {otherwise:?} {read}\n{plan}");
        }
    }
}

#[test]
fn a_group_without_a_kernel_runs_node_by_node() {
    let text = r#"graph @call(%0 "x": data f32[3, 4]) {
      %1: f32[3] = fused(%0)
        @group(%0 "x": data f32[3, 4]) {
          %1: f32[3, 4] = exp(%0)
          %2: f32[3] = reduce_sum(%1) {axes = [1], keep = false}
          return %2 "r": data
        }
      return %1 "y": data
    }"#;
    agrees(text, &[numbers(&[3, 4], 1.0)], 1);
    let graph = graph(text);
    let machine = Machine::of_vectors(4, false, 1);
    let scheduler = |graph: &Graph, id| match graph.node(id).op.name {
        "fused" => Err("not today".to_string()),
        _ => schedule(graph, id, &machine).map_err(|error| error.to_string()),
    };
    let planned = plan(&interface(&graph), std::slice::from_ref(&graph), &scheduler).unwrap();
    assert_eq!(planned.remarks.len(), 1);
    assert_eq!(planned.program.entries[0].n_steps(), 2);
    let x = numbers(&[3, 4], 1.0);
    let expected = interpret(&graph, std::slice::from_ref(&x), &|_| None, Precision::Declared).unwrap();
    let outputs = open(planned).run("call", &[("x", array(&x).view())]).unwrap();
    close("y", outputs[0].1.view().to_f64(), &expected[0], "node by node");
}

#[test]
fn constants_are_stored_once() {
    let text = r#"graph @call(%0 "x": data f32[3]) {
      %1: f32[3] = constant() {value = f32[3] [1.0, 2.0, 3.0]}
      %2: f32[3] = constant() {value = f32[3] [1.0, 2.0, 3.0]}
      %3: f32[3] = add(%0, %1)
      %4: f32[3] = add(%3, %2)
      return %4 "y": data
    }"#;
    agrees(text, &[numbers(&[3], 1.0)], 1);
    assert_eq!(planned(&graph(text)).program.constants.len(), 1);
}

#[test]
fn nothing_in_the_arena_is_read_where_it_was_not_written() {
    let text = r#"graph @call(%0 "x": data f32[4]) {
      %1: f32[4] = exp(%0)
      return %1 "y": data
    }"#;
    let planned = planned(&graph(text));
    let arena = planned.program.entries[0].values.iter().filter(|value| value.storage == Storage::Arena);
    assert_eq!(arena.count(), 0, "the only value is the output");
}

#[test]
fn a_row_is_normalised_over_itself() {
    let text = r#"graph @call(%0 "x": data f32[3, 20]) {
      %1: f32[3, 20] = exp(%0)
      %2: f32[3, 20] = fused(%1)
        @fused(%0 "x0": data f32[3, 20]) {
          %1: f32[3, 1] = reduce_sum(%0) {axes = [1], keep = true}
          %2: f32[3, 20] = broadcast(%1) {shape = [3, 20]}
          %3: f32[3, 20] = div(%0, %2)
          return %3 "y": data
        }
      %3: f32[3, 20] = fused(%2)
        @fused(%0 "x0": data f32[3, 20]) {
          %1: f32[3, 1] = reduce_max(%0) {axes = [1], keep = true}
          %2: f32[3, 19] = slice(%0) {starts = [0, 1], stops = [3, 20], steps = [1, 1]}
          %3: f32[3, 20] = pad(%2) {low = [0, 0], high = [0, 1], value = 0.0}
          %4: f32[3, 20] = broadcast(%1) {shape = [3, 20]}
          %5: f32[3, 20] = sub(%3, %4)
          return %5 "y": data
        }
      %4: f32[3, 20] = neg(%3)
      return %4 "y": data
    }"#;
    // The second one reads what lies further on, after it was written: it needs memory of its own.
    insta::assert_snapshot!(agrees(text, &[numbers(&[3, 20], 1.0)], 1));
}
