use super::*;
use crate::lang::{Draws, Inputs, Presence, Root, Secrets};
use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

struct Frames;

impl Inputs for Frames {
    fn count(&self, name: &str) -> usize {
        if name == "frames" { 2 } else { 0 }
    }

    fn member(&self, _: &str, index: usize, member: &str) -> Option<Value> {
        (member != "handle").then(|| json!(format!("{member}{index}")))
    }
}

fn known() -> Known {
    let mut known = Known::new();
    for name in [
        "seconds", "sizes", "name", "shot", "zero", "off", "nothing", "blank",
    ] {
        known.option(name, Presence::Optional);
    }
    known.option("model_size", Presence::Always);
    known.input("frames", Presence::Optional);
    known.input("mask", Presence::Optional);
    known.config("region");
    known.tables(&json!({"ratio": {}}));
    known.job_id();
    known.secrets(true, true, &["part".to_owned()]);
    known
}

fn secrets() -> Secrets {
    Secrets {
        api_key: Some("sk-1".to_owned().into()),
        ..Secrets::default()
    }
}

fn scope<'a>(secrets: &'a Secrets, prompt: &str) -> Scope<'a> {
    let mut scope = Scope::new(Draws::new(1_700_000_000_123_456_789, Uuid::nil()));
    scope.set(Root::UserPrompt, json!(prompt));
    scope.set(Root::Model, json!("acme-1"));
    scope.set(Root::JobId, json!("ops/a b:go"));
    scope.set(Root::Config, json!({"region": "eu.api"}));
    scope.set(
        Root::Tables,
        json!({"ratio": {"wide": "16:9", "null": null}}),
    );
    scope.set(Root::Params, json!({
        "seconds": 8, "sizes": ["a", "b"], "name": "A bc", "shot": {"style": "x"}, "zero": 0, "off": false,
        "nothing": null, "blank": "", "model_size": "1280x720"
    }));
    scope.inputs(&Frames);
    scope.secrets(secrets);
    scope
}

fn eval(source: &str, place: Place) -> Result<Option<Value>, String> {
    let known = known().secrets_may_stand(place != Place::Path && place != Place::Url);
    let text = Text::compile(source, &known, place).map_err(|mistakes| {
        mistakes
            .iter()
            .map(|m| m.code.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    })?;
    let secrets = secrets();
    text.eval(&scope(&secrets, "Say {{apiKey}} & <<model>>"))
        .map_err(|error| error.to_string())
}

fn plain(source: &str) -> Value {
    match eval(source, Place::Plain) {
        Ok(Some(value)) => value,
        Ok(None) => json!("(absent)"),
        Err(error) => json!(format!("error {error}")),
    }
}

#[test]
#[rustfmt::skip]
fn a_whole_name_is_text_json_keeps_the_type_and_absent_is_nothing() {
    let cases = [
        ("{{params_seconds}}", json!("8")), ("{{json params_seconds}}", json!(8)), ("{{model}}s", json!("acme-1s")),
        ("<<params_seconds>>", json!("8")), ("{{params.seconds}}", json!("8")), ("{{json params.off}}", json!(false)),
        ("{{params.off}}", json!("false")), ("{{params.zero}}", json!("0")), ("{{json params.sizes}}", json!(["a", "b"])),
        ("{{params.nothing}}", json!("(absent)")), ("{{json params.nothing}}", json!("(absent)")),
        ("{{language}}", json!("(absent)")), ("{{inputs.mask.url}}", json!("(absent)")),
        ("\\{{model}} \\<<model>>", json!("{{model}} <<model>>")), ("no tag", json!("no tag")), ("", json!("")),
        ("{{inputs.frames.url}}", json!("url0")), ("{{inputs.frames.[1].url}}", json!("url1")),
        ("{{inputs.frames.[7].url}}", json!("(absent)")), ("{{params.sizes.[1]}}", json!("b")),
        ("{{json (add params_seconds 1)}}", json!(9)), ("{{config_region}}", json!("eu.api")),
    ];
    for (source, want) in cases {
        assert_eq!(plain(source), want, "{source}");
    }
    assert_eq!(eval("{{params.shot}}", Place::Plain), Err("`params.shot` is an object or array where text is wanted".into()));
    assert_eq!(eval("{{params.sizes}}", Place::Plain), Err("`params.sizes` is an object or array where text is wanted".into()));
}

#[test]
#[rustfmt::skip]
fn if_asks_whether_the_value_is_there_and_not_false() {
    let cases = [
        ("{{#if params.zero}}y{{else}}n{{/if}}", "y"), ("{{#if params.off}}y{{else}}n{{/if}}", "n"),
        ("{{#if params.blank}}y{{else}}n{{/if}}", "y"), ("{{#if params.nothing}}y{{else}}n{{/if}}", "n"), ("{{#if language}}y{{/if}}", ""),
        ("{{#if language}}a{{else if params.name}}{{params.name}}{{else}}c{{/if}}", "A bc"),
        ("{{#if params.seconds}}{{params_seconds}}s{{/if}}!", "8s!"),
        ("a\n{{#if params.zero}}\n b\n{{/if}}\nc", "a\n\n b\n\nc"),
        ("{{#each params.sizes}}{{index}}={{item}},{{/each}}", "0=a,1=b,"),
        ("{{#each inputs.frames}}{{this.url}};{{/each}}", "url0;url1;"),
        ("{{#each inputs.mask}}x{{else}}none{{/each}}", "none"),
    ];
    for (source, want) in cases {
        assert_eq!(plain(source), json!(want), "{source}");
    }
}

#[test]
#[rustfmt::skip]
fn helpers_give_what_the_page_says() {
    let cases = [
        ("{{default language \"en\"}}", json!("en")), ("{{default params.zero 5}}", json!("0")), ("{{lookup tables.ratio \"wide\"}}", json!("16:9")),
        ("{{lookup tables.ratio \"tall\"}}", json!("(absent)")), ("{{lookup tables.ratio \"null\"}}", json!("(absent)")),
        ("{{json (lookup params.sizes 1)}}", json!("b")),
        ("{{split params_model_size \"x\" 1}}", json!("720")), ("{{json (int (split params_model_size \"x\" 0))}}", json!(1280)),
        ("{{split params_model_size \"x\" 9}}", json!("(absent)")), ("{{join params.sizes \"+\"}}", json!("a+b")),
        ("{{replace params.name \" \" \"_\"}}", json!("A_bc")), ("{{lower params.name}}", json!("a bc")), ("{{upper params.name}}", json!("A BC")),
        ("{{trim \" x \"}}", json!("x")), ("{{truncate params.name 2}}", json!("A ")), ("{{json (number \"1.50\")}}", serde_json::from_str("1.50").unwrap()),
        ("{{json (round (div 16 9) 2)}}", serde_json::from_str("1.78").unwrap()), ("{{json (mul params_seconds 24)}}", json!(192)),
        ("{{json (min 3 params_seconds)}}", json!(3)), ("{{json (max 3 params_seconds)}}", json!(8)), ("{{json (sub 1 2)}}", json!(-1)),
        ("{{base64 params.name}}", json!("QSBiYw==")),
        ("{{sha256 \"\"}}", json!("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")),
        ("{{lower language}}", json!("(absent)")), ("{{json (add maxTokens 1)}}", json!("(absent)")),
        ("{{timestamp \"unix\"}}", json!("1700000000")), ("{{json (timestamp \"unix_ms\")}}", json!(1_700_000_000_123_i64)),
        ("{{timestamp \"rfc3339\"}}", json!("2023-11-14T22:13:20Z")), ("{{current_date}}", json!("2023-11-14")),
    ];
    for (source, want) in cases {
        assert_eq!(plain(source), want, "{source}");
    }
    for bad in ["{{json (add params.name 1)}}", "{{json (div 1 0)}}", "{{json (int \"8.5\")}}", "{{json (number \"x\")}}"] {
        assert!(plain(bad).as_str().is_some_and(|text| text.starts_with("error `")), "{bad}");
    }
}

#[test]
fn a_uuid_is_new_for_every_request_and_the_same_for_the_same_draws() {
    let text = Text::compile("{{uuid}}", &known(), Place::Plain).unwrap();
    let with = |seed: u128| {
        text.eval(&Scope::new(Draws::new(0, Uuid::from_u128(seed))))
            .unwrap()
    };
    assert_eq!(with(1), with(1));
    assert_ne!(with(1), with(2));
}

#[test]
#[rustfmt::skip]
fn mistakes_are_found_before_a_text_is_used() {
    let cases = [
        ("{{params_secnds}}", "P201"), ("{{model.x}}", "P201"), ("{{item}}", "P201"), ("{{steps.x.y}}", "P201"), ("{{inputs.frames.nope}}", "P201"),
        ("x {{params_seconds}}", "P202"), ("x {{lower params_name}}", "P202"), ("{{#if language}}{{params_name}}{{/if}}", "P202"),
        ("{{#if params_name}}{{else}}{{params_name}}{{/if}}", "P202"),
        ("{{", "P203"), ("{{{model}}}", "P203"), ("{{> x}}", "P203"), ("{{!-- x --}}", "P203"), ("{{#if model}}", "P203"), ("{{/if}}", "P203"),
        ("{{#if model}}{{/each}}", "P203"), ("{{else}}", "P203"), ("{{}}", "P203"), ("{{a b", "P203"), ("{{&model}}", "P203"), ("{{*x}}", "P203"),
        ("{{frob model}}", "P204"), ("{{#unless model}}x{{/unless}}", "P204 P203"), ("{{#with model}}{{/with}}", "P204 P203"),
        ("{{lower}}", "P205"), ("{{lower model model}}", "P205"), ("{{lower model x=1}}", "P205"), ("a{{json model}}", "P205"),
        ("{{lower (json model)}}", "P205"), ("{{timestamp \"now\"}}", "P205"), ("{{segments job_id}}", "P205"), ("{{default model null}}", "P205"),
        ("{{params}}", "P214"), ("{{inputs.frames}}", "P214"), ("x {{run}}", "P214"), ("{{@index}}", "P207"), ("{{../model}}", "P207"),
    ];
    for (source, want) in cases {
        let got = eval(source, Place::Plain).err().unwrap_or_default();
        assert!(got == want || got.starts_with(want.split(' ').next().unwrap()), "{source}: {got}, not {want}");
    }
}

#[test]
fn an_unknown_variable_is_answered_with_the_nearest_known_one() {
    let mistakes = Text::compile("{{params_secnds}}", &known(), Place::Plain).unwrap_err();
    assert_eq!(mistakes[0].help, "did you mean `params_seconds`?");
    let mistakes = Text::compile("{{params.secnds}}", &known(), Place::Plain).unwrap_err();
    assert_eq!(mistakes[0].help, "did you mean `seconds`?");
}

#[test]
#[rustfmt::skip]
fn in_a_path_every_value_is_one_encoded_segment() {
    let cases = [
        ("/v/{{model}}/x", Ok("/v/acme-1/x")), ("/v/{{job_id}}", Ok("/v/ops%2Fa%20b%3Ago")), ("/v/{{segments job_id}}", Ok("/v/ops/a%20b:go")),
        ("/v/{{replace \"..\" \"x\" \"y\"}}", Err("`replace \"..\" \"x\" \"y\"` is `.` or `..`, which would lead elsewhere")),
        ("/v/{{trim \" \"}}", Err("`trim \" \"` is empty, which no segment of a path may be")),
        ("/v/{{segments \"a/../b\"}}", Err("`segments \"a/../b\"` holds a segment `.` or `..`, which would lead elsewhere")),
        ("/v/{{segments \"a?b\"}}", Err("`segments \"a?b\"` holds `?` or `#`, which would end the path")),
        ("/v/{{segments \"https://x/y\"}}", Err("`segments \"https://x/y\"` holds a scheme or host of its own")),
        ("/v/{{apiKey}}", Err("P206")),
    ];
    for (source, want) in cases {
        let want = want.map(|text| Some(json!(text))).map_err(str::to_owned);
        assert_eq!(eval(source, Place::Path), want, "{source}");
    }
}

#[test]
#[rustfmt::skip]
fn an_expression_that_opens_a_url_is_taken_as_it_stands_and_a_host_holds_config_only() {
    let cases = [
        ("{{userPrompt}}?a={{model}}", Ok("Say {{apiKey}} & <<model>>?a=acme-1")), ("https://{{config_region}}/v1/{{job_id}}", Ok("https://eu.api/v1/ops%2Fa%20b%3Ago")),
        ("https://{{model}}.acme.ai/", Err("P215")), ("https://acme.ai{{model}}", Err("P215")), ("https://acme.ai/{{apiKey}}", Err("P206")),
    ];
    for (source, want) in cases {
        let want = want.map(|text| Some(json!(text))).map_err(str::to_owned);
        assert_eq!(eval(source, Place::Url), want, "{source}");
    }
}

#[test]
fn a_control_character_in_a_header_is_an_error() {
    assert_eq!(
        eval("Bearer {{apiKey}}", Place::Header),
        Ok(Some(json!("Bearer sk-1")))
    );
    assert_eq!(eval("a\nb", Place::Header), Err("P203".into()));
    let text = Text::compile("{{userPrompt}}", &known(), Place::Header).unwrap();
    let secrets = secrets();
    let error = text.eval(&scope(&secrets, "a\r\nX: y")).unwrap_err();
    assert_eq!(
        error,
        EvalError::Control {
            name: "userPrompt".into()
        }
    );
}

#[test]
fn a_secret_stands_only_where_secrets_may_even_through_helpers() {
    for source in [
        "{{apiKey}}",
        "x {{accessToken}}",
        "{{base64 secret.part}}",
        "{{#if apiKey}}x{{/if}}",
    ] {
        let mistakes = Text::compile(source, &known(), Place::Plain).unwrap_err();
        assert_eq!(mistakes[0].code, Code::P206, "{source}");
    }
    let text = Text::compile(
        "{{base64 apiKey}}",
        &known().secrets_may_stand(true),
        Place::Plain,
    )
    .unwrap();
    assert!(text.is_secret());
    let secrets = secrets();
    assert!(!format!("{:?}", scope(&secrets, "x")).contains("sk-1"));
}

#[test]
fn a_value_known_late_fails_a_longer_text_when_it_is_absent() {
    let text = Text::compile("/v/{{job_id}}", &known(), Place::Path).unwrap();
    let error = text
        .eval(&Scope::new(Draws::new(0, Uuid::nil())))
        .unwrap_err();
    assert_eq!(
        error,
        EvalError::Missing {
            name: "job_id".into()
        }
    );
}

#[test]
fn what_a_longer_text_needs_is_said_to_be_required() {
    let text = Text::compile(
        "{{#if language}}{{language}}{{/if}} {{userPrompt}} {{default shortHistory \"\"}}",
        &known(),
        Place::Plain,
    )
    .unwrap();
    let mut required = Vec::new();
    text.reads(&mut |read| required.extend(read.required.then_some(read.name.root)));
    assert_eq!(required, [Root::UserPrompt]);
}

#[test]
fn texts_and_nesting_have_bounds() {
    let long = "x".repeat(MAX_TEXT + 1);
    assert_eq!(
        Text::compile(&long, &known(), Place::Plain).unwrap_err()[0].code,
        Code::P211
    );
    let deep = format!(
        "{{{{{}model{}}}}}",
        "(lower ".repeat(5_000),
        ")".repeat(5_000)
    );
    assert_eq!(
        Text::compile(&deep, &known(), Place::Plain).unwrap_err()[0].code,
        Code::P212
    );
    let blocks = "{{#if model}}".repeat(4_000);
    assert!(
        Text::compile(&blocks, &known(), Place::Plain)
            .unwrap_err()
            .iter()
            .any(|m| m.code == Code::P212)
    );
    let fits = format!(
        "{{{{lower {}model{}}}}}",
        "(lower ".repeat(60),
        ")".repeat(60)
    );
    assert!(Text::compile(&fits, &known(), Place::Plain).is_ok());
}

fn hostile() -> impl Strategy<Value = String> {
    let bits = [
        "{{",
        "}}",
        "<<",
        ">>",
        "\\",
        "#if ",
        "#each ",
        "/if",
        "else",
        "model",
        "userPrompt",
        "(",
        ")",
        "[",
        "]",
        ".",
        "\"",
        "'",
        " ",
        "~",
        "json ",
        "default ",
        "lower ",
        "1e5",
        "true",
        "null",
        "=",
        "|",
        "as ",
        "@",
        "$",
        "é",
        "\n",
        "0",
        "-",
        "{",
        "}",
    ];
    prop::collection::vec(prop::sample::select(bits.to_vec()), 0..24).prop_map(|bits| bits.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn no_text_makes_the_compiler_panic(source in prop_oneof![hostile(), any::<String>()]) {
        for place in [Place::Plain, Place::Path, Place::Url, Place::Header] {
            if let Ok(text) = Text::compile(&source, &known(), place) {
                let secrets = secrets();
                let _ = text.eval(&scope(&secrets, "x"));
            }
        }
    }

    #[test]
    fn the_text_of_a_user_is_never_read_again(
        prompt in prop_oneof![hostile(), Just("{{apiKey}}".to_owned()), Just("1e5".to_owned()), Just("true".to_owned()), any::<String>()]
    ) {
        let secrets = secrets();
        let scope = scope(&secrets, &prompt);
        for (source, want) in [("{{userPrompt}}", prompt.clone()), ("{{json userPrompt}}", prompt.clone()), ("<{{userPrompt}}>", format!("<{prompt}>"))] {
            let text = Text::compile(source, &known(), Place::Plain).unwrap();
            prop_assert_eq!(text.eval(&scope), Ok(Some(Value::String(want))));
        }
    }

    #[test]
    fn a_number_keeps_its_type_and_every_digit(digits in "-?[1-9][0-9]{0,40}(\\.[0-9]{1,9})?") {
        let number: Value = serde_json::from_str(&digits).unwrap();
        let mut scope = Scope::new(Draws::new(0, Uuid::nil()));
        scope.set(Root::Params, json!({"seconds": number}));
        let typed = Text::compile("{{json params_seconds}}", &known(), Place::Plain).unwrap();
        prop_assert_eq!(typed.eval(&scope), Ok(Some(number)));
        let text = Text::compile("{{params_seconds}}", &known(), Place::Plain).unwrap();
        prop_assert_eq!(text.eval(&scope), Ok(Some(Value::String(digits))));
    }
}
