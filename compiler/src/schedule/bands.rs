//! Bands: two groups in one kernel, the second of which reads what the first makes while a cache still has it.
//!
//! An item of the grid makes one tile of the result: it runs the schedule of the first group for the piece that the tile
//! needs, into memory of its own, and then the schedule of the second group for the tile. What neighbouring tiles both
//! need, such as the lines that windows share, is computed by each.
//!
//! Invariant: positions of a piece that lie beyond the value are computed from its last elements, and never read.

use super::body::Position;
use super::emit::declare_sizes;
use super::tiles::Machine;
use super::{Loops, ScheduleError, collapse, compose, prepared, schedule_nest};
use crate::graph::pieces::{Piece, Tiles, tile_symbol};
use crate::graph::rows::position;
use crate::graph::{Dim, Graph, Ranges, Symbol, Type};
use crate::kernel::{Builder, Kernel, Memory, Rights, SizeParam};
use crate::seeded::{Fault, is};

pub fn schedule(
    [produce, consume]: [&Graph; 2],
    tile: &[i64],
    sizes: &Ranges,
    machine: &Machine,
) -> Result<Kernel, ScheduleError> {
    let (producer, consumer) = (compose::compose_region(produce, sizes)?, compose::compose_region(consume, sizes)?);
    let axes = consumer.axes.clone();
    let tiles = Tiles { axes: &axes, sizes: tile };
    let pieces = pieces(&consumer, &tiles)?;
    if producer.result.shape != consumer.operands[0].shape || consumer.n_parallel != tile.len() {
        return Err(ScheduleError::new("a group in bands has axes of its own"));
    }
    if producer.stores_rows() || consumer.stores_rows() {
        return Err(ScheduleError::new("a row in bands would be cut"));
    }
    let (n_first, n_others) = (producer.operands.len(), consumer.operands.len() - 1);
    // The items are shared out; each runs on one thread.
    let one = Machine { threads: 1, ..*machine };
    let kernel = |nest: Loops| schedule_nest(collapse::without_units(prepared(nest, &one)), &one);
    let first = kernel(for_pieces(&producer, &tiles, &pieces));
    let second = kernel(for_tile(&consumer, &tiles, &pieces));
    if first.buffers.len() != n_first + 1 || second.buffers.len() != n_others + 2 {
        return Err(ScheduleError::new("a group in bands needs working memory"));
    }
    Ok(joined([&first, &second], &tiles, consumer.operands[0].with_shape(extents(&pieces)), sizes))
}

/// The part of the value that each tile needs, axis by axis.
fn pieces(consumer: &Loops, tiles: &Tiles) -> Result<Vec<Piece>, ScheduleError> {
    let loads = consumer.body.loads(&consumer.roots());
    let loads: Vec<_> = loads.into_iter().filter(|load| load.operand == 0).collect();
    let shape = &consumer.operands[0].shape;
    let piece = |axis: usize| {
        let positions = loads.iter().map(|load| match &load.index[axis] {
            Position::Dim(dim) => Some(dim),
            Position::Term(_) => None,
        });
        tiles.piece(&positions.collect::<Option<Vec<&Dim>>>()?, &shape[axis])
    };
    let pieces = (0..shape.len()).map(piece).collect::<Option<Vec<Piece>>>();
    pieces.ok_or_else(|| ScheduleError::new("a group in bands reads pieces of unknown size"))
}

fn extents(pieces: &[Piece]) -> Vec<Dim> {
    pieces.iter().map(|piece| Dim::constant(piece.extent)).collect()
}

/// The nest that makes the pieces of one tile.
fn for_pieces(producer: &Loops, tiles: &Tiles, pieces: &[Piece]) -> Loops {
    let mut axes = producer.axes.clone();
    axes[..pieces.len()].clone_from_slice(&extents(pieces));
    let mut ranges = producer.ranges.clone();
    tiles.declare_numbers(&mut ranges);
    let nest = Loops { ranges: ranges.clone(), ..producer.clone() };
    Loops::declare(&mut ranges, &axes);
    let is_inside =
        |place: &Dim, extent: &Dim| ranges.proves_le(&Dim::constant(0), place) && ranges.proves_lt(place, extent);
    let places: Vec<Dim> = pieces
        .iter()
        .enumerate()
        .map(|(axis, piece)| {
            let late = i64::from(is(Fault::BandsStartLate) && !piece.start.is(0));
            let (place, extent) = (&(&piece.start + &position(axis, &axes[axis])) + late, &producer.axes[axis]);
            match is_inside(&place, extent) {
                true => place,
                false => place.greatest(&Dim::constant(0)).least(&(extent - 1)),
            }
        })
        .collect();
    let mut nest = nest.over(axes, &|axis| places.get(axis).cloned());
    nest.result = producer.result.with_shape(extents(pieces));
    nest
}

/// The nest that makes one tile from its pieces.
fn for_tile(consumer: &Loops, tiles: &Tiles, pieces: &[Piece]) -> Loops {
    let mut nest = consumer.clone();
    tiles.declare_numbers(&mut nest.ranges);
    let axes: Vec<Dim> = (0..tiles.axes.len()).map(|axis| tiles.extent(axis)).collect();
    let place = |axis: usize| axes.get(axis).map(|extent| &tiles.start(axis) + &position(axis, extent));
    let mut nest = nest.over(axes.clone(), &place);
    nest.start = (0..tiles.sizes.len()).map(|axis| tiles.start(axis)).collect();
    nest.operands[0] = consumer.operands[0].with_shape(extents(pieces));
    let mut roots = nest.roots();
    nest.body = nest.body.rewrite(&mut roots, &Dim::clone, &|load| {
        if load.operand == 0 {
            for (position, piece) in load.index.iter_mut().zip(pieces) {
                let Position::Dim(dim) = position else { continue };
                *dim = &*dim - &piece.start;
            }
        }
    });
    nest.set_roots(&roots);
    nest
}

/// One kernel with a grid of tiles, in each of which the first kernel makes what the second reads.
fn joined([first, second]: [&Kernel; 2], tiles: &Tiles, piece: Type, sizes: &Ranges) -> Kernel {
    let mut b = Builder::new("kernel");
    let is_used = |symbol: &Symbol| {
        let used = |kernel: &Kernel| kernel.sizes.iter().any(|size: &SizeParam| size.symbol == *symbol);
        used(first) || used(second) || tiles.axes.iter().any(|extent| extent.mentions(symbol))
    };
    declare_sizes(&mut b, sizes, &is_used);
    let (first_operands, first_result) = first.buffers.split_at(first.buffers.len() - 1);
    let buffers = first_operands.iter().chain(&second.buffers[1..]).enumerate();
    let mut memories: Vec<Memory> = buffers
        .map(|(idx, buffer)| {
            let (name, rights) = match buffer.rights {
                Rights::Read => (format!("a{idx}"), Rights::Read),
                rights => ("out".to_string(), rights),
            };
            let memory = b.buffer(name, buffer.dtype, buffer.shape.clone(), rights);
            if buffer.streamed {
                b.stream(memory);
            }
            memory
        })
        .collect();
    for axis in (0..tiles.sizes.len()).filter(|&axis| tiles.is_cut(axis)) {
        b.grid(tile_symbol(axis).name(), tiles.count(axis));
    }
    let shape: Vec<u64> = piece.shape.iter().map(|extent| extent.as_constant().unwrap_or(1) as u64).collect();
    let piece = b.local("piece", first_result[0].dtype, shape);
    let others = memories.split_off(first_operands.len());
    memories.push(piece);
    b.inline(first, &memories);
    b.inline(second, &[&[piece], others.as_slice()].concat());
    b.finish()
}
