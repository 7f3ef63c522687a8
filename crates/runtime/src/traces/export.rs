//! The way of spans to the collector: a bounded queue, a thread of its own, OTLP as protobuf over HTTP. What does not fit, or
//! is not taken, is dropped and counted; whoever writes a span waits for nothing.

use super::{Span, name};
use diag::{ExposeSecret as _, Secret};
use engine::http::{PostError, Poster};
use futures_util::future::BoxFuture;
use http::header::{
    CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};
use opentelemetry::KeyValue;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    Protocol, SpanExporter as Otlp, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanExporter, SpanProcessor as _,
};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use url::Url;
use uuid::Uuid;

/// A collector that is away is told of at most so often.
const TOLD_EVERY: Duration = Duration::from_secs(60);
/// The trace ids that a ratio divides: their last 56 bits (W3C Trace Context 2, "random trace id").
const ALL_IDS: f64 = 72_057_594_037_927_936.0;

/// Where spans go, and how many.
#[derive(Debug, Clone)]
pub struct TraceSettings {
    /// Base address of an OTLP collector over HTTP: `http://127.0.0.1:4318`. `/v1/traces` is added.
    pub endpoint: Url,
    /// Headers that go with them: the collector's key.
    pub headers: Vec<(String, Secret)>,
    /// `service.name`
    pub service: String,
    /// The part of all runs, and of calls without a `traceparent`, that is traced, from 0 to 1.
    pub ratio: f64,
    /// In which a request to the collector must be answered.
    pub timeout: Duration,
    /// Spans that may wait; what comes beside is dropped.
    pub queue: usize,
    /// How long a span waits for others to go with it.
    pub delay: Duration,
}

impl TraceSettings {
    /// Defaults for everything else, as the OpenTelemetry specification has them.
    #[must_use]
    pub fn new(endpoint: Url) -> Self {
        Self {
            endpoint,
            headers: Vec::new(),
            service: "modelrow".to_owned(),
            ratio: 1.0,
            timeout: Duration::from_secs(10),
            queue: 2_048,
            delay: Duration::from_secs(5),
        }
    }
}

/// Traces that cannot be sent as configured.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// No client for the collector.
    #[error("no client for the collector of traces")]
    Client(#[source] PostError),
    /// It cannot be written.
    #[error("the header `{0}` for the collector of traces cannot be written")]
    Header(String),
    /// The settings are none of an exporter.
    #[error("the collector of traces cannot be called: {0}")]
    Exporter(String),
}

/// Where spans go: nowhere, unless it is started. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Traces(Option<Arc<Pipeline>>);

#[derive(Debug)]
struct Pipeline {
    processor: BatchSpanProcessor,
    counts: Counts,
    queue: usize,
    /// Runs below it, by the last 56 bits of their ids, are not traced.
    from: u64,
}

/// What became of spans.
#[derive(Debug, Clone, Default)]
struct Counts {
    /// Those in the queue, and on their way.
    pending: Arc<AtomicUsize>,
    spans: Family<Became, Counter>,
    told: Arc<Mutex<Option<Instant>>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Became {
    outcome: &'static str,
}

impl Traces {
    /// Starts the thread that sends. To be called within a Tokio runtime, which then does the requests.
    ///
    /// # Errors
    ///
    /// [`TracesError`]: the settings cannot be used. Whether the collector is there is not asked.
    pub fn start(settings: TraceSettings) -> Result<Self, TracesError> {
        let client = Client {
            poster: Poster::new(settings.timeout).map_err(TracesError::Client)?,
            handle: Handle::current(),
            headers: headers(&settings.headers)?,
        };
        let counts = Counts::default();
        let otlp = otlp(client, &settings)?;
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(settings.queue)
            .with_scheduled_delay(settings.delay)
            .build();
        let exporter = Counted {
            inner: otlp,
            counts: counts.clone(),
        };
        let mut processor = BatchSpanProcessor::new(exporter, config);
        processor.set_resource(&resource(settings.service));
        Ok(Self(Some(Arc::new(Pipeline {
            processor,
            counts,
            queue: settings.queue,
            from: threshold(settings.ratio),
        }))))
    }

    /// Sends what waits, for at most so long. Spans that come later are dropped.
    pub async fn end(&self, within: Duration) {
        let Some(pipeline) = self.0.clone() else {
            return;
        };
        let ending = Arc::clone(&pipeline);
        let ended =
            tokio::task::spawn_blocking(move || ending.processor.shutdown_with_timeout(within));
        let sent = matches!(ended.await, Ok(Ok(())));
        let left = pipeline.counts.pending.load(Ordering::Relaxed);
        if !sent || left > 0 {
            tracing::warn!(
                spans = left,
                "spans were left behind: the collector of traces did not take them"
            );
        }
    }

    /// Counts of spans by what became of them, for the metrics. Absent: there are none.
    pub(crate) fn counts(&self) -> Option<Family<Became, Counter>> {
        self.0
            .as_ref()
            .map(|pipeline| pipeline.counts.spans.clone())
    }

    /// Whether there is a trace of this run: every process decides the same.
    pub(crate) fn of_run(&self, run: Uuid) -> bool {
        self.takes(run.as_u128())
    }

    /// The same of any trace, by its id.
    pub(super) fn takes(&self, trace: u128) -> bool {
        let Some(pipeline) = &self.0 else {
            return false;
        };
        let random = u64::try_from(trace & ((1 << 56) - 1)).unwrap_or(0);
        random >= pipeline.from
    }

    /// Whether anything is traced at all.
    pub(super) fn are_on(&self) -> bool {
        self.0.is_some()
    }

    /// Puts a span into the queue, or drops it.
    pub(super) fn put(&self, span: Span) {
        let Some(pipeline) = &self.0 else { return };
        if pipeline.counts.enter(pipeline.queue) {
            pipeline.processor.on_end(span.data());
        }
    }
}

/// Of the last 56 bits of an id: from there on it is traced.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and 2^56"
)]
fn threshold(ratio: f64) -> u64 {
    ((1.0 - ratio.clamp(0.0, 1.0)) * ALL_IDS) as u64
}

fn headers(settings: &[(String, Secret)]) -> Result<HeaderMap, TracesError> {
    let mut all = HeaderMap::new();
    for (name, value) in settings {
        let bad = || TracesError::Header(name.clone());
        let key = HeaderName::try_from(name).map_err(|_| bad())?;
        let mut value = HeaderValue::try_from(value.expose_secret()).map_err(|_| bad())?;
        value.set_sensitive(true);
        all.append(key, value);
    }
    Ok(all)
}

fn resource(service: String) -> Resource {
    Resource::builder_empty()
        .with_service_name(service)
        .with_attribute(KeyValue::new(name::VERSION, env!("CARGO_PKG_VERSION")))
        .build()
}

fn otlp(client: Client, settings: &TraceSettings) -> Result<Otlp, TracesError> {
    let base = settings.endpoint.as_str().trim_end_matches('/');
    Otlp::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{base}/v1/traces"))
        .with_timeout(settings.timeout)
        .build()
        .map_err(|error| TracesError::Exporter(error.to_string()))
}

impl Counts {
    /// Whether one more may wait. The processor's own queue is as long, so that it never drops one uncounted.
    fn enter(&self, queue: usize) -> bool {
        let more = |pending: usize| (pending < queue).then_some(pending + 1);
        let entered = self
            .pending
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_ok();
        if !entered {
            self.became("dropped", 1);
        }
        entered
    }

    fn left(&self, spans: usize, sent: &OTelSdkResult) {
        self.pending.fetch_sub(spans, Ordering::Relaxed);
        let Err(error) = sent else {
            return self.became("sent", spans);
        };
        self.became("failed", spans);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|at| at.elapsed() >= TOLD_EVERY) {
            *told = Some(Instant::now());
            tracing::warn!(spans, %error, "the collector of traces did not take spans; runs go on without it");
        }
    }

    fn became(&self, outcome: &'static str, spans: usize) {
        let spans = u64::try_from(spans).unwrap_or(u64::MAX);
        self.spans.get_or_create(&Became { outcome }).inc_by(spans);
    }
}

/// An exporter whose batches are counted.
#[derive(Debug)]
struct Counted<E> {
    inner: E,
    counts: Counts,
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let sent = self.inner.export(batch).await;
        self.counts.left(spans, &sent);
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Our client, on the program's runtime: the thread that sends has none.
#[derive(Debug)]
struct Client {
    poster: Poster,
    handle: Handle,
    /// Ours alone: the library would add what the environment says, over our own settings.
    headers: HeaderMap,
}

impl Client {
    fn with_our_headers(&self, mut request: Request<Bytes>) -> Request<Bytes> {
        let given = std::mem::replace(request.headers_mut(), self.headers.clone());
        for name in [CONTENT_TYPE, CONTENT_ENCODING, USER_AGENT] {
            if let Some(value) = given.get(&name) {
                request.headers_mut().insert(name, value.clone());
            }
        }
        request
    }
}

impl HttpClient for Client {
    fn send_bytes<'me, 'sent>(
        &'me self,
        request: Request<Bytes>,
    ) -> BoxFuture<'sent, Result<Response<Bytes>, HttpError>>
    where
        'me: 'sent,
        Self: 'sent,
    {
        let poster = self.poster.clone();
        let request = self.with_our_headers(request);
        let sending = self.handle.spawn(async move { poster.send(request).await });
        Box::pin(async move { Ok(sending.await??) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_takes_its_part_of_the_runs_and_the_same_ones_everywhere() {
        let cases = [(0.0, 0_u64, 0), (0.25, 150, 350), (1.0, 1_000, 1_000)];
        for (ratio, least, most) in cases {
            let from = threshold(ratio);
            let taken = (0..1_000_u64)
                .filter(|_| rand::random::<u64>() >> 8 >= from)
                .count() as u64;
            assert!((least..=most).contains(&taken), "{ratio}: {taken}");
        }
    }

    #[test]
    fn a_full_queue_drops_and_counts_and_has_room_again_once_a_batch_has_left() {
        let counts = Counts::default();
        assert!(counts.enter(2) && counts.enter(2));
        assert!(!counts.enter(2), "it is full");
        let dropped = Became { outcome: "dropped" };
        assert_eq!(counts.spans.get_or_create(&dropped).get(), 1);
        counts.left(2, &Ok(()));
        assert!(counts.enter(2));
    }
}
