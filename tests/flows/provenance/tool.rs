//! A remote-support tool on the person's machine: what happens there speaks for nothing harmless, and the tool is
//! evidence whether it began before the prompts or after the approval.
//!
//! One tool serves both orders: of two people on that machine, one's prompts are dated behind its start.

use tocsin_tests::network::Network;
use tocsin_tests::sandbox::has_or_skips;

use super::*;

#[test]
fn a_remote_support_tool_takes_the_credit_and_is_evidence_in_both_orders() {
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
        let mut agent = Agent::start(sandbox, place, &server)?;
        agent.sensing_flows(&console)?;
        agent.sensing_processes(&console)?;
        let endpoint = agent.id()?;

        // Dana's prompts and approval are over; Eli's begin in ten minutes; Hal signs in while the tool runs.
        let begin_ms = now_ms();
        let mut cast = Cast::new(&["dana", "hal"]);
        cast.add("eli", begin_ms + 55 * 60_000);
        let mut tool = remote_support(sandbox, place)?;
        // The clock is known since the agent is there: a window lies after that.
        wait_until(begin_ms + 13_000);
        let visit = browser.visit_from(place, &service, HAL)?;
        let here_ms = begin_ms + 16_000;
        cast.signs_in(("hal", &Origin::office(7)), here_ms, Answer::Unanswered)?;
        wait_until(begin_ms + 19_000);
        visit.end();
        cast.import(sandbox, &console)?;
        for (name, uid) in [("dana", DANA), ("eli", ELI), ("hal", HAL)] {
            cast.link(&console, &endpoint, name, uid)?;
        }

        let here = cast.told(&console, ("hal", here_ms), is("here"))?;
        let refused = reason(&here, "no sign of an ordinary sign-in: AnyDesk was present")?;
        is_shown(&console, &cast.of("hal")?.login, &refused)?;
        for (name, order) in [
            ("dana", "after the last prompt"),
            ("eli", "before the first prompt"),
        ] {
            let login = cast.of(name)?.login;
            let summary = eventually("the tool is evidence", TOLD_LIMIT, || {
                Ok(tool_evidence(&console, &login).ok())
            })?;
            ensure!(summary.contains(order), "{name}: {summary}");
            is_shown(&console, &login, &summary)?;
        }
        tool.kill()?;
        tool.wait()?;
        Ok(())
    });
}
