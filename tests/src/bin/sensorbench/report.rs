//! What is printed.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};
use tocsin_tests::figures::{self, Line, decimal, figure, line};

use crate::load::Storm;
use crate::measure::Used;

/// Threads of which the CPU time is printed.
const THREADS_TOLD: usize = 5;

/// What the agent uses at rest.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) used: Used,
    /// CPU time by thread.
    pub(crate) threads: BTreeMap<String, Duration>,
    pub(crate) resident_bytes: u64,
    /// Of it, what is no file's.
    pub(crate) own_bytes: u64,
    /// The most on the way there.
    pub(crate) peak_bytes: u64,
}

/// What the agent told as found at its start, of how many.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Found {
    pub(crate) processes: (usize, usize),
    pub(crate) sockets: (usize, usize),
    pub(crate) sessions: (usize, usize),
}

/// A storm of programs.
#[derive(Debug, Clone)]
pub(crate) struct Execs {
    pub(crate) rate: u32,
    pub(crate) storm: Storm,
    /// The same without an agent.
    pub(crate) alone: Storm,
    pub(crate) seen: u64,
    pub(crate) with_argv: u64,
    pub(crate) with_parent: u64,
    pub(crate) with_exit: u64,
    /// Of the agent, what it uses at rest left out.
    pub(crate) cpu: Duration,
    pub(crate) used: Used,
    /// Memory after it.
    pub(crate) resident_bytes: u64,
}

/// A storm of programs before other eyes.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) storm: Storm,
    pub(crate) seen: u64,
    pub(crate) with_argv: u64,
    pub(crate) with_parent: u64,
    pub(crate) cpu: Duration,
    pub(crate) resident_bytes: u64,
}

/// A storm of connections.
#[derive(Debug, Clone)]
pub(crate) struct Connects {
    pub(crate) rate: u32,
    pub(crate) storm: Storm,
    pub(crate) seen: u64,
    pub(crate) with_process: u64,
    pub(crate) cpu: Duration,
    pub(crate) used: Used,
}

/// Everything.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) steps: Vec<Step>,
    /// A start on the loaded machine.
    pub(crate) start_cpu: Duration,
    pub(crate) start_peak_bytes: u64,
    pub(crate) found: Found,
    pub(crate) execs: Vec<Execs>,
    pub(crate) connects: Vec<Connects>,
    pub(crate) rivals: Vec<Row>,
    /// The rivals' storm without anybody.
    pub(crate) alone: Storm,
}

impl Report {
    /// Prints tables.
    pub(crate) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        print_steps(out, &self.steps)?;
        writeln!(out)?;
        figures::print(out, self.lines())?;
        self.print_rivals(out)
    }

    /// What others made of the storm, beside the agent's row of the same rate.
    fn print_rivals(&self, out: &mut impl Write) -> io::Result<()> {
        if self.rivals.is_empty() {
            return Ok(());
        }
        let fastest = self.execs.iter().max_by_key(|execs| execs.rate);
        let own = fastest.map(|execs| Row::of_agent("this agent", execs));
        writeln!(
            out,
            "\n{:<20}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>10}",
            "programs, seen by",
            "a second",
            "seen %",
            "argv %",
            "parent %",
            "CPU %",
            "MiB",
            "slow-down"
        )?;
        for row in own.iter().chain(&self.rivals) {
            writeln!(out, "{}", row.text(&self.alone))?;
        }
        Ok(())
    }

    fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        if let Some(step) = self.steps.last() {
            lines.extend([
                line(
                    "memory at rest with all of it, MiB",
                    mebibytes(step.resident_bytes),
                    "30",
                    "15",
                ),
                line(
                    "CPU at rest with all of it, % of a core",
                    format!("{:.2}", step.used.cpu_percent()),
                    "0.2",
                    "0.05",
                ),
            ]);
        }
        if let Some(step) = self.steps.last() {
            lines.extend(step.thread_lines());
        }
        lines.push(figure(
            "a start with all of it: CPU, s",
            format!("{:.2}", self.start_cpu.as_secs_f64()),
        ));
        lines.push(figure(
            "a start with all of it: memory at most, MiB",
            mebibytes(self.start_peak_bytes),
        ));
        let found = self.found;
        for (what, (part, whole)) in [
            ("processes", found.processes),
            ("sockets", found.sockets),
            ("sessions", found.sessions),
        ] {
            let name = format!("a start with all of it: {what} told");
            lines.push(line(&name, part.to_string(), &whole.to_string(), ""));
        }
        lines.extend(self.execs.iter().flat_map(Execs::lines));
        lines.extend(self.connects.iter().flat_map(Connects::lines));
        lines
    }

    /// The same for programs.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "steps": self.steps.iter().map(Step::to_json).collect::<Vec<_>>(),
            "start": {
                "cpu_ms": ms(self.start_cpu),
                "peak_bytes": self.start_peak_bytes,
                "processes_told": self.found.processes.0,
                "sockets_told": self.found.sockets.0,
                "sessions_told": self.found.sessions.0,
            },
            "execs": self.execs.iter().map(Execs::to_json).collect::<Vec<_>>(),
            "connects": self.connects.iter().map(Connects::to_json).collect::<Vec<_>>(),
            "rivals": self.rivals.iter().map(|row| row.to_json(&self.alone)).collect::<Vec<_>>(),
        })
    }
}

fn print_steps(out: &mut impl Write, steps: &[Step]) -> io::Result<()> {
    let row = |cells: [String; 10]| {
        let [name, rest @ ..] = cells;
        rest.iter().fold(format!("{name:<24}"), |row, cell| {
            format!("{row}{cell:>11}")
        })
    };
    let first = [
        "at rest",
        "CPU",
        "CPU",
        "memory",
        "of it own",
        "at most",
        "switches",
        "disk",
        "wire",
        "events",
    ];
    let second = [
        "",
        "% of core",
        "s/min",
        "MiB",
        "MiB",
        "MiB",
        "a second",
        "KiB/min",
        "KiB/min",
        "a minute",
    ];
    for head in [first, second] {
        writeln!(out, "{}", row(head.map(str::to_owned)))?;
    }
    for step in steps {
        let used = &step.used;
        let kib = |bytes: u64| decimal(used.per_minute(bytes as f64 / 1024.0));
        let cells = [
            step.name.clone(),
            format!("{:.2}", used.cpu_percent()),
            format!("{:.2}", used.per_minute(used.cpu.as_secs_f64())),
            mebibytes(step.resident_bytes),
            mebibytes(step.own_bytes),
            mebibytes(step.peak_bytes),
            decimal(used.per_second(used.switches)),
            kib(used.disk_bytes),
            kib(used.sent + used.received),
            decimal(used.per_minute(used.events as f64)),
        ];
        writeln!(out, "{}", row(cells))?;
    }
    let begun: u64 = steps.iter().map(|step| step.used.begun).sum();
    let seconds: f64 = steps.iter().map(|step| step.used.took.as_secs_f64()).sum();
    let begun = begun as f64 / seconds.max(1.0);
    writeln!(
        out,
        "Meanwhile {begun:.1} processes and threads a second began on the machine, whoever's."
    )
}

impl Step {
    /// The threads that matter, the busiest first. What wakes the sensor of processes are those of the whole machine.
    fn thread_lines(&self) -> Vec<Line> {
        let mut threads: Vec<(&String, &Duration)> = self.threads.iter().collect();
        threads.sort_by_key(|(name, cpu)| (std::cmp::Reverse(**cpu), name.as_str()));
        let told = threads.into_iter().take(THREADS_TOLD);
        told.map(|(name, cpu)| {
            let name = format!("CPU at rest, thread {name}, % of a core");
            figure(&name, format!("{:.3}", share(*cpu, self.used.took)))
        })
        .collect()
    }

    fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "resident_bytes": self.resident_bytes,
            "own_bytes": self.own_bytes,
            "peak_bytes": self.peak_bytes,
            "threads_cpu_us": self.threads.iter().map(|(name, cpu)| (name.clone(), json!(us(*cpu)))).collect::<serde_json::Map<_, _>>(),
            "used": self.used.to_json(),
        })
    }
}

impl Used {
    fn to_json(self) -> Value {
        json!({
            "took_ms": ms(self.took),
            "cpu_ms": ms(self.cpu),
            "switches": self.switches,
            "disk_bytes": self.disk_bytes,
            "sent_bytes": self.sent,
            "received_bytes": self.received,
            "events": self.events,
            "begun_on_machine": self.begun,
        })
    }
}

impl Execs {
    fn cpu_ratio(&self) -> f64 {
        let each = |storm: &Storm| storm.cpu.as_secs_f64() / storm.made.max(1) as f64;
        each(&self.storm) / each(&self.alone).max(f64::EPSILON)
    }

    fn lines(&self) -> Vec<Line> {
        let made = self.storm.made;
        let rate = made as f64 / self.storm.took.as_secs_f64().max(f64::EPSILON);
        let name = |what: &str| format!("{} programs/s: {what}", self.rate);
        let percent = |part| format!("{:.2}", percent(part, made));
        vec![
            figure(&name("really started a second"), decimal(rate)),
            line(&name("seen, %"), percent(self.seen), "100", "100"),
            line(
                &name("with all arguments, %"),
                percent(self.with_argv),
                "100",
                "100",
            ),
            line(
                &name("with the parent, %"),
                percent(self.with_parent),
                "100",
                "100",
            ),
            figure(&name("with the end, %"), percent(self.with_exit)),
            figure(
                &name("CPU an event, µs"),
                micros(self.cpu, self.used.events),
            ),
            line(
                &name("CPU, % of a core"),
                decimal(share(self.cpu, self.storm.took)),
                "4",
                "2",
            ),
            line(
                &name("their own CPU, with / without"),
                format!("{:.2}", self.cpu_ratio()),
                "1.05",
                "1.02",
            ),
            line(
                &name("bytes an event on the wire"),
                bytes(&self.used),
                "70",
                "45",
            ),
        ]
    }

    fn to_json(&self) -> Value {
        json!({
            "rate": self.rate,
            "made": self.storm.made,
            "took_ms": ms(self.storm.took),
            "seen": self.seen,
            "with_argv": self.with_argv,
            "with_parent": self.with_parent,
            "with_exit": self.with_exit,
            "agent_cpu_ms": ms(self.cpu),
            "storm_cpu_ms": ms(self.storm.cpu),
            "made_without_agent": self.alone.made,
            "storm_cpu_without_agent_ms": ms(self.alone.cpu),
            "used": self.used.to_json(),
        })
    }
}

impl Row {
    /// The agent's, by a source of its own.
    pub(crate) fn of_agent(name: &str, execs: &Execs) -> Self {
        Self {
            name: name.to_owned(),
            storm: execs.storm,
            seen: execs.seen,
            with_argv: execs.with_argv,
            with_parent: execs.with_parent,
            cpu: execs.cpu,
            resident_bytes: execs.resident_bytes,
        }
    }

    fn slow_down(&self, alone: &Storm) -> f64 {
        let each = |storm: &Storm| storm.cpu.as_secs_f64() / storm.made.max(1) as f64;
        each(&self.storm) / each(alone).max(f64::EPSILON)
    }

    fn text(&self, alone: &Storm) -> String {
        let made = self.storm.made;
        let rate = made as f64 / self.storm.took.as_secs_f64().max(f64::EPSILON);
        let cells = [
            decimal(rate),
            decimal(percent(self.seen, made)),
            decimal(percent(self.with_argv, made)),
            decimal(percent(self.with_parent, made)),
            decimal(share(self.cpu, self.storm.took)),
            mebibytes(self.resident_bytes),
        ];
        let row = cells
            .iter()
            .fold(format!("{:<20}", self.name), |row, cell| {
                format!("{row}{cell:>9}")
            });
        format!("{row}{:>10.2}", self.slow_down(alone))
    }

    fn to_json(&self, alone: &Storm) -> Value {
        json!({
            "name": self.name,
            "made": self.storm.made,
            "took_ms": ms(self.storm.took),
            "seen": self.seen,
            "with_argv": self.with_argv,
            "with_parent": self.with_parent,
            "cpu_ms": ms(self.cpu),
            "resident_bytes": self.resident_bytes,
            "slow_down": self.slow_down(alone),
        })
    }
}

impl Connects {
    fn lines(&self) -> Vec<Line> {
        let made = self.storm.made;
        let rate = made as f64 / self.storm.took.as_secs_f64().max(f64::EPSILON);
        let name = |what: &str| format!("{} connections/s: {what}", self.rate);
        vec![
            figure(&name("really made a second"), decimal(rate)),
            line(
                &name("seen, %"),
                format!("{:.2}", percent(self.seen, made)),
                "100",
                "100",
            ),
            line(
                &name("with the process, %"),
                format!("{:.2}", percent(self.with_process, made)),
                "100",
                "100",
            ),
            figure(
                &name("CPU an event, µs"),
                micros(self.cpu, self.used.events),
            ),
            figure(
                &name("CPU, % of a core"),
                decimal(share(self.cpu, self.storm.took)),
            ),
            figure(&name("bytes an event on the wire"), bytes(&self.used)),
        ]
    }

    fn to_json(&self) -> Value {
        json!({
            "rate": self.rate,
            "made": self.storm.made,
            "took_ms": ms(self.storm.took),
            "seen": self.seen,
            "with_process": self.with_process,
            "agent_cpu_ms": ms(self.cpu),
            "used": self.used.to_json(),
        })
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}

fn share(cpu: Duration, took: Duration) -> f64 {
    cpu.as_secs_f64() * 100.0 / took.as_secs_f64().max(f64::EPSILON)
}

fn micros(cpu: Duration, events: u64) -> String {
    decimal(cpu.as_secs_f64() * 1e6 / events.max(1) as f64)
}

/// Both directions: acknowledgements belong to it.
fn bytes(used: &Used) -> String {
    decimal((used.sent + used.received) as f64 / used.events.max(1) as f64)
}

fn mebibytes(bytes: u64) -> String {
    decimal(bytes as f64 / f64::from(1 << 20))
}

fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
