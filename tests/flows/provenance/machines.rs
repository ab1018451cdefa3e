//! Machines in network namespaces with a provider in another, from the sign-in that is seen to the machine that cannot
//! say: one timeline for all, each of the people with one reason.
//!
//! ```text
//! [ server ] [ provider :443 :3128 ] [ well ] [ open ] [ stopped ] [ paused ]
//!     a namespace and an address each
//! ```
//!
//! *An hour ago* is made from the other side: the connection is made now and stays, and the sign-in is dated 50 minutes
//! later. *Locked* is what a stand-in for logind says on a bus of the test's own; the agent reads it as it reads any
//! machine's.

use std::net::TcpStream;

use nix::sys::signal::Signal;
use tocsin_tests::desk::Desk;
use tocsin_tests::network::{Namespace, Network};
use tocsin_tests::sandbox::has_or_skips;
use tocsin_tests::sign_in::Visit;

use super::*;

/// Accounts of the machines that need no name.
const IVY: u32 = 21_005;
const FAY: u32 = 21_006;

/// How much younger than its connection a sign-in is that found it open.
const OLD_MS: i64 = 50 * 60_000;

/// What all cases share.
struct Scene<'a> {
    sandbox: &'a Sandbox,
    console: Console<'a>,
    browser: Browser,
    service: Service,
    proxy: Service,
}

/// The namespaces of the machines.
struct Places<'n> {
    well: &'n Namespace,
    open: &'n Namespace,
    stopped: &'n Namespace,
    paused: &'n Namespace,
}

impl Scene<'_> {
    fn visit(&self, at: &Namespace, uid: u32) -> Result<Visit> {
        self.browser
            .visit_from(Place::Inside(at), &self.service, uid)
    }

    /// A connection of nobody to nowhere, so that the machine has something newer to tell.
    fn stir(&self, at: &Namespace) -> Result<()> {
        let proxy = self.proxy.address()?;
        at.enter(|| {
            drop(TcpStream::connect(proxy)?);
            Ok(())
        })
    }

    /// The reason, by its value and its words, in JSON and on the screen.
    fn lacks(
        &self,
        cast: &Cast,
        (name, time_ms): (&str, i64),
        (what, words): (&str, &str),
    ) -> Result<()> {
        let told = cast.told(&self.console, (name, time_ms), lacks(what))?;
        let reason = reason(&told, words)?;
        is_shown(&self.console, &cast.of(name)?.login, &reason)
    }
}

/// What the server is told of where all of it stands.
pub(super) fn config(service: &Service) -> Result<String> {
    Ok(format!(
        "[network]\nsite = [{{ name = \"office\", seen = [\"10.77.0.0/24\"], public = [\"{}\"] }}]\n\
         [sign_in]\nservice = [{{ provider = \"okta\", at = [\"{}\"], only = true }}]\n",
        Origin::office(7).ip,
        service.address()?
    ))
}

/// A server that is told so, in a namespace of its own.
pub(super) fn server<'a>(
    sandbox: &Sandbox,
    namespace: &'a Namespace,
    config: &'a str,
) -> Result<Server<'a>> {
    let setup = Setup {
        place: Place::Inside(namespace),
        config,
        ..Setup::default()
    };
    Server::start_with(sandbox, setup)
}

#[test]
fn where_a_sign_in_came_from_is_known_of_machines_that_could_have_shown_it() {
    if !is_root_or_skips("machines in network namespaces")
        || !has_or_skips(&["dbus-daemon", "setpriv"], "a session that is locked")
    {
        return;
    }
    flow(|sandbox| {
        open_to_all(sandbox.path())?;
        let network = Network::new()?;
        let (at_server, at_provider) = (network.namespace()?, network.namespace()?);
        let (well, open) = (network.namespace()?, network.namespace()?);
        let (stopped, paused) = (network.namespace()?, network.namespace()?);
        let service = Service::start_in(&at_provider, 443)?;
        let config = config(&service)?;
        let server = server(sandbox, &at_server, &config)?;
        let scene = Scene {
            sandbox,
            console: server.admin(),
            browser: Browser::new(sandbox)?,
            service,
            proxy: Service::start_in(&at_provider, 3_128)?,
        };
        let places = Places {
            well: &well,
            open: &open,
            stopped: &stopped,
            paused: &paused,
        };
        run(&scene, &server, &places)
    });
}

/// The machines' agents.
struct Agents<'n> {
    well: Agent<'n>,
    open: Agent<'n>,
    stopped: Agent<'n>,
    paused: Agent<'n>,
}

impl<'n> Agents<'n> {
    fn start(
        scene: &Scene<'_>,
        server: &Server<'_>,
        (at, desk): (&Places<'n>, &Desk),
    ) -> Result<Self> {
        let sandbox = scene.sandbox;
        let mut well = Agent::new(sandbox, Place::Inside(at.well))?;
        well.set_variable("DBUS_SYSTEM_BUS_ADDRESS", desk.address().to_owned());
        well.enroll(server, &server.token(1)?)?;
        well.run()?;
        let mut agents = Self {
            well,
            open: Agent::start(sandbox, Place::Inside(at.open), server)?,
            stopped: Agent::start(sandbox, Place::Inside(at.stopped), server)?,
            paused: Agent::start(sandbox, Place::Inside(at.paused), server)?,
        };
        let all = [
            &mut agents.well,
            &mut agents.open,
            &mut agents.stopped,
            &mut agents.paused,
        ];
        for agent in all {
            agent.sensing_flows(&scene.console)?;
        }
        Ok(agents)
    }

    fn link(&self, cast: &Cast, console: &Console<'_>) -> Result<()> {
        let id = self.well.id()?;
        let of_well = [
            ("dana", DANA),
            ("eli", ELI),
            ("hal", HAL),
            ("ivy", IVY),
            ("fay", FAY),
        ];
        for (name, uid) in of_well {
            cast.link(console, &id, name, uid)?;
        }
        cast.link(console, &self.open.id()?, "gil", GIL)?;
        cast.link(console, &self.stopped.id()?, "bob", DANA)?;
        cast.link(console, &self.paused.id()?, "cyd", DANA)
    }
}

/// When what happens is dated.
#[derive(Clone, Copy)]
struct Times {
    /// While Dana's browser is there.
    here_ms: i64,
    /// While nobody is.
    away_ms: i64,
    /// Long after Gil's connection was made.
    later_ms: i64,
}

fn run(scene: &Scene<'_>, server: &Server<'_>, at: &Places<'_>) -> Result<()> {
    let console = &scene.console;
    let names = ["dana", "eli", "fay", "hal", "ivy", "gil", "bob", "cyd"];
    let mut cast = Cast::new(&names);
    let desk = Desk::start(scene.sandbox, DANA, "dana")?;
    let mut agents = Agents::start(scene, server, (at, &desk))?;
    let old = scene.visit(at.open, GIL)?;
    let times = act(scene, &mut cast, (at, &desk, &mut agents))?;
    cast.import(scene.sandbox, console)?;
    agents.link(&cast, console)?;
    let id = agents.well.id()?;
    known(scene, &cast, (&id, times))?;
    let (here_ms, away_ms) = (times.here_ms, times.away_ms);
    let silent = ("not_reporting", "was not reporting at that time");
    let lacking = [
        (
            "eli",
            here_ms,
            ("other_user", "a process of another account"),
        ),
        ("ivy", here_ms, ("relay", "a proxy or remote browser")),
        ("gil", times.later_ms, ("already_open", "was already open")),
        ("hal", away_ms, ("no_control", "no positive control")),
        ("bob", away_ms, silent),
        ("cyd", away_ms, silent),
    ];
    for (name, time_ms, reason) in lacking {
        scene.lacks(&cast, (name, time_ms), reason)?;
    }
    drop(old);
    unlinked(scene, &cast, (&id, away_ms))
}

/// What the people do, and what becomes of their machines.
fn act(
    scene: &Scene<'_>,
    cast: &mut Cast,
    (at, desk, agents): (&Places<'_>, &Desk, &mut Agents<'_>),
) -> Result<Times> {
    let begin_ms = now_ms();
    let times = Times {
        here_ms: begin_ms + 29_000,
        away_ms: begin_ms + 49_000,
        later_ms: begin_ms + OLD_MS,
    };
    let (office, hoster) = (Origin::office(7), Origin::hoster(66));
    cast.denies("gil", &office, times.later_ms)?;

    // Dana signs in a few times, by one connection; Ivy's browser speaks with a proxy.
    let dana = scene.visit(at.well, DANA)?;
    for step in 1..=5 {
        let time_ms = begin_ms + 11_000 + step * 3_000;
        cast.signs_in(("dana", &office), time_ms, Answer::Approved)?;
    }
    wait_until(begin_ms + 25_000);
    let place = Place::Inside(at.well);
    let ivy = scene.browser.visit_from(place, &scene.proxy, IVY)?;
    for name in ["dana", "eli", "ivy"] {
        cast.denies(name, &office, times.here_ms)?;
    }
    wait_until(begin_ms + 31_000);
    drop((dana, ivy));

    // Then nobody is there, one agent is stopped, and another stands still.
    desk.lock(true)?;
    agents.stopped.stop()?;
    agents.paused.process()?.signal(Signal::SIGSTOP)?;
    for name in ["dana", "hal", "fay", "bob", "cyd"] {
        cast.denies(name, &hoster, times.away_ms)?;
    }
    wait_until(times.away_ms + 10_000);
    scene.stir(at.well)?;
    Ok(times)
}

/// What is known of Dana: that it was here, and then that it was not, as her screen was locked.
fn known(scene: &Scene<'_>, cast: &Cast, (id, times): (&str, Times)) -> Result<()> {
    let here = cast.told(&scene.console, ("dana", times.here_ms), is("here"))?;
    ensure!(here["endpoint"] == id, "{here}");
    ensure!(here["event_ids"][0].is_string(), "{here}");
    let away = cast.told(&scene.console, ("dana", times.away_ms), |told| {
        told["verdict"] == "elsewhere" && told["confidence"] == "strong"
    })?;
    let locked = reason(&away, "was locked or nobody was logged in")?;
    is_shown(&scene.console, &cast.of("dana")?.login, &locked)
}

/// Fay's link is taken away again.
fn unlinked(scene: &Scene<'_>, cast: &Cast, (id, away_ms): (&str, i64)) -> Result<()> {
    scene.lacks(
        cast,
        ("fay", away_ms),
        ("no_control", "no positive control"),
    )?;
    let login = cast.of("fay")?.login;
    let uid = FAY.to_string();
    let unlink = [
        "identities",
        "unlink",
        &login,
        "--endpoint",
        id,
        "--user",
        &uid,
    ];
    scene
        .console
        .run(&unlink)?
        .succeeded(&["identities", "unlink"])?;
    scene.lacks(cast, ("fay", away_ms), ("no_endpoint", "no"))
}
