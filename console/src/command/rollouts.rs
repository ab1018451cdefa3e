//! `tocsin rollouts`: a release goes to the fleet, ring by ring.

use clap::{Args, Subcommand};
use tocsin_proto::console::v1::{
    CreateRolloutRequest, Rollout, RolloutMember, RolloutMemberState, RolloutState,
    SetRolloutStateRequest,
};

use super::Session;
use super::watch_list::Watch;
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::output::Row;
use crate::output::page::Page;
use crate::output::style::Style;
use crate::output::table::{Cell, Column};
use crate::time;

#[derive(Debug, Subcommand)]
pub(crate) enum Rollouts {
    /// Begin one. Endpoints of a ring are asked when the ring before works.
    Create {
        /// The version; see 'tocsin releases list'.
        version: String,
        /// Rings in their order, an option each: 2 (so many endpoints), 20% (so much of the fleet in all), tag:NAME.
        #[arg(long = "ring", value_name = "RING", default_values = ["1", "10%", "100%"])]
        rings: Vec<String>,
    },
    /// All of them, newest first.
    List(Watch),
    /// One, with its endpoints and their reasons.
    Show {
        /// The rollout.
        id: String,
    },
    /// Ask no more endpoints; those that have begun go on.
    Pause(Change),
    /// Go on.
    Resume(Change),
    /// End it for good; what is installed stays.
    Abort(Change),
}

#[derive(Debug, Args)]
pub(crate) struct Change {
    /// The rollout.
    id: String,
    /// Why.
    #[arg(long, default_value = "")]
    reason: String,
}

impl Rollouts {
    /// Does it.
    ///
    /// # Errors
    /// Every [`Failure`].
    pub(crate) async fn perform(self, mut session: Session) -> Result<Exit, Failure> {
        match self {
            Self::Create { version, rings } => {
                let request = CreateRolloutRequest { version, rings };
                let rollout = session.client.create_rollout(request).await?;
                session.out.object(&rollout, describe)?;
                Ok(Exit::Done)
            }
            Self::List(watch) if watch.is_on => session.watch(Client::rollouts).await,
            Self::List(_) => {
                let rollouts = session.client.rollouts().await?;
                let mut rows = session.out.rows();
                rows.write(&rollouts)?;
                rows.finish()?;
                Ok(Exit::Done)
            }
            Self::Show { id } => {
                let rollout = session.client.rollout(&id).await?;
                session.out.object(&rollout, describe)?;
                Ok(Exit::Done)
            }
            Self::Pause(change) => change.make(session, RolloutState::Paused).await,
            Self::Resume(change) => change.make(session, RolloutState::Running).await,
            Self::Abort(change) => change.make(session, RolloutState::Aborted).await,
        }
    }
}

impl Change {
    async fn make(self, mut session: Session, state: RolloutState) -> Result<Exit, Failure> {
        let request = SetRolloutStateRequest {
            id: self.id,
            state: state.into(),
            reason: self.reason,
        };
        let rollout = session.client.set_rollout_state(request).await?;
        session.out.object(&rollout, describe)?;
        Ok(Exit::Done)
    }
}

fn style(rollout: &Rollout) -> Style {
    match rollout.state() {
        RolloutState::Stopped => Style::Critical,
        RolloutState::Done => Style::Good,
        RolloutState::Paused | RolloutState::Aborted => Style::Medium,
        _ => Style::Plain,
    }
}

/// "2 > 20% > 100%", with the ring it is at.
fn rings(rollout: &Rollout) -> String {
    format!("{} of {}", rollout.ring, rollout.rings.join(" > "))
}

fn describe(rollout: &Rollout, page: &mut Page) {
    page.field("Rollout", &rollout.id);
    page.field("Version", &rollout.version);
    let state = super::word::<RolloutState>(rollout.state);
    page.field_styled("State", &state, style(rollout));
    if !rollout.reason.is_empty() {
        page.field("Reason", &rollout.reason);
    }
    page.field("Ring", &rings(rollout));
    for (label, n) in [
        ("Done", rollout.done),
        ("Updating", rollout.updating),
        ("Waiting", rollout.waiting),
        ("Refused", rollout.refused),
        ("Failed", rollout.failed),
    ] {
        page.field(label, &n.to_string());
    }
    if !rollout.members.is_empty() {
        page.section("Endpoints");
        page.table(MEMBERS, rollout.members.iter().map(member).collect());
    }
}

const MEMBERS: &[Column] = &[
    Column::number("RING"),
    Column::text("ENDPOINT", 8),
    Column::whole("STATE"),
    Column::whole("SINCE (UTC)"),
    Column::text("REASON", 20),
];

fn member(member: &RolloutMember) -> Vec<Cell> {
    let style = match member.state() {
        RolloutMemberState::Failed => Style::Critical,
        RolloutMemberState::Refused => Style::Medium,
        RolloutMemberState::Done => Style::Good,
        _ => Style::Plain,
    };
    let state = super::word::<RolloutMemberState>(member.state);
    vec![
        member.ring.to_string().into(),
        super::short(&member.endpoint).into(),
        Cell::styled(state, style),
        time::second(member.time_ms).into(),
        member.detail.as_str().into(),
    ]
}

impl Row for Rollout {
    const PLURAL: &'static str = "rollouts";
    const COLUMNS: &'static [Column] = &[
        Column::whole("ID"),
        Column::whole("VERSION"),
        Column::whole("STATE"),
        Column::text("RING", 8),
        Column::number("DONE"),
        Column::number("UPDATING"),
        Column::number("WAITING"),
        Column::number("FAILED"),
        Column::number("REFUSED").optional(1),
        Column::whole("CREATED (UTC)").optional(2),
        Column::text("REASON", 10).optional(3),
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            self.id.as_str().into(),
            self.version.as_str().into(),
            Cell::styled(super::word::<RolloutState>(self.state), style(self)),
            rings(self).into(),
            self.done.to_string().into(),
            self.updating.to_string().into(),
            self.waiting.to_string().into(),
            self.failed.to_string().into(),
            self.refused.to_string().into(),
            time::second(self.created_time_ms).into(),
            self.reason.as_str().into(),
        ]
    }
}
