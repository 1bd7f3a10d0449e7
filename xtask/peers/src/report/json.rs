//! The results as JSON, with every round.

use serde_json::{Value, json};

use super::{Results, Row};
use crate::measure::Round;
use crate::workload::Unit;

pub(crate) fn render(results: &Results) -> String {
    let (machine, plan) = (&results.machine, results.plan);
    let works: Vec<Value> = results
        .works
        .iter()
        .map(|work| {
            let unit = match work.workload.unit {
                Unit::Cpu => "server_cpu_us",
                Unit::Latency => "latency_p50_us",
                Unit::Memory => "memory_kb",
            };
            let servers: Vec<Value> = work.rows.iter().map(server).collect();
            json!({ "name": work.workload.name, "title": work.workload.title, "compared": unit, "servers": servers })
        })
        .collect();
    let missing: Vec<Value> =
        results.missing.iter().map(|(peer, reason)| json!({ "name": peer.name(), "reason": reason })).collect();
    let content = json!({
        "machine": { "processor": machine.processor, "cores": machine.cores, "kernel": machine.kernel },
        "warm_up_s": plan.times.warm_up.as_secs_f64(),
        "round_s": plan.times.measured.as_secs_f64(),
        "works": works,
        "missing": missing,
    });
    format!("{content:#}\n")
}

fn server(row: &Row) -> Value {
    let rounds: Vec<Value> = row
        .rounds
        .iter()
        .map(|round| match *round {
            Round::Load { per_second, server, generator, others, latency } => json!({
                "messages_per_s": per_second,
                "server_cpu_us": server,
                "generator_cpu_us": generator,
                "other_cores": others,
                "latency_p50_us": latency,
            }),
            Round::Idle { kilobytes } => json!({ "memory_kb": kilobytes }),
        })
        .collect();
    json!({ "name": row.name, "failure": row.failure, "rounds": rounds })
}
