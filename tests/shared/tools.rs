//! Programs that tests drive and that the machine need not have: installed below `target/`, once for each state of their lock file.

use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A virtual environment with what a file of requirements lists, each by its hash.
pub(crate) fn python(name: &str, requirements: &Path) -> PathBuf {
    installed(name, requirements, |folder| {
        let venv = Command::new("python3")
            .args(["-m", "venv"])
            .arg(folder)
            .output();
        let help = "install Python 3.10 or newer, with its modules `venv` and `pip`";
        done("python3 -m venv", venv, help);
        let mut pip = Command::new(folder.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet"]);
        pip.args(["--disable-pip-version-check", "--require-hashes", "-r"]);
        let help = "PyPI must be reachable, or what `pip` is configured to use instead";
        done("pip install", pip.arg(requirements).output(), help);
    })
}

/// The folder in which what a lock file names is installed: once for each state of the file, whoever asks at the same time.
pub(crate) fn installed(name: &str, lock_file: &Path, install: impl FnOnce(&Path)) -> PathBuf {
    let digest = hex::encode(Sha256::digest(fs::read(lock_file).unwrap()));
    let name = format!("{name}-{}", digest.get(..12).unwrap_or(&digest));
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

/// What a program gave that did its part; else the test ends, with what to do.
pub(crate) fn done(what: &str, output: std::io::Result<Output>, help: &str) -> Output {
    let output =
        output.unwrap_or_else(|error| panic!("`{what}` cannot be started: {error}; {help}"));
    let told = told(&output);
    assert!(output.status.success(), "`{what}` failed; {help}\n{told}");
    output
}

/// What a program said.
pub(crate) fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}
