//! A room, as the bench knows it: what was acked in it, and what its receivers have heard.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use grpc_chat_client::{Body, ConnectionState, Events, Update, Verdict, sanitize};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

use super::heard::{Heard, Log, Reach};
use super::pace::Ticket;
use super::run::{Run, Watch};

/// What a receiver takes before it says how far it is.
const BATCH: usize = 64;

/// The room, as the bench knows it.
pub(super) struct Hall {
    run: Arc<Run>,
    /// What was acked, in all.
    acked: Mutex<Log>,
    /// What each receiver has heard.
    heard: Vec<Mutex<Heard>>,
    reach: Mutex<Reach>,
    /// Everyone has heard more than before.
    moved: Notify,
    /// Who sends, where a message that everyone has heard gives leave to send another one; each in turn.
    takers: Option<Vec<UnboundedSender<Ticket>>>,
}

impl Hall {
    pub(super) fn new(run: Arc<Run>, receivers: u32, takers: Option<Vec<UnboundedSender<Ticket>>>) -> Self {
        Self {
            run,
            acked: Mutex::default(),
            heard: (0..receivers).map(|_| Mutex::default()).collect(),
            reach: Mutex::new(Reach::new(receivers)),
            moved: Notify::new(),
            takers,
        }
    }

    /// One receiver, until the client is over.
    pub(super) async fn listen(self: Arc<Self>, index: usize, mut events: Events) -> Result<(), String> {
        let mut watch = Watch::default();
        let mut deliveries = Vec::new();
        while let Some(update) = events.next().await {
            let mut next = Some(update);
            while let Some(update) = next.take() {
                self.told(index, update, &mut watch, &mut deliveries).map_err(|why| receiver(index, &why))?;
                // What is there already is dealt with in one go.
                if deliveries.len() < BATCH {
                    next = events.try_next();
                }
            }
            self.delivered(index, &deliveries);
            deliveries.clear();
        }
        Ok(())
    }

    fn told(
        &self,
        index: usize,
        update: Update,
        watch: &mut Watch,
        deliveries: &mut Vec<(u64, u64)>,
    ) -> Result<(), String> {
        match update {
            Update::Event(event) => {
                let Body::Posted { text, .. } = &event.body else { return Ok(()) };
                // Others may talk in a room that was named.
                let Some(stamp) = self.run.read(text) else { return Ok(()) };
                let now = self.run.clock.now();
                lock(&self.heard[index]).next(event.seq, stamp.sender, stamp.number)?;
                deliveries.push((stamp.at, now));
                Ok(())
            }
            Update::Joined(joined) => match joined.verdict {
                Verdict::Reset(reason) => Err(format!("what was missed does not come any more: {reason}")),
                Verdict::Live | Verdict::Recovered => Ok(()),
            },
            Update::Connection(connection) => {
                watch.told(&self.run, &connection);
                match connection {
                    ConnectionState::Failed(why) => Err(sanitize(&why.to_string()).into_owned()),
                    _ => Ok(()),
                }
            }
            Update::JoinRefused { why, .. } => Err(sanitize(&why.to_string()).into_owned()),
            _ => Ok(()),
        }
    }

    fn delivered(&self, index: usize, deliveries: &[(u64, u64)]) {
        if deliveries.is_empty() {
            return;
        }
        self.run.tally.all_answered(index, deliveries);
        let more = deliveries.len() as u64;
        let before = lock(&self.heard[index]).log.count - more;
        let mut reach = lock(&self.reach);
        let (first, newly) = (reach.by_all(), reach.heard(before, more));
        drop(reach);
        if newly == 0 {
            return;
        }
        self.moved.notify_one();
        let Some(takers) = &self.takers else { return };
        for message in first..first + newly {
            // It does not matter any more when the run is over.
            let _ = takers[message as usize % takers.len()].send(Ticket::Now);
        }
    }

    /// A message was acked, with this place in the room.
    pub(super) fn acked(&self, seq: u64, sender: u32, number: u64) {
        lock(&self.acked).add(seq, sender, number);
    }

    /// How many were acked so far.
    pub(super) fn acked_so_far(&self) -> u64 {
        lock(&self.acked).count
    }

    /// Resolves when everyone has heard as much as was acked. To be called when all is acked.
    pub(super) async fn all_heard(&self) {
        let acked = self.acked_so_far();
        while lock(&self.reach).by_all() < acked {
            self.moved.notified().await;
        }
    }

    /// # Errors
    ///
    /// A sentence, if a receiver has heard anything else than what was acked.
    pub(super) fn check(&self) -> Result<(), String> {
        let acked = *lock(&self.acked);
        let check =
            |(index, heard): (usize, &Mutex<Heard>)| lock(heard).check(&acked).map_err(|why| receiver(index, &why));
        self.heard.iter().enumerate().try_for_each(check)
    }

    /// Who is behind, beside why the bench has failed.
    pub(super) fn behind(&self, why: String) -> String {
        let acked = self.acked_so_far();
        let counts = self.heard.iter().map(|heard| lock(heard).log.count);
        match counts.enumerate().min_by_key(|(_, count)| *count) {
            Some((index, count)) if count < acked => {
                format!("{why}; {acked} messages were acked, and receiver {} has heard {count}", index + 1)
            }
            _ => why,
        }
    }
}

fn receiver(index: usize, what: &str) -> String {
    format!("receiver {}: {what}", index + 1)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use grpc_chat_client::{Code, Event, Joined, MsgId, Refused, ResetReason};
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use super::*;

    fn hall(receivers: u32, senders: usize) -> (Hall, Vec<UnboundedReceiver<Ticket>>) {
        let (takers, taken) = (0..senders).map(|_| unbounded_channel()).unzip();
        (Hall::new(Arc::new(Run::new(64).unwrap()), receivers, Some(takers)), taken)
    }

    fn event(seq: u64, text: String) -> Update {
        Update::Event(Event {
            room: "r".parse().unwrap(),
            seq,
            prev_seq: seq - 1,
            time: SystemTime::UNIX_EPOCH,
            sender: "u".to_owned(),
            device: String::new(),
            id: MsgId([0; 16]),
            body: Body::Posted { text, reply_to: None, erased: false },
        })
    }

    /// What a receiver is told in one go.
    fn told(hall: &Hall, index: usize, updates: Vec<Update>) -> Result<(), String> {
        let (mut watch, mut deliveries) = (Watch::default(), Vec::new());
        updates.into_iter().try_for_each(|update| hall.told(index, update, &mut watch, &mut deliveries))?;
        hall.delivered(index, &deliveries);
        Ok(())
    }

    fn messages(hall: &Hall, numbers: std::ops::Range<u64>) -> Vec<Update> {
        numbers.map(|number| event(number + 1, hall.run.text(0, number, 0))).collect()
    }

    #[test]
    fn what_everyone_has_heard_gives_leave_to_each_sender_in_turn() {
        let (hall, mut taken) = hall(2, 2);
        let mut given =
            || taken.iter_mut().map(|taken| std::iter::from_fn(|| taken.try_recv().ok()).count()).sum::<usize>();
        told(&hall, 0, messages(&hall, 0..5)).unwrap();
        assert_eq!(given(), 0);
        told(&hall, 1, messages(&hall, 0..3)).unwrap();
        assert_eq!(given(), 3);
        told(&hall, 1, messages(&hall, 3..5)).unwrap();
        assert_eq!(given(), 2);
        assert_eq!(hall.run.tally.count(), 10);
    }

    #[test]
    fn each_receiver_has_to_have_heard_what_was_acked() {
        let (hall, _taken) = hall(2, 1);
        (0..3).for_each(|number| hall.acked(number + 1, 0, number));
        told(&hall, 0, messages(&hall, 0..3)).unwrap();
        told(&hall, 1, messages(&hall, 0..2)).unwrap();
        assert_eq!(hall.check().unwrap_err(), "receiver 2: 2 messages came, and 3 were acked");
        let why = hall.behind("nothing comes".to_owned());
        assert_eq!(why, "nothing comes; 3 messages were acked, and receiver 2 has heard 2");
        told(&hall, 1, messages(&hall, 2..3)).unwrap();
        hall.check().unwrap();
        assert_eq!(hall.behind("nothing comes".to_owned()), "nothing comes");
    }

    #[test]
    fn others_may_talk_in_the_room() {
        let (hall, _taken) = hall(1, 1);
        let other = Run::new(64).unwrap().text(0, 0, 0);
        told(&hall, 0, vec![event(1, "Hi".to_owned()), event(2, other), event(3, hall.run.text(0, 0, 0))]).unwrap();
        hall.acked(3, 0, 0);
        hall.check().unwrap();
    }

    #[test]
    fn what_must_not_happen_is_an_error_at_once() {
        let (hall, _taken) = hall(1, 1);
        let twice = messages(&hall, 0..2).into_iter().chain(messages(&hall, 1..2)).collect();
        assert_eq!(told(&hall, 0, twice).unwrap_err(), "event 2 came after event 2");

        let verdict = Verdict::Reset(ResetReason::Epoch);
        let joined = Joined { room: "r".parse().unwrap(), verdict, epoch: 1, start: 0, head: 0, oldest: 0, read: 0 };
        assert!(told(&hall, 0, vec![Update::Joined(joined)]).unwrap_err().contains("begun anew"));

        let refused = || Refused::new(Code::PermissionDenied, "no\u{1b}");
        let lost = Update::Connection(ConnectionState::Failed(refused()));
        let not_joined = Update::JoinRefused { room: "r".parse().unwrap(), why: refused() };
        for update in [lost, not_joined] {
            assert_eq!(told(&hall, 0, vec![update]).unwrap_err(), "no\u{FFFD}");
        }
    }
}
