//! Tests of the table of flows, on scans made by hand.

use super::*;
use crate::sensor::network::flow::NameSource;

#[derive(Default)]
struct Fake {
    asked: Vec<u32>,
}

impl Lookup for Fake {
    fn owners(&mut self, sockets: &[Socket]) -> HashMap<u32, Arc<Owner>> {
        self.asked.extend(sockets.iter().map(|socket| socket.inode));
        let owner = |pid| {
            Arc::new(Owner {
                pid,
                start_ticks: 5,
                executable: "/bin/x".into(),
                uid: Some(1001),
                login_uid: Some(1001),
                audit_session: Some(3),
            })
        };
        let inodes = sockets.iter().map(|socket| socket.inode);
        inodes.map(|inode| (inode, owner(inode / 100))).collect()
    }

    fn names(&self, _address: IpAddr, _now_ms: i64) -> Vec<FlowName> {
        vec![FlowName {
            name: "idp.example".into(),
            source: NameSource::DnsAnswer,
        }]
    }
}

fn socket(id: u64, state: State, local: &str, remote: &str) -> Socket {
    Socket {
        id: FlowId(id),
        state,
        local: local.parse().unwrap(),
        remote: remote.parse().unwrap(),
        uid: 1001,
        inode: u32::try_from(id).unwrap() + 700,
        sent_bytes: None,
        received_bytes: None,
    }
}

fn client(id: u64) -> Socket {
    let local = format!("10.0.0.1:{}", 40_000 + id);
    socket(id, State::Connected, &local, "10.0.0.9:443")
}

impl FlowTable {
    fn scan(&mut self, sockets: &[Socket], now_ms: i64, fake: &mut Fake) -> Vec<Flow> {
        self.begin_scan();
        sockets.iter().for_each(|socket| self.see(socket));
        let mut told = Vec::new();
        self.finish_scan(now_ms, fake, &mut |flow| told.push(flow));
        told
    }
}

fn activities(flows: &[Flow]) -> Vec<(u64, FlowActivity)> {
    flows
        .iter()
        .map(|flow| (flow.id.0, flow.activity))
        .collect()
}

#[test]
fn the_first_scan_observes_and_later_ones_tell_what_changed() {
    let (mut table, mut fake) = (FlowTable::default(), Fake::default());
    let listener = socket(1, State::Listening, "0.0.0.0:22", "0.0.0.0:0");
    let first = table.scan(&[listener, client(2)], 1_000, &mut fake);
    assert_eq!(
        activities(&first),
        [
            (1, FlowActivity::ListenObserved),
            (2, FlowActivity::Observed)
        ]
    );
    assert_eq!(first[1].opened.from_ms, None, "it may be of any age");
    let server = socket(3, State::Connected, "10.0.0.1:22", "10.0.0.7:5000");
    let second = table.scan(&[listener, client(2), server], 2_000, &mut fake);
    assert_eq!(activities(&second), [(3, FlowActivity::Opened)]);
    assert_eq!(second[0].direction, Some(Direction::Inbound));
    assert_eq!(
        second[0].opened,
        Moment {
            from_ms: Some(1_000),
            until_ms: 2_000
        }
    );
    let third = table.scan(&[listener, server], 3_000, &mut fake);
    assert_eq!(activities(&third), [(2, FlowActivity::Closed)]);
    assert_eq!(third[0].direction, Some(Direction::Outbound));
    assert_eq!(third[0].closed.unwrap().from_ms, Some(2_000));
    let fourth = table.scan(&[], 4_000, &mut fake);
    assert_eq!(
        activities(&fourth),
        [(1, FlowActivity::ListenClosed), (3, FlowActivity::Closed)]
    );
    assert_eq!(
        fake.asked,
        [701, 702, 703],
        "each socket is looked for once"
    );
}

#[test]
fn a_connection_is_told_once_it_is_made() {
    let (mut table, mut fake) = (FlowTable::default(), Fake::default());
    table.scan(&[], 1_000, &mut fake);
    let asking = Socket {
        state: State::Connecting,
        ..client(2)
    };
    assert!(table.scan(&[asking], 2_000, &mut fake).is_empty());
    let made = table.scan(&[client(2)], 3_000, &mut fake);
    assert_eq!(activities(&made), [(2, FlowActivity::Opened)]);
    assert_eq!(made[0].owner.as_ref().unwrap().pid, 7);
    assert_eq!(made[0].names[0].name, "idp.example");
    let other = Socket {
        state: State::Connecting,
        ..client(4)
    };
    table.scan(&[client(2), other], 4_000, &mut fake);
    assert!(
        table.scan(&[client(2)], 5_000, &mut fake).is_empty(),
        "it was never made"
    );
}

#[test]
fn one_that_waits_to_be_accepted_is_told_when_it_is_and_a_leftover_never() {
    let (mut table, mut fake) = (FlowTable::default(), Fake::default());
    table.scan(&[], 1_000, &mut fake);
    let waiting = Socket {
        inode: 0,
        uid: 0,
        ..client(2)
    };
    assert!(table.scan(&[waiting], 2_000, &mut fake).is_empty());
    let accepted = table.scan(&[client(2)], 3_000, &mut fake);
    assert_eq!(activities(&accepted), [(2, FlowActivity::Opened)]);
    assert!(accepted[0].owner.is_some());
    let gone = Socket {
        state: State::Gone,
        sent_bytes: Some(5),
        ..waiting
    };
    assert!(table.destroyed(&gone, 3_500, &fake).is_some());
    // The kernel remembers it for a while, without its process.
    assert!(table.scan(&[waiting], 4_000, &mut fake).is_empty());
    assert!(table.scan(&[], 5_000, &mut fake).is_empty());
}

#[test]
fn the_kernels_notice_is_exact_and_tells_of_what_no_scan_saw() {
    let (mut table, mut fake) = (FlowTable::default(), Fake::default());
    table.scan(&[client(2)], 1_000, &mut fake);
    let gone = |id, bytes| Socket {
        state: State::Gone,
        inode: 0,
        uid: 0,
        sent_bytes: Some(bytes),
        received_bytes: Some(0),
        ..client(id)
    };
    let known = table.destroyed(&gone(2, 10), 1_500, &fake).unwrap();
    assert_eq!(known.closed, Some(Moment::exact(1_500)));
    assert_eq!((known.sent_bytes, known.uid), (Some(10), Some(1001)));
    let short = table.destroyed(&gone(3, 1), 1_600, &fake).unwrap();
    assert_eq!(short.activity, FlowActivity::Closed);
    assert_eq!((short.owner, short.uid), (None, None));
    assert_eq!(short.opened.from_ms, Some(1_000));
    assert_eq!(
        table.destroyed(&gone(4, 0), 1_700, &fake),
        None,
        "it was never made"
    );
    assert!(table.scan(&[], 2_000, &mut fake).is_empty());
}

#[test]
fn repeats_of_a_minute_are_told_once_with_their_count() {
    let (mut table, mut fake) = (FlowTable::default(), Fake::default());
    table.scan(&[], 0, &mut fake);
    // Inodes below 800 belong to one process.
    let first = table.scan(&[client(1)], 1_000, &mut fake);
    assert_eq!(activities(&first), [(1, FlowActivity::Opened)]);
    assert!(
        table
            .scan(&[client(1), client(2), client(3)], 2_000, &mut fake)
            .is_empty()
    );
    let ended = table.scan(&[client(3)], 3_000, &mut fake);
    assert_eq!(
        activities(&ended),
        [(1, FlowActivity::Closed)],
        "the counted one is not told"
    );
    let folded = table.scan(&[client(3)], 61_000, &mut fake);
    assert_eq!(activities(&folded), [(2, FlowActivity::Repeated)]);
    let repeats = folded[0].repeats.unwrap();
    assert_eq!((repeats.count, repeats.closed), (2, 1));
    let rest = table.scan(&[], 62_000, &mut fake);
    assert_eq!(
        activities(&rest),
        [(3, FlowActivity::Closed)],
        "it outlived its window"
    );
}

#[test]
fn a_flood_of_sockets_is_bounded_and_counted() {
    let (mut table, mut fake) = (FlowTable::default(), Fake::default());
    let many: Vec<Socket> = (0..u64::try_from(SOCKETS_MAX).unwrap() + 3)
        .map(|id| socket(id, State::Connected, "10.0.0.1:1", "10.0.0.9:443"))
        .collect();
    table.scan(&many, 1_000, &mut fake);
    assert_eq!(table.sockets.len(), SOCKETS_MAX);
    assert_eq!(table.take_lost(), 3);
}

#[test]
fn without_a_change_what_comes_next_is_known_to_be_younger() {
    let (mut table, mut fake) = (FlowTable::default(), Fake::default());
    let mut nothing = |flow| panic!("told {flow:?}");
    table.note_unchanged(500, &mut nothing);
    let first = table.scan(&[client(2)], 1_000, &mut fake);
    assert_eq!(first[0].opened.from_ms, None, "only a scan knows them all");
    table.note_unchanged(9_000, &mut nothing);
    let told = table.scan(&[client(2), client(3)], 9_250, &mut fake);
    let opened = Moment {
        from_ms: Some(9_000),
        until_ms: 9_250,
    };
    assert_eq!(told[0].opened, opened);
    assert_eq!(fake.asked, [702, 703]);
}

#[test]
fn repeats_are_told_also_while_nothing_changes() {
    let (mut table, mut fake) = (FlowTable::default(), Fake::default());
    table.scan(&[], 1_000, &mut fake);
    table.scan(&[client(2), client(3)], 2_000, &mut fake);
    let mut told = Vec::new();
    table.note_unchanged(70_000, &mut |flow| told.push(flow));
    assert_eq!(activities(&told), [(3, FlowActivity::Repeated)]);
}

#[test]
fn a_connection_that_nobody_took_yet_is_waited_for() {
    let (mut table, mut fake) = (FlowTable::default(), Fake::default());
    let untaken = Socket {
        inode: 0,
        ..client(2)
    };
    assert!(table.scan(&[untaken], 1_000, &mut fake).is_empty());
    assert!(table.has_waiting());
    assert!(table.scan(&[untaken], 1_500, &mut fake).is_empty());
    assert!(table.has_waiting());
    assert_eq!(table.scan(&[client(2)], 2_000, &mut fake).len(), 1);
    assert!(!table.has_waiting());
    // Its process has left it, and it is still told as closed: nothing is waited for.
    table.scan(&[untaken], 3_000, &mut fake);
    assert!(!table.has_waiting());
}
