//! Tests of the table of flows, on news made by hand.

use std::collections::HashMap;
use std::net::IpAddr;

use super::*;
use crate::sensor::network::diag::State;
use crate::sensor::network::flow::{FlowName, Repeats};

struct Nobody;

impl Lookup for Nobody {
    fn owners(&mut self, _sockets: &[Socket]) -> HashMap<u32, Arc<Owner>> {
        HashMap::new()
    }

    fn names(&self, _address: IpAddr, _now_ms: i64) -> Vec<FlowName> {
        Vec::new()
    }
}

fn socket(id: u64, local: &str, remote: &str) -> Socket {
    Socket {
        id: FlowId(id),
        state: State::Connected,
        local: local.parse().unwrap(),
        remote: remote.parse().unwrap(),
        uid: 1001,
        inode: 1,
        sent_bytes: Some(3),
        received_bytes: Some(4),
    }
}

fn by(pid: u32) -> Option<Arc<Owner>> {
    Some(Arc::new(Owner {
        pid,
        start_ticks: 5,
        executable: "/bin/x".into(),
        uid: Some(1001),
        login_uid: None,
        audit_session: None,
    }))
}

struct Story(FlowTable);

impl Story {
    fn tell(&mut self, news: News, socket: &Socket, pid: Option<u32>, ms: i64) -> Option<Flow> {
        self.0.news(news, (socket, pid.and_then(by)), ms, &Nobody)
    }

    fn look(&mut self, ms: i64) -> Vec<Flow> {
        let mut told = Vec::new();
        self.0.look(ms, &Nobody, &mut |flow| told.push(flow));
        told
    }
}

fn pid_of(flow: &Flow) -> Option<u32> {
    flow.owner.as_ref().map(|owner| owner.pid)
}

#[test]
fn a_connection_has_who_asked_for_it_and_the_ends_it_got() {
    let mut story = Story(FlowTable::default());
    let asked = socket(1, "10.0.0.1:0", "10.0.0.9:443");
    let made = socket(1, "10.0.0.1:40000", "10.0.0.9:443");
    assert_eq!(story.tell(News::Asked, &asked, Some(7), 100), None);
    let connected = News::Connected { is_inbound: false };
    let opened = story.tell(connected, &made, None, 120).unwrap();
    assert_eq!(opened.activity, FlowActivity::Opened);
    assert_eq!((pid_of(&opened), opened.local), (Some(7), made.local));
    assert_eq!(opened.opened, Moment::exact(120));
    assert_eq!(story.tell(connected, &made, None, 121), None, "once");
    let closed = story.tell(News::Ended, &made, None, 150).unwrap();
    assert_eq!(closed.activity, FlowActivity::Closed);
    assert_eq!((closed.sent_bytes, pid_of(&closed)), (Some(3), Some(7)));
    assert_eq!(story.tell(News::Ended, &made, None, 151), None);
}

#[test]
fn a_connection_that_was_never_made_is_none() {
    let mut story = Story(FlowTable::default());
    let mut asked = socket(1, "10.0.0.1:0", "10.0.0.9:443");
    (asked.sent_bytes, asked.received_bytes) = (Some(0), Some(0));
    story.tell(News::Asked, &asked, Some(7), 100);
    assert_eq!(story.tell(News::Ended, &asked, None, 120), None);
}

#[test]
fn one_from_outside_is_whose_that_accepts_it() {
    let mut story = Story(FlowTable::default());
    let listener = socket(1, "0.0.0.0:22", "0.0.0.0:0");
    let listening = story.tell(News::Listening, &listener, Some(8), 1);
    assert_eq!(listening.unwrap().activity, FlowActivity::Listening);
    let arrived = socket(2, "10.0.0.1:22", "10.0.0.9:50000");
    let connected = News::Connected { is_inbound: true };
    assert_eq!(story.tell(connected, &arrived, None, 100), None);
    let opened = story.tell(News::Accepted, &arrived, Some(9), 110).unwrap();
    assert_eq!(
        (opened.direction, pid_of(&opened)),
        (Some(Direction::Inbound), Some(9))
    );
    assert_eq!(opened.opened, Moment::exact(100));
    assert!(story.look(5_000).is_empty());
}

#[test]
fn one_that_nobody_is_seen_to_accept_is_whose_that_listens() {
    let mut story = Story(FlowTable::default());
    let listener = socket(1, "[::]:22", "[::]:0");
    story.tell(News::Listening, &listener, Some(8), 1);
    let connected = News::Connected { is_inbound: true };
    let arrived = socket(2, "10.0.0.1:22", "10.0.0.9:50000");
    story.tell(connected, &arrived, None, 100);
    assert!(story.look(100 + ACCEPTED_WITHIN_MS - 1).is_empty());
    let told = story.look(100 + ACCEPTED_WITHIN_MS);
    assert_eq!(told.len(), 1);
    assert_eq!(
        (told[0].activity, pid_of(&told[0])),
        (FlowActivity::Opened, Some(8))
    );
    // One that ends before is told by its end.
    let short = socket(3, "10.0.0.1:22", "10.0.0.10:50000");
    story.tell(connected, &short, None, 2_000);
    let closed = story.tell(News::Ended, &short, None, 2_001).unwrap();
    assert_eq!(
        (closed.direction, pid_of(&closed)),
        (Some(Direction::Inbound), Some(8))
    );
    assert!(story.look(10_000).is_empty());
}

#[test]
fn repeats_are_folded_and_counted() {
    let mut story = Story(FlowTable::default());
    for id in 1..=5 {
        let made = socket(id, &format!("10.0.0.1:{}", 40_000 + id), "10.0.0.9:443");
        let ms = i64::try_from(id).unwrap() * 10;
        story.tell(News::Asked, &made, Some(7), ms);
        let connected = News::Connected { is_inbound: false };
        let told = story.tell(connected, &made, None, ms);
        assert_eq!(told.is_some(), id == 1);
        assert_eq!(
            story.tell(News::Ended, &made, None, ms + 1).is_some(),
            id == 1
        );
    }
    let told = story.look(100_000);
    let expected = Repeats {
        count: 4,
        closed: 4,
        first_ms: 20,
        last_ms: 50,
    };
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].repeats, Some(expected));
}
