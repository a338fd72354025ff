//! A field that one thread writes at a time and others may only glance at.
//!
//! Plain loads and stores in the machine code; atomics in the type system, so that statistics, the
//! child of a fork and the checks of a freeing thread may read without a data race.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

macro_rules! owned {
    ($name:ident, $atomic:ident, $value:ty) => {
        /// A field written by its owner only.
        #[repr(transparent)]
        pub struct $name($atomic);

        impl $name {
            /// Holds `value` from the start.
            pub const fn new(value: $value) -> $name {
                $name($atomic::new(value))
            }

            /// The value; up to date for the owner, a glance for others.
            #[inline(always)]
            pub fn get(&self) -> $value {
                self.0.load(Ordering::Relaxed)
            }

            /// Replaces the value; the owner's right.
            #[inline(always)]
            pub fn set(&self, value: $value) {
                self.0.store(value, Ordering::Relaxed);
            }
        }
    };
}

owned!(Owned8, AtomicU8, u8);
owned!(Owned32, AtomicU32, u32);
owned!(Owned64, AtomicU64, u64);
owned!(OwnedSize, AtomicUsize, usize);

/// A pointer written by its owner only.
#[repr(transparent)]
pub struct OwnedPtr<T>(AtomicPtr<T>);

impl<T> OwnedPtr<T> {
    /// Holds `value` from the start.
    pub const fn new(value: *mut T) -> OwnedPtr<T> {
        OwnedPtr(AtomicPtr::new(value))
    }

    /// The value; up to date for the owner, a glance for others.
    #[inline(always)]
    pub fn get(&self) -> *mut T {
        self.0.load(Ordering::Relaxed)
    }

    /// Replaces the value; the owner's right.
    #[inline(always)]
    pub fn set(&self, value: *mut T) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// A field that only its owner reads or writes: unlike an atomic, the compiler may read it as an operand.
#[repr(transparent)]
pub struct Private<T>(UnsafeCell<T>);

// SAFETY: by the contract of `get` and `set`, one thread at a time accesses the field, unless nobody writes it.
unsafe impl<T> Sync for Private<T> {}

impl<T: Copy> Private<T> {
    /// Holds `value` from the start.
    pub const fn new(value: T) -> Private<T> {
        Private(UnsafeCell::new(value))
    }

    /// The value.
    ///
    /// # Safety
    /// The caller is the owner, or nobody ever writes the field.
    #[inline(always)]
    pub unsafe fn get(&self) -> T {
        // SAFETY: the caller's promise.
        unsafe { *self.0.get() }
    }

    /// Replaces the value.
    ///
    /// # Safety
    /// The caller is the owner.
    pub unsafe fn set(&self, value: T) {
        // SAFETY: the caller's promise.
        unsafe { *self.0.get() = value };
    }
}

impl<T> OwnedPtr<T> {
    /// Moves it on by one, in place.
    #[inline(always)]
    pub fn advance(&self) {
        self.set(self.get().wrapping_add(1));
    }
}

impl Owned32 {
    /// Adds, wrapping.
    #[inline(always)]
    pub fn add(&self, n: u32) {
        self.set(self.get().wrapping_add(n));
    }
}

impl Owned64 {
    /// Adds, wrapping.
    #[inline(always)]
    pub fn add(&self, n: u64) {
        self.set(self.get().wrapping_add(n));
    }
}
