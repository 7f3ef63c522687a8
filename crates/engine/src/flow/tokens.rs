//! Access tokens of a run: which one it lacks, where that is had, and what it
//! means that there is none.

use super::machine::{At, Moment, poll_of};
use super::{Action, Flow, Verdict};
use crate::auth::token::{Places, Source, Token, source};
use crate::auth::{Fingerprint, Keys, TokenId};
use crate::fault::{Fault, Kind};
use crate::request::{Drawn, Request};
use profile::revision::{Auth, Class};
use std::sync::Arc;
use url::Url;

impl Flow {
    /// What names the token of an auth profile, and the secret it is had with.
    /// `auth`: as [`Action::Token`] has it. `None`: there is no such auth profile.
    #[must_use]
    pub fn token_id(&self, auth: Option<&str>) -> Option<(TokenId, Fingerprint)> {
        let (auth, keys) = self.auth(auth)?;
        Some(keys.token_id(auth))
    }

    /// The token, where it is made here; else the request for it. `metadata`:
    /// what the operator has in place of the metadata server of a cloud.
    ///
    /// # Errors
    ///
    /// [`Fault`]: the secret does not fit, or the address may not have it.
    pub fn token_source(
        &self,
        auth: Option<&str>,
        metadata: Option<&Url>,
        drawn: Drawn,
    ) -> Result<Source, Fault> {
        let missing = || Fault::new(Kind::BadSecret, "the auth profile gives no access token");
        let (auth, keys) = self.auth(auth).ok_or_else(missing)?;
        let places = Places {
            policy: &self.site()?.policy,
            metadata,
        };
        source(auth, keys, places, drawn)?.ok_or_else(missing)
    }

    fn auth(&self, auth: Option<&str>) -> Option<(&Auth, &Keys)> {
        let revision = &self.setting.revision;
        let of = match auth {
            None => revision.auth.as_ref(),
            Some(key) => {
                let mut all = revision.step_auths.iter();
                all.find(|have| have.profile_key == key)
            }
        };
        Some((of?, self.setting.secrets.of(auth)?))
    }

    /// Gives it the token that it asked for.
    pub fn give_token(&mut self, auth: Option<&str>, token: &Token) {
        Arc::make_mut(&mut self.setting.secrets).set_token(auth, token);
    }

    /// The token was refused: before the next request it asks for another.
    pub fn forget_token(&mut self, auth: Option<&str>) {
        Arc::make_mut(&mut self.setting.secrets).forget_token(auth);
    }

    /// Asks for the token that a request lacks.
    pub(super) fn token_first(request: &Request, now_ms: i64) -> Option<Action> {
        let auth = &request.proof.auth;
        let lacks = request.lacks_token(now_ms);
        lacks.then(|| Action::Token { auth: auth.clone() })
    }

    /// There is no token, and so nothing was sent. Once a job is paid for, the
    /// credential waits for a person, and the run for the credential.
    pub(super) fn on_no_token(&mut self, fault: Fault, moment: Moment) -> Verdict {
        let revision = self.revision();
        match &self.at {
            At::Submit => self.on_submit_nothing(fault, true, moment),
            At::Settle => self.settle_later(moment, None),
            At::Cancel { .. } => self.cancel_later(fault, None, moment),
            At::Finish | At::Ended(_) => Verdict::Continue,
            At::Step(i) => {
                let fault = of_the_credential(fault);
                match poll_of(revision.workflow.steps.get(*i)) {
                    Some(poll) => self.unanswered(poll, fault, None, moment),
                    None => {
                        let class = fault.class();
                        self.repeat(fault, class, None, moment)
                    }
                }
            }
            At::Before(_) | At::Cleanup(_) => {
                let class = fault.class();
                self.repeat(fault, class, None, moment)
            }
        }
    }
}

/// What no class covers is a secret that does not fit, or a place it may not go to.
fn of_the_credential(fault: Fault) -> Fault {
    if fault.class().is_some() {
        return fault;
    }
    Fault {
        kind: Kind::TokenRefused(Class::Authentication),
        ..fault
    }
}
