//! What the proc connector sends, read from bytes. Pure: no socket, no clock.
//!
//! ```text
//! struct nlmsghdr    0 u32 length | 4 u16 type | 6 u16 flags | 8 u32 sequence | 12 u32 port
//! struct cn_msg     16 u32 index = 1 | 20 u32 value = 1 | 24 u32 sequence | 28 u32 acknowledged
//!                   32 u16 length | 34 u16 flags
//! struct proc_event 36 u32 what | 40 u32 cpu | 44 u64 nanoseconds of the monotonic clock | 52 event data
//! ```
//!
//! Numbers are in the machine's byte order. The kernel counts events per CPU in the `cn_msg` sequence, so what
//! a full socket dropped can be counted to the event ([`LossCounter`]). It counts notifications of all kinds,
//! those on threads too.

use std::collections::HashMap;

/// Bytes of one datagram at most; the kernel's are 76.
pub(super) const DATAGRAM_BYTES_MAX: usize = 1024;

const CN_IDX_PROC: u32 = 1;
const CN_VAL_PROC: u32 = 1;
const PROC_CN_MCAST_LISTEN: u32 = 1;
const PROC_CN_MCAST_IGNORE: u32 = 2;

/// What the kernel says happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// Our subscription was answered; 0 = accepted, else an errno.
    Answered {
        /// The errno.
        error: u32,
    },
    /// A process or thread began.
    Fork {
        /// Process of the creator (after `CLONE_PARENT`: of the creator's parent).
        parent: u32,
        /// Thread id of the new one.
        child_thread: u32,
        /// Its process; the same number where it is a new process.
        child: u32,
    },
    /// A process replaced its image.
    Exec {
        /// The process.
        process: u32,
    },
    /// A thread's user ids changed.
    Uid {
        /// Its thread id.
        thread: u32,
        /// Its process.
        process: u32,
        /// Effective user id now.
        effective: u32,
    },
    /// A thread ended.
    Exit {
        /// Its thread id.
        thread: u32,
        /// Its process; the same number where it is the first thread.
        process: u32,
        /// As wait(2) would give it.
        status: u32,
    },
    /// Something that is not followed: names, groups, sessions, tracing, core files.
    Other,
}

/// One notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Notification {
    /// Position in its CPU's count.
    pub(super) sequence: u32,
    /// Its CPU; `None` where it is not counted.
    pub(super) cpu: Option<u32>,
    /// Monotonic clock.
    pub(super) time_ns: u64,
    /// What happened.
    pub(super) what: What,
}

/// Reads one datagram; `None` where it is not a notification of the proc connector.
pub(super) fn parse(bytes: &[u8]) -> Option<Notification> {
    let u32_at = |at: usize| -> Option<u32> {
        let bytes = bytes.get(at..at.checked_add(4)?)?;
        Some(u32::from_ne_bytes(bytes.try_into().ok()?))
    };
    if u32_at(16)? != CN_IDX_PROC || u32_at(20)? != CN_VAL_PROC {
        return None;
    }
    let time_ns = u64::from_ne_bytes(bytes.get(44..52)?.try_into().ok()?);
    // Kernel before 6.6 answers a subscription with CPU -1 and a sequence that is not its count.
    let cpu = u32_at(40).filter(|cpu| *cpu != u32::MAX);
    let what = match u32_at(36)? {
        0 => What::Answered { error: u32_at(52)? },
        1 => What::Fork {
            parent: u32_at(56)?,
            child_thread: u32_at(60)?,
            child: u32_at(64)?,
        },
        2 => What::Exec {
            process: u32_at(56)?,
        },
        4 => What::Uid {
            thread: u32_at(52)?,
            process: u32_at(56)?,
            effective: u32_at(64)?,
        },
        0x8000_0000 => What::Exit {
            thread: u32_at(52)?,
            process: u32_at(56)?,
            status: u32_at(60)?,
        },
        _ => What::Other,
    };
    Some(Notification {
        sequence: u32_at(24)?,
        cpu,
        time_ns,
        what,
    })
}

/// The message that subscribes.
pub(super) fn listen() -> [u8; 40] {
    control(PROC_CN_MCAST_LISTEN)
}

/// The message that ends the subscription.
pub(super) fn ignore() -> [u8; 40] {
    control(PROC_CN_MCAST_IGNORE)
}

fn control(operation: u32) -> [u8; 40] {
    const NLMSG_DONE: u16 = 3;
    let mut message = [0; 40];
    let fields: [(usize, &[u8]); 6] = [
        (0, &40_u32.to_ne_bytes()),
        (4, &NLMSG_DONE.to_ne_bytes()),
        (16, &CN_IDX_PROC.to_ne_bytes()),
        (20, &CN_VAL_PROC.to_ne_bytes()),
        (32, &4_u16.to_ne_bytes()),
        (36, &operation.to_ne_bytes()),
    ];
    for (at, bytes) in fields {
        for (to, from) in message.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    }
    message
}

/// A stretch in which notifications were dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lost {
    /// How many.
    pub(super) count: u64,
    /// Monotonic clock of the last one before it.
    pub(super) from_ns: u64,
    /// Monotonic clock of the first one after it.
    pub(super) until_ns: u64,
}

/// Finds holes in the kernel's counts.
#[derive(Debug, Default)]
pub(super) struct LossCounter {
    /// By CPU: last sequence and its time. A few bytes a CPU of the machine.
    last: HashMap<u32, (u32, u64)>,
    lost: Option<Lost>,
}

impl LossCounter {
    /// Takes a notification into account.
    pub(super) fn note(&mut self, notification: &Notification) {
        let (time_ns, sequence) = (notification.time_ns, notification.sequence);
        let Some(cpu) = notification.cpu else { return };
        let Some((last, last_ns)) = self.last.insert(cpu, (sequence, time_ns)) else {
            return;
        };
        let hole = sequence.wrapping_sub(last).wrapping_sub(1);
        // A count that goes back began anew: the last listener left and came again.
        if hole == 0 || hole > u32::MAX / 2 {
            return;
        }
        let lost = self.lost.get_or_insert(Lost {
            count: 0,
            from_ns: last_ns,
            until_ns: time_ns,
        });
        lost.count += u64::from(hole);
        lost.from_ns = lost.from_ns.min(last_ns);
        lost.until_ns = lost.until_ns.max(time_ns);
    }

    /// What was lost since the last call.
    pub(super) fn take(&mut self) -> Option<Lost> {
        self.lost.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Linux 6.18 on x86_64 sent them: the answer to a subscription, then /bin/false from fork to exit.
    #[cfg(target_endian = "little")]
    #[test]
    fn recorded_datagrams_are_read() {
        let recorded = [
            "4c00000003000000775c0000000000000100000001000000775c000001000000280000000000000001000000a8654a80c9010000000000000000000000000000000000000000000000000000",
            "4c00000003000000785c0000000000000100000001000000785c000000000000280000000100000001000000f0cb4b80c9010000ad120000ad120000d6120000d61200000000000000000000",
            "4c00000003000000795c0000000000000100000001000000795c000000000000280000000200000001000000367d6780c9010000d6120000d612000000000000000000000000000000000000",
            "4c000000030000007a5c00000000000001000000010000007a5c000000000000280000000000008001000000c87d7280c9010000d6120000d61200000001000011000000ad120000ad120000",
        ];
        let read = recorded.map(|hex| {
            let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
            parse(&bytes).unwrap()
        });
        let (parent, child) = (4781, 4822);
        assert_eq!(
            read.map(|notification| notification.what),
            [
                What::Answered { error: 0 },
                What::Fork {
                    parent,
                    child_thread: child,
                    child
                },
                What::Exec { process: child },
                What::Exit {
                    thread: child,
                    process: child,
                    status: 0x100
                },
            ]
        );
        let mut counter = LossCounter::default();
        read.iter()
            .for_each(|notification| counter.note(notification));
        assert_eq!(counter.take(), None);
        assert!(read.is_sorted_by_key(|notification| notification.time_ns));
    }

    fn notification(what: u32, cpu: u32, sequence: u32, data: [u32; 6]) -> Vec<u8> {
        let mut bytes = control(0).get(..36).unwrap().to_vec();
        bytes[24..28].copy_from_slice(&sequence.to_ne_bytes());
        bytes.extend_from_slice(&what.to_ne_bytes());
        bytes.extend_from_slice(&cpu.to_ne_bytes());
        bytes.extend_from_slice(&u64::from(sequence).to_ne_bytes());
        for word in data {
            bytes.extend_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    #[test]
    fn each_kind_is_read() {
        let read = |what, data| parse(&notification(what, 0, 7, data)).unwrap().what;
        assert_eq!(
            read(1, [10, 11, 20, 21, 0, 0]),
            What::Fork {
                parent: 11,
                child_thread: 20,
                child: 21
            }
        );
        assert_eq!(read(2, [10, 11, 0, 0, 0, 0]), What::Exec { process: 11 });
        assert_eq!(
            read(4, [10, 11, 1000, 0, 0, 0]),
            What::Uid {
                thread: 10,
                process: 11,
                effective: 0
            }
        );
        assert_eq!(
            read(0x8000_0000, [10, 11, 0x300, 17, 1, 1]),
            What::Exit {
                thread: 10,
                process: 11,
                status: 0x300
            }
        );
        assert_eq!(read(0, [1, 0, 0, 0, 0, 0]), What::Answered { error: 1 });
        assert_eq!(read(0x200, [0; 6]), What::Other);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let good = notification(1, 0, 7, [1; 6]);
        for end in 0..good.len() {
            let _either = parse(good.get(..end).unwrap());
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0xff;
            let _either = parse(&bad);
        }
        assert_eq!(parse(&[]), None);
    }

    #[test]
    fn another_connector_is_not_ours() {
        let mut bytes = notification(1, 0, 7, [1; 6]);
        bytes[16] = 9;
        assert_eq!(parse(&bytes), None);
    }

    #[test]
    fn the_subscription_is_what_the_kernel_expects() {
        let message = listen();
        assert_eq!(message[0..4], 40_u32.to_ne_bytes());
        assert_eq!(message[32..34], 4_u16.to_ne_bytes());
        assert_eq!(message[36..40], 1_u32.to_ne_bytes());
        assert_eq!(ignore()[36..40], 2_u32.to_ne_bytes());
    }

    fn lost(sequences: &[(u32, u32)]) -> Option<Lost> {
        let mut counter = LossCounter::default();
        for (cpu, sequence) in sequences {
            counter.note(&parse(&notification(1, *cpu, *sequence, [0; 6])).unwrap());
        }
        counter.take()
    }

    #[test]
    fn a_hole_is_counted_per_cpu() {
        assert_eq!(lost(&[(0, 5), (1, 90), (0, 6), (1, 91)]), None);
        let found = lost(&[(0, 5), (1, 90), (0, 9), (1, 92)]).unwrap();
        assert_eq!(found.count, 3 + 1);
        assert_eq!((found.from_ns, found.until_ns), (5, 92));
    }

    #[test]
    fn a_count_that_wraps_or_begins_anew_is_no_hole() {
        assert_eq!(lost(&[(0, u32::MAX), (0, 0), (0, 1)]), None);
        assert_eq!(lost(&[(0, u32::MAX), (0, 1)]).unwrap().count, 1);
        assert_eq!(lost(&[(0, 500), (0, 0), (0, 1)]), None);
        assert_eq!(lost(&[(u32::MAX, 5), (u32::MAX, 900)]), None, "not counted");
    }
}
