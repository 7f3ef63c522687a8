//! A provider's rows as a bundle.

use crate::error::RunError;
use crate::{Modelrow, rows};
use diag::{Code, Diagnostic, Diagnostics, Place};
use serde_json::Value;
use store::StoreError;
use uuid::Uuid;

impl Modelrow {
    /// The rows of one provider as a bundle: references to secrets, no secrets.
    ///
    /// # Errors
    ///
    /// [`RunError::Refused`] when the tenant has no such provider, [`RunError::Store`].
    pub async fn export(&self, tenant: Uuid, provider: &str) -> Result<Value, RunError> {
        let tables = match self.store().catalogue_export(tenant, provider).await {
            Err(StoreError::NoSuchRow { .. }) => {
                return Err(RunError::Refused(self.no_such_provider(provider)));
            }
            other => other?,
        };
        Ok(profile::bundle::write(&rows::to_language(&tables)))
    }

    pub(crate) fn no_such_provider(&self, provider: &str) -> Diagnostics {
        let compiled = self.catalogue();
        let mut known: Vec<_> = compiled
            .revisions
            .iter()
            .map(|entry| entry.key.provider.clone())
            .collect();
        known.sort_unstable();
        known.dedup();
        Diagnostics(vec![Diagnostic::error(
            Code::X111,
            Place::pointer("/provider"),
            format!("there is no provider `{provider}`"),
            format!("providers are: {}", known.join(", ")),
        )])
    }
}
