//! Proving a credential by the exchange that the provider's conventions name for it: it costs nothing.

use super::{Action, Flow, Phase};
use crate::answer::Failure;
use crate::fault::Fault;
use crate::request::{Drawn, Received};
use uuid::Uuid;

impl Flow {
    /// The exchange, or the token that comes before it; `None`: the conventions
    /// name none. No run may be under way in this machine.
    ///
    /// # Errors
    ///
    /// The first value that could not be written. Nothing was sent.
    pub fn verify(&mut self, drawn: Drawn) -> Result<Option<Action>, Fault> {
        let revision = self.revision();
        let exchange = revision.verify.as_ref();
        exchange
            .map(|exchange| self.exchange(exchange, Phase::Before, drawn))
            .transpose()
    }

    /// Reads its answer.
    ///
    /// # Errors
    ///
    /// [`Fault`]: what the provider says against the credential, by the classes of the language.
    pub fn verified(&mut self, received: &Received, now_ms: i64) -> Result<(), Fault> {
        self.trusted &= received.trusted;
        let revision = self.revision();
        let ok = revision.verify.as_ref();
        let ok = ok.map_or(&[][..], |exchange| exchange.ok_status.as_slice());
        let drawn = Drawn {
            unix_ms: now_ms,
            seed: Uuid::nil(),
        };
        let scope = self.scope(drawn);
        let answer = received.read();
        match self.judge(&scope).failure(answer.view(), ok, now_ms)? {
            Some(Failure { fault, .. }) => Err(fault),
            None => Ok(()),
        }
    }
}
