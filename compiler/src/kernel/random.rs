//! Philox4x32-10: the constants that lowering expands, and the function that it must equal.
//!
//! Invariant: the same bits as `runtime::program::random`, which states what is drawn.
//!
//! Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011.

pub const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
pub const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
pub const ROUNDS: usize = 10;

/// The key is `key ^ seed`, the counter (index, stream); one of four words.
pub fn random_bits(seed: i64, stream: i64, key: u64, index: u64, word: u32) -> u32 {
    let key = key ^ seed as u64;
    let halves = |value: u64| (value as u32, (value >> 32) as u32);
    let ((mut a, mut b), (mut c, mut d)) = (halves(index), halves(stream as u64));
    let (mut k0, mut k1) = halves(key);
    for _ in 0..ROUNDS {
        let p = u64::from(a) * u64::from(MULTIPLIERS[0]);
        let q = u64::from(c) * u64::from(MULTIPLIERS[1]);
        (a, b, c, d) = (halves(q).1 ^ b ^ k0, q as u32, halves(p).1 ^ d ^ k1, p as u32);
        (k0, k1) = (k0.wrapping_add(WEYL[0]), k1.wrapping_add(WEYL[1]));
    }
    [a, b, c, d][(word & 3) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_gives_the_published_answers() {
        assert_eq!(random_bits(0, 0, 0, 0, 0), 0x6627_e8d5);
        assert_eq!(random_bits(0, 0, 0, 0, 3), 0x9b00_dbd8);
        let index = 0x85a3_08d3_243f_6a88;
        let stream = 0x0370_7344_1319_8a2e_i64;
        assert_eq!(random_bits(0, stream, 0x299f_31d0_a409_3822, index, 0), 0xd16c_fe09);
    }
}
