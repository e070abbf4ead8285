//! What the pass `phases` says that it changes: a tap that is infinite or NaN no longer meets the zeros that stand between
//! the elements of a spread image, nor those of the padding that no element could stand on.
//!
//! Invariant: this is computed in another way than the pass goes. Each tap is multiplied by the image as it is; the
//! products are spread, moved to their places and added up. Other convolutions stay, and so does all else.

use tilewright::compiler::graph::parse::{Library, parse};
use tilewright::compiler::graph::{
    Attrs, Builder, DType, Dim, Graph, Node, OpError, Origin, Precision, Tensor, Value, interpret,
};
use tilewright::compiler::ops;
use tilewright::compiler::ops::convolve::{Layout, Slide, slides};
use tilewright::compiler::passes::Context;
use tilewright::compiler::passes::phases::{self, MAX_PHASES};

use super::{ONES, rewrite, size_lookup};

/// The graph with nothing between the elements of the images that the pass takes apart; None if there are none.
pub fn of(graph: &Graph) -> Option<Graph> {
    let mut n_found = 0;
    let apart = rewrite::each_node(graph, &mut |graph, node, value| {
        let Some(spread) = Spread::of(graph, node, value) else { return value };
        // Kernels without taps, and images that are cropped to less than nothing, give zeros in any case.
        let Ok(sum) = spread.sum_of_taps(graph, node, value) else { return value };
        n_found += 1;
        sum
    });
    (n_found > 0).then_some(apart)
}

/// A convolution over an image with zeros between its elements.
struct Spread {
    slides: Vec<Slide>,
    layout: Layout,
}

impl Spread {
    fn of(graph: &Graph, node: &Node, value: Value) -> Option<Spread> {
        if node.op.name != "convolve" || !graph.type_of(value).dtype.is_float() {
            return None;
        }
        let n_axes = graph.type_of(value).rank() - 2;
        let (slides, layout, n_taps) = graph.with_call(value.node, |call| {
            let n_taps: Option<Vec<i64>> = call.operand(1).shape[2..].iter().map(Dim::as_constant).collect();
            (slides(call, n_axes), Layout::of(call), n_taps)
        });
        let (slides, _) = (slides.ok()?, n_taps?);
        let is_spread = |slide: &&Slide| slide.base_dilation > 1;
        let is_simple = |slide: &Slide| slide.stride == 1 && slide.dilation == 1 && slide.low.as_constant().is_some();
        let n_phases: i64 = slides.iter().map(|slide| slide.base_dilation).product();
        let fits = (2..=MAX_PHASES).contains(&n_phases) && slides.iter().filter(is_spread).all(is_simple);
        fits.then_some(Spread { slides, layout })
    }

    /// The axes along which the image is spread: their number, and how far apart elements stand.
    fn axes(&self) -> impl Iterator<Item = (usize, &Slide)> {
        self.slides.iter().enumerate().filter(|(_, slide)| slide.base_dilation > 1)
    }

    fn sum_of_taps(&self, graph: &mut Graph, node: &Node, value: Value) -> Result<Value, OpError> {
        let (operands, shape) = (graph.operands(value.node), graph.type_of(value).shape.clone());
        let mut b = Builder::new(graph, Origin::default());
        // Padding is as many elements as fit into it: taps meet those as they meet any zero of the image.
        let mut x = operands[0];
        for (idx, slide) in self.axes() {
            let apart = Dim::constant(slide.base_dilation);
            x = b.pad_axis(x, self.layout.spatial + idx, slide.low.floor_div(&apart), slide.high.floor_div(&apart))?;
        }
        let mut sum = None;
        for tap in self.taps(&b.shape_of(operands[1])) {
            let w = self.axes().zip(&tap).try_fold(operands[1], |w, ((idx, _), &at)| {
                b.range(w, 2 + idx, Dim::constant(at), Dim::constant(at + 1))
            })?;
            let products = b.apply(node.op, &[x, w], self.closed(node))?;
            let moved = self.moved(&mut b, products, &tap, &shape)?;
            sum = Some(match sum {
                Some(sum) => b.add(sum, moved)?,
                None => moved,
            });
        }
        sum.ok_or_else(|| OpError::new("a kernel without taps"))
    }

    /// All places in the kernel, along the axes of a spread image alone.
    fn taps(&self, kernel: &[Dim]) -> Vec<Vec<i64>> {
        self.axes().fold(vec![Vec::new()], |taps, (idx, _)| {
            let n_taps = kernel[2 + idx].as_constant().unwrap_or(0);
            taps.iter().flat_map(|tap| (0..n_taps).map(|at| [&tap[..], &[at]].concat())).collect()
        })
    }

    /// The same convolution over an image that is neither spread nor padded along these axes.
    fn closed(&self, node: &Node) -> Attrs {
        let is_spread = |idx: usize| self.slides[idx].base_dilation > 1;
        let padding = |side: fn(&Slide) -> &Dim| -> Vec<Dim> {
            let closed = |(idx, slide)| if is_spread(idx) { Dim::constant(0) } else { side(slide).clone() };
            self.slides.iter().enumerate().map(closed).collect()
        };
        let attrs = node.attrs.clone().with("base_dilation", vec![1; self.slides.len()]);
        attrs.with("low", padding(|slide| &slide.low)).with("high", padding(|slide| &slide.high))
    }

    /// What one tap adds to each place of the result.
    fn moved(&self, b: &mut Builder, products: Value, tap: &[i64], shape: &[Dim]) -> Result<Value, OpError> {
        let mut moved = products;
        for ((idx, slide), at) in self.axes().zip(tap) {
            let axis = self.layout.spatial + idx;
            moved = b.spread(moved, axis, slide.base_dilation)?;
            let low = slide.low.as_constant().ok_or_else(|| OpError::new("a padding is no number"))?;
            let before = Dim::constant(low.rem_euclid(slide.base_dilation) - at);
            let after = &(&shape[axis] - &b.shape_of(moved)[axis]) - &before;
            moved = b.pad_axis(moved, axis, before, after)?;
        }
        Ok(moved)
    }
}

#[test]
fn infinite_taps_meet_elements_and_nothing_between() {
    let text = "graph @main(%0 \"x\": data f32[1, 1, 3], %1 \"w\": data f32[1, 1, 2]) {\n  \
        %2: f32[1, 1, 7] = convolve(%0, %1) {low = [2], high = [1], base_dilation = [2]}\n  return %2 \"y\": data\n}\n";
    let graph = parse(text, Library::of_ops(&|name| ops::find(name))).expect("a graph");
    let tensor = |values: &[f64]| Tensor::floats(DType::F32, vec![1, 1, values.len()], values.to_vec());
    let arguments = [tensor(&[1.0, -2.0, 0.0]), tensor(&[f64::INFINITY, 1.0])];
    let run = |graph: &Graph| {
        let results = interpret(graph, &arguments, &size_lookup(ONES), Precision::Wide).expect("a result");
        (0..7).map(|idx| results[0].float_at(idx).to_string()).collect::<Vec<_>>()
    };
    let apart = of(&graph).expect("the image is spread");
    // The first place of the padding is as far from the elements as they are from each other.
    assert_eq!(run(&apart), ["NaN", "1", "inf", "-2", "-inf", "0", "NaN"]);
    assert_eq!(run(&graph), ["NaN", "NaN", "inf", "NaN", "-inf", "NaN", "NaN"]);
    assert_eq!(run(&(phases::PASS.run)(&graph, &Context::default()).expect("a graph")), run(&apart));
}
