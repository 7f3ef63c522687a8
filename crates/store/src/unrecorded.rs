//! Runs without a record: what they ask of the database is whether they may go.

use crate::{Store, StoreError};
use uuid::Uuid;

impl Store {
    /// Whether a run of this tenant with this credential may be sent without a record: nothing is paused, and the tenant has no
    /// limits, which count records.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn may_go_unrecorded(
        &self,
        tenant: Uuid,
        credential: Uuid,
    ) -> Result<bool, StoreError> {
        let may = sqlx::query_scalar!(
            r#"
            select coalesce(c.paused_until <= now(), true) and not is_paused(c.credential_id, $1)
                   and not exists (select 1 from tenant_limits l where l.tenant_id = $1) as "may!"
            from credential_limits c where c.credential_id = $2
            "#,
            tenant,
            credential,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(may.unwrap_or(false))
    }
}
