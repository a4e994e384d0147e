//! The partition of a key, as computed by Kafka's Java client, so that all clients agree on it.

/// Multiplier of the 32-bit murmur2 hash.
const M: u32 = 0x5bd1_e995;
/// The seed of Kafka's Java client.
const SEED: u32 = 0x9747_b28c;

/// 32-bit murmur2 (Austin Appleby, public domain) with the seed of Kafka's Java client.
pub(crate) fn murmur2(data: &[u8]) -> u32 {
    let mut hash = SEED ^ data.len() as u32;
    let mut blocks = data.chunks_exact(4);
    for word in &mut blocks {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = blocks.remainder();
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// The partition of `key` among `partitions` (at least 1).
pub fn partition_of(key: &[u8], partitions: i32) -> i32 {
    ((murmur2(key) & 0x7fff_ffff) as i32) % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur2_equals_the_vectors_of_the_java_client() {
        // From the Java client's own test of its hash function, as signed 32-bit numbers.
        for (key, expected) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, expected, "{key}");
        }
    }

    #[test]
    fn every_partition_number_is_in_range() {
        for partitions in [1, 2, 3, 7, 64] {
            for n in 0..1000_u32 {
                assert!((0..partitions).contains(&partition_of(&n.to_be_bytes(), partitions)));
            }
        }
    }
}
