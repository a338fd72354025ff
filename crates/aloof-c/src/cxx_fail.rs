//! What operator new does when it is refused: call the program's new-handler until it helps, throw `std::bad_alloc` when
//! there is none; the nothrow forms return null.
//!
//! This library links no C++ runtime. It finds the one the program uses, at the moment of failure:
//! 1. by weak references, bound by the loader (or the static linker) when a runtime is in sight;
//! 2. otherwise among the libraries already loaded out of sight, as for a plug-in in C++ of a program in C.
//!
//! Without any runtime there is nobody to catch: one line on stderr and abort.
//!
//! An exception may start below `new_slow`, from the handler or from the throw itself. `new_slow` is therefore assembly
//! with unwind information and no Rust frame takes part in the flight: the Rust functions it calls return before it.

use crate::cxx::attempt;
use crate::die;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::{MaybeUninit, transmute};
use core::ptr::null_mut;

type Handler = unsafe extern "C" fn();
type GetHandler = unsafe extern "C" fn() -> Option<Handler>;
type AllocateException = unsafe extern "C" fn(usize) -> *mut *const c_void;
type Nothrow = unsafe extern "C" fn(usize, usize, usize) -> *mut c_void;
type Open = unsafe extern "C" fn(*const c_char, c_int) -> *mut c_void;
type Symbol = unsafe extern "C" fn(*mut c_void, *const c_char) -> *mut c_void;
type Close = unsafe extern "C" fn(*mut c_void) -> c_int;

/// What the linker or loader found; every field may be null. The order is that of the table below.
#[repr(C)]
struct InSight {
    get_new_handler: *const c_void,
    throw_bad_alloc: *const c_void,
    allocate_exception: *const c_void,
    throw: *const c_void,
    bad_alloc_vtable: *const c_void,
    bad_alloc_type: *const c_void,
    bad_alloc_drop: *const c_void,
    symbol: Option<Symbol>,
}

core::arch::global_asm!(
    ".pushsection .data.rel.ro.aloof_in_sight,\"aw\",@progbits",
    ".balign 8",
    ".globl aloof_in_sight",
    ".hidden aloof_in_sight",
    ".type aloof_in_sight,@object",
    "aloof_in_sight:",
    ".irp name, _ZSt15get_new_handlerv, _ZSt17__throw_bad_allocv, __cxa_allocate_exception, __cxa_throw, _ZTVSt9bad_alloc, _ZTISt9bad_alloc, _ZNSt9bad_allocD1Ev, dlsym",
    ".weak \\name",
    ".quad \\name",
    ".endr",
    ".size aloof_in_sight, . - aloof_in_sight",
    ".popsection",
);

unsafe extern "C" {
    static aloof_in_sight: InSight;
}

fn in_sight() -> &'static InSight {
    // SAFETY: the table above is laid out as the struct and never written after relocation.
    unsafe { &aloof_in_sight }
}

/// What calls of this name by the program meet; null where no loader can tell.
pub fn find_visible(name: &CStr) -> *const c_void {
    match in_sight().symbol {
        // SAFETY: the name is a C string.
        Some(symbol) => unsafe { symbol(libc::RTLD_DEFAULT, name.as_ptr()) },
        None => null_mut(),
    }
}

/// Whether something is defined at what a name was found to be. A program at a fixed address that takes the address of a function
/// has a stub of that name, which is found first and leads to the function.
pub fn is_defined(visible: *const c_void) -> bool {
    const SYMBOL: c_int = 1;
    type Describe = unsafe extern "C" fn(
        *const c_void,
        *mut libc::Dl_info,
        *mut *const libc::Elf64_Sym,
        c_int,
    ) -> c_int;
    let describe = find_visible(c"dladdr1");
    if describe.is_null() {
        return true;
    }
    let (mut info, mut symbol) = (MaybeUninit::uninit(), core::ptr::null());
    // SAFETY: the name is that of a function of this type, which fills both places or returns 0.
    unsafe {
        let describe = transmute::<*const c_void, Describe>(describe);
        describe(visible, info.as_mut_ptr(), &mut symbol, SYMBOL) == 0
            || symbol.is_null()
            || (*symbol).st_shndx != 0
    }
}

/// Looks a name up in the C++ runtimes that are already loaded; loads none.
pub fn out_of_sight(name: &CStr) -> *const c_void {
    let Some(symbol) = in_sight().symbol else {
        return null_mut();
    };
    // Asked for by name: a reference to dlopen would draw a warning from every wholly static link.
    // SAFETY: the names are C strings, and the types are those of the functions so named.
    let (open, close) = unsafe {
        (
            transmute::<*mut c_void, Option<Open>>(symbol(libc::RTLD_DEFAULT, c"dlopen".as_ptr())),
            transmute::<*mut c_void, Option<Close>>(symbol(
                libc::RTLD_DEFAULT,
                c"dlclose".as_ptr(),
            )),
        )
    };
    let (Some(open), Some(close)) = (open, close) else {
        return null_mut();
    };
    for library in [c"libstdc++.so.6", c"libc++abi.so.1", c"libc++.so.1"] {
        // SAFETY: the names are C strings; RTLD_NOLOAD runs no constructor.
        let handle = unsafe { open(library.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
        if handle.is_null() {
            continue;
        }
        // SAFETY: the handle is open. The library stays loaded after the close: the failing program is running in it.
        let found = unsafe {
            let found = symbol(handle, name.as_ptr());
            close(handle);
            found
        };
        if !found.is_null() {
            return found;
        }
    }
    null_mut()
}

fn find(in_sight: *const c_void, name: &CStr) -> *const c_void {
    if in_sight.is_null() {
        out_of_sight(name)
    } else {
        in_sight
    }
}

/// The program's current new-handler.
extern "C" fn handler() -> Option<Handler> {
    let getter = find(in_sight().get_new_handler, c"_ZSt15get_new_handlerv");
    if getter.is_null() {
        return None;
    }
    // SAFETY: the name is that of `std::get_new_handler`, which has this type and does not throw.
    unsafe { transmute::<*const c_void, GetHandler>(getter)() }
}

extern "C" fn retry(size: usize, align: usize) -> *mut c_void {
    attempt(size, align)
}

/// A call that throws: a function and its arguments.
#[repr(C)]
struct Throw {
    function: *const c_void,
    arguments: [*const c_void; 3],
}

/// Prepares the throw of a `std::bad_alloc`: through the runtime's own helper, or, where a static link left the helper
/// out, by building the exception.
extern "C" fn prepare_throw(call: &mut Throw) {
    let InSight {
        throw_bad_alloc,
        allocate_exception,
        throw,
        ..
    } = *in_sight();
    let InSight {
        bad_alloc_vtable,
        bad_alloc_type,
        bad_alloc_drop,
        ..
    } = *in_sight();
    call.function = find(throw_bad_alloc, c"_ZSt17__throw_bad_allocv");
    if !call.function.is_null() {
        return;
    }
    if [
        allocate_exception,
        throw,
        bad_alloc_vtable,
        bad_alloc_type,
        bad_alloc_drop,
    ]
    .contains(&null_mut::<c_void>().cast_const())
    {
        die(b"aloof: operator new is out of memory and no C++ runtime is at hand to throw std::bad_alloc\n");
    }
    // SAFETY: the names are the Itanium ABI's; a bad_alloc is one word, the address of its vtable's third entry; the
    // runtime returns room for it or terminates the program.
    unsafe {
        let exception =
            transmute::<*const c_void, AllocateException>(allocate_exception)(size_of::<usize>());
        *exception = bad_alloc_vtable.cast::<usize>().add(2).cast();
        call.arguments = [
            exception.cast_const().cast(),
            bad_alloc_type,
            bad_alloc_drop,
        ];
    }
    call.function = throw;
}

/// The throwing forms' failure path: returns a block or throws.
///
/// # Safety
/// Any size and alignment will do.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn new_slow(size: usize, align: usize) -> *mut c_void {
    core::arch::naked_asm!(
        ".cfi_startproc",
        "push rbx",
        ".cfi_adjust_cfa_offset 8",
        ".cfi_rel_offset rbx, 0",
        "push rbp",
        ".cfi_adjust_cfa_offset 8",
        ".cfi_rel_offset rbp, 0",
        "sub rsp, 40",
        ".cfi_adjust_cfa_offset 40",
        "mov rbx, rdi",
        "mov rbp, rsi",
        "2:",
        "call {handler}",
        "test rax, rax",
        "jz 3f",
        "call rax",
        "mov rdi, rbx",
        "mov rsi, rbp",
        "call {retry}",
        "test rax, rax",
        "jz 2b",
        ".cfi_remember_state",
        "add rsp, 40",
        ".cfi_adjust_cfa_offset -40",
        "pop rbp",
        ".cfi_adjust_cfa_offset -8",
        ".cfi_restore rbp",
        "pop rbx",
        ".cfi_adjust_cfa_offset -8",
        ".cfi_restore rbx",
        "ret",
        ".cfi_restore_state",
        "3:",
        "mov rdi, rsp",
        "call {prepare_throw}",
        "mov rdi, [rsp + 8]",
        "mov rsi, [rsp + 16]",
        "mov rdx, [rsp + 24]",
        "call [rsp]",
        "ud2",
        ".cfi_endproc",
        handler = sym handler,
        retry = sym retry,
        prepare_throw = sym prepare_throw,
    )
}

/// Where the throw has not been written: the handler is asked, and without one the program ends.
///
/// # Safety
/// Any size and alignment will do.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) unsafe extern "C" fn new_slow(size: usize, align: usize) -> *mut c_void {
    loop {
        let Some(handler) = handler() else {
            die(b"aloof: operator new is out of memory\n");
        };
        // SAFETY: the program installed this function to be called here.
        unsafe { handler() };
        let block = retry(size, align);
        if !block.is_null() {
            return block;
        }
    }
}

/// The nothrow forms' failure path.
///
/// A handler may throw, and that must end as null. The runtime's own nothrow operator does just this: it calls the
/// throwing operator, which is ours, inside a try block. Only where it cannot be found (a wholly static program) the
/// handler is called from here, and then it must not throw.
#[cold]
pub(crate) fn nothrow_slow(size: usize, align: usize) -> *mut c_void {
    let Some(mut current) = handler() else {
        return null_mut();
    };
    let plain = align == 0;
    let name = if plain {
        c"_ZnwmRKSt9nothrow_t"
    } else {
        c"_ZnwmSt11align_val_tRKSt9nothrow_t"
    };
    let runtimes_own = out_of_sight(name);
    if !runtimes_own.is_null() {
        // The last parameter is a reference to an empty object that nobody reads.
        let tag = (&raw const aloof_in_sight).addr();
        let (second, third) = if plain { (tag, 0) } else { (align, tag) };
        // SAFETY: the name is that of an operator of two or three words; the ABI lets a callee ignore the third.
        return unsafe { transmute::<*const c_void, Nothrow>(runtimes_own)(size, second, third) };
    }
    loop {
        // SAFETY: the program installed this function to be called here.
        unsafe { current() };
        let block = attempt(size, align);
        if !block.is_null() {
            return block;
        }
        let Some(next) = handler() else {
            return null_mut();
        };
        current = next;
    }
}
