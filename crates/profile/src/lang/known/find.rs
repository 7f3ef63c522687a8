//! What a name stands for, and what was meant by one that stands for nothing.

use super::super::mistake::unknown;
use super::super::reference::segments;
use super::super::{Mistake, Ref, Root, Seg};
use super::Presence::{Always, Late};
use super::{Known, Member, Members, Resolved};
use diag::Code;

/// Names of other programs, and ours.
const MEANT: &[(&str, &str)] = &[
    ("prompt", "userPrompt"),
    ("user_prompt", "userPrompt"),
    ("text", "userPrompt"),
    ("api_key", "apiKey"),
    ("apikey", "apiKey"),
    ("key", "apiKey"),
    ("token", "accessToken"),
    ("access_token", "accessToken"),
    ("id", "job_id"),
    ("jobId", "job_id"),
    ("task_id", "job_id"),
    ("request_id", "job_id"),
    ("max_tokens", "maxTokens"),
    ("callback", "callback_url"),
    ("webhook_url", "callback_url"),
    ("run_id", "run.id"),
    ("idempotency_key", "run.token"),
];

impl Known {
    /// Finds what `source` names: `params_seconds`, `inputs.frames[1].url`.
    pub(in crate::lang) fn resolve(&self, source: &str) -> Result<Resolved, Mistake> {
        let path = segments(source)?;
        let Some((Seg::Key(first), rest)) = path.split_first() else {
            return Err(Mistake::new(
                Code::P207,
                format!("`{source}` does not start with a name"),
                "start with the name of a variable",
            ));
        };
        let (mut name, mut member) = self.first(first)?;
        for seg in rest {
            if self.is_there(&name) {
                member.presence = Always;
            }
            member = step(source, member, seg)?;
            name.path.push(seg.clone());
        }
        if self.is_there(&name) {
            member.presence = Always;
        }
        Ok(Resolved { name, member })
    }

    fn first(&self, first: &str) -> Result<(Ref, Member), Mistake> {
        let first = if first == "this" { "item" } else { first };
        let local = self.locals.iter().rposition(|(have, _)| have == first);
        if let Some((at, (_, member))) = local.and_then(|at| Some((at, self.locals.get(at)?))) {
            let root = Root::Local(u8::try_from(at).unwrap_or(u8::MAX));
            return Ok((
                Ref {
                    root,
                    path: Vec::new(),
                },
                member.clone(),
            ));
        }
        match self.names.get(first) {
            Some(entry) => Ok((entry.name.clone(), entry.member.clone())),
            None => Err(self.unknown_name(first)),
        }
    }

    fn unknown_name(&self, first: &str) -> Mistake {
        let locals = self.locals.iter().map(|(name, _)| name.as_str());
        let names = self.names.keys().map(String::as_str).chain(locals);
        let mistake = unknown("variable", first, names);
        let help = match self.meant(first) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if first.starts_with("config_") => format!(
                "`config_{0}` is the member `{0}` of the auth profile's `config`: add it there",
                first.trim_start_matches("config_")
            ),
            None if first == "steps" => {
                "nothing is captured before this place: `extract` of an earlier step does, that of `response_mapping` for the submit's answer (`steps.submit.<name>`); `vars` see the call alone".to_owned()
            }
            None if self.precedes_the_job(first) => {
                "the job's id is known after the submit, in a workflow of the type `async_job`"
                    .to_owned()
            }
            None if self.lacks_secrets(first) => {
                "no secret is known here: name an `auth_profile` in the profile".to_owned()
            }
            None => return mistake,
        };
        Mistake { help, ..mistake }
    }

    /// What is often written in another way: an option or an input without its family, and the words of other programs.
    fn meant(&self, first: &str) -> Option<String> {
        let option = format!("params_{first}");
        if self.names.contains_key(&option) {
            return Some(option);
        }
        if let Some(Members::Of(inputs)) =
            self.names.get("inputs").map(|entry| &entry.member.members)
            && inputs.contains_key(first)
        {
            return Some(format!("inputs.{first}"));
        }
        if let Some(captured) = self.captured(first) {
            return Some(captured);
        }
        let (_, meant) = MEANT.iter().find(|(written, _)| *written == first)?;
        let root = meant.split('.').next().unwrap_or(meant);
        self.names.contains_key(root).then(|| (*meant).to_owned())
    }

    /// A capture by its bare name.
    fn captured(&self, first: &str) -> Option<String> {
        let Members::Of(steps) = &self.names.get("steps")?.member.members else {
            return None;
        };
        let has = |member: &Member| matches!(&member.members, Members::Of(all) if all.contains_key(first));
        let (step, _) = steps.iter().find(|(_, member)| has(member))?;
        Some(format!("steps.{step}.{first}"))
    }

    /// The job's id, in any spelling, where nobody has it yet.
    fn precedes_the_job(&self, first: &str) -> bool {
        let meant = MEANT.iter().find(|(written, _)| *written == first);
        let name = meant.map_or(first, |(_, meant)| meant);
        name == "job_id" && self.names.contains_key("model") && !self.names.contains_key("job_id")
    }

    /// A name of a secret where no auth profile gives any.
    fn lacks_secrets(&self, first: &str) -> bool {
        const SECRETS: [&str; 3] = ["apiKey", "accessToken", "secret"];
        let meant = MEANT.iter().find(|(written, _)| *written == first);
        let name = meant.map_or(first, |(_, meant)| meant);
        SECRETS.contains(&name)
            && self.names.contains_key("model")
            && !SECRETS.iter().any(|name| self.names.contains_key(*name))
    }

    /// Whether it is a name that only a row gives: no answer has such a member.
    pub(crate) fn is_of_ours(&self, source: &str) -> bool {
        const FAMILIES: [&str; 6] = [
            "steps.", "vars.", "tables.", "secret.", "params_", "config_",
        ];
        FAMILIES.iter().any(|family| source.starts_with(family)) && self.resolve(source).is_ok()
    }

    /// The value that a JSONPath over the variables may start at: one that is
    /// there as a whole and holds no secret.
    pub(in crate::lang) fn document(&self, first: &str) -> Result<Resolved, Mistake> {
        let resolved = self.resolve(first)?;
        let computed = matches!(resolved.name.root, Root::Inputs | Root::Vars | Root::Secret);
        if computed || holds_secret(&resolved.member) {
            return Err(Mistake::new(
                Code::P207,
                format!("a JSONPath cannot walk `{first}`"),
                format!("write a short path: `{first}.name`"),
            ));
        }
        Ok(resolved)
    }

    /// Whether a guard says that `name`, or something under it, is there.
    fn is_there(&self, name: &Ref) -> bool {
        self.there
            .iter()
            .any(|there| there.root == name.root && there.path.starts_with(&name.path))
    }
}

fn step(source: &str, from: Member, seg: &Seg) -> Result<Member, Mistake> {
    let Seg::Key(key) = seg else {
        let presence = from.presence.max(Late);
        return Ok(Member { presence, ..from });
    };
    match from.members {
        Members::Any => Ok(Member {
            presence: from.presence.max(Late),
            ..from
        }),
        Members::None => Err(Mistake::new(
            Code::P201,
            format!("`{source}` asks for a member of a single value"),
            format!("leave out `.{key}`"),
        )),
        Members::Of(mut members) => match members.remove(&**key) {
            Some(member) => Ok(Member {
                presence: from.presence.max(member.presence),
                secret: from.secret || member.secret,
                members: member.members,
            }),
            None => {
                let full = source.to_owned();
                let mut mistake = unknown("variable", key, members.keys().map(String::as_str));
                mistake.message = format!("unknown variable `{full}`: there is no `{key}`");
                Err(mistake)
            }
        },
    }
}

fn holds_secret(member: &Member) -> bool {
    let inside = match &member.members {
        Members::Of(members) => members.values().any(holds_secret),
        Members::Any | Members::None => false,
    };
    member.secret || inside
}
