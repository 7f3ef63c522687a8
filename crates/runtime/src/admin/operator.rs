//! What an operator alone may write: a way into the network behind us, and references to secrets of our own processes.

use super::save::owner;
use diag::{Code, Diagnostic, Diagnostics, Place};
use profile::rows::{CredentialRow, Rows};
use store::Scope;
use store::catalogue::Rows as Tables;
use uuid::Uuid;

/// Members of `egress` (profile language, section 9).
const OF_EGRESS: [&str; 2] = ["allow_http", "allow_private"];

/// What a tenant's admin may not write, by its place. What an operator has written into the tenant's row may stay.
pub(super) fn refused(scope: Scope, there: &Tables, new: &Rows) -> Diagnostics {
    let Scope::Tenant(tenant) = scope else {
        return Diagnostics::new();
    };
    let mut found = Diagnostics::new();
    for row in &new.credentials {
        found.extend(of_secret(tenant, there, row));
    }
    found
}

/// Words that no row of a tenant has, whoever writes it; a bundle says nobody's it is, so its own check cannot tell.
pub(super) fn words(tenant: Uuid, new: &Rows) -> Diagnostics {
    let mut found = Diagnostics::new();
    let of_tenant = owner(tenant).is_some();
    for row in new.providers.iter().filter(|_| of_tenant) {
        let asked = OF_EGRESS.into_iter();
        let asked = asked.filter(|word| row.egress.get(*word).is_some_and(|value| *value != false));
        for word in asked {
            let message = format!("`{word}` is an operator's word, and this is a tenant's row");
            let help =
                "leave it out, or have the operator keep the provider among the system's rows";
            let place = Place::pointer(row.at.child("egress").child(word).pointer);
            found.push(Diagnostic::error(Code::P116, place, message, help));
        }
    }
    found
}

fn of_secret(tenant: Uuid, there: &Tables, row: &CredentialRow) -> Option<Diagnostic> {
    let own = there.credentials.iter().find(|old| {
        old.tenant == owner(tenant) && old.provider == row.provider && old.name == row.name
    });
    let asked = row.secret_ref.as_ref()?;
    if own.and_then(|own| own.secret_ref.as_ref()) == Some(asked) {
        return None;
    }
    let help = "leave it out, and give the secret itself: `POST /admin/v1/credentials`";
    Some(reference(row.at.child("secret"), help))
}

/// A reference names a variable or a file of our own processes.
pub(super) fn reference(place: Place, help: &str) -> Diagnostic {
    let place = Place::pointer(place.pointer);
    let message = "a reference to a secret is an operator's to write";
    Diagnostic::error(Code::R206, place, message, help)
}
