//! The thread's word: eight bytes of thread-local storage with initial-exec access.
//!
//! `thread_local!` in a shared library calls `__tls_get_addr`; a symbol of our own, reached through the
//! global offset table, costs two loads, and one in an executable, where the linker resolves it. With the feature `local-exec`
//! it is one instruction, and links into executables only.

use core::arch::{asm, global_asm};
use core::ptr;

use crate::heap::{DEAD, EMPTY, EMPTY_MAGAZINE, Front, Slot};
use crate::num::class::CLASSES;
use crate::space::Tags;
use crate::sync::{AtomicU32, Owned32, OwnedPtr, Private};

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
compile_error!("aloof knows the thread's word on Linux x86-64 only; see docs/platforms.md");

/// The tag that is read for any address when there is no heap.
static NO_TAG: AtomicU32 = AtomicU32::new(0);

/// Base and tags of a front that serves nothing.
const NO_BASE: usize = 1 << 63;
const NO_TAGS: Tags = Tags {
    all: &raw const NO_TAG,
    mask: 0,
    own: &raw const NO_TAG,
};

/// A front that serves nothing: empty magazines, no tag for any address and none of its own.
static EMPTY_FRONT: Front = Front {
    base: Private::new(NO_BASE),
    tags: Private::new(NO_TAGS),
    tag: Private::new(EMPTY << 8),
    id: Owned32::new(EMPTY),
    hot: [const { OwnedPtr::new(EMPTY_MAGAZINE) }; CLASSES],
    class_tags: [const { Private::new(0) }; CLASSES],
    slots: [const { Slot::none() }; CLASSES],
};

/// The same, once [`dead`] has been called: addresses in static data cost each process the pages they are on.
static DEAD_FRONT: Front = Front {
    base: Private::new(0),
    tags: Private::new(Tags {
        all: ptr::null(),
        mask: 0,
        own: ptr::null(),
    }),
    tag: Private::new(0),
    id: Owned32::new(0),
    hot: [const { OwnedPtr::new(ptr::null_mut()) }; CLASSES],
    class_tags: [const { Private::new(0) }; CLASSES],
    slots: [const { Slot::none() }; CLASSES],
};

global_asm!(
    ".pushsection .tdata.aloof,\"awT\",@progbits",
    ".p2align 3",
    ".globl __aloof_thread_word_0_1",
    ".hidden __aloof_thread_word_0_1",
    ".type __aloof_thread_word_0_1, @object",
    ".size __aloof_thread_word_0_1, 8",
    "__aloof_thread_word_0_1:",
    ".quad {empty}",
    ".popsection",
    empty = sym EMPTY_FRONT,
);

/// The front of the calling thread's heap.
#[inline(always)]
pub fn front() -> &'static Front {
    let word: *const Front;
    #[cfg(not(feature = "local-exec"))]
    // SAFETY: reads the thread's word.
    unsafe {
        asm!(
            "mov {word}, qword ptr [rip + __aloof_thread_word_0_1@GOTTPOFF]",
            "mov {word}, qword ptr fs:[{word}]",
            word = out(reg) word,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    #[cfg(feature = "local-exec")]
    // SAFETY: reads the thread's word, which in an executable is at a distance that the linker knows.
    unsafe {
        asm!(
            "mov {word}, qword ptr fs:[__aloof_thread_word_0_1@TPOFF]",
            word = out(reg) word,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    // SAFETY: the word always points at a front that is never unmapped.
    unsafe { &*word }
}

/// Replaces the calling thread's word.
pub fn set(front: &'static Front) {
    // SAFETY: writes the thread's word only.
    unsafe {
        asm!(
            "mov {at}, qword ptr [rip + __aloof_thread_word_0_1@GOTTPOFF]",
            "mov qword ptr fs:[{at}], {front}",
            at = out(reg) _,
            front = in(reg) ptr::from_ref(front),
            options(nostack, preserves_flags),
        );
    }
}

/// The front of a thread that has ended its heap.
///
/// # Safety
/// No two threads are here at the same time.
pub unsafe fn dead() -> &'static Front {
    if DEAD_FRONT.id.get() != DEAD {
        // SAFETY: no thread has it yet, and the caller sees to it that no other is at it.
        unsafe {
            DEAD_FRONT.base.set(NO_BASE);
            DEAD_FRONT.tags.set(NO_TAGS);
            DEAD_FRONT.tag.set(DEAD << 8);
        }
        for top in &DEAD_FRONT.hot {
            top.set(EMPTY_MAGAZINE);
        }
        DEAD_FRONT.id.set(DEAD);
    }
    &DEAD_FRONT
}
