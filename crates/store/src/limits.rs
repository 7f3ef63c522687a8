//! Requests per minute and day, leased by workers a few seconds ahead.

use crate::claim::Claim;
use crate::{Store, StoreError};
use sqlx::PgConnection;
use uuid::Uuid;

impl Store {
    /// Leases `n` requests of the credential's limits, for use within a few seconds: exact over all workers, one row
    /// write a lease. `per_day` 0: none. `false`: the limit is reached; ask for fewer, or later.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: perhaps leased; they are lost.
    pub async fn requests_lease(
        &self,
        credential: Uuid,
        n: i32,
        per_minute: i32,
        per_day: i32,
    ) -> Result<bool, StoreError> {
        let mut connection = self.pool.acquire().await?;
        lease(&mut connection, credential, (n, per_minute, per_day)).await
    }
}

impl Claim {
    /// The same for one request, under the claim's lock of the row, and undone with it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: nothing is claimed.
    pub async fn lease_request(
        &mut self,
        per_minute: i32,
        per_day: i32,
    ) -> Result<bool, StoreError> {
        let (connection, credential) = self.parts();
        lease(connection, credential, (1, per_minute, per_day)).await
    }
}

async fn lease(
    connection: &mut PgConnection,
    credential: Uuid,
    (n, per_minute, per_day): (i32, i32, i32),
) -> Result<bool, StoreError> {
    let leased = sqlx::query_scalar!(
            r#"
            update credential_limits set
                tat = greatest(tat, now()) + $2::int * interval '1 minute' / $3::int,
                day_used = case when day = current_date then day_used else 0 end + $2::int, day = current_date
            where credential_id = $1
              and greatest(tat, now()) + $2::int * interval '1 minute' / $3::int <= now() + interval '5 s' + interval '1 minute' / $3::int
              and ($4::int = 0 or (case when day = current_date then day_used else 0 end) + $2::int <= $4::int)
            returning true as "leased!"
            "#,
            credential,
            n,
            per_minute.max(1),
            per_day,
        )
        .fetch_optional(connection)
        .await?;
    Ok(leased.is_some())
}
