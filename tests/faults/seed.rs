//! One seed: two workers, one run, one fault; and what must hold afterwards.

mod calls;

use crate::bundle::Model;
use crate::choice::{Choice, Fault};
use crate::lane::{LEASE, Lane, caller, texts};
use crate::scenario::{mischief, the_same};
use crate::wire::Mode;
use crate::worker::{Place, Worker};
use crate::{check, lane};
use futures_util::StreamExt as _;
use nix::sys::signal::Signal;
use runtime::{Because, Callback, Modelrow, PauseScope};
use serde_json::{Value, json};
use simulator::{Action, Operation, Outcome, Rule, Scripted, Simulator};
use sqlx::{Connection as _, PgConnection};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use store::DEFAULT_TENANT;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

/// No run takes longer: two look-ups are 15 s apart.
const LIMIT: Duration = Duration::from_secs(50);
/// No seed takes longer, with all that is checked after it: what the suite then waits for never comes.
const CUT: Duration = LIMIT.saturating_mul(5);
/// A run that stays unknown for so long stands there.
const STANDS: Duration = Duration::from_millis(2_200);
/// What a struck worker still does when it goes on.
const AFTERMATH: Duration = Duration::from_millis(600);
/// Points that come with time are awaited so long after the run's end.
const PATIENCE: Duration = Duration::from_secs(3);

/// What came of a seed.
#[derive(Debug)]
pub(crate) struct Came {
    /// The point was reached, and the fault struck.
    pub(crate) struck: bool,
    /// How the run ended: `succeeded`, `failed`, `canceled`, `unknown`.
    pub(crate) end: String,
    /// What does not hold.
    pub(crate) wrong: Vec<String>,
    /// Logs, and what the provider was asked.
    pub(crate) logs: PathBuf,
    pub(crate) took: Duration,
}

/// A seed at work.
pub(crate) struct Seed<'a> {
    pub(crate) lane: &'a Lane,
    pub(crate) choice: &'a Choice,
    pub(crate) broken: Option<&'a str>,
    pub(crate) database: String,
    pub(crate) folder: PathBuf,
    pub(crate) sim: Simulator,
    workers: Vec<Worker>,
    control: TcpListener,
    pub(crate) run: Uuid,
    pub(crate) tag: String,
    struck_at: Option<Instant>,
    /// When the fault of the scenario itself struck.
    first_at: Option<Instant>,
    trace: bool,
    /// When the brake was pulled.
    braked_at: Option<Instant>,
    /// When the artifact store was taken away; with `None` after that it is back.
    diskless_at: Option<Instant>,
    had_disk: bool,
    watchers: tokio::task::JoinSet<()>,
    /// All workers were told to leave.
    left: bool,
}

fn database(choice: &Choice) -> String {
    format!("seed_{}", choice.seed)
}

fn folder(lane: &Lane, choice: &Choice) -> PathBuf {
    lane.folder.join(database(choice))
}

/// Where the run stands now.
#[derive(Debug, Clone, Default, PartialEq)]
struct Stand {
    state: String,
    ended: bool,
    overdue: bool,
}

impl<'a> Seed<'a> {
    /// `traces`: where the workers write down the points they reach; they then stop nowhere.
    pub(crate) async fn run(
        lane: &'a Lane,
        choice: &'a Choice,
        broken: Option<&'a str>,
        trace: bool,
    ) -> Came {
        let seed = Box::pin(Self::lived(lane, choice, broken, trace));
        let cut = tokio::time::timeout(CUT, seed).await;
        cut.unwrap_or_else(|_| Came {
            struck: false,
            end: "unknown".to_owned(),
            wrong: vec![format!(
                "after {} s the suite still waits for something",
                CUT.as_secs()
            )],
            logs: folder(lane, choice),
            took: CUT,
        })
    }

    async fn lived(
        lane: &'a Lane,
        choice: &'a Choice,
        broken: Option<&'a str>,
        trace: bool,
    ) -> Came {
        let begun = Instant::now();
        let database = database(choice);
        let folder = folder(lane, choice);
        std::fs::create_dir_all(folder.join("artifacts")).unwrap();
        let sim = Simulator::start(choice.scenario.provider()).await.unwrap();
        lane.database(&database, choice.scenario.model, &sim.base_url())
            .await;
        let mut seed = Seed {
            lane,
            choice,
            broken,
            tag: format!("{database}x"),
            database,
            folder,
            sim,
            workers: Vec::new(),
            control: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            run: Uuid::nil(),
            struck_at: None,
            first_at: None,
            trace,
            braked_at: None,
            diskless_at: None,
            had_disk: true,
            watchers: tokio::task::JoinSet::new(),
            left: false,
        };
        seed.begin_mischief();
        for _ in 0..2 {
            seed.hire().await;
        }
        let caller = caller(&seed.url(), &seed.folder.join("artifacts")).await;
        let stand = seed.live(&caller).await;
        let ledger = seed.sim.ledger();
        let wrong = match stand {
            Ok(stand) => {
                for worker in &mut seed.workers {
                    worker.kill().await;
                }
                check::all(&seed, &caller, &stand.state).await
            }
            Err(why) => vec![why],
        };
        let end = seed.end().await;
        let struck = seed.struck_at.is_some();
        let asked: Vec<String> = ledger.iter().map(|entry| format!("{entry:?}")).collect();
        let _kept = std::fs::write(seed.folder.join("provider.log"), asked.join("\n"));
        caller.shutdown(Duration::ZERO).await;
        let logs = seed.folder.clone();
        let (lane, database) = (seed.lane, seed.database.clone());
        drop(seed);
        if wrong.is_empty() {
            lane.forget(&database).await;
        }
        Came {
            struck,
            end,
            wrong,
            logs,
            took: begun.elapsed(),
        }
    }

    pub(crate) fn url(&self) -> String {
        self.lane.url("modelrow", &self.database)
    }

    fn plan(&self, name: &str) -> Value {
        let control = self.control.local_addr().unwrap().to_string();
        let first = name == "a";
        let mut plan = json!({
            "control": control, "name": name, "twice": self.choice.twice || self.choice.scenario.name == "written-twice",
            "sweeps": self.choice.scenario.name == "swept", "clock_ms": if first { self.choice.clock_ms } else { 0 },
        });
        if let Some(broken) = self.broken {
            plan["broken"] = broken.into();
        }
        let nowhere = json!({"point": "", "side": "", "nth": 0});
        let before = match self.choice.scenario.first {
            Some((_, point, side)) if self.first_at.is_none() => {
                json!({"point": point, "side": side, "nth": 1})
            }
            _ => nowhere.clone(),
        };
        let then = match self.trace || self.struck_at.is_some() {
            true => nowhere,
            false => {
                json!({"point": self.choice.point, "side": self.choice.side, "nth": self.choice.nth})
            }
        };
        plan["stops"] = json!([before, then]);
        if self.trace {
            plan["trace"] = self.folder.join(format!("{name}.trace")).to_str().into();
        }
        plan
    }

    /// One more worker, called by the next letter.
    async fn hire(&mut self) {
        self.give_disk();
        let letter = b'a' + u8::try_from(self.workers.len()).unwrap();
        let name = char::from(letter).to_string();
        let artifacts = self.folder.join("artifacts");
        let place = Place {
            socket: self.lane.socket(),
            database: &self.database,
            artifacts: &artifacts,
            logs: &self.folder,
            has_key: !self.choice.scenario.is_keyless(),
            serves: self.choice.scenario.is_at_once(),
        };
        let worker = Worker::start(&place, &name, &self.plan(&name)).await;
        self.workers.push(worker);
    }

    fn begin_mischief(&self) {
        let Some((kind, operation)) = self.choice.mischief else {
            return;
        };
        let operation = match operation {
            "create" => Operation::Create,
            "retrieve" => Operation::Retrieve,
            "list" => Operation::List,
            "callback" => return,
            _ => Operation::Content,
        };
        // A list is asked for only where the submit's outcome is open.
        if operation == Operation::List {
            let doubt = Action::Cut(simulator::Cut::AfterAccepting);
            self.sim.script(vec![Rule::on(Operation::Create, doubt)]);
        }
        if kind != "duplicates" {
            self.sim
                .script(vec![mischief(kind, operation, self.choice.random)]);
        }
    }

    /// A list that shows the job twice, once there is one.
    fn duplicate(&self) {
        if self
            .choice
            .mischief
            .is_none_or(|(kind, _)| kind != "duplicates")
        {
            return;
        }
        let jobs = self.sim.accepted_jobs();
        if let [job] = jobs.as_slice() {
            let shown = json!({"id": job.id, "prompt": job.prompt, "status": "in_progress"});
            let list = Scripted::json(200, json!({"data": [shown, shown]}));
            self.sim.script(vec![
                Rule::on(Operation::List, Action::Answer(list)).always(),
            ]);
        }
    }

    /// From the call to the end of the run, or to where it stands.
    async fn live(&mut self, caller: &Modelrow) -> Result<Stand, String> {
        let begun = Instant::now();
        if self.choice.scenario.has_twin() {
            self.twin(caller).await?;
        }
        self.late_start(caller).await?;
        self.run = match self.choice.scenario.is_at_once() {
            true => self.called_at_a_worker().await?,
            false => self.called(caller, &self.tag).await?,
        };
        if self.choice.scenario.name == "watched" {
            let mut events = caller.events(DEFAULT_TENANT, self.run);
            self.watchers
                .spawn(async move { while events.next().await.is_some() {} });
        }
        let (mut asked, mut shown, mut aged) = (false, false, false);
        let mut since: Option<Instant> = None;
        let mut last = Stand::default();
        loop {
            tokio::select! {
                stopped = self.control.accept() => {
                    if let Ok((stopped, _)) = stopped { self.stopped(stopped).await; }
                }
                () = tokio::time::sleep(Duration::from_millis(40)) => {}
            }
            if begun.elapsed() > LIMIT {
                return Err(format!(
                    "after {} s it is still {}",
                    LIMIT.as_secs(),
                    last.state
                ));
            }
            self.watch_over().await?;
            let Some(stand) = self.stand().await else {
                continue;
            };
            self.disk();
            self.brake(caller, &stand).await;
            if !shown && !self.sim.accepted_jobs().is_empty() {
                shown = true;
                self.duplicate();
                self.call_back(caller).await;
            }
            let is_time = stand.state == self.choice.scenario.acts_in()
                && (self.choice.scenario.name != "stream-left" || self.accepted() > 0)
                && (stand.overdue || self.choice.scenario.name != "overdue");
            if is_time && !std::mem::replace(&mut asked, true) {
                self.polled(caller).await;
            }
            self.leave_early(&stand).await;
            if stand.state == "polling" && begun.elapsed() > Duration::from_secs(2) {
                self.call_back(caller).await;
            }
            if stand != last {
                since = None;
                last = stand.clone();
            }
            let since = *since.get_or_insert_with(Instant::now);
            let waits_for_fault = match self.struck_at {
                None if self.trace => {
                    let more = self.choice.scenario.leaves || self.first_at.is_some();
                    more && since.elapsed() < AFTERMATH * 3
                }
                None => since.elapsed() < PATIENCE,
                // Whoever was struck may have something left to say.
                Some(at) => at.elapsed() < AFTERMATH,
            };
            // Each attempt whose outcome is unknown ages once: one that is sent again may be lost again.
            aged &= stand.state == "submit_unknown";
            if stand.state == "submit_unknown"
                && self.ages(since)
                && !std::mem::replace(&mut aged, true)
            {
                self.age().await;
            }
            if (stand.ended || self.stands(&stand, since)) && !waits_for_fault {
                return Ok(stand);
            }
        }
    }

    /// Some scenarios end their workers before the submit.
    async fn leave_early(&mut self, stand: &Stand) {
        let early = matches!(
            self.choice.scenario.name,
            "leaving-early" | "canceled-early"
        );
        if early && stand.state == "preparing" {
            self.all_leave().await;
        }
    }

    /// A worker that was not let in when it started is started again, as whoever supervises it would.
    async fn watch_over(&mut self) -> Result<(), String> {
        for at in 0..self.workers.len() {
            let (name, ended) = (self.workers[at].name.clone(), self.workers[at].has_ended());
            if !ended {
                continue;
            }
            let log = std::fs::read_to_string(self.folder.join(format!("{name}.log")))
                .unwrap_or_default();
            // The database, or the artifact store of that scenario, was away just then.
            if !log.contains("error[S120]") && !log.contains("error[S140]") {
                return Err(format!("worker {name} ended by itself"));
            }
            self.workers[at].dismissed = true;
            self.hire().await;
        }
        Ok(())
    }

    /// Another run, whose job the provider then tells this one, too.
    async fn twin(&mut self, caller: &Modelrow) -> Result<(), String> {
        let twin = self.called(caller, &format!("{}twin", self.tag)).await?;
        let state = format!("select state from run_states where run_id = '{twin}'");
        let begun = Instant::now();
        loop {
            let rows = texts(&self.url(), &state).await.unwrap_or_default();
            if rows.first().is_some_and(|state| state == "polling") {
                break;
            }
            if begun.elapsed() > LIMIT {
                return Err(format!("the other run never polls: {rows:?}"));
            }
            tokio::select! {
                stopped = self.control.accept() => {
                    if let Ok((stopped, _)) = stopped { self.stopped(stopped).await; }
                }
                () = tokio::time::sleep(Duration::from_millis(40)) => {}
            }
            self.watch_over().await?;
        }
        let jobs = self.sim.accepted_jobs();
        let job = jobs.first().ok_or("the other run has no job")?;
        self.sim.script(vec![the_same(&job.id, &self.tag)]);
        Ok(())
    }

    /// Nothing is sent before the brake is let go, and that is after the latest moment to begin.
    async fn late_start(&mut self, caller: &Modelrow) -> Result<(), String> {
        if self.choice.scenario.name != "too-late" {
            return Ok(());
        }
        let because = Because {
            reason: "the suite brakes".into(),
            by: "suite".into(),
        };
        let braked = caller.pause(&PauseScope::All, &because).await;
        self.braked_at = Some(Instant::now());
        braked.map(drop).map_err(|error| error.to_string())
    }

    /// Every worker is told to leave, once, and another comes.
    async fn all_leave(&mut self) {
        if self.left {
            return;
        }
        self.left = true;
        for worker in &mut self.workers {
            worker.signal(Signal::SIGTERM);
            worker.dismissed = true;
        }
        self.hire().await;
    }

    /// The provider says twice, or in another order than it happened, what became of its job; and once, else.
    async fn call_back(&self, caller: &Modelrow) {
        if self.choice.scenario.name != "called" {
            return;
        }
        let jobs = self.sim.accepted_jobs();
        let (Some(job), Some(address)) = (
            jobs.first(),
            caller.callback_address(DEFAULT_TENANT, "acme"),
        ) else {
            return;
        };
        let kind = self.choice.mischief.filter(|(_, at)| *at == "callback");
        let words: &[&str] = match kind {
            Some(("duplicates", _)) => &["completed", "completed", "completed"],
            Some(_) => &["completed", "queued"],
            None => &["completed"],
        };
        let at = address.strip_prefix("https://modelrow.test/hooks/");
        let Some((provider, token)) = at.and_then(|at| at.split_once('/')) else {
            return;
        };
        for word in words {
            let body = json!({"type": word, "data": {"id": job.id}}).to_string();
            let callback = Callback {
                headers: Vec::new(),
                body: body.into(),
            };
            // Away with the database, it is lost: polls come all the same.
            let _heard = caller.callback(provider, token, callback).await;
        }
    }

    /// The artifact store is taken away while an answer is on its way, and comes back.
    fn disk(&mut self) {
        if self.choice.scenario.name != "full-disk" {
            return;
        }
        match self.diskless_at {
            None if self.had_disk && self.accepted() > 0 => {
                self.had_disk = false;
                let at = self.folder.join("artifacts");
                std::fs::rename(&at, self.folder.join("away")).unwrap();
                std::fs::write(&at, "").unwrap();
                self.diskless_at = Some(Instant::now());
            }
            Some(at) if at.elapsed() > Duration::from_secs(2) => self.give_disk(),
            _ => {}
        }
    }

    fn give_disk(&mut self) {
        if self.diskless_at.take().is_some() {
            let at = self.folder.join("artifacts");
            std::fs::remove_file(&at).unwrap();
            std::fs::rename(self.folder.join("away"), at).unwrap();
        }
    }

    /// An operator stops all submits before the outcome of one is known, and lets them go on.
    async fn brake(&mut self, caller: &Modelrow, stand: &Stand) {
        if !matches!(self.choice.scenario.name, "braked" | "too-late") {
            return;
        }
        let because = Because {
            reason: "the suite brakes".into(),
            by: "suite".into(),
        };
        let Some(at) = self.braked_at else {
            let may = stand.state == "submitting";
            if may && caller.pause(&PauseScope::All, &because).await.is_ok() {
                self.braked_at = Some(Instant::now());
            }
            return;
        };
        if at.elapsed() > Duration::from_secs(4) {
            // Asked until the database has answered; a second time changes nothing.
            let _again = caller.resume(&PauseScope::All, "suite").await;
        }
    }

    /// What the caller and the operator do once the job is polled.
    async fn polled(&mut self, caller: &Modelrow) {
        if self.choice.scenario.cancels {
            // The database may be away: the caller asks again.
            for _ in 0..100 {
                if caller.cancel(DEFAULT_TENANT, self.run).await.is_ok() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        if self.choice.scenario.leaves {
            self.workers[0].signal(Signal::SIGTERM);
            self.workers[0].dismissed = true;
        }
    }

    /// What only time settles: here it passes at once.
    fn ages(&self, since: Instant) -> bool {
        let quiet =
            since.elapsed() > STANDS && self.struck_at.is_none_or(|at| at.elapsed() > STANDS);
        quiet && self.choice.scenario.only_time_settles()
    }

    /// The attempt was sent ten minutes ago: nobody waits longer for what is not settled.
    async fn age(&self) {
        let superuser = self.lane.url("postgres", &self.database);
        let age = "set session_replication_role = replica;
                   update submit_attempts set sent_at = sent_at - interval '10 minutes', ended_at = ended_at - interval '10 minutes';
                   update run_states set ver = ver + 1";
        lane::sql(&superuser, age).await;
    }

    async fn stand(&self) -> Option<Stand> {
        let query = format!(
            "select state || ' ' || (ended_at is not null)::text || ' ' || (overdue_at is not null)::text from run_states where run_id = '{}'",
            self.run
        );
        let rows = texts(&self.url(), &query).await?;
        let words: Vec<&str> = rows.first()?.split(' ').collect();
        Some(Stand {
            state: words[0].to_owned(),
            ended: words[1] == "true",
            overdue: words[2] == "true",
        })
    }

    /// Nothing that is under way can settle it.
    fn stands(&self, stand: &Stand, since: Instant) -> bool {
        let quiet =
            self.struck_at.is_none_or(|at| at.elapsed() > STANDS) && since.elapsed() > STANDS;
        let open = self
            .sim
            .ledger()
            .iter()
            .any(|entry| entry.outcome == Outcome::Open);
        let time_settles = self.choice.scenario.only_time_settles();
        let braked = self
            .braked_at
            .is_some_and(|at| at.elapsed() < Duration::from_secs(8));
        let waits = time_settles || braked;
        stand.state == "submit_unknown" && quiet && !open && !waits && check::may_stand(self)
    }

    /// How the run ended, as the table has it.
    async fn end(&self) -> String {
        let query = format!(
            "select case when state = 'submit_unknown' or failure ->> 'code' = 'unknown_outcome' then 'unknown' else state end from run_states where run_id = '{}'",
            self.run
        );
        let rows = texts(&self.url(), &query).await.unwrap_or_default();
        rows.into_iter().next().unwrap_or_default()
    }

    /// A worker stands at its point: the first is struck, any other goes on. What strikes `first` leads to the seed's point, so
    /// it leaves nothing to chance.
    async fn stopped(&mut self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        let mut name = String::new();
        if stream.read_line(&mut name).await.is_err() {
            return;
        }
        let mut stopped = stream.into_inner();
        let (name, at) = name.trim().split_once(' ').unwrap_or_default();
        let Some(who) = self.workers.iter().position(|one| one.name == name) else {
            return go(&mut stopped).await;
        };
        if at == "0" {
            if let (Some((fault, _, _)), None) = (self.choice.scenario.first, self.first_at) {
                // Who comes after a worker that is killed is not killed in its turn.
                self.first_at = Some(Instant::now());
                self.strike((fault, true), who, &mut stopped).await;
                self.first_at = Some(Instant::now());
            }
        } else if self.struck_at.is_none() {
            self.struck_at = Some(Instant::now());
            self.strike((self.choice.fault, false), who, &mut stopped)
                .await;
            self.struck_at = Some(Instant::now());
        }
        go(&mut stopped).await;
    }

    async fn strike(&mut self, (fault, first): (Fault, bool), who: usize, stopped: &mut TcpStream) {
        let random = self.choice.random;
        let beyond = LEASE + Duration::from_millis(300 + random % 400);
        match fault {
            Fault::Kill => {
                if random.is_multiple_of(2) && !first {
                    go(stopped).await;
                    tokio::time::sleep(Duration::from_millis(random % 250)).await;
                }
                self.workers[who].kill().await;
                self.hire().await;
            }
            Fault::Freeze => {
                // Long enough, now and then, for others to look for its job.
                let longer = if first || random.is_multiple_of(4) {
                    2_500
                } else {
                    0
                };
                self.workers[who].signal(Signal::SIGSTOP);
                tokio::time::sleep(beyond + Duration::from_millis(longer)).await;
                self.workers[who].signal(Signal::SIGCONT);
            }
            Fault::Restart => self.lane.restart().await,
            Fault::Outage => {
                self.workers[who].wire.set(Mode::Cut);
                tokio::time::sleep(beyond).await;
                self.workers[who].wire.set(Mode::Passes);
            }
            Fault::Backends => {
                let end = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";
                lane::sql(&self.url(), end).await;
            }
            Fault::LostAnswers => {
                self.workers[who].wire.set(Mode::LosesAnswers);
                go(stopped).await;
                tokio::time::sleep(Duration::from_millis(60 + random % 200)).await;
                self.workers[who].wire.set(Mode::Passes);
            }
            Fault::Exhausted => self.exhaust(stopped).await,
        }
    }

    /// Locks the tables that every statement needs for longer than one waits for a connection.
    async fn exhaust(&self, stopped: &mut TcpStream) {
        let owner = self.lane.url("modelrow_owner", &self.database);
        let Ok(mut connection) = PgConnection::connect(&owner).await else {
            return go(stopped).await;
        };
        let lock = "set statement_timeout = '5s'; begin; lock table run_states, submit_attempts in access exclusive mode";
        let locked = sqlx::raw_sql(lock).execute(&mut connection).await;
        go(stopped).await;
        if locked.is_ok() {
            tokio::time::sleep(Duration::from_millis(1_300)).await;
        }
        let _ends = connection.close().await;
    }

    /// Points that the workers reached, and how often, each side of one alike.
    pub(crate) fn traced(folder: &Path) -> Vec<String> {
        let read = |letter: char| {
            std::fs::read_to_string(folder.join(format!("{letter}.trace"))).unwrap_or_default()
        };
        let all: String = ('a'..='e').map(read).collect();
        let before = all.lines().filter_map(|line| line.strip_suffix(" before"));
        before.map(str::to_owned).collect()
    }

    /// Whether a worker was struck so.
    pub(crate) fn met(&self, fault: Fault) -> bool {
        let first = self
            .choice
            .scenario
            .first
            .is_some_and(|first| first.0 == fault);
        first && self.first_at.is_some() || self.choice.fault == fault && self.struck_at.is_some()
    }

    /// Jobs that the provider has for the run; for the model that answers at once, requests that it read.
    pub(crate) fn accepted(&self) -> usize {
        let path = match self.choice.scenario.model {
            Model::Streamed => "/chat",
            _ => "/pictures",
        };
        if !self.choice.scenario.model.is_sync() {
            let jobs = self.sim.accepted_jobs();
            return jobs
                .iter()
                .filter(|job| job.tag.as_deref() == Some(&self.tag))
                .count();
        }
        let ledger = self.sim.ledger();
        let asked = ledger.iter().filter(|entry| entry.path.ends_with(path));
        asked
            .filter(|entry| !matches!(entry.body, simulator::Recorded::None))
            .count()
    }
}

/// Lets a worker go on; one that is dead has gone.
async fn go(stopped: &mut TcpStream) {
    let _gone = stopped.write_all(&[1]).await;
}
