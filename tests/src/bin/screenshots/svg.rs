//! What a terminal shows, as one SVG: text and rectangles, no script, nothing from elsewhere.
//!
//! Every character has its cell, whatever font the reader has: a run of cells is stretched to their width.

use std::fmt::Write as _;

use vt100::{Cell, Color, Screen};

/// A cell, in pixels, and the room around all of them.
const CELL: (u32, u32) = (8, 17);
const MARGIN: u32 = 12;

/// Above the line on which a cell's text stands.
const ASCENT: u32 = 13;

/// Where the program names no colour.
const BACKGROUND: &str = "#171a24";
const FOREGROUND: &str = "#d8dce6";

/// The sixteen colours that a terminal defines.
const SIXTEEN: [&str; 16] = [
    "#171a24", "#e05561", "#8cc265", "#d18f52", "#4aa5f0", "#c162de", "#42b3c2", "#d7dae0",
    "#5c6370", "#ff616e", "#a5e075", "#f0a45d", "#4dc4ff", "#de73ff", "#4cd1e0", "#e6e6e6",
];

/// How a run of cells looks.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Look {
    foreground: String,
    background: String,
    bold: bool,
    dim: bool,
}

/// The whole of it.
pub(crate) fn draw(screen: &Screen, title: &str) -> String {
    let (rows, columns) = screen.size();
    let width = u32::from(columns) * CELL.0 + 2 * MARGIN;
    let height = u32::from(rows) * CELL.1 + 2 * MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" role=\"img\" font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" \
         font-size=\"13\">\n<title>{}</title>\n<rect width=\"{width}\" height=\"{height}\" rx=\"6\" \
         fill=\"{BACKGROUND}\"/>\n",
        escape(title)
    );
    for row in 0..rows {
        for run in runs(screen, row, columns) {
            put(&mut svg, row, &run);
        }
    }
    svg += "</svg>\n";
    svg
}

/// Cells of one look behind each other: where they begin, how many columns they take, their text.
struct Run {
    first: u16,
    columns: u16,
    text: String,
    look: Look,
}

fn runs(screen: &Screen, row: u16, columns: u16) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let cells = (0..columns).filter_map(|column| Some((column, screen.cell(row, column)?)));
    for (column, cell) in cells.filter(|(_, cell)| !cell.is_wide_continuation()) {
        let (look, wide) = (look(cell), if cell.is_wide() { 2 } else { 1 });
        let text = if cell.has_contents() {
            cell.contents()
        } else {
            " "
        };
        match runs.last_mut().filter(|run| run.look == look) {
            Some(run) => {
                run.columns += wide;
                run.text += text;
            }
            None => runs.push(Run {
                first: column,
                columns: wide,
                text: text.to_owned(),
                look,
            }),
        }
    }
    runs
}

fn put(svg: &mut String, row: u16, run: &Run) {
    let (x, y) = (
        MARGIN + u32::from(run.first) * CELL.0,
        MARGIN + u32::from(row) * CELL.1,
    );
    let width = u32::from(run.columns) * CELL.0;
    // Writing to a String does not fail.
    if run.look.background != BACKGROUND {
        let _written = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{}\" fill=\"{}\"/>",
            CELL.1, run.look.background
        );
    }
    let end = run.text.trim_end();
    let text = end.trim_start();
    if text.is_empty() {
        return;
    }
    // Spaces at both ends are left out, as many columns as they are.
    let before = u32::try_from(end.len() - text.len()).unwrap_or(0);
    let after = u32::try_from(run.text.len() - end.len()).unwrap_or(0);
    let length = width.saturating_sub((before + after) * CELL.0);
    let weight = if run.look.bold {
        " font-weight=\"bold\""
    } else {
        ""
    };
    let faint = if run.look.dim {
        " opacity=\"0.65\""
    } else {
        ""
    };
    let _written = writeln!(
        svg,
        "<text x=\"{}\" y=\"{}\" fill=\"{}\"{weight}{faint} textLength=\"{length}\" \
         lengthAdjust=\"spacingAndGlyphs\" xml:space=\"preserve\">{}</text>",
        x + before * CELL.0,
        y + ASCENT,
        run.look.foreground,
        escape(text)
    );
}

fn look(cell: &Cell) -> Look {
    let foreground = color(cell.fgcolor(), FOREGROUND);
    let background = color(cell.bgcolor(), BACKGROUND);
    let (foreground, background) = match cell.inverse() {
        true => (background, foreground),
        false => (foreground, background),
    };
    Look {
        foreground,
        background,
        bold: cell.bold(),
        dim: cell.dim(),
    }
}

fn color(color: Color, default: &str) -> String {
    match color {
        Color::Default => default.to_owned(),
        Color::Rgb(r, g, b) => format!("#{r:02x}{g:02x}{b:02x}"),
        Color::Idx(at) => indexed(at),
    }
}

/// The palette of xterm: sixteen names, a cube of 6x6x6, greys.
fn indexed(at: u8) -> String {
    if let Some(name) = SIXTEEN.get(usize::from(at)) {
        return (*name).to_owned();
    }
    let level = |step: u8| if step == 0 { 0 } else { 55 + step * 40 };
    match at.checked_sub(16) {
        Some(cube) if cube < 216 => {
            let (r, g, b) = (level(cube / 36), level(cube / 6 % 6), level(cube % 6));
            format!("#{r:02x}{g:02x}{b:02x}")
        }
        _ => {
            let grey = 8 + at.saturating_sub(232) * 10;
            format!("#{grey:02x}{grey:02x}{grey:02x}")
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_that_of_the_terminal_and_no_text_is_markup() {
        let mut terminal = vt100::Parser::new(3, 20, 0);
        terminal
            .process(b"\x1b[1;31m<script>\x1b[m a&b\r\n\x1b[38;2;1;2;3m  x\x1b[m\x1b[7m y \x1b[m");
        let svg = draw(terminal.screen(), "a \"title\"");
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("viewBox=\"0 0 184 75\""), "{svg}");
        assert!(
            !svg.contains("<script") && svg.contains("&lt;script&gt;"),
            "{svg}"
        );
        assert!(svg.contains("fill=\"#010203\" textLength=\"8\""), "{svg}");
        assert!(
            svg.contains(&format!("height=\"17\" fill=\"{FOREGROUND}\"")),
            "{svg}"
        );
        assert_eq!(
            svg.matches("http").count(),
            1,
            "the name of the language alone: {svg}"
        );
    }

    #[test]
    fn the_palette_is_that_of_xterm() {
        assert_eq!(indexed(16), "#000000");
        assert_eq!(indexed(231), "#ffffff");
        assert_eq!(indexed(196), "#ff0000");
        assert_eq!(indexed(255), "#eeeeee");
    }
}
