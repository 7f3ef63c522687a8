//! Where the server's programs come from: a chain with one end.

use super::error::EmbeddedError;
use super::fetch;
use super::{Announcement, Options};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest major version that our SQL runs on.
const OLDEST: u32 = 15;

/// Programs that were found and asked for their version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binaries {
    pub(super) bin_dir: PathBuf,
    pub(super) major: u32,
    /// As they print it: `15.18`.
    pub(super) version: String,
}

impl Binaries {
    /// `None` when the folder lacks a program or the server cannot run here.
    fn in_dir(bin_dir: &Path) -> Option<Self> {
        if !bin_dir.join("initdb").is_file() {
            return None;
        }
        let out = Command::new(bin_dir.join("postgres"))
            .arg("--version")
            .output()
            .ok()
            .filter(|out| out.status.success())?;
        let version = parse_version(&String::from_utf8_lossy(&out.stdout))?;
        Some(Self {
            bin_dir: bin_dir.to_owned(),
            major: major_of(&version)?,
            version,
        })
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.bin_dir.join(name)
    }

    /// Whether they can serve data of this major version; `None`: a new folder.
    fn fits(&self, data: Option<u32>) -> bool {
        data.map_or(self.major >= OLDEST, |data| data == self.major)
    }
}

/// `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`
fn parse_version(text: &str) -> Option<String> {
    text.strip_prefix("postgres (PostgreSQL) ")?
        .split_whitespace()
        .next()
        .map(str::to_owned)
}

/// `15.18` and `19beta1` alike.
fn major_of(version: &str) -> Option<u32> {
    let digits = version
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(version.len());
    version.get(..digits)?.parse().ok()
}

/// What the search has seen, for its one error.
struct Search {
    data: Option<u32>,
    unfit: Vec<u32>,
    tried: Vec<String>,
}

impl Search {
    fn first_in(&mut self, what: &str, dirs: Vec<PathBuf>) -> Option<Binaries> {
        for found in dirs.iter().filter_map(|dir| Binaries::in_dir(dir)) {
            if found.fits(self.data) {
                return Some(found);
            }
            self.unfit.push(found.major);
        }
        self.tried.push(format!("{what}: none that fits"));
        None
    }

    fn into_error(mut self, cluster: &Path) -> EmbeddedError {
        self.unfit.sort_unstable();
        self.unfit.dedup();
        match self.data {
            Some(data) if !self.unfit.is_empty() => EmbeddedError::VersionMismatch {
                dir: cluster.to_owned(),
                data,
                found: join(&self.unfit),
            },
            _ => {
                if !self.unfit.is_empty() {
                    self.tried.push(format!("too old: {}", join(&self.unfit)));
                }
                EmbeddedError::NoBinaries {
                    tried: self.tried.join("; "),
                }
            }
        }
    }
}

fn join(majors: &[u32]) -> String {
    let texts: Vec<String> = majors.iter().map(u32::to_string).collect();
    texts.join(", ")
}

/// Walks the chain: the explicit folder and nothing else, or the system, our cache, the pinned archive.
///
/// `data` is the major version of the cluster that is there.
pub(super) fn find(
    options: &Options,
    cluster: &Path,
    data: Option<u32>,
    announce: &mut dyn FnMut(Announcement),
) -> Result<Binaries, EmbeddedError> {
    let mut search = Search {
        data,
        unfit: Vec::new(),
        tried: Vec::new(),
    };
    if let Some(dir) = &options.bin_dir {
        let what = format!("`MODELROW_PG_BIN` `{}`", dir.display());
        return search
            .first_in(&what, vec![dir.clone()])
            .ok_or_else(|| search.into_error(cluster));
    }
    if let Some(found) = search.first_in("the system", system_dirs(options)) {
        return Ok(found);
    }
    let Some(archive) = fetch::for_this_machine().filter(|archive| archive.serves(data)) else {
        search
            .tried
            .push("no archive for this machine and this data".to_owned());
        return Err(search.into_error(cluster));
    };
    if let Some(found) = search.first_in("our cache", archive.bin_dirs(&options.cache_dir)) {
        return Ok(found);
    }
    if !options.allow_fetch {
        search.tried.push("fetching is switched off".to_owned());
        return Err(search.into_error(cluster));
    }
    fetch::fetch(archive, &options.cache_dir, announce)?;
    search
        .first_in("the archive", archive.bin_dirs(&options.cache_dir))
        .ok_or_else(|| search.into_error(cluster))
}

/// `PATH`, then the distributions' folders, the newest first.
fn system_dirs(options: &Options) -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = options
        .search_path
        .iter()
        .flat_map(std::env::split_paths)
        .filter(|dir| dir.is_absolute())
        .collect();
    for root in &options.system_roots {
        let mut below: Vec<(u32, PathBuf)> = versions_below(root);
        below.sort_by_key(|(major, _)| std::cmp::Reverse(*major));
        dirs.extend(below.into_iter().map(|(_, dir)| dir.join("bin")));
    }
    dirs
}

/// `/usr/lib/postgresql/15` and `/opt/homebrew/opt/postgresql@17`.
fn versions_below(root: &Path) -> Vec<(u32, PathBuf)> {
    let entries = std::fs::read_dir(root)
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix("postgresql@").unwrap_or(&name);
            Some((version.parse().ok()?, entry.path()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn the_version_is_read_from_what_the_server_prints() {
        let cases = [
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some(("15.18", 15))),
            ("postgres (PostgreSQL) 18.4\n", Some(("18.4", 18))),
            ("postgres (PostgreSQL) 19beta1\n", Some(("19beta1", 19))),
            ("psql (PostgreSQL) 18.4\n", None),
        ];
        for (text, want) in cases {
            let got = parse_version(text).and_then(|v| Some((v.clone(), major_of(&v)?)));
            assert_eq!(got, want.map(|(v, m)| (v.to_owned(), m)), "{text}");
        }
    }

    /// A folder with programs that say they are `version`.
    fn fake(bin_dir: &Path, version: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::create_dir_all(bin_dir).unwrap();
        let script = format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n");
        for name in ["postgres", "initdb"] {
            // Renamed into place: a file that another thread's child still holds open for writing cannot be run.
            std::fs::write(bin_dir.join("new"), &script).unwrap();
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(bin_dir.join("new"), mode).unwrap();
            std::fs::rename(bin_dir.join("new"), bin_dir.join(name)).unwrap();
        }
        bin_dir.to_owned()
    }

    #[test]
    #[rustfmt::skip]
    fn the_programs_come_from_the_first_place_of_the_chain_whose_version_fits() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let mut all = Options::new(at("data"), at("cache"));
        all.allow_fetch = false;
        all.search_path = Some(fake(&at("path"), "15.1").into());
        all.system_roots = vec![at("lib")];
        fake(&at("lib/14/bin"), "14.9");
        fake(&at("lib/16/bin"), "16.1");
        fake(&at("lib/17/bin"), "17.1");
        let explicit = Options { bin_dir: Some(fake(&at("own"), "19.0")), ..all.clone() };
        let no_path = Options { search_path: None, ..all.clone() };
        let mut cases = vec![
            (&explicit, None, Some("own")), (&explicit, Some(15), None),
            (&all, None, Some("path")), (&all, Some(16), Some("lib/16/bin")), (&all, Some(14), Some("lib/14/bin")),
            (&no_path, None, Some("lib/17/bin")), (&no_path, Some(15), None),
        ];
        let no_system = Options { system_roots: Vec::new(), ..no_path.clone() };
        cases.push((&no_system, None, None));
        for (options, data, want) in &cases {
            let got = find(options, &at("data/pg"), *data, &mut |_| {}).ok();
            assert_eq!(got.map(|found| found.bin_dir), want.map(at), "data {data:?}");
        }
        if let Some(archive) = fetch::for_this_machine() {
            let cached = fake(&archive.bin_dirs(&at("cache"))[0], "18.4");
            let got = find(&no_system, &at("data/pg"), None, &mut |_| {}).unwrap();
            assert_eq!(got.bin_dir, cached);
            assert_eq!(find(&all, &at("data/pg"), Some(18), &mut |_| {}).unwrap().bin_dir, cached);
        }
    }
}
