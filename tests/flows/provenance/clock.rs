//! A machine whose clock is 90 s off, so that nobody keeps it: where a sign-in was made is not said by it, although it was
//! off by the same all along.
//!
//! Linux has no namespace for the wall clock. The agent gets a library in front of the system's that moves the wall
//! clock alone, by as many seconds as stand in a file; it is built by the C compiler that also links Rust.

use std::path::PathBuf;

use tocsin_tests::network::Network;
use tocsin_tests::sandbox::has_or_skips;
use tocsin_tests::server;

use super::*;

/// How far behind the machine's clock is, seconds.
const BEHIND_S: i64 = 90;

const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
    long done = syscall(SYS_clock_gettime, clock, time);
    const char *path = getenv("TOCSIN_TEST_CLOCK");
    if (done == 0 && clock == CLOCK_REALTIME && path) {
        char text[16] = {0};
        int file = open(path, O_RDONLY | O_CLOEXEC);
        if (file >= 0) {
            if (read(file, text, sizeof text - 1) > 0)
                time->tv_sec += atol(text);
            close(file);
        }
    }
    return (int)done;
}
"#;

/// A clock that is off.
struct Clock {
    shim: PathBuf,
    seconds: PathBuf,
}

impl Clock {
    fn new(sandbox: &Sandbox) -> Result<Self> {
        let source = sandbox.file("clock.c", LIBRARY)?;
        let shim = sandbox.fresh("clock.so");
        let mut command = std::process::Command::new("cc");
        command.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&shim);
        server::run(command.arg(&source))?;
        let seconds = sandbox.file("clock", format!("-{BEHIND_S}"))?;
        Ok(Self { shim, seconds })
    }

    /// What an agent has to be told that is to go by it.
    fn tell(&self, agent: &mut Agent<'_>) {
        agent.set_variable("LD_PRELOAD", self.shim.display().to_string());
        agent.set_variable("TOCSIN_TEST_CLOCK", self.seconds.display().to_string());
    }
}

#[test]
fn a_clock_that_is_90_s_off_is_named() {
    if !is_root_or_skips("machines in network namespaces")
        || !has_or_skips(&["cc", "setpriv"], "a clock that is off")
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
        let clock = Clock::new(sandbox)?;
        let mut agent = Agent::new(sandbox, place)?;
        agent.enroll(&server, &server.token(1)?)?;
        clock.tell(&mut agent);
        agent.run()?;
        agent.sensing_flows(&console)?;
        let endpoint = agent.id()?;

        let office = Origin::office(7);
        let begin_ms = now_ms();
        // The clock is known since the agent is there: a window lies after that.
        wait_until(begin_ms + 13_000);
        let visit = browser.visit_from(place, &service, DANA)?;
        let here_ms = begin_ms + 16_000;
        cast.denies("dana", &office, here_ms)?;
        wait_until(begin_ms + 20_000);
        visit.end();
        cast.import(sandbox, &console)?;
        cast.link(&console, &endpoint, "dana", DANA)?;
        let words = "its clock was off by 90 s";
        let told = cast.told(&console, ("dana", here_ms), |told| {
            lacks("clock_uncertain")(told) && reason(told, words).is_ok()
        })?;
        is_shown(&console, &cast.of("dana")?.login, &reason(&told, words)?)
    });
}
