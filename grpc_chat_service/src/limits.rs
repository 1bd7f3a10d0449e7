//! Bounds on what peers may take, in one place.

use std::time::Duration;

/// Bounds on what peers may take. The defaults are safe for a service that strangers can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at once. At the limit new ones wait unaccepted in the kernel's queue.
    pub connections: usize,

    /// Connections open at once from one IP address. One more is closed as soon as it is accepted.
    pub connections_per_address: usize,

    /// How long a new connection has to show that it speaks HTTP/2.
    pub handshake: Duration,

    /// Calls open at once on one connection; the client library queues more by itself.
    pub streams_per_connection: u32,

    /// Bytes of one encoded message: 64 KiB of text, and room for the name and the field headers.
    pub message_bytes: usize,

    /// Bytes a peer may send on one call ahead of our reading it. HTTP/2 flow control, per stream. Small,
    /// because the smallest messages cost fifty times their size while they wait to be read.
    pub stream_window_bytes: u32,

    /// Bytes of answers held for one call whose caller does not read. hyper's own default is 400 KiB.
    pub send_buffer_bytes: usize,

    /// Bytes of one request's header block.
    pub header_bytes: u32,

    /// Streams a peer may make *us* reset before the connection is ended (CVE-2025-8671, "MadeYouReset").
    /// tonic's own server switches this off; much lower would hit honest peers whose calls fail.
    pub local_resets: usize,

    /// How long a connection may be silent before it is asked, by an HTTP/2 PING, whether it is there.
    pub ping_after: Duration,

    /// How long the answer to that PING may take before the connection is closed.
    pub ping_timeout: Duration,

    /// How long a session has to say Hello.
    pub hello: Duration,

    /// How long a session's client may be silent before it is asked, in the stream, whether it is there; after two and
    /// a half times as long it is taken for gone. Proxies cut streams that are silent for a minute, and do not pass
    /// HTTP/2's own pings on.
    pub heartbeat: Duration,

    /// How old a session may become before it is told to connect again.
    pub session_age: Duration,

    /// Rooms that one session may have joined.
    pub rooms: usize,

    /// Sends, edits, deletes, reactions, joins and read marks of one session that are not yet answered.
    pub in_flight: usize,

    /// Bytes of one message's text.
    pub text_bytes: usize,

    /// Bytes of replies kept for a session whose client does not read them. Over it the session ends: events can be
    /// read again from the history, replies cannot, and a client that asks on and on without listening is broken.
    pub unread_reply_bytes: usize,

    /// Bytes of a room's newest events kept in memory for its readers. A reader further behind reads the history.
    pub tail_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            connections_per_address: 4_096,
            handshake: Duration::from_secs(5),
            streams_per_connection: 128,
            message_bytes: 65 * 1024,
            stream_window_bytes: 16 * 1024,
            send_buffer_bytes: 64 * 1024,
            header_bytes: 16 * 1024,
            local_resets: 1024,
            ping_after: Duration::from_secs(10),
            ping_timeout: Duration::from_secs(10),
            hello: Duration::from_secs(10),
            heartbeat: Duration::from_secs(10),
            session_age: Duration::from_secs(24 * 60 * 60),
            rooms: 256,
            in_flight: 1024,
            text_bytes: 8 * 1024,
            unread_reply_bytes: 256 * 1024,
            tail_bytes: 1024 * 1024,
        }
    }
}

impl Limits {
    /// Never reached, because the streams' own windows end before: one caller whose answers are not read
    /// cannot hold up the others. What it really sets is h2's budget for small frames that wait to be read,
    /// which is half of it and counts for each frame what it falls short of 256 bytes. At the end of the
    /// budget h2 cuts the connection, so there is enough for every call to fill its window with the smallest
    /// messages there are: five bytes, a frame each. With less, a connection with several busy calls is cut
    /// although each of its callers is within its rights.
    pub(crate) fn connection_window_bytes(&self) -> u32 {
        const SMALLEST: u64 = 5;
        const SHORT_OF: u64 = 256;
        let frames = u64::from(self.stream_window_bytes).div_ceil(SMALLEST);
        let budget = u64::from(self.streams_per_connection) * frames * (SHORT_OF - SMALLEST);
        let largest = (1 << 31) - 1; // RFC 9113, section 6.9.1
        u32::try_from(budget.saturating_mul(2).min(largest)).unwrap_or(u32::MAX >> 1)
    }
}
