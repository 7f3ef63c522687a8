//! Memory for files on their way: a bounded number of buffers of one size, used again and again.
//!
//! A file is read into the buffers it is stored from. Memory that is new to a process costs more than a copy into it, so a
//! buffer goes round while there is work, and nearly all are given back when there is none.

use bytes::Bytes;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One is filled while the other is stored.
const LEAST: usize = 2;

/// The buffers of all files of a store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Memory(Arc<Buffers>);

#[derive(Debug)]
struct Buffers {
    size: usize,
    all: usize,
    places: Arc<Semaphore>,
    /// Empty ones, whose memory is ours.
    free: Mutex<Vec<Vec<u8>>>,
}

impl Memory {
    /// As many buffers of `size` bytes as `bytes` have room for, and at least two.
    #[must_use]
    pub fn new(bytes: usize, size: usize) -> Self {
        let all = (bytes / size.max(1)).max(LEAST);
        Self(Arc::new(Buffers {
            size,
            all,
            places: Arc::new(Semaphore::new(all)),
            free: Mutex::default(),
        }))
    }

    /// Bytes of a buffer.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.size
    }

    /// An empty buffer; waits, in the order of asking, until one is free. Whoever holds one that is not full must not wait
    /// here for another: all might.
    pub async fn take(&self) -> Buffer {
        // Never closed.
        let place = Arc::clone(&self.0.places).acquire_owned().await.ok();
        let free = self.0.free().pop();
        Buffer {
            bytes: free.unwrap_or_else(|| Vec::with_capacity(self.0.size)),
            of: Arc::clone(&self.0),
            _place: place,
        }
    }
}

impl Buffers {
    fn free(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One buffer, its place held until the last of its bytes is let go.
#[derive(Debug)]
pub struct Buffer {
    bytes: Vec<u8>,
    of: Arc<Buffers>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Buffer {
    /// Takes from `chunk` what there is room for.
    pub fn fill(&mut self, chunk: &mut Bytes) {
        let room = self.of.size - self.bytes.len();
        let now = chunk.split_to(chunk.len().min(room));
        self.bytes.extend_from_slice(&now);
    }

    /// There is no room left.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.bytes.len() == self.of.size
    }

    /// What it holds, to be shared.
    #[must_use]
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        let is_last = self.of.places.available_permits() + 1 >= self.of.all;
        let mut free = self.of.free();
        free.push(bytes);
        if is_last {
            free.truncate(LEAST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    const SIZE: usize = 8;

    fn filled(mut buffer: Buffer, text: &str) -> (Bytes, Bytes) {
        let mut rest = Bytes::copy_from_slice(text.as_bytes());
        buffer.fill(&mut rest);
        (buffer.freeze(), rest)
    }

    #[tokio::test]
    async fn a_buffer_takes_what_it_has_room_for() {
        let memory = Memory::new(4 * SIZE, SIZE);
        for (text, held, rest) in [("abc", "abc", ""), ("abcdefghij", "abcdefgh", "ij")] {
            let got = filled(memory.take().await, text);
            assert_eq!(got, (Bytes::from(held), Bytes::from(rest)), "{text}");
        }
    }

    #[tokio::test]
    async fn a_place_is_free_when_the_last_of_its_bytes_is_let_go() {
        for (bytes, all) in [(0, 2), (3 * SIZE + 1, 3)] {
            let memory = Memory::new(bytes, SIZE);
            let mut held = Vec::new();
            for _ in 0..all {
                held.push(filled(memory.take().await, "abc").0);
            }
            let slice = held.pop().unwrap().slice(1..);
            assert!(memory.take().now_or_never().is_none(), "{all}");
            drop(slice);
            assert!(memory.take().now_or_never().is_some(), "{all}");
        }
    }

    #[tokio::test]
    async fn memory_goes_round_and_is_given_back_when_nothing_is_on_its_way() {
        let memory = Memory::new(4 * SIZE, SIZE);
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(filled(memory.take().await, "abc").0);
        }
        let one = held.pop().unwrap();
        let at = one.as_ptr();
        drop(one);
        let again = filled(memory.take().await, "de").0;
        assert_eq!((again.as_ptr(), &again[..]), (at, &b"de"[..]));
        drop((again, held));
        assert_eq!(memory.0.free().len(), LEAST);
    }
}
