//! A program that was read from somewhere gets machine code again, from the text of its kernels.
//!
//! Invariant: the text is not trusted. Each kernel is a tile kernel, which lowering proves to stay in its memory, and takes
//! what the program, which was checked, says that it takes. What is flattened already cannot be proved.

use tilewright_runtime::program::{self, Program};

use super::{CompileError, Options, add_code};
use crate::kernel::{Kernel, Level, parse};
use crate::plan::declaration;

/// Makes machine code for the kernels of a program, say one that was read from a file.
pub fn rebuild(program: &mut Program, options: &Options) -> Result<(), CompileError> {
    let kernels = program.kernels.iter().map(trusted).collect::<Result<Vec<Kernel>, CompileError>>()?;
    add_code(program, &kernels, options).map_err(|error| CompileError::Program(error.to_string()))
}

fn trusted(kernel: &program::Kernel) -> Result<Kernel, CompileError> {
    let refuse = |what: &str| {
        let help = "compile the program again from its spec";
        CompileError::Program(format!("kernel `{}` {what}: {help}", kernel.name))
    };
    let parsed = parse(&kernel.text).map_err(|error| refuse(&format!("has a text that cannot be read, {error}")))?;
    if parsed.level != Level::Tile {
        return Err(refuse("is written as loops, and only one of tiles can be proved to stay in its memory"));
    }
    let interface =
        |kernel: &program::Kernel| (kernel.args.clone(), kernel.sizes.clone(), kernel.grid.clone(), kernel.sequential);
    match interface(&declaration(&parsed)) == interface(kernel) {
        true => Ok(parsed),
        false => Err(refuse("is declared otherwise than its text says")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codegen::Cache;

    const FAR: &str = "kernel far tile {
  buffer x: f32[16] read
  buffer y: f32[16] write
  grid i in 1
  %0: f32<16> = load x[l0]
  store y[l0], %0
}
";

    fn program_of(kernel: program::Kernel) -> Program {
        Program {
            name: "hostile".into(),
            target: program::Target::default(),
            kernels: vec![kernel],
            constants: Vec::new(),
            params: Vec::new(),
            prepared: Vec::new(),
            states: Vec::new(),
            entries: Vec::new(),
            blobs: Vec::new(),
        }
    }

    fn rebuilt(kernel: program::Kernel) -> Result<(), String> {
        let options = Options { threads: 1, cache: Cache::off(), ..Options::new() };
        rebuild(&mut program_of(kernel), &options).map_err(|error| error.to_string())
    }

    fn declared(text: &str) -> program::Kernel {
        program::Kernel { text: text.into(), ..declaration(&parse(text).unwrap()) }
    }

    #[test]
    fn a_tile_kernel_gets_code() {
        assert_eq!(rebuilt(declared(FAR)), Ok(()));
    }

    #[test]
    fn loops_from_a_file_are_refused() {
        let text = "kernel far loop 16 {
  buffer x: f32[16] read
  buffer y: f32[16] write
  grid i in 1
  %0: i64<> = const 1000000000
  %1: f32<16> = load x at %0
  store y at %0, %1
}
";
        let error = rebuilt(declared(text)).unwrap_err();
        assert!(error.contains("`far` is written as loops"), "{error}");
    }

    #[test]
    fn an_index_outside_of_its_axis_is_refused() {
        let error = rebuilt(declared(&FAR.replace("y[l0]", "y[l0 + 1]"))).unwrap_err();
        assert!(error.contains("does not verify"), "{error}");
    }

    #[test]
    fn a_kernel_that_takes_more_than_is_declared_is_refused() {
        let wider = FAR.replace("f32[16] write", "f32[32] write").replace("y[l0]", "y[l0 + 16]");
        let error = rebuilt(program::Kernel { text: wider, ..declared(FAR) }).unwrap_err();
        assert!(error.contains("declared otherwise"), "{error}");
    }
}
