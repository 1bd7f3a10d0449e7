//! A second process on the same data is refused, since each of the two would assign its own order to the events.

use std::time::Duration;

use super::fault::{FaultResult, Size, block_on, passed};
use super::load::clients::Clients;
use super::load::sender::Workload;
use super::route::Route;
use super::site::{Site, Store};

pub(crate) fn run(size: Size) -> FaultResult {
    block_on(async {
        let site = Site::new()?;
        let data = site.path("data");
        let first = site.start(Store::Disk(&data))?;
        let Some((status, message)) = site.refusal(Store::Disk(&data))? else {
            return Err("a second process serves the same data".into());
        };
        if status.code() != Some(1) || message.is_empty() || message.contains(" / ") {
            return Err(format!("it should end with code 1 and one sentence, not with {status} and: {message}").into());
        }
        // The first process must not be affected.
        let mut clients = Clients::new(&["north"], size.seed);
        clients.add_sender(Route::Direct(site.server.clone()), Workload { drafts: 100, ..Workload::STEADY });
        if !clients.counters.acked.reaches(100, Duration::from_secs(30)).await {
            return Err("the first process acked nothing after that".into());
        }
        let tally = clients.finish(&site.server).await?;
        first.stop()?;
        passed(format!("refused with \"{message}\", {tally}"), &tally)
    })
}
