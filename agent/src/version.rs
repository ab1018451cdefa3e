//! Which version this program is. The program says it, not the library: what is built is what is released.

use std::sync::OnceLock;

use tocsin_proto::release::Version;

static TEXT: OnceLock<&'static str> = OnceLock::new();

/// Said once, first thing in `main`; later words change nothing.
pub(crate) fn say(text: &'static str) {
    TEXT.get_or_init(|| text);
}

/// As text.
pub(crate) fn text() -> &'static str {
    TEXT.get().copied().unwrap_or(env!("CARGO_PKG_VERSION"))
}

/// As three numbers; zeros where it is something else, so that any release is newer.
pub(crate) fn running() -> Version {
    text().parse().unwrap_or(Version {
        major: 0,
        minor: 0,
        patch: 0,
    })
}
