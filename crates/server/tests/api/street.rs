//! A server on a socket, and a proxy in front that breaks connections: what the official clients drive.

#![expect(
    clippy::disallowed_methods,
    reason = "server and proxy end with the test's runtime"
)]

use crate::clients::Client;
use crate::fixture::{House, key};
use crate::tools::told;
use runtime::{OverLimit, Role, RunFilter, RunSummary, TenantLimits};
use server::{Access, serve};
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

/// Prompts that are answered once by a connection that breaks.
pub(crate) const CUT: &str = "CUT ";

/// All of it.
pub(crate) struct Street {
    pub(crate) house: House,
    proxy: SocketAddr,
    /// Key of a tenant that may make no run.
    limited: String,
}

impl Street {
    pub(crate) async fn in_front_of(house: House) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        let serving = serve(
            house.modelrow.clone(),
            listener,
            Access::Keys,
            std::future::pending(),
        );
        drop(tokio::spawn(serving));
        let poor = tenant(&house, "poor").await;
        let none = TenantLimits {
            max_in_flight: None,
            max_queued: None,
            runs_per_day: Some(0),
            spend_per_month: None,
            currency: "USD".into(),
            over_limit: OverLimit::Refuse,
        };
        let set = house.modelrow.set_limits(poor, Some(&none), "the test");
        set.await.unwrap();
        Self {
            limited: key(&house.modelrow, poor, Role::Caller).await,
            proxy: proxy(server).await,
            house,
        }
    }

    /// Runs a script of `tests/openai` for a tenant of its own: so many of its sentences hold.
    pub(crate) async fn script(
        &self,
        language: &str,
        (client, script): (Client, &str),
        more: &[(&str, &OsStr)],
        sentences: usize,
    ) -> Uuid {
        let tenant = tenant(&self.house, language).await;
        let mut command = client.command(script);
        command
            .env("MODELROW_URL", format!("http://{}/openai/v1", self.proxy))
            .env(
                "MODELROW_KEY",
                key(&self.house.modelrow, tenant, Role::Caller).await,
            )
            .env("MODELROW_LIMITED_KEY", &self.limited)
            .envs(more.iter().copied());
        let ran = tokio::task::spawn_blocking(move || command.output());
        let ran = ran.await.unwrap().unwrap();
        let told = told(&ran);
        assert!(ran.status.success(), "{language}: {told}");
        assert_eq!(told.matches("ok ").count(), sentences, "{language}: {told}");
        tenant
    }

    /// Every run of a tenant.
    pub(crate) async fn runs(&self, tenant: Uuid) -> Vec<RunSummary> {
        let all = RunFilter {
            limit: Some(500),
            ..RunFilter::default()
        };
        let modelrow = &self.house.modelrow;
        modelrow.runs(tenant, &all).await.unwrap().runs
    }
}

async fn tenant(house: &House, slug: &str) -> Uuid {
    let made = house.modelrow.tenant_create(slug, "the test").await;
    made.unwrap().id
}

/// Hands on what comes, and breaks the connection where the answer to a prompt with [`CUT`] comes for the first time: the run is made by then.
async fn proxy(server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let cut = Arc::new(Mutex::new(Vec::new()));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(hand_on(client, server, Arc::clone(&cut)));
        }
    });
    address
}

/// Prompts whose answers were cut.
type Cut = Arc<Mutex<Vec<String>>>;

async fn hand_on(mut client: TcpStream, server: SocketAddr, cut: Cut) {
    let mut server = TcpStream::connect(server).await.unwrap();
    let (mut sent, mut request, mut answer) = (Vec::new(), vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            Ok(read) = client.read(&mut request) => {
                sent.extend(&request[..read]);
                if read == 0 || server.write_all(&request[..read]).await.is_err() { return; }
            }
            Ok(read) = server.read(&mut answer) => {
                if read == 0 || is_cut(&sent, &cut) || client.write_all(&answer[..read]).await.is_err() { return; }
                sent.clear();
            }
            else => return,
        }
    }
}

/// Whether the request has a prompt whose answer is to be cut, and was not yet.
fn is_cut(request: &[u8], cut: &Cut) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some(at) = text.find(CUT) else {
        return false;
    };
    let prompt: String = text[at..]
        .chars()
        .take_while(|char| char.is_ascii_alphabetic() || " ,".contains(*char))
        .collect();
    let mut cut = cut.lock().unwrap();
    let first = !cut.contains(&prompt);
    cut.push(prompt);
    first
}
