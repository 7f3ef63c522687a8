//! Requests of a credential per minute and day: leased from its row by workers, a few seconds ahead.
//!
//! Over all workers together: of a limit of 60 a minute, 60 to 66 are sent in any minute. Who is served when requests are
//! scarce is decided by how far ahead of its pace the row may be for whom: what is less pressing is refused first.

use crate::claim::Claim;
use crate::{Store, StoreError};
use sqlx::PgConnection;
use std::time::Duration;
use uuid::Uuid;

/// How pressing a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urgency {
    /// Up to the submit: nothing is lost but time.
    Send,
    /// Polls and other steps of a paid job.
    Follow,
    /// A file that may expire, a job that is to be stopped.
    Fetch,
}

impl Urgency {
    /// Sixtieths of the window by which the row may be ahead of its pace.
    fn ahead(self) -> i64 {
        match self {
            Self::Send => 1,
            Self::Follow => 2,
            Self::Fetch => 3,
        }
    }

    /// Of a day's requests, those that are kept for what is more pressing.
    fn kept_of(self, per_day: i64) -> i64 {
        match self {
            Self::Send => per_day / 10,
            Self::Follow => per_day / 20,
            Self::Fetch => 0,
        }
    }
}

/// Sixtieths of the window for which leased requests may be held: with the most that is leased ahead, a twelfth.
const HELD: u32 = 2;

/// So long may leased requests be held before they are lost.
#[must_use]
pub fn held_for(minute: Duration) -> Duration {
    minute * HELD / 60
}

/// What a lease came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Requests that may be sent.
    pub granted: u32,
    /// Until one more could be had, at this urgency; zero when all were granted.
    pub wait: Duration,
    /// Between two requests, on average.
    pub apart: Duration,
}

/// What the rows say.
#[derive(Debug, Clone, Copy)]
struct Standing {
    per_minute: Option<i64>,
    per_day: Option<i64>,
    /// Microseconds by which the row is ahead of its pace; never negative.
    ahead_us: i64,
    /// Requests of today (UTC).
    used: i64,
    /// Microseconds until tomorrow.
    day_left_us: i64,
}

impl Standing {
    fn apart_us(&self, minute: Duration) -> i64 {
        let minute = micros(minute);
        self.per_minute.map_or(0, |limit| minute / limit.max(1))
    }

    /// How many of `wanted` may be sent.
    ///
    /// Source of the pace: the generic cell rate algorithm of ITU-T I.371.
    fn lease(&self, wanted: u32, urgency: Urgency, minute: Duration) -> Lease {
        let apart = self.apart_us(minute);
        let may_be = micros(minute) / 60 * urgency.ahead();
        let by_pace = match self.per_minute {
            None => i64::MAX,
            Some(0) => 0,
            Some(_) if self.ahead_us > may_be => 0,
            Some(_) => (may_be - self.ahead_us) / apart.max(1) + 1,
        };
        let by_day = self.per_day.map_or(i64::MAX, |limit| {
            (limit - urgency.kept_of(limit) - self.used).max(0)
        });
        let granted = i64::from(wanted).min(by_pace).min(by_day);
        let wait = if granted == i64::from(wanted) {
            0
        } else if granted == by_day {
            self.day_left_us
        } else {
            // The row stands where it will stand once these are written down.
            (self.ahead_us + granted * apart - may_be).max(0)
        };
        Lease {
            granted: u32::try_from(granted).unwrap_or(0),
            wait: Duration::from_micros(u64::try_from(wait).unwrap_or(0)),
            apart: Duration::from_micros(u64::try_from(apart).unwrap_or(0)),
        }
    }
}

fn micros(of: Duration) -> i64 {
    i64::try_from(of.as_micros()).unwrap_or(i64::MAX)
}

impl Store {
    /// Leases up to `wanted` requests of a credential, to be sent within [`held_for`]. `minute` is how long a minute of the
    /// limit is. `None`: the credential has no limit.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: perhaps leased; they are lost.
    pub async fn requests_lease(
        &self,
        credential: Uuid,
        (wanted, urgency): (u32, Urgency),
        minute: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        let limited = sqlx::query_scalar!(
            r#"
            select coalesce(rate_limit_per_minute, rate_limit_per_day) is not null as "limited!"
            from provider_api_credentials where id = $1
            "#,
            credential
        )
        .fetch_optional(&self.pool)
        .await?;
        if limited != Some(true) {
            return Ok(None);
        }
        let mut tx = self.pool.begin().await?;
        let lease = lease(&mut tx, credential, (wanted, urgency), minute).await?;
        tx.commit().await?;
        Ok(Some(lease))
    }
}

impl Claim {
    /// The same for submits, under the claim's lock of the row, and undone with it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: nothing is claimed.
    pub async fn lease_requests(
        &mut self,
        wanted: u32,
        minute: Duration,
    ) -> Result<Lease, StoreError> {
        let (connection, credential) = self.parts();
        lease(connection, credential, (wanted, Urgency::Send), minute).await
    }

    /// Remembers whose turn it was, and to the minute that the credential was used.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: nothing is claimed.
    pub async fn served(&mut self, tenants: &[Uuid]) -> Result<(), StoreError> {
        let last = self.last_tenant();
        let Some(now) =
            last_in_turn(last, tenants).filter(|now| Some(*now) != last || !self.used_lately())
        else {
            return Ok(());
        };
        let (connection, credential) = self.parts();
        sqlx::query!(
            "update credential_limits set last_tenant = $2, last_used_at = now() where credential_id = $1",
            credential,
            now
        )
        .execute(connection)
        .await?;
        Ok(())
    }
}

/// Of those that were served, the one that comes last when the turns begin behind `last`.
fn last_in_turn(last: Option<Uuid>, served: &[Uuid]) -> Option<Uuid> {
    let place = |tenant: &Uuid| (last.is_some_and(|last| *tenant <= last), *tenant);
    served.iter().copied().max_by_key(place)
}

async fn lease(
    connection: &mut PgConnection,
    credential: Uuid,
    (wanted, urgency): (u32, Urgency),
    minute: Duration,
) -> Result<Lease, StoreError> {
    let standing = sqlx::query_as!(
        Standing,
        r#"
        select k.rate_limit_per_minute::bigint as per_minute, k.rate_limit_per_day::bigint as per_day,
               (extract(epoch from greatest(c.tat, now()) - now()) * 1e6)::bigint as "ahead_us!",
               (case when c.day = (now() at time zone 'utc')::date then c.day_used else 0 end)::bigint as "used!",
               (extract(epoch from date_trunc('day', now() at time zone 'utc') + interval '1 day' - (now() at time zone 'utc')) * 1e6)::bigint
                   as "day_left_us!"
        from credential_limits c join provider_api_credentials k on k.id = c.credential_id
        where c.credential_id = $1 for no key update of c
        "#,
        credential,
    )
    .fetch_one(&mut *connection)
    .await?;
    let lease = standing.lease(wanted, urgency, minute);
    if lease.granted == 0 {
        return Ok(lease);
    }
    let granted = i64::from(lease.granted);
    let ahead = standing.apart_us(minute).saturating_mul(granted);
    sqlx::query!(
        r#"
        update credential_limits set
            tat = greatest(tat, now()) + $2::float8 * interval '1 microsecond',
            day_used = (case when day = (now() at time zone 'utc')::date then day_used else 0 end) + $3::int,
            day = (now() at time zone 'utc')::date
        where credential_id = $1
        "#,
        credential,
        as_float(ahead),
        i32::try_from(granted).unwrap_or(i32::MAX),
    )
    .execute(connection)
    .await?;
    Ok(lease)
}

#[expect(clippy::cast_precision_loss, reason = "an hour of microseconds")]
fn as_float(micros: i64) -> f64 {
    micros as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn standing(per_minute: Option<i64>, per_day: Option<i64>) -> Standing {
        Standing {
            per_minute,
            per_day,
            ahead_us: 0,
            used: 0,
            day_left_us: 7_000_000,
        }
    }

    #[test]
    #[rustfmt::skip]
    fn what_is_less_pressing_is_refused_first() {
        use Urgency::{Fetch, Follow, Send};
        // 60 a minute; the row is so far ahead; wanted 10.
        let cases = [
            // ahead_ms send      follow     fetch
            (0,     (2, 1_000), (3, 1_000), (4, 1_000)),
            (1_000, (1, 1_000), (2, 1_000), (3, 1_000)),
            (1_500, (0, 500),   (1, 500),   (2, 500)),
            (2_500, (0, 1_500), (0, 500),   (1, 500)),
            (4_000, (0, 3_000), (0, 2_000), (0, 1_000)),
        ];
        for (ahead_ms, send, follow, fetch) in cases {
            let standing = Standing { ahead_us: ahead_ms * 1_000, ..standing(Some(60), None) };
            for (urgency, (granted, wait_ms)) in [(Send, send), (Follow, follow), (Fetch, fetch)] {
                let lease = standing.lease(10, urgency, MINUTE);
                assert_eq!((lease.granted, lease.wait), (granted, Duration::from_millis(wait_ms)), "{ahead_ms} ms, {urgency:?}");
            }
        }
    }

    #[test]
    fn the_last_requests_of_a_day_are_kept_for_paid_jobs_and_their_files() {
        let at = |used, urgency| {
            let lease = Standing {
                used,
                ..standing(None, Some(100))
            }
            .lease(200, urgency, MINUTE);
            assert_eq!(lease.wait, Duration::from_secs(7), "until tomorrow");
            lease.granted
        };
        let all = [Urgency::Send, Urgency::Follow, Urgency::Fetch];
        assert_eq!(all.map(|urgency| at(0, urgency)), [90, 95, 100]);
        assert_eq!(all.map(|urgency| at(92, urgency)), [0, 3, 8]);
        assert_eq!(all.map(|urgency| at(120, urgency)), [0, 0, 0]);
    }

    #[test]
    fn a_limit_of_nothing_lets_nothing_pass_and_no_limit_all() {
        assert_eq!(
            standing(Some(0), None)
                .lease(1, Urgency::Fetch, MINUTE)
                .granted,
            0
        );
        let free = standing(None, None).lease(500, Urgency::Send, MINUTE);
        assert_eq!((free.granted, free.wait), (500, Duration::ZERO));
    }

    /// Everybody asks as often as they like, and what is granted is sent as late as it may be.
    #[test]
    fn no_minute_has_more_than_a_tenth_above_the_limit_and_none_less_than_it() {
        let mut tat_us = 0_i64;
        let mut sent = Vec::new();
        for step in 0..4_000_i64 {
            let now_us = step * 50_000;
            let urgency = match step % 3 {
                0 => Urgency::Send,
                1 => Urgency::Follow,
                _ => Urgency::Fetch,
            };
            let ahead_us = (tat_us - now_us).max(0);
            let lease = Standing {
                ahead_us,
                ..standing(Some(60), None)
            }
            .lease(3, urgency, MINUTE);
            tat_us = tat_us.max(now_us) + i64::from(lease.granted) * 1_000_000;
            // Half of them at once, half when they would be lost.
            let late = if step % 2 == 0 {
                0
            } else {
                micros(held_for(MINUTE))
            };
            sent.extend((0..lease.granted).map(|_| now_us + late));
        }
        for from in (0..120_000_000_i64).step_by(250_000) {
            let within = |at: &&i64| (from..from + 60_000_000).contains(*at);
            let count = sent.iter().filter(within).count();
            assert!((60..=66).contains(&count), "{count} from {from}");
        }
    }

    #[test]
    fn the_turn_goes_round() {
        let [a, b, c] = [1, 2, 3].map(Uuid::from_u128);
        assert_eq!(last_in_turn(None, &[a, c, b]), Some(c));
        assert_eq!(last_in_turn(Some(b), &[c]), Some(c));
        assert_eq!(last_in_turn(Some(b), &[a, c]), Some(a));
        assert_eq!(last_in_turn(Some(b), &[]), None);
    }
}
