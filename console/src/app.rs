//! The loop of the screens: receive events, update the state, perform actions, draw.
//!
//! Nothing is drawn and nothing runs while nothing happens: the server tells what has changed, and the only timers are
//! of a spinner, which lives as long as the spinner, of what has changed and is not asked for yet, and of the next age
//! on the screen that grows. The terminal is given back as it was on every way out: the end, an error, a panic, a signal.

use std::io::{self, IsTerminal as _, Stdout, Write as _};
use std::path::Path;
use std::time::Duration;

use crossterm::event::{
    DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture,
    Event as Input, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton,
    MouseEventKind,
};
use crossterm::execute;
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use data_encoding::BASE64;
use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Position;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_stream::StreamExt as _;

use crate::action::Action;
use crate::client::task::Network;
use crate::event::{Event, KEYS, NEWS_WAITING_MAX, News, PROFILE};
use crate::exit::{Exit, Failure};
use crate::keymap::Key;
use crate::memory::{self, Memory};
use crate::output::Format;
use crate::recorder::Recorder;
use crate::report;
use crate::screen::{self, Zones};
use crate::settings::{Renewed, Settings};
use crate::state::State;
use crate::text;
use crate::theme::Theme;
use crate::typed;

/// The longest that is waited for a time: the clock may be set meanwhile.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// How long a picture of a spinner stands.
const BEAT_EVERY: Duration = Duration::from_millis(120);

/// Characters that are copied at once; terminals take little more.
const COPY_CHARS_MAX: usize = 8192;

/// Whether the screens are what is asked for: a person at a terminal, and no other form of output.
pub(crate) fn is_wanted(format: Format) -> bool {
    format == Format::Table && io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Runs the screens until somebody leaves them.
///
/// # Errors
/// Where the terminal cannot be used. A server that cannot be reached is shown, not returned.
pub(crate) async fn run(settings: Settings, record: Option<&Path>) -> Result<Exit, Failure> {
    // Before the terminal is the screens': what is wrong is told on it.
    let recorder = record.map(create).transpose()?;
    let theme = Theme::choose(|name| std::env::var(name).ok());
    let mut screen = Screen::open()?;
    let (news, inbox) = mpsc::channel(NEWS_WAITING_MAX);
    let mut state = State::new(theme, crossterm::terminal::size()?, now_ms());
    state.keymap = settings.keymap.clone();
    let memory = memory::path(|name| std::env::var_os(name));
    state.local_zone = TimeZone::try_system().ok();
    if let Some(path) = &memory {
        let is_theme_named = Theme::is_named(|name| std::env::var(name).ok());
        Memory::load(path).recall(&mut state, is_theme_named);
    }
    let mut app = App {
        state,
        network: Network::start(settings.profile.clone(), news),
        inbox,
        settings,
        zones: Zones::default(),
        is_over: false,
        recorder,
    };
    if let Some(recorder) = &mut app.recorder {
        recorder.begin(&app.state);
    }
    app.show(&mut screen)?;
    let result = app.turn(&mut screen).await;
    drop(screen);
    // Also where the terminal has gone meanwhile.
    let recorded = record.map(|path| app.end_recording(path)).transpose();
    result?;
    recorded?;
    if let Some(path) = &memory {
        // Where it cannot be kept, the next run begins at the overview.
        let _best_effort = Memory::of(&app.state).save(path);
    }
    Ok(Exit::Done)
}

fn create(path: &Path) -> Result<Recorder, Failure> {
    Recorder::create(path).map_err(|source| not_written(path, source))
}

fn not_written(path: &Path, source: io::Error) -> Failure {
    Failure::Write {
        file: text::line(&path.to_string_lossy()).into_owned(),
        source,
    }
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// When it is this time; now where it has been or is none.
fn instant(time_ms: Option<i64>) -> Instant {
    let wait = time_ms.unwrap_or_default().saturating_sub(now_ms());
    Instant::now() + Duration::from_millis(u64::try_from(wait).unwrap_or(0)).min(WAIT_MAX)
}

struct App {
    state: State,
    network: Network,
    inbox: mpsc::Receiver<News>,
    settings: Settings,
    /// What was drawn where.
    zones: Zones,
    is_over: bool,
    recorder: Option<Recorder>,
}

impl App {
    async fn turn(&mut self, screen: &mut Screen) -> io::Result<()> {
        let mut inputs = EventStream::new();
        let mut signals = Signals::new()?;
        let mut beat_at = Instant::now() + BEAT_EVERY;
        while !self.is_over {
            let spins = self.state.is_waiting();
            let (refresh_ms, age_ms) = (self.state.due_ms(), self.state.ages.next_ms());
            let event = tokio::select! {
                input = inputs.next() => match input {
                    Some(input) => self.understand(input?),
                    // The terminal has gone.
                    None => Some(Event::End),
                },
                Some(news) = self.inbox.recv() => Some(Event::News(news)),
                () = signals.next() => Some(Event::End),
                () = self.settings.changed() => {
                    self.read_settings();
                    None
                }
                () = sleep_until(beat_at), if spins => {
                    beat_at = Instant::now() + BEAT_EVERY;
                    Some(Event::Beat)
                }
                // Keys and news come in between.
                () = tokio::task::yield_now(), if self.state.is_searching() => Some(Event::Search),
                () = sleep_until(instant(refresh_ms)), if refresh_ms.is_some() => {
                    Some(Event::Refresh)
                }
                () = sleep_until(instant(age_ms)), if age_ms.is_some() => Some(Event::Age),
            };
            let Some(event) = event else {
                self.show(screen)?;
                continue;
            };
            let mut is_seen = self.state.is_seen(&event);
            self.take(event);
            // Whatever else has come is drawn with it.
            for _ in 0..NEWS_WAITING_MAX {
                let Ok(news) = self.inbox.try_recv() else {
                    break;
                };
                let event = Event::News(news);
                is_seen |= self.state.is_seen(&event);
                self.take(event);
            }
            if !spins {
                beat_at = Instant::now() + BEAT_EVERY;
            }
            if is_seen {
                self.show(screen)?;
            }
        }
        Ok(())
    }

    /// What an input means: for the terminal pane where that has the keys, for the screens otherwise.
    fn understand(&self, input: Input) -> Option<Event> {
        let pane = self
            .state
            .terminal
            .as_ref()
            .filter(|pane| pane.takes_keys());
        match (&input, pane) {
            (Input::Key(key), Some(pane)) if key.kind != KeyEventKind::Release => {
                if typed::is_chord(*key) {
                    return Some(Event::Key(Key::Ctrl(']')));
                }
                let bytes = typed::bytes(*key, pane.screen().application_cursor());
                (!bytes.is_empty()).then_some(Event::Typed(bytes))
            }
            _ => understand(input, &self.zones),
        }
    }

    fn end_recording(&mut self, path: &Path) -> Result<(), Failure> {
        let Some(recorder) = &mut self.recorder else {
            return Ok(());
        };
        let is_whole = recorder.end();
        let is_whole = is_whole.map_err(|source| not_written(path, source))?;
        let name = path.to_string_lossy();
        let name = text::line(&name);
        crate::say(&match is_whole {
            true => format!("recorded: {name}\n"),
            false => format!("recorded: {name}, which is full and lacks the end\n"),
        });
        Ok(())
    }

    /// Uses what a person has set anew.
    fn read_settings(&mut self) {
        for renewed in self.settings.read_again() {
            let (name, result) = match renewed {
                Renewed::Profile(profile) => (
                    PROFILE,
                    profile.map(|profile| self.network.use_profile(profile)),
                ),
                Renewed::Keys(keymap) => (KEYS, keymap.map(|keys| self.state.keymap = keys)),
            };
            if let Some(recorder) = self.recorder.as_mut().filter(|_| name == KEYS) {
                recorder.keys(&self.state);
            }
            let result = result.map_err(|error| crate::exit::chain(&error));
            self.take(Event::ReadAnew(name, result));
        }
    }

    fn take(&mut self, event: Event) {
        let now_ms = now_ms();
        if let Some(recorder) = &mut self.recorder {
            recorder.event(&event, now_ms, &self.state);
        }
        let actions = self.state.on(event, now_ms);
        if let Some(recorder) = &mut self.recorder {
            recorder.actions(&actions);
        }
        for action in actions {
            match action {
                Action::Ask(query) => self.network.ask(query),
                Action::Drop(slot) => self.network.drop_slot(slot),
                Action::Change(change) => self.network.change(change),
                Action::OpenTerminal(pane, header) => self.network.open_terminal(pane, header),
                Action::WatchTerminal(pane, id) => self.network.watch_terminal(pane, id),
                Action::KillTerminal(id) => self.network.kill_terminal(id),
                Action::Terminal(what) => self.network.tell_terminal(what),
                Action::Reconnect => self.network.hurry(),
                Action::Copy(text) => copy(&text),
                Action::Write(name, content) => {
                    // A report is small; what waits for the disk is one person's own wish.
                    let written = report::write(Path::new(&name), &content, false);
                    let written = written.map_err(|error| error.to_string());
                    self.take(Event::Written(name, written));
                }
                Action::FindZone(name) => {
                    let zone = TimeZone::get(&name).ok();
                    self.take(Event::Zone(name, zone));
                }
                Action::Quit => self.is_over = true,
            }
        }
    }

    fn show(&mut self, screen: &mut Screen) -> io::Result<()> {
        self.state.settle();
        let max = screen::scroll_max(&self.state);
        self.state.keep_scroll(max);
        self.state.ages.forget();
        let state = &self.state;
        let mut zones = Zones::default();
        let drawn = screen
            .terminal
            .draw(|frame| zones = screen::draw(state, frame))?;
        if let Some(recorder) = &mut self.recorder {
            recorder.frame(drawn.buffer);
        }
        self.zones = zones;
        Ok(())
    }
}

/// Puts text into the clipboard of the terminal (OSC 52), over ssh too; a terminal that does not know how
/// does nothing.
fn copy(text: &str) {
    let cut: String = text.chars().take(COPY_CHARS_MAX).collect();
    let sequence = format!("\x1b]52;c;{}\x07", BASE64.encode(cut.as_bytes()));
    let mut out = io::stdout();
    let _best_effort = out
        .write_all(sequence.as_bytes())
        .and_then(|()| out.flush());
}

/// What an input of the terminal means for the screens; nothing for most.
fn understand(input: Input, zones: &Zones) -> Option<Event> {
    match input {
        Input::Key(key) if key.kind != KeyEventKind::Release => key_of(key).map(Event::Key),
        Input::Paste(text) => Some(Event::Paste(text)),
        Input::Resize(columns, rows) => Some(Event::Resize(columns, rows)),
        Input::Mouse(mouse) => match mouse.kind {
            MouseEventKind::Down(MouseButton::Left) => {
                let place = Position::new(mouse.column, mouse.row);
                Some(Event::Click(zones.at(place)))
            }
            MouseEventKind::ScrollDown => Some(Event::Wheel(true)),
            MouseEventKind::ScrollUp => Some(Event::Wheel(false)),
            _ => None,
        },
        _ => None,
    }
}

fn key_of(key: KeyEvent) -> Option<Key> {
    let has = |modifier| key.modifiers.contains(modifier);
    Some(match key.code {
        _ if typed::is_chord(key) => Key::Ctrl(']'),
        KeyCode::Char(c) if has(KeyModifiers::CONTROL) => Key::Ctrl(c.to_ascii_lowercase()),
        KeyCode::Char(_) if has(KeyModifiers::ALT) => return None,
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Esc,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Delete => Key::Delete,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        _ => return None,
    })
}

/// The terminal while the screens have it.
struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    fn open() -> io::Result<Self> {
        restore_on_panic();
        enable_raw_mode()?;
        let entered = execute!(
            io::stdout(),
            EnterAlternateScreen,
            EnableBracketedPaste,
            EnableMouseCapture
        );
        let terminal = entered.and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        match terminal {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                restore();
                Err(error)
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back; where that fails nothing can be done about it.
fn restore() {
    let _best_effort = execute!(
        io::stdout(),
        DisableMouseCapture,
        DisableBracketedPaste,
        LeaveAlternateScreen,
        crossterm::cursor::Show
    );
    let _best_effort = disable_raw_mode();
}

/// A panic of the thread that draws is told on a terminal that works. Those of tasks end their task only.
fn restore_on_panic() {
    let before = std::panic::take_hook();
    let drawing = std::thread::current().id();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().id() == drawing {
            restore();
            before(panic);
        }
    }));
}

/// Signals that ask a program to end.
#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Signals that ask a program to end.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    #[expect(clippy::unnecessary_wraps, reason = "the same as on Unix")]
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
