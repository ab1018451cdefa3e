//! Attacks as they were reported.

use tocsin_correlate::{Actor, Factor, MfaEventKind};

use super::{Stage, Victim};
use crate::life::Support;
use crate::record::SignIn;
use crate::world::{DAY_MS, HOUR_MS, MINUTE_MS};

/// Wrong passwords, then 18 prompts within an hour of the night, then one that is approved, an own factor six minutes later.
pub(super) fn hour_of_prompts(stage: &mut Stage<'_, '_>, victims: &mut [Victim<'_>]) {
    for victim in victims {
        let from_ms = stage.night(victim.person);
        let origin = stage.origin();
        stage.label(victim, |victim| {
            for n in 1..7 {
                let time_ms = from_ms - n * 5 * MINUTE_MS;
                victim
                    .life
                    .log
                    .event(victim.person, time_ms, MfaEventKind::PrimaryFailed, &origin);
            }
        });
        let next_ms = stage.refused(victim, from_ms, (17, (120, 300)));
        let end_ms = stage.approved(victim, next_ms, true);
        stage.act(victim, end_ms);
    }
}

/// Seven prompts in the evening, one approved, and nothing else that shows.
pub(super) fn quiet_after_approval(stage: &mut Stage<'_, '_>, victims: &mut [Victim<'_>]) {
    for victim in victims {
        let from_ms = stage.day(victim.person) + 4 * HOUR_MS;
        let next_ms = stage.refused(victim, from_ms, (7, (60, 200)));
        stage.approved(victim, next_ms, true);
    }
}

/// 25 prompts in four minutes, all denied; five minutes later the person reports it.
pub(super) fn burst_denied(stage: &mut Stage<'_, '_>, victims: &mut [Victim<'_>]) {
    for victim in victims {
        let from_ms = stage.day(victim.person);
        let origin = stage.origin();
        for n in 0..25 {
            let sign_in =
                SignIn::new(from_ms + n * 10_000, origin.clone()).ending(MfaEventKind::Denied);
            stage.prompt(victim, &sign_in);
        }
        stage.reported(victim, from_ms + 9 * MINUTE_MS);
    }
}

/// A dozen within half an hour, none answered.
pub(super) fn burst_ignored(stage: &mut Stage<'_, '_>, victims: &mut [Victim<'_>]) {
    for victim in victims {
        let mut time_ms = stage.day(victim.person);
        for _ in 0..12 {
            let origin = stage.origin();
            stage.prompt(
                victim,
                &SignIn::new(time_ms, origin).ending(MfaEventKind::Unanswered),
            );
            time_ms += stage.attacker.random.between(60, 240) * 1_000;
        }
    }
}

/// Two a day for six days, ignored; on the last morning one is approved, at the hour of signing in.
pub(super) fn low_and_slow(stage: &mut Stage<'_, '_>, victims: &mut [Victim<'_>]) {
    for victim in victims {
        let from_ms = stage.day(victim.person);
        for day in 0..6 {
            for half in 0..2 {
                let time_ms = from_ms
                    + day * DAY_MS
                    + half * 5 * HOUR_MS
                    + stage.attacker.random.between(0, 90) * MINUTE_MS;
                let origin = stage.origin();
                stage.prompt(
                    victim,
                    &SignIn::new(time_ms, origin).ending(MfaEventKind::Unanswered),
                );
            }
        }
        let end_ms = stage.approved(victim, from_ms + 6 * DAY_MS, true);
        stage.act(victim, end_ms);
    }
}

/// Password and factors reset by the help desk, an own factor four minutes later, a session, rights.
pub(super) fn help_desk(stage: &mut Stage<'_, '_>, victims: &mut [Victim<'_>]) {
    for victim in victims {
        let from_ms = stage.day(victim.person);
        let office = stage.month.company.sites[0]
            .office
            .origin(2, &stage.month.kiosk);
        let origin = stage.origin();
        stage.attack.is_acted_on = true;
        stage.label(victim, |victim| {
            let (log, person) = (&mut victim.life.log, victim.person);
            log.by_other(person, from_ms, MfaEventKind::PasswordReset, &office);
            log.by_other(
                person,
                from_ms + MINUTE_MS,
                MfaEventKind::FactorReset,
                &office,
            );
            log.event(
                person,
                from_ms + 5 * MINUTE_MS,
                MfaEventKind::FactorEnrolled,
                &origin,
            );
        });
        stage.prompt(
            victim,
            &SignIn::new(from_ms + 6 * MINUTE_MS, origin.clone()),
        );
        stage.label(victim, |victim| {
            let log = &mut victim.life.log;
            log.event(
                victim.person,
                from_ms + 46 * MINUTE_MS,
                MfaEventKind::PrivilegeGranted,
                &origin,
            );
        });
    }
}

/// The help desk issues a bypass code; the sign-in with it comes from the attacker.
pub(super) fn bypass(stage: &mut Stage<'_, '_>, victims: &mut [Victim<'_>]) {
    for victim in victims {
        let from_ms = stage.day(victim.person);
        let office = stage.month.company.sites[0]
            .office
            .origin(2, &stage.month.kiosk);
        stage.label(victim, |victim| {
            victim
                .life
                .log
                .by_other(victim.person, from_ms, MfaEventKind::BypassIssued, &office);
        });
        let sign_in = stage.with_factor(
            from_ms + 7 * MINUTE_MS,
            Factor::BypassCode,
            MfaEventKind::Approved,
        );
        let end_ms = stage.prompt(victim, &sign_in);
        stage.act(victim, end_ms);
    }
}

/// A page between the person and the provider: one prompt, approved, used at once.
pub(super) fn relayed(stage: &mut Stage<'_, '_>, victims: &mut [Victim<'_>]) {
    for victim in victims {
        let from_ms = stage.day(victim.person);
        let sign_in = stage.with_factor(from_ms, Factor::Totp, MfaEventKind::Approved);
        let end_ms = stage.prompt(victim, &sign_in);
        stage.act(victim, end_ms);
    }
}

/// A session of the person's goes on elsewhere, on another machine, and enrols a factor.
pub(super) fn session_stolen(stage: &mut Stage<'_, '_>, victims: &mut [Victim<'_>]) {
    for victim in victims {
        let from_ms = stage.day(victim.person);
        let origin = stage.origin();
        let (network, host) = victim.life.place_at(victim.person, from_ms);
        stage.attack.is_acted_on = true;
        stage.label(victim, |victim| {
            let (log, person) = (&mut victim.life.log, victim.person);
            log.event(person, from_ms, MfaEventKind::SessionMoved, &origin)
                .previous_ip = Some(network.address(host));
            for n in 1..4 {
                log.event(
                    person,
                    from_ms + n * 4 * MINUTE_MS,
                    MfaEventKind::AppAccess,
                    &origin,
                );
            }
            log.event(
                person,
                from_ms + 20 * MINUTE_MS,
                MfaEventKind::FactorEnrolled,
                &origin,
            );
        });
    }
}

/// Somebody calls, has a remote-support tool started, and prompts: refused twice, then approved.
pub(super) fn remote_support(stage: &mut Stage<'_, '_>, victims: &mut [Victim<'_>]) {
    for victim in victims {
        let from_ms = victim.life.working_time(victim.person);
        victim.life.supports.push(Support {
            from_ms: from_ms - 6 * MINUTE_MS,
            until_ms: from_ms + 50 * MINUTE_MS,
            tool: "Quick Assist",
            is_managed: false,
            is_new: true,
        });
        let next_ms = stage.refused(victim, from_ms, (2, (60, 180)));
        let end_ms = stage.approved(victim, next_ms, true);
        stage.act(victim, end_ms);
    }
}

/// A dozen voice calls from one o'clock on, the last one answered.
pub(super) fn voice(stage: &mut Stage<'_, '_>, victims: &mut [Victim<'_>]) {
    for victim in victims {
        let mut time_ms = stage.night(victim.person);
        for _ in 0..12 {
            let sign_in = stage.with_factor(time_ms, Factor::Voice, MfaEventKind::Unanswered);
            stage.prompt(victim, &sign_in);
            time_ms += stage.attacker.random.between(120, 260) * 1_000;
        }
        stage.attack.is_approved_after_prompts = true;
        let sign_in = stage.with_factor(time_ms, Factor::Voice, MfaEventKind::Approved);
        let end_ms = stage.prompt(victim, &sign_in);
        stage.act(victim, end_ms);
    }
}

/// One prompt each within twenty minutes; one of forty approves.
pub(super) fn spray(stage: &mut Stage<'_, '_>, victims: &mut [Victim<'_>]) {
    let from_ms = victims
        .first()
        .map_or(0, |victim| stage.night(victim.person));
    let chosen = stage.attacker.random.between(0, 39);
    for (n, victim) in (0_i64..).zip(victims) {
        let time_ms = from_ms + n * 30_000;
        // Each provider keeps its own token of the one machine.
        stage.new_machine(victim.person);
        if n == chosen {
            let end_ms = stage.approved(victim, time_ms, false);
            stage.act(victim, end_ms);
        } else {
            let ending = stage.refusal();
            let origin = stage.origin();
            stage.prompt(victim, &SignIn::new(time_ms, origin).ending(ending));
        }
    }
}

/// Approved after prompts; an administrator revokes the sessions; the attacker's goes on.
pub(super) fn revoked(stage: &mut Stage<'_, '_>, victims: &mut [Victim<'_>]) {
    for victim in victims {
        let from_ms = stage.day(victim.person);
        let next_ms = stage.refused(victim, from_ms, (3, (60, 180)));
        let end_ms = stage.approved(victim, next_ms, true);
        let session = victim
            .life
            .log
            .events
            .last()
            .and_then(|event| event.flow.session.clone());
        let origin = stage.origin();
        stage.attack.is_acted_on = true;
        stage.label(victim, |victim| {
            let (log, person) = (&mut victim.life.log, victim.person);
            let revoked = log.event(
                person,
                end_ms + 40 * MINUTE_MS,
                MfaEventKind::SessionRevoked,
                &origin,
            );
            revoked.flow.session.clone_from(&session);
            revoked.actor = Some(Actor {
                kind: "User".to_owned(),
                provider_id: "00uadmin".to_owned(),
                login: "admin@example.com".to_owned(),
            });
            let after = log.event(
                person,
                end_ms + 90 * MINUTE_MS,
                MfaEventKind::AppAccess,
                &origin,
            );
            after.flow.session = session;
        });
    }
}

/// Consultants prompt people who know of it, as an attacker would.
pub(super) fn pen_test(stage: &mut Stage<'_, '_>, victims: &mut [Victim<'_>]) {
    stage.attack.is_test = true;
    for victim in victims {
        let from_ms = stage.day(victim.person);
        stage.refused(victim, from_ms, (8, (30, 120)));
    }
}
