//! The futures of one connection, polled by the connection's own task.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use tokio::time::Instant;

/// How a connection is to end. The later ones prevail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ending {
    /// Once the open calls have ended. No further ones are accepted.
    Graceful,
    /// Now.
    AtOnce,
}

/// A future that runs on the connection's task.
enum Task {
    Call(Pin<Box<dyn Future<Output = ()> + Send>>),
    /// Completes when the connection is to end.
    Ending(Pin<Box<dyn Future<Output = Ending> + Send>>),
}

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
    /// How many tasks are calls.
    open_calls: usize,
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
    /// Since when there is no call, if there is none.
    idle_since: Option<Instant>,
    /// HTTP/2 has been woken: by the socket, or by a call that gave it something to send.
    http2_woken: bool,
    /// Wakes the owner. `None` while the owner runs: it looks here before it goes to sleep. Without this, each call that
    /// sends something would have its own connection scheduled once more.
    owner: Option<Waker>,
}

/// Wakes HTTP/2.
struct Http2Waker(Arc<Shared>);

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
        let call = Task::Call(Box::pin(call));
        self.shared.note(|state| state.started.push(call));
    }

    /// Returns since when there is no call, if there is none.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.shared.lock().idle_since
    }
}

impl Tasks {
    pub(super) fn new() -> Self {
        let tasks = Self::default();
        tasks.shared.lock().idle_since = Some(Instant::now());
        tasks
    }

    /// Returns a handle that starts tasks.
    pub(super) fn calls(&self) -> Calls {
        Calls { shared: Arc::clone(&self.shared) }
    }

    /// Starts a future that completes when the connection is to end.
    pub(super) fn start_ending(&self, ending: impl Future<Output = Ending> + Send + 'static) {
        let ending = Task::Ending(Box::pin(ending));
        self.shared.note(|state| state.started.push(ending));
    }

    /// Polls the tasks that have been woken or started. Returns whether there were any.
    pub(super) fn run(&mut self, mut end: impl FnMut(Ending)) -> bool {
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
                end(ending);
            }
        }
        self.woken = woken;
        any
    }

    /// Has every task polled.
    pub(super) fn wake_all(&self) {
        for running in self.slots.iter().flatten() {
            running.state.wake_by_ref();
        }
    }

    /// Returns what wakes HTTP/2.
    pub(super) fn http2_waker(&self) -> Waker {
        Arc::new(Http2Waker(Arc::clone(&self.shared))).into()
    }

    /// Returns whether HTTP/2 has been woken since the last call.
    pub(super) fn take_http2_woken(&self) -> bool {
        mem::take(&mut self.shared.lock().http2_woken)
    }

    /// Has the owner woken with the next task, or with HTTP/2. Returns `false`, and does not, if one has been woken already.
    pub(super) fn sleep(&self, cx: &Context<'_>) -> bool {
        let mut state = self.shared.lock();
        if state.http2_woken || !state.woken.is_empty() || !state.started.is_empty() {
            return false;
        }
        match &mut state.owner {
            Some(owner) => owner.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        true
    }

    fn add(&mut self, task: Task) -> usize {
        if let Task::Call(_) = task {
            self.open_calls += 1;
            if self.open_calls == 1 {
                self.shared.lock().idle_since = None;
            }
        }
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
        let cx = &mut Context::from_waker(waker);
        let ended = match task {
            Task::Call(call) => call.as_mut().poll(cx).map(|()| None),
            Task::Ending(ending) => ending.as_mut().poll(cx).map(Some),
        };
        match ended {
            Poll::Pending => None,
            Poll::Ready(ending) => {
                if let Task::Call(_) = task {
                    self.open_calls -= 1;
                    if self.open_calls == 0 {
                        self.shared.lock().idle_since = Some(Instant::now());
                    }
                }
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
    /// Notes something for the owner, and wakes it.
    fn note(&self, note: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        note(&mut state);
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
        if !self.is_woken.swap(true, Ordering::AcqRel) {
            self.shared.note(|state| state.woken.push(self.index));
        }
    }
}

impl Wake for Http2Waker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.note(|state| state.http2_woken = true);
    }
}
