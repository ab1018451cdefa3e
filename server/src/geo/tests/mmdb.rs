//! Small files in the documented format (<https://maxmind.github.io/MaxMind-DB/>), written for tests: a search tree of
//! 24-bit records, 16 zero bytes, the data section, and the metadata after its marker.

use std::net::IpAddr;

/// What a data section holds.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Text(&'static str),
    Uint16(u16),
    Uint32(u32),
    Uint64(u64),
    Map(Vec<(&'static str, Value)>),
    Array(Vec<Value>),
}

use Value::{Array, Map, Text, Uint16, Uint32, Uint64};

/// The record of a network, as files for networks have it.
pub(crate) fn asn(number: u32, org: &'static str) -> Value {
    Map(vec![
        ("autonomous_system_number", Uint32(number)),
        ("autonomous_system_organization", Text(org)),
    ])
}

/// The record of a network, as files for countries have it; they have more than is used.
pub(crate) fn country(code: &'static str) -> Value {
    let names = Map(vec![("en", Text("a country"))]);
    Map(vec![
        ("continent", Map(vec![("code", Text("EU"))])),
        (
            "country",
            Map(vec![("names", names), ("iso_code", Text(code))]),
        ),
        ("registered_country", Map(vec![("iso_code", Text("ZZ"))])),
    ])
}

/// Where a bit of an address leads.
#[derive(Clone, Copy)]
enum Step {
    Nowhere,
    Node(u32),
    Data(u32),
}

/// A file of IPv4 and IPv6 networks: address, leading bits, record. `version` 4 takes IPv4 alone.
pub(crate) fn file(version: u16, build_epoch: u64, rows: &[(&str, u8, Value)]) -> Vec<u8> {
    let mut nodes = vec![[Step::Nowhere; 2]];
    let mut data = Vec::new();
    for (address, prefix, value) in rows {
        let (bits, prefix) = match (address.parse().unwrap(), version) {
            (IpAddr::V4(ip), 4) => (u128::from(ip.to_bits()) << 96, *prefix),
            (IpAddr::V4(ip), _) => (u128::from(ip.to_bits()), prefix + 96),
            (IpAddr::V6(ip), _) => (ip.to_bits(), *prefix),
        };
        let offset = u32::try_from(data.len()).unwrap();
        insert(&mut nodes, bits, prefix, offset);
        encode(value, &mut data);
    }
    let count = u32::try_from(nodes.len()).unwrap();
    let mut bytes = Vec::new();
    for step in nodes.iter().flatten() {
        let record = match step {
            Step::Nowhere => count,
            Step::Node(node) => *node,
            Step::Data(offset) => count + 16 + offset,
        };
        bytes.extend(&record.to_be_bytes()[1..]);
    }
    bytes.extend([0; 16]);
    bytes.extend(data);
    bytes.extend(b"\xab\xcd\xefMaxMind.com");
    encode(&metadata(version, build_epoch, count), &mut bytes);
    bytes
}

fn metadata(version: u16, build_epoch: u64, count: u32) -> Value {
    Map(vec![
        ("binary_format_major_version", Uint16(2)),
        ("binary_format_minor_version", Uint16(0)),
        ("build_epoch", Uint64(build_epoch)),
        ("database_type", Text("Test\x1b[2J-ASN")),
        ("description", Map(vec![("en", Text("for tests"))])),
        ("ip_version", Uint16(version)),
        ("languages", Array(vec![Text("en")])),
        ("node_count", Uint32(count)),
        ("record_size", Uint16(24)),
    ])
}

fn insert(nodes: &mut Vec<[Step; 2]>, bits: u128, prefix: u8, offset: u32) {
    let mut at = 0;
    for depth in 0..prefix {
        let side = usize::from(bits >> (127 - depth) & 1 == 1);
        if depth + 1 == prefix {
            nodes[at][side] = Step::Data(offset);
        } else if let Step::Node(node) = nodes[at][side] {
            at = node as usize;
        } else {
            nodes[at][side] = Step::Node(u32::try_from(nodes.len()).unwrap());
            at = nodes.len();
            nodes.push([Step::Nowhere; 2]);
        }
    }
}

/// A control byte of type and size, then the value. Types from 8 on stand in a byte of their own.
fn encode(value: &Value, bytes: &mut Vec<u8>) {
    match value {
        Text(text) => {
            control(2, text.len(), bytes);
            bytes.extend(text.as_bytes());
        }
        Uint16(number) => {
            control(5, 2, bytes);
            bytes.extend(number.to_be_bytes());
        }
        Uint32(number) => {
            control(6, 4, bytes);
            bytes.extend(number.to_be_bytes());
        }
        Uint64(number) => {
            control(9, 8, bytes);
            bytes.extend(number.to_be_bytes());
        }
        Map(entries) => {
            control(7, entries.len(), bytes);
            for (key, value) in entries {
                encode(&Text(key), bytes);
                encode(value, bytes);
            }
        }
        Array(values) => {
            control(11, values.len(), bytes);
            values.iter().for_each(|value| encode(value, bytes));
        }
    }
}

fn control(kind: u8, size: usize, bytes: &mut Vec<u8>) {
    let size = u8::try_from(size).unwrap();
    let (inline, more) = if size < 29 {
        (size, None)
    } else {
        (29, Some(size - 29))
    };
    match kind {
        0..8 => bytes.push(kind << 5 | inline),
        _ => bytes.extend([inline, kind - 7]),
    }
    bytes.extend(more);
}
