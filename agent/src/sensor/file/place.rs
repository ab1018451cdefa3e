//! Where the files that matter are: a list of folders, made of the machine's accounts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::change::FileCategory::{self, *};

/// Homes that are looked into. More are told as not watched.
pub(super) const HOMES_MAX: usize = 256;

/// A folder, and which files of it matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The folder.
    pub(super) folder: PathBuf,
    /// Which files; empty for all of them.
    pub(super) names: &'static [(&'static str, FileCategory)],
    /// What those decide that are not named.
    pub(super) category: FileCategory,
}

impl Place {
    /// What a file of this folder decides; `None` where it does not matter.
    pub(super) fn category_of(&self, name: &str) -> Option<FileCategory> {
        if !self.names.is_empty() {
            let named = self.names.iter().find(|(known, _)| *known == name);
            return named.map(|(_, category)| *category);
        }
        // Editors' own files beside the one that is edited.
        let is_passing = name.ends_with('~') || name.ends_with(".swp") || name.ends_with(".swx");
        (!is_passing).then_some(self.category)
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

/// All places of a machine with these homes, whether they exist or not.
pub(super) fn places(root: &Path, homes: &[PathBuf]) -> Vec<Place> {
    let named = |folder: PathBuf, names, category| Place {
        folder,
        names,
        category,
    };
    let mut places = vec![
        named(root.join("etc"), ETC, Account),
        named(root.join("etc/ssh"), SSH, SshServer),
    ];
    let folders = FOLDERS.iter();
    places.extend(folders.map(|(folder, category)| named(root.join(folder), &[], *category)));
    for home in homes {
        places.push(named(home.join(".ssh"), KEYS, AuthorizedKeys));
        places.push(named(home.join(".config/systemd/user"), &[], SystemdUnit));
    }
    places
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
        let places = places(Path::new("/"), &["/home/dana".into()]);
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
