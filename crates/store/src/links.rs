//! Links that are good without an API key: what they are signed with, and the inputs that they may lead to.

use crate::inputs::InputRow;
use crate::{Store, StoreError};
use uuid::Uuid;

/// A key of signatures.
#[derive(Debug, Clone)]
pub struct LinkKey {
    /// Its number, which links name.
    pub id: i32,
    /// At least 32 bytes.
    pub key: Vec<u8>,
}

impl Store {
    /// The key that signs now. There is always one, unless somebody has deleted them all.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn link_key_now(&self) -> Result<Option<LinkKey>, StoreError> {
        Ok(sqlx::query_as!(
            LinkKey,
            "select link_key_id as id, key from link_keys order by link_key_id desc limit 1"
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// The key of that number; `None`: it was never there, or its links are refused by now.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn link_key(&self, id: i32) -> Result<Option<LinkKey>, StoreError> {
        Ok(sqlx::query_as!(
            LinkKey,
            "select link_key_id as id, key from link_keys where link_key_id = $1",
            id
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// An input of a run that has not ended.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn input_of_live_run(
        &self,
        run: Uuid,
        input: Uuid,
    ) -> Result<Option<InputRow>, StoreError> {
        Ok(sqlx::query_as!(
            InputRow,
            r#"
            select i.input_id, i.object_key, i.sha256, i.bytes, i.content_type, i.filename
            from run_inputs n join inputs i using (input_id) join run_states s using (run_id)
            where n.run_id = $1 and n.input_id = $2 and s.ended_at is null
            "#,
            run,
            input
        )
        .fetch_optional(&self.pool)
        .await?)
    }
}
