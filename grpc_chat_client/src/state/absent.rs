//! Stands in for the state file where the feature `state` is off: no value of [`State`] exists.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::error::{SaveError, StateError};
use crate::model::{Cursor, Draft, MsgId, RoomId, SavedState};

#[derive(Debug)]
pub(crate) enum State {}

impl State {
    pub(crate) async fn open(path: PathBuf) -> Result<(Self, SavedState), StateError> {
        Err(StateError::Io(path, "the program was built without the feature `state`".to_owned()))
    }

    pub(crate) fn save(&self, _: Draft) {
        match *self {}
    }

    pub(crate) fn remove(&self, _: MsgId) {
        match *self {}
    }

    pub(crate) fn set_owner(&self, _: String) {
        match *self {}
    }

    pub(crate) fn seen(&self, _: HashMap<RoomId, Cursor>) {
        match *self {}
    }

    pub(crate) async fn problem(&mut self) -> Option<String> {
        match *self {}
    }

    pub(crate) async fn close(self) -> Result<(), SaveError> {
        match self {}
    }
}
