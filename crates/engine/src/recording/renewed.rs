//! Access tokens that were refused and replaced. That is what a credential needs, and none of a case's: the stand-ins of a
//! replay do not end, so what was sent again with another token counts once, as the provider took it.

use crate::http::Heard;
use crate::request::Proof;
use diag::ExposeSecret as _;

/// The exchanges without those that were made again with another token. `is_file` knows the steps whose requests are made
/// again all together: files come one after the other, and those before a refused one come twice.
pub(super) fn once(heard: Vec<&Heard>, is_file: impl Fn(&str) -> bool) -> Vec<&Heard> {
    let refused: Vec<usize> = (0..heard.len())
        .filter(|at| is_renewed(&heard, *at))
        .collect();
    let stays = |at: &usize| {
        let Some(one) = heard.get(*at) else {
            return false;
        };
        let of_its_step = |k: &&usize| {
            heard
                .get(**k)
                .is_some_and(|refused| refused.request.step == one.request.step)
        };
        let again =
            |k: &usize| at < k && is_file(&one.request.step) && is_sent_again(&heard, *at, *k);
        !refused.contains(at) && !refused.iter().filter(of_its_step).any(again)
    };
    let kept: Vec<usize> = (0..heard.len()).filter(stays).collect();
    kept.into_iter()
        .filter_map(|at| heard.get(at).copied())
        .collect()
}

/// Whether its token was refused, and the same request went once more with another.
fn is_renewed(heard: &[&Heard], at: usize) -> bool {
    heard.get(at).is_some_and(|one| {
        let status = one.answer.as_ref().map(|answer| answer.status);
        status == Some(401) && one.request.proof.fresh_until_ms.is_some()
    }) && is_sent_again(heard, at, at)
}

/// Whether the same request went once more, after `refused`, with another token than that one's.
fn is_sent_again(heard: &[&Heard], at: usize, refused: usize) -> bool {
    let (Some(one), Some(refused_one)) = (heard.get(at), heard.get(refused)) else {
        return false;
    };
    let mut later = heard.iter().skip(at.max(refused) + 1);
    later.any(|later| {
        let (one, other) = (&one.request, &later.request);
        one.step == other.step
            && one.method == other.method
            && one.url == other.url
            && !is_same(&refused_one.request.proof, &other.proof)
    })
}

/// A token that is signed here may read the same a moment later, and yet is another.
fn is_same(one: &Proof, other: &Proof) -> bool {
    let token = |proof: &Proof| {
        let token = proof.token.as_ref();
        token.map(|token| token.expose_secret().to_owned())
    };
    token(one) == token(other) && one.fresh_until_ms == other.fresh_until_ms
}
