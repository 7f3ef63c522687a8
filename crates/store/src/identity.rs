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

/// Which server it is, as far as it tells: its timeline and its system identifier, `unknown` where it does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    timeline: String,
    system_identifier: String,
}

impl Identity {
    /// Whether they are certainly two: a server that does not tell proves nothing.
    #[must_use]
    pub fn differs(&self, other: &Self) -> bool {
        let two = |a: &str, b: &str| a != b && a != "unknown" && b != "unknown";
        two(&self.timeline, &other.timeline)
            || two(&self.system_identifier, &other.system_identifier)
    }
}

/// What a look at the server found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// Which it is.
    pub identity: Identity,
    /// It is another one than was recorded, for the first time: the runs that are held now.
    pub held: Option<Vec<Uuid>>,
}

impl Store {
    /// Compares the server with the recorded identity, and on a change records it and holds every live run, once. Who looks
    /// later sees no change: it compares with what it saw itself.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn database_rewound(&self, failover: Failover) -> Result<Looked, StoreError> {
        let mut tx = self.pool.begin().await?;
        // A server that does not tell reads 'unknown': no proof of a change.
        let now = sqlx::query!(
            r#"
            with n as (select timeline, system_identifier from database_identity_now()),
            changed as (
                update database_identity d set timeline = n.timeline, system_identifier = n.system_identifier, rewound_at = now()
                from n where (n.timeline <> 'unknown' and d.timeline <> n.timeline)
                   or (n.system_identifier <> 'unknown' and d.system_identifier <> n.system_identifier)
                returning true)
            select n.timeline as "timeline!", n.system_identifier as "system_identifier!", exists (select 1 from changed) as "changed!" from n
            "#
        )
        .fetch_one(&mut *tx)
        .await?;
        let identity = Identity {
            timeline: now.timeline,
            system_identifier: now.system_identifier,
        };
        if !now.changed {
            let held = None;
            return Ok(Looked { identity, held });
        }
        let held = sqlx::query_scalar!(
            "update run_states set held = true where ended_at is null and not held and not $1 returning run_id",
            failover == Failover::Lossless,
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Looked {
            identity,
            held: Some(held),
        })
    }
}
