//! How long compiling takes: measured and shown; what is asserted is generous, so that a slow machine does not fail.

use std::time::{Duration, Instant};

use tilewright::{Backend, Cache, Options, compile};

use crate::golden::named;

/// Seconds within which a model of this size must compile even without optimisation of the compiler itself.
const GENEROUS: Duration = Duration::from_secs(120);

#[test]
fn vit_b16_compiles_quickly_and_is_cached() {
    let golden = named("vit_b16");
    let start = Instant::now();
    let model = golden.build();
    let elaborated = start.elapsed();
    for &backend in Backend::AVAILABLE {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { backend, cache: Cache::at(folder.path()), verify: false, ..Options::default() };
        let measure = || {
            let start = Instant::now();
            let executable = compile(&model, &options).unwrap_or_else(|error| panic!("{error}"));
            (start.elapsed(), executable)
        };
        let (cold, executable) = measure();
        let (warm, again) = measure();
        println!("vit_b16 {:10} elaborated {elaborated:.2?}, compiled {cold:.2?}, again {warm:.2?}", backend.name());
        println!("    cold {:?}\n    warm {:?}", executable.times, again.times);
        println!("    {} kernels", executable.program.kernels.len());
        assert!(cold < GENEROUS, "{cold:?}");
        assert_eq!(again.program, executable.program);
        assert_eq!(again.remarks, executable.remarks);
        assert!(again.times.codegen * 2 < executable.times.codegen.max(Duration::from_millis(20)));
        // Twelve equal blocks are compiled once.
        assert!(executable.program.kernels.len() < 60, "{} kernels", executable.program.kernels.len());
    }
}
