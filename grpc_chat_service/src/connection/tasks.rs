//! The futures of one connection, polled by the connection's own task.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use super::Ending;

/// A future that runs on the connection's task. It may return that the connection is to end.
type Task = Pin<Box<dyn Future<Output = Option<Ending>> + Send>>;

/// Starts calls on the connection's own task instead of on a task each: all that are ready put their frames into the
/// connection's buffer, and then it is sent once. No call outlives its connection.
#[derive(Clone)]
pub(crate) struct Calls {
    shared: Arc<Shared>,
}

/// The calls of one connection, and what else runs beside them. Their owner polls those that have been woken: all of them,
/// as often as it takes, before it does anything else. (`FuturesUnordered` pauses after a few futures that wake
/// themselves, and then what one read brought is answered by many writes.)
#[derive(Default)]
pub(super) struct Tasks {
    slots: Vec<Slot>,
    free: Vec<usize>,
    shared: Arc<Shared>,
    /// The tasks being polled; kept for its allocation.
    woken: Vec<usize>,
}

/// A task, or nothing.
type Slot = Option<Running>;

struct Running {
    task: Task,
    state: Arc<TaskWaker>,
    /// The same again, as the task is given it.
    waker: Waker,
}

#[derive(Default)]
struct Shared(Mutex<State>);

/// Short lock, never held across an await or a poll.
#[derive(Default)]
struct State {
    started: Vec<Task>,
    woken: Vec<usize>,
    /// Wakes the owner. `None` while the owner runs: it looks here before it goes to sleep.
    owner: Option<Waker>,
}

/// Wakes one task.
struct TaskWaker {
    index: usize,
    /// The task is among the woken ones.
    is_woken: AtomicBool,
    shared: Arc<Shared>,
}

impl Calls {
    /// Runs `call` on the connection's task, until it completes or the connection is closed.
    pub(crate) fn start(&self, call: impl Future<Output = ()> + Send + 'static) {
        self.shared.start(Box::pin(async move {
            call.await;
            None
        }));
    }
}

impl Tasks {
    /// Returns a handle that starts tasks.
    pub(super) fn calls(&self) -> Calls {
        Calls { shared: Arc::clone(&self.shared) }
    }

    /// Starts a task. It is polled for the first time by the next [`Tasks::run`].
    pub(super) fn start(&self, task: impl Future<Output = Option<Ending>> + Send + 'static) {
        self.shared.start(Box::pin(task));
    }

    /// Polls the tasks that have been woken or started, and passes on what they return. Returns whether there were any.
    pub(super) fn run(&mut self, mut returned: impl FnMut(Ending)) -> bool {
        let mut woken = mem::take(&mut self.woken);
        let started = {
            let mut state = self.shared.lock();
            mem::swap(&mut woken, &mut state.woken);
            mem::take(&mut state.started)
        };
        woken.extend(started.into_iter().map(|task| self.add(task)));
        let any = !woken.is_empty();
        for index in woken.drain(..) {
            if let Some(ending) = self.poll(index) {
                returned(ending);
            }
        }
        self.woken = woken;
        any
    }

    /// Has the owner woken with the next task. Returns `false`, and does not, if a task has been woken already.
    pub(super) fn sleep(&self, cx: &Context<'_>) -> bool {
        let mut state = self.shared.lock();
        if !state.woken.is_empty() || !state.started.is_empty() {
            return false;
        }
        match &mut state.owner {
            Some(owner) => owner.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        true
    }

    fn add(&mut self, task: Task) -> usize {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let shared = Arc::clone(&self.shared);
        let state = Arc::new(TaskWaker { index, is_woken: AtomicBool::new(true), shared });
        self.slots[index] = Some(Running { task, waker: Arc::clone(&state).into(), state });
        index
    }

    fn poll(&mut self, index: usize) -> Option<Ending> {
        // A task that has ended may be woken once more, and its place may be another's by then, for whom this is one poll
        // too many.
        let Some(Running { task, state, waker }) = &mut self.slots[index] else { return None };
        // Before polling: whatever happens from here on has it polled again.
        state.is_woken.store(false, Ordering::Release);
        match task.as_mut().poll(&mut Context::from_waker(waker)) {
            Poll::Pending => None,
            Poll::Ready(ending) => {
                self.slots[index] = None;
                self.free.push(index);
                ending
            }
        }
    }
}

impl Drop for Tasks {
    /// A task that was started and never polled may hold a reference to the list it is on; neither would ever be freed.
    fn drop(&mut self) {
        let started = mem::take(&mut self.shared.lock().started);
        drop(started);
    }
}

impl Shared {
    fn start(&self, task: Task) {
        let mut state = self.lock();
        state.started.push(task);
        let owner = state.owner.take();
        drop(state);
        if let Some(owner) = owner {
            owner.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_woken.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut state = self.shared.lock();
        state.woken.push(self.index);
        let owner = state.owner.take();
        drop(state);
        if let Some(owner) = owner {
            owner.wake();
        }
    }
}
