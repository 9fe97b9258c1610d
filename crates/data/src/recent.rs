//! What is kept open: the few things that were used last, so that thousands of shards do not exhaust the system.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// The last used of things that can be made again.
#[derive(Debug)]
pub(crate) struct Recent<K, T> {
    capacity: usize,
    state: Mutex<State<K, T>>,
}

#[derive(Debug)]
struct State<K, T> {
    clock: u64,
    /// With the time of its last use.
    kept: HashMap<K, (u64, Arc<T>)>,
}

impl<K: Copy + Eq + Hash, T> Recent<K, T> {
    pub(crate) fn new(capacity: usize) -> Recent<K, T> {
        Recent { capacity, state: Mutex::new(State { clock: 0, kept: HashMap::new() }) }
    }

    /// What `key` stands for, made if it is not there. Two threads may make one thing at once; one of the two is kept.
    pub(crate) fn get<E>(&self, key: K, make: impl FnOnce() -> Result<T, E>) -> Result<Arc<T>, E> {
        let lock = || self.state.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut state = lock();
            state.clock += 1;
            let now = state.clock;
            if let Some((used, found)) = state.kept.get_mut(&key) {
                *used = now;
                return Ok(Arc::clone(found));
            }
        }
        // Not under the lock: making reads from a disk.
        let made = Arc::new(make()?);
        let mut state = lock();
        let now = state.clock;
        if state.kept.len() >= self.capacity {
            let oldest = state.kept.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| *key);
            oldest.map(|oldest| state.kept.remove(&oldest));
        }
        state.kept.insert(key, (now, Arc::clone(&made)));
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_last_is_kept() {
        let (recent, made) = (Recent::new(2), std::cell::RefCell::new(Vec::new()));
        for key in [1, 2, 1, 3, 1, 2, 3] {
            let value = recent.get(key, || {
                made.borrow_mut().push(key);
                Ok::<_, ()>(key * 10)
            });
            assert_eq!(value.as_deref(), Ok(&(key * 10)));
        }
        assert_eq!(*made.borrow(), [1, 2, 3, 2, 3]);
        assert_eq!(recent.get(7, || Err("why")).err(), Some("why"));
    }
}
