//! The record of a run that waits, as texts: a hundred thousand of them are in memory, and each is made again for every poll.

use super::{Kept, Record, Steps, answer_of_json, unreadable};
use crate::fault::Fault;
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;

/// Bytes of a job's id, and of a provider's word, that stand by themselves.
const JOB_MAX: usize = u16::MAX as usize;
const WORD_MAX: usize = u8::MAX as usize;

/// What [`Record::fold`] writes and [`Record::unfold`] reads. What most runs have is no JSON: that is smaller and read for nothing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Texts<'a> {
    /// Empty: there is none, or `rest` has it.
    pub(crate) job: &'a str,
    /// As `job`.
    pub(crate) word: &'a str,
    /// What few runs have, as JSON; empty: nothing.
    pub(crate) rest: Cow<'a, str>,
    /// The captures, [`bare`].
    pub(crate) steps: Cow<'a, str>,
    pub(crate) prepared: bool,
}

/// What few runs have.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Rest {
    job_id: Option<Value>,
    secret: Vec<String>,
    refused: u32,
    counted: u32,
    renewed: bool,
    word: Option<String>,
    answer: Option<Value>,
}

impl Record {
    /// The record in texts, for [`Record::unfold`].
    pub(crate) fn fold(&self) -> Texts<'_> {
        let (job, word) = (self.job_id(), self.word.as_deref());
        let job = job.filter(|job| (1..=JOB_MAX).contains(&job.len()));
        let word = word.filter(|word| (1..=WORD_MAX).contains(&word.len()));
        let head = self.head();
        let rest = Kept {
            job_id: head.job_id.filter(|_| job.is_none()),
            word: head.word.filter(|_| word.is_none()),
            prepared: false,
            answer: self.kept_answer(),
            ..head
        };
        let rest = serde_json::to_string(&rest).unwrap_or_default();
        Texts {
            job: job.unwrap_or_default(),
            word: word.unwrap_or_default(),
            rest: if rest == "{}" { "".into() } else { rest.into() },
            steps: self.steps.text(),
            prepared: self.prepared,
        }
    }

    /// What [`Record::fold`] has written. The captures stay a text until they are asked for.
    pub(crate) fn unfold(texts: &Texts<'_>) -> Result<Self, Fault> {
        let rest = match texts.rest.as_ref() {
            "" => Rest::default(),
            rest => serde_json::from_str(rest).map_err(|_| unreadable())?,
        };
        let answer = rest.answer.as_ref();
        Ok(Self {
            job_id: match texts.job {
                "" => rest.job_id,
                job => Some(job.into()),
            },
            steps: Steps::of_text(&texts.steps),
            secret: rest.secret,
            answer: answer
                .map(|value| answer_of_json(value).ok_or_else(unreadable))
                .transpose()?,
            prepared: texts.prepared,
            refused: rest.refused,
            counted: rest.counted,
            renewed: rest.renewed,
            word: match texts.word {
                "" => rest.word,
                word => Some(word.to_owned()),
            },
        })
    }
}

/// The members of an object without its braces; an empty one keeps them.
pub(crate) fn bare(json: &str) -> &str {
    let members = json
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    members
        .filter(|members| !members.is_empty())
        .unwrap_or(json)
}

/// What [`bare`] was made of.
pub(crate) fn whole(bare: &str) -> Cow<'_, str> {
    if bare.starts_with('{') {
        bare.into()
    } else {
        format!("{{{bare}}}").into()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::full;
    use super::*;
    use serde_json::json;

    #[test]
    fn a_record_is_unfolded_as_it_was_folded_whether_its_captures_were_asked_for_or_not() {
        let record = full();
        let unfolded = |record: &Record| Record::unfold(&record.fold()).unwrap();
        let back = unfolded(&unfolded(&record));
        assert!(back.steps.value.get().is_none(), "nobody asked");
        assert_eq!(back.to_json(), record.to_json());
        assert_eq!(back.secret_texts(), ["t"]);
        let mut changed = unfolded(&record);
        let captures = json!({"more": 1}).as_object().unwrap().clone();
        changed.keep("poll", captures, &[]);
        let steps = json!({"login": {"token": "t", "id": 12}, "poll": {"more": 1}});
        assert_eq!(unfolded(&changed).to_json()["steps"], steps);
    }

    /// A record that only has been accepted and polled costs its own texts and nothing beside them.
    #[test]
    fn what_most_runs_have_is_folded_without_json() {
        let mut record = Record {
            prepared: true,
            word: Some("in_progress".into()),
            ..Record::default()
        };
        record.set_job_id("job-1");
        let captures = json!({"ticket": "t"}).as_object().unwrap().clone();
        record.keep("submit", captures, &[]);
        let texts = record.fold();
        assert_eq!((texts.job, texts.word), ("job-1", "in_progress"));
        assert_eq!(
            (&*texts.rest, &*texts.steps),
            ("", r#""submit":{"ticket":"t"}"#)
        );
        assert_eq!(Record::unfold(&texts).unwrap().to_json(), record.to_json());
    }

    #[test]
    fn what_does_not_stand_by_itself_is_folded_all_the_same() {
        let jobs = [
            None,
            Some(json!("")),
            Some(json!(7)),
            Some(json!("j".repeat(JOB_MAX + 1))),
        ];
        let words = [
            None,
            Some(String::new()),
            Some("w".repeat(WORD_MAX + 1)),
            Some("ö\0\"".to_owned()),
        ];
        for (job_id, word) in jobs.into_iter().zip(words) {
            let record = Record {
                job_id,
                word,
                ..Record::default()
            };
            let back = Record::unfold(&record.fold()).unwrap();
            assert_eq!(back.to_json(), record.to_json());
        }
    }

    #[test]
    fn an_object_without_its_braces_is_the_same_object() {
        for json in ["{}", r#"{"a":1}"#, r#"{"{":"}"}"#, r#"{"a":{}}"#] {
            assert_eq!(whole(bare(json)), json);
            assert_eq!(bare(bare(json)), bare(json), "twice is once");
        }
    }
}
