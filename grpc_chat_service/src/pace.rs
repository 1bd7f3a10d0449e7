//! How much work is done in one turn of a connection's task.

use std::task::{Context, Poll};

use tokio::task::coop;

/// How much is done for one unit of tokio's budget, of which a turn has 128: a turn then takes a few milliseconds. Without this, a
/// window full of small requests on each of many streams would be one turn, and everybody else would wait for it.
const WORK_PER_UNIT: u32 = 16;

/// Counts work in the turn of the task that it is done on.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    work: u32,
}

impl Pace {
    /// Notes work: 1 is a message that is passed on.
    pub(crate) fn add(&mut self, work: u32) {
        self.work += work;
    }

    /// Whether the turn is over. Then the task is woken again, after others have had theirs.
    pub(crate) fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        while self.work >= WORK_PER_UNIT {
            match coop::poll_proceed(cx) {
                Poll::Ready(unit) => unit.made_progress(),
                Poll::Pending => return true,
            }
            self.work -= WORK_PER_UNIT;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_turn_is_over_after_some_work_and_another_one_follows() {
        let mut pace = Pace::default();
        let (mut turns, mut done) = (0, 0);
        std::future::poll_fn(|cx| {
            turns += 1;
            let before = done;
            while done < 10_000 && !pace.is_over(cx) {
                pace.add(1);
                done += 1;
            }
            assert!(done - before <= 128 * 16 + 16);
            if done == 10_000 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        assert!((4..=6).contains(&turns), "{turns}");
    }
}
