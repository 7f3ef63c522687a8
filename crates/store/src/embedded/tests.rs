//! The life of a real server: these tests start some.

mod account;
mod faults;
mod supply;

use super::testing;
use super::*;
use sqlx::{Connection as _, PgConnection, Row as _};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};

/// For a child that is this test binary again: the data folder to use.
const CHILD_DIR: &str = "MODELROW_TEST_CHILD_DIR";
const LIMIT: Duration = Duration::from_secs(30);

/// A folder that other users can pass through, with a short path.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("mr-{}-{name}", std::process::id()));
        let _none = fs::remove_dir_all(&dir);
        Self(dir)
    }

    fn options(&self) -> Options {
        let found = Options::default_for_user(|name| std::env::var_os(name)).unwrap();
        Options {
            data_dir: self.0.clone(),
            fsync: false,
            ..found
        }
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn start(options: &Options) -> Embedded {
    match Embedded::start(options, &mut |_| {}) {
        Ok(embedded) => embedded,
        Err(error) => panic!("{} ({:?})", error.diagnostic(&options.data_dir), error),
    }
}

fn refused(options: &Options) -> EmbeddedError {
    Embedded::start(options, &mut |_| {}).expect_err("it must be refused")
}

fn wait_until(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < LIMIT, "timed out: {what}");
        thread::park_timeout(Duration::from_millis(5));
    }
}

/// The first column of the first row, as text.
fn ask(url: &str, sql: &'static str) -> Result<String, sqlx::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut connection = PgConnection::connect(url).await?;
        let row = sqlx::raw_sql(sql).fetch_one(&mut connection).await?;
        connection.close().await?;
        row.try_get(0)
    })
}

fn pid(embedded: &Embedded) -> i32 {
    embedded.layout.pid_file_pid().unwrap()
}

fn is_gone(pid: i32) -> bool {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None).is_err()
}

#[test]
fn a_second_start_finds_the_rows_of_the_first_and_makes_no_cluster() {
    let dir = Dir::new("again");
    let mut said = Vec::new();
    let begin = Instant::now();
    let first = Embedded::start(&dir.options(), &mut |a| said.push(a)).unwrap();
    let first_ms = begin.elapsed().as_millis();
    assert!(
        said.iter()
            .any(|a| matches!(a, Announcement::Creating { .. })),
        "{said:?}"
    );
    assert!(first.is_owner());
    ask(
        &first.owner_url(),
        "create table kept as select 'a row' as c; select c from kept",
    )
    .unwrap();
    first.stop(LIMIT).unwrap();

    said.clear();
    let begin = Instant::now();
    let second = Embedded::start(&dir.options(), &mut |a| said.push(a)).unwrap();
    let second_ms = begin.elapsed().as_millis();
    writeln!(
        std::io::stderr(),
        "PostgreSQL {}: first {first_ms} ms, second {second_ms} ms",
        second.version()
    )
    .unwrap();
    assert!(said.is_empty(), "{said:?}");
    assert!(
        second_ms < first_ms,
        "first {first_ms} ms, second {second_ms} ms"
    );
    assert_eq!(
        ask(&second.owner_url(), "select c from kept").unwrap(),
        "a row"
    );
    second.stop(LIMIT).unwrap();
}

#[test]
fn the_url_is_an_ordinary_role_that_is_no_superuser_and_owns_nothing() {
    let server = testing::server().embedded();
    let role = "select format('%s %s %s %s', rolname, rolsuper, rolcreaterole, rolbypassrls)
                from pg_roles where rolname = current_user";
    assert_eq!(ask(&server.url(), role).unwrap(), "modelrow f f f");
    assert_eq!(
        ask(&server.owner_url(), role).unwrap(),
        "modelrow_owner f t f"
    );
    assert!(ask(&server.url(), "create table public.mine (a int)").is_err());
    let member = "select format('%s %s', pg_has_role('modelrow_worker', 'usage'), pg_has_role('modelrow_api', 'member'))";
    assert_eq!(ask(&server.url(), member).unwrap(), "t t");
    let narrow =
        "begin; set local role modelrow_api; select pg_has_role('modelrow_worker', 'usage')::text";
    assert_eq!(ask(&server.url(), narrow).unwrap(), "false");
}

#[test]
fn the_owner_may_make_and_grant_the_group_roles_on_every_version() {
    let server = testing::server().embedded();
    let sql = "create role modelrow_later nologin; grant modelrow_later, modelrow_api to modelrow; select 'ok'";
    assert_eq!(ask(&server.owner_url(), sql).unwrap(), "ok");
}

#[test]
fn both_roles_may_read_what_the_identity_of_a_database_is_made_of() {
    let server = testing::server().embedded();
    let sql = "select format('%s %s', (select system_identifier from pg_control_system()),
                                      substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))";
    for url in [server.url(), server.owner_url()] {
        assert!(ask(&url, sql).unwrap().ends_with(" 00000001"));
    }
}

#[test]
fn the_cluster_has_checksums_and_unicode_and_no_port() {
    let server = testing::server().embedded();
    let sql = "select format('%s %s %s', current_setting('data_checksums'), current_setting('server_encoding'),
                                         current_setting('listen_addresses'))";
    assert_eq!(ask(&server.url(), sql).unwrap(), "on UTF8 ");
    assert_eq!(ask(&server.url(), "select lower('ÄÖ')").unwrap(), "äö");
}

#[test]
fn each_test_gets_its_own_copy_of_a_database_that_is_migrated_once() {
    let migrate = |url: String| async move {
        let mut owner = PgConnection::connect(&url).await.unwrap();
        sqlx::raw_sql("create table t (a text); insert into t values ('copied'); grant select on t to modelrow")
            .execute(&mut owner)
            .await
            .unwrap();
    };
    let first = testing::server().database(migrate);
    let second = testing::server().database(|_| async { panic!("migrated twice") });
    ask(
        &first.owner_url,
        "update t set a = 'changed'; select a from t",
    )
    .unwrap();
    assert_eq!(ask(&first.url, "select a from t").unwrap(), "changed");
    assert_eq!(ask(&second.url, "select a from t").unwrap(), "copied");
}

#[test]
fn a_server_outlives_the_thread_that_asked_for_it() {
    let dir = Dir::new("thread");
    let options = dir.options();
    let server = thread::spawn(move || start(&options)).join().unwrap();
    // The death signal of a wrong thread would have come by the time of the second answer.
    for _ in 0..2 {
        assert_eq!(ask(&server.url(), "select 'here'").unwrap(), "here");
    }
    assert!(!is_gone(pid(&server)));
    server.stop(LIMIT).unwrap();
}

/// Not a test of its own: what the next ones run as another process. It holds the server until its input ends.
#[test]
fn child_process_that_owns_a_server() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else {
        return;
    };
    let options = Dir(dir.into());
    let server = start(&options.options());
    let mut out = std::io::stderr();
    writeln!(out, "ready {}", pid(&server)).unwrap();
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    server.stop(LIMIT).unwrap();
    std::mem::forget(options);
}

/// The owner in another process, and its server's process id.
fn owner_process(dir: &Dir) -> (Child, i32) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child_process_that_owns_a_server", "--nocapture"])
        .env(CHILD_DIR, &dir.0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let pid = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("ready ")?.parse().ok());
    (child, pid.expect("the owner did not start"))
}

#[test]
#[cfg(target_os = "linux")]
fn kill_9_of_the_owner_leaves_no_server_and_no_lock() {
    let dir = Dir::new("kill");
    let (mut owner, server) = owner_process(&dir);
    assert!(!is_gone(server));
    owner.kill().unwrap();
    owner.wait().unwrap();
    let own = Layout::new(&dir.0).unwrap();
    wait_until("the server ends by itself", || own.pid_file_pid().is_none());
    let next = start(&dir.options());
    assert!(next.is_owner());
    next.stop(LIMIT).unwrap();
}

#[test]
fn while_the_lock_is_held_a_second_process_connects_through_the_socket() {
    let dir = Dir::new("second");
    let (mut owner, server) = owner_process(&dir);
    let second = start(&dir.options());
    assert!(!second.is_owner());
    assert_eq!(pid(&second), server);
    assert_eq!(ask(&second.url(), "select 'seen'").unwrap(), "seen");
    second.stop(LIMIT).unwrap();
    assert!(!is_gone(server), "it was not ours to stop");
    let third = start(&dir.options());
    drop(owner.stdin.take());
    assert!(owner.wait().unwrap().success());
    assert!(matches!(
        third.exited().wait(),
        Some(EmbeddedError::Ended { .. })
    ));
}

#[test]
#[cfg(target_os = "linux")]
fn an_orphan_is_stopped_before_the_next_start() {
    let dir = Dir::new("orphan");
    let server = start(&dir.options());
    let orphan = pid(&server);
    // The lock goes, the server stays: what a death signal that never came leaves behind.
    let Embedded { server, _lock, .. } = server;
    let ended = server.as_ref().map(Server::shared).unwrap();
    drop(_lock);
    let mut said = Vec::new();
    let next = Embedded::start(&dir.options(), &mut |a| said.push(a)).unwrap();
    assert_eq!(said, [Announcement::StoppedOrphan { pid: orphan }]);
    assert!(ended.wait().is_some_and(|status| status.success()));
    assert_eq!(ask(&next.url(), "select 'next'").unwrap(), "next");
    next.stop(LIMIT).unwrap();
}

#[test]
fn the_end_of_the_server_is_reported_with_its_logs_last_lines() {
    let dir = Dir::new("ended");
    let server = start(&dir.options());
    let exited = server.exited();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(pid(&server)),
        nix::sys::signal::Signal::SIGQUIT,
    )
    .unwrap();
    let error = exited.wait().expect("nobody asked for the end");
    assert_eq!(error.code(), diag::Code::S114);
    assert!(error.to_string().contains("shut"), "{error}");
}

#[test]
fn an_end_that_was_asked_for_is_no_error_and_fsync_stays_on_outside_tests() {
    let dir = Dir::new("asked");
    let mut options = dir.options();
    options.fsync = Options::new(PathBuf::new(), PathBuf::new()).fsync;
    let server = start(&options);
    assert_eq!(ask(&server.url(), "show fsync").unwrap(), "on");
    let exited = server.exited();
    server.stop(LIMIT).unwrap();
    assert!(exited.wait().is_none());
}

#[test]
fn the_server_has_a_session_of_its_own_and_its_socket_a_closed_folder() {
    use std::os::unix::fs::PermissionsExt as _;
    let server = testing::server().embedded();
    let server_pid = nix::unistd::Pid::from_raw(pid(server));
    assert_eq!(nix::unistd::getsid(Some(server_pid)), Ok(server_pid));
    let mode = server
        .layout
        .socket_dir
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
#[cfg(target_os = "linux")]
fn a_dead_server_that_is_not_reaped_is_waited_for_and_its_file_is_kept() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let dir = Dir::new("zombie");
    let layout = Layout::new(&dir.0).unwrap();
    fs::create_dir_all(&layout.cluster).unwrap();
    let mut dead = Command::new("true").spawn().unwrap();
    let stat = format!("/proc/{}/stat", dead.id());
    wait_until("the process is dead", || {
        fs::read_to_string(&stat).unwrap().contains(") Z")
    });
    fs::write(
        layout.cluster.join("postmaster.pid"),
        format!("{}\n", dead.id()),
    )
    .unwrap();
    let reaped = AtomicBool::new(false);
    thread::scope(|scope| {
        let waited = scope.spawn(|| {
            orphan::stop(&layout).unwrap();
            reaped.load(Ordering::SeqCst)
        });
        // Time enough to come back too early.
        thread::park_timeout(Duration::from_millis(50));
        reaped.store(true, Ordering::SeqCst);
        dead.wait().unwrap();
        assert!(waited.join().unwrap(), "it did not wait");
    });
    assert!(layout.cluster.join("postmaster.pid").exists());
}

#[test]
fn dropping_the_handle_stops_the_server() {
    let dir = Dir::new("drop");
    let server = start(&dir.options());
    let pid = pid(&server);
    drop(server);
    assert!(is_gone(pid));
}

#[test]
fn an_interrupted_initdb_is_never_taken_for_a_cluster() {
    let dir = Dir::new("half");
    let layout = Layout::new(&dir.0).unwrap();
    layout.create().unwrap();
    let half = dir.0.join("pg.new");
    fs::create_dir(&half).unwrap();
    fs::write(half.join("PG_VERSION"), "15\n").unwrap();
    assert_eq!(layout.data_version().unwrap(), None);
    let server = start(&dir.options());
    assert_eq!(ask(&server.url(), "select 'whole'").unwrap(), "whole");
    assert!(!half.exists());
    server.stop(LIMIT).unwrap();
}

#[test]
fn data_of_another_version_is_refused_with_both_ways_out() {
    let dir = Dir::new("version");
    fs::create_dir_all(dir.0.join("pg")).unwrap();
    fs::write(dir.0.join("pg/PG_VERSION"), "9\n").unwrap();
    let error = refused(&dir.options());
    assert_eq!(error.code(), diag::Code::S102);
    let help = error.help();
    assert!(
        help.contains("`MODELROW_PG_BIN`") && help.contains("dump"),
        "{help}"
    );
}

#[test]
fn a_path_too_long_for_a_socket_is_refused_before_anything_is_made() {
    let dir = Dir::new("long");
    let mut options = dir.options();
    options.data_dir = dir.0.join("x".repeat(90));
    let error = refused(&options);
    assert_eq!(error.code(), diag::Code::S103);
    assert!(!dir.0.exists());
}
