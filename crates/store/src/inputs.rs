//! Media that callers gave: their rows, and which runs name them.

use crate::{Store, StoreError};
use std::time::Duration;
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

impl Store {
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

    /// Records that a run names these media.
    ///
    /// # Errors
    ///
    /// [`crate::Rule::InUse`] when one of them is gone; [`StoreError::Unreachable`]: again is harmless.
    pub async fn run_inputs_put(&self, run: Uuid, inputs: &[Uuid]) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into run_inputs (run_id, input_id) select $1, unnest($2::uuid[]) on conflict do nothing",
            run,
            inputs,
        )
        .execute(&self.pool)
        .await?;
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
