//! A machine that saw nothing of a sign-in, and lost some of what it should have seen at that time: nobody can say that
//! the sign-in did not come from there. With nothing lost, the same machine shows that it did not.
//!
//! The loss is the kernel's own: more connections than it holds for the agent, made while the agent stands still for a
//! moment. How much was lost the kernel counts, and the agent tells it as a gap.

use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use nix::sys::signal::Signal;
use tocsin_tests::network::{Namespace, Network};
use tocsin_tests::sandbox::has_or_skips;

use super::*;

/// Connections that are made and ended while the agent stands still: each is told several times, and the kernel holds
/// 4 MiB of that for the agent.
const FLOOD: usize = 20_000;

/// A port of the machine that nothing else uses.
const PORT: u16 = 20_000;

/// Makes connections within the machine and ends them.
fn connect(at: &Namespace, count: usize) -> Result<()> {
    at.enter(|| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT))?;
        let address = listener.local_addr()?;
        for _ in 0..count {
            let client = TcpStream::connect(address)?;
            let (mut peer, _) = listener.accept()?;
            drop(client);
            // Its end is read, so that this side waits for nothing.
            let _end = peer.read(&mut [0])?;
        }
        Ok(())
    })
}

#[test]
fn what_was_lost_around_a_sign_in_forbids_to_say_that_it_was_elsewhere() {
    if !is_root_or_skips("machines in network namespaces")
        || !has_or_skips(&["setpriv"], "browsers of several accounts")
    {
        return;
    }
    flow(|sandbox| {
        open_to_all(sandbox.path())?;
        let network = Network::new()?;
        let (at_server, at_provider) = (network.namespace()?, network.namespace()?);
        let machine = network.namespace()?;
        let place = Place::Inside(&machine);
        let service = Service::start_in(&at_provider, 443)?;
        let config = machines::config(&service)?;
        let server = machines::server(sandbox, &at_server, &config)?;
        let console = server.admin();
        let browser = Browser::new(sandbox)?;
        let mut cast = Cast::new(&["dana"]);
        let mut agent = Agent::start(sandbox, place, &server)?;
        agent.sensing_flows(&console)?;
        let endpoint = agent.id()?;

        // Sign-ins of hers are seen there, so that not seeing one means something.
        let (office, hoster) = (Origin::office(7), Origin::hoster(66));
        let begin_ms = now_ms();
        wait_until(begin_ms + 12_000);
        let visit = browser.visit_from(place, &service, DANA)?;
        for step in 1..=4 {
            let time_ms = begin_ms + 12_000 + step * 3_000;
            cast.signs_in(("dana", &office), time_ms, Answer::Approved)?;
        }
        wait_until(begin_ms + 26_000);
        visit.end();
        // With nobody there and nothing lost it was not here.
        let away_ms = begin_ms + 46_000;
        cast.denies("dana", &hoster, away_ms)?;
        wait_until(away_ms + 10_000);
        // Something newer to tell, as every machine has.
        connect(&machine, 1)?;
        cast.import(sandbox, &console)?;
        cast.link(&console, &endpoint, "dana", DANA)?;
        cast.told(&console, ("dana", away_ms), is("elsewhere"))?;

        let process = agent.process()?;
        process.signal(Signal::SIGSTOP)?;
        let lost_ms = now_ms();
        let flooded = connect(&machine, FLOOD);
        process.signal(Signal::SIGCONT)?;
        flooded?;
        cast.denies("dana", &hoster, lost_ms)?;
        wait_until(now_ms() + 15_000);
        connect(&machine, 1)?;
        cast.import(sandbox, &console)?;
        let told = cast.told(&console, ("dana", lost_ms), lacks("lost_events"))?;
        let reason = reason(&told, "lost")?;
        is_shown(&console, &cast.of("dana")?.login, &reason)?;
        let gaps = ["events", "search", "--endpoint", &endpoint, "--kind", "gap"];
        ensure!(!console.rows(&gaps)?.is_empty(), "the loss is an event");
        Ok(())
    });
}
