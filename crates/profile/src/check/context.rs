//! What a check knows at one place: names, hosts, what is inherited; and what
//! it has seen templates read.

use super::auth::Hosts;
use super::walk::Sink;
use crate::lang::{Condition, Known, Path, Place as Stand, Read, Root, Seg, Text, Tree, VarsTable};
use crate::revision::Auth;
use diag::{Code, Diagnostic, Place};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A header or query member as written; `None` removes an inherited one.
pub(crate) type Written = (String, Option<Value>, Place);

/// What templates read of the call.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Options by name.
    pub(crate) options: BTreeSet<String>,
    /// Inputs by name.
    pub(crate) inputs: BTreeSet<String>,
    /// `params` as a whole.
    pub(crate) all_options: bool,
    /// `userPrompt`, where its absence fails.
    pub(crate) prompt: bool,
    /// `input`, where its absence fails.
    pub(crate) input: bool,
}

impl Seen {
    /// Adds what another profile's templates read.
    pub(crate) fn join(&mut self, other: Self) {
        self.options.extend(other.options);
        self.inputs.extend(other.inputs);
        self.all_options |= other.all_options;
        self.prompt |= other.prompt;
        self.input |= other.input;
    }

    fn see(&mut self, read: Read<'_>) {
        let first = match read.name.path.first() {
            Some(Seg::Key(name)) => Some(name.to_string()),
            _ => None,
        };
        match (read.name.root, first) {
            (Root::Params, Some(name)) => {
                self.options.insert(name);
            }
            (Root::Params, None) => self.all_options = true,
            (Root::Inputs, Some(name)) => {
                self.inputs.insert(name);
            }
            (Root::UserPrompt, _) => self.prompt |= read.required,
            (Root::Input, _) => self.input |= read.required,
            _ => {}
        }
    }
}

/// `when` stands beside a step, and many mean the answer before it.
fn walks_variables(finding: &mut Diagnostic) {
    if finding.code == Code::P201 && finding.help.starts_with("known here") {
        let known = std::mem::take(&mut finding.help);
        finding.help = format!(
            "`when` walks variables and no answer: what an answer says is taken by `extract` of its step, and is `steps.<step>.<name>` here; {known}"
        );
    }
}

/// Carried through the check of one profile.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    /// Where findings go.
    pub(crate) sink: &'a Sink,
    /// Names at this place.
    pub(crate) known: Known,
    /// Where the provider's rows may go.
    pub(crate) hosts: &'a Hosts<'a>,
    /// Other auth profiles, which steps name.
    pub(crate) auths: &'a [Auth],
    /// What every exchange inherits.
    pub(crate) headers: Vec<Written>,
    /// The same for the query.
    pub(crate) query: Vec<Written>,
    /// What templates read.
    pub(crate) seen: &'a RefCell<Seen>,
    /// The transport's `vars`, once they are read.
    pub(crate) vars: Arc<VarsTable>,
}

impl<'a> Context<'a> {
    /// The same, with another list of findings.
    pub(crate) fn with_sink<'b>(&self, sink: &'b Sink) -> Context<'b>
    where
        'a: 'b,
    {
        Context {
            sink,
            known: self.known.clone(),
            hosts: self.hosts,
            auths: self.auths,
            headers: self.headers.clone(),
            query: self.query.clone(),
            seen: self.seen,
            vars: Arc::clone(&self.vars),
        }
    }

    /// The same where a condition is known to hold.
    pub(crate) fn assuming(&self, condition: Option<&Condition>) -> Context<'a> {
        let mut next = self.with_sink(self.sink);
        if let Some(condition) = condition {
            next.known = next.known.assuming(condition);
        }
        next
    }

    /// The same for a step that another auth profile proves. What is inherited
    /// with a secret in it is the other credential's, and stays behind.
    pub(crate) fn proved_by(&self, auth: &Auth) -> Context<'a> {
        let mut next = self.assuming(None);
        // What is wrong with them is said where they are sent.
        let quiet = Sink::default();
        let own = self.with_sink(&quiet);
        next.headers.retain(|(_, value, at)| {
            let text = value.as_ref().and_then(Value::as_str);
            let text = text.and_then(|text| own.text(text, Stand::Header, at));
            text.is_none_or(|text| !text.is_secret())
        });
        next.query.retain(|(_, value, at)| {
            let tree = value.as_ref().and_then(|value| own.body(value, false, at));
            tree.is_none_or(|tree| !tree.is_secret())
        });
        super::auth::known(&mut next.known, auth);
        next
    }

    /// A text at its place. Secrets may stand in headers only.
    pub(crate) fn text(&self, source: &str, stand: Stand, at: &Place) -> Option<Text> {
        let known = self.known.clone().secrets_may_stand(stand == Stand::Header);
        let text = self
            .sink
            .with(|found| Text::check(source, &known, stand, at, found))?;
        text.reads(&mut |read| self.seen.borrow_mut().see(read));
        Some(text)
    }

    /// `vars`, which later texts may read. Reading them is reading what they read.
    pub(crate) fn read_vars(&mut self, source: &Value, at: &Place) -> Option<Arc<VarsTable>> {
        let (sink, known) = (self.sink, &mut self.known);
        let vars = sink.with(|found| VarsTable::compile(source, known, at, found))?;
        for (name, _) in source.as_object().into_iter().flatten() {
            if let Some(tree) = vars.get(name) {
                tree.reads(&mut |read| self.seen.borrow_mut().see(read));
            }
        }
        self.vars = Arc::new(vars);
        Some(Arc::clone(&self.vars))
    }

    /// A tree in which secrets may stand, and media where `parts` says so.
    pub(crate) fn body(&self, source: &Value, parts: bool, at: &Place) -> Option<Tree> {
        let known = self
            .known
            .clone()
            .secrets_may_stand(true)
            .parts_may_stand(parts);
        self.tree_with(source, &known, at)
    }

    /// A tree without secrets.
    pub(crate) fn tree(&self, source: &Value, at: &Place) -> Option<Tree> {
        self.tree_with(source, &self.known, at)
    }

    fn tree_with(&self, source: &Value, known: &Known, at: &Place) -> Option<Tree> {
        let tree = self
            .sink
            .with(|found| Tree::compile(source, known, at, found))?;
        tree.reads(&mut |read| self.seen.borrow_mut().see(read));
        Some(tree)
    }

    /// A condition over the variables.
    pub(crate) fn when(&self, source: Option<&Value>, at: &Place) -> Option<Condition> {
        let condition = self.sink.with(|found| {
            let condition = Condition::of_variables(source?, &self.known, at, found);
            found.0.iter_mut().for_each(walks_variables);
            condition
        })?;
        condition.reads(&mut |read| self.seen.borrow_mut().see(read));
        Some(condition)
    }

    /// A condition on an answer.
    pub(crate) fn answer_condition(&self, source: &Value, at: &Place) -> Option<Condition> {
        let condition = self
            .sink
            .with(|found| Condition::of_answer(source, &self.known, at, found))?;
        condition.reads(&mut |read| self.seen.borrow_mut().see(read));
        Some(condition)
    }

    /// A path into an answer.
    pub(crate) fn answer_path(&self, source: Option<&Value>, at: &Place) -> Option<Path> {
        let texts = source.into_iter().flat_map(|source| match source {
            Value::Array(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        });
        for text in texts.filter_map(Value::as_str) {
            if self.known.is_of_ours(text) {
                self.sink.warn(
                    Code::P623,
                    at,
                    format!("`{text}` is the name of a variable, and this path walks an answer"),
                    format!("where the variable is meant, write a template: `{{{{{text}}}}}` (in a download `\"url\": \"{{{{{text}}}}}\"`)"),
                );
            }
        }
        self.sink.with(|found| Path::of_answer(source?, at, found))
    }

    /// A path over the variables.
    pub(crate) fn variable_path(&self, source: Option<&Value>, at: &Place) -> Option<Path> {
        let path = self
            .sink
            .with(|found| Path::of_variables(source?, &self.known, at, found))?;
        path.reads(&mut |read| self.seen.borrow_mut().see(read));
        Some(path)
    }

    /// What an object of headers or query members writes.
    pub(crate) fn written(members: Option<&Value>, at: &Place) -> Vec<Written> {
        let members = members.and_then(Value::as_object).into_iter().flatten();
        members
            .map(|(name, value)| {
                let value = Some(value).filter(|value| !value.is_null());
                (name.clone(), value.cloned(), at.child(name))
            })
            .collect()
    }
}
