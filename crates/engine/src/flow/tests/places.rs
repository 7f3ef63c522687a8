//! Which answer a step reads, and whether it is there at all.

use super::*;

const MP4: &str = "AAAAGGZ0eXBpc29tAAACAGlzb21tcDQy";

/// Steps whose download reads what `from` answered.
fn from_the_poll() -> Value {
    json!({"workflow": {"steps": [
        {"name": "poll", "path": "/jobs/{{job_id}}", "interval_ms": 2000, "deadline_ms": 60000,
         "states": {"running": ["running"], "succeeded": ["done"], "failed": ["failed"]}},
        {"name": "download", "from": "poll", "value_path": "result", "content_type": "video/mp4"}
    ]}})
}

#[test]
fn a_submit_that_is_a_first_poll_answers_for_the_step_that_a_download_names() {
    let (mut flow, mut now) = (flow(&from_the_poll()), 0);
    let body = json!({"id": "j", "status": "done", "result": MP4});
    assert_eq!(word(&say(&mut flow, &mut now, 200, &body)), "accepted j");
    match act(&mut flow, &mut now) {
        Action::Fetch { files, .. } => assert_eq!(files.len(), 1),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_poll_that_is_left_out_is_not_read_from_the_submit_either() {
    let mut profile = from_the_poll();
    profile["workflow"]["steps"][0]["when"] = json!({"present": "params.place"});
    profile["workflow"]["steps"][1] =
        json!({"name": "download", "value_path": "result", "content_type": "video/mp4"});
    let (mut flow, mut now) = (flow(&profile), 0);
    // What the word would mean to the poll does not matter: nobody asks it.
    let body = json!({"id": "j", "status": "failed", "result": MP4});
    assert_eq!(word(&say(&mut flow, &mut now, 200, &body)), "accepted j");
    assert!(matches!(act(&mut flow, &mut now), Action::Fetch { .. }));
}

#[test]
fn cleanup_asks_once_for_each_item_that_was_captured() {
    let profile = json!({
        "response_mapping": {"extract": {"job_id_path": "id", "files": "files"}},
        "workflow": {"cleanup": [{"name": "tidy", "method": "DELETE", "path": "/files/{{item.id}}", "each": "steps.submit.files"}]},
    });
    let (mut flow, mut now) = (flow(&profile), 0);
    let body = json!({"id": "j", "files": [{"id": "f-1"}, {"id": "f-2"}]});
    let _ = say(&mut flow, &mut now, 200, &body);
    let resume = Resume {
        captured: Some(flow.captured()),
        ..Resume::default()
    };
    let mut cleanup = Flow::cleanup(setting(&profile), resume).unwrap();
    let mut paths = Vec::new();
    while let Action::Exchange { request, .. } = act(&mut cleanup, &mut now) {
        paths.push(request.url.path().to_owned());
        let _ = cleanup.on(Event::Answered(answer(204, &json!(null))), now, MID);
    }
    assert_eq!(paths, ["/v1/files/f-1", "/v1/files/f-2"]);
}

#[test]
fn the_tables_hint_is_not_looked_for_in_an_answer_of_another_host() {
    let wait = |trusted: bool| {
        let provider = json!({
            "conventions": {"errors": {"retry_after_path": "wait_s"}}, "egress": {"hosts": ["poll.acme.net"]},
        });
        let profile = json!({"workflow": {"steps": [
            {"name": "poll", "url": "https://poll.acme.net/{{job_id}}", "interval_ms": 2000,
             "states": {"running": ["running"], "succeeded": ["done"]}},
            {"name": "download", "url_path": "url"}
        ]}});
        let mut flow = Flow::new(setting_of(revision_of(&profile, &provider), &call("a cat")));
        let mut now = 0;
        let _ = say(&mut flow, &mut now, 200, &json!({"id": "j"}));
        assert!(matches!(act(&mut flow, &mut now), Action::Exchange { .. }));
        let came = Received {
            trusted,
            ..answer(429, &json!({"wait_s": 60}))
        };
        let _ = flow.on(Event::Answered(came), now, MID);
        match flow.next(now, drawn(now)) {
            Action::Wait { until_ms, .. } => until_ms - now,
            other => panic!("{other:?}"),
        }
    };
    // The address is the provider's only where credentials may go.
    assert_eq!(wait(false), 2_000);
}
