//! The sensor on this machine's own kernel. Needs root; without it each test says so and passes.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use nix::sched::{CloneFlags, unshare};

use super::*;
use crate::sensor::network::flow::{Direction, FlowActivity};

/// What was told and lost.
#[derive(Default)]
struct Told {
    flows: RefCell<Vec<Flow>>,
    lost: RefCell<Vec<Option<u64>>>,
}

impl NetworkSink for Told {
    fn running(&self, _detail: String) {}

    fn observed(&self, flows: Vec<Flow>) {
        self.flows.borrow_mut().extend(flows);
    }

    fn lost(&self, lost: Option<u64>, _from_ms: i64, _until_ms: i64) {
        self.lost.borrow_mut().push(lost);
    }
}

/// Runs `work` in a network namespace of its own, with a loopback that is up.
fn in_new_namespace(work: impl FnOnce() + Send) {
    if let Err(error) = load(64 << 10) {
        println!("skipped: {error}");
        return;
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
                println!("skipped: no new network namespace: {error}");
                return;
            }
            let up = Command::new("ip")
                .args(["link", "set", "lo", "up"])
                .status();
            if !up.is_ok_and(|status| status.success()) {
                println!("skipped: ip is missing");
                return;
            }
            work();
        });
    });
}

fn watch(ring_bytes: u32, told: &Told) -> Watch<'_> {
    let mut watch = Watch::new(load(ring_bytes).unwrap(), told).unwrap();
    watch.scan().unwrap();
    watch
}

/// A connection that carries a byte each way; its client's ends.
fn visit(listener: &TcpListener) -> (SocketAddr, SocketAddr) {
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let mut byte = [7];
    client.write_all(&byte).unwrap();
    server.read_exact(&mut byte).unwrap();
    server.write_all(&byte).unwrap();
    client.read_exact(&mut byte).unwrap();
    let ends = (client.local_addr().unwrap(), client.peer_addr().unwrap());
    drop((client, server));
    ends
}

/// A listener at an address of its own: others would be repeats.
fn listen(number: u8) -> TcpListener {
    TcpListener::bind((std::net::Ipv4Addr::new(127, 9, 9, number), 21_500)).unwrap()
}

#[test]
fn connections_of_a_millisecond_are_told_with_their_process_and_bytes() {
    in_new_namespace(|| {
        let told = Told::default();
        let mut watch = watch(1 << 20, &told);
        let listeners: Vec<TcpListener> = (1..=100).map(listen).collect();
        let clients: Vec<(SocketAddr, SocketAddr)> = listeners.iter().map(visit).collect();
        assert!(watch.look().unwrap());
        let flows = told.flows.borrow();
        let this = std::env::current_exe().unwrap().display().to_string();
        for client in &clients {
            let of = |activity| {
                let is = |flow: &&Flow| {
                    (flow.local, flow.remote) == *client && flow.activity == activity
                };
                let mut found = flows.iter().filter(is);
                let flow = found.next().expect("it is told");
                assert!(found.next().is_none(), "once");
                flow
            };
            let (opened, closed) = (of(FlowActivity::Opened), of(FlowActivity::Closed));
            for flow in [opened, closed] {
                assert_eq!(flow.direction, Some(Direction::Outbound));
                let owner = flow.owner.as_ref().unwrap();
                assert_eq!((owner.pid, &owner.executable), (std::process::id(), &this));
            }
            assert_eq!(opened.id, closed.id);
            // The kernel counts the beginning and the end of each direction as a byte.
            let bytes = (closed.sent_bytes, closed.received_bytes);
            assert_eq!(bytes, (Some(3), Some(2)));
        }
        // The other ends are all of one client to one port: the first is told, the others are repeats.
        let mut inbound = flows.iter();
        let inbound = inbound.find(|flow| flow.direction == Some(Direction::Inbound));
        let owner = inbound.unwrap().owner.as_ref().unwrap();
        assert_eq!(owner.pid, std::process::id());
        assert!(told.lost.borrow().is_empty());
    });
}

#[test]
fn a_refused_connection_is_none_and_listeners_come_and_go() {
    in_new_namespace(|| {
        let told = Told::default();
        let mut watch = watch(1 << 20, &told);
        assert!(TcpStream::connect("127.0.0.1:21501").is_err());
        let listener = TcpListener::bind("127.0.0.1:21502").unwrap();
        drop(listener);
        watch.look().unwrap();
        let flows = told.flows.borrow();
        let activities: Vec<FlowActivity> = flows.iter().map(|flow| flow.activity).collect();
        let expected = [FlowActivity::Listening, FlowActivity::ListenClosed];
        assert_eq!(activities, expected);
        assert_eq!(flows[0].owner.as_ref().unwrap().pid, std::process::id());
    });
}

#[test]
fn what_was_there_before_is_observed_and_its_end_is_told() {
    in_new_namespace(|| {
        let told = Told::default();
        let listener = TcpListener::bind("127.0.0.1:21503").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let mut watch = watch(1 << 20, &told);
        let address = client.local_addr().unwrap();
        drop((client, server));
        watch.look().unwrap();
        let flows = told.flows.borrow();
        let of: Vec<FlowActivity> = flows
            .iter()
            .filter(|flow| flow.local == address)
            .map(|flow| flow.activity)
            .collect();
        assert_eq!(of, [FlowActivity::Observed, FlowActivity::Closed]);
    });
}

#[test]
fn another_namespaces_connections_are_not_told() {
    in_new_namespace(|| {
        let told = Told::default();
        let mut watch = watch(1 << 20, &told);
        let outside = crate::sensor::process::in_initial(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            visit(&listener)
        });
        outside.unwrap();
        assert!(!watch.look().unwrap());
        assert!(told.flows.borrow().is_empty());
    });
}

#[test]
fn what_a_full_ring_lost_is_told_to_the_record() {
    const VISITS: u64 = 50;
    in_new_namespace(|| {
        let told = Told::default();
        let mut watch = watch(4 << 10, &told);
        let listener = listen(1);
        for _ in 0..VISITS {
            visit(&listener);
        }
        let mut read = 0;
        watch.programs.take(usize::MAX, |_| read += 1);
        assert!(watch.report_losses(clock::now_ms()).unwrap());
        // Of each: asked, two sides connected, two sides ended; and one accepted, where that can be seen.
        let accepts = if watch.sees_accepts { VISITS } else { 0 };
        let missing = 1 + 5 * VISITS + accepts - read;
        assert_eq!(*told.lost.borrow(), [Some(missing)]);
        watch.scan().unwrap();
        let flows = told.flows.borrow();
        let listening = flows
            .iter()
            .filter(|flow| flow.activity == FlowActivity::Listening);
        assert_eq!(listening.count(), 1, "found although it was lost");
    });
}
