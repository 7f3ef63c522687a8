//! Files that runs delivered, and their retention.

use crate::{Scope, Store, StoreError};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// One delivered file.
#[derive(Debug, Clone)]
pub struct ArtifactRow {
    /// Name in the output.
    pub name: String,
    /// Number under that name, from 0.
    pub idx: i32,
    /// Where its bytes are; bytes under a key never change.
    pub object_key: String,
    /// Of its bytes.
    pub sha256: Vec<u8>,
    /// Length.
    pub bytes: i64,
    /// As checked.
    pub content_type: String,
    /// When it arrived.
    pub created_at: OffsetDateTime,
    /// When it is no longer served; absent: kept.
    pub delete_after: Option<OffsetDateTime>,
}

impl Store {
    /// One file of a run; `None`: not there (yet), or past its retention.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn artifact(
        &self,
        scope: impl Into<Scope>,
        run: Uuid,
        name: &str,
        idx: i32,
    ) -> Result<Option<ArtifactRow>, StoreError> {
        let mut tx = self.seen_by(scope.into()).await?;
        let all = read(&mut tx, run).await?;
        tx.commit().await?;
        Ok(all.into_iter().find(|a| a.name == name && a.idx == idx))
    }

    /// The files of a run, for its worker.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn artifacts(&self, run: Uuid) -> Result<Vec<ArtifactRow>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        read(&mut connection, run).await
    }

    /// Stops serving files past their retention, at most `limit`; returns their objects' keys.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn artifacts_expire(&self, limit: i64) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"
            update artifacts set deleted_at = now() where (run_id, name, idx) in
                (select run_id, name, idx from artifacts where deleted_at is null and delete_after < now()
                 order by delete_after limit $1 for update skip locked)
            returning object_key
            "#,
            limit,
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Objects that no row refers to and that stopped being served over an hour ago: a running download ends in peace.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn artifacts_removable(&self, limit: i64) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"
            select distinct a.object_key from artifacts a where a.deleted_at < now() - interval '1 hour' and a.removed_at is null
              and not exists (select 1 from artifacts b where b.object_key = a.object_key
                              and (b.deleted_at is null or b.deleted_at > now() - interval '1 hour')) limit $1
            "#,
            limit,
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// The object is gone.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: remove it again, which is harmless.
    pub async fn artifact_removed(&self, object_key: &str) -> Result<(), StoreError> {
        sqlx::query!(
            "update artifacts set removed_at = now() where object_key = $1 and deleted_at is not null",
            object_key
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

pub(crate) async fn read(
    connection: &mut PgConnection,
    run: Uuid,
) -> Result<Vec<ArtifactRow>, StoreError> {
    Ok(sqlx::query_as!(
        ArtifactRow,
        r#"
        select name, idx, object_key, sha256, bytes, content_type, created_at, delete_after
        from artifacts where run_id = $1 and deleted_at is null order by name, idx
        "#,
        run,
    )
    .fetch_all(connection)
    .await?)
}
