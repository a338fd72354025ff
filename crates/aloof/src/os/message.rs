//! One-line messages from a buffer on the stack: no allocation, no formatting machinery.

/// A line under construction; what does not fit is cut.
pub struct Line {
    bytes: [u8; 1024],
    len: usize,
}

impl Line {
    /// An empty line.
    pub const fn new() -> Line {
        Line {
            bytes: [0; 1024],
            len: 0,
        }
    }

    /// Appends text.
    pub fn text(&mut self, text: &str) -> &mut Line {
        self.bytes(text.as_bytes())
    }

    /// Appends bytes as they are.
    #[inline(never)]
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Line {
        for &b in bytes {
            if self.len < self.bytes.len() {
                self.bytes[self.len] = b;
                self.len += 1;
            }
        }
        self
    }

    /// Appends a decimal number.
    pub fn number(&mut self, n: u64) -> &mut Line {
        self.digits(n, 10)
    }

    /// Appends an address as `0x...`.
    pub fn address(&mut self, addr: usize) -> &mut Line {
        self.text("0x").digits(addr as u64, 16)
    }

    #[inline(never)]
    fn digits(&mut self, mut n: u64, base: u64) -> &mut Line {
        let mut digits = [0u8; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b"0123456789abcdef"[(n % base) as usize];
            n /= base;
            if n == 0 {
                break;
            }
        }
        let text = digits;
        self.bytes(&text[at..])
    }

    /// A path `<dir>/<pid><ending>` of this process, null-terminated if it fits.
    pub fn path_of_process(dir: &[u8], ending: &str) -> Line {
        let mut path = Line::new();
        // SAFETY: getpid has no preconditions.
        let pid = unsafe { libc::getpid() } as u64;
        path.bytes(dir)
            .text("/")
            .number(pid)
            .text(ending)
            .bytes(&[0]);
        path
    }

    /// What is written so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Writes the line to a file descriptor, as far as it takes it.
    pub fn write_to(&self, fd: i32) {
        let mut rest = self.as_bytes();
        while !rest.is_empty() {
            // SAFETY: `rest` is a valid buffer of its length.
            let n = unsafe { libc::write(fd, rest.as_ptr().cast(), rest.len()) };
            if n <= 0 {
                return;
            }
            rest = &rest[n as usize..];
        }
    }
}

/// Stops the process after one line on stderr that names the pointer and the fault.
#[cold]
#[inline(never)]
pub fn fault(operation: &str, addr: usize, what: &str) -> ! {
    let mut line = Line::new();
    line.text("aloof: ")
        .text(operation)
        .text("(")
        .address(addr)
        .text("): ")
        .text(what)
        .text("\n");
    line.write_to(2);
    // SAFETY: abort has no preconditions.
    unsafe { libc::abort() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_text_numbers_and_addresses_and_cuts_the_rest() {
        let mut line = Line::new();
        line.text("n=")
            .number(0)
            .text(" ")
            .number(u64::MAX)
            .text(" ")
            .address(0xdead_beef);
        assert_eq!(line.as_bytes(), b"n=0 18446744073709551615 0xdeadbeef");
        for _ in 0..300 {
            line.text("more text");
        }
        assert_eq!(line.as_bytes().len(), 1024);
    }
}
