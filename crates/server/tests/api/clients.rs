//! The official clients, which change their base URL and nothing else. The scripts are in `tests/openai`; what they need is installed
//! below `target/`, once, from lock files.

#![expect(
    clippy::disallowed_methods,
    reason = "server and proxy end with the test's runtime"
)]

use crate::fixture::{BUNDLE, House, LIMIT, apply, key};
use crate::openai::{FILM, png};
use runtime::{OverLimit, Role, RunFilter, TenantLimits};
use serde_json::json;
use server::{Access, serve};
use sha2::{Digest as _, Sha256};
use simulator::JobPlan;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

/// Prompts that are answered once by a connection that breaks.
pub(crate) const CUT: &str = "CUT ";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn official_clients_make_videos_and_read_our_errors_as_theirs_and_their_retries_make_no_second_run()
 {
    let clients = tokio::task::spawn_blocking(|| (python(), node()));
    let street = Street::open().await;
    let (python, node) = clients.await.unwrap();
    for (language, client) in [("python", python), ("node", node)] {
        let tenant = street.script(language, client).await;
        street.made_once(language, tenant).await;
    }
}

/// A server on a socket, and a proxy in front that breaks connections.
struct Street {
    house: House,
    proxy: SocketAddr,
    picture: tempfile::NamedTempFile,
    limited: String,
}

impl Street {
    async fn open() -> Self {
        let jobs = JobPlan {
            queue_ms: 0,
            run_ms: 100,
            ..JobPlan::default()
        };
        let house = House::open_for(jobs, BUNDLE, |_| {}).await;
        apply(&house.modelrow, &house.provider, FILM).await;
        let slowly = json!({"on": {"operation": "create", "prompt_contains": "slowly"}, "times": 0, "do": {"job": {"never_ends": true}}});
        house
            .provider
            .script(vec![serde_json::from_value(slowly).unwrap()]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        tokio::spawn(serve(
            house.modelrow.clone(),
            listener,
            Access::Keys,
            std::future::pending(),
        ));
        let picture = tempfile::Builder::new().suffix(".png").tempfile().unwrap();
        fs::write(&picture, png(720, 1280)).unwrap();
        let poor = tenant(&house, "poor").await;
        let none = TenantLimits {
            max_in_flight: None,
            max_queued: None,
            runs_per_day: Some(0),
            spend_per_month: None,
            currency: "USD".into(),
            over_limit: OverLimit::Refuse,
        };
        house
            .modelrow
            .set_limits(poor, Some(&none), "the test")
            .await
            .unwrap();
        Self {
            limited: key(&house.modelrow, poor, Role::Caller).await,
            proxy: proxy(server).await,
            picture,
            house,
        }
    }

    /// Runs a script of `tests/openai` for a tenant of its own.
    async fn script(&self, language: &str, client: Client) -> Uuid {
        let tenant = tenant(&self.house, language).await;
        let script = client.videos;
        let mut command = client.command(script);
        command
            .env("MODELROW_URL", format!("http://{}/openai/v1", self.proxy))
            .env(
                "MODELROW_KEY",
                key(&self.house.modelrow, tenant, Role::Caller).await,
            )
            .env("MODELROW_LIMITED_KEY", &self.limited)
            .env("MODELROW_PICTURE", self.picture.path());
        let ran = tokio::task::spawn_blocking(move || command.output());
        let ran = ran.await.unwrap().unwrap();
        assert!(ran.status.success(), "{language}: {}", told(&ran));
        assert_eq!(
            told(&ran).matches("ok ").count(),
            8,
            "{language}: {}",
            told(&ran)
        );
        tenant
    }

    /// Each prompt whose answer was cut made one run and one job, and each call that was sent twice on purpose two.
    async fn made_once(&self, language: &str, tenant: Uuid) {
        let modelrow = &self.house.modelrow;
        let all = RunFilter {
            limit: Some(500),
            ..RunFilter::default()
        };
        let runs = modelrow.runs(tenant, &all).await.unwrap().runs;
        let mut prompts = Vec::new();
        for run in &runs {
            prompts.push(
                modelrow
                    .asked(tenant, "video", run.id)
                    .await
                    .unwrap()
                    .call
                    .prompt
                    .unwrap(),
            );
        }
        let cut = format!("{CUT}{language}");
        let with_file = format!("{cut}, with a file");
        let twice = format!("twice, {language}");
        for (prompt, want) in [(&cut, 1), (&with_file, 1), (&twice, 2)] {
            let found = prompts.iter().filter(|have| *have == prompt).count();
            assert_eq!(found, want, "runs of `{prompt}`");
            let jobs = self.house.provider.wait_until(LIMIT, |provider| {
                provider
                    .accepted_jobs()
                    .iter()
                    .filter(|job| job.prompt == *prompt)
                    .count()
                    == want
            });
            assert!(jobs.await, "jobs of `{prompt}`");
        }
    }
}

pub(crate) async fn tenant(house: &House, slug: &str) -> Uuid {
    let made = house.modelrow.tenant_create(slug, "the test").await;
    made.unwrap().id
}

/// Hands on what comes, and breaks the connection where the answer to a prompt with [`CUT`] comes for the first time: the run is made by then.
pub(crate) async fn proxy(server: SocketAddr) -> SocketAddr {
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

/// An official client that is installed, and its script.
pub(crate) struct Client {
    program: PathBuf,
    videos: &'static str,
    env: Vec<(&'static str, PathBuf)>,
}

impl Client {
    /// Runs a script of `tests/openai`.
    pub(crate) fn command(self, script: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(scripts().join(script)).envs(self.env);
        command
    }
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/openai")
}

pub(crate) fn python() -> Client {
    let install = |folder: &Path| {
        let venv = Command::new("python3")
            .args(["-m", "venv"])
            .arg(folder)
            .output();
        done(
            "python3 -m venv",
            venv,
            "install Python 3.10 or newer, with its modules `venv` and `pip`",
        );
        let mut pip = Command::new(folder.join("bin/python"));
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--require-hashes",
            "-r",
        ]);
        let installed = pip.arg(scripts().join("requirements.txt")).output();
        done(
            "pip install",
            installed,
            "PyPI must be reachable, or what `pip` is configured to use instead",
        );
    };
    let folder = installed("requirements.txt", install);
    Client {
        program: folder.join("bin/python"),
        videos: "videos.py",
        env: Vec::new(),
    }
}

pub(crate) fn node() -> Client {
    let install = |folder: &Path| {
        for file in ["package.json", "package-lock.json"] {
            fs::copy(scripts().join(file), folder.join(file)).unwrap();
        }
        let mut npm = Command::new("npm");
        let installed = npm
            .args(["ci", "--no-audit", "--no-fund"])
            .current_dir(folder)
            .output();
        done(
            "npm ci",
            installed,
            "install Node.js 20 or newer with `npm`; its registry must be reachable",
        );
    };
    let folder = installed("package-lock.json", install);
    Client {
        program: "node".into(),
        videos: "videos.cjs",
        env: vec![("NODE_PATH", folder.join("node_modules"))],
    }
}

/// The folder in which what a lock file names is installed: once for each state of the file, whoever asks at the same time.
fn installed(lock_file: &str, install: impl FnOnce(&Path)) -> PathBuf {
    let digest = Sha256::digest(fs::read(scripts().join(lock_file)).unwrap());
    let name = format!("openai-{lock_file}-{}", hex::encode(&digest[..6]));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let ready = folder.join("ready");
    let lock = File::create(folder.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    if !ready.exists() {
        fs::create_dir_all(&folder).unwrap();
        install(&folder);
        fs::write(ready, "").unwrap();
    }
    folder
}

fn done(what: &str, output: std::io::Result<Output>, help: &str) {
    match output {
        Err(error) => panic!("`{what}` cannot be started: {error}; {help}"),
        Ok(output) => assert!(
            output.status.success(),
            "`{what}` failed; {help}\n{}",
            told(&output)
        ),
    }
}

/// What a program said.
pub(crate) fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}
