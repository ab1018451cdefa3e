//! What a configuration may say, and how a mistake in it is named.

use super::*;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("config.toml")).map_err(|error| crate::rpc::status::chain(&error))
}

#[test]
fn the_default_file_means_what_an_empty_one_means() {
    assert_eq!(parse(DEFAULT), parse(""));
    let config = parse("").unwrap();
    assert_eq!(config.names, ["localhost"]);
    assert_eq!(config.certificate.grace, Duration::from_secs(30 * 86400));
    assert_eq!(config.retention.events_size, 20 << 30);
}

#[test]
fn every_key_of_the_default_file_has_its_meaning_above_it() {
    let mut documented = false;
    for line in DEFAULT.lines() {
        if line.contains(" = ") && !line.starts_with('#') {
            // A key may share the comment of the key right above it.
            assert!(documented, "{line}");
        } else {
            documented = line.starts_with('#');
        }
    }
}

#[test]
fn what_is_said_replaces_the_default_and_nothing_else() {
    let config = parse("[certificate]\ngrace = \"2h\"").unwrap();
    assert_eq!(config.certificate.grace, Duration::from_secs(7200));
    let default = parse("").unwrap().certificate;
    assert_eq!(config.certificate.server_lifetime, default.server_lifetime);
}

#[test]
fn mistakes_are_named() {
    let check = |text: &str, expect: &str| {
        let error = parse(text).unwrap_err();
        assert!(error.contains(expect), "{error}");
    };
    check("lisen = \"x\"", "lisen");
    check("[certificate]\ngrase = \"1d\"", "grase");
    check("listen = \"localhost\"", "ADDRESS:PORT");
    check("names = []", "1 to 32 host names");
    check("names = [\"host:7443\"]", "without a port");
    check(
        "[certificate]\ngrace = \"1 day\"",
        "certificate.grace = \"1 day\"",
    );
    check("[certificate]\nserver_lifetime = \"1s\"", "at least 3s");
    check("[session]\nheartbeat = \"0s\"", "session.heartbeat");
    check("[limit]\nconnections = 0", "limit.connections");
    check("[limit]\nconnections = -1", "connections");
    check("[retention]\nmfa_events_age = \"89d\"", "at least 90d");
    check("[network]\ngeo = [\"\"]", "at most 4 files");
    check(
        "[network]\ngeo = [\"1\", \"2\", \"3\", \"4\", \"5\"]",
        "network.geo",
    );
    check("[retention]\nevents_size = \"20GB\"", "20GiB");
}

#[test]
fn sites_and_tunnels_are_read_and_their_mistakes_named() {
    let site =
        "[[network.site]]\nname = \"office\"\nseen = [\"10.1.0.0/16\"]\npublic = [\"203.0.113.7\"]";
    let config = parse(site).unwrap();
    assert_eq!(config.network.sites[0].name, "office");
    assert!(config.network.tunnels.is_empty());
    let named = config.tracer().directory.networks;
    assert!(named[0].contains("203.0.113.7".parse().unwrap()) && named.len() == 1);
    let check = |text: &str, expect: &str| {
        let error = parse(text).unwrap_err();
        assert!(error.contains(expect), "{error}");
    };
    check(
        &site.replace("10.1.0.0/16", "10.1.0.1/16"),
        "network.site.seen",
    );
    check(
        &site.replace("[\"203.0.113.7\"]", "[]"),
        "a list of 1 to 64",
    );
    check(&site.replace("office", " "), "network.site.name");
    check(&site.replace("seen", "sen"), "sen");
    check(
        "[[network.tunnel]]\nname = \"vpn\"\negress = [\"x\"]",
        "network.tunnel.egress",
    );
}

#[test]
fn names_are_hosts_or_addresses() {
    let check = |said: &str| {
        let said: Vec<_> = said.split(',').map(str::to_owned).collect();
        names(&said).map_err(|error| error.to_string())
    };
    assert_eq!(
        check("Tocsin.Example, 10.0.0.1,::1,tocsin.example").unwrap(),
        ["tocsin.example", "10.0.0.1", "::1"]
    );
    for bad in [
        "",
        "host:7443",
        "two words",
        "http://host",
        "host/x",
        "a\"b",
    ] {
        assert!(check(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn durations_have_a_number_and_a_unit() {
    let check = |text, millis: Option<u64>| {
        assert_eq!(
            parse_duration(text),
            millis.map(Duration::from_millis),
            "{text}"
        );
    };
    check("500ms", Some(500));
    check("20s", Some(20_000));
    check("5m", Some(300_000));
    check("24h", Some(86_400_000));
    check("30d", Some(2_592_000_000));
    for bad in [
        "",
        "5",
        "s",
        "-5s",
        "5 s",
        "5w",
        "1.5h",
        "99999999999999999999d",
        "9223372036854775807d",
    ] {
        check(bad, None);
    }
}

#[test]
fn files_of_places_stand_beside_the_configuration_or_where_they_are_said_to() {
    let text = "[network]\ngeo = [\"asn.mmdb\", \"/usr/share/country.mmdb\"]";
    let config = Config::parse(text, Path::new("/var/lib/tocsin/config.toml")).unwrap();
    let paths = ["/var/lib/tocsin/asn.mmdb", "/usr/share/country.mmdb"];
    assert_eq!(config.geo, paths.map(PathBuf::from));
}
