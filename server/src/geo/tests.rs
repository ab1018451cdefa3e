//! Files that are written here in the documented format, good and bad.

pub(crate) mod mmdb;

use tempfile::TempDir;

use self::mmdb::{Value, asn, country, file};
use super::*;

/// When each was made, Unix seconds.
pub(crate) const BUILT: u64 = 1_773_281_411;

/// Files for networks and for countries, in a folder.
pub(crate) struct Files(TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.write("asn.mmdb", &networks(64500));
        let countries = [
            ("203.0.113.0", 24, country("PT")),
            ("2001:db8::", 32, country("es")),
        ];
        files.write("country.mmdb", &file(6, BUILT, &countries));
        files
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Replaces a file as its makers do: by another one under its name.
    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path("new"), bytes).unwrap();
        std::fs::rename(self.path("new"), self.path(name)).unwrap();
    }

    pub(crate) fn open(&self) -> Geo {
        Geo::open(&[self.path("asn.mmdb"), self.path("country.mmdb")]).unwrap()
    }

    /// Gives another number to the network of 203.0.113.0/24.
    pub(crate) fn renumber(&self, number: u32) {
        self.write("asn.mmdb", &networks(number));
    }

    /// What is said of a file that is `bytes`.
    fn refused(&self, bytes: &[u8]) -> String {
        self.write("bad.mmdb", bytes);
        let error = Geo::open(&[self.path("bad.mmdb")]).unwrap_err();
        chain(&error)
    }
}

fn networks(number: u32) -> Vec<u8> {
    let rows = [
        ("203.0.113.0", 24, asn(number, "Example Networks")),
        (
            "198.51.100.128",
            25,
            asn(64510, "A name of more than twenty-nine bytes"),
        ),
        ("2001:db8:1::", 48, asn(64511, "Example Six")),
    ];
    file(6, BUILT, &rows)
}

fn origin(ip: &str) -> Origin {
    Origin {
        ip: Some(ip.parse().unwrap()),
        ..Origin::default()
    }
}

/// "AS64500 Example PT", as it is after the look-up.
fn found(lookup: &Lookup, ip: &str) -> String {
    let mut origin = origin(ip);
    let filled = lookup.fill(&mut origin);
    let asn = origin.asn.map(|asn| format!("AS{asn}"));
    let parts = [asn, origin.as_org, origin.place.country];
    let text: Vec<String> = parts.into_iter().flatten().collect();
    assert_eq!(filled, !text.is_empty());
    text.join(" ")
}

#[test]
fn an_address_is_found_in_both_families_or_not_at_all() {
    let files = Files::new();
    let lookup = files.open().current();
    for (ip, expect) in [
        ("203.0.113.7", "AS64500 Example Networks PT"),
        (
            "198.51.100.128",
            "AS64510 A name of more than twenty-nine bytes",
        ),
        ("198.51.100.127", ""),
        ("192.168.1.1", ""),
        ("2001:db8:1::7", "AS64511 Example Six ES"),
        ("2001:db8:2::7", "ES"),
        ("2001:db9::1", ""),
    ] {
        assert_eq!(found(&lookup, ip), expect, "{ip}");
    }
    assert!(!lookup.fill(&mut Origin::default()), "no address");
}

#[test]
fn a_file_of_ipv4_alone_knows_no_ipv6() {
    let files = Files::new();
    files.write(
        "asn.mmdb",
        &file(4, BUILT, &[("203.0.113.0", 24, asn(64500, "Example"))]),
    );
    let lookup = files.open().current();
    assert_eq!(found(&lookup, "203.0.113.255"), "AS64500 Example PT");
    assert_eq!(found(&lookup, "2001:db8:1::7"), "ES");
}

#[test]
fn the_providers_own_word_wins() {
    let files = Files::new();
    let lookup = files.open().current();
    let mut said = origin("203.0.113.7");
    said.asn = Some(64999);
    assert!(lookup.fill(&mut said));
    assert_eq!((said.asn, said.as_org.as_deref()), (Some(64999), None));
    assert_eq!(said.place.country.as_deref(), Some("PT"));

    let mut said = origin("203.0.113.7");
    said.place.country = Some("FR".into());
    said.as_org = Some("as the provider calls it".into());
    assert!(lookup.fill(&mut said));
    assert_eq!(said.place.country.as_deref(), Some("FR"));
    assert_eq!(said.asn, Some(64500));
    assert_eq!(said.as_org.as_deref(), Some("as the provider calls it"));
    let complete = said.clone();
    assert!(!lookup.fill(&mut said));
    assert_eq!(said, complete);
}

#[test]
fn of_two_files_that_tell_the_same_the_first_is_believed() {
    let files = Files::new();
    files.write("other.mmdb", &networks(64999));
    let paths = ["other.mmdb", "asn.mmdb"].map(|name| files.path(name));
    let lookup = Geo::open(&paths).unwrap().current();
    assert_eq!(found(&lookup, "203.0.113.7"), "AS64999 Example Networks");
}

#[test]
fn a_bad_file_is_refused_with_its_name_and_the_cure() {
    let files = Files::new();
    let good = networks(64500);
    let text = Value::Map(vec![(
        "autonomous_system_number",
        Value::Text("\x1b[2J64500"),
    )]);
    let cut_short = [&good[..good.len() / 3], &good[good.len() / 2..]].concat();
    for (bytes, expect) in [
        (&b""[..], "no sound file of MaxMind's format"),
        (b"PK\x03\x04", "get it anew, unpacked"),
        (&good[..good.len() / 2], "no sound file"),
        (&cut_short, "no sound file"),
        (
            &file(6, BUILT, &[("203.0.113.0", 24, text)]),
            "no sound file",
        ),
        (
            &file(6, BUILT, &[("203.0.113.0", 24, Value::Map(vec![]))]),
            "tells neither ASN nor country",
        ),
        (
            &file(6, BUILT, &[("203.0.113.0", 24, country("Portugal"))]),
            "tells neither",
        ),
    ] {
        let error = files.refused(bytes);
        assert!(
            error.contains("bad.mmdb of network.geo") && error.contains(expect),
            "{error}"
        );
        assert!(!error.contains('\x1b'), "{error:?}");
    }
    let error = |path: PathBuf| chain(&Geo::open(&[path]).unwrap_err());
    assert!(error(files.path("none.mmdb")).contains("put it there"));
    assert!(error(files.0.path().to_owned()).contains("not a file"));
    let large = std::fs::File::create(files.path("large.mmdb")).unwrap();
    large.set_len((256 << 20) + 1).unwrap();
    assert!(error(files.path("large.mmdb")).contains("larger than 256 MiB"));
}

#[test]
fn no_byte_of_a_file_makes_anything_panic() {
    let files = Files::new();
    let good = networks(64500);
    let mut refused = 0;
    for at in 0..good.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            files.write("bad.mmdb", &bad);
            let Ok(geo) = Geo::open(&[files.path("bad.mmdb")]) else {
                refused += 1;
                continue;
            };
            for ip in [
                "203.0.113.7",
                "198.51.100.200",
                "2001:db8:1::1",
                "::",
                "255.255.255.255",
            ] {
                geo.current().fill(&mut origin(ip));
            }
        }
    }
    assert!(refused > good.len() / 4, "{refused}");
}

#[test]
fn a_replaced_file_is_used_and_a_bad_one_is_not() {
    let files = Files::new();
    let geo = files.open();
    let before = geo.current();
    files.renumber(64501);
    assert_eq!(
        found(&geo.current(), "203.0.113.7"),
        "AS64501 Example Networks PT"
    );
    let kept = "AS64500 Example Networks PT";
    assert_eq!(
        found(&before, "203.0.113.7"),
        kept,
        "what has begun goes on with what it has"
    );
    files.write("asn.mmdb", b"half a file");
    assert_eq!(
        found(&geo.current(), "203.0.113.7"),
        "AS64501 Example Networks PT"
    );
    std::fs::remove_file(files.path("asn.mmdb")).unwrap();
    assert_eq!(
        found(&geo.current(), "203.0.113.7"),
        "AS64501 Example Networks PT"
    );
    files.renumber(64502);
    assert_eq!(
        found(&geo.current(), "203.0.113.7"),
        "AS64502 Example Networks PT"
    );
}

#[test]
fn a_file_says_what_it_is_in_plain_text() {
    let files = Files::new();
    let expect = Facts {
        kind: "Test[2J-ASN".into(),
        build_time_ms: 1_773_281_411_000,
        tells_asn: true,
        tells_country: false,
    };
    assert_eq!(facts(&files.path("asn.mmdb")).unwrap(), expect);
    let countries = facts(&files.path("country.mmdb")).unwrap();
    assert!(!countries.tells_asn && countries.tells_country);
}
