//! The guard: what is checked is what is dialled.

use super::*;

/// A resolver that gives the next of its answers each time it is asked.
#[derive(Debug)]
struct Script(std::sync::Mutex<Vec<Vec<&'static str>>>, SocketAddr);

impl Names for Script {
    fn look_up(&self, _: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let mut answers = self.0.lock().unwrap();
        let answer = if answers.len() > 1 {
            answers.remove(0)
        } else {
            answers[0].clone()
        };
        let port = self.1.port();
        let found = answer
            .into_iter()
            .map(|ip| SocketAddr::new(ip.parse().unwrap(), port));
        std::future::ready(Ok(found.collect())).boxed()
    }
}

fn resolving(answers: Vec<Vec<&'static str>>, address: &str) -> Http {
    let socket = address.strip_prefix("http://").unwrap().parse().unwrap();
    Http::with(&(Arc::new(Script(answers.into(), socket)) as Arc<dyn Names>)).unwrap()
}

fn guard(answers: Vec<Vec<&'static str>>) -> Guard {
    Guard {
        allow_private: false,
        names: Arc::new(Script(answers.into(), SocketAddr::from(([0, 0, 0, 0], 0)))),
    }
}

/// For the public alone, over plain `http`, which a test can serve.
fn strictly(mut request: Request) -> Request {
    let strict = Allow {
        http: true,
        private: false,
    };
    let egress = profile::revision::Egress::default();
    request.policy = Arc::new(Policy::new(
        &egress,
        std::slice::from_ref(&request.url),
        strict,
    ));
    request.timeout_ms = 300;
    request
}

fn refused(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::NotSent(fault) if fault.kind == Kind::EgressRefused)
}

#[tokio::test]
async fn a_name_is_judged_by_the_addresses_that_are_dialled_whatever_it_is_called() {
    let (address, heads) = server(|stream, _| write(stream, "200 OK", "", b""));
    for ip in [
        "127.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "169.254.169.254",
        "fd00:ec2::254",
    ] {
        let http = resolving(vec![vec![ip]], &address);
        for name in [
            "acme.ai",
            "localhost",
            "a.localhost.",
            "metadata.internal",
            "xn--bcher-kva.example",
        ] {
            let request = strictly(request("GET", &format!("http://{name}/")));
            let outcome = http.send(&request).await;
            assert!(refused(&outcome), "{name} at {ip}: {outcome:?}");
        }
    }
    assert_eq!(heads.try_iter().count(), 0);
}

/// Of several records only the public ones are dialled, whatever their order.
#[tokio::test]
async fn of_mixed_records_none_that_is_private_is_dialled() {
    let records = vec!["10.0.0.1", "93.184.216.34", "::1", "2606:4700::1111"];
    let kept = guard(vec![records])
        .resolve("acme.ai".parse().unwrap())
        .await
        .unwrap();
    let kept: Vec<String> = kept.map(|address| address.ip().to_string()).collect();
    assert_eq!(kept, ["93.184.216.34", "2606:4700::1111"]);
}

/// What was checked at one moment is not dialled at another: each connection asks and judges anew.
#[tokio::test]
async fn a_name_that_changes_its_answer_to_a_private_one_is_not_dialled() {
    let guard = guard(vec![vec!["93.184.216.34"], vec!["127.0.0.1"]]);
    let name = || "acme.ai".parse().unwrap();
    assert_eq!(guard.resolve(name()).await.unwrap().count(), 1);
    assert!(guard.resolve(name()).await.is_err());

    let (address, heads) = server(|stream, _| write(stream, "200 OK", "", b""));
    let http = resolving(vec![vec!["192.0.2.1"], vec!["127.0.0.1"]], &address);
    for _ in 0..2 {
        let outcome = http
            .send(&strictly(request("GET", "http://acme.ai/")))
            .await;
        assert!(refused(&outcome), "{outcome:?}");
    }
    assert_eq!(heads.try_iter().count(), 0);
}

/// A connection that an operator's policy dialled idles in a pool of its own.
#[tokio::test]
async fn a_connection_dialled_for_private_addresses_never_serves_a_policy_without_them() {
    let (address, heads) = server(|stream, _| write(stream, "200 OK", "", b"{}"));
    let http = resolving(vec![vec!["127.0.0.1"]], &address);
    let port = address.rsplit(':').next().unwrap();
    let open = request("GET", &format!("http://acme.ai:{port}/"));
    assert!(matches!(http.send(&open).await, Outcome::Answered(_)));
    let outcome = http.send(&strictly(open)).await;
    assert!(refused(&outcome), "{outcome:?}");
    assert_eq!(heads.try_iter().count(), 1);
}

#[tokio::test]
async fn a_redirect_to_a_name_with_a_private_address_is_not_dialled() {
    let (address, heads) = server(|stream, _| write(stream, "200 OK", "", b"inner"));
    let asked = strictly(request("GET", "http://acme.ai/"));
    let next = redirect::next(&asked, 302, Some("http://inner.example/"), 0);
    let http = resolving(vec![vec!["127.0.0.1"]], &address);
    let outcome = http.send(&next.unwrap().unwrap()).await;
    assert!(refused(&outcome), "{outcome:?}");
    assert_eq!(heads.try_iter().count(), 0);
}

/// Run again by the test below, as a process of its own with proxies in its environment.
#[test]
#[ignore = "started by `proxies_of_the_environment_are_not_asked`"]
fn a_request_to_the_origin_that_the_test_above_named() {
    let (address, heads) = server(|stream, _| write(stream, "200 OK", "", b"origin"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let outcome = runtime.block_on(sent(&request("GET", &address)));
    assert!(
        matches!(&outcome, Outcome::Answered(got) if &got.body[..] == b"origin"),
        "{outcome:?}"
    );
    assert_eq!(heads.try_iter().count(), 1);
}

#[test]
fn proxies_of_the_environment_are_not_asked() {
    let (proxy, asked) = server(|stream, _| write(stream, "200 OK", "", b"proxy"));
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args([
        "--exact",
        "--ignored",
        "http::tests::guard::a_request_to_the_origin_that_the_test_above_named",
    ]);
    for name in [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    ] {
        command.env(name, &proxy);
    }
    command.env_remove("NO_PROXY").env_remove("no_proxy");
    let ended = command.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(
        ended.status.success() && said.contains("1 passed"),
        "{said}"
    );
    assert_eq!(asked.try_iter().count(), 0);
}

#[tokio::test]
async fn a_name_with_none_but_private_addresses_is_not_dialled() {
    let (address, heads) = server(|stream, _| write(stream, "200 OK", "", b""));
    let address = address.replace("127.0.0.1", "localhost");
    let mut request = request("GET", &address);
    let strict = Allow {
        http: true,
        private: false,
    };
    request.policy = Arc::new(Policy::new(
        &profile::revision::Egress::default(),
        std::slice::from_ref(&request.url),
        strict,
    ));
    not_sent_as(&sent(&request).await, Kind::EgressRefused);
    assert_eq!(heads.try_iter().count(), 0);
}
