//! Records on their way to the host, and the buffers that they lie in.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use super::Fingerprint;
use crate::process::lock;

/// Records of one log file, ready for the host.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(super) data: Vec<u8>,
    pub(super) records: Vec<RecordSpan>,
    /// Where its buffer goes back to.
    pub(super) buffers: Buffers,
}

/// A record's place in its chunk's data, its time in ns since the epoch, and its fingerprint, if it has got one.
#[derive(Debug, Clone)]
pub(super) struct RecordSpan {
    pub range: Range<usize>,
    pub time: u64,
    pub fingerprint: Option<Fingerprint>,
}

impl Chunk {
    /// Its bytes.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// The record of this number and its time in ns since the epoch.
    pub fn record(&self, index: usize) -> Option<(&[u8], u64)> {
        let RecordSpan { range, time, .. } = self.records.get(index)?;
        Some((self.data.get(range.clone())?, *time))
    }

    /// The fingerprint of the record of this number, if it has got one.
    pub fn fingerprint(&self, index: usize) -> Option<Fingerprint> {
        self.records.get(index)?.fingerprint
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.buffers.give(std::mem::take(&mut self.data));
    }
}

/// Buffers used again: fresh memory for each log file costs as much time as splitting it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buffers(Arc<Mutex<Kept>>);

/// What nobody uses at the moment.
#[derive(Debug, Default)]
struct Kept {
    buffers: Vec<Vec<u8>>,
    /// Their capacity in all.
    bytes: usize,
}

impl Buffers {
    /// So many are kept, of this many bytes together, at most.
    const KEPT: usize = 16;
    const BYTES: usize = 32 << 20;

    /// A buffer of any length and content.
    pub fn take(&self) -> Vec<u8> {
        let mut kept = lock(&self.0);
        let buffer = kept.buffers.pop().unwrap_or_default();
        kept.bytes -= buffer.capacity();
        buffer
    }

    pub fn give(&self, buffer: Vec<u8>) {
        let mut kept = lock(&self.0);
        let bytes = kept.bytes + buffer.capacity();
        if kept.buffers.len() < Self::KEPT && buffer.capacity() > 0 && bytes <= Self::BYTES {
            kept.buffers.push(buffer);
            kept.bytes = bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_of_any_size_are_kept_within_a_bound() {
        let buffers = Buffers::default();
        let sizes = [0, 11 << 20, 20 << 20, 2 << 20, 1 << 20, 1];
        for size in sizes {
            buffers.give(Vec::with_capacity(size));
        }
        let kept = [1 << 20, 20 << 20, 11 << 20, 0];
        assert_eq!(kept.map(|_| buffers.take().capacity()), kept);
        for _ in 0..100 {
            buffers.give(Vec::with_capacity(10));
        }
        let kept = (0..100).filter(|_| buffers.take().capacity() > 0);
        assert_eq!(kept.count(), Buffers::KEPT);
    }
}
