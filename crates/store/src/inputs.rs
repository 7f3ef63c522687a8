//! Media that callers gave: their rows, and which runs name them.

use crate::runs::NewRun;
use crate::{Rule, Store, StoreError};
use sqlx::PgConnection;
use std::collections::HashSet;
use std::time::Duration;
use time::OffsetDateTime;
use uuid::Uuid;

/// One medium that is stored.
#[derive(Debug, Clone)]
pub struct InputRow {
    /// UUIDv7.
    pub input_id: Uuid,
    /// Where its bytes are.
    pub object_key: String,
    /// Of its bytes.
    pub sha256: Vec<u8>,
    /// Length.
    pub bytes: i64,
    /// As checked.
    pub content_type: String,
    /// A name for the file.
    pub filename: Option<String>,
}

/// A medium that a new call may name.
#[derive(Debug, Clone)]
pub struct UploadRow {
    /// The medium.
    pub row: InputRow,
    /// Its time is over: only runs that name it already keep it.
    pub expired: bool,
}

impl Store {
    /// Records a medium that was uploaded by itself, kept for `keep` from now; until when.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: perhaps recorded, under an id that nobody knows.
    pub async fn upload_put(
        &self,
        tenant: Uuid,
        input: &InputRow,
        keep: Duration,
    ) -> Result<OffsetDateTime, StoreError> {
        let mut tx = self.as_tenant(tenant).await?;
        let until = sqlx::query_scalar!(
            r#"
            insert into inputs (input_id, tenant_id, object_key, sha256, bytes, content_type, filename, delete_after)
            values ($1, $2, $3, $4, $5, $6, $7, now() + make_interval(secs => $8)) returning delete_after
            "#,
            input.input_id,
            tenant,
            input.object_key,
            input.sha256,
            input.bytes,
            input.content_type,
            input.filename,
            keep.as_secs_f64(),
        )
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(until)
    }

    /// A medium of a tenant for a new call; `None`: it is gone, or another tenant's.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn upload(&self, tenant: Uuid, id: Uuid) -> Result<Option<UploadRow>, StoreError> {
        let mut tx = self.as_tenant(tenant).await?;
        let row = sqlx::query!(
            r#"
            select object_key, sha256, bytes, content_type, filename, delete_after <= now() as "expired!"
            from inputs where input_id = $1
            "#,
            id
        )
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(row.map(|row| UploadRow {
            expired: row.expired,
            row: InputRow {
                input_id: id,
                object_key: row.object_key,
                sha256: row.sha256,
                bytes: row.bytes,
                content_type: row.content_type,
                filename: row.filename,
            },
        }))
    }

    /// Records media of a tenant, kept for `keep` from now, and longer while a run that has not ended names them.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: perhaps recorded; again is harmless.
    pub async fn inputs_put(
        &self,
        tenant: Uuid,
        inputs: &[InputRow],
        keep: Duration,
    ) -> Result<(), StoreError> {
        let mut tx = self.as_tenant(tenant).await?;
        for input in inputs {
            sqlx::query!(
                r#"
                insert into inputs (input_id, tenant_id, object_key, sha256, bytes, content_type, filename, delete_after)
                values ($1, $2, $3, $4, $5, $6, $7, now() + make_interval(secs => $8)) on conflict do nothing
                "#,
                input.input_id,
                tenant,
                input.object_key,
                input.sha256,
                input.bytes,
                input.content_type,
                input.filename,
                keep.as_secs_f64(),
            )
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Media of a tenant by id, in no order; those that are gone, or another tenant's, are left out.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn inputs(&self, tenant: Uuid, ids: &[Uuid]) -> Result<Vec<InputRow>, StoreError> {
        let mut tx = self.as_tenant(tenant).await?;
        let rows = sqlx::query_as!(
            InputRow,
            "select input_id, object_key, sha256, bytes, content_type, filename from inputs where input_id = any($1)",
            ids,
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(rows)
    }
}

/// Records which media a new run names, in the transaction that makes it: from then on they stay while it goes on.
///
/// # Errors
///
/// [`Rule::InUse`] when one of them is gone, or another tenant's: there is to be no run.
pub(crate) async fn named(connection: &mut PgConnection, run: &NewRun) -> Result<(), StoreError> {
    let wanted: HashSet<Uuid> = run.inputs.iter().copied().collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let named = sqlx::query!(
        "insert into run_inputs (run_id, input_id) select $1, input_id from inputs where tenant_id = $2 and input_id = any($3)",
        run.run_id,
        run.tenant_id,
        &run.inputs,
    )
    .execute(connection)
    .await?;
    match named.rows_affected() == wanted.len() as u64 {
        true => Ok(()),
        false => Err(StoreError::Broken(Rule::InUse)),
    }
}
