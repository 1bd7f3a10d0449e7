//! epoll, edge-triggered: a level-triggered one would ask every socket once more after it has been read.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

/// The most events that one wait returns.
const EVENTS: usize = 1024;

/// Waits for many files at once. Each has a token, which is any number.
pub(crate) struct Poller {
    epoll: Epoll,
    events: Vec<EpollEvent>,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?, events: vec![EpollEvent::empty(); EVENTS] })
    }

    /// Adds a file. From now on it is ready whenever it has become readable or writable.
    pub(crate) fn add(&self, file: impl AsFd, token: usize) -> io::Result<()> {
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
        Ok(self.epoll.add(file, EpollEvent::new(flags, token as u64))?)
    }

    /// Waits for a file, at most until the deadline. Returns how many are ready.
    pub(crate) fn wait(&mut self, deadline: Instant) -> io::Result<usize> {
        // Rounded up: a timeout of no milliseconds would wait in a busy loop.
        let left = deadline.saturating_duration_since(Instant::now()) + Duration::from_micros(999);
        let timeout = EpollTimeout::try_from(left).unwrap_or(EpollTimeout::MAX);
        match self.epoll.wait(&mut self.events, timeout) {
            Ok(ready) => Ok(ready),
            Err(nix::errno::Errno::EINTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the token of the nth file that the last wait found.
    pub(crate) fn ready(&self, nth: usize) -> usize {
        self.events[nth].data() as usize
    }
}

/// Returns a timer that expires again and again, to be added to a [`Poller`].
pub(crate) fn timer(interval: Duration) -> io::Result<TimerFd> {
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)?;
    timer.set(Expiration::Interval(TimeSpec::from_duration(interval)), TimerSetTimeFlags::empty())?;
    Ok(timer)
}
