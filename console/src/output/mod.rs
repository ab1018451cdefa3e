//! What goes to standard output: lists and single things, as tables for people or JSON for programs.
//!
//! Lists are written as they come: memory does not grow with their length.

pub(crate) mod json;
pub(crate) mod page;
pub(crate) mod style;
pub(crate) mod table;

use std::io::{self, BufWriter, IsTerminal, Write};
use std::marker::PhantomData;

use serde::Serialize;

use self::json::Layout;
use self::page::Page;
use self::table::{Cell, Column, Table};

/// Columns of a terminal that does not say how many it has.
const TERMINAL_COLUMNS_DEFAULT: usize = 80;

/// Fewest and most columns that are believed.
const TERMINAL_COLUMNS: std::ops::RangeInclusive<usize> = 20..=1000;

/// The forms of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Tables and pages, for people.
    Table,
    /// One JSON document: an array for a list, an object for one thing.
    Json,
    /// One JSON object a line.
    Jsonl,
}

/// A row of a list.
pub(crate) trait Row: Serialize {
    /// What an empty list has none of.
    const PLURAL: &'static str;
    /// Its columns.
    const COLUMNS: &'static [Column];

    /// Its cells, one a column.
    fn cells(&self) -> Vec<Cell>;
}

/// Standard output.
pub(crate) struct Output {
    sink: Box<dyn Write + Send>,
    format: Format,
    /// The terminal's width; `None` where there is no terminal and nobody names one.
    room: Option<usize>,
    color: bool,
}

impl Output {
    /// As the surroundings have it: `COLUMNS`, `NO_COLOR` and what standard output is.
    pub(crate) fn stdout(format: Format) -> Self {
        let is_terminal = io::stdout().is_terminal();
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let named = variable("COLUMNS").and_then(|text| text.to_str()?.parse().ok());
        Self {
            sink: Box::new(BufWriter::with_capacity(64 << 10, io::stdout())),
            format,
            room: room(named, is_terminal, || {
                let (width, _height) = terminal_size::terminal_size()?;
                Some(usize::from(width.0))
            }),
            color: is_terminal
                && variable("NO_COLOR").is_none()
                && variable("TERM").is_none_or(|term| term != "dumb"),
        }
    }

    /// The form that was asked for.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// JSON one object a line from now on: for what does not end.
    pub(crate) fn as_lines(&mut self) {
        if self.format == Format::Json {
            self.format = Format::Jsonl;
        }
    }

    /// One thing: `describe` makes its page for people.
    pub(crate) fn object<T: Serialize>(
        &mut self,
        value: &T,
        describe: impl FnOnce(&T, &mut Page),
    ) -> io::Result<()> {
        let text = match self.format {
            Format::Table => {
                let mut page = Page::new(self.room, self.color);
                describe(value, &mut page);
                page.finish()
            }
            Format::Json => json::render(value, Layout::Page)? + "\n",
            Format::Jsonl => json::render(value, Layout::Line)? + "\n",
        };
        self.sink.write_all(text.as_bytes())?;
        self.sink.flush()
    }

    /// Clean text as it is.
    pub(crate) fn text(&mut self, clean: &str) -> io::Result<()> {
        self.sink.write_all(clean.as_bytes())?;
        self.sink.flush()
    }

    /// A list.
    pub(crate) fn rows<R: Row>(&mut self) -> Rows<'_, R> {
        let table = Table::new(R::COLUMNS, self.room, self.color);
        Rows {
            output: self,
            table,
            written: 0,
            row: PhantomData,
        }
    }
}

/// How wide output is: what `COLUMNS` names, else what the terminal says.
fn room(
    named: Option<usize>,
    is_terminal: bool,
    ask: impl FnOnce() -> Option<usize>,
) -> Option<usize> {
    let believed =
        |columns: usize| columns.clamp(*TERMINAL_COLUMNS.start(), *TERMINAL_COLUMNS.end());
    match named {
        Some(columns) if columns > 0 => Some(believed(columns)),
        _ if is_terminal => Some(
            ask()
                .filter(|columns| *columns > 0)
                .map_or(TERMINAL_COLUMNS_DEFAULT, believed),
        ),
        _ => None,
    }
}

/// A list on its way out.
pub(crate) struct Rows<'a, R> {
    output: &'a mut Output,
    table: Table,
    written: u64,
    row: PhantomData<R>,
}

impl<R: Row> Rows<'_, R> {
    /// Writes some rows.
    pub(crate) fn write(&mut self, rows: &[R]) -> io::Result<()> {
        for row in rows {
            let text = match self.output.format {
                Format::Table => self.table.push(row.cells()),
                Format::Jsonl => json::render(row, Layout::Line)? + "\n",
                Format::Json => {
                    let begin = if self.written == 0 { "[\n" } else { ",\n" };
                    format!("{begin}{}", json::render(row, Layout::Line)?)
                }
            };
            self.output.sink.write_all(text.as_bytes())?;
            self.written += 1;
        }
        Ok(())
    }

    /// Makes room for rows that come later, one by one.
    pub(crate) fn live(mut self) -> Self {
        self.table.set_live();
        self
    }

    /// Makes all that was written so far visible.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.output.format == Format::Table && self.written > 0 {
            let text = self.table.flush();
            self.output.sink.write_all(text.as_bytes())?;
        }
        self.output.sink.flush()
    }

    /// Writes the end; returns how many rows there were.
    pub(crate) fn finish(mut self) -> io::Result<u64> {
        match (self.output.format, self.written) {
            (Format::Table, 0) => writeln!(self.output.sink, "no {}", R::PLURAL)?,
            (Format::Json, 0) => writeln!(self.output.sink, "[]")?,
            (Format::Json, _) => writeln!(self.output.sink, "\n]")?,
            (Format::Table | Format::Jsonl, _) => {}
        }
        self.flush()?;
        Ok(self.written)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(buf)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[derive(Serialize)]
    struct Thing {
        id: &'static str,
    }

    impl Row for Thing {
        const PLURAL: &'static str = "things";
        const COLUMNS: &'static [Column] = &[Column::id("ID")];
        fn cells(&self) -> Vec<Cell> {
            vec![self.id.into()]
        }
    }

    fn list(format: Format, rows: &[Thing]) -> String {
        let sink = Sink::default();
        let mut output = Output {
            sink: Box::new(sink.clone()),
            format,
            room: None,
            color: false,
        };
        let mut list = output.rows();
        for row in rows {
            list.write(std::slice::from_ref(row)).unwrap();
        }
        assert_eq!(list.finish().unwrap(), rows.len() as u64);
        String::from_utf8(sink.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_list_is_an_array_lines_or_a_table() {
        let things = [Thing { id: "a" }, Thing { id: "\u{202e}" }];
        assert_eq!(
            list(Format::Json, &things),
            "[\n{\"id\":\"a\"},\n{\"id\":\"\\u202e\"}\n]\n"
        );
        assert_eq!(
            list(Format::Jsonl, &things),
            "{\"id\":\"a\"}\n{\"id\":\"\\u202e\"}\n"
        );
        assert_eq!(list(Format::Table, &things), "ID\na\n\\u{202e}\n");
    }

    #[test]
    fn an_empty_list_is_an_empty_array_or_says_so() {
        assert_eq!(list(Format::Json, &[]), "[]\n");
        assert_eq!(list(Format::Jsonl, &[]), "");
        assert_eq!(list(Format::Table, &[]), "no things\n");
    }

    #[test]
    fn the_width_is_what_columns_names_else_what_the_terminal_says() {
        assert_eq!(room(Some(100), false, || None), Some(100));
        assert_eq!(room(Some(100), true, || Some(50)), Some(100));
        assert_eq!(room(Some(0), true, || Some(50)), Some(50));
        assert_eq!(room(None, true, || None), Some(80));
        assert_eq!(room(None, true, || Some(1)), Some(20));
        assert_eq!(room(None, false, || Some(50)), None);
    }
}
