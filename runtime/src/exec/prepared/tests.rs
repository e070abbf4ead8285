//! What is prepared is made once, shared while someone holds it, and kept in files that are not believed.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::program::check::tests::good;
use crate::program::{DType, PreparedDecl};
use crate::weights::Identity;

fn decls() -> Vec<PreparedDecl> {
    let decl = |shape: &[usize], output| PreparedDecl { dtype: DType::F32, shape: shape.to_vec(), entry: 0, output };
    vec![decl(&[3], 0), decl(&[0, 2], 1), decl(&[2, 20], 2)]
}

fn tensors() -> Vec<Tensor> {
    let ramp = |shape: &[usize]| {
        let n = shape.iter().product::<usize>();
        Tensor::from_slice(shape, &(0..n).map(|i| i as f32).collect::<Vec<_>>()).unwrap()
    };
    decls().iter().map(|decl| ramp(&decl.shape)).collect()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn cache(&self) -> WeightCache {
        WeightCache::at(self.0.path().join("deeper"))
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.0.path().join("deeper")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

#[test]
fn what_was_put_is_mapped_where_vectors_can_load_it() {
    let folder = Folder::new();
    let (cache, key) = (folder.cache(), blake3::hash(b"key"));
    assert!(cache.get(&key, &decls()).is_none());
    cache.put(&key, &decls(), &tensors());
    assert_eq!(folder.files().len(), 1, "nothing is left beside");
    let mapped = cache.get(&key, &decls()).unwrap();
    for (index, tensor) in tensors().iter().enumerate() {
        assert_eq!(mapped.bytes(index), tensor.bytes());
        assert!((mapped.bytes(index).as_ptr() as usize).is_multiple_of(crate::bytes::ALIGN));
    }
    assert!(cache.get(&blake3::hash(b"other"), &decls()).is_none());
}

#[test]
fn a_file_that_is_not_what_was_put_is_not_used_and_made_again() {
    let folder = Folder::new();
    let (cache, key) = (folder.cache(), blake3::hash(b"key"));
    cache.put(&key, &decls(), &tensors());
    let path = folder.files().remove(0);
    let whole = fs::read(&path).unwrap();
    let longer = [&whole[..], b"x"].concat();
    let mut broken = vec![Vec::new(), b"TWPREP\r\n".to_vec(), whole[..whole.len() - 1].to_vec(), longer];
    for at in [0, 9, 20, 30, 60, 70, 127] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        broken.push(bytes);
    }
    for bytes in broken {
        fs::write(&path, &bytes).unwrap();
        assert!(cache.get(&key, &decls()).is_none(), "{} bytes", bytes.len());
    }
    assert!(cache.get(&key, &decls()[..2]).is_none(), "another program's values");
    let elsewhere = folder.0.path().join("deeper").join(blake3::hash(b"other").to_hex().as_str());
    fs::write(&elsewhere, &whole).unwrap();
    assert!(cache.get(&blake3::hash(b"other"), &decls()).is_none(), "under another key");
    cache.put(&key, &decls(), &tensors());
    assert!(cache.get(&key, &decls()).is_some());
}

#[test]
fn the_key_says_which_entry_makes_what() {
    let weights = Identity::default();
    let key = |makers: [u32; 3]| {
        let mut program = good();
        let decl = |(entry, output)| PreparedDecl { dtype: DType::F32, shape: vec![4], entry, output };
        program.prepared = makers.into_iter().zip([0, 1, 0]).map(decl).collect();
        Key::of(&program, weights, |_| None)
    };
    assert!(key([0, 0, 1]).is_some());
    assert_eq!(key([0, 0, 1]), key([0, 0, 1]));
    assert_ne!(key([0, 0, 1]), key([0, 1, 1]));
}

#[test]
fn what_was_not_used_for_longest_makes_room() {
    let folder = Folder::new();
    let cache = folder.cache().with_limit(3 * 512);
    let keys: Vec<blake3::Hash> = (0..4u8).map(|byte| blake3::hash(&[byte])).collect();
    let path = |key: &blake3::Hash| folder.0.path().join("deeper").join(key.to_hex().as_str());
    for (age, key) in keys[..3].iter().enumerate() {
        cache.put(key, &decls(), &tensors());
        let file = fs::File::options().write(true).open(path(key)).unwrap();
        assert!(file.metadata().unwrap().len() <= 512);
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(age as u64)).unwrap();
    }
    fs::write(folder.0.path().join("deeper/README"), [0; 4096]).unwrap();
    let held = cache.get(&keys[0], &decls()).expect("which is a use");
    let small = folder.cache().with_limit(100);
    small.put(&keys[3], &decls(), &tensors());
    assert_eq!(folder.files().len(), 4, "what does not fit makes no room");
    folder.cache().with_limit(3 * 448).put(&keys[3], &decls(), &tensors());
    let left: Vec<bool> = keys.iter().map(|key| path(key).exists()).collect();
    assert_eq!(left, [true, false, true, true]);
    folder.cache().with_limit(448).put(&keys[1], &decls(), &tensors());
    assert!(!path(&keys[0]).exists());
    assert_eq!(held.bytes(0), tensors()[0].bytes(), "a file that is removed stays where it is mapped");
}

#[test]
fn a_cache_that_cannot_be_written_is_no_error() {
    let key = blake3::hash(b"key");
    for cache in [WeightCache::at("/proc/nothing/can/be/created/here"), WeightCache::off()] {
        cache.put(&key, &decls(), &tensors());
        assert!(cache.get(&key, &decls()).is_none());
    }
}

#[test]
fn one_key_is_made_once_and_forgotten_with_its_last_user() {
    let key = Key { hash: blake3::hash(b"one of a kind"), lasting: false };
    let (first, second) = (Shared::of(Some(&key)), Shared::of(Some(&key)));
    assert!(first.make_once(|| Err(RunError::new(crate::ErrorKind::Memory, "not now"))).is_err());
    first.make_once(|| Ok(Prepared::Made(tensors()))).unwrap();
    second.make_once(|| panic!("it is there")).unwrap();
    assert_eq!(first.bytes(2).as_ptr(), second.bytes(2).as_ptr());
    assert_eq!(second.owned_bytes(), 4 * 43);
    let other = Shared::of(None);
    other.make_once(|| Ok(Prepared::Made(Vec::new()))).unwrap();
    drop((first, second));
    let mut made_again = false;
    let make = || {
        made_again = true;
        Ok(Prepared::Made(Vec::new()))
    };
    Shared::of(Some(&key)).make_once(make).unwrap();
    assert!(made_again);
}
