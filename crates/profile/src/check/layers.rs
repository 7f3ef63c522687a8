//! Values laid over one another (RFC 7396), and where each part of the result
//! was written: a mistake is reported in the row that made it.

use super::walk::Sink;
use crate::lang;
use diag::{Diagnostic, Diagnostics, Place};
use serde_json::Value;

/// From the lowest to the highest.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layers {
    layers: Vec<(Value, Place)>,
    /// The layer to which what is missing from the whole belongs; absent: the highest.
    main: Option<usize>,
}

impl Layers {
    /// Lays a value over what is there; null, an absent one, adds nothing.
    pub(crate) fn over(mut self, value: Option<&Value>, at: Place) -> Self {
        if let Some(value) = value.filter(|value| !value.is_null()) {
            self.layers.push((value.clone(), at));
        }
        self
    }

    /// Says that what is missing belongs to the layer added last.
    pub(crate) fn main(mut self) -> Self {
        self.main = self.layers.len().checked_sub(1);
        self
    }

    /// The lowest, and where it was written.
    pub(crate) fn first(&self) -> Option<(&Value, &Place)> {
        self.layers.first().map(|(value, at)| (value, at))
    }

    /// Whether there is nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// The result; null when there is nothing.
    pub(crate) fn merged(&self) -> Value {
        let mut layers = self.layers.iter();
        let Some((mut result, _)) = layers.next().cloned() else {
            return Value::Null;
        };
        for (patch, _) in layers {
            lang::merge(&mut result, patch);
        }
        result
    }

    /// Reads the result with a sink of its own, and files what was found where
    /// it was written.
    pub(crate) fn read<T>(&self, sink: &Sink, read: impl FnOnce(&Value, &Place, &Sink) -> T) -> T {
        let own = Sink::default();
        let root = Place {
            source: Some(MERGED.to_owned()),
            ..Place::default()
        };
        let result = read(&self.merged(), &root, &own);
        let found: Diagnostics = own.into_inner();
        sink.extend(found.into_iter().map(|finding| self.place(finding)));
        result
    }

    /// Moves a finding to the highest layer that has its value.
    fn place(&self, mut finding: Diagnostic) -> Diagnostic {
        if finding.place.source.as_deref() != Some(MERGED) {
            return finding;
        }
        let pointer = std::mem::take(&mut finding.place.pointer);
        let mut near = pointer.as_str();
        let origin = loop {
            if near.is_empty() {
                let main = self.main.unwrap_or(self.layers.len().saturating_sub(1));
                break self.layers.get(main).map(|(_, at)| at);
            }
            let found = self
                .layers
                .iter()
                .rev()
                .find(|(value, _)| value.pointer(near).is_some());
            match (found, near.rsplit_once('/')) {
                (Some((_, at)), _) => break Some(at),
                (None, Some((around, _))) => near = around,
                (None, None) => break None,
            }
        };
        if let Some(at) = origin {
            finding.place = Place {
                pointer: format!("{}{pointer}", at.pointer),
                ..at.clone()
            };
        }
        finding
    }
}

/// The source of places in a merged value, until they are moved to their layer.
const MERGED: &str = "\u{0}merged";

#[cfg(test)]
mod tests {
    use super::*;
    use diag::Code;
    use serde_json::json;

    #[test]
    fn a_mistake_is_reported_in_the_row_that_wrote_the_value() {
        let layers = Layers::default()
            .over(
                Some(&json!({"body": {"a": 1, "b": 2}})),
                Place::pointer("/low"),
            )
            .over(Some(&json!({"body": {"b": 3}})), Place::pointer("/high"));
        let sink = Sink::default();
        layers.read(&sink, |merged, at, sink| {
            assert_eq!(merged, &json!({"body": {"a": 1, "b": 3}}));
            for name in ["a", "b", "c"] {
                sink.error(Code::P101, &at.child("body").child(name), "m", "h");
            }
        });
        let found = sink.into_inner();
        let places: Vec<_> = found.iter().map(|one| one.place.pointer.as_str()).collect();
        assert_eq!(places, ["/low/body/a", "/high/body/b", "/high/body/c"]);
    }
}
