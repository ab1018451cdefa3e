//! Where the files that matter are: a list of folders, made of the machine's accounts and of the configuration. Pure.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::change::FileCategory::{self, *};

/// Homes that are looked into. More are told as not watched.
pub(super) const HOMES_MAX: usize = 256;

/// A folder, and which files of it matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The folder.
    pub(super) folder: PathBuf,
    /// Which files matter by their names.
    names: &'static [(&'static str, FileCategory)],
    /// Which files the configuration names.
    configured: Vec<String>,
    /// What all others decide; `None` where they do not matter.
    others: Option<FileCategory>,
}

impl Place {
    /// What a file of this folder decides; `None` where it does not matter.
    pub(super) fn category_of(&self, name: &str) -> Option<FileCategory> {
        if let Some((_, category)) = self.names.iter().find(|(known, _)| *known == name) {
            return Some(*category);
        }
        if self.configured.iter().any(|known| known == name) {
            return Some(Configured);
        }
        // Editors' own files beside the one that is edited.
        let is_passing = name.ends_with('~') || name.ends_with(".swp") || name.ends_with(".swx");
        self.others.filter(|_| !is_passing)
    }
}

const ETC: &[(&str, FileCategory)] = &[
    ("passwd", Account),
    ("shadow", Account),
    ("group", Account),
    ("gshadow", Account),
    ("sudoers", Sudo),
    ("crontab", Cron),
    ("anacrontab", Cron),
];
const SSH: &[(&str, FileCategory)] = &[("sshd_config", SshServer)];
const KEYS: &[(&str, FileCategory)] = &[
    ("authorized_keys", AuthorizedKeys),
    ("authorized_keys2", AuthorizedKeys),
    ("rc", AuthorizedKeys),
];

/// Folders of the machine itself, below its root.
const FOLDERS: &[(&str, FileCategory)] = &[
    ("etc/sudoers.d", Sudo),
    ("etc/pam.d", Pam),
    ("etc/security", Pam),
    ("etc/cron.d", Cron),
    ("etc/cron.hourly", Cron),
    ("etc/cron.daily", Cron),
    ("etc/cron.weekly", Cron),
    ("etc/cron.monthly", Cron),
    ("var/spool/cron", Cron),
    ("var/spool/cron/crontabs", Cron),
    ("etc/systemd/system", SystemdUnit),
    ("etc/systemd/user", SystemdUnit),
    ("etc/ssh/sshd_config.d", SshServer),
];

/// All places of a machine with these homes, whether they exist or not, each folder once.
pub(super) fn places(root: &Path, homes: &[PathBuf], configured: &[Configuration]) -> Vec<Place> {
    let place = |folder: PathBuf, names, others| Place {
        folder,
        names,
        configured: Vec::new(),
        others,
    };
    let mut places = vec![
        place(root.join("etc"), ETC, None),
        place(root.join("etc/ssh"), SSH, None),
    ];
    let folders = FOLDERS.iter();
    places.extend(folders.map(|(folder, category)| place(root.join(folder), &[], Some(*category))));
    for home in homes {
        places.push(place(home.join(".ssh"), KEYS, None));
        let units = home.join(".config/systemd/user");
        places.push(place(units, &[], Some(SystemdUnit)));
    }
    for one in configured {
        let (folder, name) = one.folder_and_name();
        let known = places.iter().position(|place| place.folder == folder);
        let at = known.unwrap_or_else(|| {
            places.push(place(folder.to_owned(), &[], None));
            places.len() - 1
        });
        let Some(place) = places.get_mut(at) else {
            continue;
        };
        match name {
            Some(name) => place.configured.push(name.to_owned()),
            None => place.others = place.others.or(Some(Configured)),
        }
    }
    places
}

/// A path of the configuration, and whether there is a folder now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Configuration {
    /// The path.
    pub(super) path: PathBuf,
    /// All files of the folder matter then, else the one of this name.
    pub(super) is_folder: bool,
}

impl Configuration {
    fn folder_and_name(&self) -> (&Path, Option<&str>) {
        let name = self.path.file_name().and_then(OsStr::to_str);
        match self.path.parent() {
            Some(parent) if !self.is_folder => (parent, name),
            _ => (&self.path, None),
        }
    }
}

/// Homes named in the text of `passwd`, then further ones; and how many are left out.
pub(super) fn homes(root: &Path, passwd: &str, others: &[PathBuf]) -> (Vec<PathBuf>, usize) {
    let named = passwd.lines().filter_map(|line| line.split(':').nth(5));
    let named = named
        .map(|home| Path::new(home.trim_end_matches('/')))
        .filter_map(|home| home.strip_prefix("/").ok())
        .filter(|home| home.components().next().is_some() && !home.starts_with("nonexistent"))
        .map(|home| root.join(home));
    let all: BTreeSet<PathBuf> = named.chain(others.iter().cloned()).collect();
    let left_out = all.len().saturating_sub(HOMES_MAX);
    (all.into_iter().take(HOMES_MAX).collect(), left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_that_matter_have_a_category() {
        let places = places(Path::new("/"), &["/home/dana".into()], &[]);
        let category = |folder: &str, name: &str| {
            let place = places.iter().find(|one| one.folder == Path::new(folder));
            place.unwrap().category_of(name)
        };
        assert_eq!(category("/etc", "sudoers"), Some(Sudo));
        assert_eq!(category("/etc", "shadow"), Some(Account));
        assert_eq!(category("/etc", "hostname"), None);
        assert_eq!(category("/etc/sudoers.d", "dana"), Some(Sudo));
        assert_eq!(category("/etc/sudoers.d", ".dana.swp"), None);
        assert_eq!(category("/etc/ssh", "sshd_config"), Some(SshServer));
        assert_eq!(
            category("/home/dana/.ssh", "authorized_keys"),
            Some(AuthorizedKeys)
        );
        assert_eq!(category("/home/dana/.ssh", "known_hosts"), None);
        assert_eq!(
            category("/home/dana/.config/systemd/user", "a.service"),
            Some(SystemdUnit)
        );
    }

    #[test]
    fn configured_paths_add_to_what_is_watched() {
        let configured = [
            ("/etc/hosts", false),
            ("/srv/keys", true),
            ("/etc/ssh", true),
        ];
        let configured = configured.map(|(path, is_folder)| Configuration {
            path: path.into(),
            is_folder,
        });
        let places = places(Path::new("/"), &[], &configured);
        let category = |folder: &str, name: &str| {
            let mut of = places.iter().filter(|one| one.folder == Path::new(folder));
            let place = of.next().unwrap();
            assert!(of.next().is_none(), "{folder} is there once");
            place.category_of(name)
        };
        assert_eq!(category("/etc", "hosts"), Some(Configured));
        assert_eq!(category("/etc", "passwd"), Some(Account));
        assert_eq!(category("/etc", "hostname"), None);
        assert_eq!(category("/srv/keys", "a.pem"), Some(Configured));
        assert_eq!(category("/etc/ssh", "sshd_config"), Some(SshServer));
        assert_eq!(category("/etc/ssh", "moduli"), Some(Configured));
    }

    #[test]
    fn homes_are_those_of_accounts_and_folders_once_each() {
        let passwd = "root:x:0:0::/root:/bin/sh\ndana:x:1:1::/home/dana/:/bin/sh\n\
                      nobody:x:2:2::/nonexistent:/bin/false\nbin:x:3:3::/:/bin/false\nbroken\n";
        let others = ["/home/dana".into(), "/home/ldap".into()];
        let (found, left_out) = homes(Path::new("/"), passwd, &others);
        let expect: Vec<PathBuf> = ["/home/dana", "/home/ldap", "/root"].map(Into::into).into();
        assert_eq!((found, left_out), (expect, 0));
    }

    #[test]
    fn homes_are_bounded_and_the_rest_is_counted() {
        let many: Vec<PathBuf> = (0..HOMES_MAX + 3)
            .map(|n| format!("/home/{n}").into())
            .collect();
        let (found, left_out) = homes(Path::new("/"), "", &many);
        assert_eq!((found.len(), left_out), (HOMES_MAX, 3));
    }
}
