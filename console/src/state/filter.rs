//! Which events are wanted, as one writes it: `kind:process user:dana endpoint:lab-7 since:24h until:2026-11-24
//! some words`. Quotes hold a value with spaces together; what names no field is text to be found.

use std::fmt;

use jiff::Timestamp;
use tocsin_proto::console::v1::SearchEventsRequest;
use tocsin_proto::event::EventKind;

use crate::time::Moment;

/// The names of fields.
pub(crate) const FIELDS: [&str; 5] = ["kind", "user", "endpoint", "since", "until"];

/// What events are narrowed by; empty is any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct EventFilter {
    /// Kind.
    pub(crate) kind: String,
    /// Account: name or uid.
    pub(crate) user: String,
    /// Endpoint: id or hostname.
    pub(crate) endpoint: String,
    /// Not before.
    pub(crate) since: String,
    /// Not after.
    pub(crate) until: String,
    /// A part of arguments, paths, hashes, names; or an event's id.
    pub(crate) text: String,
}

impl EventFilter {
    /// Events with this text in them.
    pub(crate) fn of_text(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            ..Self::default()
        }
    }

    /// The same, only on this endpoint.
    pub(crate) fn on(self, endpoint: &str) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            ..self
        }
    }

    /// The same, only so long before and after that stretch.
    pub(crate) fn around(self, from_ms: i64, until_ms: i64, margin_ms: i64) -> Self {
        let show = |time_ms: i64| {
            tocsin_proto::json::format_time_ms(time_ms)
                .unwrap_or_default()
                .replace(".000Z", "Z")
        };
        Self {
            since: show(from_ms.saturating_sub(margin_ms)),
            until: show(until_ms.saturating_add(margin_ms)),
            ..self
        }
    }

    /// What was written.
    ///
    /// # Errors
    /// What is wrong and what would be right.
    pub(crate) fn parse(written: &str) -> Result<Self, String> {
        let mut filter = Self::default();
        let mut words: Vec<String> = Vec::new();
        for (word, is_quoted) in split(written) {
            let field = word.split_once(':');
            let field = field.filter(|(name, _)| FIELDS.contains(name) && !is_quoted);
            let Some((name, value)) = field else {
                words.push(word);
                continue;
            };
            let place = match name {
                "kind" => &mut filter.kind,
                "user" => &mut filter.user,
                "endpoint" => &mut filter.endpoint,
                "since" => &mut filter.since,
                _ => &mut filter.until,
            };
            if !place.is_empty() {
                return Err(format!("{name}: stands there twice"));
            }
            value.clone_into(place);
        }
        filter.text = words.join(" ");
        filter.check()?;
        Ok(filter)
    }

    fn check(&self) -> Result<(), String> {
        if !self.kind.is_empty() && EventKind::from_word(&self.kind).is_none() {
            let words: Vec<_> = EventKind::ALL.iter().map(|kind| kind.word()).collect();
            return Err(format!("kind: is one of {}", words.join(", ")));
        }
        for time in [&self.since, &self.until] {
            if !time.is_empty() {
                time.parse::<Moment>().map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    /// The question that it is now.
    pub(crate) fn request(&self, now_ms: i64) -> SearchEventsRequest {
        let now = Timestamp::from_millisecond(now_ms).unwrap_or_default();
        let moment = |text: &str| text.parse::<Moment>().ok();
        SearchEventsRequest {
            since_time_ms: moment(&self.since).map_or(0, |since| since.first_ms(now)),
            until_time_ms: moment(&self.until).map_or(0, |until| until.last_ms(now)),
            endpoint: self.endpoint.clone(),
            user: self.user.clone(),
            kind: self.kind.clone(),
            text: self.text.clone(),
            ..SearchEventsRequest::default()
        }
    }
}

impl fmt::Display for EventFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = [
            ("kind", &self.kind),
            ("user", &self.user),
            ("endpoint", &self.endpoint),
            ("since", &self.since),
            ("until", &self.until),
        ];
        let mut gap = "";
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
            write!(f, "{gap}{name}:{}", quoted(value))?;
            gap = " ";
        }
        if !self.text.is_empty() {
            // Text that would be read as something else is held together.
            let is_plain = split(&self.text).len() == self.text.split(' ').count()
                && !self.text.contains('"')
                && !FIELDS
                    .iter()
                    .any(|field| self.text.contains(&format!("{field}:")));
            match is_plain {
                true => write!(f, "{gap}{}", self.text)?,
                false => write!(f, "{gap}\"{}\"", self.text.replace('"', "\"\""))?,
            }
        }
        Ok(())
    }
}

fn quoted(value: &str) -> String {
    match value.contains([' ', '"']) {
        true => format!("\"{}\"", value.replace('"', "\"\"")),
        false => value.to_owned(),
    }
}

/// Words, and whether each begins with a quote; a part in quotes is not broken, two quotes in it are one.
fn split(written: &str) -> Vec<(String, bool)> {
    let (mut words, mut word) = (Vec::new(), String::new());
    let (mut is_quoted, mut is_word, mut began_quoted) = (false, false, false);
    let mut chars = written.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if is_quoted && chars.peek() == Some(&'"') => {
                word.push('"');
                chars.next();
            }
            '"' => {
                is_quoted = !is_quoted;
                began_quoted |= !is_word;
                is_word = true;
            }
            ' ' if !is_quoted => {
                if std::mem::take(&mut is_word) {
                    words.push((std::mem::take(&mut word), began_quoted));
                    began_quoted = false;
                }
            }
            _ => {
                word.push(c);
                is_word = true;
            }
        }
    }
    if is_word {
        words.push((word, began_quoted));
    }
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_are_told_from_text() {
        let filter = EventFilter::parse("kind:process user:\"a b\" curl http://x since:24h");
        let filter = filter.unwrap();
        assert_eq!(
            (filter.kind.as_str(), filter.user.as_str()),
            ("process", "a b")
        );
        assert_eq!(filter.text, "curl http://x");
        assert_eq!(filter.since, "24h");
        let request = filter.request(86_400_000 + 5);
        assert_eq!((request.since_time_ms, request.until_time_ms), (5, 0));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_would() {
        let error = |written: &str| EventFilter::parse(written).unwrap_err();
        assert!(error("kind:proces").contains("process"));
        assert!(error("since:yesterday").contains("24h"));
        assert!(error("user:a user:b").contains("twice"));
    }

    #[test]
    fn a_stretch_is_written_as_times() {
        let filter = EventFilter::of_text("x")
            .on("e")
            .around(60_000, 120_000, 30_000);
        let expect = "endpoint:e since:1970-01-01T00:00:30Z until:1970-01-01T00:02:30Z x";
        assert_eq!(filter.to_string(), expect);
    }

    proptest! {
        #[test]
        fn what_is_shown_can_be_typed_again(
            user in "[a-z \":]{0,8}", text in "[a-z\" :]{0,16}", field in "(user:)?"
        ) {
            let filter = EventFilter {
                user,
                text: format!("{field}{text}"),
                ..EventFilter::default()
            };
            let again = EventFilter::parse(&filter.to_string());
            prop_assert_eq!(again, Ok(filter));
        }
    }
}
