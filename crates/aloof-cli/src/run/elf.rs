//! What an ELF file says about how it is started.

use std::fs::File;

use object::elf::{self, FileHeader32, FileHeader64, FileType};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{Endianness, ReadCache, ReadRef};

/// The kind of machine a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abi {
    is_64: bool,
    is_little: bool,
    machine: u16,
}

impl Abi {
    /// In words, such as `64-bit x86-64`.
    pub fn describe(self) -> String {
        let bits = if self.is_64 { 64 } else { 32 };
        let machine = match elf::Machine(self.machine) {
            elf::EM_386 => "x86",
            elf::EM_X86_64 => "x86-64",
            elf::EM_ARM => "ARM",
            elf::EM_AARCH64 => "AArch64",
            elf::EM_RISCV => "RISC-V",
            elf::EM_PPC64 => "POWER",
            elf::EM_S390 => "S/390",
            elf::EM_MIPS => "MIPS",
            elf::EM_LOONGARCH => "LoongArch",
            other => return format!("{bits}-bit machine number {}", other.0),
        };
        format!("{bits}-bit {machine}")
    }
}

/// What matters of an ELF file here.
#[derive(Debug)]
pub struct Facts {
    pub abi: Abi,
    kind: FileType,
    /// The loader it asks for; a program without one is statically linked.
    pub interpreter: Option<Vec<u8>>,
    is_pie: bool,
}

impl Facts {
    /// A program or shared library, as against an object file or a core dump.
    pub fn is_loadable(&self) -> bool {
        [elf::ET_EXEC, elf::ET_DYN].contains(&self.kind)
    }

    pub fn is_shared_library(&self) -> bool {
        self.kind == elf::ET_DYN && !self.is_pie
    }
}

pub fn is_elf(head: &[u8]) -> bool {
    head.starts_with(&elf::ELFMAG)
}

/// Reads an ELF file; no more of it than the headers is read.
pub fn read(file: &File) -> object::Result<Facts> {
    let cache = ReadCache::new(file);
    parse(&cache)
}

/// Reads an ELF image in memory or behind a cache.
pub fn parse<'data, R: ReadRef<'data>>(data: R) -> object::Result<Facts> {
    let ident = data.read_bytes_at(0, 5).unwrap_or_default();
    if ident.get(4) == Some(&elf::ELFCLASS32.0) {
        facts::<FileHeader32<Endianness>, R>(data)
    } else {
        facts::<FileHeader64<Endianness>, R>(data)
    }
}

fn facts<'data, H: FileHeader<Endian = Endianness>, R: ReadRef<'data>>(
    data: R,
) -> object::Result<Facts> {
    let header = H::parse(data)?;
    let endian = header.endian()?;
    let mut interpreter = None;
    let mut is_pie = false;
    for segment in header.program_headers(endian, data)? {
        if let Some(path) = segment.interpreter(endian, data)? {
            interpreter = Some(path.to_vec());
        }
        for entry in segment.dynamic(endian, data)?.unwrap_or_default() {
            is_pie |=
                entry.tag(endian) == elf::DT_FLAGS_1 && entry.val(endian) & elf::DF_1_PIE.0 != 0;
        }
    }
    Ok(Facts {
        abi: Abi {
            is_64: header.is_class_64(),
            is_little: header.is_little_endian(),
            machine: header.e_machine(endian).0,
        },
        kind: header.e_type(endian),
        interpreter,
        is_pie,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_images_are_errors_whatever_is_cut_off_or_overwritten() {
        let whole = std::fs::read("/bin/sh").unwrap();
        assert!(parse(whole.as_slice()).unwrap().interpreter.is_some());
        for length in 0..1024 {
            let _ = parse(&whole[..length]);
        }
        assert!(parse(&whole[..63]).is_err());
        for at in 0..1024 {
            let mut damaged = whole[..4096].to_vec();
            damaged[at] = 0xff;
            let _ = parse(damaged.as_slice());
        }
    }
}
