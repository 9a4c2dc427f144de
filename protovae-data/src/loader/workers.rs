//! The threads behind an epoch.

use std::any::Any;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Builder, JoinHandle};

use super::{HostBatch, Plan};
use crate::DataError;

/// Threads that prepare batches in turns: thread i of n makes the batches first + i, first + i + n, …
///
/// Each has a bounded channel of its own, and the consumer takes from them in the same turns, so the order is fixed
/// whichever thread is faster. A batch is not cut into parts for several threads: that would only bring the first batch of
/// an epoch sooner; as many images a second are prepared either way.
#[derive(Debug)]
pub(super) struct Workers {
    first: usize,
    workers: Vec<Worker>,
}

#[derive(Debug)]
struct Worker {
    batches: Receiver<Result<HostBatch, DataError>>,
    thread: Option<JoinHandle<()>>,
}

impl Workers {
    /// Starts `count` threads; none for 0. The error is that of a thread that the system refused.
    pub(super) fn start(
        plan: &Arc<Plan>,
        first: usize,
        count: usize,
        prefetch: usize,
    ) -> Result<Self, Option<DataError>> {
        let mut started = Self {
            first,
            workers: Vec::with_capacity(count),
        };
        for number in 0..count {
            let (sender, batches) = sync_channel(prefetch);
            let plan = Arc::clone(plan);
            let work = move || {
                for batch in (first + number..plan.batches()).step_by(count) {
                    let prepared = plan.prepare(batch);
                    let failed = prepared.is_err();
                    // A closed channel means that the consumer has gone.
                    if sender.send(prepared).is_err() || failed {
                        return;
                    }
                }
            };
            let thread = Builder::new()
                .name(format!("loader-{number}"))
                .spawn(work)
                .map_err(|error| DataError::Worker {
                    reason: format!(
                        "thread {number} of {count} could not be started ({error}); use fewer"
                    ),
                })?;
            started.workers.push(Worker {
                batches,
                thread: Some(thread),
            });
        }
        Ok(started)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.workers.is_empty()
    }

    /// Waits for batch number `batch`, which is to be asked for in sequence.
    pub(super) fn receive(&mut self, batch: usize) -> Result<HostBatch, DataError> {
        let turn = (batch - self.first) % self.workers.len();
        let worker = &mut self.workers[turn];
        worker.batches.recv().unwrap_or_else(|_| {
            let panic = worker.thread.take().and_then(|thread| thread.join().err());
            Err(DataError::Worker {
                reason: format!("preparing batch {batch}: {}", message(panic.as_deref())),
            })
        })
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // Every channel is closed before the first join: a thread that waits for room in its channel wakes up with an
        // error, and no thread is waited for while another still works ahead.
        let threads: Vec<_> = self
            .workers
            .drain(..)
            .filter_map(|worker| worker.thread)
            .collect();
        for thread in threads {
            // A panic of a thread whose batches nobody wants any more is nobody's concern.
            let _ = thread.join();
        }
    }
}

fn message(panic: Option<&(dyn Any + Send)>) -> &str {
    let Some(panic) = panic else {
        return "it ended early";
    };
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("it panicked")
}
