//! `/openai/v1/images/generations`: pictures in front of any profile that makes images.

use super::asked::Asked;
use super::bodies::{AwaitedErrors, AwaitedHeaders, NewImages};
use super::serving::{answered, serving};
use super::target::Target;
use super::{Call, Refusal, awaited, ended};
use crate::caller::Caller;
use crate::routes::House;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::HOST;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::TryStreamExt as _;
use runtime::{ArtifactView, LINK_LONGEST, RunError, RunView};
use serde_json::{Map, Value, json};

/// An answer has no more bytes of pictures than this.
const MOST_BYTES: u64 = 96 * 1024 * 1024;

/// Makes pictures
///
/// The call is a run like any other; its answer is held until the run has ended, for nine and a half minutes at most.
#[utoipa::path(
    post, path = "/openai/v1/images/generations", tag = "openai", operation_id = "openaiCreateImages", request_body = NewImages,
    params(AwaitedHeaders),
    responses(
        (status = 200, description = "The pictures", body = Value, headers(("x-run-id" = String, description = "The run that answered"))),
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
    let revision = serving(&house, &caller, "image", &call)?;
    let ImagesAsked { asked, form } = read(call, Target(&revision));
    let view = awaited::run(&house, &caller, &headers, asked).await?;
    let files = pictures(&view);
    let total: u64 = files.iter().map(|file| file.bytes).sum();
    if form == Form::Base64 && total > MOST_BYTES {
        let message = format!(
            "the pictures of run {} have {total} bytes, too many for one answer; `GET /v1/runs/{}` names the address of each",
            view.id, view.id
        );
        return Err(Refusal::new(
            StatusCode::BAD_GATEWAY,
            "result_too_large",
            message,
        ));
    }
    let mut given = Vec::with_capacity(files.len());
    for file in files {
        given.push(match form {
            Form::Base64 => base64(&house, &caller, &view, file).await?,
            Form::Url => link(&house, &caller, &headers, (&view, file)).await?,
        });
    }
    Ok(answered(&view, answer(&view, form, given)))
}

/// A link that is good without a key, for an hour.
async fn link(
    house: &House,
    caller: &Caller,
    headers: &HeaderMap,
    (run, file): (&RunView, &ArtifactView),
) -> Result<String, Refusal> {
    let of = (run.id, file.name.as_str(), file.idx);
    let link = house
        .modelrow
        .link(caller.tenant(), of, LINK_LONGEST)
        .await?;
    let link = link.ok_or_else(|| awaited::gone(run.id, &file.name))?;
    Ok(absolute(link.url, headers))
}

/// Without a public URL in the configuration: at the address under which the caller has reached us.
fn absolute(url: String, headers: &HeaderMap) -> String {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    match text(HOST) {
        Some(host) if url.starts_with('/') => {
            let forwarded = text(HeaderName::from_static("x-forwarded-proto"));
            let scheme = forwarded
                .filter(|scheme| *scheme == "https")
                .unwrap_or("http");
            format!("{scheme}://{host}{url}")
        }
        _ => url,
    }
}

async fn base64(
    house: &House,
    caller: &Caller,
    run: &RunView,
    file: &ArtifactView,
) -> Result<String, Refusal> {
    let (tenant, modelrow) = (caller.tenant(), &house.modelrow);
    let stored = modelrow
        .stored(tenant, run.id, &file.name, file.idx)
        .await?;
    let stored = stored.ok_or_else(|| awaited::gone(run.id, &file.name))?;
    let mut bytes = modelrow.read_stored(&stored, None).await?;
    let mut whole = Vec::with_capacity(usize::try_from(file.bytes).unwrap_or_default());
    while let Some(piece) = bytes.try_next().await.map_err(RunError::from)? {
        whole.extend_from_slice(&piece);
    }
    Ok(STANDARD.encode(whole))
}

/// Pictures that are asked for.
#[derive(Debug)]
pub(crate) struct ImagesAsked {
    pub(crate) asked: Asked,
    pub(crate) form: Form,
}

/// How a picture is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Its bytes, in the answer.
    Base64,
    /// A link to it.
    Url,
}

/// Reads it, for the model that serves it.
pub(crate) fn read(call: Call, target: Target<'_>) -> ImagesAsked {
    let mut asked = Asked::new("image", call);
    asked.request.call.prompt = asked.call.required_text("prompt");
    let form = form(&mut asked.call);
    asked.no_stream();
    asked.put_metadata(target);
    ImagesAsked { asked, form }
}

fn form(call: &mut Call) -> Form {
    let words = [("b64_json", Form::Base64), ("url", Form::Url)];
    call.word(
        "response_format",
        words,
        "write `b64_json`, or `url` for a link",
    )
}

/// The pictures of a run, in their order; a run that delivered something else has all its files.
pub(crate) fn pictures(run: &RunView) -> Vec<&ArtifactView> {
    of_kind(run, "image/")
}

/// The files of a kind; all, where none is.
pub(super) fn of_kind<'r>(run: &'r RunView, kind: &str) -> Vec<&'r ArtifactView> {
    let all = || run.artifacts.iter();
    let fitting: Vec<&ArtifactView> = all()
        .filter(|file| file.content_type.starts_with(kind))
        .collect();
    if fitting.is_empty() {
        all().collect()
    } else {
        fitting
    }
}

/// The answer: each picture as it is given, and what is known of all.
pub(crate) fn answer(run: &RunView, form: Form, pictures: Vec<String>) -> Value {
    let member = match form {
        Form::Base64 => "b64_json",
        Form::Url => "url",
    };
    let output = run.output.as_ref();
    let revised = |i: usize| {
        let images = output.and_then(|output| output.get("images")?.get(i));
        images.and_then(|image| image.get("revised_prompt")?.as_str())
    };
    let data = pictures.into_iter().enumerate().map(|(i, given)| {
        let mut picture = Map::from_iter([(member.to_owned(), given.into())]);
        picture.extend(revised(i).map(|prompt| ("revised_prompt".to_owned(), prompt.into())));
        Value::Object(picture)
    });
    let mut answer = json!({"created": ended::created(run), "data": data.collect::<Value>()});
    let first = self::pictures(run).first().copied();
    let format = first.and_then(|file| file.content_type.strip_prefix("image/"));
    let format = format.and_then(|rest| rest.split(['+', ';']).next());
    let usage = ended::Usage::of(output);
    let usage = usage.map(|usage| {
        json!({"input_tokens": usage.input, "output_tokens": usage.output, "total_tokens": usage.total})
    });
    if let Some(members) = answer.as_object_mut() {
        members.extend(format.map(|format| ("output_format".to_owned(), format.into())));
        members.extend(usage.map(|usage| ("usage".to_owned(), usage)));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::super::testing::{file, filled, revision, run};
    use super::*;
    use runtime::RunRequest;

    /// The run that is asked for, or where the mistakes are.
    fn asked(body: &Value) -> Result<RunRequest, Vec<String>> {
        let revision = revision("paint-1");
        filled(
            read(Call::of(body.clone()), Target(&revision)).asked,
            &revision,
        )
    }

    #[test]
    fn pictures_are_asked_for_by_the_models_options() {
        let body = json!({"model": "paint-1", "prompt": "a cat", "n": 2, "size": "512x512", "quality": "auto", "response_format": "url", "user": "u"});
        let request = asked(&body).unwrap();
        assert_eq!(
            json!(request.call.params),
            json!({"count": 2, "size": "512x512"})
        );
        assert_eq!(request.call.prompt.as_deref(), Some("a cat"));
        let form = |body| read(Call::of(body), Target(&revision("paint-1"))).form;
        assert_eq!(
            (form(body), form(json!({"prompt": "a cat"}))),
            (Form::Url, Form::Base64)
        );
    }

    #[test]
    #[rustfmt::skip]
    fn everything_that_is_wrong_is_said_at_once_at_its_place() {
        let cases: [(Value, &[&str]); 3] = [
            (json!({}),                                                           &["/prompt"]),
            (json!({"prompt": "a", "stream": true, "response_format": "png"}),    &["/response_format", "/stream"]),
            (json!({"prompt": "a", "style": "vivid", "quality": "hd"}),           &["/style", "/quality"]),
        ];
        for (body, want) in cases {
            assert_eq!(asked(&body).map(drop).unwrap_err(), want, "{body}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn a_link_without_a_public_url_begins_where_the_caller_has_reached_us() {
        let cases = [
            ("/files/a",                  Some("h.example:8080"), None,          "http://h.example:8080/files/a"),
            ("/files/a",                  Some("h.example"),      Some("https"), "https://h.example/files/a"),
            ("/files/a",                  Some("h.example"),      Some("gopher"), "http://h.example/files/a"),
            ("/files/a",                  None,                   None,          "/files/a"),
            ("https://p.example/files/a", Some("h.example"),      None,          "https://p.example/files/a"),
        ];
        for (url, host, scheme, want) in cases {
            let mut headers = HeaderMap::new();
            for (name, value) in [("host", host), ("x-forwarded-proto", scheme)] {
                headers.extend(value.map(|value| (HeaderName::from_static(name), value.parse().unwrap())));
            }
            assert_eq!(absolute(url.to_owned(), &headers), want);
        }
    }

    #[test]
    fn the_answer_has_each_picture_and_the_format_of_all() {
        let mut run = run(
            "image",
            "paint-1",
            json!({"images": [{"url": "/v1/x"}, {"revised_prompt": "a cat, sitting"}]}),
        );
        run.artifacts = vec![
            file("thumb", 0, "text/plain"),
            file("image", 0, "image/png"),
            file("image", 1, "image/png"),
        ];
        assert_eq!(
            pictures(&run)
                .iter()
                .map(|file| file.idx)
                .collect::<Vec<_>>(),
            [0, 1]
        );
        let answer = answer(&run, Form::Base64, vec!["AA==".into(), "AQ==".into()]);
        assert_eq!(
            answer["data"],
            json!([{"b64_json": "AA=="}, {"b64_json": "AQ==", "revised_prompt": "a cat, sitting"}])
        );
        assert_eq!(answer["output_format"], "png");
        assert_eq!(answer["usage"], Value::Null, "nothing was counted");
    }
}
