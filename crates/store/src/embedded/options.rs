//! Where the data lies and where the programs may come from.

use super::error::EmbeddedError;
use nix::unistd::{User, geteuid};
use std::ffi::OsString;
use std::path::PathBuf;

/// What a start needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The cluster, its socket, log and lock; created if it is missing. At most 84 bytes long.
    pub data_dir: PathBuf,
    /// `MODELROW_PG_BIN`: the folder with `postgres` and `initdb`; nothing else is looked at then.
    pub bin_dir: Option<PathBuf>,
    /// The value of `PATH`.
    pub search_path: Option<OsString>,
    /// Folders with one PostgreSQL per version: `/usr/lib/postgresql`, Homebrew's `opt`.
    pub system_roots: Vec<PathBuf>,
    /// Unpacked archives.
    pub cache_dir: PathBuf,
    /// `MODELROW_PG_FETCH=0` switches the fetching of archives off.
    pub allow_fetch: bool,
    /// Off in tests only: a power cut then costs the data.
    pub fsync: bool,
}

impl Options {
    /// These folders, and the places of the system that need no environment.
    #[must_use]
    pub fn new(data_dir: PathBuf, cache_dir: PathBuf) -> Self {
        let roots = ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"];
        Self {
            data_dir,
            bin_dir: None,
            search_path: None,
            system_roots: roots.map(PathBuf::from).to_vec(),
            cache_dir,
            allow_fetch: true,
            fsync: true,
        }
    }

    /// For the user we run as. Root: `/var/lib/modelrow` and `/var/cache/modelrow`, folders of the system. Others:
    /// `$XDG_DATA_HOME/modelrow` and `$XDG_CACHE_HOME/modelrow`, or below the home directory.
    ///
    /// `lookup` reads the environment: `MODELROW_PG_BIN`, `MODELROW_PG_FETCH`, `PATH`, `HOME`, `XDG_DATA_HOME`,
    /// `XDG_CACHE_HOME`.
    ///
    /// # Errors
    ///
    /// [`EmbeddedError::Folder`] when an ordinary user has no home directory.
    pub fn default_for_user(
        lookup: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, EmbeddedError> {
        let (data_dir, cache_dir) = if geteuid().is_root() {
            ("/var/lib/modelrow".into(), "/var/cache/modelrow".into())
        } else {
            user_dirs(&lookup)?
        };
        let mut options = Self::new(data_dir, cache_dir);
        options.bin_dir = lookup("MODELROW_PG_BIN")
            .filter(|v| !v.is_empty())
            .map(PathBuf::from);
        options.allow_fetch = lookup("MODELROW_PG_FETCH").is_none_or(|v| v != "0");
        options.search_path = lookup("PATH");
        Ok(options)
    }
}

/// Data and cache, by the XDG Base Directory Specification; relative values are to be ignored.
fn user_dirs(
    lookup: &impl Fn(&str) -> Option<OsString>,
) -> Result<(PathBuf, PathBuf), EmbeddedError> {
    let absolute = |name: &str| {
        lookup(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let home = absolute("HOME").or_else(|| {
        User::from_uid(geteuid())
            .ok()
            .flatten()
            .map(|user| user.dir)
    });
    let below = |name: &str, rest: &str| {
        absolute(name).or_else(|| home.as_ref().map(|home| home.join(rest)))
    };
    match (
        below("XDG_DATA_HOME", ".local/share"),
        below("XDG_CACHE_HOME", ".cache"),
    ) {
        (Some(data), Some(cache)) => Ok((data.join("modelrow"), cache.join("modelrow"))),
        _ => Err(EmbeddedError::folder("find", "HOME")(
            std::io::ErrorKind::NotFound.into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names and values.
    type Env = &'static [(&'static str, &'static str)];

    fn env(pairs: Env) -> impl Fn(&str) -> Option<OsString> {
        move |name| {
            let found = pairs.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| OsString::from(value))
        }
    }

    #[test]
    #[rustfmt::skip]
    fn a_users_folders_follow_xdg_and_ignore_relative_values() {
        let cases: [(Env, &str, &str); 3] = [
            (&[("HOME", "/h")], "/h/.local/share/modelrow", "/h/.cache/modelrow"),
            (&[("HOME", "/h"), ("XDG_DATA_HOME", "/d"), ("XDG_CACHE_HOME", "/c")], "/d/modelrow", "/c/modelrow"),
            (&[("HOME", "/h"), ("XDG_DATA_HOME", "d")], "/h/.local/share/modelrow", "/h/.cache/modelrow"),
        ];
        for (pairs, data, cache) in cases {
            let got = user_dirs(&env(pairs)).unwrap();
            assert_eq!(got, (PathBuf::from(data), PathBuf::from(cache)), "{pairs:?}");
        }
    }

    #[test]
    fn the_environment_names_the_programs_and_switches_fetching_off() {
        let plain = Options::default_for_user(env(&[("HOME", "/h"), ("PATH", "/p")])).unwrap();
        assert!(plain.allow_fetch && plain.fsync && plain.bin_dir.is_none());
        assert_eq!(plain.search_path, Some("/p".into()));
        let set = env(&[
            ("HOME", "/h"),
            ("MODELROW_PG_BIN", "/b"),
            ("MODELROW_PG_FETCH", "0"),
        ]);
        let set = Options::default_for_user(set).unwrap();
        assert_eq!((set.allow_fetch, set.bin_dir), (false, Some("/b".into())));
    }

    #[test]
    fn roots_data_lies_in_a_folder_of_the_system() {
        if geteuid().is_root() {
            let options = Options::default_for_user(env(&[("HOME", "/root")])).unwrap();
            assert_eq!(options.data_dir, PathBuf::from("/var/lib/modelrow"));
        }
    }
}
