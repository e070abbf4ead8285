//! Values for inputs: what is taken, what becomes of it, and what is refused.

use std::path::Path;

use tilewright::Tensor;
use tilewright::runtime::data::{read_npz, write_npy, write_npz, write_png};

use crate::command::{Said, tw};

/// A folder with the spec of an identity in it.
struct Model {
    folder: tempfile::TempDir,
}

impl Model {
    /// Its only input is `x`, of this type.
    fn of(ty: &str) -> Model {
        let folder = tempfile::tempdir().unwrap();
        let spec = format!("model Same() {{\n    fn call(x: {ty}) -> {ty} {{ x }}\n}}\n");
        std::fs::write(folder.path().join("same.tw"), spec).unwrap();
        Model { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    fn run(&self, input: &str) -> Said {
        let (spec, output) = (self.path("same.tw"), self.path("out.npz"));
        tw(&["run", &spec, "--backend", "interpreter", "--input", input, "--output", &output])
    }

    /// What comes out, which is what went in.
    fn takes(&self, input: &str) -> Tensor {
        let said = self.run(input);
        assert_eq!(said.code, 0, "{input}: {}", said.all());
        read_npz(Path::new(&self.path("out.npz"))).unwrap().remove(0).1
    }

    fn refuses(&self, input: &str, says: &[&str]) {
        let said = self.run(input);
        assert_eq!(said.code, 1, "{input}: {}", said.all());
        for text in says {
            assert!(said.err.contains(text), "{input} does not say {text:?}: {}", said.err);
        }
    }
}

#[test]
fn only_pictures_are_given_the_axis_of_a_batch() {
    let model = Model::of("[B, N, 4]");
    model.refuses("x=[[1, 2, 3, 4]]", &["`x` has 3 axes, [B, N, 4]", "has 2 axes, [1, 4]", "`x=[[[1, 2, 3, 4]]]`"]);
    let array = Tensor::from_slice(&[2, 4], &[0.5f32; 8]).unwrap();
    write_npy(Path::new(&model.path("x.npy")), array.view()).unwrap();
    write_npz(Path::new(&model.path("x.npz")), &[("x".to_string(), array.view())]).unwrap();
    for file in ["x.npy", "x.npz"] {
        model.refuses(&format!("x={}", model.path(file)), &["has 2 axes, [2, 4]", "`array[None]` in NumPy"]);
    }
    model.refuses(&model.path("x.npz"), &["has 2 axes, [2, 4]"]);
    Model::of("[B]").refuses("x=3", &["has 1 axis, [B]", "has 0 axes, []", "`x=[3]`"]);
    let pictures = Model::of("[B, 3, H, W]");
    let picture = Tensor::from_slice(&[3, 4, 5], &[0.5f32; 60]).unwrap();
    write_png(Path::new(&pictures.path("x.png")), picture.view()).unwrap();
    assert_eq!(pictures.takes(&format!("x={}", pictures.path("x.png"))).shape(), [1, 3, 4, 5]);
}

#[test]
fn pictures_have_their_channels_where_the_input_has_them() {
    let colours: Vec<f32> = (0..12).map(|value| f32::from(value as u8) / 255.0).collect();
    let (grey, colours) = (Tensor::from_slice(&[2, 2], &colours[..4]), Tensor::from_slice(&[3, 2, 2], &colours));
    let taken = |ty: &str, picture: &Tensor| {
        let model = Model::of(ty);
        write_png(Path::new(&model.path("x.png")), picture.view()).unwrap();
        let taken = model.takes(&format!("x={}", model.path("x.png")));
        let bytes = taken.view().to_f64().iter().map(|value| (value * 255.0).round() as u8).collect::<Vec<u8>>();
        (taken.shape().to_vec(), bytes)
    };
    let (grey, colours) = (grey.unwrap(), colours.unwrap());
    assert_eq!(taken("[3, H, W]", &colours), (vec![3, 2, 2], (0..12).collect()));
    assert_eq!(taken("[B, H, W, 3]", &colours), (vec![1, 2, 2, 3], vec![0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]));
    assert_eq!(taken("[B, 1, 2, 2]", &grey), (vec![1, 1, 2, 2], (0..4).collect()));
    assert_eq!(taken("[H, W, 1]", &grey), (vec![2, 2, 1], (0..4).collect()));
    let model = Model::of("[B, 1, H, W]");
    write_png(Path::new(&model.path("x.png")), colours.view()).unwrap();
    let input = format!("x={}", model.path("x.png"));
    model.refuses(&input, &["`x` takes pictures of one channel, and this one has colours"]);
}

#[test]
fn numbers_out_of_an_inputs_range_are_refused() {
    let bytes = Model::of("u8[N]");
    bytes.refuses("x=[7, 300, -1]", &["`x` is u8, from 0 to 255: 300 is not in that range"]);
    let wide = Tensor::from_slice(&[2], &[1i64, -1]).unwrap();
    write_npy(Path::new(&bytes.path("x.npy")), wide.view()).unwrap();
    bytes.refuses(&format!("x={}", bytes.path("x.npy")), &["-1 is not in that range"]);
    bytes.refuses("x=[0.5]", &["`x` takes whole numbers, u8: 0.5 is none"]);
    bytes.refuses("x=[1e3]", &["1000 is not in that range"]);
    bytes.refuses("x=[inf]", &["`x` takes whole numbers, u8"]);
    assert_eq!(bytes.takes("x=[0, 255]").as_slice::<u8>(), Some(&[0, 255][..]));
    assert_eq!(bytes.takes("x=[1e2, 2.0]").as_slice::<u8>(), Some(&[100, 2][..]));
    let floats = Tensor::from_slice(&[1], &[1.5f32]).unwrap();
    write_npy(Path::new(&bytes.path("f.npy")), floats.view()).unwrap();
    bytes.refuses(&format!("x={}", bytes.path("f.npy")), &["holds u8, and the array f32"]);
}

#[test]
fn bools_and_what_is_not_finite_can_be_written_out() {
    let bools = Model::of("bool[N]");
    assert_eq!(bools.takes("x=[0, 1]").view().to_f64(), [0.0, 1.0]);
    assert_eq!(bools.takes("x=[true, false]").view().to_f64(), [1.0, 0.0]);
    bools.refuses("x=[2]", &["from 0 to 1: 2 is not"]);
    let floats = Model::of("[N]").takes("x=[nan, inf, -inf, 1]").view().to_f64();
    assert!(floats[0].is_nan());
    assert_eq!(floats[1..], [f64::INFINITY, f64::NEG_INFINITY, 1.0]);
}

#[test]
fn an_archive_without_the_input_is_asked_about_what_it_holds() {
    let model = Model::of("[N]");
    let array = Tensor::from_slice(&[2], &[1f32, 2.0]).unwrap();
    let path = model.path("in.npz");
    write_npz(Path::new(&path), &[("X".to_string(), array.view())]).unwrap();
    model.refuses(&path, &["`x`, f32[N], is missing", "holds `X`", &format!("x={path}:X")]);
    assert_eq!(model.takes(&format!("x={path}:X")).shape(), [2]);
    write_npz(Path::new(&path), &[]).unwrap();
    model.refuses(&format!("x={path}"), &["holds no arrays"]);
    model.refuses(&format!("x={path}:X"), &["holds no arrays"]);
    std::fs::create_dir(model.path("folder.npy")).unwrap();
    model.refuses(&format!("x={}", model.path("folder.npy")), &["folder.npy`: it is a folder"]);
}

#[test]
fn the_interpreter_gives_the_floats_that_were_asked_for() {
    let model = Model::of("[N]");
    let (spec, output) = (model.path("same.tw"), model.path("out.npz"));
    for (float, expected) in [("f32", f64::from(0.1f32)), ("f64", 0.1)] {
        let run = ["run", &spec, "--backend", "interpreter", "--input", "x=[0.1]", "--output", &output];
        let said = tw(&[&run[..], &["--float", float]].concat());
        assert_eq!(said.code, 0, "{}", said.all());
        assert_eq!(read_npz(Path::new(&output)).unwrap()[0].1.view().to_f64(), [expected], "{float}");
        assert!(said.out.contains(&format!("{float}[1]")), "{}", said.out);
    }
}

/// A cast that a spec writes rounds on every engine, also on the one that computes in f64.
#[test]
fn casts_to_narrow_floats_round_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (spec, output) = (path("cast.tw"), path("out.npz"));
    std::fs::write(&spec, "model Cast() { fn call(x: [N]) -> [N] { float(bf16(x)) } }").unwrap();
    for backend in crate::command::backends().iter().chain(&["interpreter"]) {
        let input = "x=[1.003, 1.01171875, 1.00390625, -3.14159]";
        let said = tw(&["run", &spec, "--backend", backend, "--input", input, "--output", &output]);
        assert_eq!(said.code, 0, "{}", said.all());
        let found = tilewright::runtime::data::read_npz(output.as_ref()).unwrap();
        assert_eq!(found[0].1.view().to_f64(), [1.0, 1.015625, 1.0, -3.140625], "{backend}");
    }
}
