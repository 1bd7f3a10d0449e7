//! The results as a picture: a group of bars for each workload, on a scale of its own.

use std::fmt::Write;

use super::Results;
use crate::protocol::number::TEXT;
use crate::servers::{Kind, Store};
use crate::workload::Unit;

const WIDTH: u32 = 860;
const MARGIN: u32 = 24;

/// Where bars begin, and the length of the longest.
const BARS: u32 = 250;
const LONGEST: f64 = 440.0;

const TITLE: u32 = 30;
const BAR: u32 = 14;
const ROW: u32 = 20;
const GAP: u32 = 14;

/// Colours that are readable on either background.
const STYLE: &str = "
    .paper { fill: #fcfbf8 } .title { fill: #24292f; font-weight: 600 } text { fill: #57606a }
    .ours { fill: #1a7f64 } .disk { fill: #6fbfa5 } .peer { fill: #a8b0b9 }
    @media (prefers-color-scheme: dark) {
      .paper { fill: #16181d } .title { fill: #d6d9e0 } text { fill: #9aa4af }
      .ours { fill: #3fb891 } .disk { fill: #28705a } .peer { fill: #57606a }
    }
";

pub(crate) fn render(results: &Results) -> String {
    let mut bars = String::new();
    let mut y = MARGIN;
    for work in &results.works {
        let unit = work.workload.unit;
        let costs: Vec<_> = work.rows.iter().filter_map(|row| Some((row, row.cost(unit)?.median()))).collect();
        let longest = costs.iter().map(|(_, cost)| *cost).fold(f64::MIN_POSITIVE, f64::max);
        y += BAR;
        let title = escaped(work.workload.title);
        put(&mut bars, format_args!("<text class=\"title\" x=\"{MARGIN}\" y=\"{y}\">{title}</text>\n"));
        y += TITLE - BAR;
        for (row, cost) in costs {
            let class = match row.kind {
                Kind::Ours { store: Store::Memory, .. } => "ours",
                Kind::Ours { store: Store::Disk, .. } => "disk",
                Kind::Peer(_) => "peer",
            };
            let (width, name) = ((cost / longest * LONGEST).max(1.0), escaped(&row.name));
            let (text, end) = (y + BAR - 3, f64::from(BARS) + width + 8.0);
            let value = match unit {
                Unit::Cpu => format!("{cost:.2} µs"),
                Unit::Latency => format!("{cost:.0} µs"),
                Unit::Memory => format!("{cost:.1} KB"),
            };
            put(
                &mut bars,
                format_args!(
                    "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\">{name}</text>\
                     <rect class=\"{class}\" x=\"{BARS}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"2\"/>\
                     <text x=\"{end:.1}\" y=\"{text}\">{value}</text>\n",
                    BARS - 10
                ),
            );
            y += ROW;
        }
        y += GAP;
    }
    let machine = &results.machine;
    let caption = format!(
        "Server CPU for a message of {TEXT} bytes that arrived, unless it says otherwise; less is better. {}, {} cores, {}.",
        machine.processor, machine.cores, machine.kernel
    );
    y += GAP;
    let height = y + MARGIN;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\">\n<style>{STYLE}</style>\n\
         <rect class=\"paper\" width=\"100%\" height=\"100%\" rx=\"8\"/>\n{bars}\
         <text x=\"{MARGIN}\" y=\"{y}\">{}</text>\n</svg>\n",
        escaped(&caption)
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn put(to: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = to.write_fmt(arguments);
}
