//! Who opens the references that credentials hold: `env:NAME`, `file:/path`.

use diag::Secret;
use std::fmt::Debug;

/// Opens secret references. Asked at each use, so that a rotated secret is seen.
pub trait Secrets: Send + Sync + Debug {
    /// The secret behind `reference`.
    ///
    /// # Errors
    ///
    /// [`NoSecret`] says what is missing, and nothing of any secret.
    fn open(&self, reference: &str) -> Result<Secret, NoSecret>;
}

/// A reference that leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct NoSecret {
    /// What is missing: lower case, no period.
    pub why: String,
    /// What to do.
    pub help: String,
}

/// `env:NAME` from the process's environment, `file:/path` from a file.
#[derive(Debug, Clone, Copy, Default)]
pub struct EnvironmentSecrets;

impl Secrets for EnvironmentSecrets {
    fn open(&self, reference: &str) -> Result<Secret, NoSecret> {
        match reference.split_once(':') {
            Some(("env", name)) => from_environment(name),
            Some(("file", path)) => from_file(path),
            _ => Err(NoSecret {
                why: "the credential's `secret_ref` is neither `env:NAME` nor `file:/path`".into(),
                help: "write one of the two into the credential's row".into(),
            }),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where secret references are read"
)]
fn from_environment(name: &str) -> Result<Secret, NoSecret> {
    let value = std::env::var(name)
        .ok()
        .filter(|text| !text.trim().is_empty());
    value.map(Secret::from).ok_or_else(|| NoSecret {
        why: format!("the environment has no `{name}`"),
        help: format!("set it and start again: export {name}=…"),
    })
}

fn from_file(path: &str) -> Result<Secret, NoSecret> {
    let text = std::fs::read_to_string(path).map_err(|error| NoSecret {
        why: format!("the secret's file `{path}` cannot be read: {error}"),
        help: "make the file readable for this program".into(),
    })?;
    Ok(Secret::from(text.trim_end_matches(['\r', '\n']).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use diag::ExposeSecret as _;

    #[test]
    fn a_reference_that_leads_nowhere_says_what_is_missing() {
        let cases = [
            (
                "env:MODELROW_NO_SUCH_NAME",
                "the environment has no `MODELROW_NO_SUCH_NAME`",
            ),
            (
                "plain-secret",
                "the credential's `secret_ref` is neither `env:NAME` nor `file:/path`",
            ),
        ];
        for (reference, want) in cases {
            assert_eq!(EnvironmentSecrets.open(reference).unwrap_err().why, want);
        }
    }

    #[test]
    fn a_secret_in_a_file_loses_its_last_line_break() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "sk-1\n").unwrap();
        let secret = EnvironmentSecrets
            .open(&format!("file:{}", path.display()))
            .unwrap();
        assert_eq!(secret.expose_secret(), "sk-1");
    }
}
