//! What somebody does who knows the public rules.

use tocsin_correlate::{Factor, MfaEventKind};

use super::{Stage, Victim};
use crate::life::Support;
use crate::record::SignIn;
use crate::world::{DAY_MS, HOUR_MS, MINUTE_MS};

/// One every ten minutes for four hours: below every count within ten minutes.
pub(super) fn every_ten_minutes(stage: &mut Stage<'_, '_>, victims: &mut [Victim<'_>]) {
    for victim in victims {
        let from_ms = stage.day(victim.person);
        let next_ms = stage.refused(victim, from_ms, (22, (605, 640)));
        let end_ms = stage.approved(victim, next_ms, true);
        stage.act(victim, end_ms);
    }
}

/// Two a day for eight days, never approved.
pub(super) fn two_a_day(stage: &mut Stage<'_, '_>, victims: &mut [Victim<'_>]) {
    for victim in victims {
        let from_ms = stage.day(victim.person) - 8 * HOUR_MS;
        for day in 0..8 {
            for half in 0..2 {
                let pause_ms = stage.hours(0, 5);
                let time_ms = from_ms + day * DAY_MS + half * 9 * HOUR_MS + pause_ms;
                let (ending, origin) = (stage.refusal(), stage.origin());
                stage.prompt(victim, &SignIn::new(time_ms, origin).ending(ending));
            }
        }
    }
}

/// Each prompt from another network, with another browser.
pub(super) fn rotating(stage: &mut Stage<'_, '_>, victims: &mut [Victim<'_>]) {
    for victim in victims {
        let mut time_ms = stage.night(victim.person);
        for _ in 0..9 {
            stage.rotate();
            stage.new_machine(victim.person);
            time_ms = stage.refused(victim, time_ms, (1, (200, 500)));
        }
        stage.rotate();
        let end_ms = stage.approved(victim, time_ms, true);
        stage.act(victim, end_ms);
    }
}

/// Through a machine of the victim's own access provider and city.
pub(super) fn residential(stage: &mut Stage<'_, '_>, victims: &mut [Victim<'_>]) {
    for victim in victims {
        let home = victim.person.home.clone();
        stage.attacker.network = stage.networks.another(home.asn, home.country, &home.city);
        let from_ms = stage.day(victim.person) + 3 * HOUR_MS;
        let next_ms = stage.refused(victim, from_ms, (6, (150, 400)));
        let end_ms = stage.approved(victim, next_ms, true);
        stage.act(victim, end_ms);
    }
}

/// Through the company's VPN, or the guest network of an office.
pub(super) fn own_egress(stage: &mut Stage<'_, '_>, victims: &mut [Victim<'_>]) {
    for victim in victims {
        let from_ms = stage.day(victim.person);
        let company = stage.month.company;
        stage.attacker.network = if victim.person.uses_vpn {
            let (before, after) = &company.vpn;
            if from_ms < company.vpn_change_ms {
                before.clone()
            } else {
                after.clone()
            }
        } else {
            company.sites[victim.person.site].office.clone()
        };
        let mut time_ms = from_ms;
        for _ in 0..6 {
            let ending = stage.refusal();
            let origin = stage.attacker.network.origin(1, &stage.attacker.machine);
            stage.prompt(victim, &SignIn::new(time_ms, origin).ending(ending));
            time_ms += stage.attacker.random.between(90, 300) * 1_000;
        }
        stage.attack.is_approved_after_prompts = true;
        let origin = stage.attacker.network.origin(1, &stage.attacker.machine);
        let end_ms = stage.prompt(victim, &SignIn::new(time_ms, origin));
        stage.act(victim, end_ms);
    }
}

/// A session of its own for each prompt: rules that group by session count one.
pub(super) fn new_sessions(stage: &mut Stage<'_, '_>, victims: &mut [Victim<'_>]) {
    for victim in victims {
        let mut time_ms = stage.night(victim.person);
        for n in 0..8 {
            let (ending, origin) = (stage.refusal(), stage.origin());
            let mut sign_in = SignIn::new(time_ms, origin).ending(ending);
            sign_in.session = format!("s{n}{time_ms}");
            stage.prompt(victim, &sign_in);
            time_ms += stage.attacker.random.between(100, 300) * 1_000;
        }
        let end_ms = stage.approved(victim, time_ms, true);
        stage.act(victim, end_ms);
    }
}

/// Push, text message, voice, mail in turn: rules that look at one factor count a quarter.
pub(super) fn mixed_factors(stage: &mut Stage<'_, '_>, victims: &mut [Victim<'_>]) {
    for victim in victims {
        let mut time_ms = stage.night(victim.person);
        for n in 0..8 {
            let factor = match n % 4 {
                0 => Factor::Push,
                1 => Factor::Sms,
                2 => Factor::Voice,
                _ => Factor::Email,
            };
            let ending = stage.refusal();
            let sign_in = stage.with_factor(time_ms, factor, ending);
            stage.prompt(victim, &sign_in);
            time_ms += stage.attacker.random.between(60, 200) * 1_000;
        }
        let end_ms = stage.approved(victim, time_ms, true);
        stage.act(victim, end_ms);
    }
}

/// Nine before the full ten minutes and nine after.
pub(super) fn bucket_straddle(stage: &mut Stage<'_, '_>, victims: &mut [Victim<'_>]) {
    for victim in victims {
        let day_ms = stage.day(victim.person);
        let edge_ms = day_ms - day_ms.rem_euclid(HOUR_MS) + HOUR_MS;
        let origin = stage.origin();
        for n in 0..18 {
            let time_ms = edge_ms - 95_000 + n * 10_000;
            stage.prompt(
                victim,
                &SignIn::new(time_ms, origin.clone()).ending(MfaEventKind::Denied),
            );
        }
    }
}

/// About one person in a hundred approves even the first.
pub(super) fn first_approved(stage: &mut Stage<'_, '_>, victims: &mut [Victim<'_>]) {
    for victim in victims {
        let from_ms = stage.day(victim.person);
        let end_ms = stage.approved(victim, from_ms, false);
        stage.act(victim, end_ms);
    }
}

/// The same, and what is done with it does not show.
pub(super) fn first_approved_only(stage: &mut Stage<'_, '_>, victims: &mut [Victim<'_>]) {
    for victim in victims {
        let from_ms = stage.day(victim.person);
        stage.approved(victim, from_ms, false);
    }
}

/// With a remote-support tool in the victim's own browser.
pub(super) fn victims_machine(stage: &mut Stage<'_, '_>, victims: &mut [Victim<'_>]) {
    for victim in victims {
        let from_ms = victim.life.working_time(victim.person);
        victim.life.supports.push(Support {
            from_ms: from_ms - 9 * MINUTE_MS,
            until_ms: from_ms + 40 * MINUTE_MS,
            tool: "AnyDesk",
            is_managed: false,
            is_new: true,
        });
        stage.attack.is_on_victims_machine = true;
        stage.attack.is_approved_after_prompts = true;
        let (network, host) = victim.life.place_at(victim.person, from_ms);
        let machine = victim.life.laptop(victim.person, from_ms);
        stage.attacker.network = network;
        stage.attacker.machine = machine;
        let origin = stage.attacker.network.origin(host, &stage.attacker.machine);
        for n in 0..4 {
            let time_ms = from_ms + n * 2 * MINUTE_MS;
            let ending = if n == 3 {
                MfaEventKind::Approved
            } else {
                MfaEventKind::Denied
            };
            let sign_in = SignIn::new(time_ms, origin.clone()).ending(ending);
            stage.label(victim, |victim| {
                victim.life.on_laptop(victim.person, &sign_in)
            });
        }
        stage.attack.is_acted_on = true;
        stage.label(victim, |victim| {
            let log = &mut victim.life.log;
            log.event(
                victim.person,
                from_ms + 11 * MINUTE_MS,
                MfaEventKind::FactorEnrolled,
                &origin,
            );
        });
    }
}

/// Four refused within the hour, then approved: below five.
pub(super) fn under_thresholds(stage: &mut Stage<'_, '_>, victims: &mut [Victim<'_>]) {
    for victim in victims {
        let from_ms = stage.day(victim.person);
        let next_ms = stage.refused(victim, from_ms, (4, (300, 900)));
        let end_ms = stage.approved(victim, next_ms, true);
        stage.act(victim, end_ms);
    }
}
