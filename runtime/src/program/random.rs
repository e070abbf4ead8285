//! Random bits as a function of where they are used: Philox4x32-10 and the keys it is given.
//!
//! Invariant: a draw depends on (seed, stream, key, index, word) and on nothing else: not on
//! threads, layouts, backends or order. Every backend computes exactly these functions.
//!
//! Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011.

/// By which a round of Philox multiplies the first and the third word of the counter.
pub const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
/// What a round of Philox adds to the words of the key.
pub const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
/// Rounds of Philox.
pub const ROUNDS: usize = 10;

const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// FNV-1a, 64 bits: turns an instance's path into a key.
pub const fn fnv1a_64(bytes: &[u8]) -> u64 {
    let mut hash = FNV_BASIS;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(FNV_PRIME);
        at += 1;
    }
    hash
}

/// Four random words for a counter, under a key.
pub const fn philox4x32_10(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [mut a, mut b, mut c, mut d] = counter;
    let [mut k0, mut k1] = key;
    let mut round = 0;
    while round < ROUNDS {
        let p = a as u64 * MULTIPLIERS[0] as u64;
        let q = c as u64 * MULTIPLIERS[1] as u64;
        (a, b, c, d) = ((q >> 32) as u32 ^ b ^ k0, q as u32, (p >> 32) as u32 ^ d ^ k1, p as u32);
        k0 = k0.wrapping_add(WEYL[0]);
        k1 = k1.wrapping_add(WEYL[1]);
        round += 1;
    }
    [a, b, c, d]
}

/// The bits of one draw. `key` says which draw of the model, `index` which element of its
/// result, `stream` which repetition (a step, a loop's index); `word` is 0 to 3.
pub const fn random_bits(seed: i64, stream: i64, key: u64, index: u64, word: u32) -> u32 {
    let key = key ^ seed as u64;
    let counter = [index as u32, (index >> 32) as u32, stream as u32, (stream as u64 >> 32) as u32];
    philox4x32_10(counter, [key as u32, (key >> 32) as u32])[(word & 3) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_gives_the_published_answers() {
        let answers = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, expected) in answers {
            assert_eq!(philox4x32_10(counter, key), expected);
        }
    }

    #[test]
    fn fnv_gives_the_published_answers() {
        assert_eq!(fnv1a_64(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a_64(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a_64(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn every_part_of_a_draw_matters() {
        let draws = [
            random_bits(0, 0, 0, 0, 0),
            random_bits(1, 0, 0, 0, 0),
            random_bits(0, 1, 0, 0, 0),
            random_bits(0, -1, 0, 0, 0),
            random_bits(0, 0, 2, 0, 0),
            random_bits(0, 0, 1 << 40, 0, 0),
            random_bits(0, 0, 0, 1, 0),
            random_bits(0, 0, 0, 1 << 40, 0),
            random_bits(0, 0, 0, 0, 1),
        ];
        let distinct: std::collections::HashSet<_> = draws.iter().collect();
        assert_eq!(distinct.len(), draws.len());
        assert_eq!(draws[0], 0x6627_e8d5);
        assert_eq!(draws[8], 0xe169_c58d);
    }
}
