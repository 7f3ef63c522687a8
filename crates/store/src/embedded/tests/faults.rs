//! Starts that fail, each with its code and nothing left running.

use super::*;
use std::os::unix::fs::PermissionsExt as _;

/// A folder of programs that do what these scripts say, as version 18.
fn programs(dir: &Path, initdb: &str, postgres: &str) -> PathBuf {
    let bin = dir.join("bin");
    fs::create_dir_all(&bin).unwrap();
    let version = "[ \"$1\" = --version ] && { echo 'postgres (PostgreSQL) 18.1'; exit 0; }";
    for (name, script) in [("initdb", initdb), ("postgres", postgres)] {
        let file = bin.join(name);
        fs::write(&file, format!("#!/bin/sh\n{version}\n{script}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }
    bin
}

/// Makes a folder that passes for a cluster.
const INITDB: &str = "while [ \"$1\" != --pgdata ]; do shift; done; echo 18 > \"$2/PG_VERSION\"";

/// Why these programs give no server.
fn refused_with(dir: &Dir, initdb: &str, postgres: &str) -> EmbeddedError {
    let bin = tempfile::tempdir().unwrap();
    fs::set_permissions(bin.path(), fs::Permissions::from_mode(0o755)).unwrap();
    refused(&Options {
        bin_dir: Some(programs(bin.path(), initdb, postgres)),
        ..dir.options()
    })
}

#[test]
fn a_data_folder_that_cannot_be_made_is_named() {
    let dir = Dir::new("folder");
    fs::write(&dir.0, "a file").unwrap();
    let mut options = dir.options();
    options.data_dir = dir.0.join("data");
    let error = refused(&options);
    assert_eq!(error.code(), diag::Code::S107);
    assert!(
        error.to_string().contains(&dir.0.display().to_string()),
        "{error}"
    );
    fs::remove_file(&dir.0).unwrap();
}

#[test]
fn an_initdb_that_fails_is_quoted_and_leaves_no_cluster() {
    let dir = Dir::new("initdb");
    let error = refused_with(&dir, "echo 'no space left' >&2; exit 1", "exit 1");
    assert_eq!(error.code(), diag::Code::S108, "{error}");
    assert!(error.to_string().contains("no space left"), "{error}");
    assert!(!dir.0.join("pg").exists());
}

#[test]
fn a_server_that_ends_before_it_is_ready_is_told_with_its_log() {
    let dir = Dir::new("unready");
    let error = refused_with(&dir, INITDB, "echo 'FATAL: out of luck' >&2; exit 1");
    assert_eq!(error.code(), diag::Code::S109, "{error}");
    assert!(error.to_string().contains("out of luck"), "{error}");
}

#[test]
fn a_folder_that_another_process_holds_without_a_server_is_in_use() {
    let dir = Dir::new("held");
    let layout = Layout::new(&dir.0).unwrap();
    layout.create().unwrap();
    let _held = layout.try_lock().unwrap().unwrap();
    let error = lock_or_attach(&layout, Duration::ZERO).unwrap_err();
    assert_eq!(error.code(), diag::Code::S110);
    drop(_held);
    assert!(lock_or_attach(&layout, Duration::ZERO).unwrap().is_some());
}

#[test]
#[cfg(target_os = "linux")]
fn a_dead_server_that_its_parent_never_reaps_is_named_by_its_process() {
    let dir = Dir::new("orphaned");
    let layout = Layout::new(&dir.0).unwrap();
    fs::create_dir_all(&layout.cluster).unwrap();
    let mut dead = Command::new("true").spawn().unwrap();
    let pid = dead.id();
    let stat = format!("/proc/{pid}/stat");
    wait_until("the process is dead", || {
        fs::read_to_string(&stat).unwrap().contains(") Z")
    });
    fs::write(layout.cluster.join("postmaster.pid"), format!("{pid}\n")).unwrap();
    let error = orphan::wait_for_reaping(&layout, Duration::ZERO).unwrap_err();
    assert_eq!(error.code(), diag::Code::S111);
    assert!(error.help().contains(&pid.to_string()), "{}", error.help());
    dead.wait().unwrap();
}

#[test]
fn roles_that_cannot_be_made_are_told_with_the_cause() {
    let error = set_up::first("postgres://nobody@%2Fnowhere/none".to_owned()).unwrap_err();
    assert_eq!(error.code(), diag::Code::S112);
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn a_server_that_does_not_end_in_time_is_killed_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let mark = dir.path().join("deaf");
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' INT; touch \"$0\"; exec sleep 600"]);
    command.arg(&mark);
    let mut server = Server::spawn(command).unwrap();
    wait_until("the program is deaf", || mark.exists());
    let error = server.stop(Duration::from_millis(20)).unwrap_err();
    assert_eq!(error.code(), diag::Code::S113);
    assert!(server.shared().wait().is_none(), "its end was asked for");
}

#[test]
fn a_thread_of_the_supervisor_that_dies_is_told() {
    let error = set_up::on_own_thread(async { panic!("on purpose") }).unwrap_err();
    assert_eq!(error.code(), diag::Code::S115);
}

#[test]
fn an_archive_that_does_not_come_is_told_with_the_last_words_of_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let archive = archives::Archive {
        platform: ("acme", "acme"),
        loader: None,
        sha256: "",
        source: archives::Source::Pip {
            requirement: "./no-such-archive.whl",
            platform: "any",
        },
        servers: &[],
        wanted: &[],
    };
    let error = fetch::fetch(&archive, dir.path(), &mut |_| {}).unwrap_err();
    assert_eq!(error.code(), diag::Code::S105);
    assert!(error.to_string().len() > 50, "{error}");
}
