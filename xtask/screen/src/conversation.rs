//! A person at the screen: arrives, talks, scrolls back through 5,000 messages, loses the network, and leaves.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use faults::block_on;
use faults::proxy::{BlackHole, CutBudget, Proxy};
use faults::site::{Site, Store};
use xtask::Outcome;

use crate::client::{command, run_client, say};
use crate::seen;
use crate::tmux::Tmux;

/// How much there is to scroll back through.
const MESSAGES: usize = 5_000;

pub(super) fn run() -> Outcome {
    block_on(async {
        let site = Site::new()?;
        let service = site.start(Store::Disk(&site.path("data")))?;
        let network = Proxy::start(site.server.clone(), CutBudget::new(0), 0).await?;
        // Using the terminal blocks; the network goes on meanwhile.
        tokio::task::block_in_place(|| talk(&site, &network))?;
        let status = service.stop()?;
        if status.success() { Ok(()) } else { Err(format!("the service ended with {status}").into()) }
    })
}

fn talk(site: &Site, network: &Proxy) -> Outcome {
    let (direct, address) = (site.server.address(), network.address());
    let lines: String = (1..=MESSAGES).map(|n| format!("message {n}\n")).collect();
    say(&direct, "ann", "general", &lines)?;
    say(&direct, "joe", "random", "Is anybody here?\n")?;
    let folder = site.path("home");
    fs::create_dir_all(&folder)?;

    let screen = Tmux::start(&folder, (90, 24), &command(&address, "--user sam chat general")?)?;
    screen.wait_for(&format!("message {MESSAGES}"))?;
    // The rooms are listed a moment later.
    seen::check("arrived", &screen.wait_for("random")?)?;
    exchange(&screen, &direct)?;
    scroll_back(&screen)?;
    paste(&screen, &folder)?;
    lose_the_network(&screen, &direct, network)?;
    resize(&screen)?;
    lists_and_rooms(&screen)?;
    screen.press(&["C-c"])?;
    screen.wait_for("Ctrl+C again to quit")?;
    screen.press(&["C-c"])?;
    screen.wait_for("[ended with 0]")?;

    // The next time both rooms are there, and nothing is unsent.
    let screen = Tmux::start(&folder, (90, 24), &command(&address, "--user sam chat")?)?;
    screen.wait("both rooms joined", |text| {
        text.contains("said without a network") && !text.contains("unsent") && !text.contains("others")
    })?;
    screen.press(&["C-n"])?;
    screen.wait_for("Is anybody here?")?;
    screen.press(&["C-d"])?;
    screen.wait_for("[ended with 0]")?;
    choose_a_room(&folder, &address)?;
    in_a_dumb_terminal(&folder, &address)
}

/// Sam talks, and Ann replies.
fn exchange(screen: &Tmux, direct: &str) -> Outcome {
    screen.types("Hello everyone")?;
    screen.press(&["M-Enter"])?;
    screen.types("how are you?")?;
    screen.press(&["Enter"])?;
    screen.wait("Sam's message, stored", |text| is_stored(text, "Hello everyone"))?;
    run_client(direct, &["--user", "ann", "send", "general", "Fine, @sam, and you?"])?;
    screen.wait_for("Fine, @sam, and you?")?;
    screen.types("/react 👍")?;
    screen.press(&["Enter"])?;
    screen.wait_for("👍 1")?;
    screen.types("/edit Hello all")?;
    screen.press(&["Enter"])?;
    screen.wait_for("Hello all (edited)")?;
    let talked = screen.wait("nobody typing", |text| !text.contains("typing"))?;
    seen::check("talked", &talked)
}

/// Sam scrolls to the first message of all, and to the newest again.
fn scroll_back(screen: &Tmux) -> Outcome {
    let started = Instant::now();
    let first = |text: &str| text.split('▎').any(|rest| rest.starts_with("message 1 "));
    while !first(&screen.screen()?) {
        screen.press_often("PageUp", 20)?;
        if started.elapsed() > Duration::from_secs(60) {
            return Err(format!("the first message was not reached:\n{}", screen.screen()?).into());
        }
    }
    println!("conversation: scrolled back through {MESSAGES} messages in {:.1} s", started.elapsed().as_secs_f32());
    seen::check("beginning", &screen.screen()?)?;
    screen.press(&["End"])?;
    seen::check("back", &screen.wait_for("Hello all (edited)")?)
}

/// A paste of 10,000 lines is a text like any other, only too long.
fn paste(screen: &Tmux, folder: &Path) -> Outcome {
    let paste = folder.join("paste");
    fs::write(&paste, (1..=10_000).map(|n| format!("pasted line {n}\n")).collect::<String>())?;
    screen.paste(&paste)?;
    screen.wait_for("pasted line 10000")?;
    screen.press(&["Enter"])?;
    screen.wait_for("too long by")?;
    screen.press(&["C-c"])?;
    screen.wait_for("say something").map(drop)
}

/// What is said without a network is sent when it is back.
fn lose_the_network(screen: &Tmux, direct: &str, network: &Proxy) -> Outcome {
    network.set_black_hole(BlackHole { up: true, down: true, refuse: true });
    network.cuts().allow(usize::MAX / 2);
    network.cut();
    screen.wait_for("offline, next try")?;
    screen.types("said without a network")?;
    screen.press(&["Enter"])?;
    let offline = screen.wait("what is unsent, and why", |text| {
        ["offline, next try", "1 unsent", "▲ "].iter().all(|words| text.contains(words))
    })?;
    // How the connection has failed depends on where it was cut.
    let row = offline.lines().filter(|row| !row.contains('▲')).collect::<Vec<_>>().join("\n");
    if !row.contains("said without a network") {
        return Err(format!("what is unsent is not shown:\n{offline}").into());
    }
    run_client(direct, &["--user", "ann", "send", "general", "are you still there?"])?;
    network.heal();
    screen.wait_for("are you still there?")?;
    let again = screen.wait("what was said, stored", |text| is_stored(text, "said without a network"))?;
    seen::check("online-again", &again)
}

fn resize(screen: &Tmux) -> Outcome {
    screen.resize(40, 10)?;
    let small = screen.wait("a small screen", |text| !text.contains('│') && text.contains("are you"))?;
    seen::check("small", &small)?;
    screen.resize(160, 40)?;
    let large = screen.wait("a large screen", |text| text.contains('┬') && text.contains("message 4990"))?;
    seen::check("large", &large)?;
    screen.resize(90, 24)?;
    let same = screen.wait("the screen of before", |text| {
        text.lines().next().is_some_and(|row| row.ends_with('╮')) && text.ends_with('╯')
    })?;
    seen::check("online-again", &same)
}

/// Help, and another room.
fn lists_and_rooms(screen: &Tmux) -> Outcome {
    screen.press(&["F1"])?;
    seen::check("help", &screen.wait_for("keys and commands")?)?;
    screen.press(&["Escape"])?;
    // A key that follows at once would be taken for Alt and that key.
    screen.wait("no help", |text| !text.contains("keys and commands"))?;
    screen.types("/")?;
    seen::check("commands", &screen.wait_for("join a room")?)?;
    screen.types("join ran")?;
    screen.press(&["Tab", "Enter"])?;
    screen.wait_for("Is anybody here?")?;
    screen.wait("the room's title", |text| text.contains("─ random ─") && text.contains("1 here")).map(drop)
}

/// Without a room, the screen begins with all of them.
fn choose_a_room(folder: &Path, address: &str) -> Outcome {
    let screen = Tmux::start(folder, (90, 24), &command(address, "--user kim chat --no-state")?)?;
    screen.wait("both rooms", |text| text.contains("general") && text.contains("random"))?;
    seen::check("rooms", &screen.wait("the state of the connection", |text| text.contains("● kim"))?)?;
    screen.press(&["Down", "Enter"])?;
    screen.wait_for("Is anybody here?")?;
    screen.press(&["C-d"])?;
    screen.wait_for("[ended with 0]").map(drop)
}

/// A terminal that cannot draw gets lines.
fn in_a_dumb_terminal(folder: &Path, address: &str) -> Outcome {
    for term in ["TERM=dumb", "TERM="] {
        let lines = Tmux::start(folder, (90, 24), &format!("{term} {}", command(address, "--user kim chat random")?))?;
        lines.types("just a line")?;
        lines.press(&["Enter"])?;
        lines.wait_for("kim: just a line")?;
        if lines.knows("#{alternate_on}")? != "0" {
            return Err(format!("with {term} there is a screen").into());
        }
        lines.press(&["C-d"])?;
        lines.wait_for("[ended with 0]")?;
    }
    Ok(())
}

/// Whether a message with this text is on the screen and stored: behind one that is not, there is an ellipsis.
fn is_stored(screen: &str, text: &str) -> bool {
    let row = screen.lines().find(|row| row.contains(&format!("▎{text}")));
    row.is_some_and(|row| !row.trim_end_matches([' ', '│']).ends_with('…')) && !screen.contains(" unsent")
}
