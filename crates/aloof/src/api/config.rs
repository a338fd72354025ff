//! Settings of a Rust program, fixed at compile time.

use core::alloc::{GlobalAlloc, Layout};

use super::global::{Aloof, class_of};
use super::{fast, route};
use crate::os::options::Setting;
use crate::sync::{AtomicBool, Ordering};
use crate::thread::front;

/// Settings to start with, for a `#[global_allocator]`. What the environment sets wins.
///
/// ```
/// #[global_allocator]
/// static GLOBAL: aloof::Configured = aloof::Config::new().decay_ms(200).limit(2 << 30).allocator();
/// # fn main() { assert_eq!(aloof::Setting::DecayMs.get(), 200) }
/// ```
#[derive(Clone, Copy, Default, Debug)]
pub struct Config {
    huge_pages: Option<bool>,
    background: Option<bool>,
    decay_ms: Option<u64>,
    retain: Option<usize>,
    limit: Option<usize>,
}

impl Config {
    /// All defaults.
    pub const fn new() -> Config {
        Config {
            huge_pages: None,
            background: None,
            decay_ms: None,
            retain: None,
            limit: None,
        }
    }

    /// See [`Setting::HugePages`].
    pub const fn huge_pages(self, on: bool) -> Config {
        Config {
            huge_pages: Some(on),
            ..self
        }
    }

    /// See [`Setting::Background`].
    pub const fn background(self, on: bool) -> Config {
        Config {
            background: Some(on),
            ..self
        }
    }

    /// See [`Setting::DecayMs`]; milliseconds.
    pub const fn decay_ms(self, half_life: u64) -> Config {
        Config {
            decay_ms: Some(half_life),
            ..self
        }
    }

    /// See [`Setting::Retain`]; bytes.
    pub const fn retain(self, bytes: usize) -> Config {
        Config {
            retain: Some(bytes),
            ..self
        }
    }

    /// See [`Setting::Limit`]; bytes.
    pub const fn limit(self, bytes: usize) -> Config {
        Config {
            limit: Some(bytes),
            ..self
        }
    }

    /// An allocator that starts with these settings.
    pub const fn allocator(self) -> Configured {
        Configured {
            config: self,
            applied: AtomicBool::new(false),
        }
    }

    fn apply(&self) {
        let values = [
            (Setting::HugePages, self.huge_pages.map(u64::from)),
            (Setting::Background, self.background.map(u64::from)),
            (Setting::DecayMs, self.decay_ms),
            (Setting::Retain, self.retain.map(|n| n as u64)),
            (Setting::Limit, self.limit.map(|n| n as u64)),
        ];
        for (setting, value) in values {
            if let Some(value) = value {
                setting.set(value);
            }
        }
    }
}

/// [`Aloof`] with settings of its own; as fast, because only slow paths look at them.
#[derive(Debug)]
pub struct Configured {
    config: Config,
    applied: AtomicBool,
}

impl Configured {
    /// Applies the settings, the first time.
    #[inline]
    fn begin(&self) {
        // Relaxed: who comes second at the same time may go ahead with the defaults.
        if !self.applied.load(Ordering::Relaxed) && !self.applied.swap(true, Ordering::Relaxed) {
            self.config.apply();
        }
    }
}

// SAFETY: `Aloof` is one.
unsafe impl GlobalAlloc for Configured {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(class) = class_of(layout) else {
            self.begin();
            // SAFETY: the caller's promise.
            return unsafe { Aloof.alloc(layout) };
        };
        let front = front();
        let addr = fast::pop(front, class);
        if addr == 0 {
            self.begin();
            return route::small_slow(front, class);
        }
        core::ptr::with_exposed_provenance_mut(addr)
    }

    #[inline(always)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { Aloof.dealloc(block, layout) }
    }

    #[inline(always)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.begin();
        // SAFETY: the caller's promise.
        unsafe { Aloof.alloc_zeroed(layout) }
    }

    #[inline(always)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { Aloof.realloc(block, layout, new_size) }
    }
}
