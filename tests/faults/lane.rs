//! A server of its own, with a database ready for each model: seeds of one lane follow each other.

use crate::bundle::{Model, TOKEN_PATH, bundle};
use diag::Secret;
use runtime::{LeaseTimes, Modelrow, NoSecret, Options, Retention, Secrets, Work};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::embedded::{self, Embedded};
use store::{SYSTEM_TENANT, Store};

/// After so long without a word a worker is dead.
pub(crate) const LEASE: Duration = Duration::from_millis(1_500);
const KEY: &str = "acme-test-key";
/// Before the process id, in the folder for temporary files.
const PREFIX: &str = "modelrow-faults-";

/// Every change of a run's state, by a trigger that no statement of ours knows of.
const AUDIT: &str = "
create table fault_audit (n bigint generated always as identity, run_id uuid, was text, became text, ver_was bigint, ver bigint, cancel boolean);
create function fault_audited() returns trigger language plpgsql security definer as $$ begin
    insert into fault_audit (run_id, was, became, ver_was, ver, cancel)
    values (new.run_id, old.state, new.state, old.ver, new.ver, old.cancel_requested_at is distinct from new.cancel_requested_at);
    return new;
end $$;
create trigger fault_audited after update on run_states for each row execute function fault_audited();
grant select on fault_audit to modelrow;";

/// Rules that a build is without in the database: a cancel makes whoever acts on the run stale; a replay is not counted
/// before it is sent.
const BROKEN_THERE: [(&str, &str); 2] = [
    (
        "cancel_bumps_ver",
        "create function fault_bumped() returns trigger language plpgsql as $$ begin
             if new.state = old.state and old.cancel_requested_at is null and new.cancel_requested_at is not null then new.ver := new.ver + 1; end if;
             return new;
         end $$;
         create trigger fault_bumped before update on run_states for each row execute function fault_bumped();",
    ),
    (
        "replays_not_counted",
        "create function fault_uncounted() returns trigger language plpgsql as $$ begin
             new.replays := old.replays;
             return new;
         end $$;
         create trigger fault_uncounted before update on submit_attempts for each row execute function fault_uncounted();",
    ),
];

/// What breaks a rule in the database; absent: it is broken in the program.
pub(crate) fn broken_there(rule: &str) -> Option<&'static str> {
    let found = BROKEN_THERE.iter().find(|(name, _)| *name == rule);
    found.map(|(_, sql)| *sql)
}

pub(crate) struct Lane {
    pub(crate) folder: PathBuf,
    options: embedded::Options,
    server: Mutex<Option<Embedded>>,
}

#[derive(Debug)]
struct OneKey;

impl Secrets for OneKey {
    fn open(&self, _: &str) -> Result<Secret, NoSecret> {
        Ok(Secret::from(KEY.to_owned()))
    }
}

/// What the client of access tokens proves itself with.
pub(crate) const CLIENT: &str = r#"{"client_id": "modelrow", "client_secret": "hush-hush-1234"}"#;

impl Lane {
    /// Starts the server and makes the databases that those of the seeds are copies of.
    pub(crate) async fn start(n: u64, models: &[Model], broken: Option<&str>) -> Self {
        remove_stale();
        let name = format!("{PREFIX}{}-{n}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let found = embedded::Options::default_for_user(|name| std::env::var_os(name)).unwrap();
        let options = embedded::Options {
            data_dir: folder.join("pg"),
            fsync: false,
            ..found
        };
        std::fs::create_dir_all(&folder).unwrap();
        let lane = Self {
            folder,
            options,
            server: Mutex::new(None),
        };
        lane.launch().await;
        // Without fsync the server answers before the log is written out; a restart would then lose what was acknowledged.
        let superuser = lane.url("postgres", "postgres");
        sql(&superuser, "alter role modelrow set synchronous_commit = on; alter role modelrow_owner set synchronous_commit = on").await;
        for model in models {
            lane.template(*model, broken).await;
        }
        lane
    }

    async fn template(&self, model: Model, broken: Option<&str>) {
        let name = template(model);
        let (owner, url) = (
            self.url("modelrow_owner", &name),
            self.url("modelrow", &name),
        );
        sql(
            &self.url("modelrow_owner", "postgres"),
            &format!("create database {name}"),
        )
        .await;
        Store::migrate(&owner).await.unwrap();
        let admin = caller(&url, &self.folder).await;
        let (read, _) = profile::bundle::check("bundle.json", &bundle(model).to_string());
        assert!(!read.diagnostics.has_errors(), "{}", read.diagnostics);
        admin.apply(SYSTEM_TENANT, &read.rows).await.unwrap();
        admin.shutdown(Duration::ZERO).await;
        sql(&owner, AUDIT).await;
        if let Some(trigger) = broken {
            sql(&owner, trigger).await;
        }
    }

    async fn launch(&self) {
        let options = self.options.clone();
        let started = tokio::task::spawn_blocking(move || Embedded::start(&options, &mut |_| {}));
        let server = started.await.unwrap().unwrap();
        *self.server.lock().unwrap() = Some(server);
    }

    /// As a power cut would, but for the file system: no connection is ended, nothing is written out.
    pub(crate) async fn restart(&self) {
        self.quit().await;
        self.launch().await;
    }

    async fn quit(&self) {
        let pid = std::fs::read_to_string(self.options.data_dir.join("pg/postmaster.pid")).unwrap();
        let pid: i32 = pid.lines().next().unwrap().trim().parse().unwrap();
        let server = self.server.lock().unwrap().take();
        let stopped = tokio::task::spawn_blocking(move || {
            let ended = server.as_ref().map(Embedded::exited);
            let quit = nix::sys::signal::Signal::SIGQUIT;
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), quit).unwrap();
            drop(ended.map(|ended| ended.wait()));
            drop(server);
        });
        stopped.await.unwrap();
    }

    /// A copy of the whole cluster, as a backup or a standby has it. Nobody may be connected.
    pub(crate) async fn copy(&self) {
        let server = self.server.lock().unwrap().take().unwrap();
        let stopped = tokio::task::spawn_blocking(move || server.stop(Duration::from_secs(10)));
        stopped.await.unwrap().unwrap();
        let (from, to) = (
            self.options.data_dir.join("pg"),
            self.options.data_dir.join("copy"),
        );
        let copied = std::process::Command::new("cp")
            .arg("-a")
            .args([from, to])
            .status();
        assert!(copied.unwrap().success());
        self.launch().await;
    }

    /// Ends the server without a word, and recovers from the copy: it ends on a timeline of its own.
    pub(crate) async fn go_back(&self) {
        self.quit().await;
        let at = |name: &str| self.options.data_dir.join(name);
        std::fs::rename(at("pg"), at("lost")).unwrap();
        std::fs::rename(at("copy"), at("pg")).unwrap();
        std::fs::write(at("pg/recovery.signal"), "").unwrap();
        let settings = at("pg/postgresql.auto.conf");
        let text = std::fs::read_to_string(&settings).unwrap();
        std::fs::write(settings, format!("{text}\nrestore_command = 'false'\n")).unwrap();
        self.launch().await;
    }

    /// A base backup of the running server, which is to be a standby. `false`: the machine has no program for it.
    pub(crate) async fn base_backup(&self) -> bool {
        let Some(program) = pg_basebackup() else {
            return false;
        };
        let (socket, to) = (
            self.options.data_dir.join("run"),
            self.options.data_dir.join("copy"),
        );
        let pg = self.options.data_dir.join("pg");
        let made = tokio::task::spawn_blocking(move || {
            let mut command = std::process::Command::new(program);
            command
                .args(["-U", "postgres", "-X", "stream", "-c", "fast", "-R", "-h"])
                .arg(&socket)
                .arg("-D")
                .arg(&to);
            assert!(command.status().unwrap().success());
            own_alike(&pg, &to);
        });
        made.await.unwrap();
        true
    }

    /// The server ends without a word; the standby answers in its place, read-only, and is promoted a second later.
    pub(crate) async fn fail_over(&self) {
        self.quit().await;
        let at = |name: &str| self.options.data_dir.join(name);
        std::fs::rename(at("pg"), at("lost")).unwrap();
        std::fs::rename(at("copy"), at("pg")).unwrap();
        let promote = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            std::fs::write(at("pg/promote"), "").unwrap();
            let pid = std::fs::read_to_string(at("pg/postmaster.pid")).unwrap();
            let pid: i32 = pid.lines().next().unwrap().trim().parse().unwrap();
            let told = nix::sys::signal::Signal::SIGUSR1;
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), told).unwrap();
        };
        tokio::join!(self.launch(), promote);
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.options.data_dir.join("run/.s.PGSQL.5432")
    }

    pub(crate) fn url(&self, role: &str, database: &str) -> String {
        let folder = self.options.data_dir.join("run");
        let host: String =
            url::form_urlencoded::byte_serialize(folder.to_str().unwrap().as_bytes()).collect();
        format!("postgres://{role}@{host}:5432/{database}?sslmode=disable")
    }

    /// A database for one seed.
    pub(crate) async fn database(&self, name: &str, model: Model, provider: &str) {
        let maker = self.url("modelrow_owner", "postgres");
        let from = template(model);
        sql(&maker, &format!("create database {name} template {from}")).await;
        let rate = model
            .rate()
            .map_or_else(|| "null".to_owned(), |rate| rate.to_string());
        let set = format!(
            "update provider_api_credentials set endpoint_url = '{provider}', rate_limit_per_minute = {rate};
             update provider_auth_profiles set config = jsonb_set(config, '{{token_url}}', to_jsonb('{provider}{TOKEN_PATH}'::text))
                where config ? 'token_url'"
        );
        sql(&self.url("modelrow", name), &set).await;
    }

    pub(crate) async fn forget(&self, name: &str) {
        let maker = self.url("modelrow_owner", "postgres");
        sql(&maker, &format!("drop database {name} with (force)")).await;
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        drop(self.server.lock().map(|mut server| server.take()));
        let _left = std::fs::remove_dir_all(&self.folder);
    }
}

fn pg_basebackup() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let installed = std::fs::read_dir("/usr/lib/postgresql");
    folders.extend(
        installed
            .into_iter()
            .flatten()
            .flatten()
            .map(|version| version.path().join("bin")),
    );
    folders
        .into_iter()
        .map(|folder| folder.join("pg_basebackup"))
        .find(|program| program.exists())
}

/// The server may run as another user than we: the copy is that user's, too.
fn own_alike(as_is: &Path, copy: &Path) {
    let status = std::process::Command::new("chown")
        .arg("-R")
        .arg("--reference")
        .args([as_is, copy])
        .status();
    assert!(status.unwrap().success());
    std::fs::set_permissions(copy, std::fs::metadata(as_is).unwrap().permissions()).unwrap();
}

/// What an earlier suite left that was killed: its servers ended with it.
fn remove_stale() {
    for entry in std::fs::read_dir(std::env::temp_dir())
        .into_iter()
        .flatten()
        .flatten()
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next()?.parse().ok());
        let dead = pid.is_some_and(|pid| {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None).is_err()
        });
        if dead {
            let _left = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn template(model: Model) -> String {
    format!("template_{model:?}").to_lowercase()
}

/// The library as a backend has it that takes calls, beside the workers.
pub(crate) async fn caller(url: &str, artifacts: &Path) -> Modelrow {
    let options = Options {
        work: Work::No,
        tick: Duration::from_millis(500),
        lease: LeaseTimes::lasting(LEASE),
        secrets: Arc::new(OneKey),
        retention: Retention {
            strays: Duration::ZERO,
            ..Retention::default()
        },
        public_url: Some("https://modelrow.test/".into()),
        ..Options::new(url.to_owned(), artifacts)
    };
    Modelrow::start(options).await.unwrap()
}

/// Statements that may be tried again: the server may be about to come back.
pub(crate) async fn sql(url: &str, statements: &str) {
    let mut last = None;
    for _ in 0..200 {
        match once(url, statements).await {
            Ok(()) => return,
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{statements}: {last:?}");
}

async fn once(url: &str, statements: &str) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))
        .execute(&mut connection)
        .await?;
    connection.close().await
}

/// One text for each row; nothing while the server is away.
pub(crate) async fn texts(url: &str, query: &str) -> Option<Vec<String>> {
    let mut connection = PgConnection::connect(url).await.ok()?;
    let rows = sqlx::raw_sql(AssertSqlSafe(query.to_owned()))
        .fetch_all(&mut connection)
        .await
        .ok()?;
    connection.close().await.ok()?;
    Some(rows.iter().map(|row| row.get::<String, _>(0)).collect())
}
