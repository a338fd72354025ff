//! What a box costs: `cargo xtask golden` counts the instructions of the two functions, with the feature `local-exec`.

#[global_allocator]
static GLOBAL: aloof::Aloof = aloof::Aloof;

/// Makes a box of 24 bytes; what is in it is the caller's affair.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn aloof_box_made() -> Box<core::mem::MaybeUninit<[u64; 3]>> {
    Box::new_uninit()
}

/// Drops it.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn aloof_box_dropped(_: Box<core::mem::MaybeUninit<[u64; 3]>>) {}

fn main() {
    let boxes: Vec<_> = (0..1000u64)
        .map(|i| {
            let mut made = aloof_box_made();
            made.write([i; 3]);
            made
        })
        .collect();
    for (i, made) in (0..).zip(boxes) {
        // SAFETY: written above.
        assert_eq!(unsafe { made.assume_init_ref() }, &[i; 3]);
        aloof_box_dropped(made);
    }
    println!("1000 boxes made and dropped");
}
