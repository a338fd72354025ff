//! The parts of an ELF file that disassembly needs: code by address, names by address.

use std::collections::BTreeMap;

use anyhow::Result;
use object::{Object, ObjectSection, ObjectSymbol, SectionKind, SymbolKind};

/// Executable bytes at their address.
pub struct Code {
    pub address: u64,
    pub bytes: Vec<u8>,
}

/// A loaded view of a shared library.
pub struct Image {
    pub code: Vec<Code>,
    /// Functions that others can call, by name.
    functions: BTreeMap<String, u64>,
    /// Named data and functions by address: name and size.
    names: BTreeMap<u64, (String, u64)>,
    /// Sections by address: name and size.
    sections: BTreeMap<u64, (String, u64)>,
}

impl Image {
    pub fn parse(data: &[u8]) -> Result<Self> {
        let file = object::File::parse(data)?;
        let mut image = Self {
            code: Vec::new(),
            functions: BTreeMap::new(),
            names: BTreeMap::new(),
            sections: BTreeMap::new(),
        };
        for section in file.sections().filter(|s| s.address() != 0) {
            let name = section.name()?.to_string();
            image
                .sections
                .insert(section.address(), (name, section.size()));
            if section.kind() == SectionKind::Text {
                image.code.push(Code {
                    address: section.address(),
                    bytes: section.data()?.to_vec(),
                });
            }
        }
        for symbol in file.symbols().chain(file.dynamic_symbols()) {
            let (Ok(name), true) = (symbol.name(), symbol.is_definition()) else {
                continue;
            };
            if symbol.kind() == SymbolKind::Text && symbol.is_global() {
                image.functions.insert(name.into(), symbol.address());
            }
            if matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Data) && symbol.size() > 0 {
                // Without the hash, which changes with the compiler and the build.
                let plain = format!("{:#}", rustc_demangle::demangle(name));
                image.names.insert(symbol.address(), (plain, symbol.size()));
            }
        }
        Ok(image)
    }

    pub fn function(&self, name: &str) -> Option<u64> {
        self.functions.get(name).copied()
    }

    /// The code from an address to the end of its section.
    pub fn code_at(&self, address: u64) -> Option<&[u8]> {
        self.code.iter().find_map(|code| {
            let offset = usize::try_from(address.checked_sub(code.address)?).ok()?;
            code.bytes.get(offset..).filter(|rest| !rest.is_empty())
        })
    }

    /// The name of what lies at an address: its symbol, else its section; neither depends on where
    /// the linker put it.
    pub fn name_of(&self, address: u64) -> String {
        let inside = |table: &BTreeMap<u64, (String, u64)>| {
            let (start, (name, size)) = table.range(..=address).next_back()?;
            (address - start < *size).then(|| (name.clone(), address - start))
        };
        match (inside(&self.names), inside(&self.sections)) {
            (Some((name, 0)), _) => name,
            (Some((name, offset)), _) => format!("{name}+{offset:#x}"),
            (None, Some((section, _))) => section,
            (None, None) => "?".into(),
        }
    }

    /// An image of assembled code, for tests.
    #[cfg(test)]
    pub fn of_code(address: u64, bytes: Vec<u8>, functions: &[(&str, u64)]) -> Self {
        Self {
            code: vec![Code { address, bytes }],
            functions: functions
                .iter()
                .map(|(name, at)| ((*name).to_string(), *at))
                .collect(),
            names: BTreeMap::from([(0x9000, ("table".to_string(), 16))]),
            sections: BTreeMap::from([(0xa000, (".got".to_string(), 64))]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_named_by_symbol_then_by_section() {
        let image = Image::of_code(0x1000, vec![0xc3], &[]);
        assert_eq!(image.name_of(0x9000), "table");
        assert_eq!(image.name_of(0x9008), "table+0x8");
        assert_eq!(image.name_of(0x9010), "?");
        assert_eq!(image.name_of(0xa008), ".got");
    }

    #[test]
    fn code_ends_with_its_section() {
        let image = Image::of_code(0x1000, vec![0x90, 0xc3], &[]);
        assert_eq!(image.code_at(0x1001), Some(&[0xc3][..]));
        assert_eq!(image.code_at(0x1002), None);
        assert_eq!(image.code_at(0xfff), None);
    }

    #[test]
    fn a_file_that_is_no_library_is_refused() {
        assert!(Image::parse(b"not an ELF file").is_err());
    }
}
