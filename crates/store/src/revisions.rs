//! Revisions, and what each language level made of a profile.

use crate::{Store, StoreError};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

/// An immutable revision.
#[derive(Debug, Clone)]
pub struct RevisionRow {
    /// SHA-256 of its content.
    pub revision_id: Vec<u8>,
    /// Language level it needs.
    pub language: i32,
    /// What a run uses.
    pub content: Value,
}

/// What this program made of a profile.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// `model_api_profiles.id`
    pub profile_id: Uuid,
    /// Language level of this program.
    pub language: i32,
    /// The revision that it compiled to; absent: it is bad, and the last good one goes on serving.
    pub revision_id: Option<Vec<u8>>,
    /// A list of diagnostics; each has `severity`.
    pub diagnostics: Value,
    /// Version of this program.
    pub build: String,
    /// What its recorded cases came to; absent: it has none.
    pub cases: Option<CasesVerdict>,
}

/// What the replay of a profile's recorded cases came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CasesVerdict {
    /// SHA-256 over all that the replay depends on: rows, cases, program.
    pub key: Vec<u8>,
    /// The failing ones, as whoever replayed them writes them down.
    pub found: Value,
}

/// A row of the view `profile_status`.
#[derive(Debug, Clone)]
pub struct ProfileStatus {
    /// Whose it is.
    pub tenant_id: Uuid,
    /// `ai_providers.slug`
    pub provider: String,
    /// Natural key.
    pub profile_key: String,
    /// Absent: every model.
    pub model: Option<String>,
    /// What it makes.
    pub purpose: String,
    /// Only active ones are chosen.
    pub is_active: bool,
    /// Level of who looked; absent: nobody has yet.
    pub language: Option<i32>,
    /// Who looked.
    pub build: Option<String>,
    /// When.
    pub checked_at: Option<OffsetDateTime>,
    /// The revision that serves, in hex; absent: none ever compiled.
    pub serving: Option<String>,
    /// Without errors (warnings pass); absent: nobody looked.
    pub ok: Option<bool>,
    /// What was found.
    pub diagnostics: Option<Value>,
}

/// A revision that served of a profile.
#[derive(Debug, Clone)]
pub struct ServedRow {
    /// SHA-256 of its content.
    pub revision_id: Vec<u8>,
    /// `ai_models.model_id`; empty: calls without one.
    pub model: String,
    /// When it served first.
    pub first_served_at: OffsetDateTime,
    /// When it began to serve last.
    pub served_since: OffsetDateTime,
}

impl Store {
    /// Remembers what serves of profiles, for models, from now on. Profiles deleted meanwhile are passed over.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn served_put(&self, served: &[(Uuid, String, Vec<u8>)]) -> Result<(), StoreError> {
        let profiles: Vec<Uuid> = served.iter().map(|one| one.0).collect();
        let models: Vec<String> = served.iter().map(|one| one.1.clone()).collect();
        let revisions: Vec<Vec<u8>> = served.iter().map(|one| one.2.clone()).collect();
        sqlx::query!(
            r#"
            insert into profile_revisions as r (profile_id, model, revision_id)
            select p.id, s.model, s.revision from unnest($1::uuid[], $2::text[], $3::bytea[]) as s (profile, model, revision)
            join model_api_profiles p on p.id = s.profile
            on conflict (profile_id, model, revision_id) do update set served_since = clock_timestamp()
            where exists (select from profile_revisions n where n.profile_id = r.profile_id and n.model = r.model
                          and n.served_since > r.served_since)
            "#,
            &profiles,
            &models,
            &revisions,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// What served of a profile, the latest first. `after`: since when the last one of the page before serves, and the first 16
    /// bytes of its id.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn served(
        &self,
        profile: Uuid,
        after: Option<(OffsetDateTime, Uuid)>,
        limit: i64,
    ) -> Result<Vec<ServedRow>, StoreError> {
        let (after_at, after_id) = after.unzip();
        Ok(sqlx::query_as!(
            ServedRow,
            r#"
            select revision_id, model, first_served_at, served_since from profile_revisions
            where profile_id = $1 and ($2::timestamptz is null
                or (served_since, encode(substring(revision_id for 16), 'hex')::uuid) < ($2, $3::uuid))
            order by served_since desc, encode(substring(revision_id for 16), 'hex')::uuid desc limit $4
            "#,
            profile,
            after_at,
            after_id,
            limit,
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// What served of a profile under ids that begin with these hexadecimal digits, at most two, each with its revision.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn served_like(
        &self,
        profile: Uuid,
        digits: &str,
    ) -> Result<Vec<(ServedRow, RevisionRow)>, StoreError> {
        let rows = sqlx::query!(
            r#"
            select p.revision_id, p.model, p.first_served_at, p.served_since, r.language, r.content
            from profile_revisions p join revisions r using (revision_id)
            where p.profile_id = $1 and starts_with(encode(p.revision_id, 'hex'), $2) order by p.revision_id limit 2
            "#,
            profile,
            digits,
        )
        .fetch_all(&self.pool)
        .await?;
        let both = rows.into_iter().map(|row| {
            let served = ServedRow {
                revision_id: row.revision_id.clone(),
                model: row.model,
                first_served_at: row.first_served_at,
                served_since: row.served_since,
            };
            let revision = RevisionRow {
                revision_id: row.revision_id,
                language: row.language,
                content: row.content,
            };
            (served, revision)
        });
        Ok(both.collect())
    }

    /// Stores revisions that are not there yet.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn revisions_put(&self, revisions: &[RevisionRow]) -> Result<(), StoreError> {
        let ids: Vec<Vec<u8>> = revisions.iter().map(|r| r.revision_id.clone()).collect();
        let languages: Vec<i32> = revisions.iter().map(|r| r.language).collect();
        let contents: Vec<Value> = revisions.iter().map(|r| r.content.clone()).collect();
        sqlx::query!(
            r#"
            insert into revisions (revision_id, language, content)
            select * from unnest($1::bytea[], $2::int[], $3::jsonb[]) on conflict do nothing
            "#,
            &ids,
            &languages,
            &contents,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Reads a revision; `None`: it was never stored.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn revision(&self, revision_id: &[u8]) -> Result<Option<RevisionRow>, StoreError> {
        Ok(sqlx::query_as!(
            RevisionRow,
            "select revision_id, language, content from revisions where revision_id = $1",
            revision_id,
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// The revisions whose id begins with these hexadecimal digits, at most two: whether there is one, and only one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn revisions_like(&self, digits: &str) -> Result<Vec<RevisionRow>, StoreError> {
        Ok(sqlx::query_as!(
            RevisionRow,
            r#"
            select revision_id, language, content from revisions where starts_with(encode(revision_id, 'hex'), $1)
            order by revision_id limit 2
            "#,
            digits,
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Writes what this program made of profiles; a bad verdict keeps the last good revision. Unchanged ones write nothing.
    /// Profiles deleted meanwhile are passed over.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn verdicts_put(&self, verdicts: &[Verdict]) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        for verdict in verdicts {
            sqlx::query!(
                r#"
                insert into profile_statuses as s (profile_id, language, revision_id, diagnostics, build, cases_key, cases_found)
                select p.id, $2, $3, $4, $5, $6, $7 from model_api_profiles p where p.id = $1
                on conflict (profile_id, language) do update set
                    revision_id = coalesce(excluded.revision_id, s.revision_id), diagnostics = excluded.diagnostics,
                    build = excluded.build, cases_key = excluded.cases_key, cases_found = excluded.cases_found, checked_at = now()
                where (coalesce(excluded.revision_id, s.revision_id), excluded.diagnostics, excluded.build, excluded.cases_key,
                       excluded.cases_found)
                    is distinct from (s.revision_id, s.diagnostics, s.build, s.cases_key, s.cases_found)
                "#,
                verdict.profile_id,
                verdict.language,
                verdict.revision_id,
                verdict.diagnostics,
                verdict.build,
                verdict.cases.as_ref().map(|cases| &cases.key),
                verdict.cases.as_ref().map(|cases| &cases.found),
            )
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// The last good revision of each profile for a language level: what serves when a row is bad at the start.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn last_good(&self, language: i32) -> Result<Vec<(Uuid, RevisionRow)>, StoreError> {
        let rows = sqlx::query!(
            r#"
            select s.profile_id, r.revision_id, r.language, r.content
            from profile_statuses s join revisions r on r.revision_id = s.revision_id where s.language = $1
            "#,
            language,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| {
                let revision = RevisionRow {
                    revision_id: row.revision_id,
                    language: row.language,
                    content: row.content,
                };
                (row.profile_id, revision)
            })
            .collect())
    }

    /// What the recorded cases of profiles came to when they were last replayed.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn case_verdicts(
        &self,
        language: i32,
    ) -> Result<Vec<(Uuid, CasesVerdict)>, StoreError> {
        let rows = sqlx::query!(
            r#"
            select profile_id, cases_key as "key!", cases_found as "found!" from profile_statuses
            where language = $1 and cases_key is not null and cases_found is not null
            "#,
            language,
        )
        .fetch_all(&self.pool)
        .await?;
        let verdict = |row| {
            let (profile, key, found) = row;
            (profile, CasesVerdict { key, found })
        };
        Ok(rows
            .into_iter()
            .map(|row| verdict((row.profile_id, row.key, row.found)))
            .collect())
    }

    /// The view `profile_status`, as a tenant sees it: its own profiles and the system's.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn profile_statuses(&self, tenant: Uuid) -> Result<Vec<ProfileStatus>, StoreError> {
        let mut tx = self.as_tenant(tenant).await?;
        let rows = sqlx::query_as!(
            ProfileStatus,
            r#"
            select tenant_id as "tenant_id!", provider as "provider!", profile_key as "profile_key!", model,
                   purpose as "purpose!", is_active as "is_active!", language, build, checked_at, serving, ok, diagnostics
            from profile_status order by provider, profile_key, model, language
            "#
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(rows)
    }
}
