//! Memory that is given out before it is used.

use std::sync::{Arc, Mutex};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use crate::process::lock;

/// The unit of the budget in bytes, since a semaphore has few permits.
const UNIT: usize = 4 << 10;

/// About so many bytes for everything that takes room in it.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    permits: Arc<Semaphore>,
    /// In units.
    total: u32,
}

impl Budget {
    pub fn new(bytes: usize) -> Self {
        let total = (bytes / UNIT).max(1);
        Self {
            permits: Arc::new(Semaphore::new(total)),
            total: u32::try_from(total).unwrap_or(u32::MAX),
        }
    }

    /// How many units these bytes take: at most all, so that a file larger than the budget is held alone.
    fn units(&self, bytes: u64) -> u32 {
        let units = u32::try_from(bytes / UNIT as u64).unwrap_or(u32::MAX);
        units.clamp(1, self.total)
    }

    /// Take room for this many bytes. Those who wait are served in order.
    ///
    /// # Errors
    /// Where the budget was closed.
    pub async fn take(&self, bytes: u64) -> Result<Room, AcquireError> {
        let permits = Arc::clone(&self.permits);
        let taken = permits.acquire_many_owned(self.units(bytes)).await?;
        Ok(Room {
            budget: self.clone(),
            taken: Arc::new(Mutex::new(taken)),
        })
    }

    /// Is less than half of it left?
    pub fn is_scarce(&self) -> bool {
        self.permits.available_permits() < self.total as usize / 2
    }

    /// Close the budget: nobody gets room any more.
    pub fn close(&self) {
        self.permits.close();
    }
}

/// A part of a budget, given back when the last of its clones is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    budget: Budget,
    taken: Arc<Mutex<OwnedSemaphorePermit>>,
}

impl Room {
    /// Take room for so many bytes in all, if there is as much at the moment.
    ///
    /// This does not wait, since others may give back their room only after this file is done.
    pub fn grow(&self, bytes: u64) -> bool {
        let mut taken = lock(&self.taken);
        let missing = (self.budget.units(bytes) as usize).saturating_sub(taken.num_permits());
        let permits = Arc::clone(&self.budget.permits);
        match permits.try_acquire_many_owned(missing as u32) {
            Ok(more) => {
                taken.merge(more);
                true
            }
            Err(_) => false,
        }
    }

    /// Take room for so many bytes in all, which are held already, or all the room that there is.
    ///
    /// This does not wait either; whoever asks for room next does.
    pub fn cover(&self, bytes: u64) {
        let mut taken = lock(&self.taken);
        let missing = (self.budget.units(bytes) as usize).saturating_sub(taken.num_permits());
        let permits = Arc::clone(&self.budget.permits);
        let there = missing.min(permits.available_permits());
        if let Ok(more) = permits.try_acquire_many_owned(there as u32) {
            taken.merge(more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    #[tokio::test]
    async fn room_grows_while_there_is_some() {
        let budget = Budget::new(16 * MB as usize);
        let first = budget.take(0).await.unwrap();
        let second = budget.take(4 * MB).await.unwrap();
        assert!(first.grow(8 * MB) && first.grow(MB));
        assert!(budget.is_scarce());
        assert!(!second.grow(9 * MB));
        drop(first.clone());
        assert!(!second.grow(9 * MB), "a clone keeps it");
        drop(first);
        assert!(second.grow(9 * MB));
        let third = budget.take(MB).await.unwrap();
        third.cover(7 * MB);
        assert!(!second.grow(10 * MB));
        third.cover(100 * MB);
        assert_eq!(budget.permits.available_permits(), 0);
        drop(third);
        // What is larger than all of it gets all of it.
        assert!(second.grow(u64::MAX));
        assert_eq!(budget.permits.available_permits(), 0);
    }
}
