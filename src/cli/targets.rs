//! `tw targets`: what this machine can run on, and why something cannot be.

use tilewright::{Backend, Target};

use super::term::{Outcome, print};

/// Say what models can be compiled for here
///
/// A target that is not to be had is listed with the reason.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  tw targets\n  tw targets --json")]
pub struct Args {
    /// As JSON
    #[arg(long)]
    json: bool,
}

struct Found {
    name: &'static str,
    is_there: bool,
    what: String,
}

pub fn run(args: Args) -> Outcome {
    let backends: Vec<&str> = Backend::AVAILABLE.iter().map(|backend| backend.name()).collect();
    let cpu = format!("{}, by {}", Target::host(), backends.join(" or "));
    let all = [Found { name: "cpu", is_there: true, what: cpu }, wgpu(), cuda()];
    if args.json {
        let rows = all
            .iter()
            .map(|found| serde_json::json!({ "target": found.name, "available": found.is_there, "what": found.what }));
        return print(&format!("{:#}\n", serde_json::Value::Array(rows.collect())));
    }
    for Found { name, is_there, what } in all {
        let state = if is_there { "" } else { "missing: " };
        print(&format!("{name:<6}{state}{what}\n"))?;
    }
    Ok(())
}

fn wgpu() -> Found {
    #[cfg(feature = "wgpu")]
    return found("wgpu", tilewright::runtime::device::wgpu::describe());
    #[cfg(not(feature = "wgpu"))]
    lacking("wgpu")
}

fn cuda() -> Found {
    #[cfg(feature = "cuda")]
    return found("cuda", tilewright::runtime::device::cuda::describe());
    #[cfg(not(feature = "cuda"))]
    lacking("cuda")
}

#[cfg(any(feature = "wgpu", feature = "cuda"))]
fn found(name: &'static str, described: Result<String, tilewright::runtime::RunError>) -> Found {
    let is_there = described.is_ok();
    Found { name, is_there, what: described.unwrap_or_else(|error| error.to_string()) }
}

#[cfg(not(all(feature = "wgpu", feature = "cuda")))]
fn lacking(name: &'static str) -> Found {
    Found { name, is_there: false, what: format!("this build has no feature `{name}`") }
}
