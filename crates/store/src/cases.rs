//! Recorded cases of profiles, as texts, and what changed in them.

use crate::catalogue::CaseRow;
use crate::{Store, StoreError};
use uuid::Uuid;

/// A stored case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCase {
    /// `model_api_profiles.id`
    pub profile: Uuid,
    /// Natural key within the profile.
    pub name: String,
    /// The text of the case, as it was written.
    pub document: String,
}

impl Store {
    /// SHA-256 over all cases of each profile that has any: what changed is told without reading them.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn case_digests(&self) -> Result<Vec<(Uuid, Vec<u8>)>, StoreError> {
        let rows = sqlx::query!(
            r#"
            select profile_id, sha256(convert_to(string_agg(name || chr(10) || document::text, chr(10) order by name), 'UTF8')) as "digest!"
            from profile_cases group by profile_id
            "#
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| (row.profile_id, row.digest))
            .collect())
    }

    /// The cases of these profiles, by profile and name.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn cases(&self, profiles: &[Uuid]) -> Result<Vec<StoredCase>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        of_profiles(&mut connection, profiles).await
    }
}

/// The cases of these profiles, by profile and name.
pub(crate) async fn of_profiles(
    connection: &mut sqlx::PgConnection,
    profiles: &[Uuid],
) -> Result<Vec<StoredCase>, StoreError> {
    Ok(sqlx::query_as!(
        StoredCase,
        r#"
            select profile_id as profile, name, document::text as "document!" from profile_cases
            where profile_id = any($1) order by profile_id, name
            "#,
        profiles,
    )
    .fetch_all(connection)
    .await?)
}

/// Writes a recorded case, replacing the one of that name. `0`: it reads so already.
pub(crate) async fn put(
    connection: &mut sqlx::PgConnection,
    profile: Uuid,
    row: &CaseRow,
) -> Result<u64, StoreError> {
    Ok(sqlx::query!(
        r#"
        insert into profile_cases as old (profile_id, name, document) values ($1, $2, $3::text::json)
        on conflict (profile_id, name) do update set document = excluded.document
        where old.document::text is distinct from excluded.document::text
        "#,
        profile,
        row.name,
        row.document,
    )
    .execute(connection)
    .await?
    .rows_affected())
}

/// Removes the cases of a profile that have none of these names.
pub(crate) async fn forget_others(
    connection: &mut sqlx::PgConnection,
    profile: Uuid,
    names: &[String],
) -> Result<u64, StoreError> {
    Ok(sqlx::query!(
        "delete from profile_cases where profile_id = $1 and not name = any($2)",
        profile,
        names,
    )
    .execute(connection)
    .await?
    .rows_affected())
}
