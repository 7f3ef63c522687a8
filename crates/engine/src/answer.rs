//! Reading answers: state, errors, HTTP status, extraction, in this order
//! (section 5 of the language).

use crate::auth::Hidden;
use crate::fault::{Fault, Kind, bounded, class_word};
use crate::wait;
use profile::lang::{Answer, EvalError, Path, Scope, View, is_word};
use profile::revision::{Capture, Class, Duration, ErrorTable, JobState, Match, Poll, Select};
use serde_json::{Map, Value};

/// What judging needs beside the answer.
#[derive(Debug, Clone)]
pub struct Judge<'a> {
    /// The profile's table.
    pub errors: &'a ErrorTable,
    /// Serves the values that conditions compare with.
    pub scope: &'a Scope<'a>,
    /// Never shown in a message.
    pub hidden: Hidden<'a>,
    /// Whether the answer is the provider's own; another host's is judged by
    /// HTTP status alone.
    pub trusted: bool,
}

/// A failure, and when the provider wants to see us again.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// What it is.
    pub fault: Fault,
    /// Milliseconds to wait, within the bounds of hints.
    pub hint_ms: Option<u64>,
}

/// The class of an HTTP status that no `errors` class; `None`: success.
#[must_use]
pub fn status_class(status: u16) -> Option<Class> {
    Some(match status {
        200..=299 => return None,
        300..=399 => Class::ProviderError,
        401 | 403 => Class::Authentication,
        402 => Class::Billing,
        404 | 410 => Class::NotFound,
        408 | 409 | 425 => Class::UnknownOutcome,
        429 => Class::RateLimited,
        451 => Class::Moderated,
        400..=499 => Class::InvalidRequest,
        _ => Class::UnknownOutcome,
    })
}

impl Judge<'_> {
    /// The failure that an answer reports; `None`: it is a success.
    ///
    /// # Errors
    ///
    /// When a value to compare with cannot be evaluated.
    pub fn failure(
        &self,
        answer: View<'_>,
        ok_status: &[u16],
        now_ms: i64,
    ) -> Result<Option<Failure>, Fault> {
        let fine = ok_status.contains(&answer.status);
        let class = match self.class_of(answer)? {
            Some(class) => Some(class),
            None if fine => None,
            None => status_class(answer.status).or(self.other_than_ok(answer)?),
        };
        Ok(class.map(|class| Failure {
            fault: self.fault(class, answer),
            hint_ms: wait::hint(answer, &[self.retry_after()], now_ms),
        }))
    }

    /// Where the table says that the provider's own answers hold a hint.
    pub(crate) fn retry_after(&self) -> Option<&Duration> {
        self.errors.retry_after.as_ref().filter(|_| self.trusted)
    }

    /// The first class of the table that holds.
    ///
    /// # Errors
    ///
    /// As [`Judge::failure`].
    pub fn class_of(&self, answer: View<'_>) -> Result<Option<Class>, Fault> {
        if !self.trusted {
            return Ok(None);
        }
        let code = self.errors.code.first(answer);
        for (class, matches) in &self.errors.classes {
            if self.any(matches, code.as_deref(), answer)? {
                return Ok(Some(*class));
            }
        }
        Ok(None)
    }

    /// A failure under HTTP 200: a code that is not among those of success.
    fn other_than_ok(&self, answer: View<'_>) -> Result<Option<Class>, Fault> {
        let Some(ok) = self.errors.ok.as_ref().filter(|_| self.trusted) else {
            return Ok(None);
        };
        let Some(code) = self.errors.code.first(answer) else {
            return Ok(None);
        };
        let fine = self.any(ok, Some(&code), answer)?;
        Ok((!fine).then_some(Class::ProviderError))
    }

    fn any(
        &self,
        matches: &[Match],
        value: Option<&Value>,
        answer: View<'_>,
    ) -> Result<bool, Fault> {
        for one in matches {
            let holds = match one {
                Match::Value(want) => value.is_some_and(|have| is_word(want, have)),
                Match::Condition(condition) => condition
                    .holds_for(answer, self.scope)
                    .map_err(|error| unread(&error))?,
            };
            if holds {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The failure as a fault, in the provider's own words.
    #[must_use]
    pub fn fault(&self, class: Class, answer: View<'_>) -> Fault {
        self.fault_of(Kind::Class(class), answer, answer)
    }

    /// The same, its words looked for in `item` first, then in the whole.
    fn fault_of(&self, kind: Kind, item: View<'_>, whole: View<'_>) -> Fault {
        let words = |path: &Path| path.first_text(item).or_else(|| path.first_text(whole));
        // Of another host's answer nothing but its text is known.
        let code = self.trusted.then(|| words(&self.errors.code)).flatten();
        let message = words(&self.errors.message).or_else(|| whole.text.map(str::to_owned));
        let code = code.map(|text| self.hidden.scrub(&text));
        let message = message
            .map(|text| self.hidden.scrub(text.trim()))
            .filter(|text| !text.is_empty());
        let said = match &message {
            Some(text) => format!("the provider says: {}", bounded(text)),
            None => format!("the provider answered with HTTP status {}", whole.status),
        };
        Fault::new(kind, said).with_provider(whole.status, code, message)
    }

    /// Where the job stands, by the poll's own lists. `None`: the answer says
    /// nothing about it.
    ///
    /// # Errors
    ///
    /// As [`Judge::failure`].
    pub fn state(&self, poll: &Poll, answer: View<'_>) -> Result<Option<JobState>, Fault> {
        let good = (200..300).contains(&answer.status);
        let status = poll
            .status
            .first(answer)
            .filter(|_| good || poll.status.reads_status_only());
        for (state, matches) in &poll.states {
            for one in matches {
                let holds = match one {
                    Match::Value(want) => status.as_deref().is_some_and(|have| is_word(want, have)),
                    Match::Condition(condition) if good || condition.reads_status() => condition
                        .holds_for(answer, self.scope)
                        .map_err(|error| unread(&error))?,
                    Match::Condition(_) => false,
                };
                if holds {
                    return Ok(Some(*state));
                }
            }
        }
        Ok(None)
    }

    /// The failure of a job whose poll gave a terminal state: the class is the
    /// first of `errors` that holds, else the state's own.
    ///
    /// # Errors
    ///
    /// As [`Judge::failure`].
    pub fn job_failure(
        &self,
        state: JobState,
        item: View<'_>,
        whole: View<'_>,
    ) -> Result<Fault, Fault> {
        let own = match state {
            JobState::Moderated => Kind::Class(Class::Moderated),
            JobState::Expired => Kind::Class(Class::Expired),
            JobState::Canceled => Kind::JobCanceled,
            JobState::Failed | JobState::Succeeded | JobState::Running | JobState::Queued => {
                Kind::Class(Class::ProviderError)
            }
        };
        let kind = self
            .class_of(whole)?
            .or(self.class_of(item)?)
            .map_or(own, Kind::Class);
        let mut fault = self.fault_of(kind, item, whole);
        // Nothing was said in words: then not the whole answer, but that it failed.
        if fault.provider_message.is_none() || whole.text.is_some() {
            fault.message = format!(
                "the provider says that the job ended as `{}`",
                state_word(state)
            );
        }
        Ok(fault)
    }
}

fn state_word(state: JobState) -> &'static str {
    match state {
        JobState::Moderated => class_word(Class::Moderated),
        JobState::Expired => class_word(Class::Expired),
        JobState::Canceled => "canceled",
        JobState::Failed => "failed",
        JobState::Succeeded => "succeeded",
        JobState::Running => "running",
        JobState::Queued => "queued",
    }
}

/// The item of a list answer that a poll walks. `Ok(None)`: there is none.
///
/// # Errors
///
/// When a value to compare with cannot be evaluated.
pub fn selected(
    select: &Select,
    answer: View<'_>,
    scope: &Scope<'_>,
) -> Result<Option<Value>, Fault> {
    Ok(all_selected(select, answer, scope)?.into_iter().next())
}

/// Every item of a list answer that a selection holds for.
///
/// # Errors
///
/// As [`selected`].
pub fn all_selected(
    select: &Select,
    answer: View<'_>,
    scope: &Scope<'_>,
) -> Result<Vec<Value>, Fault> {
    let mut kept = Vec::new();
    for found in select.list.all(answer) {
        let items = match found.as_ref() {
            Value::Array(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        for item in items {
            let holds = match &select.filter {
                Some(condition) => condition
                    .holds_for(answer.with_body(item), scope)
                    .map_err(|error| unread(&error))?,
                None => true,
            };
            if holds {
                kept.push(item.clone());
            }
        }
    }
    Ok(kept)
}

/// Takes the named values from an answer; what finds nothing is absent.
#[must_use]
pub fn captured(captures: &[(String, Capture)], answer: View<'_>) -> Map<String, Value> {
    let taken = captures
        .iter()
        .filter_map(|(name, capture)| Some((name.clone(), capture_one(capture, answer)?)));
    taken.collect()
}

fn capture_one(capture: &Capture, answer: View<'_>) -> Option<Value> {
    let value = match &capture.join {
        Some(separator) => {
            let texts = capture.path.all_text(answer);
            (!texts.is_empty()).then(|| Value::String(texts.join(separator)))?
        }
        None => capture.path.first(answer)?.into_owned(),
    };
    match (capture.parse_json, &value) {
        (true, Value::String(text)) => serde_json::from_str(text)
            .ok()
            .filter(|value: &Value| !value.is_null()),
        _ => Some(value),
    }
}

/// How far the job is, 0 to 100: a number of `progress_max`, or text such as `45%`.
#[must_use]
pub fn progress(poll: &Poll, answer: View<'_>) -> Option<u8> {
    let value = poll.progress.as_ref()?.first(answer)?;
    let (number, max) = match value.as_ref() {
        Value::Number(number) => (number.as_f64()?, poll.progress_max),
        Value::String(text) => match text.trim().strip_suffix('%') {
            Some(percent) => (percent.trim().parse().ok()?, 100.0),
            None => (text.trim().parse().ok()?, poll.progress_max),
        },
        _ => return None,
    };
    let percent = number / max * 100.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped"
    )]
    percent
        .is_finite()
        .then_some(percent.clamp(0.0, 100.0) as u8)
}

/// The text of an answer, as `text_path` or the whole of a text body.
#[must_use]
pub fn text_of(path: &Path, answer: View<'_>) -> Option<String> {
    let texts = path.all_text(answer);
    (!texts.is_empty()).then(|| texts.concat())
}

/// Whether the body is JSON; `None`: there is none.
#[must_use]
pub fn is_json(answer: &Answer) -> Option<bool> {
    match answer.body {
        profile::lang::Body::Json(_) | profile::lang::Body::Events(_) => Some(true),
        profile::lang::Body::Text(_) => Some(false),
        profile::lang::Body::Empty => None,
    }
}

pub(crate) fn unread(error: &EvalError) -> Fault {
    let kind = match error {
        EvalError::Missing { .. } => Kind::MissingValue,
        _ => Kind::BadValue,
    };
    Fault::new(kind, error.to_string())
}

#[cfg(test)]
mod tests;
