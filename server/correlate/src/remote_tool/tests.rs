//! The shipped catalogue against command lines as they are met, and against those that only look like it.

use super::*;

fn shipped() -> Catalogue {
    Catalogue::shipped().unwrap()
}

fn argv(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

/// Tool and confidence of a program's path and its arguments.
fn process(executable: &str, arguments: &str) -> Option<(String, Confidence)> {
    let mut line = vec![executable.to_owned()];
    line.extend(argv(arguments));
    let catalogue = shipped();
    let marked = catalogue.match_process(&ProcessFacts {
        executable,
        argv: &line,
    })?;
    Some((marked.tool.to_owned(), marked.confidence))
}

fn check(executable: &str, arguments: &str, expect: &str, confidence: Confidence) {
    assert_eq!(
        process(executable, arguments),
        Some((expect.to_owned(), confidence)),
        "{executable} {arguments}"
    );
}

#[test]
fn ssh_is_a_tunnel_only_where_it_opens_one() {
    let strong = Confidence::Strong;
    let ssh = "/usr/bin/ssh";
    check(
        ssh,
        "-fNR 2222:localhost:22 dana@192.0.2.1",
        "ssh-reverse",
        strong,
    );
    check(ssh, "-N -D 1080 host", "ssh-socks", strong);
    check(ssh, "-w 0:0 host", "ssh-device", strong);
    check(
        "/usr/bin/autossh",
        "-M 0 -N -R 1:h:2 host",
        "ssh-reverse",
        strong,
    );
    check(
        r"C:\Windows\System32\OpenSSH\ssh.exe",
        "-R 1:h:2 host",
        "ssh-reverse",
        strong,
    );
    check(
        r"C:\Tools\plink.exe",
        "-R 1:h:2 host",
        "ssh-reverse",
        strong,
    );
    for quiet in [
        "host",
        "-L 8080:localhost:80 host",
        "host ls -R /",
        "-J jump host",
    ] {
        assert_eq!(process(ssh, quiet), None, "{quiet}");
    }
}

#[test]
fn a_renamed_ssh_is_found_by_the_shape_of_what_it_is_asked() {
    let renamed = "/var/tmp/.cache/update";
    let line = "-N -R 2222:localhost:22 dana@192.0.2.1";
    check(renamed, line, "ssh-reverse", Confidence::Medium);
    for quiet in ["-R 1000:1000 dir", "-R pattern dir", "-Rn a:b:c dir"] {
        assert_eq!(process("/usr/bin/chown", quiet), None, "{quiet}");
    }
}

#[test]
fn remote_support_is_known_by_its_programs() {
    for (executable, tool) in [
        ("/usr/bin/anydesk", "anydesk"),
        (r"C:\Users\dana\Downloads\AnyDesk.exe", "anydesk"),
        ("/usr/bin/tmate", "tmate"),
        ("/usr/bin/rustdesk", "rustdesk"),
        (
            "/home/dana/Downloads/rustdesk-1.3.2-x86_64.AppImage",
            "rustdesk",
        ),
        ("/tmp/.mount_rustdeAb12/usr/bin/rustdesk", "rustdesk"),
        ("/opt/teamviewer/tv_bin/teamviewerd", "teamviewer"),
        (
            r"C:\Program Files (x86)\ScreenConnect Client (0a1b2c3d4e5f)\ScreenConnect.ClientService.exe",
            "screenconnect",
        ),
        (
            r"C:\Program Files (x86)\ScreenConnect Client (0a1b2c3d4e5f)\x.exe",
            "screenconnect",
        ),
        (
            r"C:\Program Files\WindowsApps\MicrosoftCorporationII.QuickAssist_2.0_x64__8\Microsoft.RemoteAssistance.QuickAssist\QuickAssist.exe",
            "quick-assist",
        ),
        (
            "/opt/google/chrome-remote-desktop/chrome-remote-desktop-host",
            "chrome-remote-desktop",
        ),
        (
            "/usr/local/mesh_services/meshagent/meshagent",
            "meshcentral",
        ),
        ("/usr/local/mesh_services/own/own64", "meshcentral"),
        (
            r"C:\Program Files (x86)\Splashtop\Splashtop Remote\Server\SRServer.exe",
            "splashtop",
        ),
        ("/usr/bin/x11vnc", "vnc"),
        ("/usr/sbin/xrdp-sesman", "xrdp"),
        ("/usr/NX/bin/nxserver.bin", "nomachine"),
        ("/tmp/anydesk (deleted)", "anydesk"),
    ] {
        check(executable, "", tool, Confidence::Strong);
    }
}

#[test]
fn tunnels_are_known_by_name_and_by_what_they_are_asked() {
    let strong = Confidence::Strong;
    check("/usr/local/bin/ngrok", "tcp 22", "ngrok", strong);
    check("/tmp/x", "config add-authtoken 1a2b", "ngrok", strong);
    check(
        "/tmp/x",
        "tcp 22 --authtoken=1a2b",
        "ngrok",
        Confidence::Medium,
    );
    check(
        "/usr/bin/cloudflared",
        "--no-autoupdate tunnel run --token x",
        "cloudflared",
        strong,
    );
    check(
        "/tmp/x",
        "--no-autoupdate tunnel run",
        "cloudflared",
        Confidence::Medium,
    );
    check(
        "/usr/bin/cloudflared",
        "access ssh --hostname h",
        "cloudflared",
        Confidence::Weak,
    );
    check("/opt/frp/frpc", "-c /etc/frpc.toml", "frp", strong);
    check("/tmp/x", "-c /tmp/frpc.toml", "frp", Confidence::Weak);
    check(
        "/tmp/x",
        "client https://192.0.2.1 R:socks",
        "chisel",
        strong,
    );
    check(
        "/tmp/x",
        "-connect 192.0.2.1:11601 -ignore-cert",
        "ligolo",
        strong,
    );
    check(
        "/usr/sbin/tailscaled",
        "be-child ssh --uid=1000",
        "tailscale-ssh",
        strong,
    );
    check("/usr/bin/tailscale", "up --ssh", "tailscale-ssh", strong);
    check("/usr/share/code/bin/code-tunnel", "", "dev-tunnel", strong);
    check("/usr/share/code/code", "tunnel", "dev-tunnel", strong);
    check("/usr/bin/microsocks", "-p 1080", "socks-server", strong);
}

#[test]
fn automation_is_known_by_switches_drivers_and_places() {
    let (strong, medium) = (Confidence::Strong, Confidence::Medium);
    let chrome = "/opt/google/chrome/chrome";
    check(
        chrome,
        "--remote-debugging-port=9222",
        "browser-debugging",
        strong,
    );
    check(
        chrome,
        "--enable-automation --headless",
        "browser-debugging",
        strong,
    );
    check(
        chrome,
        "--headless=new --dump-dom x",
        "browser-headless",
        medium,
    );
    check(
        "/tmp/x",
        "--remote-debugging-port=0 --user-data-dir=/tmp/p",
        "browser-debugging",
        medium,
    );
    check(
        "/usr/lib/firefox/firefox",
        "-marionette",
        "browser-debugging",
        strong,
    );
    check("/usr/bin/chromedriver", "--port=4444", "webdriver", strong);
    check(
        "/usr/bin/java",
        "-jar /opt/selenium-server-4.20.jar",
        "webdriver",
        strong,
    );
    check(
        "/usr/bin/node",
        "/a/node_modules/playwright-core/cli.js run-driver",
        "playwright",
        strong,
    );
    check(
        "/home/dana/.cache/ms-playwright/chromium-1140/chrome-linux/chrome",
        "about:blank",
        "playwright",
        strong,
    );
}

#[test]
fn what_only_has_the_name_is_not_marked() {
    for (executable, arguments) in [
        ("/usr/bin/vim", "/home/dana/anydesk.txt"),
        ("/usr/bin/evince", "teamviewer-manual.pdf"),
        ("/home/dana/bin/anydesk.txt", ""),
        ("/home/dana/src/anydesk/build.sh", ""),
        ("/usr/bin/grep", "-r rustdesk /etc"),
        ("/usr/bin/apt", "install x11vnc"),
        ("/usr/share/code/code", "."),
        ("/usr/share/code/code", "serve-web --port 8000"),
        (
            "/home/dana/.vscode-server/cli/servers/Stable-1/server/node",
            "out/server-main.js",
        ),
        ("/usr/lib/code-server/lib/node", "/usr/lib/code-server"),
        (
            "/usr/lib/libreoffice/program/soffice.bin",
            "--headless --convert-to pdf a.odt",
        ),
        ("/usr/bin/gnome-shell", "--headless"),
        (chrome(), "--type=renderer --lang=en"),
        ("/usr/bin/vim", "node_modules/playwright/index.js"),
        ("/usr/bin/nano", "frpc.toml"),
        ("/usr/bin/tailscale", "status"),
        ("/usr/bin/python3", "client.py R:x"),
        ("/usr/sbin/sshd", "-D -R"),
        ("", ""),
    ] {
        assert_eq!(
            process(executable, arguments),
            None,
            "{executable} {arguments}"
        );
    }
}

fn chrome() -> &'static str {
    "/opt/google/chrome/chrome"
}

#[test]
fn a_process_whose_file_is_unknown_is_known_by_its_own_name() {
    let catalogue = shipped();
    let line = argv("/usr/bin/ssh -R 1:h:2 host");
    let facts = |executable| ProcessFacts {
        executable,
        argv: &line,
    };
    let marked = catalogue.match_process(&facts("")).unwrap();
    assert_eq!(marked.tool, "ssh-reverse");
    assert_eq!(
        marked.sentence,
        "ssh reverse tunnel (tunnel): program named ssh, opens a way in from the other side"
    );
    assert_eq!(catalogue.match_process(&facts("/bin/busybox")), None);
}

fn flow(executable: &str, name: &str, remote_port: u16) -> Option<(String, Confidence)> {
    let catalogue = shipped();
    let marked = catalogue.match_flow(&FlowFacts {
        executable,
        names: &["cdn.example.com", name],
        remote_port,
    })?;
    Some((marked.tool.to_owned(), marked.confidence))
}

#[test]
fn flows_are_known_by_the_other_side() {
    let is = |tool: &str, confidence| Some((tool.to_owned(), confidence));
    let (strong, weak) = (Confidence::Strong, Confidence::Weak);
    assert_eq!(
        flow("/tmp/x", "relay-0a1b2c3d.net.anydesk.com", 443),
        is("anydesk", strong)
    );
    assert_eq!(
        flow("/tmp/x", "BOOT.NET.ANYDESK.COM.", 443),
        is("anydesk", strong)
    );
    assert_eq!(
        flow("/tmp/x", "router15.teamviewer.com", 443),
        is("teamviewer", strong)
    );
    assert_eq!(
        flow("/tmp/x", "a.router15.teamviewer.com", 443),
        is("teamviewer", strong)
    );
    assert_eq!(
        flow("", "connect.ngrok-agent.com", 443),
        is("ngrok", strong)
    );
    assert_eq!(flow("/usr/bin/ssh", "ny.tmate.io", 22), is("tmate", strong));
    assert_eq!(
        flow("/opt/teamviewer/tv_bin/teamviewerd", "", 443),
        is("teamviewer", strong)
    );
    assert_eq!(flow("/tmp/x", "", 21116), is("rustdesk", weak));
}

#[test]
fn a_page_of_a_maker_in_a_browser_is_a_weak_mark() {
    let weak = |tool: &str| Some((tool.to_owned(), Confidence::Weak));
    assert_eq!(flow(chrome(), "anydesk.com", 443), weak("anydesk"));
    assert_eq!(
        flow(chrome(), "x.screenconnect.com", 443),
        weak("screenconnect")
    );
}

#[test]
fn names_that_only_end_alike_are_not_marked() {
    for name in [
        "notanydesk.com",
        "net.anydesk.com.example.org",
        "xtmate.io",
        "com",
        "",
        "....",
    ] {
        assert_eq!(flow("/tmp/x", name, 443), None, "{name}");
    }
    assert_eq!(flow("/usr/bin/ssh", "host.example.com", 22), None);
}

#[test]
fn listeners_are_known_by_owner_and_weakly_by_port() {
    let listener = |executable, port| {
        let catalogue = shipped();
        let marked = catalogue.match_listener(&ListenerFacts { executable, port })?;
        Some((marked.tool.to_owned(), marked.confidence))
    };
    let is = |tool: &str, confidence| Some((tool.to_owned(), confidence));
    assert_eq!(
        listener("/usr/bin/x11vnc", 5900),
        is("vnc", Confidence::Strong)
    );
    assert_eq!(listener("/tmp/x", 5900), is("vnc", Confidence::Weak));
    assert_eq!(
        listener("/tmp/x", 1080),
        is("socks-server", Confidence::Medium)
    );
    assert_eq!(
        listener("/usr/bin/ssh", 8080),
        is("ssh-listener", Confidence::Weak)
    );
    assert_eq!(
        listener("/usr/libexec/gnome-remote-desktop-daemon", 3389),
        is("desktop-sharing", Confidence::Medium)
    );
    assert_eq!(listener("/usr/sbin/sshd", 22), None);
    assert_eq!(listener("", 0), None);
}

#[test]
fn every_shipped_entry_says_what_it_rests_on_and_has_a_mark_to_look_up() {
    let catalogue = shipped();
    assert!(catalogue.tools.len() >= 40);
    for (index, tool) in catalogue.tools.iter().enumerate() {
        assert!(
            !tool.basis.is_empty() && !tool.name.is_empty(),
            "{}",
            tool.id
        );
        assert!(
            catalogue.marks.iter().any(|(owner, _)| *owner == index),
            "{}",
            tool.id
        );
    }
}

#[test]
fn an_operators_entry_comes_beside_or_instead_of_the_shipped_one() {
    let own = "tool anydesk\n off\ntool own-help\n name Own Help\n kind remote_support\n basis ours\n \
               mark strong process ownhelp @browser\n";
    let catalogue = Catalogue::with(own).unwrap();
    let tool = |executable| {
        let facts = ProcessFacts {
            executable,
            argv: &[],
        };
        catalogue.match_process(&facts).map(|marked| marked.tool)
    };
    assert_eq!(tool("/usr/bin/anydesk"), None);
    assert_eq!(tool("/usr/bin/OwnHelp"), Some("own-help"));
    assert_eq!(tool(chrome()), Some("own-help"));
    assert_eq!(tool("/usr/bin/rustdesk"), Some("rustdesk"));
}

#[test]
fn a_wrong_line_is_named_with_its_cure() {
    let head = "tool a\nname A\nkind tunnel\nbasis b\n";
    let refused = |line: &str| Catalogue::with(&format!("{head}{line}\n")).unwrap_err();
    for (line, what) in [
        ("mark sure process a", "line 5: 'sure' is no confidence"),
        ("mark weak", "line 5: a mark needs 1 to 6 terms"),
        ("mark weak listens *", "line 5: a mark needs 1 to 6 terms"),
        (
            "mark weak forward remote",
            "line 5: a mark needs 1 to 6 terms",
        ),
        (
            "mark weak process *",
            "line 5: 'process': '*' would match anything",
        ),
        (
            "mark weak process @none",
            "line 5: 'process': no set 'none'",
        ),
        ("mark weak port 0", "line 5: 'port': that is no port"),
        ("mark weak port 70000", "line 5: 'port': that is no port"),
        ("mark weak domain a", "line 5: 'domain': that is no name"),
        ("mark weak process", "line 5: 'process': no words"),
        ("mark weak image a", "line 5: 'image': no such term"),
        ("mark weak folder \"a", "line 5: a '\"' is not closed"),
        ("kind other", "line 5: 'other' is no kind"),
        ("colour red", "line 5: 'colour' is no line of an entry"),
        ("tool a", "line 5: 'a' is named twice"),
        ("tool A B", "line 5: a tool's id is one word"),
        ("set x", "line 5: a set has no words"),
        ("# nothing", "line 1: 'a' has no mark"),
    ] {
        let text = refused(line).to_string();
        assert!(text.starts_with(what), "{line}: {text}");
        assert!(!refused(line).cure.is_empty());
    }
    assert_eq!(Catalogue::with("name A").unwrap_err().line, 1);
    assert_eq!(
        Catalogue::with(&"#".repeat(CATALOGUE_BYTES_MAX + 1))
            .unwrap_err()
            .line,
        0
    );
}

#[test]
fn an_error_shows_no_control_characters_of_the_text() {
    let error = Catalogue::with("tool a\n\u{1b}[31m x\n")
        .unwrap_err()
        .to_string();
    assert!(!error.contains('\u{1b}'), "{error:?}");
}

#[test]
fn a_larger_catalogue_looks_at_no_more_marks_for_a_process() {
    let mut own = String::new();
    for index in 0..2000 {
        own.push_str(&format!(
            "tool x{index}\nname X\nkind tunnel\nbasis b\nmark weak process px{index} px{index}-*\n\
             mark weak argument --x{index}=*\n"
        ));
    }
    let (small, large) = (shipped(), Catalogue::with(&own).unwrap());
    let line = argv("chrome --remote-debugging-port=1 --headless /a/px1/b");
    let facts = ProcessFacts {
        executable: chrome(),
        argv: &line,
    };
    assert_eq!(small.looked_at(&facts), large.looked_at(&facts));
    assert!(small.looked_at(&facts) < 12, "{}", small.looked_at(&facts));
    let quiet = ProcessFacts {
        executable: "/usr/bin/ls",
        argv: &[],
    };
    assert_eq!(large.looked_at(&quiet), 0);
}

proptest::proptest! {
    #[test]
    fn nothing_that_a_machine_says_is_too_strange(
        executable in ".{0,60}",
        argv in proptest::collection::vec(".{0,20}", 0..8),
        own in "(tool|set|mark|name|off|weak|process|\"|[*@a-z0-9 \n]){0,40}",
    ) {
        let facts = ProcessFacts { executable: &executable, argv: &argv };
        let catalogue = shipped();
        catalogue.match_process(&facts);
        let names = [executable.as_str()];
        catalogue.match_flow(&FlowFacts { executable: &executable, names: &names, remote_port: 1 });
        if let Err(error) = Catalogue::with(&own) {
            proptest::prop_assert!(!error.cure.is_empty());
        }
    }
}
