//! Tokens that were asked for while the client runs, and the callers that wait for the service to accept each. Pure.

use std::collections::VecDeque;

use crate::error::Refused;
use crate::reply::Reply;

/// The reply to a caller that waits for another token to be accepted.
type TokenReply = Reply<Result<(), Refused>>;

#[derive(Debug, Default)]
pub(super) struct Tokens {
    /// Replies to callers that wait for the token that is being fetched, if one is.
    fetching: Option<Vec<TokenReply>>,
    /// The token to send on the session that is being opened.
    unsent: Option<String>,
    /// Replies to callers that wait for a session opened with a token as new as theirs.
    opening: Vec<TokenReply>,
    /// Replies to callers that wait for the service's reply to each token that was sent, in order.
    sent: VecDeque<Vec<TokenReply>>,
}

impl Tokens {
    /// Asks for another token. Returns whether it has to be fetched; otherwise one is being fetched already.
    pub(super) fn request(&mut self, reply: TokenReply) -> bool {
        let begins = self.fetching.is_none();
        self.fetching.get_or_insert_default().push(reply);
        begins
    }

    /// A token has come, and is sent on the open session.
    pub(super) fn fetched_online(&mut self) {
        let replies = self.fetching.take().unwrap_or_default();
        self.sent.push_back(replies);
    }

    /// A token has come while a session is being opened, perhaps with an older one: it is sent once the session is open.
    pub(super) fn fetched_connecting(&mut self, token: String) {
        self.opening.extend(self.fetching.take().unwrap_or_default());
        self.unsent = Some(token);
    }

    /// A token has come and there is no session. The next one is opened with a new token anyway.
    pub(super) fn fetched_offline(&mut self) {
        reply_to_all(self.fetching.take().unwrap_or_default(), &Ok(()));
    }

    /// No token could be fetched.
    pub(super) fn failed(&mut self, why: &Refused) {
        reply_to_all(self.fetching.take().unwrap_or_default(), &Err(why.clone()));
    }

    /// A session is open. Returns the token to send on it, if there is one.
    pub(super) fn session_opened(&mut self) -> Option<String> {
        let waiting = std::mem::take(&mut self.opening);
        let unsent = self.unsent.take();
        match unsent {
            Some(_) => self.sent.push_back(waiting),
            None => reply_to_all(waiting, &Ok(())),
        }
        unsent
    }

    /// The service has replied to the token that was sent first.
    pub(super) fn replied(&mut self, outcome: &Result<(), Refused>) {
        reply_to_all(self.sent.pop_front().unwrap_or_default(), outcome);
    }

    /// The session has ended. The next one is opened with a new token.
    pub(super) fn session_ended(&mut self) {
        self.unsent = None;
        self.opening.extend(self.sent.drain(..).flatten());
    }
}

fn reply_to_all(replies: Vec<TokenReply>, outcome: &Result<(), Refused>) {
    for reply in replies {
        // The caller may have stopped waiting.
        let _ = reply.send(outcome.clone());
    }
}
