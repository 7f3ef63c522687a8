//! What no seed can be: a database that went back in time, and one that is away for a minute.

use crate::bundle::Model;
use crate::lane::{Lane, caller, sql, texts};
use crate::scenario::Scenario;
use crate::wire::Mode;
use crate::worker::{Place, Worker};
use runtime::{Modelrow, RunRequest};
use serde_json::{Value, json};
use simulator::{Action, JobPatch, Operation, Rule, Simulator};
use std::time::Duration;
use uuid::Uuid;

/// One house with one worker.
struct House {
    lane: Lane,
    sim: Simulator,
    url: String,
    worker: Option<Worker>,
}

const NAME: &str = "story";

impl House {
    async fn new(n: u64, run_ms: u64) -> Self {
        let lane = Lane::start(n, &[Model::Found], None).await;
        let mut provider = Scenario::named("clean").unwrap().provider();
        let long = JobPatch {
            run_ms: Some(run_ms),
            ..JobPatch::default()
        };
        provider.rules = vec![Rule::on(Operation::Create, Action::Job(long)).always()];
        let sim = Simulator::start(provider).await.unwrap();
        std::fs::create_dir_all(lane.folder.join("artifacts")).unwrap();
        lane.database(NAME, Model::Found, &sim.base_url()).await;
        let url = lane.url("modelrow", NAME);
        Self {
            lane,
            sim,
            url,
            worker: None,
        }
    }

    async fn caller(&self) -> Modelrow {
        caller(&self.url, &self.lane.folder.join("artifacts")).await
    }

    /// `broken`: the rule that its build is without.
    async fn hire(&mut self, broken: Option<&'static str>) {
        let told = broken.map_or_else(|| json!({}), |rule| json!({ "broken": rule }));
        self.worker = Some(self.worker("story", &told).await);
    }

    async fn worker(&self, name: &str, told: &Value) -> Worker {
        let artifacts = self.lane.folder.join("artifacts");
        let place = Place {
            socket: self.lane.socket(),
            database: NAME,
            artifacts: &artifacts,
            logs: &self.lane.folder,
            has_key: true,
            serves: false,
        };
        Worker::start(&place, name, told).await
    }

    async fn call(&self, tag: &str) -> Uuid {
        let caller = self.caller().await;
        let run = caller
            .run_profile(RunRequest::new("video").prompt(format!("run:{tag} a cat")))
            .await
            .unwrap()
            .id();
        caller.shutdown(Duration::ZERO).await;
        run
    }

    async fn says(&self, query: &str) -> String {
        let rows = texts(&self.url, query).await.unwrap_or_default();
        rows.into_iter().next().unwrap_or_default()
    }

    /// Waits until the query says so.
    async fn until(&self, query: &str, wanted: &str) -> Result<(), String> {
        // Often, for a story goes on at the moment that it waits for.
        for _ in 0..1_500 {
            if self.says(query).await == wanted {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(format!(
            "never `{wanted}`: {query}: {}{}",
            self.says(query).await,
            self.last_words()
        ))
    }

    /// The ends of the workers' logs.
    fn last_words(&self) -> String {
        let files = std::fs::read_dir(&self.lane.folder).into_iter().flatten();
        let logs = files.flatten().map(|entry| entry.path());
        let logs = logs.filter(|path| path.extension().is_some_and(|it| it == "log"));
        let ends = logs.map(|path| {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let last = lines[lines.len().saturating_sub(20)..].join("\n        ");
            format!("\n      {}:\n        {last}", path.display())
        });
        ends.collect()
    }

    /// The one job that was paid for under this tag.
    fn job(&self, tag: &str) -> Result<String, String> {
        let jobs = self.sim.accepted_jobs();
        let mut jobs = jobs
            .into_iter()
            .filter(|job| job.tag.as_deref() == Some(tag));
        match (jobs.next(), jobs.next()) {
            (Some(job), None) => Ok(job.id),
            (first, _) => Err(format!("not one job for {tag}: {first:?} and others")),
        }
    }

    fn jobs(&self, tag: &str) -> usize {
        self.sim
            .accepted_jobs()
            .iter()
            .filter(|job| job.tag.as_deref() == Some(tag))
            .count()
    }
}

/// Those of the small size, or all.
pub(crate) async fn all(full: bool) -> bool {
    let mut good = told(
        "a backup is restored: what was sent is not sent again, and what memory holds is written again",
        rewound(None).await,
    );
    good &= told(
        "builds follow each other under load: nothing is lost, nothing is paid for twice, and each leaves in time",
        rolling().await,
    );
    good &= told(
        "a standby that lags is promoted: what was sent is not sent again, and what memory holds is written again",
        promoted().await,
    );
    if full {
        good &= told(
            "the database is away for 60 s: the job is followed on and paid for once",
            away().await,
        );
    }
    good
}

fn told(what: &str, came: Result<(), String>) -> bool {
    match &came {
        Ok(()) => println!("ok    {what}"),
        Err(why) => println!("WRONG {what}\n      {why}"),
    }
    came.is_ok()
}

/// A copy from before the submit takes over, on a timeline of its own, as a standby that lags does.
pub(crate) async fn rewound(broken: Option<&'static str>) -> Result<(), String> {
    let mut house = House::new(90, 12_000).await;
    sql(&house.url, PAUSE).await;
    let run = house.call("before").await;
    house.lane.copy().await;
    sql(&house.url, GO_ON).await;
    house.hire(broken).await;
    let gone = house.call("gone").await;
    polling(&house, &[run, gone]).await?;
    house.lane.go_back().await;
    let timeline = "select substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)";
    house.until(timeline, "00000002").await?;
    remembered(&house, run, gone).await
}

const PAUSE: &str = "update credential_limits set paused_until = now() + interval '1 hour'";
const GO_ON: &str = "update credential_limits set paused_until = null";

/// Their jobs are in the database, and in the worker's memory; nobody has asked for them yet, perhaps.
async fn polling(house: &House, runs: &[Uuid]) -> Result<(), String> {
    for run in runs {
        let state = format!("select state from run_states where run_id = '{run}'");
        house.until(&state, "polling").await?;
    }
    Ok(())
}

/// The database has gone back to before both submits, and to before the call of `gone`: what the worker remembers of one
/// is written again and followed to its end, the job of the other is noted, and nothing is sent twice.
async fn remembered(house: &House, run: Uuid, gone: Uuid) -> Result<(), String> {
    sql(&house.url, GO_ON).await;
    let held = format!("select held::text from run_states where run_id = '{run}'");
    house.until(&held, "true").await?;
    // What is called before a worker has seen the change is held, too.
    let seen = "select (d.timeline = i.timeline)::text from database_identity d, database_identity_now() i";
    house.until(seen, "true").await?;
    // The worker works: a run of afterwards is sent.
    let other = house.call("afterwards").await;
    polling(house, &[other]).await?;
    let again = format!(
        "select outcome || ' ' || provider_job_id from submit_attempts where run_id = '{run}'"
    );
    let job = house.job("before")?;
    house.until(&again, &format!("accepted {job}")).await?;
    let noted = format!("select provider_job_id from orphaned_jobs where run_id = '{gone}'");
    house.until(&noted, &house.job("gone")?).await?;
    let state = format!("select state from run_states where run_id = '{run}'");
    house.until(&state, "succeeded").await?;
    house.job("afterwards").map(drop)
}

/// How long a worker may take to leave: the longest exchange of the suite's provider, and what is said at the end.
const LEAVES_WITHIN: Duration = Duration::from_secs(15);
/// Calls for each build that comes and goes.
const CALLS: usize = 8;

/// A rolling restart: the next build comes, the last one is told to leave in the middle of its work, and calls go on.
async fn rolling() -> Result<(), String> {
    let house = House::new(92, 1_200).await;
    let caller = house.caller().await;
    let builds = ["one", "two", "three"];
    let (mut runs, mut last) = (Vec::new(), None);
    for (n, build) in builds.into_iter().enumerate() {
        let next = house.worker(build, &json!({ "build": build })).await;
        let known = format!(
            "select (count(*) > 0)::text from workers where build = '{build}' and expires_at > now()"
        );
        house.until(&known, "true").await?;
        for call in 0..CALLS {
            let tag = format!("roll{n}x{call}");
            let request = RunRequest::new("video").prompt(format!("run:{tag} a cat"));
            let run = caller
                .run_profile(request)
                .await
                .map_err(|error| error.to_string())?;
            runs.push((tag, run.id()));
            if call == CALLS / 2
                && let Some(leaving) = last.take()
            {
                left(leaving).await?;
            }
        }
        last = Some(next);
    }
    for (tag, run) in &runs {
        let state = format!("select state from run_states where run_id = '{run}'");
        house.until(&state, "succeeded").await?;
        if house.jobs(tag) != 1 {
            return Err(format!("{} jobs for {tag}", house.jobs(tag)));
        }
    }
    let swept = house
        .says("select count(*)::text from submit_attempts where outcome <> 'accepted'")
        .await;
    caller.shutdown(Duration::ZERO).await;
    match swept.as_str() {
        "0" => left(last.take().unwrap()).await,
        attempts => Err(format!(
            "{attempts} attempts were not accepted: a worker that leaves waits for its answers"
        )),
    }
}

async fn left(mut worker: Worker) -> Result<(), String> {
    match worker.leaves_within(LEAVES_WITHIN).await {
        Some(_) => Ok(()),
        None => Err(format!(
            "worker {} does not leave within {} s",
            worker.name,
            LEAVES_WITHIN.as_secs()
        )),
    }
}

/// A standby that had its base backup and nothing since takes over: read-only first, then promoted.
async fn promoted() -> Result<(), String> {
    let mut house = House::new(93, 12_000).await;
    sql(&house.url, PAUSE).await;
    let run = house.call("before").await;
    if !house.lane.base_backup().await {
        println!("      (no pg_basebackup on this machine: not shown)");
        return Ok(());
    }
    sql(&house.url, GO_ON).await;
    house.hire(None).await;
    let gone = house.call("gone").await;
    polling(&house, &[run, gone]).await?;
    house.lane.fail_over().await;
    house
        .until("select pg_is_in_recovery()::text", "false")
        .await?;
    remembered(&house, run, gone).await
}

async fn away() -> Result<(), String> {
    let mut house = House::new(91, 20_000).await;
    house.hire(None).await;
    let run = house.call("away").await;
    let state = format!("select state from run_states where run_id = '{run}'");
    house.until(&state, "polling").await?;
    let set = |mode| house.worker.iter().for_each(|worker| worker.wire.set(mode));
    set(Mode::Cut);
    tokio::time::sleep(Duration::from_secs(60)).await;
    set(Mode::Passes);
    house.until(&state, "succeeded").await?;
    match house.jobs("away") {
        1 => Ok(()),
        jobs => Err(format!("{jobs} jobs paid for")),
    }
}
