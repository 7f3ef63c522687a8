//! `GET /v1/runs`: a page of runs, newest first.

use super::House;
use crate::caller::Caller;
use crate::problem::{Problem, Violation};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use diag::Code;
use runtime::{PageOf, RunFilter, RunPage, State as RunState, Status};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

/// Parameters of the query, for hints.
const KNOWN: &str =
    "purpose, provider, model, status, state, created_after, metadata.<name>, limit, after";

/// Lists runs, newest first
#[utoipa::path(
    get, path = "/v1/runs", tag = "runs", operation_id = "listRuns",
    params(("purpose" = Option<String>, Query), ("provider" = Option<String>, Query), ("model" = Option<String>, Query),
        ("status" = Option<Status>, Query, description = "May be repeated: one of them"), ("state" = Option<String>, Query, description = "May be repeated: one of them"),
        ("created_after" = Option<String>, Query, description = "RFC 3339"),
        ("metadata.key" = Option<String>, Query, description = "`metadata.<name>`: runs whose metadata hold this value"), ("limit" = Option<u16>, Query, description = "On the page, 1 to 500; 50 without it"), ("after" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "A page, newest first", body = RunPage))
)]
pub(super) async fn list(
    State(house): State<House>,
    caller: Caller,
    query: Asked,
) -> Result<Json<RunPage>, Problem> {
    let filter = filter(pairs(query)?).map_err(refuse)?;
    let page = house.modelrow.runs(caller.tenant(), &filter).await;
    Ok(Json(page?))
}

/// A query, or why it is none.
pub(super) type Asked = Result<Query<Vec<(String, String)>>, QueryRejection>;

pub(super) fn refuse(found: Vec<Violation>) -> Problem {
    Problem::all(StatusCode::BAD_REQUEST, found)
}

pub(super) fn pairs(query: Asked) -> Result<Vec<(String, String)>, Problem> {
    let Query(pairs) = query.map_err(|_| {
        let message = "the query is not readable";
        refuse(vec![wrong(message.to_owned(), "percent-encode its values")])
    })?;
    // No text of PostgreSQL has it.
    match pairs.iter().any(|(_, value)| value.contains('\0')) {
        true => {
            let message = "a parameter has the character NUL".to_owned();
            Err(refuse(vec![wrong(message, "leave `%00` out")]))
        }
        false => Ok(pairs),
    }
}

/// Which part of a list is asked for; `other` takes the list's own parameters, and says which are none.
pub(super) fn page(
    query: Asked,
    known: &str,
    mut other: impl FnMut(&str, String) -> bool,
) -> Result<PageOf, Problem> {
    let mut page = PageOf::default();
    let mut found = Vec::new();
    for (name, value) in pairs(query)? {
        match name.as_str() {
            "after" => page.after = Some(value),
            "limit" => match limit(&value) {
                Ok(limit) => page.limit = Some(limit),
                Err(violation) => found.push(violation),
            },
            name if other(name, value) => {}
            name => {
                let message = format!("there is no parameter `{name}`");
                found.push(wrong(message, &format!("known are {known}")));
            }
        }
    }
    match found.is_empty() {
        true => Ok(page),
        false => Err(refuse(found)),
    }
}

/// The same of a list whose one parameter is a tenant, by its id or slug.
pub(super) fn page_of_tenant(query: Asked) -> Result<(Option<String>, PageOf), Problem> {
    let mut named = None;
    let page = page(query, "tenant, limit, after", |name, value| {
        let known = name == "tenant";
        named = known.then_some(value).or(named.take());
        known
    })?;
    Ok((named, page))
}

/// The parameters of a call that is no list.
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// # Errors
    ///
    /// 400 for each that is not known.
    pub(super) fn read(query: Asked, known: &[&str]) -> Result<Self, Problem> {
        let pairs = pairs(query)?;
        let unknown = pairs
            .iter()
            .filter(|(name, _)| !known.contains(&name.as_str()));
        let found: Vec<Violation> = unknown
            .map(|(name, _)| {
                let message = format!("there is no parameter `{name}`");
                wrong(message, &format!("known are {}", known.join(", ")))
            })
            .collect();
        match found.is_empty() {
            true => Ok(Self(pairs)),
            false => Err(refuse(found)),
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let mut given = self.0.iter().rev();
        given
            .find(|(given, _)| given == name)
            .map(|(_, value)| value.as_str())
    }

    /// # Errors
    ///
    /// 400 for another word than `true` or `false`.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.text(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => {
                let message = format!("`{other}` is no `{name}`");
                Err(refuse(vec![wrong(message, "give `true` or `false`")]))
            }
        }
    }
}

/// Every parameter read, every mistake found at once.
pub(super) fn filter(pairs: Vec<(String, String)>) -> Result<RunFilter, Vec<Violation>> {
    let mut filter = RunFilter::default();
    let mut found = Vec::new();
    for (name, value) in pairs {
        if let Err(violation) = take(&mut filter, &name, value) {
            found.push(violation);
        }
    }
    if found.is_empty() {
        Ok(filter)
    } else {
        Err(found)
    }
}

fn take(filter: &mut RunFilter, name: &str, value: String) -> Result<(), Violation> {
    match name {
        "purpose" => filter.purpose = Some(value),
        "provider" => filter.provider = Some(value),
        "model" => filter.model = Some(value),
        "after" => filter.after = Some(value),
        "status" => filter.statuses.push(word(name, &value)?),
        "state" => filter.states.push(state(&value)?),
        "limit" => filter.limit = Some(limit(&value)?),
        "created_after" => filter.created_after = Some(time_of(&value)?),
        _ => {
            let key = name.strip_prefix("metadata.").filter(|key| !key.is_empty());
            let message = format!("there is no parameter `{name}`");
            let key = key.ok_or_else(|| wrong(message, &format!("known are {KNOWN}")))?;
            filter.metadata.push((key.to_owned(), value));
        }
    }
    Ok(())
}

/// A parameter that is an id.
pub(super) fn uuid(name: &str, value: &str) -> Result<Uuid, Problem> {
    Uuid::try_parse(value).map_err(|_| {
        let message = format!("`{value}` is no id");
        refuse(vec![wrong(message, &format!("give `{name}` as a UUID"))])
    })
}

/// A parameter that is true or false.
pub(super) fn flag(name: &str, value: &str) -> Result<bool, Problem> {
    value.parse().map_err(|_| {
        let message = format!("`{value}` is neither `true` nor `false`");
        refuse(vec![wrong(
            message,
            &format!("give `{name}` as one of them"),
        )])
    })
}

fn wrong(message: String, help: &str) -> Violation {
    Violation::new(Code::C190, message, help)
}

fn word(name: &str, value: &str) -> Result<Status, Violation> {
    serde_json::from_value(Value::from(value)).map_err(|_| {
        wrong(
            format!("`{value}` is no {name}"),
            "known are queued, running, succeeded, failed, canceled",
        )
    })
}

fn state(value: &str) -> Result<RunState, Violation> {
    let known = RunState::ALL.iter().copied();
    known
        .clone()
        .find(|state| state.as_str() == value)
        .ok_or_else(|| {
            let words: Vec<&str> = known.map(RunState::as_str).collect();
            wrong(
                format!("`{value}` is no state"),
                &format!("known are {}", words.join(", ")),
            )
        })
}

fn limit(value: &str) -> Result<u16, Violation> {
    let number = value.parse().ok().filter(|limit| (1..=500).contains(limit));
    number.ok_or_else(|| {
        wrong(
            format!("`{value}` is no `limit`"),
            "give a number from 1 to 500",
        )
    })
}

fn time_of(value: &str) -> Result<OffsetDateTime, Violation> {
    OffsetDateTime::parse(value, &Rfc3339).map_err(|_| {
        wrong(
            format!("`{value}` is no time"),
            "write it as RFC 3339 does: `2030-01-31T12:00:00Z`, its `+` as `%2B`",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<RunFilter, usize> {
        let owned = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        filter(owned.collect()).map_err(|found| found.len())
    }

    #[test]
    fn every_parameter_is_read_and_every_mistake_is_found_at_once() {
        let filter = read(&[
            ("purpose", "video"),
            ("status", "queued"),
            ("status", "failed"),
            ("state", "polling"),
            ("metadata.user", "7"),
            ("limit", "500"),
            ("created_after", "2030-01-02T03:04:05Z"),
        ])
        .unwrap();
        assert_eq!(filter.statuses, [Status::Queued, Status::Failed]);
        assert_eq!(filter.states, [RunState::Polling]);
        assert_eq!(filter.metadata, [("user".to_owned(), "7".to_owned())]);
        assert_eq!(filter.limit, Some(500));
        let wrong = [
            ("status", "done"),
            ("state", "running"),
            ("limit", "0"),
            ("limit", "501"),
            ("created_after", "yesterday"),
            ("metadata.", "x"),
            ("sort", "x"),
        ];
        assert_eq!(read(&wrong).unwrap_err(), wrong.len());
    }
}
