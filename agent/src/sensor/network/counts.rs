//! The kernel's counts of TCP sockets: while they stay as they are, no connection was made and none has ended, and a
//! scan of all sockets would find what the last one found. Pure.
//!
//! ```text
//! /proc/net/snmp       Tcp: RtoAlgorithm ... ActiveOpens PassiveOpens ... CurrEstab ...
//!                      Tcp: 1 ... 106619 103945 ... 4 ...
//! /proc/net/sockstat   TCP: inuse 6 orphan 0 ...
//! /proc/net/sockstat6  TCP6: inuse 0
//! ```
//!
//! What they do not tell: that a connection that waited was accepted, and that one socket began to listen in the moment
//! in which another one ceased.

/// The counts of a network namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    /// Connections that were asked for here, and from outside, since boot.
    opens: [u64; 2],
    /// Connections now.
    established: u64,
    /// Sockets now, by family: those that listen too.
    in_use: [u64; 2],
}

/// Reads them; `None` where the kernel says something else.
pub(super) fn parse(snmp: &str, sockstat: &str, sockstat6: &str) -> Option<Counts> {
    let mut tcp = snmp.lines().filter_map(|line| line.strip_prefix("Tcp:"));
    let (names, values) = (tcp.next()?, tcp.next()?);
    let of = |name: &str| {
        let at = names.split_whitespace().position(|found| found == name)?;
        values.split_whitespace().nth(at)?.parse().ok()
    };
    let in_use = |text: &str, family: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(family));
        line?
            .strip_prefix(": inuse ")?
            .split(' ')
            .next()?
            .parse()
            .ok()
    };
    Some(Counts {
        opens: [of("ActiveOpens")?, of("PassiveOpens")?],
        established: of("CurrEstab")?,
        // A kernel without IPv6 has no such sockets.
        in_use: [
            in_use(sockstat, "TCP")?,
            in_use(sockstat6, "TCP6").unwrap_or(0),
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SNMP: &str = "Ip: Forwarding DefaultTTL\nIp: 1 64\nTcp: RtoAlgorithm ActiveOpens PassiveOpens CurrEstab InSegs\nTcp: 1 20 30 4 99\n";
    const SOCKSTAT: &str = "sockets: used 33\nTCP: inuse 6 orphan 0 tw 0\nUDP: inuse 0\n";

    #[test]
    fn counts_are_found_by_their_names() {
        let counts = parse(SNMP, SOCKSTAT, "TCP6: inuse 2\nUDP6: inuse 0\n").unwrap();
        let expected = Counts {
            opens: [20, 30],
            established: 4,
            in_use: [6, 2],
        };
        assert_eq!(counts, expected);
    }

    #[test]
    fn traffic_alone_changes_nothing() {
        let more = SNMP.replace(" 99", " 120");
        assert_eq!(parse(SNMP, SOCKSTAT, ""), parse(&more, SOCKSTAT, ""));
    }

    #[test]
    fn something_else_is_nothing() {
        for (snmp, sockstat) in [
            ("", SOCKSTAT),
            (SNMP, ""),
            ("Tcp: ActiveOpens\nTcp: x\n", SOCKSTAT),
        ] {
            assert_eq!(parse(snmp, sockstat, ""), None);
        }
    }
}
