//! The word that somebody may have meant.

/// Bytes of the longest name that is compared with others: the work grows with both lengths, and either may come from anybody.
pub const COMPARED_MAX: usize = 128;

/// The known word nearest to a misspelt one, if one is near: a few slips of the keyboard away, neighbours that changed places
/// counting as one (Damerau and Levenshtein).
#[must_use]
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let short = |name: &&str| name.len() <= COMPARED_MAX;
    let word = Some(word).filter(short)?;
    let (distance, near) = known
        .into_iter()
        .filter(short)
        .map(|have| (strsim::damerau_levenshtein(word, have), have))
        .min()?;
    (distance <= 2.max(near.len() / 3)).then_some(near)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_near_and_another_word_or_a_very_long_one_is_not() {
        let long = "x".repeat(COMPARED_MAX + 1);
        let known = ["listen", "log", long.as_str()];
        let cases = [
            ("listne", Some("listen")),
            ("lsiten", Some("listen")),
            ("lg", Some("log")),
            ("database_url", None),
            (long.as_str(), None),
        ];
        for (word, want) in cases {
            assert_eq!(nearest(word, known), want, "{word}");
        }
    }
}
