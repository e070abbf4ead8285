//! Many kernels to objects: lowered and compiled on several threads, equal ones once, through the cache.
//!
//! Invariant: an object is found by the text of its kernel as it was before lowering, by what lowers it and by what compiles
//! it, so that a second start does neither. The symbol of a kernel follows from that, so an object means the same wherever
//! it is found.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use indexmap::IndexMap;
use tilewright_runtime::threads::on_threads;

use super::{Backend, Cache, CodegenError, Target, Unit, compile};
use crate::kernel::Kernel;
use crate::kernel::lower::{TargetDesc, lower};

/// A hash of the sources that lower and print kernels: entries of another version of them are not ours.
const SOURCES: &str = env!("TILEWRIGHT_CODE_HASH");

/// Is told of each kernel when its turn comes: how many are done, how many there are, and its name. Kernels that are equal
/// are one.
#[derive(Clone, Default)]
pub struct Progress(Option<Arc<Listener>>);

type Listener = dyn Fn(usize, usize, &str) + Send + Sync;

impl Progress {
    pub fn new(listener: impl Fn(usize, usize, &str) + Send + Sync + 'static) -> Progress {
        Progress(Some(Arc::new(listener)))
    }

    fn tell(&self, done: usize, total: usize, name: &str) {
        if let Some(listener) = &self.0 {
            listener(done, total, name);
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Progress" } else { "no progress" })
    }
}

/// Where the function of a kernel is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// An index into `Compiled::objects`.
    pub object: usize,
    pub symbol: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    pub objects: Vec<Vec<u8>>,
    /// One for each kernel, in order.
    pub entries: Vec<Entry>,
}

/// Objects for kernels of either level.
pub fn compile_cached(
    kernels: &[Kernel],
    desc: &TargetDesc,
    backend: Backend,
    target: &Target,
    n_threads: usize,
    cache: &Cache,
    progress: &Progress,
) -> Result<Compiled, CodegenError> {
    let context = format!("{SOURCES}\n{}\n{}\n{target}\n{desc:?}\n", backend.name(), backend.version());
    let mut jobs: IndexMap<String, &Kernel> = IndexMap::new();
    let mut entries = Vec::with_capacity(kernels.len());
    for kernel in kernels {
        let key = key_of(&context, kernel);
        let job = jobs.entry(key.clone());
        let object = job.index();
        job.or_insert(kernel);
        entries.push(Entry { object, symbol: symbol_of(&key) });
    }
    let jobs: Vec<(String, &Kernel)> = jobs.into_iter().collect();
    let done = AtomicUsize::new(0);
    let objects = on_threads(n_threads, jobs.len(), |idx| {
        let (key, kernel) = &jobs[idx];
        progress.tell(done.load(Ordering::Relaxed), jobs.len(), &kernel.name);
        let found = match cache.get(key) {
            Some(object) => (object, false),
            None => {
                let object = object_of(key, kernel, desc, backend, target)?;
                cache.put(key, &object);
                (object, true)
            }
        };
        done.fetch_add(1, Ordering::Relaxed);
        Ok(found)
    })?;
    if objects.iter().any(|&(_, fresh)| fresh) {
        cache.trim();
    }
    Ok(Compiled { objects: objects.into_iter().map(|(object, _)| object).collect(), entries })
}

fn object_of(
    key: &str,
    kernel: &Kernel,
    desc: &TargetDesc,
    backend: Backend,
    target: &Target,
) -> Result<Vec<u8>, CodegenError> {
    let lowered = lower(kernel, desc).map_err(|errors| {
        let problems: Vec<String> = errors.iter().map(|error| error.to_string()).collect();
        let error = CodegenError::new(format!("it does not verify: {}", problems.join("; ")));
        error.in_kernel(&kernel.name).with_dump(crate::kernel::print(kernel))
    })?;
    compile(&[Unit { symbol: &symbol_of(key), kernel: &lowered }], backend, target)
}

/// A hash of all that the object depends on. Names of kernels do not count.
fn key_of(context: &str, kernel: &Kernel) -> String {
    let bare = Kernel { name: "kernel".to_string(), ..kernel.clone() };
    let mut hasher = blake3::Hasher::new();
    hasher.update(context.as_bytes());
    hasher.update(bare.to_string().as_bytes());
    hasher.finalize().to_hex().to_string()
}

fn symbol_of(key: &str) -> String {
    format!("kernel_{}", &key[..32])
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::codegen::tests::{at, vector, vector_kernel};
    use crate::graph::{DType, Dim, Scalar};
    use crate::kernel::{Op, Rights};

    fn scale(name: &str, factor: f64) -> Kernel {
        vector_kernel(
            name,
            4,
            8,
            |b| vec![b.buffer("x", DType::F32, [Dim::constant(32)], Rights::ReadWrite)],
            |b, memories, offset| {
                let value = b.load_at(at(memories[0], offset), vector(DType::F32, 4));
                let factor = b.constant(vector(DType::F32, 4), factor);
                let scaled = b.scalar(Scalar::Mul, &[value, factor]);
                b.store_at(at(memories[0], offset), scaled);
            },
        )
    }

    #[test]
    fn equal_kernels_are_compiled_once_and_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path());
        let kernels = [scale("a", 2.0), scale("b", 3.0), scale("c", 2.0)];
        let (target, quiet) = (Target::host(), Progress::default());
        for &backend in Backend::AVAILABLE {
            let told = Arc::new(Mutex::new(Vec::new()));
            let heard = Arc::clone(&told);
            let progress = Progress::new(move |done, total, name| {
                heard.lock().unwrap().push((done, total, name.to_string()));
            });
            let compiled =
                compile_cached(&kernels, &TargetDesc::WORDS, backend, &target, 1, &cache, &progress).unwrap();
            assert_eq!(*told.lock().unwrap(), [(0, 2, "a".to_string()), (1, 2, "b".to_string())]);
            let objects: Vec<usize> = compiled.entries.iter().map(|entry| entry.object).collect();
            assert_eq!(objects, [0, 1, 0]);
            assert_eq!(compiled.objects.len(), 2);
            assert_eq!(compiled.entries[0], compiled.entries[2]);
            let again = compile_cached(&kernels, &TargetDesc::WORDS, backend, &target, 2, &cache, &quiet).unwrap();
            assert_eq!(again, compiled);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2 * Backend::AVAILABLE.len());
    }

    #[test]
    fn what_cannot_be_printed_is_an_error_that_names_the_kernel() {
        let mut kernel = scale("odd", 2.0);
        kernel.body.stmts.iter_mut().for_each(|stmt| {
            if let Op::Loop(inner) = &mut stmt.op {
                inner.body.stmts.iter_mut().for_each(|stmt| {
                    if let Op::Scalar(scalar, _) = &mut stmt.op {
                        *scalar = Scalar::FloorDiv;
                    }
                });
            }
        });
        let (cache, quiet) = (Cache::off(), Progress::default());
        for &backend in Backend::AVAILABLE {
            let kernels = [kernel.clone()];
            let compiled = compile_cached(&kernels, &TargetDesc::WORDS, backend, &Target::host(), 2, &cache, &quiet);
            let error = compiled.unwrap_err();
            assert!(error.message.contains("odd") && error.message.contains("floor_div"), "{error}");
        }
    }
}
