//! One request for many runs: each decides by its own item as it would by its own poll.

use super::*;
use crate::http::Outcome;

/// A poll that can be asked for many jobs.
fn profile() -> Value {
    json!({"response_mapping": {"extract": {"job_id_path": "id", "shop": "shop"}}, "workflow": {"steps": [
        {"name": "poll", "path": "/jobs/{{job_id}}", "interval_ms": 2000, "deadline_ms": 60_000, "max_job_life_ms": 600_000, "not_found_grace_ms": 5_000,
         "poll_after_path": "next_s", "progress_path": "percent", "extract": {"note": "note"},
         "batch": {"path": "/jobs", "query": {"id": "{{json job_ids}}", "n": "{{json vars.most}}"}, "size": 3, "in": "data",
                   "where": {"all": [{"path": "id", "equals": "{{job_id}}"}, {"path": "shop", "equals": "{{steps.submit.shop}}"}]}},
         "states": {"running": ["running"], "succeeded": ["done"], "failed": ["failed"], "canceled": ["canceled"]}},
        {"name": "download", "url_path": "url", "content_type": "video/mp4"}]},
        "transport": {"vars": {"most": 100}}})
}

/// Two that are alike, whose jobs were accepted at 0.
fn two() -> (Flow, Flow, i64) {
    let mut now = 0;
    let one = || {
        let mut flow = flow(&profile());
        let verdict = say(&mut flow, &mut 0, 200, &json!({"id": "job-1", "shop": "s"}));
        assert!(matches!(verdict, Verdict::Accepted(_)), "{verdict:?}");
        flow
    };
    let (mut a, mut b) = (one(), one());
    assert!(matches!(
        act(&mut a, &mut now),
        Action::Exchange {
            phase: Phase::Poll,
            ..
        }
    ));
    act(&mut b, &mut 0);
    (a, b, now)
}

fn asked(flow: &Flow) -> Request {
    flow.render_round(&["job-1", "job 2"], drawn(0))
        .unwrap()
        .unwrap()
}

fn came(flow: &mut Flow, status: u16, body: &Value, now: i64) -> Option<Verdict> {
    let round = Round::of(&asked(flow), &Outcome::Answered(answer(status, body)));
    flow.on_round(&round, now, MID)
}

/// The item of the run, among others.
fn item(body: &Value) -> Value {
    let mut own = json!({"id": "job-1", "shop": "s"});
    profile::lang::merge(&mut own, body);
    json!({"data": [{"id": "job 2", "shop": "s", "status": "failed"}, {"id": "job-1", "shop": "other", "status": "failed"}, own]})
}

#[test]
fn the_request_for_many_names_them_all_and_proves_who_asks() {
    let (flow, _, _) = two();
    let request = asked(&flow);
    let url = "https://api.acme.ai/v1/jobs?id=job-1&id=job%202&n=100";
    assert_eq!(
        (request.method.as_str(), request.url.as_str()),
        ("GET", url)
    );
    assert_eq!(
        request.header("authorization"),
        Some(format!("Bearer {KEY}").as_str())
    );
}

#[test]
fn an_item_decides_as_the_answer_of_the_runs_own_poll_does() {
    let bodies = [
        json!({"status": "running", "percent": 40}),
        json!({"status": "running", "next_s": 7}),
        json!({"status": "musing"}),
        json!({}),
        json!({"status": "failed", "error": {"code": "policy", "message": "no"}}),
        json!({"error": {"code": "quota"}}),
        json!({"error": {"code": "busy"}}),
        json!({"status": "canceled"}),
        json!({"status": "done", "url": "https://cdn.acme.ai/f", "note": 12_345_678_901_234_567_890_u64}),
    ];
    for body in bodies {
        let (mut alone, mut many, now) = two();
        let mut own = json!({"id": "job-1", "shop": "s"});
        profile::lang::merge(&mut own, &body);
        let by_itself = alone.on(Event::Answered(answer(200, &own)), now, MID);
        let in_a_round = came(&mut many, 200, &item(&body), now);
        assert_eq!(in_a_round, Some(by_itself), "{body}");
        assert_eq!(alone.captured(), many.captured(), "{body}");
        assert_eq!(alone.due_ms(), many.due_ms(), "{body}");
        let (mut a, mut b) = (now, now);
        assert_eq!(
            format!("{:?}", act(&mut alone, &mut a)),
            format!("{:?}", act(&mut many, &mut b)),
            "{body}"
        );
    }
}

#[test]
#[rustfmt::skip]
fn a_run_ends_by_an_answer_about_its_own_job_only() {
    let cases = [
        // why                          status  body                                                      verdict
        ("not in the list",             200, json!({"data": [{"id": "job-9", "shop": "s", "status": "failed"}]}), None),
        ("an empty list",               200, json!({"data": []}),                                         None),
        ("no list at all",              200, json!("<html>"),                                             None),
        ("the list is not there",       404, json!(null),                                                 None),
        ("the list is gone",            410, json!(null),                                                 None),
        ("the request is refused",      400, json!({"error": {"code": "too_many_ids"}}),                  None),
        ("the list itself is refused",  200, json!({"error": {"code": "policy"}, "data": []}),            None),
        ("slow down",                   429, json!(null),                                                 Some("continue")),
        ("the provider is down",        503, json!(null),                                                 Some("continue")),
        ("busy under HTTP 200",         200, json!({"error": {"code": "busy"}}),                          Some("continue")),
        ("the key is refused",          401, json!(null),                                                 Some("credential authentication")),
        ("the account is empty",        402, json!(null),                                                 Some("credential billing")),
    ];
    for (why, status, body, want) in cases {
        let (mut flow, _, now) = two();
        let verdict = came(&mut flow, status, &body, now);
        assert_eq!(verdict.as_ref().map(word).as_deref(), want, "{why}");
        let mut later = now;
        match act(&mut flow, &mut later) {
            Action::Exchange { request, .. } => assert_eq!(request.url.path(), "/v1/jobs/job-1", "{why}"),
            other => panic!("{why}: {other:?}"),
        }
        assert_eq!(later == now, want.is_none(), "{why}: said nothing, so it is asked for at once");
    }
}

#[test]
fn without_an_answer_every_run_waits_for_its_next_round() {
    let (mut flow, _, now) = two();
    let round = Round::of(
        &asked(&flow),
        &Outcome::Broken(Fault::new(Kind::NotSent, "cut")),
    );
    assert_eq!(flow.on_round(&round, now, MID), Some(Verdict::Continue));
    assert_eq!(flow.due_ms(), Some(now + 2_000));
}

#[test]
fn a_hint_of_the_list_holds_for_its_items_and_their_own_goes_first() {
    let hinted = |own: Value| {
        let (mut flow, _, now) = two();
        let mut list = item(&own);
        list["next_s"] = json!(9);
        came(&mut flow, 200, &list, now).unwrap();
        flow.due_ms().unwrap() - now
    };
    assert_eq!(
        hinted(json!({"status": "running"})),
        10_000,
        "the round behind 9 s"
    );
    assert_eq!(hinted(json!({"status": "running", "next_s": 3})), 4_000);
}

#[test]
fn a_poll_of_a_list_takes_the_item_whichever_way_it_was_asked() {
    let mut selecting = profile();
    selecting["workflow"]["steps"][0]["select"] =
        json!({"in": "rows", "where": {"path": "id", "equals": "{{job_id}}"}});
    let mut flow = flow(&selecting);
    let mut now = 0;
    say(
        &mut flow,
        &mut now,
        200,
        &json!({"id": "job-1", "shop": "s"}),
    );
    act(&mut flow, &mut now);
    let done = json!({"status": "done", "url": "https://cdn.acme.ai/f"});
    assert_eq!(
        came(&mut flow, 200, &item(&done), now),
        Some(Verdict::JobDone)
    );
    assert!(matches!(act(&mut flow, &mut now), Action::Fetch { .. }));
}

#[test]
fn a_folded_run_says_with_how_many_it_can_be_asked() {
    let (flow, _, _) = two();
    let setting = setting(&profile());
    let ground = Ground::new(setting.clone());
    let folded = flow.fold(&ground).unwrap();
    assert_eq!(folded.round(&setting.revision), Some((0, 3)));
    let other = crate::testing::setting(&json!({}));
    assert_eq!(
        folded.round(&other.revision),
        None,
        "a poll without a batch"
    );
}
