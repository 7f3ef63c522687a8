//! Drift: words and members of answers that a profile did not know.

use crate::{Store, StoreError};
use time::OffsetDateTime;
use uuid::Uuid;

/// Kept for one revision, of all kinds together; what comes later is passed over.
pub const DRIFT_MAX: i64 = 500;

/// Something that answers had and the profile did not know, as a worker noted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftNote {
    /// Of the run.
    pub revision_id: Vec<u8>,
    /// `status`, `error` or `member`.
    pub kind: String,
    /// Whose answer it was.
    pub step: String,
    /// The word, or the member's place; at most 256 characters.
    pub word: String,
    /// Runs since the last note.
    pub runs: i64,
    /// The latest of them.
    pub run_id: Uuid,
}

/// A row of `profile_drift`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftRow {
    /// The revision that did not know it.
    pub revision_id: Vec<u8>,
    /// `status`, `error` or `member`.
    pub kind: String,
    /// Whose answer it was.
    pub step: String,
    /// The word, or the member's place.
    pub word: String,
    /// Runs in which it was seen.
    pub seen: i64,
    /// By the database's clock.
    pub first_seen: OffsetDateTime,
    /// By the database's clock.
    pub last_seen: OffsetDateTime,
    /// The latest run.
    pub run_id: Uuid,
}

impl Store {
    /// Adds notes of drift, in one statement. Of a revision that has [`DRIFT_MAX`] rows only known words are counted.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: the notes may be written again; counts are no ledger.
    pub async fn drift_put(&self, notes: &[DriftNote]) -> Result<(), StoreError> {
        let revisions: Vec<Vec<u8>> = notes.iter().map(|n| n.revision_id.clone()).collect();
        let kinds: Vec<String> = notes.iter().map(|n| n.kind.clone()).collect();
        let steps: Vec<String> = notes.iter().map(|n| n.step.clone()).collect();
        let words: Vec<String> = notes.iter().map(|n| n.word.clone()).collect();
        let counts: Vec<i64> = notes.iter().map(|n| n.runs).collect();
        let runs: Vec<Uuid> = notes.iter().map(|n| n.run_id).collect();
        sqlx::query!(
            r#"
            insert into profile_drift as d (revision_id, kind, step, word, seen, run_id)
            select n.* from unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::uuid[])
                as n (revision_id, kind, step, word, seen, run_id)
            where exists (select 1 from revisions r where r.revision_id = n.revision_id)
              and ((select count(*) from profile_drift o where o.revision_id = n.revision_id) < $7
                   or exists (select 1 from profile_drift o where (o.revision_id, o.kind, o.step, o.word)
                                                                = (n.revision_id, n.kind, n.step, n.word)))
            on conflict (revision_id, kind, step, word) do update
                set seen = d.seen + excluded.seen, last_seen = now(), run_id = excluded.run_id
            "#,
            &revisions,
            &kinds,
            &steps,
            &words,
            &counts,
            &runs,
            DRIFT_MAX,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// All drift that was noted, by revision.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn drift(&self) -> Result<Vec<DriftRow>, StoreError> {
        Ok(sqlx::query_as!(
            DriftRow,
            r#"
            select revision_id, kind, step, word, seen, first_seen, last_seen, run_id from profile_drift
            order by revision_id, kind, step, word
            "#
        )
        .fetch_all(&self.pool)
        .await?)
    }
}
