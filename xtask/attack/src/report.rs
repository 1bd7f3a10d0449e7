//! The table.

use std::time::Duration;

use crate::honest::{DEEDS, Deed, Experience, Phase};
use crate::measure::{Case, Outcome};

/// The memory that the service may use under any attack, in bytes.
pub(crate) const MEMORY: u64 = 512 * 1024 * 1024;

/// How many times as long as without an attack honest clients may have to wait.
const SLOWDOWN: f64 = 2.0;

/// What nobody notices, and a busy machine causes without an attack: a slower p99 than this counts, and no quicker one.
const UNNOTICED: Duration = Duration::from_millis(5);

/// What may be logged in each round, in bytes: a line for each session of the attackers, and some ten lines a second.
const LOGGED: u64 = 512 * 1024;

/// The heads of the columns, which [`row`] fills.
pub(crate) fn head() -> String {
    format!(
        "{:<15} {:>4} {:>5} {:>8} {:>7} {:>7} {:>6} {:>6} {:>17} {:>17} {:>17} {:>8} {:>9} {:>7}  {}",
        "attack",
        "conn",
        "rates",
        "survived",
        "peak",
        "after",
        "cpu",
        "idle",
        "sends p99",
        "joins p99",
        "pages p99",
        "log",
        "sent",
        "opened",
        "missed"
    )
}

/// A line of the table.
pub(crate) fn row(case: Case, outcome: &Outcome) -> String {
    let Outcome { peak, after, cpu, idle, logged, progress, honest, .. } = outcome;
    let p99s = DEEDS.map(|deed| honest.as_ref().and_then(|honest| slowdown(honest, deed)));
    let p99s = p99s.map(|slowdown| {
        slowdown.map_or_else(
            || "-".to_owned(),
            |(ratio, control, attack)| format!("{ratio:.1}x {}>{}", time(control), time(attack)),
        )
    });
    let missed = missed(outcome);
    format!(
        "{:<15} {:>4} {:>5} {:>8} {:>7} {:>7} {:>6} {:>6} {:>17} {:>17} {:>17} {:>8} {:>9} {:>7}  {}",
        case.attack.name,
        case.connections,
        if case.has_rates { "on" } else { "off" },
        if outcome.death.is_none() { "yes" } else { "NO" },
        mebibytes(*peak),
        mebibytes(*after),
        format!("{:.0} %", cpu * 100.0),
        idle.map_or_else(|| "never".to_owned(), |idle| format!("{:.1} s", idle.as_secs_f64())),
        p99s[0],
        p99s[1],
        p99s[2],
        format!("{:.0}K", *logged as f64 / 1024.0),
        mebibytes(progress.sent),
        progress.connections,
        if missed.is_empty() { "-".to_owned() } else { missed.join("; ") }
    )
}

/// Returns the targets that were missed.
pub(crate) fn missed(outcome: &Outcome) -> Vec<String> {
    let mut missed = Vec::new();
    if let Some(last_words) = &outcome.death {
        missed.push(format!("died ({last_words})"));
    }
    if outcome.peak > MEMORY {
        missed.push("memory".to_owned());
    }
    if outcome.death.is_none() && outcome.idle.is_none() {
        missed.push("idle".to_owned());
    }
    if outcome.is_closed && outcome.death.is_none() {
        missed.push("newcomer".to_owned());
    }
    if outcome.logged > LOGGED {
        missed.push("log".to_owned());
    }
    let Some(honest) = &outcome.honest else { return missed };
    for deed in DEEDS {
        if slowdown(honest, deed).is_some_and(|(_, control, attack)| is_slower(control, attack)) {
            missed.push(format!("{deed:?}").to_lowercase());
        }
    }
    if honest.rejected > 0 {
        missed.push(format!("{} of {} newcomers", honest.rejected, honest.newcomers));
    }
    if let Some(first) = honest.failures.first().filter(|_| outcome.death.is_none()) {
        missed.push(format!("{} failed: {first}", honest.failures.len()));
    }
    missed
}

/// Returns whether honest clients notice the difference.
pub(crate) fn is_slower(control: Duration, attack: Duration) -> bool {
    attack > UNNOTICED && attack > control.mul_f64(SLOWDOWN)
}

/// Returns how many times as long something took, and both times.
fn slowdown(honest: &Experience, deed: Deed) -> Option<(f64, Duration, Duration)> {
    let (control, attack) = (honest.p99(Phase::Control, deed)?, honest.p99(Phase::Attack, deed)?);
    Some((attack.as_secs_f64() / control.as_secs_f64(), control, attack))
}

pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{:.0}M", bytes as f64 / (1024.0 * 1024.0))
}

pub(crate) fn time(time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1e3;
    match milliseconds {
        0.0..10.0 => format!("{milliseconds:.1}ms"),
        10.0..1000.0 => format!("{milliseconds:.0}ms"),
        _ => format!("{:.1}s", time.as_secs_f64()),
    }
}
