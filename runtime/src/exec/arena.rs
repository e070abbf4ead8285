//! Packs the values of an entry into one arena.
//!
//! Invariant: two values whose lifetimes meet never share a byte, every offset is a multiple of
//! [`ALIGN`], and equal requests give equal plans: the largest value first, each into the
//! tightest gap that its lifetime leaves open.

use crate::bytes::ALIGN;

/// A value to place: how large it is and from which step to which it lives, ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    pub bytes: usize,
    pub first: u32,
    pub last: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packing {
    /// By request.
    pub offsets: Vec<usize>,
    /// Bytes of the whole arena: the peak, known before anything runs.
    pub len: usize,
}

struct Placed {
    start: usize,
    end: usize,
    first: u32,
    last: u32,
}

/// `None` when the arena would be larger than any memory.
pub fn pack(requests: &[Request]) -> Option<Packing> {
    let mut order: Vec<usize> = (0..requests.len()).filter(|&index| requests[index].bytes > 0).collect();
    order.sort_by_key(|&index| (std::cmp::Reverse(requests[index].bytes), requests[index].first, index));
    let mut offsets = vec![0; requests.len()];
    let mut placed: Vec<Placed> = Vec::with_capacity(order.len());
    let mut len = 0usize;
    for index in order {
        let Request { bytes, first, last } = requests[index];
        let bytes = bytes.checked_next_multiple_of(ALIGN)?;
        let start = tightest_gap(&placed, first, last, bytes);
        let end = start.checked_add(bytes).filter(|&end| end <= isize::MAX as usize)?;
        offsets[index] = start;
        len = len.max(end);
        let at = placed.partition_point(|other| other.start <= start);
        placed.insert(at, Placed { start, end, first, last });
    }
    Some(Packing { offsets, len })
}

/// `placed` is sorted by start, so one sweep over those alive at the same time sees every gap.
fn tightest_gap(placed: &[Placed], first: u32, last: u32, bytes: usize) -> usize {
    let mut free = 0;
    let mut best: Option<(usize, usize)> = None;
    for other in placed.iter().filter(|other| other.first <= last && first <= other.last) {
        let gap = other.start.saturating_sub(free);
        if gap >= bytes && best.is_none_or(|(smallest, _)| gap < smallest) {
            best = Some((gap, free));
        }
        free = free.max(other.end);
    }
    best.map_or(free, |(_, start)| start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(bytes: usize, first: u32, last: u32) -> Request {
        Request { bytes, first, last }
    }

    #[test]
    fn memory_is_used_again_after_a_life_ends() {
        let chain: Vec<_> = (0..10).map(|step| request(1000, step, step + 1)).collect();
        let packing = pack(&chain).unwrap();
        assert_eq!(packing.len, 2 * 1024);
        assert_eq!(pack(&[request(1, 0, 0), request(0, 0, 0), request(1, 0, 5)]).unwrap().len, 2 * ALIGN);
        assert_eq!(pack(&[]).unwrap().len, 0);
    }

    #[test]
    fn the_tightest_gap_is_taken() {
        let around = [(0, 128), (192, 256), (512, 640)];
        let placed: Vec<_> = around.iter().map(|&(start, end)| Placed { start, end, first: 0, last: 9 }).collect();
        assert_eq!(tightest_gap(&placed, 3, 3, 64), 128);
        assert_eq!(tightest_gap(&placed, 3, 3, 128), 256);
        assert_eq!(tightest_gap(&placed, 3, 3, 512), 640);
        assert_eq!(tightest_gap(&placed, 10, 11, 512), 0);
    }

    #[test]
    fn absurd_sizes_are_refused() {
        assert_eq!(pack(&[request(usize::MAX, 0, 0)]), None);
        let half = isize::MAX as usize / 2;
        assert_eq!(pack(&[request(half, 0, 1), request(half, 0, 1), request(half, 1, 1)]), None);
    }

    proptest! {
        #[test]
        fn values_alive_together_are_apart(
            raw in prop::collection::vec((0usize..2000, 0u32..20, 0u32..6), 0..40)
        ) {
            let requests: Vec<_> = raw.iter().map(|&(bytes, first, more)| request(bytes, first, first + more)).collect();
            let packing = pack(&requests).unwrap();
            for (i, a) in requests.iter().enumerate() {
                let start = packing.offsets[i];
                prop_assert!(start.is_multiple_of(ALIGN) && start + a.bytes <= packing.len);
                for (j, b) in requests.iter().enumerate().skip(i + 1) {
                    let together = a.first <= b.last && b.first <= a.last;
                    let other = packing.offsets[j];
                    let apart = start + a.bytes <= other || other + b.bytes <= start;
                    prop_assert!(!together || apart || a.bytes == 0 || b.bytes == 0);
                }
            }
        }
    }
}
