//! The program as a whole: real arguments, a real process, real TLS, a server that tells a story.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod failure;
mod fake;
mod feed;
mod import;
mod incident;
mod list;
mod release;
#[cfg(target_os = "linux")]
mod screens;
mod terminal;

use fake::{Fake, Script};
use tonic::Code;

/// No byte that a terminal would obey or hide, besides line feeds.
fn assert_harmless(text: &str) {
    let harmless = |c: char| {
        c == '\n'
            || !(c.is_control()
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{feff}'))
    };
    assert!(text.chars().all(harmless), "{text:?}");
}

async fn refusing(code: Code, message: &str) -> Fake {
    Fake::start_with(Script {
        refuse: Some((code, message.to_owned())),
        ..Script::default()
    })
    .await
}
