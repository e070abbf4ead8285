//! Tile sizes as data: what fits the registers of each kind of machine, and how tiles cover an axis.

use crate::graph::{DType, Dim};
use crate::kernel::{Builder, Span, Value};
use crate::schedule::contraction::matrices;

/// Bytes that come from memory at once.
pub const LINE: u64 = 64;

/// What schedules need to know of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    /// Elements of four bytes in one vector register.
    pub lanes: u64,
    /// Whether a vector access can leave lanes out at no cost.
    pub masks: bool,
    /// How many threads the work of one kernel may be spread over.
    pub threads: u64,
    /// Bytes that the threads of a block may share; 0 where lanes are those of a vector.
    pub shared_bytes: u64,
    /// Whether blocks multiply matrices of bf16 by instructions of their own.
    pub mma: bool,
    /// Whether registers of a CPU hold matrices of bf16.
    pub matrices: bool,
    /// Whether a vector is divided in the time that an estimate of a reciprocal and a step take, or less.
    pub divides: bool,
    /// Whether a pass whose result goes past the caches had better ask for nothing.
    pub streams_alone: bool,
    /// Bytes that stay in the second-level cache beside a panel and the one after it.
    pub kept_bytes: i64,
}

/// The same of most machines.
const KEPT_BYTES: i64 = 768 << 10;

/// A register tile of a contraction: rows, and vectors in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisterTile {
    pub rows: u64,
    pub vectors: u64,
}

/// Register tiles by lanes, widest first: the accumulators `rows × vectors`, one row of the panel and one broadcast must
/// fit the registers.
const REGISTER_TILES: &[(u64, &[RegisterTile])] = &[
    // A block of threads, each with a column.
    (32, &[tile(8, 1)]),
    // AVX-512: 32 registers of 16 lanes.
    (16, &[tile(6, 4), tile(8, 3), tile(12, 2), tile(16, 1)]),
    // AVX2: 16 registers of 8 lanes.
    (8, &[tile(6, 2), tile(12, 1)]),
    // SSE and NEON: 16 registers of 4 lanes (NEON has more).
    (4, &[tile(6, 2), tile(12, 1)]),
    (1, &[tile(2, 4), tile(4, 1)]),
];

/// Lanes for each row of a tile that hide what a vector of the panel takes from the second-level cache: 24 bytes a cycle,
/// against two products.
const PANEL_ROWS: u64 = 3;

/// The same for integers with scales: sums of integers beside those of floats, and the sums of the rows.
const SCALED_TILES: &[(u64, &[RegisterTile])] =
    &[(16, &[tile(4, 2), tile(6, 1)]), (4, &[tile(2, 2), tile(3, 1)]), (1, &[tile(2, 4), tile(2, 1)])];

const fn tile(rows: u64, vectors: u64) -> RegisterTile {
    RegisterTile { rows, vectors }
}

/// Elements of eight bytes take two registers for the lanes of one.
fn for_dtype(of: RegisterTile, dtype: DType, lanes: u64) -> RegisterTile {
    if dtype.size_of() == 8 && lanes > 1 { tile((of.rows / 2).max(1), of.vectors) } else { of }
}

impl Machine {
    /// A CPU.
    pub const fn of_vectors(lanes: u64, masks: bool, threads: u64) -> Machine {
        Machine {
            lanes,
            masks,
            threads,
            shared_bytes: 0,
            mma: false,
            matrices: false,
            divides: false,
            streams_alone: false,
            kept_bytes: KEPT_BYTES,
        }
    }

    /// The register tile that wastes the fewest columns; the widest of those.
    pub fn contraction_tile(&self, columns: &Dim, dtype: DType) -> RegisterTile {
        self.tile_for(columns, None, dtype)
    }

    /// The same where each run of so many rows reads the panel anew from the second-level cache: tiles of few rows wait
    /// for it.
    fn tile_for(&self, columns: &Dim, rows: Option<i64>, dtype: DType) -> RegisterTile {
        let tiles = self.tiles(dtype);
        let Some(columns) = columns.as_constant() else { return for_dtype(tiles[0], dtype, self.lanes) };
        // Thousandths of what the columns take at full speed. As many vectors are read at once as are multiplied.
        let cost = |tile: &RegisterTile| {
            let (read, multiplied) = (tile.rows + tile.vectors, tile.rows * tile.vectors);
            let columns = (columns as u64).next_multiple_of(tile.vectors * self.lanes);
            let taken = 1000 * columns * read.max(multiplied) / multiplied;
            match rows.filter(|&rows| rows > 0).map(|rows| rows as u64) {
                Some(rows) => taken.max(taken * rows.div_ceil(tile.rows) * self.lanes / (PANEL_ROWS * rows)),
                None => taken,
            }
        };
        let mut best = tiles[0];
        for tile in &tiles[1..] {
            if cost(tile) < cost(&best) {
                best = *tile;
            }
        }
        for_dtype(best, dtype, self.lanes)
    }

    /// Those of half the vectors, and of a half of that, narrowest first.
    pub fn narrower_tiles(&self, than: RegisterTile, dtype: DType) -> Vec<RegisterTile> {
        let halves = std::iter::successors(Some(than.vectors / 2), |vectors| Some(vectors / 2));
        let tiles = halves.take_while(|&vectors| vectors > 0).filter_map(|n| self.tile_of_width(n * self.lanes, dtype));
        tiles.collect::<Vec<_>>().into_iter().rev().collect()
    }

    /// The register tile that reads panels of this width.
    pub fn tile_of_width(&self, width: u64, dtype: DType) -> Option<RegisterTile> {
        let tiles = self.tiles(dtype).iter().map(|&tile| for_dtype(tile, dtype, self.lanes));
        tiles.into_iter().find(|tile| tile.vectors * self.lanes == width)
    }

    /// Those for what is summed: bytes stand for integers with scales.
    fn tiles(&self, dtype: DType) -> &'static [RegisterTile] {
        let table = if dtype.size_of() == 1 { SCALED_TILES } else { REGISTER_TILES };
        let fits = table.iter().find(|(lanes, _)| *lanes <= self.lanes);
        fits.unwrap_or(&table[table.len() - 1]).1
    }

    /// How many columns of a contraction are packed together, and handled by one register tile. `rows` is known where each
    /// run of so many of them reads a panel anew that no first-level cache holds.
    pub fn panel_width(&self, columns: &Dim, dtype: DType, rows: Option<i64>) -> u64 {
        match self.matrices && matches!(dtype, DType::BF16 | DType::I8) {
            true => matrices::panel_width(columns),
            false => self.tile_for(columns, rows, dtype).vectors * self.lanes,
        }
    }

    /// Whether the lanes are the threads of a block: more than any vector has.
    pub fn is_block(&self) -> bool {
        self.lanes >= 32
    }

    /// Vectors that one step of a streaming loop handles, so that latencies overlap; of blocks there are others meanwhile.
    pub fn unroll(&self) -> u64 {
        if self.is_block() { 1 } else { 4 }
    }

    /// Windows whose sums are kept in registers together, and vectors of each: what neighbours read of an image stays in
    /// registers as well.
    pub fn window_tile(&self) -> RegisterTile {
        if self.lanes >= 16 { tile(4, 2) } else { tile(2, 2) }
    }

    /// Elements of one step of a streaming loop.
    pub fn strip(&self) -> u64 {
        self.lanes * self.unroll()
    }
}

/// One stretch of an axis: `count` tiles of `width` from `start`; a guarded tile may reach over the end.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    pub start: Dim,
    pub count: Dim,
    pub width: u64,
    pub guarded: bool,
}

/// Covers `0..extent` by tiles: wide ones, then what is left, in guarded tiles where masks are free and otherwise in
/// narrower ones.
pub fn segments(extent: &Dim, machine: &Machine) -> Vec<Segment> {
    segments_of(extent, machine.strip(), machine)
}

/// The same with wide tiles of this width, a multiple of the lanes.
pub fn segments_of(extent: &Dim, width: u64, machine: &Machine) -> Vec<Segment> {
    let (wide, lanes) = (Dim::constant(width as i64), Dim::constant(machine.lanes as i64));
    let n_wide = extent.floor_div(&wide);
    let rest = extent.modulo(&wide);
    let start = &n_wide * &wide;
    let mut segments = vec![Segment { start: Dim::constant(0), count: n_wide, width, guarded: false }];
    // The last elements of an extent that is itself a quotient are known to exist only through a guard.
    let guard = machine.masks || extent.as_constant().is_none() && crate::graph::rows::divides(extent);
    match (guard, rest.as_constant()) {
        (true, Some(rest)) => {
            let width = (rest as u64).div_ceil(machine.lanes) * machine.lanes;
            let guarded = width != rest as u64;
            segments.push(Segment { start, count: Dim::constant(i64::from(rest > 0)), width, guarded });
        }
        (true, None) => {
            segments.push(Segment { start, count: rest.ceil_div(&lanes), width: machine.lanes, guarded: true });
        }
        (false, _) => {
            segments.push(Segment { start, count: rest.floor_div(&lanes), width: machine.lanes, guarded: false });
            if machine.lanes > 1 {
                let start = &extent.floor_div(&lanes) * &lanes;
                segments.push(Segment { start, count: extent.modulo(&lanes), width: 1, guarded: false });
            }
        }
    }
    segments.retain(|segment| !segment.count.is(0));
    segments
}

/// Runs `body` for each tile of the segments, carrying values: it gets the start of the tile and the segment.
pub fn each_tile(
    b: &mut Builder,
    name: &str,
    segments: &[Segment],
    inits: &[Value],
    body: &mut dyn FnMut(&mut Builder, &Dim, &Segment, &[Value]) -> Vec<Value>,
) -> Vec<Value> {
    let mut carried = inits.to_vec();
    for (idx, segment) in segments.iter().enumerate() {
        carried = match segment.count.is(1) {
            true => body(b, &segment.start, segment, &carried),
            false => b.for_loop(
                Span::new(&format!("{name}{idx}"), 0, segment.count.clone(), 1),
                &carried,
                |b, k, carried| body(b, &(&segment.start + &(k * segment.width as i64)), segment, carried),
            ),
        };
    }
    carried
}
