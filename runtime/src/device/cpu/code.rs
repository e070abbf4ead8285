//! The kernels of a program as functions that can be called.
//!
//! Invariant: function `i` is kernel `i`, and the pages behind every function stay mapped for
//! as long as this value lives.

use rustc_hash::FxHashMap;

use super::{Hosts, Object};
use crate::error::{ErrorKind, RunError};
use crate::machine;
use crate::program::{KernelId, Program};

/// Runs grid items `begin..end`: `args` are the buffers in the order of the launch, each aligned
/// for its element type, `sizes` the launch's sizes.
///
/// Calling one is safe only with the buffers and sizes that its kernel's text declares.
pub type KernelFn = unsafe extern "C" fn(args: *const *mut u8, sizes: *const i64, begin: i64, end: i64);

pub struct Code {
    functions: Vec<KernelFn>,
    /// Keeps the functions' pages mapped.
    _objects: Vec<Object>,
}

impl Code {
    /// Loads every kernel's object, each object once.
    pub fn load(program: &Program, hosts: &Hosts) -> Result<Code, RunError> {
        machine::allow(&program.target.features)?;
        let mut loaded = FxHashMap::default();
        let mut objects = Vec::new();
        let mut functions = Vec::with_capacity(program.kernels.len());
        for kernel in &program.kernels {
            let named = |error: RunError| error.note(format!("while loading kernel `{}`", kernel.name));
            let Some(blob) = kernel.object else {
                let message = format!("kernel `{}` has no machine code", kernel.name);
                return Err(RunError::new(ErrorKind::Code, message).help("compile the program for this machine"));
            };
            let index = match loaded.get(&blob) {
                Some(&index) => index,
                None => {
                    objects.push(Object::load(program.blob(blob), hosts).map_err(named)?);
                    loaded.insert(blob, objects.len() - 1);
                    objects.len() - 1
                }
            };
            functions.push(objects[index].kernel(&kernel.symbol).map_err(named)?);
        }
        Ok(Code { functions, _objects: objects })
    }

    /// Kernels that are functions of this process, in the order of the program's.
    ///
    /// # Safety
    /// Each must do with its arguments what the program's kernel of that place declares, and be
    /// safe to run from several threads on disjoint items.
    pub unsafe fn from_functions(functions: Vec<KernelFn>) -> Code {
        Code { functions, _objects: Vec::new() }
    }

    pub fn n_kernels(&self) -> usize {
        self.functions.len()
    }

    pub fn function(&self, id: KernelId) -> KernelFn {
        self.functions[id.0 as usize]
    }
}
