//! Tokens that were asked for while the client runs, and whoever waits for each to be taken. Pure.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use crate::error::Refused;

/// Whoever waits for another token to be taken.
type Reply = oneshot::Sender<Result<(), Refused>>;

#[derive(Debug, Default)]
pub(super) struct Tokens {
    /// One is being got, for these.
    getting: Option<Vec<Reply>>,
    /// One is to be told to the session that is being opened.
    untold: Option<String>,
    /// These wait for a session that is opened with a token as new as theirs.
    opening: Vec<Reply>,
    /// Those that the session was told and has not answered, in this order.
    told: VecDeque<Vec<Reply>>,
}

impl Tokens {
    /// Somebody wants another one. Answers whether it has to be got; otherwise one is being got already.
    pub(super) fn wanted(&mut self, reply: Reply) -> bool {
        let begins = self.getting.is_none();
        self.getting.get_or_insert_default().push(reply);
        begins
    }

    /// One has come, and the session is told.
    pub(super) fn is_told(&mut self) {
        let replies = self.getting.take().unwrap_or_default();
        self.told.push_back(replies);
    }

    /// One has come, and the session that is being opened is to be told: it may have been opened with an older one.
    pub(super) fn is_untold(&mut self, token: String) {
        self.opening.extend(self.getting.take().unwrap_or_default());
        self.untold = Some(token);
    }

    /// One has come, and there is no session: the next one asks for a token itself.
    pub(super) fn is_not_needed(&mut self) {
        answer(self.getting.take().unwrap_or_default(), &Ok(()));
    }

    /// None could be got.
    pub(super) fn is_none(&mut self, why: &Refused) {
        answer(self.getting.take().unwrap_or_default(), &Err(why.clone()));
    }

    /// A session has been opened. Answers the token that it is to be told, which counts as told.
    pub(super) fn opened(&mut self) -> Option<String> {
        let waiting = std::mem::take(&mut self.opening);
        let untold = self.untold.take();
        match untold {
            Some(_) => self.told.push_back(waiting),
            None => answer(waiting, &Ok(())),
        }
        untold
    }

    /// The session has answered the one that it was told first.
    pub(super) fn answered(&mut self, outcome: &Result<(), Refused>) {
        answer(self.told.pop_front().unwrap_or_default(), outcome);
    }

    /// The session has ended, and the next one is opened with a new token.
    pub(super) fn ended(&mut self) {
        self.untold = None;
        self.opening.extend(self.told.drain(..).flatten());
    }
}

fn answer(replies: Vec<Reply>, outcome: &Result<(), Refused>) {
    for reply in replies {
        // Whoever asked may have stopped waiting.
        let _ = reply.send(outcome.clone());
    }
}
