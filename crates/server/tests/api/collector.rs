//! A collector of traces: OTLP as protobuf over HTTP, on a real socket.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use runtime::TraceSettings;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// What it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Takes,
    /// Reads the request and never answers.
    Hangs,
    /// 400, and a body that is no protobuf.
    Refuses,
    /// 200, and megabytes of nothing.
    Babbles,
}

/// One that runs as long as the test.
pub(crate) struct Collector {
    pub(crate) settings: TraceSettings,
    asked: Asked,
    _serving: tokio::task::JoinSet<()>,
}

#[derive(Clone)]
struct Asked {
    manner: Manner,
    got: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    count: watch::Sender<usize>,
}

impl Collector {
    pub(crate) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Asked {
            manner,
            got: Arc::default(),
            count: watch::Sender::new(0),
        };
        let app = Router::new().route("/v1/traces", post(take));
        let app = app.with_state(asked.clone());
        let mut serving = tokio::task::JoinSet::new();
        serving.spawn(async move { axum::serve(listener, app).await.unwrap() });
        let mut settings = TraceSettings::new(format!("http://{address}").parse().unwrap());
        settings.delay = Duration::from_millis(20);
        Self {
            settings,
            asked,
            _serving: serving,
        }
    }

    /// Until it was asked so often.
    pub(crate) async fn was_asked(&self, times: usize) {
        let mut count = self.asked.count.subscribe();
        let waits = count.wait_for(|count| *count >= times);
        let waited = tokio::time::timeout(crate::fixture::LIMIT, waits).await;
        waited
            .unwrap_or_else(|_| panic!("the collector was not asked"))
            .unwrap();
    }

    /// Everything that came, as it came.
    pub(crate) fn bodies(&self) -> Vec<Bytes> {
        let got = self.asked.got.lock().unwrap();
        got.iter().map(|(_, body)| body.clone()).collect()
    }

    /// Headers of the first request.
    pub(crate) fn headers(&self) -> HeaderMap {
        self.asked.got.lock().unwrap()[0].0.clone()
    }

    /// The attributes of the service, and every span.
    pub(crate) fn spans(&self) -> (Vec<KeyValue>, Vec<Span>) {
        let mut service = Vec::new();
        let mut spans = Vec::new();
        for body in self.bodies() {
            let request = ExportTraceServiceRequest::decode(body).unwrap();
            for resource in request.resource_spans {
                service = resource.resource.unwrap_or_default().attributes;
                spans.extend(
                    resource
                        .scope_spans
                        .into_iter()
                        .flat_map(|scope| scope.spans),
                );
            }
        }
        (service, spans)
    }
}

async fn take(
    State(asked): State<Asked>,
    headers: HeaderMap,
    body: Bytes,
) -> axum::response::Response {
    asked.got.lock().unwrap().push((headers, body));
    asked.count.send_modify(|count| *count += 1);
    match asked.manner {
        Manner::Takes => StatusCode::OK.into_response(),
        Manner::Hangs => std::future::pending().await,
        Manner::Refuses => (StatusCode::BAD_REQUEST, "no").into_response(),
        Manner::Babbles => vec![b' '; 4 << 20].into_response(),
    }
}

/// An attribute as text; empty where there is none.
pub(crate) fn text(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|one| one.key == key);
    match found.and_then(|one| one.value.clone()?.value) {
        Some(Any::StringValue(text)) => text,
        Some(Any::IntValue(number)) => number.to_string(),
        _ => String::new(),
    }
}
