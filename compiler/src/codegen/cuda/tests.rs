//! What is printed for the kernels in `tests/kernels`.

use super::*;
use crate::graph::DType;
use crate::kernel::{TargetDesc, lower, parse};

fn printed(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../tests/kernels/{name}.kir"));
    let kernel = parse(&std::fs::read_to_string(path).expect("a fixture")).expect("a kernel");
    let lowered = lower(&kernel, &TargetDesc::CUDA).expect("a kernel of blocks");
    print_kernel(&Unit { symbol: name, kernel: &lowered }).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn a_softmax_reads_as_one_would_write_it() {
    insta::assert_snapshot!(printed("softmax"));
}

#[test]
fn a_product_of_warps_reads_as_one_would_write_it() {
    insta::assert_snapshot!(printed("mma"));
}

#[test]
fn all_kernels_have_a_text() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/kernels");
    let mut n_printed = 0;
    for entry in std::fs::read_dir(&root).expect("a folder of fixtures") {
        let path = entry.expect("an entry").path();
        let Some(name) = path.file_stem().map(|name| name.to_string_lossy().into_owned()) else { continue };
        if path.extension().is_none_or(|extension| extension != "kir") {
            continue;
        }
        let kernel = parse(&std::fs::read_to_string(&path).expect("a fixture")).expect("a kernel");
        if kernel.values.iter().all(|ty| ty.dtype != DType::F64) {
            let text = printed(&name);
            assert_eq!(text.matches('{').count(), text.matches('}').count(), "{name}");
            n_printed += 1;
        }
    }
    assert!(n_printed > 10, "only {n_printed} kernels");
}
