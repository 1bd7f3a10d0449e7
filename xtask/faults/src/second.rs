//! Two processes on the same data would each think that they order it.

use super::door::Door;
use super::fault::{Ended, Size, block_on, held};
use super::load::crew::{Crew, Pace};
use super::site::{Keeps, Site};

pub(crate) fn run(size: Size) -> Ended {
    block_on(async {
        let site = Site::new()?;
        let data = site.path("data");
        let first = site.start(Keeps::Data(&data))?;
        let Some((status, said)) = site.refused(Keeps::Data(&data))? else {
            return Err("a second process serves the same data".into());
        };
        if status.code() != Some(1) || said.is_empty() || said.contains(" / ") {
            return Err(format!("it should end with code 1 and a sentence, and ended with {status}: {said}").into());
        }
        // The first one has not noticed.
        let mut crew = Crew::new(&["north"], size.seed);
        crew.sender(Door::Straight(site.server.clone()), Pace { most: 100, ..Pace::STEADY });
        if !crew.counts.acked.reaches(100, std::time::Duration::from_secs(30)).await {
            return Err("after that the first process acked nothing more".into());
        }
        let tally = crew.settle(&site.server).await?;
        first.stop()?;
        held(format!("refused with \"{said}\", {tally}"), &tally)
    })
}
