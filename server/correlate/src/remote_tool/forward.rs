//! Which ways an ssh client was asked to open, read from its command line as ssh itself reads it.
//!
//! Options stand alone or together (`-fNR 8080:localhost:80`), before the destination or after it; what follows the
//! first word after the destination is the command for the other machine and says nothing: `ssh host ls -R` opens
//! nothing. The letters that take a value are those of OpenSSH's manual, ssh(1). What stands in a file of settings
//! is not seen.

/// Letters that take a value.
const TAKES_VALUE: &str = "bceilmopBDEFIJLOPQRSwW";

/// Requests to a running client that open nothing.
const NOT_OPENING: &[&str] = &["cancel", "check", "exit", "stop", "proxy"];

/// A way through ssh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forward {
    /// From the other machine to here.
    Remote,
    /// A SOCKS server here.
    Dynamic,
    /// Networks joined by tun devices.
    Device,
    /// Whatever program it is, its `-R` has the shape of one of ssh's, and it has a destination.
    Shape,
}

impl Forward {
    /// As a sentence says it.
    pub(super) fn phrase(self) -> &'static str {
        match self {
            Self::Remote => "opens a way in from the other side",
            Self::Dynamic => "opens a SOCKS server",
            Self::Device => "joins networks",
            Self::Shape => "arguments like ssh's for a way in",
        }
    }
}

/// What a command line asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Forwards {
    remote: bool,
    dynamic: bool,
    device: bool,
    full_shape: bool,
    only_forwards: bool,
    has_account: bool,
}

impl Forwards {
    /// Whether it asks for this one.
    pub(super) fn has(self, forward: Forward) -> bool {
        match forward {
            Forward::Remote => self.remote,
            Forward::Dynamic => self.dynamic,
            Forward::Device => self.device,
            Forward::Shape => self.full_shape && (self.only_forwards || self.has_account),
        }
    }

    fn option(&mut self, letter: char, value: &str) {
        match letter {
            'R' => {
                self.remote = true;
                self.full_shape |= is_full(value);
            }
            'D' => self.dynamic = true,
            'w' => self.device = true,
            'N' => self.only_forwards = true,
            'o' => self.setting(value),
            _ => {}
        }
    }

    /// `-o`: a line as in the file of settings.
    fn setting(&mut self, line: &str) {
        let line = line.trim_start();
        let end = line
            .find(|character: char| character == '=' || character.is_whitespace())
            .unwrap_or(line.len());
        let (key, value) = line.split_at(end);
        let value = value.trim_start_matches(|c: char| c == '=' || c.is_whitespace());
        let is = |name: &str| key.eq_ignore_ascii_case(name);
        self.remote |= is("RemoteForward");
        self.dynamic |= is("DynamicForward");
        self.device |= is("Tunnel") && !value.eq_ignore_ascii_case("no");
    }
}

/// `[address:]port:host:port`.
fn is_full(value: &str) -> bool {
    let is_port = |text: &str| text.parse::<u16>().is_ok();
    let Some((rest, port)) = value.rsplit_once(':') else {
        return false;
    };
    let Some((rest, host)) = rest.rsplit_once(':') else {
        return false;
    };
    let first = rest.rsplit_once(':').map_or(rest, |(_, port)| port);
    is_port(port) && is_port(first) && !host.is_empty()
}

/// Reads the arguments after the program's name. autossh takes a value for `-M`, where ssh takes none.
pub(super) fn read(arguments: &[String], is_autossh: bool) -> Forwards {
    let mut asked = Forwards::default();
    let mut has_destination = false;
    let mut options_ended = false;
    let mut words = arguments.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let letters = word.strip_prefix('-').filter(|rest| !rest.is_empty());
        let Some(letters) = letters.filter(|_| !options_ended) else {
            if has_destination {
                break;
            }
            has_destination = true;
            asked.has_account = word.contains('@');
            continue;
        };
        if letters == "-" {
            options_ended = true;
            continue;
        }
        let mut rest = letters;
        while let Some(letter) = rest.chars().next() {
            rest = rest.get(letter.len_utf8()..).unwrap_or_default();
            if TAKES_VALUE.contains(letter) || (is_autossh && letter == 'M') {
                let value = match rest {
                    "" => words.next().unwrap_or_default(),
                    attached => attached,
                };
                if letter == 'O' && NOT_OPENING.contains(&value) {
                    return Forwards::default();
                }
                asked.option(letter, value);
                break;
            }
            asked.option(letter, "");
        }
    }
    asked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expect: &[Forward]) {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let asked = read(&arguments, false);
        let all = [Forward::Remote, Forward::Dynamic, Forward::Device];
        let found: Vec<_> = all.into_iter().filter(|one| asked.has(*one)).collect();
        assert_eq!(found, expect, "{line}");
    }

    #[test]
    fn ways_are_found_wherever_ssh_takes_them() {
        check("-R 2222:localhost:22 dana@192.0.2.1", &[Forward::Remote]);
        check("-fNR 2222:localhost:22 host", &[Forward::Remote]);
        check("-NfR2222:localhost:22 host", &[Forward::Remote]);
        check("host -N -R 1080", &[Forward::Remote]);
        check("-p 22 -i key -D 1080 host", &[Forward::Dynamic]);
        check("-w 0:0 host", &[Forward::Device]);
        check("-oRemoteForward=1:h:2 host", &[Forward::Remote]);
        check("-o dynamicforward=1080 host", &[Forward::Dynamic]);
        check("-oTunnel=ethernet host", &[Forward::Device]);
        check(
            "-R 1 -D 2 -w any host",
            &[Forward::Remote, Forward::Dynamic, Forward::Device],
        );
        check("-O forward -R 1:h:2 host", &[Forward::Remote]);
    }

    #[test]
    fn what_opens_nothing_is_not_found() {
        for line in [
            "host",
            "host ls -R /",
            "host -- ls -R /",
            "-L 8080:localhost:80 host",
            "-J jump -W host:22 jump",
            "-l R host",
            "-i -R host",
            "-F D host",
            "-oTunnel=no host",
            "-O cancel -R 1:h:2 host",
            "host tar -C / -D x -w",
            "",
            "-",
            "-R",
        ] {
            let expect: &[Forward] = if line == "-R" {
                &[Forward::Remote]
            } else {
                &[]
            };
            check(line, expect);
        }
    }

    #[test]
    fn a_line_of_settings_may_have_blanks() {
        let arguments = ["-o", " RemoteForward 1 h:2", "host"].map(str::to_owned);
        assert!(read(&arguments, false).has(Forward::Remote));
    }

    #[test]
    fn autossh_takes_a_port_to_watch() {
        let arguments = ["-M", "0", "-R", "2222:localhost:22", "host"].map(str::to_owned);
        assert!(read(&arguments, true).has(Forward::Remote));
        let arguments = ["-M", "host", "ls", "-R"].map(str::to_owned);
        assert!(!read(&arguments, false).has(Forward::Remote));
    }

    #[test]
    fn the_shape_alone_needs_ports_and_a_destination() {
        let shape = |line: &str| {
            let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            read(&arguments, false).has(Forward::Shape)
        };
        assert!(shape("-R 2222:localhost:22 dana@192.0.2.1"));
        assert!(shape("-N -R *:2222:localhost:22 host"));
        assert!(!shape("-R 1000:1000 dir"), "chown");
        assert!(!shape("-R 2222:localhost:22 dir"), "grep");
        assert!(!shape("-R"), "ls");
    }
}
