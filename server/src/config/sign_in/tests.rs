//! What `[sign_in]` and `[remote_tool]` may say, what it comes to mean, and how a mistake in it is named.

use tocsin_proto::telemetry::v1 as wire;

use super::super::Config;
use super::*;

fn parse(text: &str) -> Result<Config, String> {
    parse_beside(text, Path::new("config.toml"))
}

fn parse_beside(text: &str, path: &Path) -> Result<Config, String> {
    Config::parse(text, path).map_err(|error| crate::rpc::status::chain(&error))
}

fn refused(text: &str, expect: &str) {
    let error = parse(text).unwrap_err();
    assert!(error.contains(expect), "{text}: {error}");
}

fn listed(count: usize) -> String {
    let names: Vec<_> = (0..count)
        .map(|n| format!("\"h{n}.example.com\""))
        .collect();
    names.join(",")
}

const SERVICE: &str = r#"
[[sign_in.service]]
provider = "okta"
names = [" Login.Example.com. ", "*.id.example.com"]
at = ["198.51.100.10:443", "[2001:db8::1]:8443", "2001:db8::2", "::ffff:198.51.100.11", "Idp.Example.com:444", "idp2.example.com"]
only = true
"#;

const GATEWAY: &str = r#"
[[sign_in.gateway]]
application = " Acme VPN* "
kind = "vpn"
at = ["vpn.example.com:443"]
"#;

const RELAY: &str = r#"
[[sign_in.relay]]
what = " web proxy "
at = ["192.0.2.8:3128"]
"#;

#[test]
fn services_are_read_with_names_and_addresses_folded() {
    let service = &parse(SERVICE).unwrap().sign_in.services[0];
    assert_eq!((&*service.provider, service.is_only), ("okta", true));
    assert_eq!(service.names, ["login.example.com", "*.id.example.com"]);
    let points: Vec<_> = service
        .points
        .iter()
        .map(|point| (&*point.host, point.port))
        .collect();
    let expected = [
        ("198.51.100.10", Some(443)),
        ("2001:db8::1", Some(8443)),
        ("2001:db8::2", None),
        ("198.51.100.11", None),
        ("idp.example.com", Some(444)),
        ("idp2.example.com", None),
    ];
    assert_eq!(points, expected);
    assert!(service.shared_with.is_empty() && !service.speaks_quic);
    let least = "[[sign_in.service]]\nprovider = \"duo\"\nnames = [\"duo.example.com\"]";
    let service = &parse(least).unwrap().sign_in.services[0];
    assert!(!service.is_only && service.points.is_empty());
}

#[test]
fn gateways_and_relays_are_read() {
    let sign_in = parse(&format!("{GATEWAY}{RELAY}")).unwrap().sign_in;
    let gateway = &sign_in.gateways[0];
    assert_eq!(
        (&*gateway.application, gateway.kind),
        ("acme vpn*", GatewayKind::Vpn)
    );
    assert_eq!(gateway.points[0].host, "vpn.example.com");
    for (word, kind) in [("radius", GatewayKind::Radius), ("ldap", GatewayKind::Ldap)] {
        let text = GATEWAY.replace("\"vpn\"", &format!("\"{word}\""));
        assert_eq!(parse(&text).unwrap().sign_in.gateways[0].kind, kind);
    }
    let relay = &sign_in.relays[0];
    assert_eq!((&*relay.what, relay.points.len()), ("web proxy", 1));
    let point = &relay.points[0];
    assert_eq!((&*point.host, point.port), ("192.0.2.8", Some(3128)));
}

#[test]
fn what_is_added_is_known_beside_what_is_built_in() {
    let known = |text: &str, host: &str| {
        let tracer = parse(text).unwrap().tracer();
        tracer.directory.is_known(&[], host.parse().unwrap(), 443)
    };
    assert!(known(SERVICE, "198.51.100.10"));
    assert!(!known("", "198.51.100.10"));
    let (with, without) = (parse(RELAY).unwrap().tracer(), parse("").unwrap().tracer());
    assert!(!without.directory.services.is_empty());
    assert_eq!(with.directory.services, without.directory.services);
    assert_eq!(
        with.directory.relays.len(),
        without.directory.relays.len() + 1
    );
}

#[test]
fn mistakes_of_services_are_named() {
    let with = |from: &str, to: &str| SERVICE.replace(from, to);
    refused(&with("\"okta\"", "\"octa\""), "sign_in.service.provider");
    refused(&with("provider", "provider_"), "provider_");
    let nothing = "[[sign_in.service]]\nprovider = \"okta\"";
    refused(nothing, "names or addresses");
    for bad in [
        "*.c",
        "a b.example.com",
        "",
        "login.example.com:443",
        "a/example",
    ] {
        refused(&with("*.id.example.com", bad), "sign_in.service.names");
    }
    for bad in [
        "idp2.example.com:0",
        "idp2.example.com:x",
        "*",
        "198.51.100.10/24",
        ":443",
    ] {
        refused(
            &with("\"idp2.example.com\"", &format!("\"{bad}\"")),
            "sign_in.service.at",
        );
    }
    let service = |key: &str, count: usize| {
        let provider = "[[sign_in.service]]\nprovider = \"okta\"";
        format!("{provider}\n{key} = [{}]", listed(count))
    };
    for key in ["names", "at"] {
        assert!(parse(&service(key, 64)).is_ok(), "{key}");
        refused(&service(key, 65), "64");
    }
    let long = format!("{}.example.com", "x".repeat(250));
    refused(&with("*.id.example.com", &long), "sign_in.service.names");
}

#[test]
fn mistakes_of_gateways_and_relays_are_named() {
    refused(
        &GATEWAY.replace("\"vpn\"", "\"saml\""),
        "radius, ldap or vpn",
    );
    for bad in [" ", "a\\u0007b", &"x".repeat(254)] {
        refused(
            &GATEWAY.replace(" Acme VPN* ", bad),
            "sign_in.gateway.application",
        );
        refused(&RELAY.replace(" web proxy ", bad), "sign_in.relay.what");
    }
    refused(
        &GATEWAY.replace("\"vpn.example.com:443\"", ""),
        "sign_in.gateway.at",
    );
    refused(
        &RELAY.replace("\"192.0.2.8:3128\"", &listed(65)),
        "sign_in.relay.at",
    );
    refused(&RELAY.replace("what", "name"), "name");
    assert!(parse(&RELAY.repeat(OWN_MAX)).is_ok());
    for entry in [SERVICE, GATEWAY, RELAY] {
        refused(&entry.repeat(OWN_MAX + 1), "at most 256");
    }
}

const CATALOGUE: &str = "tool own-help\n  name Own Help Desk\n  kind remote_support\n  \
                         basis what our help desk installs\n  mark strong process ourhelp\n";

/// A folder with a catalogue in it, and the place of a configuration beside that.
fn beside(catalogue: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("own.txt"), catalogue).unwrap();
    let path = folder.path().join("config.toml");
    (folder, path)
}

#[test]
fn an_own_catalogue_is_read_beside_the_configuration() {
    let (_folder, path) = beside(CATALOGUE.as_bytes());
    let text = "[remote_tool]\ncatalogue = \"own.txt\"\nmanaged = [\"own-help\"]";
    let config = parse_beside(text, &path).unwrap();
    assert_eq!(config.remote_tool.catalogue, CATALOGUE);
    let process = wire::Process {
        executable: "/opt/ourhelp".into(),
        argv: vec!["ourhelp".into()],
        ..wire::Process::default()
    };
    let tracer = config.tracer();
    let marked = tracer.tool_of_process(&process).unwrap();
    assert_eq!(marked.tool, "own-help");
    assert!(tracer.is_managed(&marked));
    let config = parse_beside("[remote_tool]\ncatalogue = \"own.txt\"", &path).unwrap();
    let tracer = config.tracer();
    let marked = tracer.tool_of_process(&process).unwrap();
    assert!(!tracer.is_managed(&marked));
    assert!(
        parse("")
            .unwrap()
            .tracer()
            .tool_of_process(&process)
            .is_none()
    );
}

#[test]
fn mistakes_of_remote_tools_are_named() {
    let check = |catalogue: &[u8], text: &str, expect: &str| {
        let (_folder, path) = beside(catalogue);
        let error = parse_beside(&format!("[remote_tool]\n{text}"), &path).unwrap_err();
        assert!(error.contains(expect), "{text}: {error}");
    };
    let own = "catalogue = \"own.txt\"";
    check(b"", "catalogue = \"none.txt\"", "none.txt");
    check(b"tool x\n  kind magic\n", own, "line 2");
    check(b"\xff", own, "own.txt");
    check(
        b"",
        "managed = [\"own-help\"]",
        "remote_tool.managed = \"own-help\"",
    );
    check(b"", "manged = []", "manged");
    let mut large = CATALOGUE.as_bytes().to_vec();
    large.resize(CATALOGUE_BYTES_MAX, b'\n');
    let (_folder, path) = beside(&large);
    assert!(parse_beside(&format!("[remote_tool]\n{own}"), &path).is_ok());
    large.push(b'\n');
    check(
        &large,
        own,
        "remote_tool.catalogue = \"own.txt\" is not a catalogue of at most 256 KiB",
    );
}
