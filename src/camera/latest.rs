//! One slot between two threads: the newest value wins.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Hands values from one thread to another. Whoever is slow finds the newest value, never a queue of old ones.
#[derive(Debug)]
pub struct Latest<T> {
    slot: Mutex<Slot<T>>,
    filled: Condvar,
}

#[derive(Debug)]
struct Slot<T> {
    value: Option<T>,
    overwritten: u64,
}

impl<T> Default for Latest<T> {
    fn default() -> Latest<T> {
        Latest { slot: Mutex::new(Slot { value: None, overwritten: 0 }), filled: Condvar::new() }
    }
}

impl<T> Latest<T> {
    /// An empty slot.
    pub fn new() -> Latest<T> {
        Latest::default()
    }

    /// Fills the slot. A value that was not taken yet is dropped and counted.
    pub fn put(&self, value: T) {
        let mut slot = self.lock();
        let old = slot.value.replace(value);
        slot.overwritten += u64::from(old.is_some());
        drop(slot);
        self.filled.notify_one();
        // A frame is freed outside of the lock.
        drop(old);
    }

    /// Empties the slot, waiting up to `timeout` for a value.
    pub fn take(&self, timeout: Duration) -> Option<T> {
        let slot = self.lock();
        let (mut slot, _) = self
            .filled
            .wait_timeout_while(slot, timeout, |slot| slot.value.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        slot.value.take()
    }

    /// How many values were dropped because a newer one came before they were taken.
    pub fn overwritten(&self) -> u64 {
        self.lock().overwritten
    }

    /// The slot is whole between any two statements that hold the lock, so a panic elsewhere does no harm to it.
    fn lock(&self) -> MutexGuard<'_, Slot<T>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_newest_wins_and_the_others_are_counted() {
        let latest = Latest::new();
        assert_eq!(latest.take(Duration::ZERO), None);
        for value in 0..5 {
            latest.put(value);
        }
        assert_eq!(latest.take(Duration::ZERO), Some(4));
        assert_eq!(latest.take(Duration::ZERO), None);
        latest.put(5);
        assert_eq!(latest.take(Duration::MAX), Some(5));
        assert_eq!(latest.overwritten(), 4);
    }

    #[test]
    fn every_value_is_taken_or_counted_and_none_goes_backwards() {
        const VALUES: u64 = 20_000;
        let latest = Arc::new(Latest::new());
        let writer = std::thread::spawn({
            let latest = Arc::clone(&latest);
            move || (0..VALUES).for_each(|value| latest.put(value))
        });
        let (mut taken, mut last) = (0, None);
        while last != Some(VALUES - 1) {
            let value = latest.take(Duration::from_secs(60)).expect("the writer is alive");
            assert!(last < Some(value), "{value} after {last:?}");
            last = Some(value);
            taken += 1;
        }
        writer.join().unwrap();
        assert_eq!(taken + latest.overwritten(), VALUES);
    }

    #[test]
    fn a_waiting_thread_is_woken() {
        let latest = Arc::new(Latest::new());
        let reader = std::thread::spawn({
            let latest = Arc::clone(&latest);
            move || latest.take(Duration::from_secs(60))
        });
        latest.put("frame");
        assert_eq!(reader.join().unwrap(), Some("frame"));
    }
}
