//! `/openai/v1/embeddings`: vectors in front of any profile that embeds.

use super::asked::Asked;
use super::bodies::{AwaitedErrors, AwaitedHeaders, NewEmbeddings};
use super::ended::{self, Usage};
use super::serving::{answered, serving};
use super::target::Target;
use super::{Call, Refusal, awaited};
use crate::call::wrong_type;
use crate::caller::Caller;
use crate::problem::Violation;
use crate::routes::House;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use diag::{Code, Place};
use profile::capabilities::Kind;
use runtime::RunView;
use serde_json::{Value, json};

/// Embeds texts
///
/// The call is a run like any other; its answer is held until the run has ended, for nine and a half minutes at most.
#[utoipa::path(
    post, path = "/openai/v1/embeddings", tag = "openai", operation_id = "openaiCreateEmbeddings", request_body = NewEmbeddings,
    params(AwaitedHeaders),
    responses(
        (status = 200, description = "The vectors, in the order of the texts", body = Value, headers(("x-run-id" = String, description = "The run that answered"))),
        AwaitedErrors,
    )
)]
pub(crate) async fn create(
    State(house): State<House>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let call = Call::read(&headers, body).await?;
    let revision = serving(&house, &caller, "embedding", &call)?;
    let EmbeddingsAsked { asked, encoding } = read(call, Target(&revision));
    let view = awaited::run(&house, &caller, &headers, asked).await?;
    let answer = answer(&view, encoding).ok_or_else(|| awaited::gone(view.id, "vectors"))?;
    Ok(answered(&view, answer))
}

/// Vectors that are asked for.
#[derive(Debug)]
pub(crate) struct EmbeddingsAsked {
    pub(crate) asked: Asked,
    pub(crate) encoding: Encoding,
}

/// How a vector is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// A list of numbers.
    Float,
    /// 32-bit floats, little-endian, in base64: what the official clients ask for.
    Base64,
}

/// Reads it, for the model that serves it.
pub(crate) fn read(call: Call, target: Target<'_>) -> EmbeddingsAsked {
    let mut asked = Asked::new("embedding", call);
    let texts = texts(&mut asked.call);
    let encoding = encoding(&mut asked.call);
    asked.put_metadata(target);
    put_texts(texts, target, &mut asked);
    EmbeddingsAsked { asked, encoding }
}

fn encoding(call: &mut Call) -> Encoding {
    let words = [("float", Encoding::Float), ("base64", Encoding::Base64)];
    call.word("encoding_format", words, "write `float` or `base64`")
}

fn texts(call: &mut Call) -> Vec<String> {
    if let Some(text) = call.lone_text("input") {
        return vec![text];
    }
    let missing = (
        "there is no `input`",
        "add `input`: a text, or a list of texts",
    );
    let items = call.items("input", "a text or a list of texts", missing);
    list(items, &Place::pointer("/input"), call.found())
}

fn list(items: Vec<Value>, place: &Place, found: &mut Vec<Violation>) -> Vec<String> {
    let mut texts = Vec::with_capacity(items.len());
    for (i, item) in items.into_iter().enumerate() {
        match item {
            Value::String(text) => texts.push(text),
            other => {
                let wanted = "a text (tokens are not taken)";
                found.push(wrong_type(&place.child(i), wanted, &other));
                // Of a list of tokens one is enough.
                return Vec::new();
            }
        }
    }
    texts
}

/// One text is the prompt; several are the model's option for lists of them.
fn put_texts(mut texts: Vec<String>, target: Target<'_>, asked: &mut Asked) {
    let option = target.option("input");
    let takes_lists = option.is_some_and(|option| matches!(option.kind, Kind::Array(..)));
    if texts.len() < 2 && (target.reads().prompt || !takes_lists) {
        asked.request.call.prompt = texts.pop();
        asked.call.named("/prompt", "input");
    } else if takes_lists {
        asked.call.put("input", texts.into());
    } else {
        let message = format!("the model `{}` takes one text at a time", target.name());
        let help = "make a call for each text";
        asked.call.refuse("input", Code::C102, message, help);
    }
}

/// The answer; absent: the output has no vectors.
pub(crate) fn answer(run: &RunView, encoding: Encoding) -> Option<Value> {
    let output = run.output.as_ref()?;
    let vectors = vectors(output)?;
    let data = vectors.into_iter().map(|(index, vector)| {
        let embedding = match encoding {
            Encoding::Float => Value::Array(vector.clone()),
            Encoding::Base64 => STANDARD.encode(bytes(vector)).into(),
        };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    });
    let usage = Usage::of(Some(output)).unwrap_or_default();
    Some(json!({
        "object": "list", "data": data.collect::<Value>(), "model": ended::model(run),
        // The clients want numbers: nothing counted is 0.
        "usage": {"prompt_tokens": usage.input, "total_tokens": usage.total},
    }))
}

/// `embeddings` (objects with an `embedding`, or vectors alone), or one `embedding`; by their index.
fn vectors(output: &Value) -> Option<Vec<(u64, &Vec<Value>)>> {
    let list = match output.get("embeddings") {
        Some(list) => list.as_array()?,
        None => return Some(vec![(0, output.get("embedding")?.as_array()?)]),
    };
    let found: Option<Vec<(u64, &Vec<Value>)>> = list
        .iter()
        .zip(0_u64..)
        .map(|(item, place)| match item {
            Value::Array(vector) => Some((place, vector)),
            object => {
                let index = object.get("index").and_then(Value::as_u64);
                let vector = object.get("embedding")?.as_array()?;
                Some((index.unwrap_or(place), vector))
            }
        })
        .collect();
    let mut found = found.filter(|found| !found.is_empty())?;
    found.sort_by_key(|(index, _)| *index);
    Some(found)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the format has 32-bit floats"
)]
fn bytes(vector: &[Value]) -> Vec<u8> {
    let numbers = vector
        .iter()
        .map(|number| number.as_f64().unwrap_or(f64::NAN));
    numbers
        .flat_map(|number| (number as f32).to_le_bytes())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{filled, revision, run};
    use super::*;
    use runtime::RunRequest;

    /// The run that is asked for, or where the mistakes are.
    fn asked(model: &str, body: &Value) -> Result<RunRequest, Vec<String>> {
        let revision = revision(model);
        filled(
            read(Call::of(body.clone()), Target(&revision)).asked,
            &revision,
        )
    }

    #[test]
    fn one_text_is_the_prompt_and_several_are_the_models_list() {
        let one =
            json!({"model": "embed-1", "input": "a", "encoding_format": "base64", "dimensions": 3});
        let alone = json!({"input": ["a"]});
        let many = json!({"input": ["a", "b"], "encoding_format": "float"});
        let call = asked("embed-1", &one).unwrap().call;
        assert_eq!(
            (call.prompt.as_deref(), json!(call.params)),
            (Some("a"), json!({"dimensions": 3}))
        );
        let call = asked("embed-1", &alone).unwrap().call;
        assert_eq!(call.prompt.as_deref(), Some("a"));
        let call = asked("embed-1", &many).unwrap().call;
        assert_eq!(
            (call.prompt.as_deref(), json!(call.params)),
            (None, json!({"texts": ["a", "b"]}))
        );
        let encoding = |body| read(Call::of(body), Target(&revision("embed-1"))).encoding;
        assert_eq!(
            [encoding(one), encoding(alone), encoding(many)],
            [Encoding::Base64, Encoding::Float, Encoding::Float]
        );
    }

    #[test]
    #[rustfmt::skip]
    fn what_cannot_be_embedded_is_refused_at_its_place() {
        let cases: [(&str, Value, &[&str]); 6] = [
            ("embed-1",  json!({}),                                             &["/input"]),
            ("embed-1",  json!({"input": []}),                                  &["/input"]),
            ("embed-1",  json!({"input": [1, 2, 3]}),                           &["/input/0"]),
            ("embed-1",  json!({"input": 7}),                                   &["/input"]),
            ("embed-1",  json!({"input": "a", "encoding_format": "int8"}),      &["/encoding_format"]),
            ("answer-1", json!({"input": ["a", "b"], "dimensions": 3}),         &["/input", "/dimensions"]),
        ];
        for (model, body, want) in cases {
            assert_eq!(asked(model, &body).map(drop).unwrap_err(), want, "{body}");
        }
    }

    #[test]
    fn vectors_are_written_as_numbers_or_as_little_endian_floats_by_their_index() {
        let output = json!({
            "embeddings": [{"index": 1, "embedding": [0.5, -2]}, {"index": 0, "embedding": [1, 0.25]}], "usage": {"input_tokens": 4},
        });
        let run = run("embedding", "embed-1", output);
        let float = answer(&run, Encoding::Float).unwrap();
        assert_eq!(
            float["data"][0],
            json!({"object": "embedding", "index": 0, "embedding": [1, 0.25]})
        );
        assert_eq!(
            float["usage"],
            json!({"prompt_tokens": 4, "total_tokens": 4})
        );
        let base64 = answer(&run, Encoding::Base64).unwrap();
        let bytes = STANDARD
            .decode(base64["data"][1]["embedding"].as_str().unwrap())
            .unwrap();
        let floats: Vec<f32> = bytes
            .chunks(4)
            .map(|four| f32::from_le_bytes(four.try_into().unwrap()))
            .collect();
        assert_eq!(floats, [0.5, -2.0]);
    }

    #[test]
    #[rustfmt::skip]
    fn vectors_stand_alone_in_objects_or_not_at_all() {
        let cases = [
            (json!({"embedding": [1, 2]}),                  Some(1)),
            (json!({"embeddings": [[1, 2], [3, 4]]}),       Some(2)),
            (json!({"embeddings": [{"embedding": [1]}]}),   Some(1)),
            (json!({"embeddings": []}),                     None),
            (json!({"embeddings": [{"vector": [1]}]}),      None),
            (json!({"text": "x"}),                          None),
        ];
        for (output, want) in cases {
            let answer = answer(&run("embedding", "embed-1", output.clone()), Encoding::Float);
            assert_eq!(answer.map(|answer| answer["data"].as_array().unwrap().len()), want, "{output}");
        }
    }
}
