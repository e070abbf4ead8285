//! Programs of earlier starts: what was compiled from an equal model in the same way is read back, and nothing is done
//! again but elaboration.
//!
//! Invariant: a program is found by all that it follows from: the text of what is compiled, the options, the machine and
//! the sources of the compiler. An entry that cannot be read back is as good as none.

use std::time::Instant;

use tilewright_runtime::program::Program;
use tilewright_runtime::program::file::Trust;

use super::machine::machine;
use super::{Compiled, Options, Times, initial_states};
use crate::graph::Model;

/// A hash of the sources that make programs: those of another version of them are not ours.
const SOURCES: &str = env!("TILEWRIGHT_SOURCE_HASH");
/// Bytes that say how long the remarks are which come first.
const WORD: usize = size_of::<u64>();

/// The name of a program in the cache; none where everything is to be checked on the way.
pub fn key(model: &Model, options: &Options) -> Option<String> {
    if options.verify || options.cache.dir().is_none() {
        return None;
    }
    let mut hasher = blake3::Hasher::new();
    let mut add = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    let Options { backend, float, narrowing, exact, calibration, target, entries, .. } = options;
    let (desc, machine) = (target.desc(*backend), machine(*backend, target, options.n_threads()));
    add(SOURCES);
    add(&format!("{} {} {target} {desc:?} {machine:?}", backend.name(), backend.version()));
    add(&format!("{float} {narrowing:?} {exact} {calibration:?} {entries:?}"));
    add(&model.name);
    for members in [&model.params, &model.states] {
        add(&members.len().to_string());
        members.iter().for_each(|member| add(&format!("{} {}", member.path, member.ty)));
    }
    model.sizes.iter().for_each(|size| add(&format!("{} {} {}", size.entry, size.name, size.size)));
    model.entries.iter().chain(&initial_states(model)).for_each(|graph| add(&graph.to_string()));
    Some(hasher.finalize().to_hex().to_string())
}

/// What was kept under this name.
pub fn find(key: &str, options: &Options) -> Option<Compiled> {
    let start = Instant::now();
    let entry = options.cache.get(key)?;
    let (length, rest) = entry.split_first_chunk::<WORD>()?;
    let (remarks, program) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let remarks = str::from_utf8(remarks).ok()?.lines().map(str::to_string).collect();
    // The folder is the user's own, as it is for the code of single kernels.
    let program = Program::from_bytes(program, Trust::UseObjects).ok()?;
    let times = Times { codegen: start.elapsed(), ..Times::default() };
    Some(Compiled { program, remarks, times })
}

pub fn keep(key: &str, compiled: &Compiled, options: &Options) {
    let Ok(program) = compiled.program.to_bytes() else { return };
    let remarks = compiled.remarks.join("\n");
    let mut entry = (remarks.len() as u64).to_le_bytes().to_vec();
    entry.extend_from_slice(remarks.as_bytes());
    entry.extend_from_slice(&program);
    options.cache.put(key, &entry);
    options.cache.trim();
}
