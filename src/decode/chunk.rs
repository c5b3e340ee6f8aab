//! Records on their way to the host, and the buffers that they lie in.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use super::Fingerprint;
use crate::process::lock;

/// Records of one log file, ready for the host.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(super) data: Vec<u8>,
    /// So many bytes of that are the log file's; its buffer may have been a larger one's.
    pub(super) length: usize,
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
        self.length
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
pub(crate) struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    /// So many are kept, of this size at most.
    const KEPT: usize = 16;
    const SIZE: usize = 1 << 20;

    /// A buffer of any length and content.
    pub fn take(&self) -> Vec<u8> {
        let mut kept = lock(&self.0);
        kept.pop().unwrap_or_default()
    }

    pub fn give(&self, buffer: Vec<u8>) {
        let mut kept = lock(&self.0);
        if kept.len() < Self::KEPT && (1..=Self::SIZE).contains(&buffer.capacity()) {
            kept.push(buffer);
        }
    }
}
