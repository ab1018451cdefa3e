//! The terminal that `tocsin` itself runs on: what it is, its raw mode, its size, what is typed into it.

use std::io::{self, IsTerminal as _, Read as _};

use crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use tocsin_proto::console::v1::TerminalSize;
use tocsin_proto::limits::{TERMINAL_COLUMNS_MAX, TERMINAL_KIND_BYTES_MAX, TERMINAL_ROWS_MAX};
use tokio::sync::mpsc;

/// The size of a terminal that is none.
const SIZE_DEFAULT: (u16, u16) = (80, 24);

/// Its kind, where the surroundings name none that can be named.
const KIND_DEFAULT: &str = "xterm-256color";

/// The kind of a file or pipe: programs then print text and draw nothing.
const KIND_NONE: &str = "dumb";

/// Bytes of input that are read at once, and pieces that wait.
const READ_BYTES: usize = 4 << 10;
/// See [`READ_BYTES`].
const READS_MAX: usize = 4;

/// What standard input and output are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Local {
    /// Keys are typed.
    pub(super) typed: bool,
    /// Somebody looks.
    pub(super) shown: bool,
}

impl Local {
    /// As they are.
    pub(super) fn now() -> Self {
        Self {
            typed: io::stdin().is_terminal(),
            shown: io::stdout().is_terminal(),
        }
    }

    /// How large it is now.
    pub(super) fn size(self) -> TerminalSize {
        let (columns, rows) = match self.typed || self.shown {
            true => crossterm::terminal::size().unwrap_or(SIZE_DEFAULT),
            false => SIZE_DEFAULT,
        };
        TerminalSize {
            columns: u32::from(columns).clamp(1, TERMINAL_COLUMNS_MAX),
            rows: u32::from(rows).clamp(1, TERMINAL_ROWS_MAX),
        }
    }

    /// What programs at the other end should take it for.
    pub(super) fn kind(self) -> String {
        if !self.shown {
            return KIND_NONE.to_owned();
        }
        std::env::var("TERM")
            .ok()
            .filter(|kind| is_kind(kind))
            .unwrap_or_else(|| KIND_DEFAULT.to_owned())
    }

    /// Every key as it is typed, until this is dropped.
    pub(super) fn raw(self) -> io::Result<Option<Raw>> {
        if !self.typed {
            return Ok(None);
        }
        enable_raw_mode()?;
        Ok(Some(Raw))
    }
}

fn is_kind(kind: &str) -> bool {
    (1..=TERMINAL_KIND_BYTES_MAX).contains(&kind.len())
        && !kind.starts_with('.')
        && kind
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-+._".contains(&byte))
}

/// Raw mode, as long as it lives.
pub(super) struct Raw;

impl Drop for Raw {
    fn drop(&mut self) {
        // Nothing is left to do about a terminal that does not take it.
        let _kept = disable_raw_mode();
    }
}

/// What is read from standard input, piece by piece, until its end. The thread that reads may wait for ever; it ends
/// with the program.
pub(super) fn input() -> io::Result<mpsc::Receiver<Vec<u8>>> {
    let (send, receive) = mpsc::channel(READS_MAX);
    std::thread::Builder::new()
        .name("input".into())
        .spawn(move || {
            let mut bytes = [0; READ_BYTES];
            loop {
                match io::stdin().lock().read(&mut bytes) {
                    Ok(0) => return,
                    Ok(count) => {
                        let piece = bytes.get(..count).unwrap_or_default().to_vec();
                        if send.blocking_send(piece).is_err() {
                            return;
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => return,
                }
            }
        })?;
    Ok(receive)
}

/// The size changed, or may have.
#[cfg(unix)]
pub(super) struct Resizes(Option<tokio::signal::unix::Signal>);

#[cfg(unix)]
impl Resizes {
    /// From now on.
    pub(super) fn listen() -> Self {
        let kind = tokio::signal::unix::SignalKind::window_change();
        Self(tokio::signal::unix::signal(kind).ok())
    }

    /// The next one.
    pub(super) async fn next(&mut self) {
        let told = match &mut self.0 {
            Some(signal) => signal.recv().await,
            None => None,
        };
        if told.is_none() {
            std::future::pending().await
        }
    }
}

/// See the other one. Here nothing tells; it is looked at.
#[cfg(not(unix))]
pub(super) struct Resizes;

#[cfg(not(unix))]
impl Resizes {
    /// From now on.
    pub(super) fn listen() -> Self {
        Self
    }

    /// The next look.
    pub(super) async fn next(&mut self) {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
}

/// Completes when somebody wants the program to end.
#[cfg(unix)]
pub(super) async fn told_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    let wait = async |kind| match signal(kind) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => {}
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::hangup()) => {}
    }
}

/// Completes when somebody wants the program to end.
#[cfg(not(unix))]
pub(super) async fn told_to_end() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}
