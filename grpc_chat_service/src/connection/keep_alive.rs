//! Finds out that a peer is gone, although its connection was never closed, or has nothing to do.

use std::future::poll_fn;
use std::task::Poll;

use h2::{Ping, PingPong};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};

use super::socket::Cork;
use super::tasks::Calls;
use crate::limits::ConnectionLimits;

/// Sends a PING when the peer has been silent for long, and returns once that was in vain.
///
/// Any byte that the peer sends is a sign of life, and so is reading: the acknowledgement of a PING may be far behind what
/// was sent before it. A peer that reads nothing of what waits for it is given up after the same time, whatever it sends.
pub(super) async fn lost<T: AsyncRead + AsyncWrite + Unpin>(
    cork: Cork<T>,
    mut pings: PingPong,
    limits: ConnectionLimits,
) {
    loop {
        let silent_since = cork.silent_since();
        let ping_at = silent_since + limits.ping_after;
        if Instant::now() < ping_at {
            sleep_until(ping_at).await;
            continue;
        }
        // The acknowledgement of the last PING is to be taken before there can be another.
        poll_fn(|cx| Poll::Ready(pings.poll_pong(cx).is_ready())).await;
        // Fails only if the connection is closing, or if that acknowledgement is missing still.
        let _ = pings.send_ping(Ping::opaque());
        sleep_until(ping_at.max(Instant::now()) + limits.ping_timeout).await;
        if cork.silent_since() == silent_since {
            return;
        }
    }
}

/// Returns once the connection has had no calls for long.
pub(super) async fn idle(calls: Calls, limits: ConnectionLimits) {
    loop {
        let since = calls.idle_since().unwrap_or_else(Instant::now);
        let until = since + limits.idle;
        if Instant::now() >= until {
            return;
        }
        sleep_until(until).await;
    }
}
