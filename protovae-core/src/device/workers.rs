//! Work for the threads that compute on the CPU.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use burn::tensor::Device;

/// Runs `work` on one of the threads that compute, if the device is the CPU; else, and if there is nothing to gain, here.
///
/// Work on the CPU is cut into pieces for rayon's threads many times a step. A thread of rayon's own hands them out at
/// once; any other has to wake one, and is woken in turn, each time.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// let device = Device::flex();
/// let sum = protovae_core::device::on_workers(&device, || Tensor::<1>::ones([3], &device).sum());
/// assert_eq!(sum.into_scalar::<f32>(), 3.0);
/// ```
pub fn on_workers<T: Send>(device: &Device, work: impl FnOnce() -> T + Send) -> T {
    if device.clone().without_autodiff() == Device::flex() {
        rayon::scope(|scope| {
            let finished = Arc::new(AtomicBool::new(false));
            keep_awake(scope, &finished);
            let _finished = Finished(finished);
            work()
        })
    } else {
        work()
    }
}

/// How long a thread without work stays awake. Between a step's loops lie some ten microseconds each, in which rayon would send
/// its threads to sleep; waking them again costs as much.
const PATIENCE: Duration = Duration::from_millis(2);

/// Has the other threads of the pool look for work until `finished`, or until there was none for [`PATIENCE`].
///
/// The limit is not for thrift alone. A thread may come here while it waits for another piece of work, which it cannot go on
/// with before it leaves.
fn keep_awake<'scope>(scope: &rayon::Scope<'scope>, finished: &Arc<AtomicBool>) {
    let (here, finished) = (rayon::current_thread_index(), finished.clone());
    scope.spawn_broadcast(move |_, context| {
        if Some(context.index()) == here {
            return;
        }
        let mut latest = Instant::now();
        while !finished.load(Ordering::Relaxed) {
            if rayon::yield_now() == Some(rayon::Yield::Executed) {
                latest = Instant::now();
            } else if latest.elapsed() < PATIENCE {
                std::thread::yield_now();
            } else {
                return;
            }
        }
    });
}

/// Says so when it is dropped, also by a panic.
struct Finished(Arc<AtomicBool>);

impl Drop for Finished {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// More callers than threads, all with loops in loops: each waits for work under which others' may lie.
    #[test]
    fn many_callers_at_once_all_come_to_an_end() {
        use rayon::prelude::*;
        let device = Device::flex();
        let sum = || -> u64 {
            let inner = |from: u64| (from..from + 64).into_par_iter().sum::<u64>();
            (0..64).into_par_iter().map(|block| inner(64 * block)).sum()
        };
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let found = on_workers(&device, || on_workers(&device, sum) + sum());
                        assert_eq!(found, 2 * (4095 * 4096 / 2));
                    }
                });
            }
        });
    }

    #[test]
    fn a_panic_passes_through() {
        let device = Device::flex();
        let caught = std::panic::catch_unwind(|| on_workers(&device, || panic!("on purpose")));
        assert!(caught.is_err());
    }
}
