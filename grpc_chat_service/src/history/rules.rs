//! The rules that a draft must satisfy, given what is stored already: the same for every store.

use super::{AppendError, Expected, MAX_EDITS};
use crate::model::{Account, Change, Draft, Epoch, Event};
use crate::rates::{Kind, Rates};

/// Checks that an account may create a room.
pub(super) fn check_new_room(rates: &Rates, account: &Account) -> Result<(), AppendError> {
    rates.check(Kind::NewRooms, account).map_err(AppendError::NewRooms)
}

/// Checks that a draft whose `client_msg_id` is already stored asks for the same change, and so is a duplicate.
pub(super) fn check_repeat(draft: &Draft, stored: &Event) -> Result<(), AppendError> {
    if stored.erased || stored.draft.change == draft.change { Ok(()) } else { Err(AppendError::Conflict) }
}

/// Whether a draft is refused where there is no room for anything new. A message is deleted once, so what all deletes need is
/// bounded by what is stored.
pub(super) fn needs_room(draft: &Draft) -> bool {
    !matches!(draft.change, Change::Delete { .. })
}

/// Checks that a draft may refer to `target`, the event that [`Change::target`] names, if it exists in the `current` epoch.
pub(super) fn check_target(
    draft: &Draft,
    expected: Expected,
    current: Epoch,
    target: Option<&Event>,
) -> Result<(), AppendError> {
    if expected.epoch.is_some_and(|epoch| epoch != current) {
        return Err(AppendError::OtherEpoch);
    }
    if let (Some(expected), Some(target)) = (expected.target, target)
        && expected != target.draft.client_msg_id
    {
        return Err(AppendError::Forked);
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

/// Checks that a message that has been edited `edits` times may be edited again.
pub(super) fn check_edits(edits: usize) -> Result<(), AppendError> {
    if edits < MAX_EDITS { Ok(()) } else { Err(AppendError::TooManyEdits) }
}

/// Returns the event since which a reaction is as asked: `last`, the sender's last event about it, or `message` if there is
/// none. `None` if the reaction changes something.
pub(super) fn reaction_since<'a>(remove: bool, last: Option<&'a Event>, message: &'a Event) -> Option<&'a Event> {
    match last {
        None => remove.then_some(message),
        Some(last) => matches!(last.draft.change, Change::React { remove: was, .. } if was == remove).then_some(last),
    }
}
