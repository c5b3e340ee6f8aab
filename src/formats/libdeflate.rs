//! libdeflate's reading of gzip, which tells where a member ends.

use std::cell::RefCell;
use std::ptr::{self, NonNull};

use libdeflate_sys::{
    libdeflate_alloc_decompressor, libdeflate_decompressor, libdeflate_free_decompressor,
    libdeflate_gzip_decompress_ex, libdeflate_result_LIBDEFLATE_INSUFFICIENT_SPACE,
    libdeflate_result_LIBDEFLATE_SUCCESS,
};

/// Inflates gzip members that are there as a whole.
pub(super) struct Inflater(NonNull<libdeflate_decompressor>);

/// The lengths of a member, as it is there and inflated.
#[derive(Debug, PartialEq)]
pub(super) struct Member {
    pub stored: usize,
    pub inflated: usize,
}

/// Why a member was not inflated.
#[derive(Debug, PartialEq)]
pub(super) enum Failure {
    /// It is longer than the space for it.
    NoSpace,
    /// It is damaged, or not there to its end.
    Broken,
}

thread_local! {
    /// This thread's, which is used again: each takes 11 KB.
    static INFLATER: RefCell<Option<Inflater>> = const { RefCell::new(None) };
}

/// Use this thread's inflater. None where there is no memory for it.
pub(super) fn with_inflater<T>(inflate: impl FnOnce(&mut Inflater) -> Option<T>) -> Option<T> {
    let mut inflater = INFLATER.take().or_else(Inflater::new)?;
    let inflated = inflate(&mut inflater);
    INFLATER.set(Some(inflater));
    inflated
}

impl Inflater {
    /// None where there is no memory for it.
    fn new() -> Option<Self> {
        // SAFETY: the function has no conditions, and gives null where it fails.
        NonNull::new(unsafe { libdeflate_alloc_decompressor() }).map(Self)
    }

    /// Inflate the member that `data` begins with to the beginning of `space`. Its length and checksum are compared.
    pub fn inflate(&mut self, data: &[u8], space: &mut [u8]) -> Result<Member, Failure> {
        let (mut stored, mut inflated) = (0, 0);
        // SAFETY: the decompressor is alive until it is dropped, and borrowed by nobody else. Of both slices the
        // pointers and lengths belong together, and the places for the results are alive.
        let result = unsafe {
            libdeflate_gzip_decompress_ex(
                self.0.as_ptr(),
                data.as_ptr().cast(),
                data.len(),
                space.as_mut_ptr().cast(),
                space.len(),
                ptr::from_mut(&mut stored),
                ptr::from_mut(&mut inflated),
            )
        };
        #[expect(non_upper_case_globals, reason = "named by the C library")]
        match result {
            libdeflate_result_LIBDEFLATE_SUCCESS => Ok(Member { stored, inflated }),
            libdeflate_result_LIBDEFLATE_INSUFFICIENT_SPACE => Err(Failure::NoSpace),
            _ => Err(Failure::Broken),
        }
    }
}

impl Drop for Inflater {
    fn drop(&mut self) {
        // SAFETY: it was allocated by the library, and nobody uses it after this.
        unsafe { libdeflate_free_decompressor(self.0.as_ptr()) }
    }
}
