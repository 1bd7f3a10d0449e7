//! A person at the screen: arrives, talks, scrolls back through 5,000 messages, loses the network, and leaves.

use std::fs;
use std::time::{Duration, Instant};

use faults::block_on;
use faults::proxy::{BlackHole, CutBudget, Proxy};
use faults::site::{Site, Store};
use xtask::Outcome;

use crate::client::{command, say, tell};
use crate::seen;
use crate::tmux::Tmux;

/// How much there is to scroll back through.
const MESSAGES: usize = 5_000;

pub(super) fn run() -> Outcome {
    block_on(async {
        let site = Site::new()?;
        let service = site.start(Store::Disk(&site.path("data")))?;
        let network = Proxy::start(site.server.clone(), CutBudget::new(0), 0).await?;
        // The screen's terminal is told and looked at in a way that waits; the network goes on meanwhile.
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
    let arrived = screen.wait_for("random")?;
    seen::check("arrived", &arrived)?;

    // Sam talks, and Ann answers.
    screen.types("Hello everyone")?;
    screen.press(&["M-Enter"])?;
    screen.types("how are you?")?;
    screen.press(&["Enter"])?;
    screen.wait("Sam's message, stored", |text| row(text, "Hello everyone").is_some_and(|row| row.contains(':')))?;
    tell(&direct, &["--user", "ann", "send", "general", "Fine, @sam, and you?"])?;
    screen.wait_for("Fine, @sam, and you?")?;
    screen.types("/react 👍")?;
    screen.press(&["Enter"])?;
    screen.wait_for("👍 1")?;
    screen.types("/edit Hello all")?;
    screen.press(&["Enter"])?;
    screen.wait_for("Hello all (edited)")?;
    let talked = screen.wait("nobody typing", |text| !text.contains("typing"))?;
    seen::check("talked", &talked)?;

    // Back to the first message of all, and to the newest again.
    let started = Instant::now();
    let first = |text: &str| text.lines().any(|row| row.ends_with(" message 1"));
    while !first(&screen.screen()?) {
        screen.press_often("PageUp", 20)?;
        if started.elapsed() > Duration::from_secs(60) {
            return Err(format!("the first message was not reached:\n{}", screen.screen()?).into());
        }
    }
    println!("conversation: scrolled back through {MESSAGES} messages in {:.1} s", started.elapsed().as_secs_f32());
    seen::check("beginning", &screen.screen()?)?;
    screen.press(&["End"])?;
    let back = screen.wait_for("Hello all (edited)")?;
    seen::check("back", &back)?;

    // A paste of 10,000 lines is a text like any other, only too long.
    let paste = folder.join("paste");
    fs::write(&paste, (1..=10_000).map(|n| format!("pasted line {n}\n")).collect::<String>())?;
    screen.paste(&paste)?;
    screen.wait_for("pasted line 10000")?;
    screen.press(&["Enter"])?;
    screen.wait_for("too long by")?;
    screen.press(&["C-c"])?;
    screen.wait_for("say something")?;

    // The network is gone: what is said now is kept.
    network.set_black_hole(BlackHole { up: true, down: true, refuse: true });
    network.cuts().allow(usize::MAX / 2);
    network.cut();
    screen.wait_for("offline, next try")?;
    screen.types("said without a network")?;
    screen.press(&["Enter"])?;
    let offline = screen.wait_for("1 unsent")?;
    seen::check("offline", &offline.replace(" · 1 unsent", ""))?;
    tell(&direct, &["--user", "ann", "send", "general", "are you still there?"])?;
    network.heal();
    screen.wait_for("are you still there?")?;
    let again = screen.wait("what was said, stored", |text| {
        row(text, "said without a network").is_some_and(|row| row.contains(':')) && !text.contains("unsent")
    })?;
    seen::check("online-again", &again)?;

    // A small terminal, and a large one again.
    screen.resize(40, 10)?;
    let small = screen.wait("a small screen", |text| !text.contains('│') && text.contains("are you"))?;
    seen::check("small", &small)?;
    screen.resize(90, 24)?;
    let large = screen.wait("a large screen", |text| text.contains('│') && text.contains("message 5000"))?;
    seen::check("online-again", &large)?;

    // The keys, another room, and the end.
    screen.press(&["?"])?;
    seen::check("help", &screen.wait_for("keys and commands")?)?;
    screen.press(&["Escape"])?;
    // What follows at once would be Alt and a key.
    screen.wait("no help", |text| !text.contains("keys and commands"))?;
    screen.types("/join ran")?;
    screen.press(&["Tab", "Enter"])?;
    screen.wait_for("Is anybody here?")?;
    screen.wait_for(" random  1 here: sam")?;
    screen.press(&["C-c"])?;
    screen.wait_for("Ctrl+C again to quit")?;
    screen.press(&["C-c"])?;
    screen.wait_for("[ended with 0]")?;

    // The next time both rooms are there, and nothing is unsent.
    let screen = Tmux::start(&folder, (90, 24), &command(&address, "--user sam chat general")?)?;
    screen.wait("both rooms joined", |text| {
        text.contains("said without a network") && !text.contains("unsent") && !text.contains("──────│")
    })?;
    screen.press(&["C-n"])?;
    screen.wait_for("Is anybody here?")?;
    screen.press(&["C-d"])?;
    screen.wait_for("[ended with 0]")?;
    Ok(())
}

/// The row with this on it.
fn row<'a>(screen: &'a str, text: &str) -> Option<&'a str> {
    screen.lines().find(|row| row.contains(text))
}
