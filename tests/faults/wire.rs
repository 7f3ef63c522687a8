//! The wire between one worker and its database: it can be cut, and it can lose answers.

use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the wire does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Passes,
    /// Nothing passes, and nobody connects.
    Cut,
    /// What was asked reaches the server and is done; the answer is lost, and the connection with it.
    LosesAnswers,
}

pub(crate) struct Wire {
    mode: watch::Sender<Mode>,
    port: u16,
    task: JoinHandle<()>,
}

impl Wire {
    #[expect(clippy::disallowed_methods, reason = "ends with the wire")]
    pub(crate) async fn to(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mode = watch::Sender::new(Mode::Passes);
        let modes = mode.subscribe();
        let socket = Arc::new(socket);
        let task = tokio::spawn(async move {
            let mut passing = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                if *modes.borrow() != Mode::Cut {
                    passing.spawn(pass(client, Arc::clone(&socket), modes.clone()));
                }
            }
        });
        Self { mode, port, task }
    }

    /// The same database, as the program is to reach it.
    pub(crate) fn url(&self, database: &str) -> String {
        format!(
            "postgres://modelrow@127.0.0.1:{}/{database}?sslmode=disable",
            self.port
        )
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Until either side ends, or the wire is cut.
async fn pass(mut client: TcpStream, socket: Arc<PathBuf>, mut modes: watch::Receiver<Mode>) {
    let Ok(mut server) = UnixStream::connect(socket.as_path()).await else {
        return;
    };
    let (mut asked, mut said) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            changed = modes.changed() => {
                if changed.is_err() || *modes.borrow() == Mode::Cut { return }
            }
            read = client.read(&mut asked) => {
                let Ok(n @ 1..) = read else { return };
                if server.write_all(&asked[..n]).await.is_err() { return }
            }
            read = server.read(&mut said) => {
                let Ok(n @ 1..) = read else { return };
                if *modes.borrow() == Mode::LosesAnswers { return }
                if client.write_all(&said[..n]).await.is_err() { return }
            }
        }
    }
}
