//! Where every value of a JSON text stands: pointer to line and column.
//!
//! One pass over a text that a JSON reader has already accepted. It finds
//! duplicate keys on the way, which readers swallow.

use std::collections::{HashMap, HashSet};

/// Line and column, from 1; the column counts characters.
pub(super) type Spot = (u32, u32);

/// The result of the pass.
#[derive(Debug, Default)]
pub(super) struct Positions {
    spots: HashMap<String, Spot>,
    /// Pointers of members whose key the object already had.
    pub(super) duplicates: Vec<(String, Spot)>,
}

impl Positions {
    /// Walks the text. On a text that is not JSON the result is incomplete, never a panic.
    pub(super) fn scan(text: &str) -> Self {
        let mut scanner = Scanner {
            rest: text.chars().peekable(),
            line: 1,
            column: 1,
            found: Self::default(),
        };
        scanner.value(&mut String::new(), 0);
        scanner.found
    }

    /// Where the value stands, or the nearest one around it.
    pub(super) fn nearest(&self, pointer: &str) -> Option<Spot> {
        let mut pointer = pointer;
        loop {
            if let Some(spot) = self.spots.get(pointer) {
                return Some(*spot);
            }
            pointer = pointer.rsplit_once('/')?.0;
        }
    }
}

/// Deeper texts are refused before they come here; the scan stops all the same.
const MAX_LEVELS: usize = 200;

struct Scanner<'t> {
    rest: std::iter::Peekable<std::str::Chars<'t>>,
    line: u32,
    column: u32,
    found: Positions,
}

impl Scanner<'_> {
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

    fn value(&mut self, pointer: &mut String, level: usize) {
        self.skip_space();
        if level > MAX_LEVELS {
            return;
        }
        let spot = (self.line, self.column);
        self.found.spots.insert(pointer.clone(), spot);
        match self.rest.peek() {
            Some('{') => self.object(pointer, level),
            Some('[') => self.array(pointer, level),
            Some('"') => {
                self.string();
            }
            _ => self.scalar(),
        }
    }

    fn object(&mut self, pointer: &mut String, level: usize) {
        self.next();
        let mut keys = HashSet::new();
        while !self.take('}') {
            let spot = (self.line, self.column);
            let Some(key) = self.string() else { return };
            if !self.take(':') {
                return;
            }
            let length = pointer.len();
            pointer.push('/');
            pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            if !keys.insert(key) {
                self.found.duplicates.push((pointer.clone(), spot));
            }
            self.value(pointer, level + 1);
            pointer.truncate(length);
            self.take(',');
        }
    }

    fn array(&mut self, pointer: &mut String, level: usize) {
        self.next();
        let mut index = 0_usize;
        while !self.take(']') {
            if self.rest.peek().is_none() {
                return;
            }
            let length = pointer.len();
            pointer.push_str(&format!("/{index}"));
            self.value(pointer, level + 1);
            pointer.truncate(length);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_line_and_column_in_characters() {
        let found = Positions::scan("{\n  \"a\": [1, \"é\", {\"b/c\": true}]\n}");
        assert_eq!(found.nearest(""), Some((1, 1)));
        assert_eq!(found.nearest("/a/0"), Some((2, 9)));
        assert_eq!(found.nearest("/a/2"), Some((2, 17)));
        assert_eq!(found.nearest("/a/2/b~1c"), Some((2, 25)));
        assert_eq!(found.nearest("/a/2/gone/deeper"), Some((2, 17)));
    }

    #[test]
    fn the_second_of_two_equal_keys_is_a_duplicate_however_it_is_escaped() {
        let found = Positions::scan(r#"{"a": 1, "\u0061": 2, "b": {"a": 3}}"#);
        assert_eq!(found.duplicates, [("/a".to_owned(), (1, 10))]);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_scan_panic_or_hang(text in "[\\[\\]{}\",:a1 \\\\\n]{0,64}") {
            Positions::scan(&text);
        }
    }
}
