//! Where browsers and keyrings keep passwords and sessions, and who is expected to open them. Pure.
//!
//! Places are those of the browsers' own packages, snaps and flatpaks, below a home.

/// Folders of Chromium and its kin: each folder in them may be a profile.
pub(super) const CHROMIUM_FOLDERS: &[&str] = &[
    ".config/google-chrome",
    ".config/google-chrome-beta",
    ".config/chromium",
    ".config/microsoft-edge",
    ".config/BraveSoftware/Brave-Browser",
    ".config/vivaldi",
    ".config/opera",
    "snap/chromium/common/chromium",
    ".var/app/com.google.Chrome/config/google-chrome",
    ".var/app/org.chromium.Chromium/config/chromium",
];
/// What is secret in such a profile.
pub(super) const CHROMIUM_FILES: &[&str] = &["Login Data", "Cookies", "Network/Cookies"];

/// Folders of Firefox: each folder in them may be a profile.
pub(super) const FIREFOX_FOLDERS: &[&str] = &[
    ".mozilla/firefox",
    "snap/firefox/common/.mozilla/firefox",
    ".var/app/org.mozilla.firefox/.mozilla/firefox",
];
/// What is secret in such a profile.
pub(super) const FIREFOX_FILES: &[&str] = &["key4.db", "logins.json", "cookies.sqlite"];

/// Folders whose files are keyrings.
pub(super) const KEYRING_FOLDERS: &[&str] = &[".local/share/keyrings", ".local/share/kwalletd"];
/// How such files end.
pub(super) const KEYRING_ENDINGS: &[&str] = &[".keyring", ".keystore", ".kwl"];

const BROWSERS: &[&str] = &[
    "chrome",
    "chromium",
    "chromium-browser",
    "msedge",
    "brave",
    "vivaldi-bin",
    "opera",
    "firefox",
    "firefox-bin",
    "firefox-esr",
];
const KEEPERS: &[&str] = &["gnome-keyring-daemon", "kwalletd5", "kwalletd6", "kwalletd"];

/// Whether the program of this path opens such stores by trade. The caller checks that nobody but root could have put
/// it there: a name alone can be taken by anybody.
pub(super) fn is_keeper(executable: &str) -> bool {
    let path = executable.strip_suffix(" (deleted)").unwrap_or(executable);
    let name = path.rsplit('/').next().unwrap_or_default();
    BROWSERS.contains(&name) || KEEPERS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_known_by_their_file_alone() {
        assert!(is_keeper("/opt/google/chrome/chrome"));
        assert!(is_keeper("/snap/firefox/1/usr/lib/firefox/firefox"));
        assert!(
            is_keeper("/opt/google/chrome/chrome (deleted)"),
            "updated while it runs"
        );
        for other in [
            "/usr/bin/python3",
            "/opt/google/chrome/chrome_x",
            "/opt/chrome/sh",
            "",
        ] {
            assert!(!is_keeper(other), "{other}");
        }
    }
}
