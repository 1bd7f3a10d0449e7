//! `screen load`: what it costs to watch a busy room, measured with a release build.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use faults::block_on;
use faults::site::Site;
use grpc_chat_client::{Change, Client, Config, Draft, ParseError, RoomId, connect};
use xtask::service::{self, Start};
use xtask::{Outcome, cargo};

use crate::tmux::Tmux;

/// Messages a second, and for how many seconds.
const A_SECOND: u32 = 60;
const SECONDS: u32 = 60;

/// Messages seen when memory is measured first, and last.
const FIRST: usize = 20_000;
const LAST: usize = 100_000;

/// The limits: the share of a core, messages that are not on the screen yet, and growth between the two measurements.
const SHARE: f64 = 0.10;
const BEHIND: usize = A_SECOND as usize;
const GROWTH: f64 = 1.10;

pub(super) fn run() -> Outcome {
    let build = ["build", "--release", "--package", "grpc_chat_service", "--package", "grpc_chat_client", "--bins"];
    if !cargo().args(build).status()?.success() {
        return Err("the workspace does not build; see above".into());
    }
    let site = Site::new()?;
    let folder = site.path("home");
    fs::create_dir_all(&folder)?;
    let mut serve = Command::new(released("grpc_chat_service")?);
    serve.args(service::FREE_PORT).args(["--memory", "--no-rates"]).stderr(Stdio::null());
    let Start::Listening(service) = service::start_as(&mut serve)? else {
        return Err("the service does not start".into());
    };
    let address = service.address().to_owned();
    let watch = format!("'{}' --server {address} --user sam chat busy", released("grpc_chat_client")?.display());
    let screen = Tmux::start(&folder, (120, 40), &watch)?;
    screen.wait_for("nobody has said anything")?;
    let process = screen.process("grpc_chat_client")?;
    block_on(async {
        let (client, events) = connect(Config::new(format!("http://{address}").parse()?, "ann".parse()?)).await?;
        drop(events);
        let paced = pace(&client, &screen, process).await?;
        println!(
            "{A_SECOND} messages a second for {SECONDS} s: {:.1} % of a core, at most {} messages behind",
            paced.share * 100.0,
            paced.behind
        );
        let sent = paced.sent;
        flood(&client, &screen, sent, FIRST).await?;
        let first = resident(process)?;
        flood(&client, &screen, FIRST, LAST).await?;
        let last = resident(process)?;
        println!("memory: {first} KiB with {FIRST} messages seen, {last} KiB with {LAST}");
        if paced.share > SHARE || paced.behind > BEHIND || last as f64 > first as f64 * GROWTH {
            return Err(format!(
                "more than it may: {:.0} % of a core, {BEHIND} messages behind, {:.0} % growth",
                SHARE * 100.0,
                (GROWTH - 1.0) * 100.0
            )
            .into());
        }
        client.close(Duration::from_secs(5)).await.map_err(|why| why.to_string())?;
        Ok(())
    })?;
    screen.press(&["C-c", "C-c"])?;
    screen.wait_for("[ended with 0]")?;
    let status = service.stop()?;
    if status.success() { Ok(()) } else { Err(format!("the service ended with {status}").into()) }
}

struct Paced {
    share: f64,
    behind: usize,
    sent: usize,
}

/// Sends messages at a fixed rate, and checks once a second how far the screen has come.
async fn pace(client: &Client, screen: &Tmux, process: u32) -> Result<Paced, Box<dyn Error>> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / A_SECOND);
    let (began, before) = (Instant::now(), cpu(process)?);
    let (mut sent, mut behind) = (0, 0);
    for _ in 0..SECONDS {
        for _ in 0..A_SECOND {
            ticks.tick().await;
            sent += 1;
            client.post(message(sent)?).await?;
        }
        let shown = tokio::task::block_in_place(|| screen.screen())?;
        behind = behind.max(sent - newest(&shown));
    }
    let share = (cpu(process)? - before).as_secs_f64() / began.elapsed().as_secs_f64();
    Ok(Paced { share, behind, sent })
}

/// Sends messages as fast as they are stored, until so many are sent and on the screen.
async fn flood(client: &Client, screen: &Tmux, from: usize, upto: usize) -> Outcome {
    for n in from + 1..=upto {
        // It waits while too many are unsent.
        drop(client.enqueue(message(n)?).await?);
    }
    client.flush().await?;
    tokio::task::block_in_place(|| screen.wait("the last message", |text| newest(text) == upto))?;
    Ok(())
}

fn message(n: usize) -> Result<Draft, ParseError> {
    let text = format!("message {n} is as long as messages are, in rooms as they are, on most days");
    Ok(Draft::new("busy".parse::<RoomId>()?, Change::post(text)))
}

/// Returns the highest number on the screen.
fn newest(screen: &str) -> usize {
    let numbers = screen.split("message ").filter_map(|rest| rest.split(' ').next()?.parse().ok());
    numbers.max().unwrap_or(0)
}

/// Returns the CPU time of all threads of a process.
fn cpu(process: u32) -> Result<Duration, Box<dyn Error>> {
    let mut nanoseconds = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let schedstat = fs::read_to_string(thread?.path().join("schedstat"))?;
        nanoseconds += schedstat.split(' ').next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Returns the resident memory of a process, in KiB.
fn resident(process: u32) -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(line.and_then(|line| line.split_whitespace().next()).ok_or("the process's memory is not in /proc")?.parse()?)
}

/// Returns the path of a program of the release build.
fn released(name: &str) -> Result<PathBuf, Box<dyn Error>> {
    let tested = service::program(name)?;
    let target = tested.parent().and_then(|folder| folder.parent()).ok_or("there is no target folder")?;
    Ok(target.join("release").join(tested.file_name().unwrap_or_default()))
}
