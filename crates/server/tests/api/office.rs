//! A house with its admins: an operator, and one of the default tenant.

use crate::fixture::{Answer, House, key};
use axum::http::Method;
use runtime::Role;
use serde_json::Value;
use store::{DEFAULT_TENANT, SYSTEM_TENANT};

/// A house, an operator's key, and that of an admin of the default tenant.
pub(crate) struct Office {
    pub(crate) house: House,
    pub(crate) operator: String,
    pub(crate) admin: String,
}

impl Office {
    pub(crate) async fn open() -> Self {
        let house = House::open().await;
        let operator = key(&house.modelrow, SYSTEM_TENANT, Role::Admin).await;
        let admin = key(&house.modelrow, DEFAULT_TENANT, Role::Admin).await;
        Self {
            house,
            operator,
            admin,
        }
    }

    pub(crate) async fn get(&self, key: &str, path: &str) -> Answer {
        self.house
            .send(key, (Method::GET, path), &[], &Value::Null)
            .await
    }

    pub(crate) async fn post(&self, key: &str, path: &str, body: &Value) -> Answer {
        self.house.send(key, (Method::POST, path), &[], body).await
    }

    /// `POST` of what is as the tag says.
    pub(crate) async fn post_to(&self, key: &str, path: &str, tag: &str) -> Answer {
        let tag = [("if-match", tag)];
        let call = (Method::POST, path);
        self.house.send(key, call, &tag, &Value::Null).await
    }

    pub(crate) async fn put(&self, key: &str, path: &str, tag: &str, body: &Value) -> Answer {
        let tag = [("if-match", tag)];
        self.house.send(key, (Method::PUT, path), &tag, body).await
    }

    pub(crate) async fn delete(&self, key: &str, path: &str, tag: &str) -> Answer {
        let tag = [("if-match", tag)];
        self.house
            .send(key, (Method::DELETE, path), &tag, &Value::Null)
            .await
    }

    /// The first row of a kind, and where it is.
    pub(crate) async fn first(&self, kind: &str) -> (String, Value) {
        let listed = self
            .get(&self.operator, &format!("/admin/v1/{kind}"))
            .await
            .json();
        let row = listed["rows"][0].clone();
        let path = format!("/admin/v1/{kind}/{}", row["id"].as_str().unwrap());
        (path, row["row"].clone())
    }

    pub(crate) async fn log(&self) -> String {
        let log = self.get(&self.operator, "/admin/v1/audit?limit=500").await;
        log.json().to_string()
    }
}

pub(crate) fn status(answer: &Answer) -> u16 {
    answer.status.as_u16()
}
