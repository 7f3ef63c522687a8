//! Options of traces, by the names that OpenTelemetry gives their variables.

use clap::Args;
use diag::Secret;
use runtime::TraceSettings;
use std::time::Duration;
use url::Url;

/// Where traces go.
#[derive(Args)]
pub(crate) struct TraceArgs {
    /// Collector that gets traces of calls and runs (OpenTelemetry, OTLP as protobuf over HTTP), such as http://127.0.0.1:4318, to
    /// which `/v1/traces` is added; without it nothing is traced. No prompt, output or secret is in a span
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL", value_parser = collector)]
    pub(crate) otlp_endpoint: Option<Collector>,
    /// Headers for the collector, such as its key: `name=value,name=value`, values percent-encoded
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_HEADERS",
        hide_env_values = true,
        value_name = "HEADERS"
    )]
    pub(crate) otlp_headers: Option<String>,
    /// Milliseconds in which the collector must answer; spans that it does not take are dropped and counted
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TIMEOUT", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(100..=60_000), value_name = "MS")]
    pub(crate) otlp_timeout: u64,
    /// What this service is called in traces
    #[arg(
        long,
        env = "OTEL_SERVICE_NAME",
        default_value = "modelrow",
        value_name = "NAME"
    )]
    pub(crate) service_name: String,
    /// The part of all runs that is traced, from 0 to 1, the same for all processes; and of calls without a `traceparent`
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", default_value_t = 1.0, value_parser = ratio, value_name = "RATIO")]
    pub(crate) trace_ratio: f64,
}

/// Short: the headers hold a key.
impl std::fmt::Debug for TraceArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TraceArgs")
            .field("otlp_endpoint", &self.otlp_endpoint)
            .finish_non_exhaustive()
    }
}

/// An address; an empty text is none, as OpenTelemetry wants its variables read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Collector(Option<Url>);

fn collector(text: &str) -> Result<Collector, String> {
    if text.trim().is_empty() {
        return Ok(Collector(None));
    }
    let url = Url::parse(text).ok();
    let good = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    };
    match url.filter(good) {
        Some(url) => Ok(Collector(Some(url))),
        None => Err("write the collector's base address, such as http://127.0.0.1:4318; its key goes into the headers".into()),
    }
}

fn ratio(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    let within = number.filter(|ratio| (0.0..=1.0).contains(ratio));
    within.ok_or_else(|| "write a number from 0 (none) to 1 (all)".to_owned())
}

impl TraceArgs {
    /// What the runtime is to be told; `None`: nothing is traced.
    ///
    /// # Errors
    ///
    /// The headers are none; what they say is not repeated, for it may be a key.
    pub(crate) fn settings(&self) -> Result<Option<TraceSettings>, String> {
        let Some(Collector(Some(endpoint))) = &self.otlp_endpoint else {
            return Ok(None);
        };
        Ok(Some(TraceSettings {
            headers: headers(self.otlp_headers.as_deref().unwrap_or_default())?,
            service: self.service_name.clone(),
            ratio: self.trace_ratio,
            timeout: Duration::from_millis(self.otlp_timeout),
            ..TraceSettings::new(endpoint.clone())
        }))
    }
}

/// As W3C Baggage writes them, without properties
/// (<https://opentelemetry.io/docs/specs/otel/protocol/exporter/#specifying-headers-via-environment-variables>).
fn headers(text: &str) -> Result<Vec<(String, Secret)>, String> {
    let entries = text.split(',').map(str::trim).filter(|one| !one.is_empty());
    let read = |(i, entry): (usize, &str)| {
        let bad = || format!("header {} for the collector is not `name=value`", i + 1);
        let (name, value) = entry.split_once('=').ok_or_else(bad)?;
        let value = percent_encoding::percent_decode_str(value.trim()).decode_utf8();
        let value = value.map_err(|_| bad())?.into_owned();
        let name = name.trim();
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let good = !name.is_empty() && name.bytes().all(token) && !value.contains(char::is_control);
        match good {
            true => Ok((name.to_ascii_lowercase(), Secret::from(value))),
            false => Err(bad()),
        }
    };
    entries.enumerate().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use diag::ExposeSecret as _;

    #[test]
    fn headers_are_read_as_opentelemetry_writes_them_and_never_repeated() {
        let read = headers(" Api-Key=a%20b%3D , x-team = core,").unwrap();
        let plain: Vec<(&str, &str)> = read
            .iter()
            .map(|(name, value)| (name.as_str(), value.expose_secret()))
            .collect();
        assert_eq!(plain, [("api-key", "a b="), ("x-team", "core")]);
        for bad in [
            "sk-hidden",
            "=sk-hidden",
            "a b=sk-hidden",
            "a=sk-hidden%0A",
            "a=sk-hidden%FF",
        ] {
            let why = headers(bad).unwrap_err();
            assert!(!why.contains("sk-hidden"), "{why}");
        }
    }

    #[test]
    fn a_collector_is_a_base_address_and_an_empty_one_is_none() {
        assert_eq!(collector(""), Ok(Collector(None)));
        for good in ["http://127.0.0.1:4318", "https://otel.example.com/in"] {
            assert!(collector(good).is_ok(), "{good}");
        }
        for bad in [
            "127.0.0.1:4318",
            "grpc://a:4317",
            "http://a/?key=b",
            "http://u:p@a",
        ] {
            assert!(collector(bad).is_err(), "{bad}");
        }
        assert!(ratio("0.25").is_ok() && ratio("1.1").is_err() && ratio("NaN").is_err());
    }
}
