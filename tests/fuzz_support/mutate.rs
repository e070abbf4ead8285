//! Texts near to valid ones: examples, cut, joined, nested and sprinkled with tokens of their kind.
//!
//! Invariant: the text of a number is a function of the examples, the seed and that number.

use std::path::Path;

use tilewright::compiler::graph::Sampler;

const MAX_BYTES: usize = 1 << 14;
const NUMBERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551616",
    "1e308",
    "nan",
    "-inf",
    "0.0",
];

pub struct Mutator {
    examples: Vec<Vec<u8>>,
    tokens: Vec<Vec<u8>>,
}

impl Mutator {
    /// With the files below these folders as examples.
    pub fn new(root: &Path, folders: &[(&str, &str)]) -> Mutator {
        let mut examples = Vec::new();
        for (folder, extension) in folders {
            collect(&root.join(folder), extension, &mut examples);
        }
        let mut tokens: Vec<Vec<u8>> = examples.iter().flat_map(|text| words(text)).collect();
        tokens.extend(NUMBERS.iter().map(|number| number.as_bytes().to_vec()));
        tokens.sort();
        tokens.dedup();
        assert!(!examples.is_empty(), "there are no examples in {folders:?}");
        Mutator { examples, tokens }
    }

    pub fn text(&self, seed: u64, number: u64) -> Vec<u8> {
        let mut sampler = Sampler::new(seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut text = sampler.pick(&self.examples).clone();
        for _ in 0..sampler.int(1, 6) {
            self.mutate(&mut text, &mut sampler);
            text.truncate(MAX_BYTES);
        }
        text
    }

    fn mutate(&self, text: &mut Vec<u8>, sampler: &mut Sampler) {
        let from = sampler.int(0, text.len() as i64) as usize;
        let reach = 1 << sampler.int(0, 8);
        let length = sampler.int(0, reach) as usize;
        let to = (from + length).min(text.len());
        match sampler.int(0, 8) {
            0 => _ = text.drain(from..to),
            1 => {
                let copy = text[from..to].to_vec();
                let at = sampler.int(0, text.len() as i64) as usize;
                text.splice(at..at, copy);
            }
            2 => {
                let other = sampler.pick(&self.examples);
                let start = sampler.int(0, other.len() as i64) as usize;
                let end = (start + length).min(other.len());
                text.splice(from..from, other[start..end].iter().copied());
            }
            3 => {
                let open = *sampler.pick(&["(", "[", "{", "-", "not ", "if x { ", "f(", "(\"", "@", "min(", "%0 = "]);
                let times = 1 << sampler.int(0, 9);
                text.splice(from..from, open.repeat(times).into_bytes());
            }
            4 if from < text.len() => text[from] = sampler.next() as u8,
            5 if from < text.len() => text[from] = *sampler.pick(b"(){}[]<>,.:;=+-*/%@\"#&|! \n\t0A_\\"),
            _ => {
                let (start, end) = word_at(text, from);
                text.splice(start..end, sampler.pick(&self.tokens).iter().copied());
            }
        }
    }
}

fn collect(folder: &Path, extension: &str, found: &mut Vec<Vec<u8>>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    for path in paths {
        match path.is_dir() {
            true => collect(&path, extension, found),
            false if path.extension().is_some_and(|own| own == extension) => {
                found.push(std::fs::read(&path).expect("a file"))
            }
            false => {}
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.')
}

fn words(text: &[u8]) -> Vec<Vec<u8>> {
    let pieces = text.split(|&byte| !is_word(byte)).filter(|word| !word.is_empty() && word.len() < 24);
    pieces.map(<[u8]>::to_vec).collect()
}

/// The word around a position; nothing where there is none.
fn word_at(text: &[u8], at: usize) -> (usize, usize) {
    let start = text[..at].iter().rposition(|&byte| !is_word(byte)).map_or(0, |before| before + 1);
    let end = text[at..].iter().position(|&byte| !is_word(byte)).map_or(text.len(), |after| at + after);
    (start, end)
}
