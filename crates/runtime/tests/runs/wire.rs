//! A wire to the database that can lose the answer of a commit, or the commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use url::Url;

/// What is lost, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lost {
    /// What was committed stands.
    Answer,
    /// It comes to nothing.
    Commit,
}

/// Stands between the library and the server.
pub(crate) struct Wire {
    /// Of the database behind it.
    pub(crate) url: String,
    lost: Arc<AtomicUsize>,
}

impl Wire {
    /// Loses the answer of the first commit after a statement with this text; what was committed stands.
    pub(crate) async fn losing(url: &str, after: &'static str) -> Self {
        Self::between(url, (after, Lost::Answer)).await
    }

    /// Loses that commit itself: it comes to nothing.
    pub(crate) async fn breaking(url: &str, after: &'static str) -> Self {
        Self::between(url, (after, Lost::Commit)).await
    }

    #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
    async fn between(url: &str, what: (&'static str, Lost)) -> Self {
        let url = Url::parse(url).unwrap();
        let folder = percent(url.host_str().unwrap());
        let socket = format!("{folder}/.s.PGSQL.{}", url.port().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wire = Self {
            url: format!(
                "postgres://{}@{}{}?sslmode=disable",
                url.username(),
                listener.local_addr().unwrap(),
                url.path()
            ),
            lost: Arc::default(),
        };
        let lost = Arc::clone(&wire.lost);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&socket).await.unwrap();
                tokio::spawn(pass(client, server, what, Arc::clone(&lost)));
            }
        });
        wire
    }

    /// How many of them were lost.
    pub(crate) fn lost(&self) -> usize {
        self.lost.load(Ordering::SeqCst)
    }
}

fn percent(host: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = host.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits: Vec<u8> = bytes.by_ref().take(2).collect();
            let digits = String::from_utf8(digits).unwrap();
            out.push(u8::from_str_radix(&digits, 16).unwrap());
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).unwrap()
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

/// Where the server stands, if it says that it is ready: `I` is outside of a transaction.
fn ready(bytes: &[u8]) -> Option<u8> {
    let said = bytes
        .windows(6)
        .rfind(|window| window.starts_with(b"Z\0\0\0\x05"))?;
    said.last().copied()
}

async fn pass(
    mut client: TcpStream,
    mut server: UnixStream,
    (after, what): (&'static str, Lost),
    lost: Arc<AtomicUsize>,
) {
    let (mut asked, mut said) = (vec![0; 65_536], vec![0; 65_536]);
    let (mut armed, mut cut, mut in_transaction) = (false, false, false);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(n @ 1..) = read else { return };
                armed |= has(&asked[..n], after);
                // A statement on its own is committed as it is executed: the message that binds it comes first.
                let commits = has(&asked[..n], "COMMIT") || (!in_transaction && asked[0] == b'B');
                cut |= armed && commits && lost.load(Ordering::SeqCst) == 0;
                if cut && what == Lost::Commit {
                    lost.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                if server.write_all(&asked[..n]).await.is_err() { return }
            }
            read = server.read(&mut said) => {
                let Ok(n @ 1..) = read else { return };
                in_transaction = ready(&said[..n]).map_or(in_transaction, |status| status != b'I');
                if cut && ready(&said[..n]) == Some(b'I') {
                    // It is done; nobody hears of it.
                    lost.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                if client.write_all(&said[..n]).await.is_err() { return }
            }
        }
    }
}
