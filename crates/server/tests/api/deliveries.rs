//! Callbacks out over HTTP: lists, resends, secrets, tests of a receiver on a real socket.

use crate::fixture::{Answer, BUNDLE, House, LIMIT, bearer, key};
use crate::{id, video};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::routing::post;
use runtime::{Allow, Role, SecretKeys};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use store::DEFAULT_TENANT;
use tokio::net::TcpListener;

/// Who is called: what it heard, and what it answers with.
#[derive(Debug, Clone)]
struct Receiver {
    url: String,
    heard: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
    status: Arc<Mutex<StatusCode>>,
}

impl Receiver {
    #[expect(
        clippy::disallowed_methods,
        reason = "ends with the runtime of the test"
    )]
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            url: format!(
                "http://{}/hook?token=sesame",
                listener.local_addr().unwrap()
            ),
            heard: Arc::default(),
            status: Arc::new(Mutex::new(StatusCode::OK)),
        };
        let app = Router::new()
            .route("/hook", post(hear))
            .with_state(receiver.clone());
        drop(tokio::spawn(
            async move { axum::serve(listener, app).await },
        ));
        receiver
    }

    fn answers(&self, status: StatusCode) {
        *self.status.lock().unwrap() = status;
    }

    fn heard(&self) -> Vec<(HeaderMap, Value)> {
        self.heard.lock().unwrap().clone()
    }
}

async fn hear(
    State(receiver): State<Receiver>,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, &'static str) {
    let body = serde_json::from_str(&body).unwrap();
    receiver.heard.lock().unwrap().push((headers, body));
    (*receiver.status.lock().unwrap(), "heard")
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers[name].to_str().unwrap()
}

/// A house that may call this machine.
async fn house() -> House {
    House::open_with(BUNDLE, |options| {
        options.allow = Allow {
            http: true,
            private: true,
        };
    })
    .await
}

async fn ask(house: &House, method: Method, path: &str, body: &Value) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json");
    let body = match body {
        Value::Null => Body::empty(),
        body => Body::from(body.to_string()),
    };
    house.call(request.body(body).unwrap()).await
}

async fn rotate(house: &House, body: &Value) -> Value {
    let made = ask(house, Method::POST, "/v1/webhook-secret/rotate", body).await;
    assert_eq!(
        (made.status.as_u16(), made.header("cache-control")),
        (200, "no-store"),
        "{made:?}"
    );
    made.json()
}

/// The delivery as it is shown, once it is so.
async fn until(house: &House, id: &str, so: impl Fn(&Value) -> bool) -> Value {
    let path = format!("/v1/deliveries/{id}");
    let shown = async {
        loop {
            let shown = house.get(&path).await.json();
            if so(&shown) {
                return shown;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, shown).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_is_listed_with_each_answer_and_sent_again_under_its_own_id() {
    let (house, receiver) = (house().await, Receiver::open().await);
    rotate(&house, &Value::Null).await;
    receiver.answers(StatusCode::INTERNAL_SERVER_ERROR);
    let mut call = video("spongebob");
    call["callback"] = json!({"url": receiver.url});
    let made = house.create(&call, &[("prefer", "wait=60")]).await;
    let run = id(&made);
    let listed = house
        .get(&format!("/v1/deliveries?run={run}&limit=5"))
        .await
        .json();
    let first = &listed["deliveries"][0];
    assert_eq!(
        (&first["run"], &first["event"]),
        (&json!(run), &json!("run.failed")),
        "{listed}"
    );
    assert!(!listed.to_string().contains("sesame"), "{listed}");
    let delivery = first["id"].as_str().unwrap();
    let tried = until(&house, delivery, |shown| {
        shown["attempts"][0]["status"] == 500
    })
    .await;
    assert_eq!(tried["attempts"][0]["answer"], "heard", "{tried}");
    until(&house, delivery, |shown| {
        shown["delivery"]["status"] == "pending"
    })
    .await;
    receiver.answers(StatusCode::OK);
    let again = ask(
        &house,
        Method::POST,
        &format!("/v1/deliveries/{delivery}/resend"),
        &Value::Null,
    )
    .await;
    assert_eq!(
        (again.status.as_u16(), &again.json()["id"]),
        (202, &json!(delivery))
    );
    let done = until(&house, delivery, |shown| {
        shown["delivery"]["status"] == "delivered"
    })
    .await;
    assert!(done["attempts"].as_array().unwrap().len() >= 2, "{done}");
    for (headers, body) in receiver.heard() {
        assert_eq!(header(&headers, "webhook-id"), delivery);
        assert_eq!(body["data"]["id"], run);
    }
    let delivered = house.get("/v1/deliveries?status=delivered").await.json();
    assert_eq!(delivered["deliveries"].as_array().unwrap().len(), 1);
    let failed = house.get("/v1/deliveries?status=failed").await.json();
    assert_eq!(failed["deliveries"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_secret_is_shown_once_and_signs_beside_the_old_one_while_it_lasts() {
    let (house, receiver) = (house().await, Receiver::open().await);
    let test = json!({"url": receiver.url});
    let early = ask(&house, Method::POST, "/v1/webhooks/test", &test).await;
    assert_eq!(early.problem(), (422, "R177".to_owned()));
    assert_eq!(receiver.heard().len(), 0);
    let first = rotate(&house, &Value::Null).await;
    let second = rotate(&house, &json!({})).await;
    assert!(second["secret"].as_str().unwrap().starts_with("whsec_"));
    assert_ne!(first["secret"], second["secret"]);
    assert!(
        first["old_until"].is_null() && second["old_until"].is_string(),
        "{second}"
    );
    let tested = ask(&house, Method::POST, "/v1/webhooks/test", &test).await;
    assert_eq!(
        (tested.status.as_u16(), &tested.json()["taken"]),
        (200, &json!(true)),
        "{tested:?}"
    );
    rotate(&house, &json!({"overlap_ms": 0})).await;
    ask(&house, Method::POST, "/v1/webhooks/test", &test).await;
    let signatures: Vec<usize> = receiver
        .heard()
        .iter()
        .map(|(headers, _)| header(headers, "webhook-signature").split(' ').count())
        .collect();
    assert_eq!(signatures, [2, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_says_what_the_receiver_answered_and_goes_nowhere_that_a_callback_may_not() {
    let (house, receiver) = (house().await, Receiver::open().await);
    rotate(&house, &Value::Null).await;
    receiver.answers(StatusCode::GONE);
    let tested = ask(
        &house,
        Method::POST,
        "/v1/webhooks/test",
        &json!({"url": receiver.url}),
    )
    .await
    .json();
    assert_eq!(
        (&tested["taken"], &tested["status"], &tested["answer"]),
        (&json!(false), &json!(410), &json!("heard")),
        "{tested}"
    );
    let (headers, body) = receiver.heard().remove(0);
    assert_eq!(
        (&body["type"], header(&headers, "webhook-id")),
        (&json!("webhook.test"), tested["id"].as_str().unwrap())
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let tested = ask(
        &house,
        Method::POST,
        "/v1/webhooks/test",
        &json!({"url": nobody}),
    )
    .await
    .json();
    assert!(
        tested["status"].is_null() && tested["error"].is_string(),
        "{tested}"
    );
    let strict = House::open().await;
    rotate(&strict, &Value::Null).await;
    let inside = receiver.url.replace("http://", "https://");
    for (url, pointer, code) in [
        (json!(receiver.url), "/url", "C182"),
        (json!("ftp://a.example"), "/url", "C182"),
        (json!(7), "/url", "C154"),
        (Value::Null, "/url", "C155"),
    ] {
        let refused = ask(
            &strict,
            Method::POST,
            "/v1/webhooks/test",
            &json!({"url": url}),
        )
        .await;
        assert_eq!(refused.problem(), (422, code.to_owned()), "{url}");
        assert_eq!(refused.json()["errors"][0]["pointer"], pointer);
    }
    // A private address behind https is refused at once, or when it is dialled.
    let refused = ask(
        &strict,
        Method::POST,
        "/v1/webhooks/test",
        &json!({"url": inside}),
    )
    .await;
    assert!(
        refused.status.as_u16() == 422 || refused.json()["error"].is_string(),
        "{refused:?}"
    );
    assert_eq!(receiver.heard().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_delivery_or_no_query_is_said() {
    let house = House::open().await;
    for id in ["018f0000-0000-7000-8000-000000000000", "x"] {
        for (method, path) in [
            (Method::GET, format!("/v1/deliveries/{id}")),
            (Method::POST, format!("/v1/deliveries/{id}/resend")),
        ] {
            let refused = ask(&house, method, &path, &Value::Null).await;
            assert_eq!(refused.problem(), (404, "R178".to_owned()), "{path}");
        }
    }
    for query in ["run=x", "status=lost", "limit=0", "sort=age"] {
        let refused = house.get(&format!("/v1/deliveries?{query}")).await;
        assert_eq!(refused.problem(), (400, "C190".to_owned()), "{query}");
    }
    let viewer = key(&house.modelrow, DEFAULT_TENANT, Role::Viewer).await;
    let request =
        Request::post("/v1/webhook-secret/rotate").header("authorization", bearer(&viewer));
    let refused = house.call(request.body(Body::empty()).unwrap()).await;
    assert_eq!(refused.problem(), (403, "C174".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_house_without_a_key_says_so_where_a_secret_is_to_be_sealed() {
    let house = House::open_with(BUNDLE, |options| {
        options.secret_keys = SecretKeys::default()
    })
    .await;
    let path = "/v1/webhook-secret/rotate";
    let refused = ask(&house, Method::POST, path, &Value::Null).await;
    assert_eq!(refused.problem(), (409, "S147".to_owned()));
}
