//! Writes one recording, in a task of its own.
//!
//! What happens waits in a bounded queue, and whoever brings it waits for room: a disk that is slow slows the terminal, and
//! nothing is left out. Lines are on their way to the disk a second after they happened, and on it when the terminal has
//! ended. A recording that cannot be written ends its terminal.

use std::fs::File;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use tocsin_proto::console::v1::Terminal;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::cast::{Cast, Happening};
use super::format::{FRAME_LINES_BYTES, Link, Writer};

/// Happenings that wait for the disk; each is at most one piece.
const QUEUE_MAX: usize = 32;

/// Lines wait so long for others, to be packed together.
const FLUSH: Duration = Duration::from_secs(1);

/// Bytes of one recording on the disk; a terminal that has printed so much is ended.
const RECORDING_BYTES_MAX: u64 = 1 << 30;

/// How long the end of a recording is waited for.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// Takes what happens in one terminal.
#[derive(Debug, Clone)]
pub(crate) struct Recorder {
    queue: mpsc::Sender<Entry>,
    /// Nothing more can be written.
    failed: CancellationToken,
}

#[derive(Debug)]
enum Entry {
    Happened(Instant, Happening),
    End(Box<Terminal>, String, oneshot::Sender<Link>),
}

/// A file that was begun.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) file: File,
    pub(super) writer: Writer,
    pub(super) bytes: u64,
    /// Not packed yet.
    pub(super) lines: Vec<u8>,
}

impl Recorder {
    /// Starts the task.
    pub(super) fn start(begun: Begun) -> Self {
        let (queue, entries) = mpsc::channel(QUEUE_MAX);
        let failed = CancellationToken::new();
        let recorder = Self {
            queue,
            failed: failed.clone(),
        };
        let work = Work {
            begun,
            cast: Cast::default(),
            started: Instant::now(),
            unflushed: None,
        };
        tokio::spawn(async move {
            // Whoever asks for the end then gets none.
            if let Err(error) = work.run(entries).await {
                tracing::error!(%error, "a terminal's recording cannot be written");
                failed.cancel();
            }
        });
        recorder
    }

    /// Takes what happened, once there is room. After a failure nothing is taken.
    pub(crate) async fn note(&self, happening: Happening) {
        // The failure is told by `failed`.
        let _failed = self
            .queue
            .send(Entry::Happened(Instant::now(), happening))
            .await;
    }

    /// Cancelled when nothing more can be written.
    pub(crate) fn failed(&self) -> &CancellationToken {
        &self.failed
    }

    /// Ends it; the last hash of its chain, once all is on the disk. `None`: that has failed, or takes too long.
    pub(crate) async fn end(&self, terminal: Terminal, said: String) -> Option<Link> {
        let (done, written) = oneshot::channel();
        let ended = async {
            let entry = Entry::End(Box::new(terminal), said, done);
            self.queue.send(entry).await.ok()?;
            written.await.ok()
        };
        tokio::time::timeout(END_TIMEOUT, ended).await.ok()?
    }
}

/// What is written next, and since when it waits.
struct Work {
    begun: Begun,
    cast: Cast,
    started: Instant,
    unflushed: Option<Instant>,
}

impl Work {
    async fn run(mut self, mut entries: mpsc::Receiver<Entry>) -> io::Result<()> {
        loop {
            let flush = self.unflushed.map(|since| since + FLUSH);
            let entry = tokio::select! {
                entry = entries.recv() => entry,
                () = at(flush) => {
                    self = self.flush().await?;
                    continue;
                }
            };
            match entry {
                Some(Entry::Happened(when, happening)) => {
                    let after = when.saturating_duration_since(self.started);
                    let lines = self.cast.lines(after, &happening);
                    self.add(&lines);
                    if self.begun.lines.len() >= FRAME_LINES_BYTES {
                        self = self.flush().await?;
                    }
                }
                Some(Entry::End(terminal, said, done)) => {
                    let lines = self.cast.end(self.started.elapsed(), &said);
                    self.add(&lines);
                    let link = self.end(&terminal).await?;
                    // Whoever asked has stopped waiting.
                    let _late = done.send(link);
                    return Ok(());
                }
                // Its terminal went without an end: as if the server had been ended here.
                None => return self.flush().await.map(drop),
            }
        }
    }

    fn add(&mut self, lines: &[u8]) {
        if !lines.is_empty() {
            self.unflushed.get_or_insert_with(Instant::now);
            self.begun.lines.extend(lines);
        }
    }

    async fn flush(mut self) -> io::Result<Self> {
        self.unflushed = None;
        let mut begun = self.begun;
        self.begun = blocking(move || begun.flush().map(|()| begun)).await?;
        Ok(self)
    }

    async fn end(self, terminal: &Terminal) -> io::Result<Link> {
        let (mut begun, terminal) = (self.begun, terminal.clone());
        blocking(move || {
            begun.flush()?;
            let (end, link) = begun.writer.end(&terminal);
            begun.file.write_all(&end)?;
            begun.file.sync_all()?;
            Ok(link)
        })
        .await
    }
}

impl Begun {
    /// Writes the lines that wait.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let lines = std::mem::take(&mut self.lines);
        if lines.is_empty() {
            return Ok(());
        }
        let part = self.writer.frame(&lines)?;
        self.bytes += part.len() as u64;
        if self.bytes > RECORDING_BYTES_MAX {
            let said = format!("it would have more than {RECORDING_BYTES_MAX} bytes");
            return Err(io::Error::other(said));
        }
        self.file.write_all(&part)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(io::Error::other)?
}

/// At a moment; never, where there is none.
async fn at(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when.into()).await,
        None => std::future::pending().await,
    }
}
