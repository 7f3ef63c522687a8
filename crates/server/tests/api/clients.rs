//! The official clients, which change their base URL and nothing else. The scripts are in `tests/openai`; what they need is installed
//! below `target/`, once, from lock files.

use crate::fixture::{BUNDLE, House, LIMIT, apply};
use crate::openai::{FILM, png};
use crate::street::{CUT, Street};
use crate::tools::{self, done, installed};
use serde_json::json;
use simulator::JobPlan;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use uuid::Uuid;

/// Sentences of each script.
const SENTENCES: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn official_clients_make_videos_and_read_our_errors_as_theirs_and_their_retries_make_no_second_run()
 {
    let clients = tokio::task::spawn_blocking(|| (python(), node()));
    let street = street().await;
    let picture = tempfile::Builder::new().suffix(".png").tempfile().unwrap();
    fs::write(&picture, png(720, 1280)).unwrap();
    let more = [("MODELROW_PICTURE", picture.path().as_os_str())];
    let (python, node) = clients.await.unwrap();
    for (language, client, script) in [
        ("python", python, "videos.py"),
        ("node", node, "videos.cjs"),
    ] {
        let client = (client, script);
        let tenant = street.script(language, client, &more, SENTENCES).await;
        made_once(&street, language, tenant).await;
    }
}

async fn street() -> Street {
    let jobs = JobPlan {
        queue_ms: 0,
        run_ms: 100,
        ..JobPlan::default()
    };
    let house = House::open_for(jobs, BUNDLE, |_| {}).await;
    apply(&house.modelrow, &house.provider, FILM).await;
    let slowly = json!({"on": {"operation": "create", "prompt_contains": "slowly"}, "times": 0, "do": {"job": {"never_ends": true}}});
    house
        .provider
        .script(vec![serde_json::from_value(slowly).unwrap()]);
    Street::in_front_of(house).await
}

/// Each prompt whose answer was cut made one run and one job, and each call that was sent twice on purpose two.
async fn made_once(street: &Street, language: &str, tenant: Uuid) {
    let modelrow = &street.house.modelrow;
    let runs = street.runs(tenant).await;
    let mut prompts = Vec::new();
    for run in &runs {
        prompts.push(
            modelrow
                .asked(tenant, "video", run.id)
                .await
                .unwrap()
                .call
                .prompt
                .unwrap(),
        );
    }
    let cut = format!("{CUT}{language}");
    let with_file = format!("{cut}, with a file");
    let twice = format!("twice, {language}");
    for (prompt, want) in [(&cut, 1), (&with_file, 1), (&twice, 2)] {
        let found = prompts.iter().filter(|have| *have == prompt).count();
        assert_eq!(found, want, "runs of `{prompt}`");
        let jobs = street.house.provider.wait_until(LIMIT, |provider| {
            provider
                .accepted_jobs()
                .iter()
                .filter(|job| job.prompt == *prompt)
                .count()
                == want
        });
        assert!(jobs.await, "jobs of `{prompt}`");
    }
}

/// An official client that is installed.
pub(crate) struct Client {
    program: PathBuf,
    env: Vec<(&'static str, PathBuf)>,
}

impl Client {
    /// Runs a script of `tests/openai`.
    pub(crate) fn command(self, script: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(scripts().join(script)).envs(self.env);
        command
    }
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/openai")
}

pub(crate) fn python() -> Client {
    let folder = tools::python(
        "openai-requirements.txt",
        &scripts().join("requirements.txt"),
    );
    Client {
        program: folder.join("bin/python"),
        env: Vec::new(),
    }
}

pub(crate) fn node() -> Client {
    let install = |folder: &Path| {
        for file in ["package.json", "package-lock.json"] {
            fs::copy(scripts().join(file), folder.join(file)).unwrap();
        }
        let mut npm = Command::new("npm");
        let installed = npm
            .args(["ci", "--no-audit", "--no-fund"])
            .current_dir(folder)
            .output();
        done(
            "npm ci",
            installed,
            "install Node.js 20 or newer with `npm`; its registry must be reachable",
        );
    };
    let lock_file = scripts().join("package-lock.json");
    let folder = installed("openai-package-lock.json", &lock_file, install);
    Client {
        program: "node".into(),
        env: vec![("NODE_PATH", folder.join("node_modules"))],
    }
}
