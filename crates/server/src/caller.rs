//! Who calls. Without API keys everybody is the default tenant.

use runtime::RunRequest;
use uuid::Uuid;

/// Whose runs this call may make and see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) tenant: Uuid,
}

impl Caller {
    /// The tenant that the library uses when none is named.
    pub(crate) fn anyone() -> Self {
        Self {
            tenant: RunRequest::new(String::new()).tenant,
        }
    }
}
