//! `screen picture`: the README's picture of the screen, from a real one.

use std::fs;

use anstyle_svg::Term;
use faults::site::{Site, Store};
use xtask::{Outcome, root};

use crate::client::{command, say, tell};
use crate::tmux::Tmux;

const PICTURE: &str = "grpc_chat_client/screen.svg";

pub(super) fn run() -> Outcome {
    let site = Site::new()?;
    let service = site.start(Store::Memory)?;
    let address = site.server.address();
    let folder = site.path("home");
    fs::create_dir_all(&folder)?;
    for (user, room, lines) in [
        ("joe", "deploys", "v1.4.2 is live\nall probes are green\n"),
        ("mia", "random", "who has my 漢字 dictionary?\n"),
        ("ann", "general", "Good morning!\nThe new build is on the test machine. Can somebody have a look?\n"),
        ("joe", "general", "Looking at it now.\n"),
    ] {
        say(&address, user, room, lines)?;
    }
    let screen = Tmux::start(&folder, (84, 20), &command(&address, "--user sam chat general")?)?;
    screen.wait_for("Looking at it now.")?;
    for room in ["deploys", "random"] {
        screen.types(&format!("/join {room}"))?;
        screen.press(&["Enter"])?;
        screen.wait_for(&format!(" {room}  1 here"))?;
    }
    screen.press(&["M-1"])?;
    for (user, words) in [
        ("joe", &["send", "general", "It starts, and the history is all there. 🎉"][..]),
        ("ann", &["send", "general", "--reply-to", "4", "Great. @sam, shall we ship it?"]),
        ("joe", &["send", "deploys", "v1.5.0 is waiting for a go"]),
        ("mia", &["send", "random", "found it, @sam had it"]),
    ] {
        tell(&address, &[&["--user", user], words].concat())?;
    }
    screen.wait_for("shall we ship it?")?;
    screen.types("/react 🚀")?;
    screen.press(&["Enter"])?;
    screen.wait_for("🚀 1")?;
    screen.types("Yes, go ahead.")?;
    screen.press(&["Enter"])?;
    screen.wait_for("Yes, go ahead.")?;
    // Ann is in the room, too, and types.
    let ann = Tmux::start(&folder, (60, 20), &command(&address, "--user ann chat general --no-state")?)?;
    ann.wait_for("Yes, go ahead.")?;
    ann.types("On it")?;
    screen.wait_for("ann is typing")?;
    screen.types("Thank you b")?;
    screen.wait_for("Thank you b")?;
    let picture = Term::new().render_svg(screen.colours()?.trim_end());
    let path = root().join(PICTURE);
    fs::write(&path, picture)?;
    println!("wrote {PICTURE}");
    for screen in [ann, screen] {
        screen.press(&["C-c"])?;
        screen.wait_for("say something")?;
        screen.press(&["C-d"])?;
        screen.wait_for("[ended with 0]")?;
    }
    service.stop()?;
    Ok(())
}
