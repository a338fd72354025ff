//! What libaloof.so asks of others and offers to them, read from its ELF tables.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use object::LittleEndian;
use object::elf;
use object::read::elf::{ElfFile64, ProgramHeader, Sym};

/// The most thread-local bytes: more may not fit where dlopen has to put them.
const TLS_LIMIT: u64 = 16;

/// The only libraries to need.
const NEEDED: &[&str] = &["libc.so.6", "ld-linux-x86-64.so.2"];

/// Names of glibc that may stay undefined. None of them calls malloc on the paths they are used on;
/// `fwrite` serves `malloc_info`, whose stream is the caller's.
const ALLOWED: &[&str] = &[
    "__cxa_atexit",
    "__environ",
    "__errno_location",
    "__libc_single_threaded",
    "__register_atfork",
    "_exit",
    "abort",
    "bcmp",
    "clock_gettime",
    "clock_nanosleep",
    "close",
    "environ",
    "fstat",
    "fwrite",
    "getauxval",
    "getpagesize",
    "getpid",
    "getrlimit",
    "getrusage",
    "madvise",
    "memcmp",
    "memcpy",
    "memmove",
    "memset",
    "mincore",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "nanosleep",
    "open",
    "prctl",
    "pread",
    "program_invocation_name",
    "pthread_attr_destroy",
    "pthread_attr_init",
    "pthread_attr_setdetachstate",
    "pthread_attr_setstacksize",
    "pthread_create",
    "pthread_getspecific",
    "pthread_join",
    "pthread_key_create",
    "pthread_key_delete",
    "pthread_self",
    "pthread_setspecific",
    "pthread_sigmask",
    "raise",
    "read",
    "sched_yield",
    "secure_getenv",
    "sigfillset",
    "strlen",
    "syscall",
    "sysconf",
    "write",
];

/// Names that a program may be linked against and that must all come from one allocator.
const REQUIRED: &[&str] = &[
    // C
    "malloc",
    "free",
    "calloc",
    "realloc",
    "aligned_alloc",
    "free_sized",
    "free_aligned_sized",
    // POSIX, BSD and glibc
    "posix_memalign",
    "reallocarray",
    "memalign",
    "valloc",
    "pvalloc",
    "cfree",
    "malloc_usable_size",
    "malloc_trim",
    "malloc_info",
    "malloc_stats",
    "mallinfo",
    "mallinfo2",
    "mallopt",
    // operator new and new[]: plain, nothrow, aligned, aligned nothrow
    "_Znwm",
    "_Znam",
    "_ZnwmRKSt9nothrow_t",
    "_ZnamRKSt9nothrow_t",
    "_ZnwmSt11align_val_t",
    "_ZnamSt11align_val_t",
    "_ZnwmSt11align_val_tRKSt9nothrow_t",
    "_ZnamSt11align_val_tRKSt9nothrow_t",
    // operator delete and delete[]: plain, nothrow, sized, aligned, aligned nothrow, aligned sized
    "_ZdlPv",
    "_ZdaPv",
    "_ZdlPvRKSt9nothrow_t",
    "_ZdaPvRKSt9nothrow_t",
    "_ZdlPvm",
    "_ZdaPvm",
    "_ZdlPvSt11align_val_t",
    "_ZdaPvSt11align_val_t",
    "_ZdlPvSt11align_val_tRKSt9nothrow_t",
    "_ZdaPvSt11align_val_tRKSt9nothrow_t",
    "_ZdlPvmSt11align_val_t",
    "_ZdaPvmSt11align_val_t",
];

/// glibc's other names for the same functions; they may be exported, so that no caller of them mixes
/// two allocators.
const ALIASES: &[&str] = &[
    "__libc_malloc",
    "__libc_free",
    "__libc_calloc",
    "__libc_realloc",
    "__libc_memalign",
    "__libc_valloc",
    "__libc_pvalloc",
    "__posix_memalign",
];

/// Prefix of our own additions to the interface.
const OWN_PREFIX: &str = "aloof_";

/// Checks one shared library.
pub fn check(library: &Path) -> Result<()> {
    let facts = Facts::read(library)?;
    let faults = faults(&facts);
    if !faults.is_empty() {
        bail!("{}:\n  {}", library.display(), faults.join("\n  "));
    }
    println!(
        "{}: {} undefined, {} exported, {} bytes of TLS",
        library.display(),
        facts.undefined.len(),
        facts.exported.len(),
        facts.tls_bytes
    );
    Ok(())
}

/// What the checks look at.
#[derive(Default)]
struct Facts {
    /// Undefined dynamic symbols that are not weak.
    undefined: BTreeSet<String>,
    exported: BTreeSet<String>,
    needed: BTreeSet<String>,
    tls_bytes: u64,
    text_relocations: bool,
    no_delete: bool,
    executable_stack: bool,
}

impl Facts {
    fn read(library: &Path) -> Result<Self> {
        let data =
            fs::read(library).with_context(|| format!("cannot read {}", library.display()))?;
        Self::parse(&data).with_context(|| format!("cannot parse {}", library.display()))
    }

    fn parse(data: &[u8]) -> Result<Self> {
        let file = ElfFile64::<LittleEndian>::parse(data)?;
        let endian = file.endian();
        let mut facts = Self::default();

        let symbols = file.elf_dynamic_symbol_table();
        for symbol in symbols.iter() {
            let name =
                String::from_utf8_lossy(symbol.name(endian, symbols.strings())?).into_owned();
            if name.is_empty() || symbol.is_local() {
                continue;
            }
            if !symbol.is_undefined(endian) {
                facts.exported.insert(name);
            } else if symbol.st_bind() != elf::STB_WEAK {
                facts.undefined.insert(name);
            }
        }

        for segment in file.elf_program_headers() {
            match segment.p_type(endian) {
                elf::PT_TLS => facts.tls_bytes = segment.p_memsz(endian),
                elf::PT_GNU_STACK => {
                    facts.executable_stack = segment.p_flags(endian).0 & elf::PF_X.0 != 0;
                }
                _ => {}
            }
        }

        let table = file
            .elf_section_table()
            .dynamic_table(endian, file.data())?;
        for entry in table.iter() {
            match entry.tag {
                elf::DT_TEXTREL => facts.text_relocations = true,
                elf::DT_FLAGS => {
                    facts.text_relocations |= entry.val & elf::DF_TEXTREL.0 != 0;
                }
                elf::DT_FLAGS_1 => facts.no_delete = entry.val & elf::DF_1_NODELETE.0 != 0,
                elf::DT_NEEDED => {
                    let name = String::from_utf8_lossy(table.string(entry)?);
                    facts.needed.insert(name.into_owned());
                }
                _ => {}
            }
        }
        Ok(facts)
    }
}

fn faults(facts: &Facts) -> Vec<String> {
    let mut faults = Vec::new();
    let allowed = |name: &str| ALLOWED.contains(&name);
    for name in facts.undefined.iter().filter(|name| !allowed(name)) {
        faults.push(match name.as_str() {
            "__tls_get_addr" => "undefined `__tls_get_addr`: TLS is not initial-exec".into(),
            _ => format!("undefined `{name}` is not in the list of allowed glibc names"),
        });
    }
    for name in REQUIRED {
        if !facts.exported.contains(*name) {
            faults.push(format!("`{name}` is not exported"));
        }
    }
    // What else a preloaded library exports takes the place of other libraries' symbols;
    // rust_eh_personality would break unwinding in programs that share Rust's std.
    for name in &facts.exported {
        let known = [REQUIRED, ALIASES]
            .iter()
            .any(|list| list.contains(&name.as_str()));
        if !known && !name.starts_with(OWN_PREFIX) {
            faults.push(format!("`{name}` is exported and should not be"));
        }
    }
    for name in &facts.needed {
        if !NEEDED.contains(&name.as_str()) {
            faults.push(format!("needs the library {name}"));
        }
    }
    if facts.tls_bytes > TLS_LIMIT {
        faults.push(format!(
            "{} bytes of TLS; the limit is {TLS_LIMIT}",
            facts.tls_bytes
        ));
    }
    if facts.text_relocations {
        faults.push("relocations in the text (DT_TEXTREL)".into());
    }
    if !facts.no_delete {
        faults.push("not marked NODELETE: link with -z nodelete".into());
    }
    if facts.executable_stack {
        faults.push("asks for an executable stack".into());
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn good() -> Facts {
        Facts {
            exported: REQUIRED.iter().map(|n| (*n).to_string()).collect(),
            no_delete: true,
            ..Facts::default()
        }
    }

    #[test]
    fn the_list_has_every_operator_of_the_compiler() {
        let operators = |prefix| REQUIRED.iter().filter(|n| n.starts_with(prefix)).count();
        assert_eq!(operators("_Zn"), 8);
        assert_eq!(operators("_Zd"), 12);
        let unique: BTreeSet<_> = REQUIRED.iter().collect();
        assert_eq!(unique.len(), REQUIRED.len());
    }

    #[test]
    fn a_good_library_has_no_fault() {
        assert_eq!(faults(&good()), Vec::<String>::new());
    }

    #[test]
    fn each_fault_is_found() {
        type Spoil = fn(&mut Facts);
        let cases: [(Spoil, &str); 9] = [
            (
                |f| {
                    f.undefined.insert("rust_eh_personality".into());
                },
                "undefined `rust_eh_personality`",
            ),
            (
                |f| {
                    f.undefined.insert("__tls_get_addr".into());
                },
                "not initial-exec",
            ),
            (
                |f| {
                    f.exported.insert("rust_eh_personality".into());
                },
                "exported and should not be",
            ),
            (
                |f| {
                    f.exported.remove("_ZdaPvm");
                },
                "`_ZdaPvm` is not exported",
            ),
            (
                |f| {
                    f.needed.insert("libgcc_s.so.1".into());
                },
                "needs the library libgcc_s.so.1",
            ),
            (|f| f.tls_bytes = 24, "24 bytes of TLS"),
            (|f| f.text_relocations = true, "DT_TEXTREL"),
            (|f| f.no_delete = false, "NODELETE"),
            (|f| f.executable_stack = true, "executable stack"),
        ];
        for (spoil, message) in cases {
            let mut facts = good();
            spoil(&mut facts);
            let found = faults(&facts);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(message), "{found:?}");
        }
    }

    #[test]
    fn a_compiled_library_is_read_as_it_is() {
        let folder = tempfile::tempdir().expect("folder");
        let source = folder.path().join("probe.c");
        let library = folder.path().join("probe.so");
        fs::write(
            &source,
            "__thread char block[48]; extern void elsewhere(void); extern int getpid(void);\n\
             void aloof_probe(void) { elsewhere(); block[0] = getpid(); }\n",
        )
        .expect("source");
        let status = Command::new("gcc")
            .args(["-shared", "-fPIC", "-Wl,-z,nodelete", "-o"])
            .args([&library, &source])
            .status()
            .expect("gcc");
        assert!(status.success());
        let facts = Facts::read(&library).expect("facts");
        assert!(facts.undefined.contains("elsewhere"));
        assert!(facts.undefined.contains("__tls_get_addr"));
        assert!(!facts.undefined.contains("__cxa_finalize"), "it is weak");
        assert!(facts.exported.contains("aloof_probe"));
        assert!(facts.needed.contains("libc.so.6"));
        assert_eq!(facts.tls_bytes, 48);
        assert!(facts.no_delete);
        assert!(!facts.text_relocations);
        assert!(!facts.executable_stack);
    }
}
