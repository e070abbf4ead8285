//! A compiled model without the compiler: reads the file that `tw compile` wrote, weights and inputs, and writes outputs.
//!
//!     run_program PROGRAM.twprog WEIGHTS.safetensors INPUTS.npz OUTPUTS.npz [ENTRY]
//!
//! Invariant: nothing but the runtime is linked. The machine code in the file is run as it is, so the file must be one's own;
//! `include_bytes!` and `Program::from_bytes` would put it into the binary.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use tilewright_runtime::data::{read_npz, write_npz};
use tilewright_runtime::device::cpu::{Code, Hosts};
use tilewright_runtime::exec::{Options, Session};
use tilewright_runtime::program::Program;
use tilewright_runtime::program::file::Trust;
use tilewright_runtime::weights::{WeightMap, WeightSet};

fn run(args: &[String]) -> Result<(), Box<dyn Error>> {
    let [program, weights, inputs, outputs, entry @ ..] = args else {
        return Err("usage: run_program PROGRAM.twprog WEIGHTS.safetensors INPUTS.npz OUTPUTS.npz [ENTRY]".into());
    };
    let program = Program::read_file(Path::new(program), Trust::UseObjects)?;
    let code = Code::load(&program, &Hosts::standard())?;
    let (weights, _) = WeightSet::load(&[weights], &program.params, &program.fixed_states(), &WeightMap::default())?;
    let mut session = Session::open(Arc::new(program), Arc::new(code), Arc::new(weights), Options::default())?;
    let entry = entry.first().map_or("call", String::as_str);
    let ports = session.program().entry(entry).ok_or("there is no such entry")?.inputs.clone();
    let arrays = read_npz(Path::new(inputs))?;
    let given = arrays.iter().filter(|(name, _)| ports.iter().any(|port| port.name == *name));
    let given: Vec<_> = given.map(|(name, tensor)| (name.as_str(), tensor.view())).collect();
    let results = session.run(entry, &given)?;
    let views: Vec<_> = results.iter().map(|(name, tensor)| (name.clone(), tensor.view())).collect();
    Ok(write_npz(Path::new(outputs), &views)?)
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
