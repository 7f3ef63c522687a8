//! What root may do with folders of several kinds.

use super::*;

#[test]
#[cfg(target_os = "linux")]
fn root_keeps_a_folder_that_others_cannot_reach_and_runs_in_a_namespace_or_says_why() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let dir = Dir::new("closed");
    fs::create_dir(&dir.0).unwrap();
    fetch::set_mode(&dir.0, 0o700).unwrap();
    let mut said = Vec::new();
    match Embedded::start(&dir.options(), &mut |a| said.push(a)) {
        Ok(server) => {
            assert!(said.contains(&Announcement::InNamespace), "{said:?}");
            assert_eq!(owner_of(&dir.0.join("pg")), 0);
            assert_eq!(ask(&server.url(), "select 'inside'").unwrap(), "inside");
            server.stop(LIMIT).unwrap();
            // A later start must not try another user: the files are ours.
            start(&dir.options()).stop(LIMIT).unwrap();
        }
        Err(error) => assert_eq!(error.code(), diag::Code::S106, "{error}"),
    }
}

#[test]
fn root_gives_away_only_the_folders_that_were_created_here() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let dir = Dir::new("given");
    fs::create_dir(&dir.0).unwrap();
    fetch::set_mode(&dir.0, 0o755).unwrap();
    let mut said = Vec::new();
    let server = Embedded::start(&dir.options(), &mut |a| said.push(a)).unwrap();
    if said
        .iter()
        .any(|a| matches!(a, Announcement::RunsAs { .. }))
    {
        assert_eq!(owner_of(&dir.0), 0);
        assert_ne!(owner_of(&dir.0.join("pg")), 0);
    }
    server.stop(LIMIT).unwrap();
}

fn owner_of(path: &Path) -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    path.metadata().unwrap().uid()
}
