//! A real S3 protocol server over a folder, on a real socket; it checks every signature.

use diag::Secret;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use std::fs;
use std::path::{Path, PathBuf};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Objects of tests stand below this prefix of the bucket.
pub(crate) const URL: &str = "s3://films/below/here";
const KEY: &str = "AKTESTKEY";
const SECRET: &str = "a-test-secret";

/// The server; it ends with this value.
#[derive(Debug)]
pub(crate) struct BucketServer {
    root: tempfile::TempDir,
    address: String,
    /// Ends with the server.
    _served: JoinSet<()>,
}

impl BucketServer {
    pub(crate) async fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("films")).unwrap();
        let mut service = S3ServiceBuilder::new(FileSystem::new(root.path()).unwrap());
        service.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let service = service.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let mut served = JoinSet::new();
        served.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let service = service.clone();
                connections.spawn(async move {
                    let connection = Builder::new(TokioExecutor::new());
                    drop(
                        connection
                            .serve_connection(TokioIo::new(socket), service)
                            .await,
                    );
                });
            }
        });
        Self {
            root,
            address,
            _served: served,
        }
    }

    /// What a process needs in its environment.
    pub(crate) fn settings(&self) -> Vec<(String, Secret)> {
        self.settings_with(SECRET)
    }

    /// The same, with another secret key.
    pub(crate) fn settings_with(&self, secret: &str) -> Vec<(String, Secret)> {
        [
            ("AWS_ENDPOINT_URL", self.address.as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", KEY),
            ("AWS_SECRET_ACCESS_KEY", secret),
            ("AWS_PROFILE", "nobody reads this"),
        ]
        .map(|(name, value)| (name.to_owned(), Secret::from(value.to_owned())))
        .to_vec()
    }

    /// What the bucket holds, and what unfinished uploads left beside it.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        walk(self.root.path(), &mut found);
        let name = |path: &PathBuf| {
            path.strip_prefix(self.root.path())
                .unwrap()
                .display()
                .to_string()
        };
        let mut names: Vec<String> = found.iter().map(name).collect();
        names.retain(|name| name.starts_with("films/") || name.starts_with(".upload"));
        names.sort();
        names
    }
}

/// Every file below a folder.
pub(crate) fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path);
        }
    }
}
