//! Secrets: a type that cannot be printed or serialised.

pub use secrecy::ExposeSecret;

/// A text that never reaches a log, an error, an event or a panic. Reading it
/// takes [`ExposeSecret::expose_secret`], which a search finds.
pub type Secret = secrecy::SecretString;

/// Shows that a secret stood here, and nothing of it.
#[must_use]
pub fn mask() -> &'static str {
    "***"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_itself_when_printed() {
        let secret = Secret::from("sk-1234".to_owned());
        assert!(!format!("{secret:?}").contains("1234"));
    }
}
