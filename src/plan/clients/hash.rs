//! The kernel's hashes of addresses, as the tables of sh, dh and mh use them. They are not secret and never change.
//!
//! Source: `ip_vs_sh_hashkey`, `ip_vs_dh_hashkey`, `ip_vs_mh_hashkey` since Linux 4.18, `hash_32` and `hsiphash`. On kernels
//! of 32 bits `hsiphash` is another function; this is the one of 64 bits.

use std::net::IpAddr;

use crate::state::Family;

/// A key of `hsiphash`: both words.
pub type Secret = [u64; 2];

/// The key with which mh finds the slot of a client, and the first slot of a server.
pub const FIRST: Secret = [2_654_435_761; 2];

/// The key with which mh finds how far a server goes from slot to slot.
pub const SKIP: Secret = [2_654_446_892; 2];

/// An address as one word: the four words of IPv6 xored. `family` is the service's, also for a server of another one: of a
/// longer address the kernel sees the beginning, of a shorter one it sees zeroes behind it.
pub fn fold(family: Family, address: IpAddr) -> u32 {
    match (family, address) {
        (_, IpAddr::V4(address)) => address.to_bits(),
        (Family::Ipv4, IpAddr::V6(address)) => words(address.to_bits())[0],
        (Family::Ipv6, IpAddr::V6(address)) => words(address.to_bits()).into_iter().fold(0, |all, word| all ^ word),
    }
}

/// The first word first.
fn words(bits: u128) -> [u32; 4] {
    #[expect(clippy::cast_possible_truncation, reason = "one word of four")]
    [96, 64, 32, 0].map(|shift| (bits >> shift) as u32)
}

/// `hash_32`: the upper `bits` of the product with the golden ratio; for sh and dh.
pub fn golden(value: u32, bits: u32) -> u32 {
    value.wrapping_mul(0x61C8_8647).checked_shr(32 - bits).unwrap_or(0)
}

/// `hsiphash` of one word: SipHash-1-3, the lower half; for mh. A big-endian kernel hashes the bytes of its own order.
pub fn siphash(value: u32, [low, high]: Secret) -> u32 {
    let value = u64::from(u32::from_le_bytes(value.to_ne_bytes()));
    let mut state =
        [low ^ 0x736f_6d65_7073_6575, high ^ 0x646f_7261_6e64_6f6d, low ^ 0x6c79_6765_6e65_7261, high ^ 0x7465_6462_7974_6573];
    let last = (4 << 56) | value; // the length stands in the uppermost byte
    state[3] ^= last;
    round(&mut state);
    state[0] ^= last;
    state[2] ^= 0xff;
    for _ in 0..3 {
        round(&mut state);
    }
    let [a, b, c, d] = state;
    #[expect(clippy::cast_possible_truncation, reason = "hsiphash is the lower half")]
    {
        (a ^ b ^ c ^ d) as u32
    }
}

/// One round of `SipHash`.
fn round([a, b, c, d]: &mut [u64; 4]) {
    *a = a.wrapping_add(*b);
    *b = b.rotate_left(13) ^ *a;
    *a = a.rotate_left(32);
    *c = c.wrapping_add(*d);
    *d = d.rotate_left(16) ^ *c;
    *a = a.wrapping_add(*d);
    *d = d.rotate_left(21) ^ *a;
    *c = c.wrapping_add(*b);
    *b = b.rotate_left(17) ^ *c;
    *c = c.rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::{fold, golden, siphash};
    use crate::state::Family;

    #[test]
    fn the_hash_of_mh_is_the_one_of_its_reference() {
        // The published vector of SipHash-1-3 for the bytes 00 01 02 03 and the key 00 01 … 0f, as the kernel cuts it.
        let value = u32::from_ne_bytes([0, 1, 2, 3]);
        assert_eq!(siphash(value, [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908]), 0x88d3_8328);
    }

    #[test]
    fn the_hash_of_sh_is_the_upper_part_of_a_product() {
        assert_eq!(golden(1, 8), 0x61);
        assert_eq!(golden(2, 8), 0xc3);
        assert_eq!(golden(3, 8), 0x25, "what is beyond 32 bits is lost");
    }

    #[test]
    fn an_address_is_folded_as_the_family_of_the_service_says() {
        let fold = |family, address: &str| fold(family, address.parse().expect("an address"));
        assert_eq!(fold(Family::Ipv4, "10.0.0.1"), 0x0a00_0001);
        assert_eq!(fold(Family::Ipv6, "2001:db8::5:1"), 0x2001_0db8 ^ 0x0005_0001);
        assert_eq!(fold(Family::Ipv4, "2001:db8::5:1"), 0x2001_0db8, "the beginning of a server of the other family");
        assert_eq!(fold(Family::Ipv6, "10.0.0.1"), 0x0a00_0001, "with zeroes behind it");
    }
}
