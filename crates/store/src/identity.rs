//! Which database this is, and whether it went back in time.

use crate::{Store, StoreError};
use uuid::Uuid;

/// What the operator has declared about failover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failover {
    /// A standby may lag: after a change every live run is held.
    MayLose,
    /// The standby is synchronous: nothing is held.
    Lossless,
}

impl Store {
    /// Compares the server with the recorded identity, and on a change records it and holds every live run, once.
    /// `None`: the same database; else the runs that are held now.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn database_rewound(
        &self,
        failover: Failover,
    ) -> Result<Option<Vec<Uuid>>, StoreError> {
        let mut tx = self.pool.begin().await?;
        // A server that does not tell reads 'unknown': no proof of a change.
        let changed = sqlx::query_scalar!(
            r#"
            update database_identity d set timeline = n.timeline, system_identifier = n.system_identifier, rewound_at = now()
            from database_identity_now() n
            where (n.timeline <> 'unknown' and d.timeline <> n.timeline)
               or (n.system_identifier <> 'unknown' and d.system_identifier <> n.system_identifier)
            returning true as "changed!"
            "#
        )
        .fetch_optional(&mut *tx)
        .await?;
        if changed.is_none() {
            return Ok(None);
        }
        let held = sqlx::query_scalar!(
            "update run_states set held = true where ended_at is null and not held and not $1 returning run_id",
            failover == Failover::Lossless,
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Some(held))
    }
}
