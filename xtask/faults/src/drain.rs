//! The service is asked to leave under load, with many streams open.

use std::time::{Duration, Instant};

use tonic::Code;

use super::door::Door;
use super::fault::{Ended, Size, block_on, held};
use super::load::crew::{Crew, Pace, Until, tally};
use super::site::{Keeps, Site};

const SENDERS: usize = 4;

/// Its grace, and some.
const IN_TIME: Duration = Duration::from_secs(15);

pub(crate) fn run(size: Size) -> Ended {
    let streams = if size.small { 60 } else { 500 };
    block_on(async {
        let site = Site::new()?;
        let data = site.path("data");
        let service = site.start(Keeps::Data(&data))?;
        let mut crew = Crew::new(&["north"], size.seed);
        for _ in 0..streams {
            crew.reader(Door::Straight(site.server.clone()), false);
        }
        if !crew.counts.caught_up.reaches(streams, Duration::from_secs(60)).await {
            return Err(format!("only {} of {streams} streams opened", crew.counts.caught_up.get()).into());
        }
        for _ in 0..SENDERS {
            crew.sender(Door::Straight(site.server.clone()), Pace { text: 200, ..Pace::STEADY });
        }
        if !crew.counts.acked.reaches(1_000, Duration::from_secs(60)).await {
            return Err("1,000 sends were not acked in time".into());
        }

        let asked = Instant::now();
        let status = service.stop()?;
        let took = asked.elapsed();
        let received = crew.await_readers().await?;
        // What was said to them before the end may still have to be read. Who was not told shows below.
        let _ = crew.counts.drained.reaches(SENDERS as u64, Duration::from_secs(10)).await;
        let sent = crew.abandon_senders().await?;
        if !status.success() || took > IN_TIME {
            return Err(format!("it left with {status} after {} s: {}", took.as_secs(), site.log()).into());
        }

        let again = site.start(Keeps::Data(&data))?;
        let mut tally = tally(&crew.history(&site.server).await?, &sent, &received, Until::Stopped);
        again.stop()?;
        for reader in &received {
            if !reader.drained {
                tally.violations.push("a stream ended without Draining".to_owned());
            }
            if reader.ended != [Code::Unavailable] {
                tally.violations.push(format!("a stream ended with {:?}", reader.ended));
            }
        }
        for sender in sent.iter().filter(|sender| !sender.drained) {
            tally.violations.push(format!("a sender's stream ended without Draining: {:?}", sender.ended.first()));
        }
        held(format!("{streams} streams, left after {:.2} s, {tally}", took.as_secs_f32()), &tally)
    })
}
