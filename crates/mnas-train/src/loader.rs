//! Batches of training images, prepared on a thread of their own while the engine works.

use std::io;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use mnas_net::{Purpose, stream};

use crate::{Augment, Split};

#[cfg(test)]
mod tests;

/// Batches waiting at most; enough to hide a slow one, and little memory.
const AHEAD: usize = 3;

/// What is loaded. Which images a step gets, and how they are changed, depends on these fields
/// and the step only.
#[derive(Debug, Clone)]
pub struct LoaderPlan {
    /// Images to draw from.
    pub split: Split,
    /// How they are changed.
    pub augment: Augment,
    /// Colour of cut-outs, a byte per channel.
    pub mean: Vec<u8>,
    /// Images per batch.
    pub batch: usize,
    /// Seed of order and changes.
    pub seed: u64,
}

/// Images and labels of one step.
#[derive(Debug, Default)]
pub struct Batch {
    /// Bytes `labels.len() x h x w x c`.
    pub images: Vec<u8>,
    /// A label per image.
    pub labels: Vec<u16>,
}

impl LoaderPlan {
    /// Steps of an epoch. What is left after whole batches is dropped (another remainder each
    /// epoch), so that no step averages over few images; a split smaller than a batch is one step.
    pub fn steps_per_epoch(&self) -> u64 {
        (self.split.len() / self.batch).max(1) as u64
    }

    /// The order of the images in an epoch.
    fn order(&self, epoch: u64) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.split.len() as u32).collect();
        stream(self.seed, epoch, Purpose::Shuffle).shuffle(&mut order);
        order
    }

    /// Fills `batch` for the step at `within` of `epoch`.
    fn fill(&self, epoch: u64, within: u64, order: &[u32], batch: &mut Batch) {
        let (from, to) = (self.split.stored_shape(), self.split.shape());
        let start = within as usize * self.batch;
        let chosen = &order[start..(start + self.batch).min(order.len())];
        batch.labels.clear();
        batch.images.resize(chosen.len() * to.len(), 0);
        for (i, out) in chosen.iter().zip(batch.images.chunks_exact_mut(to.len())) {
            let i = *i as usize;
            let position = u64::from(self.split.position(i));
            let mut random = stream(self.seed, epoch << 32 | position, Purpose::Augment);
            let stored = self.split.stored(i);
            self.augment
                .apply(stored, (from, to), &self.mean, &mut random, out);
            batch.labels.push(self.split.label(i));
        }
    }

    fn run(&self, steps: std::ops::Range<u64>, full: &SyncSender<Batch>, empty: &Receiver<Batch>) {
        let mut order = (u64::MAX, vec![]);
        for step in steps {
            let epoch = step / self.steps_per_epoch();
            if order.0 != epoch {
                order = (epoch, self.order(epoch));
            }
            let mut batch = empty.try_recv().unwrap_or_default();
            self.fill(epoch, step % self.steps_per_epoch(), &order.1, &mut batch);
            if full.send(batch).is_err() {
                return;
            }
        }
    }
}

/// A running loader.
#[derive(Debug)]
pub struct Loader {
    /// Dropped first, which ends the thread.
    full: Option<Receiver<Batch>>,
    empty: Sender<Batch>,
    thread: Option<JoinHandle<()>>,
}

impl Loader {
    /// Starts to load the batches of these steps.
    ///
    /// # Errors
    /// The system's, where it refuses a thread.
    pub fn start(plan: LoaderPlan, steps: std::ops::Range<u64>) -> io::Result<Self> {
        let (full_in, full) = sync_channel(AHEAD);
        let (empty, empty_out) = channel();
        let thread = std::thread::Builder::new()
            .name("loader".into())
            .spawn(move || plan.run(steps, &full_in, &empty_out))?;
        Ok(Self {
            full: Some(full),
            empty,
            thread: Some(thread),
        })
    }

    /// The next step's batch.
    ///
    /// # Panics
    /// After the last step, or as the loader's thread did.
    pub fn next_batch(&mut self) -> Batch {
        match self.full.as_ref().map(Receiver::recv) {
            Some(Ok(batch)) => batch,
            _ => {
                if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
                    std::panic::resume_unwind(panic);
                }
                panic!("the loader was asked for more steps than it was started for")
            }
        }
    }

    /// Hands a batch back, so that its memory is used again.
    pub fn recycle(&self, batch: Batch) {
        // A loader that is done needs no memory.
        let _ = self.empty.send(batch);
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.full = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the loader has been raised by `next_batch`, or the caller is unwinding.
            let _ = thread.join();
        }
    }
}
