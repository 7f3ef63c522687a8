//! `GET /openai/v1/videos`: a page of videos, by the id of the one before it.

use super::shown::Video;
use super::{PURPOSE, run_of};
use crate::caller::Caller;
use crate::openai::Refusal;
use crate::routes::House;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use runtime::{Order, RunError};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// Videos on a page that names no number, and on the largest.
const PAGE: u16 = 20;
const LARGEST_PAGE: u16 = 100;

/// A page of videos.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenAiVideos)]
pub(crate) struct Videos {
    /// `list`
    object: &'static str,
    /// In the order that was asked for.
    data: Vec<Video>,
    /// Of the page.
    first_id: Option<String>,
    /// `after` of the next page.
    last_id: Option<String>,
    /// Whether there is one.
    has_more: bool,
}

/// Lists videos, the newest first
#[utoipa::path(
    get, path = "/openai/v1/videos", tag = "openai", operation_id = "openaiListVideos",
    params(("after" = Option<String>, Query, description = "`last_id` of the page before"), ("limit" = Option<u16>, Query, description = "On the page, 1 to 100; 20 without it"), ("order" = Option<String>, Query, description = "`desc`, the newest first, or `asc`")),
    responses((status = 200, description = "A page", body = Videos))
)]
pub(crate) async fn list(
    State(house): State<House>,
    caller: Caller,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Result<Json<Videos>, Refusal> {
    let page = Page::read(query)?;
    let of_whom = (caller.tenant(), PURPOSE);
    let listed = house
        .modelrow
        .asked_page(of_whom, page.order, page.after, page.limit);
    let (runs, has_more) = listed.await.map_err(|error| match error {
        RunError::NoSuchRun { .. } => no_such_start(),
        other => other.into(),
    })?;
    let data: Vec<Video> = runs.iter().map(Video::of).collect();
    let id = |video: Option<&Video>| video.map(|video| video.id.clone());
    Ok(Json(Videos {
        object: "list",
        first_id: id(data.first()),
        last_id: id(data.last()),
        data,
        has_more,
    }))
}

/// Which part of the list.
#[derive(Debug, PartialEq, Eq)]
struct Page {
    after: Option<Uuid>,
    limit: u16,
    order: Order,
}

impl Page {
    fn read(query: Result<Query<Vec<(String, String)>>, QueryRejection>) -> Result<Self, Refusal> {
        let unreadable = |_| {
            Refusal::param(
                "invalid_value",
                "",
                "the query is not readable: percent-encode its values",
            )
        };
        let Query(pairs) = query.map_err(unreadable)?;
        let mut page = Self {
            after: None,
            limit: PAGE,
            order: Order::NewestFirst,
        };
        for (name, value) in pairs {
            page.take(&name, &value)?;
        }
        Ok(page)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        let wrong = |message: String| Refusal::param("invalid_value", name, message);
        match name {
            "after" => self.after = Some(run_of(value).ok_or_else(no_such_start)?),
            "limit" => {
                let limit = value.parse().ok();
                let limit = limit.filter(|limit| (1..=LARGEST_PAGE).contains(limit));
                self.limit = limit.ok_or_else(|| {
                    wrong(format!("`limit` is a number from 1 to {LARGEST_PAGE}"))
                })?;
            }
            "order" => {
                self.order = match value {
                    "desc" => Order::NewestFirst,
                    "asc" => Order::OldestFirst,
                    _ => return Err(wrong("`order` is `asc` or `desc`".to_owned())),
                };
            }
            other => {
                let message =
                    format!("unknown parameter `{other}`; known here: after, limit, order");
                return Err(Refusal::param("unknown_parameter", other, message));
            }
        }
        Ok(())
    }
}

fn no_such_start() -> Refusal {
    let message = "`after` is no id of a video; give `last_id` of the page before";
    Refusal::param("invalid_value", "after", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Page, String> {
        let owned = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let page = Page::read(Ok(Query(owned.collect())));
        page.map_err(|refused| {
            refused.object()["param"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        })
    }

    #[test]
    fn a_page_is_read_and_what_is_none_is_told_by_its_parameter() {
        let whole = Page {
            after: Some(Uuid::from_u128(7)),
            limit: 100,
            order: Order::OldestFirst,
        };
        let after = super::super::name(Uuid::from_u128(7));
        assert_eq!(
            read(&[("after", &after), ("limit", "100"), ("order", "asc")]),
            Ok(whole)
        );
        assert_eq!(read(&[]).unwrap().limit, 20);
        for (name, value) in [
            ("after", "7"),
            ("limit", "0"),
            ("limit", "101"),
            ("limit", "x"),
            ("order", "up"),
            ("before", "x"),
        ] {
            assert_eq!(
                read(&[(name, value)]),
                Err(name.to_owned()),
                "{name} {value}"
            );
        }
    }
}
