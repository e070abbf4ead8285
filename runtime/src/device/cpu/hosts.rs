//! The functions of this process that generated code may call.
//!
//! Invariant: a symbol that is not in this table cannot be resolved, so an object reaches
//! nothing else: not libc at large, not the runtime.

use rustc_hash::FxHashMap;

use super::math;

#[derive(Clone, Debug, Default)]
pub struct Hosts {
    addresses: FxHashMap<String, usize>,
}

impl Hosts {
    /// What every code generator may ask for: copies and fills of memory, and functions
    /// of numbers.
    pub fn standard() -> Hosts {
        let mut hosts = Hosts::default();
        let functions = [
            ("memcpy", libc::memcpy as *const ()),
            ("memmove", libc::memmove as *const ()),
            ("memset", libc::memset as *const ()),
        ];
        for (name, function) in functions.into_iter().chain(math::functions()) {
            hosts.addresses.insert(name.to_string(), function as usize);
        }
        hosts
    }

    /// Adds a function, such as an ahead-of-time microkernel.
    ///
    /// # Safety
    /// `function` must follow the C calling convention and the contract that the code
    /// generator knows under `name`.
    pub unsafe fn add(&mut self, name: impl Into<String>, function: *const ()) {
        self.addresses.insert(name.into(), function as usize);
    }

    pub fn address(&self, name: &str) -> Option<usize> {
        self.addresses.get(name).copied()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.addresses.keys().map(String::as_str)
    }
}
