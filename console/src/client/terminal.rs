//! Terminals: calls that list and end them, and the stream of one.

use tocsin_proto::console::v1::open_terminal_request::Message as Said;
use tocsin_proto::console::v1::terminal_news::Message as News;
use tocsin_proto::console::v1::{
    KillTerminalRequest, ListTerminalsRequest, OpenTerminalRequest, PlayTerminalRequest,
    PlayTerminalResponse, Terminal, TerminalHeader, TerminalNews, WatchTerminalRequest,
};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use super::{Client, ClientError, Messages};

/// Messages that wait to be sent. Their bytes are bounded by the input window.
const SAID_MAX: usize = 8;

/// An open terminal's call. Dropped, the terminal is closed.
pub(crate) struct TerminalCall {
    out: mpsc::Sender<OpenTerminalRequest>,
    news: Messages<TerminalNews>,
}

impl TerminalCall {
    /// What the server says next; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<News>, ClientError> {
        loop {
            match self.news.next().await? {
                Some(TerminalNews {
                    message: Some(news),
                }) => return Ok(Some(news)),
                // Of a later version.
                Some(TerminalNews { message: None }) => {}
                None => return Ok(None),
            }
        }
    }

    /// What is to be sent goes here.
    pub(crate) fn sender(&self) -> mpsc::Sender<OpenTerminalRequest> {
        self.out.clone()
    }

    /// Says something; where the call has ended, [`Self::next`] tells why.
    pub(crate) async fn say(&self, said: Said) {
        let message = Some(said);
        let _ended = self.out.send(OpenTerminalRequest { message }).await;
    }
}

impl Client {
    /// Opens a terminal. The first news is that it is open, or the error why it is not.
    pub(crate) async fn open_terminal(
        &self,
        header: TerminalHeader,
    ) -> Result<TerminalCall, ClientError> {
        let (out, said) = mpsc::channel(SAID_MAX);
        let first = tokio_stream::once(OpenTerminalRequest {
            message: Some(Said::Open(header)),
        });
        let all = first.chain(ReceiverStream::new(said));
        let news = self
            .stream("open a terminal", all, async |mut s, r| {
                s.open_terminal(r.into_inner()).await
            })
            .await?;
        Ok(TerminalCall { out, news })
    }

    /// The open terminals, newest first.
    pub(crate) async fn terminals(&self) -> Result<Vec<Terminal>, ClientError> {
        let request = ListTerminalsRequest {};
        self.once("list terminals", request, async |mut s, r| {
            s.list_terminals(r).await
        })
        .await
        .map(|response| response.terminals)
    }

    /// What a terminal printed last, and what it prints.
    pub(crate) async fn watch_terminal(
        &self,
        id: &str,
    ) -> Result<Messages<TerminalNews>, ClientError> {
        let request = WatchTerminalRequest { id: id.to_owned() };
        self.stream("watch a terminal", request, async |mut s, r| {
            s.watch_terminal(r).await
        })
        .await
    }

    /// What a terminal printed, as it was recorded.
    pub(crate) async fn play_terminal(
        &self,
        id: &str,
    ) -> Result<Messages<PlayTerminalResponse>, ClientError> {
        let request = PlayTerminalRequest { id: id.to_owned() };
        self.stream("play a terminal", request, async |mut s, r| {
            s.play_terminal(r).await
        })
        .await
    }

    /// Ends a terminal; returns when the endpoint has reported.
    pub(crate) async fn kill_terminal(&self, id: &str) -> Result<Terminal, ClientError> {
        let request = KillTerminalRequest { id: id.to_owned() };
        self.once(
            &format!("end terminal '{id}'"),
            request,
            async |mut s, r| s.kill_terminal(r).await,
        )
        .await
    }
}
