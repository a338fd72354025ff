//! Numbers that look random and are the same in every run.

/// SplitMix64.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Of at most `bits` binary digits, each number of digits equally likely.
    pub fn log_uniform(&mut self, bits: u32) -> usize {
        let digits = self.below(bits as usize + 1) as u32;
        let value = self.next() as usize;
        if digits == 0 {
            0
        } else {
            value >> (64 - digits) | 1 << (digits - 1)
        }
    }
}
