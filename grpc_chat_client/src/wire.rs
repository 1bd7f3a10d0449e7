//! What crosses the wire: the stream of a session, and its frames from and to the types of `model`.

pub(crate) mod convert;
mod link;
mod stream;

pub(crate) use link::{Access, Link};
pub(crate) use stream::{Connector, SessionStream};
