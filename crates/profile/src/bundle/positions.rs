//! Where every value of a JSON text stands: pointer to line and column.
//!
//! One pass over a text that a JSON reader has already accepted. It finds
//! duplicate keys on the way, which readers swallow.

use std::collections::{HashMap, HashSet};

/// Line and column, from 1; the column counts characters.
pub(super) type Spot = (u32, u32);

/// Pointers that are looked for, by their steps. Only these are kept: a pointer
/// to every value would be large where names are long.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    spot: Option<Spot>,
    below: HashMap<String, Wanted>,
}

impl Wanted {
    /// Looks for one more.
    pub(super) fn add(&mut self, pointer: &str) {
        let steps = pointer.split('/').skip(1);
        steps.fold(self, |at, step| {
            at.below.entry(step.to_owned()).or_default()
        });
    }

    /// Walks the text. On one that is not JSON the result is incomplete, never a panic.
    pub(super) fn find(&mut self, text: &str) {
        Scanner::new(text).value(Some(self), 0);
    }

    /// Where the value stands, or the nearest one around it.
    pub(super) fn nearest(&self, pointer: &str) -> Option<Spot> {
        let mut at = self;
        let mut spot = self.spot;
        for step in pointer.split('/').skip(1) {
            let Some(next) = at.below.get(step) else {
                break;
            };
            at = next;
            spot = at.spot.or(spot);
        }
        spot
    }
}

/// Pointers of members whose key the object already had, with the place of the second.
pub(super) fn duplicates(text: &str) -> Vec<(String, Spot)> {
    let mut scanner = Scanner::new(text);
    scanner.value(None, 0);
    scanner.duplicates
}

/// More are not told: a file that has so many is no bundle.
const MAX_DUPLICATES: usize = 100;
/// Deeper texts are refused before they come here; the scan stops all the same.
const MAX_LEVELS: usize = 200;

struct Scanner<'t> {
    rest: std::iter::Peekable<std::str::Chars<'t>>,
    line: u32,
    column: u32,
    pointer: String,
    duplicates: Vec<(String, Spot)>,
}

impl<'t> Scanner<'t> {
    fn new(text: &'t str) -> Self {
        Self {
            rest: text.chars().peekable(),
            line: 1,
            column: 1,
            pointer: String::new(),
            duplicates: Vec::new(),
        }
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        if c == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some(c)
    }

    fn skip_space(&mut self) {
        while self.rest.peek().is_some_and(char::is_ascii_whitespace) {
            self.next();
        }
    }

    fn take(&mut self, wanted: char) -> bool {
        self.skip_space();
        let there = self.rest.peek() == Some(&wanted);
        if there {
            self.next();
        }
        there
    }

    fn value(&mut self, mut wanted: Option<&mut Wanted>, level: usize) {
        self.skip_space();
        if level > MAX_LEVELS {
            return;
        }
        let spot = (self.line, self.column);
        if let Some(wanted) = &mut wanted {
            wanted.spot = Some(spot);
        }
        match self.rest.peek() {
            Some('{') => self.object(wanted, level),
            Some('[') => self.array(wanted, level),
            Some('"') => {
                self.string();
            }
            _ => self.scalar(),
        }
    }

    fn object(&mut self, mut wanted: Option<&mut Wanted>, level: usize) {
        self.next();
        let mut keys = HashSet::new();
        while !self.take('}') {
            let spot = (self.line, self.column);
            let Some(key) = self.string() else { return };
            if !self.take(':') {
                return;
            }
            let length = self.pointer.len();
            let step = key.replace('~', "~0").replace('/', "~1");
            self.pointer.push('/');
            self.pointer.push_str(&step);
            if !keys.insert(key) && self.duplicates.len() < MAX_DUPLICATES {
                self.duplicates.push((self.pointer.clone(), spot));
            }
            self.value(below(&mut wanted, &step), level + 1);
            self.pointer.truncate(length);
            self.take(',');
        }
    }

    fn array(&mut self, mut wanted: Option<&mut Wanted>, level: usize) {
        self.next();
        let mut index = 0_usize;
        while !self.take(']') {
            if self.rest.peek().is_none() {
                return;
            }
            let length = self.pointer.len();
            let step = index.to_string();
            self.pointer.push('/');
            self.pointer.push_str(&step);
            self.value(below(&mut wanted, &step), level + 1);
            self.pointer.truncate(length);
            index += 1;
            if !self.take(',') && self.rest.peek() != Some(&']') {
                return;
            }
        }
    }

    /// A string, unescaped by the JSON reader itself so that keys compare as it reads them.
    fn string(&mut self) -> Option<String> {
        if !self.take('"') {
            return None;
        }
        let mut raw = String::from("\"");
        loop {
            let c = self.next()?;
            raw.push(c);
            match c {
                '\\' => raw.push(self.next()?),
                '"' => break,
                _ => {}
            }
        }
        serde_json::from_str(&raw).ok()
    }

    fn scalar(&mut self) {
        while self
            .rest
            .peek()
            .is_some_and(|c| !c.is_ascii_whitespace() && !matches!(c, ',' | ']' | '}'))
        {
            self.next();
        }
    }
}

fn below<'w>(wanted: &'w mut Option<&mut Wanted>, step: &str) -> Option<&'w mut Wanted> {
    wanted.as_mut()?.below.get_mut(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_line_and_column_in_characters() {
        let mut wanted = Wanted::default();
        let want = [
            ("", (1, 1)),
            ("/a/0", (2, 9)),
            ("/a/2", (2, 17)),
            ("/a/2/b~1c", (2, 25)),
            ("/a/2/gone/deeper", (2, 17)),
        ];
        for (pointer, _) in want {
            wanted.add(pointer);
        }
        wanted.find("{\n  \"a\": [1, \"é\", {\"b/c\": true}]\n}");
        for (pointer, spot) in want {
            assert_eq!(wanted.nearest(pointer), Some(spot), "{pointer}");
        }
    }

    #[test]
    fn the_second_of_two_equal_keys_is_a_duplicate_however_it_is_escaped() {
        let found = duplicates(r#"{"a": 1, "\u0061": 2, "b": {"a": 3}}"#);
        assert_eq!(found, [("/a".to_owned(), (1, 10))]);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_scan_panic_or_hang(text in "[\\[\\]{}\",:a1 \\\\\n]{0,64}") {
            duplicates(&text);
            let mut wanted = Wanted::default();
            wanted.add("/a/1/a");
            wanted.find(&text);
        }
    }
}
