//! Connections that can be cut from above: below HTTP, so that a caller sees a broken line and not an answer.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Listens for connections, each with its own switch; cancelling `stop` cuts all of them.
#[derive(Debug)]
pub(crate) struct CuttableListener {
    pub(crate) tcp: TcpListener,
    pub(crate) stop: CancellationToken,
}

impl Listener for CuttableListener {
    type Io = CuttableStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            if let Ok((tcp, peer)) = self.tcp.accept().await {
                // Without it small answers wait for the acknowledgement of the one before.
                let _ = tcp.set_nodelay(true);
                return (CuttableStream::new(tcp, self.stop.child_token()), peer);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}

/// One connection: every read and write fails once its switch is thrown, and the server then drops it.
///
/// A thrown switch wakes nobody: a cut is followed by an answer, whose write fails, and a stop by the server's own
/// shutdown of its connections.
#[derive(Debug)]
pub(crate) struct CuttableStream {
    tcp: TcpStream,
    switch: CancellationToken,
}

impl CuttableStream {
    fn new(tcp: TcpStream, switch: CancellationToken) -> Self {
        Self { tcp, switch }
    }

    fn broken(&self) -> Option<io::Error> {
        self.switch
            .is_cancelled()
            .then(|| io::ErrorKind::ConnectionReset.into())
    }
}

impl AsyncRead for CuttableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.broken() {
            Some(error) => Poll::Ready(Err(error)),
            None => Pin::new(&mut self.tcp).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for CuttableStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.broken() {
            Some(error) => Poll::Ready(Err(error)),
            None => Pin::new(&mut self.tcp).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.broken() {
            Some(error) => Poll::Ready(Err(error)),
            None => Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.broken() {
            Some(error) => Poll::Ready(Err(error)),
            None => Pin::new(&mut self.tcp).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

/// The switch of the connection a request came over.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    switch: CancellationToken,
    /// At the caller's end.
    pub(crate) port: u16,
}

impl Line {
    /// Nothing more goes over this connection, not even what the server has ready to send.
    pub(crate) fn cut(&self) {
        self.switch.cancel();
    }
}

impl Connected<IncomingStream<'_, CuttableListener>> for Line {
    fn connect_info(stream: IncomingStream<'_, CuttableListener>) -> Self {
        Self {
            switch: stream.io().switch.clone(),
            port: stream.remote_addr().port(),
        }
    }
}
