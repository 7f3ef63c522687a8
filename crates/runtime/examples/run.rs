//! Runs one video and saves its file: `DATABASE_URL=… cargo run -p runtime --example run -- "a cat"`.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use futures_util::StreamExt as _;
use runtime::{Modelrow, Options, RunEvent, RunRequest};
use std::{env, error::Error, fs, time::Duration};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a program reads its own environment"
    )]
    let database = env::var("DATABASE_URL")?;
    let prompt = env::args()
        .nth(1)
        .unwrap_or_else(|| "a cat that plays the piano".into());
    let modelrow = Modelrow::start(Options::new(database, "artifacts")).await?;

    let run = modelrow
        .run_profile(RunRequest::new("video").prompt(prompt).param("seconds", 8))
        .await?;
    let mut events = run.events();
    while let Some(event) = events.next().await {
        if let RunEvent::State(now) | RunEvent::Progress(now) = event {
            println!("{} {}%", now.state, now.percent.unwrap_or(0));
        }
    }
    let view = run.wait().await?;
    for file in &view.artifacts {
        if let Some(mut artifact) = modelrow
            .artifact(store::DEFAULT_TENANT, view.id, &file.name, file.idx)
            .await?
        {
            let mut bytes = Vec::new();
            while let Some(chunk) = artifact.bytes.next().await {
                bytes.extend_from_slice(&chunk?);
            }
            fs::write(format!("{}-{}.mp4", file.name, file.idx), bytes)?;
        }
    }
    modelrow.shutdown(Duration::from_secs(30)).await;
    Ok(())
}
