//! `/v1/usage` and `/v1/limits`: what the caller's tenant has used, what it has left, and until when.

use super::House;
use crate::caller::Caller;
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use runtime::{LimitsView, UsageView};

/// Shows what your tenant has used: runs, requests and money so far, and when the counts begin anew
///
/// Money is counted by the price lists of the models; requests for credentials of your own with a limit.
#[utoipa::path(
    get, path = "/v1/usage", tag = "usage", operation_id = "getUsage",
    responses((status = 200, description = "Days and months are those of UTC", body = UsageView))
)]
pub(super) async fn usage(
    State(house): State<House>,
    caller: Caller,
) -> Result<Json<UsageView>, Problem> {
    Ok(Json(house.modelrow.usage(caller.tenant()).await?))
}

/// Shows the limits of your tenant and of its credentials: what is left, and until when
#[utoipa::path(
    get, path = "/v1/limits", tag = "usage", operation_id = "getLimits",
    responses((status = 200, description = "A limit that is `null` is none", body = LimitsView))
)]
pub(super) async fn limits(
    State(house): State<House>,
    caller: Caller,
) -> Result<Json<LimitsView>, Problem> {
    Ok(Json(house.modelrow.limits(caller.tenant()).await?))
}
