//! Under which user PostgreSQL runs, since it refuses uid 0.

use super::child;
use super::error::EmbeddedError;
use nix::unistd::{Uid, User, getegid, geteuid};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The uid inside a user namespace when the system names no `nobody`.
const NOBODY: u32 = 65534;

/// Who the server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Account {
    /// As ourselves.
    Same,
    /// Another user: a real boundary of privilege.
    Drop {
        /// User.
        uid: u32,
        /// Its group.
        gid: u32,
        /// For announcements.
        name: String,
    },
    /// A user namespace with one entry: inside an ordinary uid, outside us.
    Namespace {
        /// The uid inside; the system must know its name.
        inside: u32,
    },
}

impl Account {
    /// The lines of `uid_map` and `gid_map` (`user_namespaces(7)`).
    pub(super) fn maps(&self) -> Option<(String, String)> {
        match self {
            Self::Namespace { inside } => Some((
                format!("{inside} {} 1", geteuid()),
                format!("{inside} {} 1", getegid()),
            )),
            Self::Same | Self::Drop { .. } => None,
        }
    }

    /// Gives the server a folder that *we* created.
    pub(super) fn own(&self, path: &Path) -> Result<(), EmbeddedError> {
        match self {
            Self::Drop { uid, gid, .. } => std::os::unix::fs::chown(path, Some(*uid), Some(*gid))
                .map_err(EmbeddedError::folder("change the owner of", path)),
            Self::Same | Self::Namespace { .. } => Ok(()),
        }
    }
}

/// Chooses the account that can reach both the data folder and the programs.
///
/// `cluster` is looked at for its owner, if it exists.
pub(super) fn choose(
    data_dir: &Path,
    cluster: &Path,
    postgres: &Path,
) -> Result<Account, EmbeddedError> {
    let me = geteuid();
    if !me.is_root() && matches!(User::from_uid(me), Ok(Some(_))) {
        return Ok(Account::Same);
    }
    let mut refusals = Vec::new();
    for account in candidates(me, data_dir, cluster) {
        match probe(&account, data_dir, postgres) {
            Ok(()) => return Ok(account),
            Err(reason) => refusals.push(format!("{}: {reason}", describe(&account))),
        }
    }
    Err(EmbeddedError::NoAccount {
        reason: refusals.join("; "),
    })
}

/// In the order of preference: a plain change of user first.
fn candidates(me: Uid, data_dir: &Path, cluster: &Path) -> Vec<Account> {
    let namespace = Account::Namespace { inside: nobody() };
    if !me.is_root() {
        return vec![namespace];
    }
    match owner(cluster) {
        // Made in a namespace, so the files are ours.
        Some(0) => return vec![namespace],
        Some(uid) => return vec![drop_to_uid(uid), namespace],
        None => {}
    }
    let owner = owner(data_dir).filter(|uid| *uid != 0);
    let users = [
        owner.and_then(|uid| User::from_uid(Uid::from_raw(uid)).ok().flatten()),
        User::from_name("postgres").ok().flatten(),
        User::from_name("nobody").ok().flatten(),
    ];
    let drops = users.into_iter().flatten().map(|user| drop_to(&user));
    drops.chain([namespace]).collect()
}

fn drop_to(user: &User) -> Account {
    Account::Drop {
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
        name: user.name.clone(),
    }
}

/// The owner of a cluster, whether or not the system knows a name for it: only `initdb` needs one.
fn drop_to_uid(uid: u32) -> Account {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => drop_to(&user),
        _ => Account::Drop {
            uid,
            gid: uid,
            name: uid.to_string(),
        },
    }
}

fn owner(path: &Path) -> Option<u32> {
    path.metadata().ok().map(|meta| meta.uid())
}

fn nobody() -> u32 {
    let user = User::from_name("nobody").ok().flatten();
    user.map_or(NOBODY, |user| user.uid.as_raw())
}

/// Runs the server's `--version` as `account` in the data folder: what the server will need, asked of the kernel.
fn probe(account: &Account, data_dir: &Path, postgres: &Path) -> Result<(), String> {
    let out = child::command(postgres, account, data_dir)
        .arg("--version")
        .output();
    match out {
        Ok(out) if out.status.success() => Ok(()),
        Ok(out) => Err(out.status.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

fn describe(account: &Account) -> String {
    match account {
        Account::Same => "as we are".to_owned(),
        Account::Drop { name, .. } => format!("as user `{name}`"),
        Account::Namespace { .. } => "in a user namespace".to_owned(),
    }
}
