//! The history that the service has before it is attacked.

use std::fs;
use std::io;
use std::path::Path;

use stubs::chat::v1 as pb;
use stubs::chat::v1::client_frame::Body;
use tempfile::TempDir;

use crate::messages::LONGEST_TEXT;
use crate::service::{DATA, Service, Setup};
use crate::session::{self, Session};
use crate::sources;

/// The room that attackers read: several of the largest pages.
pub(crate) const BUSY_ROOM: &str = "busy";

/// The room that honest clients read.
pub(crate) const QUIET_ROOM: &str = "quiet";

/// The room with a crowd in it.
pub(crate) const CROWDED_ROOM: &str = "crowded";

/// How many messages there are, and how long they are.
const ROOMS: [(&str, usize, usize); 3] = [(BUSY_ROOM, 300, LONGEST_TEXT), (QUIET_ROOM, 500, 200), (CROWDED_ROOM, 1, 1)];

/// Messages that are sent before the replies to them are awaited.
const IN_FLIGHT: usize = 50;

/// Returns a fresh folder with a copy of the history.
pub(crate) fn copy(history: &Path) -> io::Result<TempDir> {
    let folder = tempfile::tempdir()?;
    let (from, to) = (history.join(DATA), folder.path().join(DATA));
    fs::create_dir(&to)?;
    for file in fs::read_dir(from)? {
        let file = file?;
        fs::copy(file.path(), to.join(file.file_name()))?;
    }
    Ok(folder)
}

/// Returns a folder with a history, which is copied for each attack.
pub(crate) async fn make(service: &Path) -> Result<TempDir, Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let service = Service::start(service, folder.path(), Setup { has_rates: false, ..Setup::default() })?;
    let mut session = Session::open(session::connect(service.address(), sources::HONEST).await?, "seed").await?;
    for (room, messages, bytes) in ROOMS {
        for first in (0..messages).step_by(IN_FLIGHT) {
            let mut last = 0;
            for _ in first..messages.min(first + IN_FLIGHT) {
                let send = pb::Send { room: room.to_owned(), text: "x".repeat(bytes), ..pb::Send::default() };
                last = session.send(Body::Send(send)).await;
            }
            // Acks of one session come in the order of its sends.
            session.reply(last).await?;
        }
    }
    service.stop()?;
    Ok(folder)
}
