//! Why a request was refused, or why a call failed.

use prost::Message;
use stubs::chat::v1 as pb;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// A status with its details, from an Error frame or from the trailers.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) details: ErrorDetails,
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self { code: status.code(), message: status.message().to_owned(), details: status.get_error_details() }
    }
}

impl From<pb::Error> for Refusal {
    fn from(error: pb::Error) -> Self {
        let status = error.status.unwrap();
        let encoded = status.encode_to_vec().into();
        let refusal = Self::from(Status::with_details(status.code.into(), status.message, encoded));
        assert!(pb::Reason::from_str_name(refusal.reason()).is_some(), "{refusal:?}");
        refusal
    }
}

impl Refusal {
    /// Returns the names of the invalid fields.
    pub(crate) fn fields(&self) -> Vec<&str> {
        let bad = self.details.bad_request().map(|bad| bad.field_violations.iter().map(|one| one.field.as_str()));
        bad.into_iter().flatten().collect()
    }

    /// Returns the type of the precondition that failed.
    pub(crate) fn precondition(&self) -> &str {
        &self.details.precondition_failure().expect("a PreconditionFailure").violations[0].r#type
    }

    /// Returns the machine-readable reason.
    pub(crate) fn reason(&self) -> &str {
        let info = self.details.error_info().expect("an ErrorInfo");
        assert_eq!(info.domain, "chat.v1");
        &info.reason
    }

    /// Returns the name of the limit that was exceeded.
    pub(crate) fn quota(&self) -> &str {
        &self.details.quota_failure().expect("a QuotaFailure").violations[0].subject
    }

    /// Returns whether the status says when to try again.
    pub(crate) fn has_retry_delay(&self) -> bool {
        self.details.retry_info().is_some_and(|retry| retry.retry_delay.is_some())
    }
}
