//! Inputs as the command line gives them: files, numbers, lists.

use std::path::Path;

use tilewright::runtime::data::{ImageLayout, read_image, read_npy, read_npz};
use tilewright::runtime::error::ShapeText;
use tilewright::runtime::program::Port;
use tilewright::{Error, Tensor};

use super::super::options::pair;
use super::super::term::Failure;
use super::fit::{Origin, fit};
use super::literal;

/// One `--input`.
#[derive(Clone, Debug)]
pub enum Given {
    Named(String, String),
    /// A file whose arrays have the names of inputs.
    Archive(String),
}

pub fn parse_given(text: &str) -> Result<Given, String> {
    match pair(text) {
        Ok((name, value)) => Ok(Given::Named(name, value)),
        Err(_) if text.ends_with(".npz") => Ok(Given::Archive(text.to_string())),
        Err(error) => Err(error),
    }
}

/// Values for the entry's ports, by name.
pub fn ports(inputs: &[Port], given: &[Given]) -> Result<Vec<(String, Tensor)>, Failure> {
    let mut values: Vec<(String, Tensor)> = Vec::new();
    for given in given {
        match given {
            Given::Named(name, value) => {
                let known = inputs.iter().map(|port| port.name.as_str());
                let port = inputs.iter().find(|port| port.name == *name);
                let port = port.ok_or_else(|| Error::unknown("input", name, known))?;
                let (tensor, origin) = read_value(value, port)?;
                values.push((name.clone(), fit(tensor, port, origin)?));
            }
            Given::Archive(path) => {
                for (name, tensor) in read_npz(Path::new(path))? {
                    if let Some(port) = inputs.iter().find(|port| port.name == name) {
                        values.push((name, fit(tensor, port, Origin::Array)?));
                    }
                }
            }
        }
    }
    for port in inputs {
        if port.is_step() && !values.iter().any(|(name, _)| *name == port.name) {
            values.push((port.name.clone(), Tensor::from_slice(&[], &[0i64])?));
        }
    }
    Ok(values)
}

/// Refuses a call that lacks an input although archives were given, and says what they hold instead.
pub fn check_complete(inputs: &[Port], values: &[(String, Tensor)], given: &[Given]) -> Result<(), Error> {
    let is_given = |port: &&Port| values.iter().any(|(name, _)| *name == port.name);
    let Some(port) = inputs.iter().find(|port| !is_given(port) && !port.is_seed()) else { return Ok(()) };
    for path in given.iter().filter_map(Given::archive) {
        let arrays = read_npz(Path::new(path))?;
        let unused = |name: &&str| !inputs.iter().any(|port| port.name == *name);
        let unused: Vec<&str> = arrays.iter().map(|(name, _)| name.as_str()).filter(unused).collect();
        if let Some(first) = unused.first() {
            let shape = ShapeText(&port.shape);
            let list = unused.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let message = format!(
                "the input `{}`, {}{shape}, is missing: `{path}` holds {list}, which no input is called",
                port.name, port.dtype
            );
            let help = format!("`--input {}={path}:{first}` takes an array by another name", port.name);
            return Err(Error::Request { message, help: Some(help) });
        }
    }
    // Without archives, the engine knows best what it lacks.
    Ok(())
}

impl Given {
    fn archive(&self) -> Option<&str> {
        match self {
            Given::Archive(path) => Some(path),
            Given::Named(..) => None,
        }
    }
}

fn read_value<'a>(text: &'a str, port: &Port) -> Result<(Tensor, Origin<'a>), Failure> {
    if is_literal(text) {
        let bad = |reason: String| Error::request(format!("the input `{}` = `{text}`: {reason}", port.name));
        return Ok((literal::parse(text).map_err(bad)?, Origin::Literal(text)));
    }
    let origin = if is_image(Path::new(text)) { Origin::Image } else { Origin::Array };
    Ok((read_array(text)?, origin))
}

/// Whether this is meant as numbers, right or wrong, and no file is called so.
fn is_literal(text: &str) -> bool {
    let begins = text.starts_with(|c: char| c.is_ascii_digit() || "[-+.".contains(c));
    (begins || matches!(text, "true" | "false") || text.parse::<f64>().is_ok()) && !Path::new(text).exists()
}

/// `FILE` or `FILE:ARRAY`.
pub fn read_array(text: &str) -> Result<Tensor, Error> {
    let (path, array) = match text.rsplit_once(':') {
        Some((path, array)) if !Path::new(text).exists() => (path, Some(array)),
        _ => (text, None),
    };
    let path = Path::new(path);
    match extension(path).as_str() {
        "npz" => from_archive(path, array),
        "npy" => Ok(read_npy(path)?),
        _ if is_image(path) => Ok(read_image(path, ImageLayout::ChannelsFirst)?),
        _ => Err(Error::Request {
            message: format!("`{}` is no file of a kind that can be read", path.display()),
            help: Some("npy, npz, png and jpeg files can be, and numbers such as `5` or `[1, 2]`".to_string()),
        }),
    }
}

fn is_image(path: &Path) -> bool {
    matches!(extension(path).as_str(), "png" | "jpg" | "jpeg")
}

fn extension(path: &Path) -> String {
    path.extension().and_then(|extension| extension.to_str()).unwrap_or("").to_lowercase()
}

fn from_archive(path: &Path, array: Option<&str>) -> Result<Tensor, Error> {
    let mut arrays = read_npz(path)?;
    match array {
        _ if arrays.is_empty() => Err(Error::request(format!("`{}` holds no arrays", path.display()))),
        None if arrays.len() == 1 => Ok(arrays.remove(0).1),
        None => {
            let names: Vec<&str> = arrays.iter().map(|(name, _)| name.as_str()).collect();
            let message = format!("`{}` holds several arrays: {}", path.display(), names.join(", "));
            Err(Error::Request {
                message,
                help: Some(format!("write `{}:{}`", path.display(), names.first().unwrap_or(&""))),
            })
        }
        Some(wanted) => match arrays.iter().position(|(name, _)| name == wanted) {
            Some(at) => Ok(arrays.remove(at).1),
            None => Err(Error::unknown("array", wanted, arrays.iter().map(|(name, _)| name.as_str()))),
        },
    }
}
