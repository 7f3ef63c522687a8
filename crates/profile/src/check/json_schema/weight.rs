//! How often a schema looks at one value.
//!
//! References that fan out multiply: twenty definitions that each name the next
//! one twice look a million times, and a definition that names itself twice for
//! the same item doubles the work with every level of the value. A schema comes
//! from a row, and a value from a provider; neither may stop the program.

use super::super::walk::Sink;
use diag::{Code, Place};
use serde_json::{Map, Value};
use std::collections::{BTreeSet, HashMap};

/// How often one value may be looked at, at any level.
const MOST_LOOKS: usize = 10_000;
/// References that lead to one another, without a step into the value.
const MOST_REFERENCES: usize = 64;
/// Levels of a value: no JSON reader gives a deeper one.
const LEVELS: usize = 128;
/// What this check itself may do.
const MOST_WORK: usize = 2_000_000;
/// Regular expressions of one schema; each may be large.
const MOST_PATTERNS: usize = 200;

/// Files a finding when the schema takes too much time or memory.
pub(super) fn is_light(schema: &Value, at: &Place, sink: &Sink) -> bool {
    let refuse = |message: &str, help: &str| {
        sink.error(Code::P114, at, message, help);
        false
    };
    let mut seen = Seen::default();
    seen.look(schema, 0);
    if seen.moved {
        return refuse(
            "a schema within it has an `$id` of its own, which moves its references",
            "remove that `$id`; `#/$defs/…` reaches every definition",
        );
    }
    if seen.patterns > MOST_PATTERNS {
        return refuse(
            "the schema has more than 200 regular expressions",
            "use fewer of them",
        );
    }
    let mut weigher = Weigher {
        root: schema,
        anchors: seen.anchors,
        known: HashMap::new(),
        work: 0,
    };
    match weigher.looks(schema, LEVELS) {
        Ok(looks) if looks <= MOST_LOOKS => true,
        Err(Excess::Chain) => refuse(
            "more than 64 references lead to one another",
            "name the last definition where the first one is named",
        ),
        Ok(_) | Err(Excess::Looks) => refuse(
            "its references multiply: one value would be looked at more than 10,000 times",
            "name each definition once for each place of the value",
        ),
    }
}

/// What is found in one pass over the whole.
#[derive(Default)]
struct Seen<'s> {
    anchors: HashMap<&'s str, &'s Value>,
    patterns: usize,
    moved: bool,
}

impl<'s> Seen<'s> {
    fn look(&mut self, value: &'s Value, level: usize) {
        let members = match value {
            Value::Array(items) => {
                items.iter().for_each(|item| self.look(item, level + 1));
                return;
            }
            Value::Object(members) => members,
            _ => return,
        };
        for (name, inner) in members {
            match (name.as_str(), inner) {
                ("$id", Value::String(_)) => self.moved |= level > 0,
                ("$anchor" | "$dynamicAnchor", Value::String(anchor)) => {
                    self.anchors.insert(anchor, value);
                }
                ("pattern", Value::String(_)) => self.patterns += 1,
                ("patternProperties", Value::Object(patterns)) => self.patterns += patterns.len(),
                // Values, not schemas.
                ("const" | "enum" | "default" | "examples", _) => continue,
                _ => {}
            }
            self.look(inner, level + 1);
        }
    }
}

/// More than the bounds.
enum Excess {
    Looks,
    Chain,
}

struct Weigher<'s> {
    root: &'s Value,
    anchors: HashMap<&'s str, &'s Value>,
    /// By the address of the schema, and the levels that are left.
    known: HashMap<(usize, usize), usize>,
    work: usize,
}

const IN_PLACE: &[&str] = &["not", "if", "then", "else"];
const IN_PLACE_LISTS: &[&str] = &["allOf", "anyOf", "oneOf"];

impl<'s> Weigher<'s> {
    /// The most looks at one value, at any of so many levels.
    fn looks(&mut self, schema: &'s Value, levels: usize) -> Result<usize, Excess> {
        let key = (std::ptr::from_ref(schema) as usize, levels);
        if let Some(known) = self.known.get(&key) {
            return Ok(*known);
        }
        let mut here = Vec::new();
        self.in_place(schema, &mut Vec::new(), &mut here)?;
        let mut most = here.len();
        if let Some(levels) = levels.checked_sub(1) {
            for step in steps(&here) {
                self.spend(here.len())?;
                let mut looks = 0_usize;
                for schema in here.iter().flat_map(|members| below(members, step)) {
                    looks = looks.saturating_add(self.looks(schema, levels)?);
                }
                most = most.max(looks);
            }
        }
        if most > MOST_LOOKS {
            return Err(Excess::Looks);
        }
        self.known.insert(key, most);
        Ok(most)
    }

    fn spend(&mut self, work: usize) -> Result<(), Excess> {
        self.work = self.work.saturating_add(work);
        if self.work > MOST_WORK {
            Err(Excess::Looks)
        } else {
            Ok(())
        }
    }

    /// All that look at the same value as `schema` does, itself among them, as often as they look.
    fn in_place(
        &mut self,
        schema: &'s Value,
        open: &mut Vec<usize>,
        out: &mut Vec<&'s Map<String, Value>>,
    ) -> Result<(), Excess> {
        let Value::Object(members) = schema else {
            return Ok(());
        };
        let address = std::ptr::from_ref(schema) as usize;
        // The library stops at a circle that takes no step into the value.
        if open.contains(&address) {
            return Ok(());
        }
        if open.len() > MOST_REFERENCES {
            return Err(Excess::Chain);
        }
        self.spend(1)?;
        out.push(members);
        if out.len() > MOST_LOOKS {
            return Err(Excess::Looks);
        }
        open.push(address);
        // What is not evaluated is known after a second look at all that is.
        let twice = members.contains_key("unevaluatedItems")
            || members.contains_key("unevaluatedProperties");
        for _ in 0..=usize::from(twice) {
            for inner in self.beside(members) {
                self.in_place(inner, open, out)?;
            }
        }
        open.pop();
        Ok(())
    }

    /// The schemas that a schema applies to the same value.
    fn beside(&self, members: &'s Map<String, Value>) -> Vec<&'s Value> {
        let single = IN_PLACE.iter().filter_map(|name| members.get(*name));
        let lists = IN_PLACE_LISTS.iter().filter_map(|name| members.get(*name));
        let lists = lists.filter_map(Value::as_array).flatten();
        let maps = ["dependentSchemas", "dependencies"].into_iter();
        let maps = maps.filter_map(|name| members.get(name)?.as_object());
        let references = ["$ref", "$dynamicRef"].into_iter();
        let references = references.filter_map(|name| self.target(members.get(name)?.as_str()?));
        single
            .chain(lists)
            .chain(maps.flat_map(Map::values))
            .chain(references)
            .collect()
    }

    fn target(&self, reference: &str) -> Option<&'s Value> {
        let fragment = reference.strip_prefix('#')?;
        let fragment = percent_encoding::percent_decode_str(fragment).decode_utf8_lossy();
        if fragment.is_empty() || fragment.starts_with('/') {
            self.root.pointer(&fragment)
        } else {
            self.anchors.get(&*fragment).copied()
        }
    }
}

/// One step into a value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step<'s> {
    Item(usize),
    OtherItem,
    Member(&'s str),
    OtherMember,
    Name,
}

/// The steps that the schemas tell apart.
fn steps<'s>(here: &[&'s Map<String, Value>]) -> BTreeSet<Step<'s>> {
    let mut all = BTreeSet::from([Step::OtherItem, Step::OtherMember, Step::Name]);
    for members in here {
        let items = members.get("prefixItems").and_then(Value::as_array);
        all.extend((0..items.map_or(0, Vec::len)).map(Step::Item));
        let named = members.get("properties").and_then(Value::as_object);
        all.extend(
            named
                .into_iter()
                .flatten()
                .map(|(name, _)| Step::Member(name)),
        );
    }
    all
}

/// The schemas that look at what lies behind the step.
fn below<'s>(members: &'s Map<String, Value>, step: Step<'_>) -> Vec<&'s Value> {
    let get = |name: &str| members.get(name);
    let named = |name: &str| get("properties").and_then(|all| all.get(name));
    let mut all = Vec::new();
    match step {
        Step::Item(index) => all.extend(
            get("prefixItems")
                .and_then(|items| items.get(index))
                .or(get("items")),
        ),
        Step::OtherItem => all.extend(get("items")),
        Step::Member(name) => all.extend(named(name).or(get("additionalProperties"))),
        Step::OtherMember => all.extend(get("additionalProperties")),
        Step::Name => all.extend(get("propertyNames")),
    }
    match step {
        Step::Item(_) | Step::OtherItem => {
            all.extend(["contains", "unevaluatedItems"].into_iter().filter_map(get));
        }
        Step::Member(_) | Step::OtherMember => {
            all.extend(get("unevaluatedProperties"));
            let patterns = get("patternProperties").and_then(Value::as_object);
            all.extend(patterns.into_iter().flat_map(Map::values));
        }
        Step::Name => {}
    }
    all
}

#[cfg(test)]
mod tests;
