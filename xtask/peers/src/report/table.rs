//! The results as a table in Markdown.

use std::fmt::Write;

use super::{Results, Row, Work};
use crate::measure::Sample;
use crate::protocol::number::TEXT;
use crate::servers::{Kind, Peer};
use crate::workload::Unit;

/// What builds of our service are compared with: a column of ratios.
#[derive(Clone, Copy)]
enum Reference<'a> {
    Peer(Peer),
    /// The first of several builds, with this name.
    FirstBuild(&'a str),
}

pub(crate) fn render(results: &Results) -> String {
    let references = references(results);
    let mut table = String::from("| work | server | cost | messages/s | generator |");
    for reference in &references {
        let name = match reference {
            Reference::Peer(peer) => peer.name(),
            Reference::FirstBuild(name) => name,
        };
        put(&mut table, format_args!(" of {name} |"));
    }
    put(&mut table, format_args!("\n|{}\n", " --- |".repeat(5 + references.len())));
    for work in &results.works {
        for (nth, row) in work.rows.iter().enumerate() {
            let title = if nth == 0 { work.workload.title } else { "" };
            put(&mut table, format_args!("| {title} | {} | {} |", row.name, cells(work, row)));
            for reference in &references {
                put(&mut table, format_args!(" {} |", ratio(results, work, row, *reference)));
            }
            table.push('\n');
        }
    }
    table + &notes(results)
}

/// Returns the columns of ratios.
fn references(results: &Results) -> Vec<Reference<'_>> {
    let rows = || results.works.iter().flat_map(|work| &work.rows);
    let is_build = |row: &&Row, nth| matches!(row.kind, Kind::Ours { build, .. } if build == nth);
    let first_of_several = rows().find(|row| is_build(row, 0)).filter(|_| rows().any(|row| is_build(&row, 1)));
    let first_name = first_of_several.map(|row| row.name.rsplit_once(',').map_or(&row.name[..], |(name, _)| name));
    first_name.map(Reference::FirstBuild).into_iter().chain(Peer::ALL.map(Reference::Peer)).collect()
}

fn cells(work: &Work, row: &Row) -> String {
    if row.failure.is_some() {
        return "**failed** |  | ".to_owned();
    }
    let cost = row.cost(work.workload.unit).map(|cost| match work.workload.unit {
        Unit::Cpu => format!("{} µs ({} to {})", short(cost.median()), short(cost.min()), short(cost.max())),
        Unit::Latency => format!("{:.1} µs ({:.1} to {:.1})", cost.median(), cost.min(), cost.max()),
        Unit::Memory => format!("{:.1} KB ({:.1} to {:.1})", cost.median(), cost.min(), cost.max()),
    });
    let rate = row.per_second().map(|rate| thousands(rate.median()));
    let mark = if work.has_heavy_generator(row) { " †" } else { "" };
    let generator = row.generator().map(|generator| format!("{} µs{mark}", short(generator.median())));
    format!("{} | {} | {}", cost.unwrap_or_default(), rate.unwrap_or_default(), generator.unwrap_or_default())
}

fn ratio(results: &Results, work: &Work, row: &Row, reference: Reference<'_>) -> String {
    let Kind::Ours { build, store } = row.kind else { return String::new() };
    let wanted = match reference {
        Reference::Peer(peer) => Kind::Peer(peer),
        Reference::FirstBuild(_) if build == 0 => return String::new(),
        Reference::FirstBuild(_) => Kind::Ours { build: 0, store },
    };
    match work.rows.iter().find(|row| row.kind == wanted) {
        Some(other) => row.ratio(other, work.workload.unit).map(|ratio| times(&ratio)).unwrap_or_default(),
        None => {
            let is_missing = results.missing.iter().any(|(missing, _)| Kind::Peer(*missing) == wanted);
            if is_missing && work.workload.is_for(wanted) { "not measured".to_owned() } else { String::new() }
        }
    }
}

/// Returns what a reader has to know about the table.
fn notes(results: &Results) -> String {
    let (machine, plan) = (&results.machine, results.plan);
    let mut notes = format!(
        "\n{}, {} cores, {}; the server on one core, the load on another. Messages of {TEXT} bytes of text. Rounds per \
         server: {}, of {} s, in turn: medians, with the range; a ratio is that of rounds next to each other.\n",
        machine.processor,
        machine.cores,
        machine.kernel,
        plan.rounds,
        plan.times.measured.as_secs_f64(),
    );
    let others = results.works.iter().flat_map(|work| &work.rows).flat_map(Row::others);
    if let Some(others) = Sample::new(others) {
        let (median, max) = (100.0 * others.median(), 100.0 * others.max());
        put(
            &mut notes,
            format_args!("Everything else on the machine used {median:.0} % of a core (at most {max:.0} %).\n"),
        );
    }
    notes += "\"cost\" is the server's CPU time for a message that arrived, unless it says otherwise, and \"generator\" the load \
              generator's.\n";
    if results.works.iter().any(|work| work.rows.iter().any(|row| work.has_heavy_generator(row))) {
        notes += "† The generator took more than a third of the server's time: the server may have waited for it, and cost \
                  more for it.\n";
    }
    for (peer, reason) in &results.missing {
        put(&mut notes, format_args!("{} was not measured: {reason}.\n", peer.name()));
    }
    for failure in results.failures() {
        put(&mut notes, format_args!("Failed: {failure}.\n"));
    }
    notes
}

/// Formats with three significant digits.
fn short(value: f64) -> String {
    let decimals = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else if value >= 1.0 {
        2
    } else {
        3
    };
    format!("{value:.decimals$}")
}

fn times(ratio: &Sample) -> String {
    format!("{:.2}x", ratio.median())
}

/// Formats with commas between groups of digits.
fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut formatted = String::new();
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth) % 3 == 0 {
            formatted.push(',');
        }
        formatted.push(digit);
    }
    formatted
}

fn put(to: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = to.write_fmt(arguments);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, formatted) in
            [(0.0745, "0.074"), (0.5261, "0.526"), (4.349, "4.35"), (48.94, "48.9"), (760.4, "760")]
        {
            assert_eq!(short(value), formatted);
        }
        for (value, formatted) in [(7.4, "7"), (999.0, "999"), (1_000.0, "1,000"), (12_345_678.9, "12,345,679")] {
            assert_eq!(thousands(value), formatted);
        }
    }
}
