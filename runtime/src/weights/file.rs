//! Safetensors files, mapped into memory; several shards look like one.
//!
//! Invariant: every tensor in the list lies inside its file and is aligned for its element type:
//! one that is not was copied. The files must not be cut short while they are mapped; nobody can
//! check that, and every engine that maps weights asks for it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Component, Path};

use memmap2::Mmap;
use rustc_hash::FxHashMap;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::Deserialize;

use super::Identity;
use crate::data::{Tensor, TensorRef, byte_len};
use crate::error::{ErrorKind, RunError};
use crate::files;
use crate::program::DType;

static TYPES: &[(Dtype, DType)] = &[
    (Dtype::F64, DType::F64),
    (Dtype::F32, DType::F32),
    (Dtype::F16, DType::F16),
    (Dtype::BF16, DType::BF16),
    (Dtype::I64, DType::I64),
    (Dtype::I32, DType::I32),
    (Dtype::I8, DType::I8),
    (Dtype::U8, DType::U8),
    (Dtype::U32, DType::U32),
    (Dtype::BOOL, DType::Bool),
];

#[derive(Debug, Default)]
pub struct WeightFiles {
    maps: Vec<Mmap>,
    tensors: Vec<Stored>,
    names: FxHashMap<String, usize>,
    /// Names of tensors whose element type is not known here, with that type.
    foreign: Vec<(String, String)>,
    identities: Vec<Identity>,
}

#[derive(Debug)]
struct Stored {
    name: String,
    dtype: DType,
    shape: Vec<usize>,
    data: Data,
}

#[derive(Debug)]
enum Data {
    Mapped { map: usize, range: Range<usize> },
    Copied(Tensor),
}

#[derive(Deserialize)]
struct Index {
    weight_map: FxHashMap<String, String>,
}

impl WeightFiles {
    /// Opens `.safetensors` files, and `.json` indices that list shards beside them.
    pub fn open<P: AsRef<Path>>(paths: &[P]) -> Result<WeightFiles, RunError> {
        let mut files = WeightFiles::default();
        for path in paths {
            let path = path.as_ref();
            if path.extension().is_some_and(|extension| extension == "json") {
                for shard in shards(path)? {
                    files.add(&path.with_file_name(shard))?;
                }
            } else {
                files.add(path)?;
            }
        }
        Ok(files)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.iter().map(|stored| stored.name.as_str())
    }

    pub fn position(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    pub fn get(&self, name: &str) -> Option<TensorRef<'_>> {
        self.position(name).map(|index| self.tensor(index))
    }

    /// What tells what is read of these files, in the way that `how` says, from what is read of others.
    pub fn identity(&self, how: &str) -> Identity {
        Identity::of_all(&self.identities, how)
    }

    pub fn foreign(&self) -> &[(String, String)] {
        &self.foreign
    }

    pub(crate) fn tensor(&self, index: usize) -> TensorRef<'_> {
        let stored = &self.tensors[index];
        match &stored.data {
            Data::Copied(tensor) => tensor.view(),
            Data::Mapped { map, range } => {
                let bytes = &self.maps[*map][range.clone()];
                match TensorRef::new(stored.dtype, &stored.shape, bytes) {
                    Ok(tensor) => tensor,
                    Err(error) => unreachable!("{error}: checked when the file was opened"),
                }
            }
        }
    }

    fn add(&mut self, path: &Path) -> Result<(), RunError> {
        let file = File::open(path).map_err(|error| RunError::io("open", path, &error))?;
        let facts = file.metadata().map_err(|error| RunError::io("read", path, &error))?;
        // SAFETY: the map is read only, and the files are not cut short while it lives: see above.
        let map = unsafe { Mmap::map(&file) }.map_err(|error| RunError::io("map", path, &error))?;
        let (header, metadata) = SafeTensors::read_metadata(&map)
            .map_err(|error| RunError::file(path, format!("no safetensors file: {error}")).help(conversion(path)))?;
        let mut infos: Vec<_> = metadata.tensors().into_iter().collect();
        infos.sort_by_key(|(name, info)| (info.data_offsets, name.clone()));
        let start = header + 8;
        for (name, info) in infos {
            let Some(&(_, dtype)) = TYPES.iter().find(|(theirs, _)| *theirs == info.dtype) else {
                self.foreign.push((name, info.dtype.to_string()));
                continue;
            };
            let place = |offset: usize| start.checked_add(offset).filter(|&at| at <= map.len());
            let range = place(info.data_offsets.0).zip(place(info.data_offsets.1));
            let range = range.filter(|(from, to)| to.checked_sub(*from) == byte_len(dtype, &info.shape));
            let Some((from, to)) = range else {
                return Err(RunError::file(path, format!("tensor `{name}` does not fill its place")));
            };
            let aligned = (map.as_ptr() as usize + from).is_multiple_of(dtype.size_of());
            let data = match aligned {
                true => Data::Mapped { map: self.maps.len(), range: from..to },
                false => Data::Copied(Tensor::from_bytes(dtype, &info.shape, &map[from..to])?),
            };
            if self.names.insert(name.clone(), self.tensors.len()).is_some() {
                return Err(RunError::file(path, format!("tensor `{name}` is in two files")));
            }
            self.tensors.push(Stored { name, dtype, shape: info.shape.clone(), data });
        }
        self.identities.push(Identity::of_file(path, &facts, map.get(..start).unwrap_or_default()));
        self.maps.push(map);
        Ok(())
    }
}

/// How weights of a kind that is not read become those that are, in a line of Python.
fn conversion(path: &Path) -> String {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("").to_lowercase();
    let (from, to) = (path.display(), path.with_extension("safetensors"));
    let to = to.display();
    match extension.as_str() {
        "npz" => format!("convert it with `safetensors.numpy.save_file(dict(numpy.load('{from}')), '{to}')` in Python"),
        "pt" | "pth" | "bin" | "ckpt" => {
            format!("convert it with `safetensors.torch.save_file(torch.load('{from}'), '{to}')` in Python")
        }
        _ => {
            "weights are read from safetensors files, which `safetensors.torch.save_file` writes in Python".to_string()
        }
    }
}

/// The files that an index names. They must lie beside it.
fn shards(path: &Path) -> Result<BTreeSet<String>, RunError> {
    let text = fs::read(path).map_err(|error| RunError::io("read", path, &error))?;
    let index: Index = serde_json::from_slice(&text)
        .map_err(|error| RunError::file(path, format!("no index of weight files: {error}")))?;
    let shards: BTreeSet<String> = index.weight_map.into_values().collect();
    for shard in &shards {
        let mut parts = Path::new(shard).components();
        if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) {
            return Err(RunError::file(path, format!("shard `{shard}` does not lie beside the index")));
        }
    }
    Ok(shards)
}

/// Writes tensors as one file, which replaces the one at the path when all of it is on the disk.
pub fn write_safetensors(path: &Path, tensors: &[(String, TensorRef)]) -> Result<(), RunError> {
    let mut views = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let dtype = TYPES.iter().find(|(_, ours)| *ours == tensor.dtype()).map(|&(theirs, _)| theirs);
        let dtype = dtype.ok_or_else(|| RunError::new(ErrorKind::File, "no such element type"))?;
        let view = TensorView::new(dtype, tensor.shape().to_vec(), tensor.bytes())
            .map_err(|error| RunError::file(path, format!("tensor `{name}`: {error}")))?;
        views.push((name.as_str(), view));
    }
    files::write_whole_by_name(path, |name| {
        safetensors::serialize_to_file(views, None, name).map_err(io::Error::other)?;
        File::open(name)?.sync_all()
    })
    .map_err(|error| RunError::io("write", path, &error))
}
