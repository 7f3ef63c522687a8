//! From a row's JSON to nodes, with every mistake found.

use super::super::known::Member;
use super::super::{Condition, Known, MAX_DEPTH, MAX_LIST, Path, Place as Spot, Text};
use super::{Node, Tree};
use diag::{Code, Diagnostic, Diagnostics, Place};
use serde_json::{Map, Value};

/// The directives: the key that opens each, and what else it may have.
const DIRECTIVES: &[(&str, &[&str])] = &[
    ("$when", &["$then", "$else"]),
    ("$each", &["$as", "$do"]),
    ("$merge", &[]),
    ("$json", &["content_type"]),
    ("$file", &["filename", "content_type"]),
];

const HELP: &str = "the directives are `$when` with `$then` and `$else`, `$each` with `$as` and `$do`, `$merge`, `$json` and `$file`";

struct Compiler<'a> {
    found: &'a mut Diagnostics,
    secret: bool,
    depth: usize,
}

pub(super) fn tree(
    source: &Value,
    known: &Known,
    at: &Place,
    found: &mut Diagnostics,
) -> Option<Tree> {
    let before = found.iter().count();
    let mut compiler = Compiler {
        found,
        secret: false,
        depth: 0,
    };
    let node = compiler.node(source, known, at)?;
    let secret = compiler.secret;
    (found.iter().count() == before).then_some(Tree { node, secret })
}

impl Compiler<'_> {
    fn wrong(&mut self, at: &Place, message: impl Into<String>, help: &str) {
        self.found
            .push(Diagnostic::error(Code::P209, at.clone(), message, help));
    }

    fn node(&mut self, source: &Value, known: &Known, at: &Place) -> Option<Node> {
        if self.depth > MAX_DEPTH {
            self.found.push(Diagnostic::error(
                Code::P212,
                at.clone(),
                format!("the tree is nested deeper than {MAX_DEPTH} levels"),
                "flatten it",
            ));
            return None;
        }
        self.depth += 1;
        let node = match source {
            Value::String(text) => self.text(text, known, at),
            Value::Array(items) => self.list(items, known, at),
            Value::Object(members) => self.object(members, known, at),
            Value::Null | Value::Bool(_) | Value::Number(_) => Some(Node::Literal(source.clone())),
        };
        self.depth -= 1;
        node
    }

    fn string(&mut self, text: &str, known: &Known, at: &Place) -> Option<Text> {
        let text = Text::check(text, known, Spot::Plain, at, self.found)?;
        self.secret |= text.is_secret();
        Some(text)
    }

    fn text(&mut self, text: &str, known: &Known, at: &Place) -> Option<Node> {
        let text = self.string(text, known, at)?;
        Some(match text.literal() {
            Some(literal) => Node::Literal(Value::from(literal)),
            None => Node::Text(text),
        })
    }

    fn nodes(&mut self, items: &[Value], known: &Known, at: &Place) -> Option<Vec<Node>> {
        if items.len() > MAX_LIST {
            self.found.push(Diagnostic::error(
                Code::P211,
                at.clone(),
                format!(
                    "the list has {} items; the bound is {MAX_LIST}",
                    items.len()
                ),
                "shorten it",
            ));
            return None;
        }
        // Every item is compiled, so that all mistakes are found.
        let nodes: Vec<Option<Node>> = items
            .iter()
            .enumerate()
            .map(|(index, item)| self.node(item, known, &at.child(index)))
            .collect();
        nodes.into_iter().collect()
    }

    fn list(&mut self, items: &[Value], known: &Known, at: &Place) -> Option<Node> {
        let nodes = self.nodes(items, known, at)?;
        let literals: Option<Vec<Value>> = nodes.iter().map(as_literal).collect();
        Some(literals.map_or(Node::List(nodes), |items| {
            Node::Literal(Value::Array(items))
        }))
    }

    fn object(&mut self, members: &Map<String, Value>, known: &Known, at: &Place) -> Option<Node> {
        if members.keys().any(|key| key.starts_with('$')) {
            return self.directive(members, known, at);
        }
        let nodes: Vec<Option<(String, Node)>> = members
            .iter()
            .map(|(key, value)| Some((key.clone(), self.node(value, known, &at.child(key))?)))
            .collect();
        let nodes: Vec<(String, Node)> = nodes.into_iter().collect::<Option<_>>()?;
        let literal = |(key, node): &(String, Node)| Some((key.clone(), as_literal(node)?));
        let literals: Option<Map<String, Value>> = nodes.iter().map(literal).collect();
        Some(literals.map_or(Node::Object(nodes), |members| {
            Node::Literal(Value::Object(members))
        }))
    }

    fn directive(
        &mut self,
        members: &Map<String, Value>,
        known: &Known,
        at: &Place,
    ) -> Option<Node> {
        let Some((name, more)) = DIRECTIVES.iter().find(|row| members.contains_key(row.0)) else {
            let key = members
                .keys()
                .find(|key| key.starts_with('$'))
                .map_or("", String::as_str);
            self.wrong(at, format!("`{key}` opens no directive"), HELP);
            return None;
        };
        let mut good = true;
        for key in members
            .keys()
            .filter(|key| key != name && !more.contains(&key.as_str()))
        {
            self.wrong(&at.child(key), format!("`{name}` has no `{key}`"), HELP);
            good = false;
        }
        let value = members.get(*name)?;
        let node = match *name {
            "$when" => self.when(value, members, known, at),
            "$each" => self.each(value, members, known, at),
            "$merge" => self.merge(value, known, &at.child(name)),
            "$json" => self.json(value, members, known, at),
            _ => self.file(value, members, known, at),
        };
        if good { node } else { None }
    }

    /// A part that a directive must have.
    fn must<'v>(
        &mut self,
        members: &'v Map<String, Value>,
        key: &str,
        at: &Place,
    ) -> Option<&'v Value> {
        let value = members.get(key);
        if value.is_none() {
            self.wrong(at, format!("`{key}` is missing"), HELP);
        }
        value
    }

    fn when(
        &mut self,
        when: &Value,
        members: &Map<String, Value>,
        known: &Known,
        at: &Place,
    ) -> Option<Node> {
        let condition = Condition::of_variables(when, known, &at.child("$when"), self.found);
        let inside = condition
            .as_ref()
            .map(|condition| known.clone().assuming(condition));
        let then = self.must(members, "$then", at);
        let then = then
            .and_then(|then| self.node(then, inside.as_ref().unwrap_or(known), &at.child("$then")));
        let otherwise = match members.get("$else") {
            Some(node) => Some(Box::new(self.node(node, known, &at.child("$else"))?)),
            None => None,
        };
        Some(Node::When {
            condition: condition?,
            then: Box::new(then?),
            otherwise,
        })
    }

    fn each(
        &mut self,
        each: &Value,
        members: &Map<String, Value>,
        known: &Known,
        at: &Place,
    ) -> Option<Node> {
        let path = Path::of_variables(each, known, &at.child("$each"), self.found);
        let name = self.item_name(members, at)?;
        let item = path.as_ref().map_or_else(Member::anything, Path::item);
        let (inside, slot) = known.with_item(name, item);
        if slot.is_none() {
            self.wrong(at, "`$each` is nested too deep", "flatten it");
            return None;
        }
        let body = self.must(members, "$do", at)?;
        let body = self.node(body, &inside, &at.child("$do"))?;
        Some(Node::Each {
            path: path?,
            body: Box::new(body),
        })
    }

    fn item_name<'v>(&mut self, members: &'v Map<String, Value>, at: &Place) -> Option<&'v str> {
        let name = match members.get("$as") {
            None => return Some("item"),
            Some(name) => name.as_str().unwrap_or_default(),
        };
        let first = name.starts_with(|c: char| c.is_ascii_lowercase());
        let good = first
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && name.len() <= 64;
        if good && !["this", "index"].contains(&name) {
            return Some(name);
        }
        self.wrong(
            &at.child("$as"),
            "`$as` is no name",
            "write small letters, digits and `_`, such as `image`",
        );
        None
    }

    fn merge(&mut self, list: &Value, known: &Known, at: &Place) -> Option<Node> {
        let Value::Array(items) = list else {
            self.wrong(at, "`$merge` takes a list of objects", HELP);
            return None;
        };
        for (index, item) in items.iter().enumerate() {
            if !item.is_object() && !item.is_string() {
                self.wrong(
                    &at.child(index),
                    "`$merge` merges objects only",
                    "write an object, or `{{json x}}`",
                );
            }
        }
        self.nodes(items, known, at).map(Node::Merge)
    }

    fn json(
        &mut self,
        of: &Value,
        members: &Map<String, Value>,
        known: &Known,
        at: &Place,
    ) -> Option<Node> {
        let of = self.node(
            of,
            &known.clone().parts_may_stand(false),
            &at.child("$json"),
        );
        let content_type = self.option(members, "content_type", known, at);
        if members.contains_key("content_type") && !known.allows_parts() {
            self.wrong(
                at,
                "a part of its own stands in a multipart body only",
                "leave out `content_type`",
            );
            return None;
        }
        Some(Node::Json {
            of: Box::new(of?),
            content_type: content_type?,
        })
    }

    fn file(
        &mut self,
        of: &Value,
        members: &Map<String, Value>,
        known: &Known,
        at: &Place,
    ) -> Option<Node> {
        let path = Path::of_variables(of, known, &at.child("$file"), self.found);
        let filename = self.option(members, "filename", known, at);
        let content_type = self.option(members, "content_type", known, at);
        if !known.allows_parts() {
            let help = "in JSON send `{{inputs.name.data_url}}` or `{{inputs.name.base64}}`; a file needs the kind `http_multipart` or `http_binary`";
            self.wrong(at, "a file cannot stand here", help);
            return None;
        }
        Some(Node::File {
            path: path?,
            filename: filename?,
            content_type: content_type?,
        })
    }

    /// A text that may be left out.
    fn option(
        &mut self,
        members: &Map<String, Value>,
        key: &str,
        known: &Known,
        at: &Place,
    ) -> Option<Option<Text>> {
        let at = at.child(key);
        match members.get(key) {
            None => Some(None),
            Some(Value::String(text)) => {
                let text = Text::check(text, known, Spot::Header, &at, self.found)?;
                self.secret |= text.is_secret();
                Some(Some(text))
            }
            Some(_) => {
                self.wrong(&at, format!("`{key}` is a text"), HELP);
                None
            }
        }
    }
}

fn as_literal(node: &Node) -> Option<Value> {
    match node {
        Node::Literal(value) => Some(value.clone()),
        _ => None,
    }
}
