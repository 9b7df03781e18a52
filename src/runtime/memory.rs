//! What the allocator keeps of freed memory.

/// Runs `load`, which frees much that is large, and returns the memory to the system as it is freed.
///
/// glibc's thresholds for that grow with the largest block that has been freed, so what a loaded model leaves behind
/// would stay resident. Fixed thresholds are too low for frames in turn: a picture's buffers would be
/// returned and faulted in again with each frame. They are raised when the model is there.
pub fn returned_while<T>(load: impl FnOnce() -> T) -> T {
    set_thresholds(128 << 10); // glibc's defaults
    let loaded = load();
    set_thresholds(32 << 20); // the most that glibc's own adaptation reaches
    loaded
}

/// The size from which a block is mapped apart, and the free memory at the heap's end from which it is returned.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn set_thresholds(bytes: libc::c_int) {
    // SAFETY: both set one number of the allocator, under its lock; one that is refused changes nothing.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, bytes);
        libc::mallopt(libc::M_TRIM_THRESHOLD, bytes);
    }
}

/// Other allocators return memory by rules of their own.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn set_thresholds(_: i32) {}
