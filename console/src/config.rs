//! Finds and reads the profile: which server, and as whom.
//!
//! In this order: `--profile FILE`, the environment variable `TOCSIN_PROFILE`, the user's configuration
//! folder (`$XDG_CONFIG_HOME/tocsin/profile`, `~/.config/tocsin/profile`; on Windows
//! `%APPDATA%\tocsin\profile`). A profile holds a private key, so one that others may read is refused.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tocsin_proto::profile::{PROFILE_BYTES_MAX, Profile, ProfileError};

use crate::keymap::Keymap;
use crate::keys;
use crate::text;

/// The environment variable that names a file of keys.
pub(crate) const KEYS_VARIABLE: &str = "TOCSIN_KEYS";

/// The environment variable that names a profile.
pub(crate) const PROFILE_VARIABLE: &str = "TOCSIN_PROFILE";

/// A profile that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// Neither flag nor variable, and no configuration folder.
    #[error("no profile given, and this user has no home folder to look in")]
    Nowhere,
    /// It is not there.
    #[error("profile {file} does not exist")]
    Absent {
        /// Where it was looked for, clean.
        file: String,
    },
    /// It cannot be read.
    #[error("read {file}")]
    Read {
        /// Its name, clean.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others may read it.
    #[cfg(unix)]
    #[error("profile {file} holds a private key and can be read by others (mode {mode:04o})")]
    Open {
        /// Its name, clean.
        file: String,
        /// Its permissions.
        mode: u32,
    },
    /// It is far too long to be one.
    #[error("profile {file} has more than {PROFILE_BYTES_MAX} bytes")]
    TooLarge {
        /// Its name, clean.
        file: String,
    },
    /// It is not a profile.
    #[error("use profile {file}")]
    Parse {
        /// Its name, clean.
        file: String,
        /// Why.
        #[source]
        source: ProfileError,
    },
    /// The file of keys makes no sense.
    #[error("use the keys in {file}: {what}")]
    Keys {
        /// Its name, clean.
        file: String,
        /// What is wrong, and what would be right.
        what: String,
    },
    /// It names no server.
    #[error("profile {file} names no server yet")]
    NoServer {
        /// Its name, clean.
        file: String,
    },
}

impl ConfigError {
    /// What the reader can do about it.
    pub(crate) fn cure(&self) -> Option<&'static str> {
        match self {
            Self::Nowhere | Self::Absent { .. } => Some(
                "have the server's operator make one ('tocsin-server analyst add NAME --role ROLE --out FILE'; \
                 the first is DIR/admin.profile) and name it with --profile, TOCSIN_PROFILE or as \
                 ~/.config/tocsin/profile",
            ),
            #[cfg(unix)]
            Self::Open { .. } => Some("chmod 600 that file"),
            Self::NoServer { .. } => Some(
                "start the server once ('tocsin-server run --data DIR'): it writes its address into the profile",
            ),
            Self::Keys { .. } => {
                Some("correct that line or remove the file; 'tocsin keys' prints all names")
            }
            Self::Read { .. } | Self::TooLarge { .. } | Self::Parse { .. } => None,
        }
    }
}

/// What of the environment decides where the profile is.
#[derive(Debug, Default)]
pub(crate) struct Surroundings {
    /// `TOCSIN_PROFILE`.
    pub(crate) profile: Option<OsString>,
    /// `XDG_CONFIG_HOME`; on Windows `APPDATA`.
    pub(crate) config_home: Option<OsString>,
    /// `HOME`.
    pub(crate) home: Option<OsString>,
}

impl Surroundings {
    /// As they are.
    pub(crate) fn now() -> Self {
        let config_home = if cfg!(windows) {
            "APPDATA"
        } else {
            "XDG_CONFIG_HOME"
        };
        Self {
            profile: std::env::var_os(PROFILE_VARIABLE),
            config_home: std::env::var_os(config_home),
            home: std::env::var_os("HOME"),
        }
    }
}

/// Where the profile is.
///
/// # Errors
/// [`ConfigError::Nowhere`].
pub(crate) fn locate(flag: Option<PathBuf>, around: Surroundings) -> Result<PathBuf, ConfigError> {
    let given = |value: Option<OsString>| value.filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(path) = flag.or_else(|| given(around.profile)) {
        return Ok(path);
    }
    // The specification of XDG_CONFIG_HOME has relative paths ignored.
    let folder = given(around.config_home)
        .filter(|path| path.is_absolute())
        .or_else(|| given(around.home).map(|home| home.join(".config")))
        .ok_or(ConfigError::Nowhere)?;
    Ok(folder.join("tocsin").join("profile"))
}

/// The file with the keys that a user has chosen.
#[derive(Debug, Clone)]
pub(crate) struct KeysFile {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Somebody has named it, so it must be there.
    pub(crate) is_named: bool,
}

/// The file that `TOCSIN_KEYS` names, else `keys.toml` in the configuration folder; `None` where there is no such folder.
pub(crate) fn keys_file(named: Option<OsString>, around: Surroundings) -> Option<KeysFile> {
    if let Some(name) = named.filter(|name| !name.is_empty()) {
        return Some(KeysFile {
            path: name.into(),
            is_named: true,
        });
    }
    let folder = Surroundings {
        profile: None,
        ..around
    };
    let profile = locate(None, folder).ok()?;
    Some(KeysFile {
        path: profile.with_file_name("keys.toml"),
        is_named: false,
    })
}

/// The keys that this user has chosen; as they are where there is no file.
///
/// # Errors
/// [`ConfigError::Read`] and [`ConfigError::Keys`].
pub(crate) fn keys(file: Option<&KeysFile>) -> Result<Keymap, ConfigError> {
    let Some(KeysFile { path, is_named }) = file else {
        return Ok(Keymap::default());
    };
    let file = text::path(path);
    let mut content = String::new();
    let read = File::open(path).and_then(|handle| {
        handle
            .take(keys::FILE_BYTES_MAX)
            .read_to_string(&mut content)
    });
    match read {
        Ok(_) => keys::parse(&content).map_err(|what| ConfigError::Keys { file, what }),
        Err(source) if source.kind() == io::ErrorKind::NotFound && !*is_named => {
            Ok(Keymap::default())
        }
        Err(source) => Err(ConfigError::Read { file, source }),
    }
}

/// Reads the profile and checks that only its owner can.
///
/// # Errors
/// Every [`ConfigError`] except [`ConfigError::Nowhere`].
pub(crate) fn load(path: &Path) -> Result<Profile, ConfigError> {
    let file = text::path(path);
    let read_error = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => ConfigError::Absent { file: file.clone() },
        _ => ConfigError::Read {
            file: file.clone(),
            source,
        },
    };
    let handle = File::open(path).map_err(read_error)?;
    check_mode(&handle, &file, read_error)?;
    let mut content = String::new();
    let limit = PROFILE_BYTES_MAX as u64 + 1;
    handle
        .take(limit)
        .read_to_string(&mut content)
        .map_err(read_error)?;
    if content.len() > PROFILE_BYTES_MAX {
        return Err(ConfigError::TooLarge { file });
    }
    let profile = Profile::from_toml(&content).map_err(|source| ConfigError::Parse {
        file: file.clone(),
        source,
    })?;
    if profile.servers.is_empty() {
        return Err(ConfigError::NoServer { file });
    }
    Ok(profile)
}

/// Looks at the opened file, not at its name, so that it cannot be exchanged in between.
#[cfg(unix)]
fn check_mode(
    handle: &File,
    file: &str,
    read_error: impl Fn(io::Error) -> ConfigError,
) -> Result<(), ConfigError> {
    use std::os::unix::fs::PermissionsExt;

    let mode = handle.metadata().map_err(read_error)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(ConfigError::Open {
            file: file.to_owned(),
            mode,
        });
    }
    Ok(())
}

/// Elsewhere the folder's own access list protects it.
#[cfg(not(unix))]
fn check_mode(
    _handle: &File,
    _file: &str,
    _read_error: impl Fn(io::Error) -> ConfigError,
) -> Result<(), ConfigError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(profile: &str, config_home: &str, home: &str) -> Surroundings {
        Surroundings {
            profile: Some(profile.into()),
            config_home: Some(config_home.into()),
            home: Some(home.into()),
        }
    }

    #[test]
    fn the_flag_wins_then_the_variable_then_the_folders() {
        let find = |flag: Option<&str>, around| locate(flag.map(PathBuf::from), around).unwrap();
        let everything = || around("/v", "/xdg", "/home/d");
        assert_eq!(find(Some("/f"), everything()), Path::new("/f"));
        assert_eq!(find(None, everything()), Path::new("/v"));
        assert_eq!(
            find(None, around("", "/xdg", "/home/d")),
            Path::new("/xdg/tocsin/profile")
        );
        assert_eq!(
            find(None, around("", "relative", "/home/d")),
            Path::new("/home/d/.config/tocsin/profile")
        );
        assert!(matches!(
            locate(None, Surroundings::default()),
            Err(ConfigError::Nowhere)
        ));
    }

    #[cfg(unix)]
    mod files {
        use std::fs::{self, Permissions};
        use std::os::unix::fs::PermissionsExt;

        use super::*;

        fn write(content: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("profile");
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            (dir, path)
        }

        fn profile(servers: &[&str]) -> String {
            Profile {
                version: 1,
                name: "dana".into(),
                role: "viewer".into(),
                servers: servers.iter().map(|&server| server.to_owned()).collect(),
                ca_certificate: String::new(),
                certificate: String::new(),
                private_key: String::new(),
            }
            .to_toml()
            .unwrap()
        }

        #[test]
        fn a_profile_that_others_may_read_is_refused_with_the_cure() {
            for mode in [0o644, 0o640, 0o604, 0o660] {
                let (_dir, path) = write(&profile(&["a:1"]), mode);
                let error = load(&path).unwrap_err();
                assert!(matches!(error, ConfigError::Open { .. }), "{mode:o}");
                assert!(error.cure().unwrap().contains("chmod 600"));
            }
            let (_dir, path) = write(&profile(&["a:1"]), 0o600);
            assert_eq!(load(&path).unwrap().servers, ["a:1"]);
        }

        #[test]
        fn a_profile_without_a_server_says_how_it_gets_one() {
            let (_dir, path) = write(&profile(&[]), 0o600);
            let error = load(&path).unwrap_err();
            assert!(error.cure().unwrap().contains("tocsin-server run"));
        }

        #[test]
        fn what_is_not_a_profile_is_refused() {
            let (_dir, path) = write("hello", 0o600);
            assert!(matches!(load(&path), Err(ConfigError::Parse { .. })));
            let (_dir, path) = write(&"#".repeat(PROFILE_BYTES_MAX + 1), 0o600);
            assert!(matches!(load(&path), Err(ConfigError::TooLarge { .. })));
            let missing = path.with_file_name("nothing");
            assert!(matches!(load(&missing), Err(ConfigError::Absent { .. })));
        }
    }
}
