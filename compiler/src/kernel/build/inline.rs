//! A kernel inside another.

use super::Builder;
use crate::graph::Dim;
use crate::kernel::types::*;

impl Builder {
    /// Runs the items of a tile kernel one after the other, with these memories in place of its buffers, which may lack
    /// axes of size one. Its sizes are symbols that are known here.
    pub fn inline(&mut self, kernel: &Kernel, buffers: &[Memory]) {
        let first = self.kernel.values.len() as u32;
        self.kernel.values.extend(kernel.values.iter().cloned());
        let locals: Vec<Memory> = kernel.locals.iter().map(|local| self.local_like(local)).collect();
        let mut body = kernel.body.clone();
        body.for_each_value(&mut |value| value.0 += first);
        body.for_each_access(&mut |access| match access.memory {
            Memory::Buffer(at) => {
                access.memory = buffers[at as usize];
                let shape = self.kernel.memory_shape(access.memory);
                add_idle_axes(&mut access.index, &kernel.buffers[at as usize].shape, &shape);
            }
            Memory::Local(at) => access.memory = locals[at as usize],
        });
        for axis in kernel.grid.iter().rev() {
            let around = For {
                symbol: axis.symbol.clone(),
                start: Dim::constant(0),
                end: axis.extent.clone(),
                step: 1,
                unroll: false,
                inits: Vec::new(),
                params: Vec::new(),
                body,
            };
            body =
                Block { stmts: vec![Stmt { results: Vec::new(), op: Op::For(Box::new(around)) }], yields: Vec::new() };
        }
        body.stmts.into_iter().for_each(|stmt| self.push_stmt(stmt));
    }

    /// A local of its own name.
    fn local_like(&mut self, local: &Local) -> Memory {
        let is_taken = |name: &String| {
            let locals = self.kernel.locals.iter().map(|local| &local.name);
            locals.chain(self.kernel.buffers.iter().map(|buffer| &buffer.name)).any(|taken| taken == name)
        };
        let mut names = (1..).map(|nth| if nth == 1 { local.name.clone() } else { format!("{}_{nth}", local.name) });
        let name = names.find(|name| !is_taken(name)).unwrap_or_default();
        self.memory(name, local.dtype, local.shape.clone(), local.scope)
    }
}

/// Positions along axes of size one that a memory has and a buffer of this shape has not.
fn add_idle_axes(index: &mut Vec<Index>, buffer: &[Dim], memory: &[Dim]) {
    let mut known = std::mem::take(index).into_iter().zip(buffer).peekable();
    for extent in memory {
        let here = known.next_if(|(_, of)| *of == extent);
        index.push(here.map_or_else(|| Index::Dim(Dim::constant(0)), |(position, _)| position));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::DType;
    use crate::kernel::{parse, print, verify};

    #[test]
    fn a_kernel_runs_inside_another() {
        let inner = parse(
            "kernel inner tile {\n  buffer x: f32[2, 4] read\n  buffer y: f32[4] write\n  local row: f32[4]\n  grid g in 2\n  \
             %0: f32<4> = load x[g, l0]\n  store row[l0], %0\n  %1: f32<4> = load row[l0]\n  store y[l0], %1\n}\n",
        )
        .unwrap();
        let mut b = Builder::new("outer");
        let a = b.buffer("a", DType::F32, [2, 4].map(Dim::constant), Rights::Read);
        let row = b.local("row", DType::F32, [1, 4]);
        let z = b.buffer("z", DType::F32, [Dim::constant(4)], Rights::Write);
        b.inline(&inner, &[a, row]);
        let value = b.load(row, [4], [&Dim::constant(0), &crate::kernel::lane(0)], [], 0.0);
        b.store(z, [&crate::kernel::lane(0)], [], value);
        let outer = b.finish();
        verify(&outer).unwrap();
        let text = print(&outer);
        assert!(text.contains("local row_2: f32[4]") && text.contains("for g in 0..2 step 1 {"), "{text}");
        assert!(text.contains("load a[g, l0]") && text.contains("store row[0, l0]"), "{text}");
    }
}
