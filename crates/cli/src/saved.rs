//! The files of an ended run, saved where the user stands.

use crate::exit::Stop;
use crate::house::run_stop;
use diag::Code;
use futures_util::StreamExt as _;
use runtime::{ArtifactView, Modelrow, RunView};
use serde_json::{Value, json};
use std::io;
use std::path::{Path, PathBuf};
use store::DEFAULT_TENANT;
use tokio::fs::{self, OpenOptions};
use tokio::io::AsyncWriteExt as _;

/// A file that was written.
pub(crate) struct File {
    pub(crate) path: PathBuf,
    pub(crate) content_type: String,
    pub(crate) bytes: u64,
}

/// Writes every artifact of the run into `folder`, over nothing that is there.
pub(crate) async fn save(
    modelrow: &Modelrow,
    view: &RunView,
    folder: &Path,
) -> Result<Vec<File>, Stop> {
    let mut files = Vec::new();
    for artifact in &view.artifacts {
        files.push(one(modelrow, view, artifact, folder).await?);
    }
    Ok(files)
}

async fn one(
    modelrow: &Modelrow,
    view: &RunView,
    artifact: &ArtifactView,
    folder: &Path,
) -> Result<File, Stop> {
    let stored = modelrow
        .artifact(DEFAULT_TENANT, view.id, &artifact.name, artifact.idx)
        .await
        .map_err(|error| run_stop(&error))?;
    let gone = || {
        Stop::house(
            Code::X110,
            format!("the file `{}` is no longer stored", artifact.name),
            "its retention is over; run the job again",
        )
    };
    let mut stream = stored.ok_or_else(gone)?.bytes;
    let unwritable = |error: io::Error| {
        Stop::house(
            Code::X103,
            format!("`{}` cannot be written: {error}", folder.display()),
            format!(
                "give `--out` another folder and save the files of run {} again: the job is not repeated",
                view.id
            ),
        )
    };
    fs::create_dir_all(folder).await.map_err(unwritable)?;
    let (path, mut file) = create_new(folder, artifact).await.map_err(unwritable)?;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| run_stop(&error.into()))?;
        file.write_all(&chunk).await.map_err(unwritable)?;
    }
    file.sync_all().await.map_err(unwritable)?;
    Ok(File {
        path,
        content_type: artifact.content_type.clone(),
        bytes: artifact.bytes,
    })
}

/// `video.mp4`, or `video-2.mp4` when that is taken: nothing is overwritten.
async fn create_new(folder: &Path, artifact: &ArtifactView) -> io::Result<(PathBuf, fs::File)> {
    let stem = match artifact.idx {
        0 => artifact.name.clone(),
        idx => format!("{}.{idx}", artifact.name),
    };
    let ending = ending(&artifact.content_type);
    let mut n = 1;
    loop {
        let name = if n == 1 {
            format!("{stem}.{ending}")
        } else {
            format!("{stem}-{n}.{ending}")
        };
        let path = folder.join(name);
        match OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .await
        {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && n < 10_000 => n += 1,
            other => return Ok((path, other?)),
        }
    }
}

/// The usual ending of a file of that media type.
fn ending(content_type: &str) -> &str {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    match essence {
        "image/jpeg" => "jpg",
        "audio/mpeg" => "mp3",
        "video/quicktime" => "mov",
        "model/gltf-binary" => "glb",
        "text/plain" => "txt",
        "application/octet-stream" => "bin",
        other => other
            .split('/')
            .nth(1)
            .map_or("bin", |name| name.trim_start_matches("x-")),
    }
}

/// The run as JSON, each artifact with the place where it was saved.
pub(crate) fn with_files(view: &RunView, files: &[File]) -> Value {
    let mut value = json!(view);
    let saved: Vec<_> = files.iter().map(|file| json!(file.path)).collect();
    if let Some(object) = value.as_object_mut() {
        object.insert("saved".to_owned(), Value::from(saved));
    }
    value
}
