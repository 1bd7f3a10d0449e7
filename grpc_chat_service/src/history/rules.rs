//! What a draft needs of what is stored already: the same for every store.

use super::AppendError;
use crate::model::{Change, Draft, Epoch, Event};

/// Whether a draft whose `client_msg_id` is stored already asks for the same: if so it is a duplicate.
pub(super) fn check_repeat(draft: &Draft, stored: &Event) -> Result<(), AppendError> {
    if stored.erased || stored.draft.change == draft.change { Ok(()) } else { Err(AppendError::Conflict) }
}

/// Whether a draft may be about `target`, which is what [`Change::about`] names, if there is such an event in this life of
/// the history.
pub(super) fn check_target(draft: &Draft, epoch: Epoch, target: Option<&Event>) -> Result<(), AppendError> {
    if draft.epoch != 0 && draft.epoch != epoch {
        return Err(AppendError::OtherEpoch);
    }
    let message = target.filter(|event| !event.erased && matches!(event.draft.change, Change::Post { .. }));
    match (&draft.change, message) {
        (_, None) => Err(AppendError::NoSuchMessage),
        (Change::Edit { .. } | Change::Delete { .. }, Some(message)) if message.draft.sender != draft.sender => {
            Err(AppendError::NotTheAuthor)
        }
        _ => Ok(()),
    }
}

/// Takes the text out of a message or an edit.
pub(super) fn erase(event: &mut Event) {
    event.erased = true;
    if let Change::Post { text, .. } | Change::Edit { text, .. } = &mut event.draft.change {
        *text = String::new();
    }
}

/// What an event weighs against [`super::Page::bytes`].
pub(super) fn text_bytes(change: &Change) -> usize {
    match change {
        Change::Post { text, .. } | Change::Edit { text, .. } => text.len(),
        Change::React { reaction, .. } => reaction.len(),
        Change::Delete { .. } => 0,
    }
}
