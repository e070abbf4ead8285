//! What can be told without a GPU; what NVRTC does where it is installed; all of it where there is a GPU.

use super::code::threads_of;
use super::compiler::Compiler;
use super::*;
use crate::bytes::AlignedBytes;
use crate::device::gpu::{Call, Loaded, Span};
use crate::files::Cache;
use crate::program::{BlobId, Dim, Kernel, KernelId, Program, Target};

/// `b1[i] = b0[i] + s0`, in blocks of 64 threads.
const ADD: &str = r#"
extern "C" __global__ void __launch_bounds__(64) add(const long long* b0, long long* b1, long long items,
    long long per_block, long long s0) {
  long long end = (blockIdx.x + 1) * per_block;
  for (long long at = blockIdx.x * per_block + threadIdx.x; at < end && at < items; at += 64) b1[at] = b0[at] + s0;
}
"#;

fn compiler(arch: &str) -> Option<Compiler> {
    Compiler::find(arch.to_string()).inspect_err(|error| println!("skipped: {error}")).ok()
}

#[test]
fn a_text_says_how_many_threads_its_blocks_have() {
    let text = "void __launch_bounds__(64) one(int a) {}\nvoid __launch_bounds__(128, 2) other(int a) {}";
    assert_eq!(threads_of(text, "one"), Some(64));
    assert_eq!(threads_of(text, "other"), Some(128));
    assert_eq!(threads_of(text, "third"), None);
    assert_eq!(threads_of("void __launch_bounds__(0) none(", "none"), None);
}

#[test]
fn what_is_missing_is_said() {
    match describe() {
        Ok(what) => println!("{what}"),
        Err(error) => {
            println!("skipped: {error}");
            assert!(error.help.is_some(), "{error}");
        }
    }
}

#[test]
fn code_is_made_once_and_kept() {
    let Some(compiler) = compiler("sm_80") else { return };
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path());
    let code = compiler.compile(ADD, &cache).unwrap();
    assert!(code.starts_with(b"\x7fELF"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(compiler.compile(ADD, &cache).unwrap(), code);
    let other = Compiler { arch: "sm_90a".to_string(), ..compiler };
    assert_ne!(other.compile(ADD, &cache).unwrap(), code, "another GPU has code of its own");
}

#[test]
fn a_text_that_does_not_compile_says_why() {
    let Some(compiler) = compiler("sm_80") else { return };
    let error = compiler.compile("void f() { nothing(); }", &Cache::off()).unwrap_err();
    assert!(error.notes[0].contains("nothing"), "{error}");
}

fn program() -> Program {
    let target = Target { backend: "cuda".to_string(), ..Target::default() };
    let mut program = Program::new("add", target);
    program.blobs.push(AlignedBytes::copy_of(ADD.as_bytes()).unwrap().into());
    program.kernels.push(Kernel {
        name: "add".to_string(),
        text: String::new(),
        symbol: "add".to_string(),
        object: Some(BlobId(0)),
        sizes: Vec::new(),
        args: Vec::new(),
        grid: Dim::constant(1),
        sequential: false,
    });
    program
}

#[test]
fn a_queue_copies_and_launches_in_order() {
    let gpu = match Gpu::open() {
        Ok(gpu) => std::sync::Arc::new(gpu),
        Err(error) => return println!("skipped: {error}"),
    };
    let code = std::sync::Arc::new(Code::load(&program(), gpu, &Cache::off()).unwrap());
    let mut queue = code.queue().unwrap();
    let [a, b] = [0, 1].map(|_| Span { buffer: queue.allocate(8 * 100).unwrap(), offset: 0, bytes: 8 * 100 });
    let numbers: Vec<u8> = (0..100i64).flat_map(|number| (number << 40).to_ne_bytes()).collect();
    queue.write(a, &numbers).unwrap();
    let sizes = [1i64];
    let call = |args: &[Span]| {
        let args = args.to_vec();
        move |queue: &mut dyn crate::device::gpu::Queue| {
            let call = Call { kernel: KernelId(0), args: &args, sizes: &sizes, items: 100, sequential: false };
            let call = queue.prepare(&call).unwrap();
            queue.launch(call).unwrap();
        }
    };
    call(&[a, b])(&mut *queue);
    // The second half over the first, and one number further, which overlaps.
    let half = Span { bytes: 8 * 50, ..b };
    queue.copy(Span { offset: 8 * 50, ..half }, half).unwrap();
    queue.copy(half, Span { offset: 8, ..half }).unwrap();
    call(&[b, a])(&mut *queue);
    queue.finish().unwrap();
    let read = queue.read(&[a]).unwrap().remove(0);
    let found: Vec<i64> = read.chunks(8).map(|bytes| i64::from_ne_bytes(bytes.try_into().unwrap())).collect();
    let shifted = (0..100i64).map(|at| if at > 50 { at } else { (at - 1).max(0) + 50 });
    assert_eq!(found, shifted.map(|number| (number << 40) + 2).collect::<Vec<_>>());
    assert!(queue.read(&[Span { bytes: 1 << 20, ..a }]).is_err(), "spans are looked up");
    queue.free(a.buffer);
    assert!(queue.write(a, &numbers).is_err());
}
