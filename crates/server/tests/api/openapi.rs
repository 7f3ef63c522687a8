//! The OpenAPI document and the page are those of the routes, and are checked in.

use crate::access::calls;
use crate::fixture::House;
use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::Value;
use std::collections::BTreeSet;

/// Method and path of every operation of the document.
fn operations() -> BTreeSet<(String, String)> {
    let document = server::openapi();
    let paths = document["paths"].as_object().unwrap();
    let of = |(path, item): (&String, &Value)| {
        let methods = item.as_object().unwrap().keys();
        methods
            .map(|method| (method.to_uppercase(), path.clone()))
            .collect::<Vec<_>>()
    };
    paths.iter().flat_map(of).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_of_the_document_is_a_route_and_other_methods_are_none() {
    let house = House::open().await;
    let ask = async |method: &str, path: &str| {
        let path = path
            .replace("{id}", "018f0000-0000-7000-8000-000000000000")
            .replace(['{', '}'], "");
        let request = Request::builder().method(method).uri(path);
        house
            .call_as_it_is(request.body(Body::empty()).unwrap())
            .await
    };
    let all = operations();
    assert!(all.len() > 20, "{all:?}");
    for (method, path) in &all {
        let answer = ask(method, path).await;
        let face = path.starts_with("/openai/");
        let nowhere = answer.status.as_u16() == 404
            && match face {
                true => answer.error().1 == "unknown_url",
                false => answer.problem().1 == "C158",
            };
        assert!(
            !nowhere && answer.status.as_u16() != 405,
            "{method} {path}: {}",
            answer.status
        );
    }
    for (_, path) in &all {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            if !all.contains(&(method.to_owned(), path.clone())) {
                assert_eq!(
                    ask(method, path).await.status.as_u16(),
                    405,
                    "{method} {path}"
                );
            }
        }
    }
}

/// `routes!` describes what it routes; nothing else may add a route.
#[test]
fn no_route_is_added_without_its_description() {
    let sources = [
        include_str!("../../src/routes.rs"),
        include_str!("../../src/openai.rs"),
    ];
    for other in [".route(", ".route_service(", ".nest(", ".nest_service("] {
        for source in sources {
            assert!(!source.contains(other), "`{other}` in what routes");
        }
    }
}

#[test]
fn every_call_that_needs_a_key_stands_in_the_table_of_roles() {
    let guarded = |(_, path): &(String, String)| {
        ["/v1/", "/admin/", "/openai/"]
            .iter()
            .any(|start| path.starts_with(start))
    };
    let described: BTreeSet<_> = operations().into_iter().filter(guarded).collect();
    let written = |path: &str| {
        let path = path.split('?').next().unwrap_or_default();
        let path = path
            .replace("{profile}", "{id}")
            .replace("{credential}", "{id}")
            .replace("{run}", "{id}")
            .replace("{video}", "{id}")
            .replace("{key}", "{id}")
            .replace("{delivery}", "{id}")
            .replace("{worker}", "{id}")
            .replace("prompt_templates/{row}", "{kind}/{id}")
            .replace("prompt_templates", "{kind}")
            .replace("reel-1", "{model}");
        path.replace("artifacts/video/0", "artifacts/{name}/{idx}")
            .replace("artifacts/video", "artifacts/{name}")
    };
    let table: BTreeSet<_> = calls()
        .iter()
        .map(|(method, path, ..)| (method.to_string(), written(path)))
        .collect();
    assert_eq!(table, described);
}

#[test]
fn the_document_that_is_checked_in_is_that_of_the_routes() {
    let checked_in: Value =
        serde_json::from_str(include_str!("../../../../schemas/openapi.json")).unwrap();
    assert!(
        checked_in == server::openapi(),
        "write it anew: `modelrow openapi > schemas/openapi.json`"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn document_and_page_are_served_without_a_key() {
    let house = House::open().await;
    let ask = async |path: &str| {
        let request = Request::builder().method(Method::GET).uri(path);
        house
            .call_as_it_is(request.body(Body::empty()).unwrap())
            .await
    };
    let document = ask("/openapi.json").await;
    assert_eq!(document.header("content-type"), "application/json");
    assert!(document.json() == server::openapi());
    let page = ask("/docs").await;
    assert_eq!(page.status.as_u16(), 200);
    assert!(
        page.header("content-type").starts_with("text/html")
            && page
                .header("content-security-policy")
                .contains("default-src 'none'")
    );
    assert!(String::from_utf8_lossy(&page.body).contains("/v1/runs/{id}/cancel"));
}
