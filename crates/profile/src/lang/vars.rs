//! `vars`: values computed from others where they are used.

#[cfg(test)]
mod tests;

use super::known::Presence;
use super::{Known, MAX_DEPTH, Read, Root, Tree};
use diag::{Code, Diagnostic, Diagnostics, Place};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// The compiled `vars` of a transport.
#[derive(Debug, Clone, Default)]
pub struct VarsTable {
    trees: HashMap<String, Tree>,
}

/// The `vars` that each of them uses.
type Uses = HashMap<String, Vec<String>>;

impl VarsTable {
    /// Compiles `vars` (an object of templates) and makes them known as
    /// `vars.<name>`. Where they are used, a secret in them is one, and an
    /// optional value in them makes them optional. `None` when mistakes were filed.
    pub fn compile(
        source: &Value,
        known: &mut Known,
        at: &Place,
        found: &mut Diagnostics,
    ) -> Option<Self> {
        let Value::Object(sources) = source else {
            found.push(Diagnostic::error(
                Code::P209,
                at.clone(),
                "`vars` is an object of templates",
                "write `{\"name\": \"…\"}`",
            ));
            return None;
        };
        for name in sources.keys() {
            known.var(name, Presence::Always, false);
        }
        let order = order(sources, known, at, found)?;
        let mut table = Self::default();
        let mut good = true;
        for name in order {
            let Some(source) = sources.get(&name) else {
                continue;
            };
            let inside = known
                .outside()
                .secrets_may_stand(true)
                .parts_may_stand(false);
            let tree = Tree::compile(source, &inside, &at.child(&name), found);
            good &= tree.is_some();
            if let Some(tree) = tree {
                known.var(&name, tree.presence(), tree.is_secret());
                table.trees.insert(name, tree);
            }
        }
        good.then_some(table)
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Tree> {
        self.trees.get(name)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.trees.is_empty()
    }

    /// Shows every name that the var reads, through other `vars` too.
    pub fn reads(&self, name: &str, see: &mut dyn FnMut(Read<'_>)) {
        let Some(tree) = self.get(name) else { return };
        tree.reads(&mut |read| {
            see(read);
            if read.name.root == Root::Vars {
                self.reads(read.name.key().unwrap_or_default(), see);
            }
        });
    }
}

/// The names in an order in which each comes after those that it uses.
fn order(
    sources: &Map<String, Value>,
    known: &Known,
    at: &Place,
    found: &mut Diagnostics,
) -> Option<Vec<String>> {
    let inside = known.outside().secrets_may_stand(true);
    let mut uses = Uses::new();
    for (name, source) in sources {
        let mut used = Vec::new();
        // Its mistakes are filed when it is compiled in its turn.
        if let Some(tree) = Tree::compile(source, &inside, at, &mut Diagnostics::new()) {
            tree.reads(&mut |read| {
                if read.name.root == Root::Vars {
                    used.extend(read.name.key().map(str::to_owned));
                }
            });
        }
        uses.insert(name.clone(), used);
    }
    let mut walk = Walk {
        uses: &uses,
        done: Vec::new(),
        open: Vec::new(),
    };
    for name in sources.keys() {
        if let Err(mistake) = walk.visit(name) {
            found.push(mistake.at(&at.child(name)));
            return None;
        }
    }
    Some(walk.done)
}

/// A walk over who uses whom.
struct Walk<'a> {
    uses: &'a Uses,
    done: Vec<String>,
    open: Vec<&'a str>,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, name: &'a str) -> Result<(), super::Mistake> {
        if self.done.iter().any(|done| done == name) {
            return Ok(());
        }
        if let Some(start) = self.open.iter().position(|open| *open == name) {
            let circle = self.open.iter().skip(start).copied().chain([name]);
            let circle: Vec<String> = circle.map(|name| format!("`vars.{name}`")).collect();
            return Err(super::Mistake::new(
                Code::P210,
                format!("{} form a circle", circle.join(" → ")),
                "take one of them out of the circle",
            ));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(super::Mistake::new(
                Code::P212,
                format!("`vars` use each other deeper than {MAX_DEPTH} levels"),
                "flatten them",
            ));
        }
        self.open.push(name);
        let uses = self.uses;
        for used in uses.get(name).into_iter().flatten() {
            self.visit(used)?;
        }
        self.open.pop();
        self.done.push(name.to_owned());
        Ok(())
    }
}
