//! `screen picture`: the README's pictures of the screen, from a real one.

use std::fs;
use std::path::Path;

use faults::site::{Site, Store};
use xtask::{Outcome, root};

use crate::client::{command, run_client, say};
use crate::svg::{self, Terminal};
use crate::tmux::Tmux;

/// A picture for each kind of page.
const PICTURES: [(&str, &str, Terminal); 2] =
    [("dark", "grpc_chat_client/screen.svg", svg::DARK), ("light", "grpc_chat_client/screen-light.svg", svg::LIGHT)];

const SIZE: (u16, u16) = (100, 27);

pub(super) fn run() -> Outcome {
    for (theme, path, terminal) in PICTURES {
        let site = Site::new()?;
        let service = site.start(Store::Memory)?;
        let folder = site.path("home");
        fs::create_dir_all(&folder)?;
        let screen = talk(&folder, &site.server.address(), theme)?;
        fs::write(root().join(path), svg::render(screen.trim_end(), terminal))?;
        println!("wrote {path}");
        service.stop()?;
    }
    Ok(())
}

/// Plays a conversation, and returns the screen with its colours.
fn talk(folder: &Path, address: &str, theme: &str) -> Result<String, Box<dyn std::error::Error>> {
    for (user, room, lines) in [
        ("joe", "deploys", "v1.4.2 is live\nall probes are green\n"),
        ("mia", "random", "who has my 漢字 dictionary?\n"),
        ("kim", "lobby", "Hello!\n"),
        (
            "ann",
            "general",
            "Good morning!\nThe new build is on the test machine. Can somebody have a look before noon?\n",
        ),
        ("joe", "general", "Looking at it now.\n"),
        ("kim", "general", "I am on the release notes 📝\n"),
        ("joe", "general", "It starts, and the history is all there. 🎉\n"),
    ] {
        say(address, user, room, lines)?;
    }
    let screen = Tmux::start(folder, SIZE, &command(address, &format!("--user sam chat general --theme {theme}"))?)?;
    screen.wait_for("the history is all there")?;
    for room in ["deploys", "random"] {
        screen.types(&format!("/join {room}"))?;
        screen.press(&["Enter"])?;
        screen.wait_for(&format!("─ {room} ─"))?;
    }
    screen.press(&["M-1"])?;
    let others: Vec<Tmux> = ["ann", "joe", "kim"]
        .into_iter()
        .map(|user| {
            Tmux::start(folder, (60, 20), &command(address, &format!("--user {user} chat general --no-state"))?)
        })
        .collect::<Result<_, _>>()?;
    screen.wait_for("4 here")?;
    for words in [
        &["--user", "ann", "send", "general", "--reply-to", "5", "Great. @sam, shall we ship it?"][..],
        &["--user", "joe", "send", "deploys", "v1.5.0 is waiting for a go"],
        &["--user", "mia", "send", "random", "found it, @sam had it"],
    ] {
        run_client(address, words)?;
    }
    screen.wait_for("shall we ship it?")?;
    for reaction in ["🚀", "👍"] {
        screen.types(&format!("/react {reaction}"))?;
        screen.press(&["Enter"])?;
        screen.wait_for(&format!("{reaction} 1"))?;
    }
    let [ann, joe, ..] = &others[..] else { return Err("nobody else is there".into()) };
    joe.types("/react 🚀")?;
    joe.press(&["Enter"])?;
    screen.wait_for("🚀 2")?;
    screen.types("Yes, go ahead.")?;
    screen.press(&["M-Enter"])?;
    screen.types("I am watching the dashboards.")?;
    screen.press(&["Enter"])?;
    screen.wait("what was said, stored", |text| text.contains("the dashboards.") && !text.contains(" unsent"))?;
    ann.types("On it")?;
    screen.wait_for("ann is typing")?;
    screen.types("Thank you b")?;
    screen.wait_for("› Thank you b")?;
    screen.colours()
}
