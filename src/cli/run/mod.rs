//! `tw run`: a model on real input.

mod engine;
mod fit;
mod inputs;
mod literal;
mod picture;
mod report;
mod show;
mod weights;

use std::path::{Path, PathBuf};
use std::time::Instant;

use tilewright::runtime::data::write_npz;
use tilewright::{Error, Tensor};

pub use self::engine::{as_reference, wanted};
pub use self::fit::{Origin, converted};
pub use self::inputs::{Given, parse_given, ports};
pub use self::report::duration;
pub use self::weights::{Wanted, WeightSource, load};

use self::engine::open;

use super::calibrate::Calibrate;
use super::fixed_sizes;
use super::grid::{is_grid, write_grid};
use super::options::{Compilation, Float, Precision};
use super::output;
use super::source::Source;
use super::term::{Failure, Outcome, detail, hide_progress, note};

/// Run a spec or a compiled file on real input
///
/// Inputs are read from files (npy, npz, png, jpeg) or written out as numbers. An input of floats takes arrays of any
/// numbers; one of integers takes integers that its type holds, and nothing is cut off. Weights come from a safetensors file, from
/// the model's own initialisers (`init`), or from a function of their names (`synthetic`).
///
/// States, such as caches, start anew with each command and last as long as it: `--repeat` calls the entry again and again with
/// the same input, each call going on from what the one before left, and reports the last. Calls with other inputs, or of other
/// entries, such as a prefill and then steps that decode, need a session of the library: `Session::run` for each of them.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    pub source: Source,
    /// Which entry [default: `call`, or the only one]
    #[arg(long, value_name = "NAME")]
    pub entry: Option<String>,
    #[command(flatten)]
    pub weights: weights::Args,
    /// An input: NAME=FILE[:ARRAY], NAME=NUMBER or NAME=[1,2,3]; FILE.npz alone gives every input it has an array for; a
    /// picture is a batch of one
    #[arg(long = "input", short, value_name = "NAME=VALUE", value_parser = parse_given)]
    pub inputs: Vec<Given>,
    /// Call the entry this often, states going on from call to call, and report the median time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub repeat: u32,
    /// Write the outputs to an npz file; or images, [B, 1, H, W] or [B, 3, H, W], side by side to a png file
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Labels of a classification, FILE[:ARRAY]: reports the accuracy
    #[arg(long, value_name = "FILE")]
    pub labels: Option<String>,
    /// Run the same in f32 or f64 too, and report how far the outputs are from that
    #[arg(long, value_enum, value_name = "FLOAT")]
    pub compare: Option<Float>,
    /// Draw this many of the input's images in the terminal, with their predicted classes
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub show: usize,
    /// Names of the classes, one per line
    #[arg(long, value_name = "FILE")]
    pub classes: Option<PathBuf>,
    /// Run machine code found in a compiled file as it is; only for files that you made
    #[arg(long)]
    pub trust: bool,
    #[command(flatten)]
    pub compilation: Compilation,
    #[command(flatten)]
    pub calibrate: Calibrate,
    /// Report as JSON
    #[arg(long)]
    pub json: bool,
}

/// The outputs of the same call with no number narrower than this.
fn reference(args: &Args, float: Float) -> Result<Vec<(String, Tensor)>, Failure> {
    let whole =
        Compilation { float: Some(float), precision: Some(Precision::F32), group: None, ..args.compilation.clone() };
    let mut opened = open(args, &whole)?;
    let ports = ports(&opened.inputs, &args.inputs)?;
    opened.engine.run(&opened.entry, &ports)
}

/// Refuses a file whose name promises what is not written, before anything is computed.
fn check_output(path: &Path) -> Outcome {
    match has_extension(path, "npz") || has_extension(path, "png") || path.as_os_str() == "-" {
        true => output::check(path),
        false => {
            let path = path.display();
            Err(Failure::Usage(format!("`--output {path}`: outputs are written as FILE.npz, or as images to FILE.png")))
        }
    }
}

fn has_extension(path: &Path, wanted: &str) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(wanted))
}

/// All of them as arrays, or the images among them as a picture.
fn write_outputs(path: &Path, outputs: &[(String, Tensor)]) -> Outcome {
    if has_extension(path, "png") {
        let Some((_, images)) = outputs.iter().find(|(_, tensor)| is_grid(tensor)) else {
            return Err(Error::request("no output is a batch of images, [B, 1, H, W] or [B, 3, H, W]").into());
        };
        return Ok(write_grid(path, images)?);
    }
    let arrays: Vec<_> = outputs.iter().map(|(name, tensor)| (name.clone(), tensor.view())).collect();
    Ok(write_npz(path, &arrays)?)
}

const EXAMPLES: &str = "\
Examples:
  tw run specs/vision/vit.tw --preset digits --weights specs/vision/digits/weights.safetensors \\
         --input pixels=specs/vision/digits/held_out.npz:pixels \\
         --labels specs/vision/digits/held_out.npz:labels --show 5
  tw run specs/vision/resnet.tw --preset 50 --weights resnet50.safetensors --input pixels=cat.jpg
  tw run specs/language/gpt2.tw --preset tiny --weights synthetic --entry prefill --input 'tokens=[[1,2,3]]'
  tw run vit.twprog --weights vit.safetensors --input pixels=batch.npy --output logits.npz";

pub fn run(args: Args) -> Outcome {
    args.calibrate.check(&args.compilation)?;
    args.output.as_deref().map(check_output).transpose()?;
    args.weights.save_weights.as_deref().map(output::check).transpose()?;
    let classes = args.classes.as_deref().map(report::class_names).transpose()?;
    if args.json {
        hide_progress();
    }
    let mut opened = open(&args, &args.compilation)?;
    detail(format!("compiled in {:.1} ms", 1e3 * opened.compile_seconds));
    let ports = ports(&opened.inputs, &args.inputs)?;
    inputs::check_complete(&opened.inputs, &ports, &args.inputs)?;
    let mut times = Vec::new();
    let mut outputs: Vec<(String, Tensor)> = Vec::new();
    for _ in 0..args.repeat {
        let start = Instant::now();
        let called = opened.engine.run(&opened.entry, &ports);
        outputs = called.map_err(|failure| fixed_sizes::mentioned(failure, &args.source.dims))?;
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    let seconds = times[times.len() / 2];
    let labels = args.labels.as_deref().map(inputs::read_array).transpose()?;
    let classes_asked = classes.is_some() || args.show > 0;
    let mut report = report::Report::new(&opened, &outputs, &ports, seconds, labels.as_ref(), classes_asked)?;
    if let Some(float) = args.compare {
        report.compare(&outputs, &reference(&args, float)?)?;
    }
    if let Some(path) = &args.output {
        write_outputs(path, &outputs)?;
        note(format!("wrote {}", path.display()));
    }
    if args.json {
        return super::term::print(&format!("{:#}\n", report.json()));
    }
    if args.show > 0 {
        super::term::print(&show::pictures(&ports, &report, classes.as_deref(), args.show)?)?;
    }
    super::term::print(&report.text(classes.as_deref()))
}
