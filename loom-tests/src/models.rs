//! One model for each promise. A model that could not fail proves nothing, so each is built around
//! an assertion that some interleaving would break if an ordering were weaker or a step missing.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use loom::thread;

use crate::clock::Moment;
use crate::lease::{Ending, Expiry, Lease};
use crate::shard::mailbox::{Mailbox, Next};
use crate::shard::published::{self, Swap};
use crate::shard::watch::Mark;

/// Runs commands that are numbers into the list that is the state.
fn submit(mailbox: &Mailbox<u64, Vec<u64>>, command: u64) {
    let submitted = mailbox.submit(
        usize::MAX,
        command,
        |command| command,
        |state, next| {
            for next in next {
                match next {
                    Next::Own(command) | Next::Waited(command) => state.push(command),
                }
            }
        },
        || Ok(()),
    );
    assert!(submitted.is_ok());
}

fn contents(mailbox: &Mailbox<u64, Vec<u64>>) -> Vec<u64> {
    let mut seen = None;
    let _ok = mailbox.submit(
        usize::MAX,
        0,
        |command| command,
        |state, next| {
            next.for_each(drop);
            seen = Some(state.clone());
        },
        || Ok(()),
    );
    seen.expect("nobody else is there, so the look runs here")
}

/// No command is left behind: when all submitters have returned, all commands have run, once, and
/// those of one submitter in its order.
#[test]
fn mailbox_leaves_no_command_behind() {
    loom::model(|| {
        let mailbox = Arc::new(Mailbox::new(Vec::new()));
        let other = {
            let mailbox = mailbox.clone();
            thread::spawn(move || {
                submit(&mailbox, 11);
                submit(&mailbox, 12);
            })
        };
        submit(&mailbox, 21);
        other.join().unwrap();
        assert_eq!(mailbox.waiting(), 0, "left behind");
        let ran = contents(&mailbox);
        let mut sorted = ran.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [11, 12, 21], "lost or doubled");
        let place = |n| ran.iter().position(|&it| it == n).unwrap();
        assert!(place(11) < place(12), "one submitter's order");
    });
}

/// Turns of one command: the role is given back in between, and a submitter whose own command was not
/// yet due leaves it in its place.
#[test]
fn mailbox_turns_end_before_all_is_done() {
    fn submit(mailbox: &Mailbox<u64, Vec<u64>>, command: u64) {
        let submitted = mailbox.submit(
            usize::MAX,
            command,
            |command| command,
            |state, next| {
                if let Some(Next::Own(command) | Next::Waited(command)) = next.next() {
                    state.push(command);
                }
            },
            || Ok(()),
        );
        assert!(submitted.is_ok());
    }

    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let mailbox = Arc::new(Mailbox::new(Vec::new()));
        mailbox.put_back(1);
        mailbox.put_back(2);
        let other = {
            let mailbox = mailbox.clone();
            thread::spawn(move || submit(&mailbox, 11))
        };
        submit(&mailbox, 21);
        submit(&mailbox, 22);
        other.join().unwrap();
        assert_eq!(mailbox.waiting(), 0, "left behind");
        let ran = contents(&mailbox);
        let place = |n| ran.iter().position(|&it| it == n).expect("lost");
        assert_eq!(ran.len(), 5, "doubled");
        assert!(place(1) < place(2) && place(2) < place(11), "what waited goes first");
        assert!(place(2) < place(21) && place(21) < place(22), "one submitter's order: {ran:?}");
    });
}

#[test]
fn mailbox_of_three_submitters() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let mailbox = Arc::new(Mailbox::new(Vec::new()));
        let others = [1, 2].map(|n| {
            let mailbox = mailbox.clone();
            thread::spawn(move || submit(&mailbox, n))
        });
        submit(&mailbox, 3);
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(mailbox.waiting(), 0);
        assert_eq!(contents(&mailbox).len(), 3);
    });
}

/// Stands in for arc-swap: `store` releases, a cached look is a relaxed load, as `Cache` does it.
#[derive(Default)]
struct Published(AtomicU64);

impl Published {
    fn store(&self, revision: u64) {
        self.0.swap(revision, Ordering::AcqRel);
    }

    fn cached(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Who has a reply reads that revision or a newer one, also when another thread ran the command.
#[test]
fn publish_before_reply() {
    struct Election {
        mailbox: Mailbox<usize, u64>,
        published: Published,
        /// Each submitter's reply: 0 until it comes.
        replies: [AtomicU64; 2],
    }

    fn enter(election: &Election, who: usize) {
        let _ok = election.mailbox.submit(
            usize::MAX,
            who,
            |who| who,
            |revision, next| {
                for next in next {
                    let (Next::Own(who) | Next::Waited(who)) = next;
                    *revision += 1;
                    election.published.store(*revision);
                    election.replies[who].store(*revision, Ordering::Release);
                }
            },
            || Ok(()),
        );
        let replied = election.replies[who].load(Ordering::Acquire);
        if replied > 0 {
            assert!(election.published.cached() >= replied, "a reply overtook its publication");
        }
    }

    loom::model(|| {
        let election = Arc::new(Election {
            mailbox: Mailbox::new(0),
            published: Published::default(),
            replies: Default::default(),
        });
        let other = {
            let election = election.clone();
            thread::spawn(move || enter(&election, 1))
        };
        enter(&election, 0);
        other.join().unwrap();
        assert_eq!(election.published.cached(), 2);
        assert!(election.replies.iter().all(|reply| reply.load(Ordering::Acquire) > 0));
    });
}

impl Swap<u64> for Published {
    fn store(&self, revision: u64) {
        Published::store(self, revision);
    }
}

/// Two first readers and a writer at once: nobody sees a value go back, who knows of a release sees
/// it, and in the end everybody sees the newest.
#[test]
fn published_from_the_first_reader_on() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let value = Arc::new(published::Published::new(0, Published::default(), 0));
        let known = Arc::new(AtomicU64::new(0));
        let writer = {
            let (value, known) = (value.clone(), known.clone());
            thread::spawn(move || {
                // As with a log that makes it wait, and as with one that does not.
                value.writing().advance(1);
                value.release(1);
                known.store(1, Ordering::Release);
                for newer in [2, 3] {
                    publish_in_place(&mut value.writing(), newer);
                    known.store(newer, Ordering::Release);
                }
            })
        };
        let look = {
            let (value, known) = (value.clone(), known.clone());
            move || {
                let told = known.load(Ordering::Acquire);
                let seen = value.read().cached();
                assert!(seen >= told, "a release was missed");
                assert!(value.published().cached() >= seen, "it went back");
            }
        };
        let reader = thread::spawn(look.clone());
        look();
        writer.join().unwrap();
        reader.join().unwrap();
        assert_eq!((value.read().cached(), *value.writing().newest()), (3, 3));
    });
}

/// As a cell does it.
fn publish_in_place<S: published::Swap<u64>>(
    writing: &mut published::Writing<'_, u64, S>,
    newer: u64,
) {
    match writing.unread() {
        Some(place) => *place = newer,
        None => writing.publish(newer),
    }
}

/// While a log keeps a value back.
#[test]
fn what_is_not_released_is_seen_by_nobody() {
    loom::model(|| {
        let value = Arc::new(published::Published::new(0, Published::default(), 0));
        let writer = {
            let value = value.clone();
            thread::spawn(move || {
                value.writing().publish(1);
                value.writing().advance(2);
                value.writing().advance(3);
            })
        };
        let reader = {
            let value = value.clone();
            thread::spawn(move || value.read().cached())
        };
        assert!(value.peek(Published::cached, |kept| *kept) <= 1);
        writer.join().unwrap();
        assert!(reader.join().unwrap() <= 1);
        assert_eq!((value.read().cached(), value.newest()), (1, 3));
        value.release(2);
        assert_eq!(value.read().cached(), 2);
    });
}

/// Looking without becoming a reader.
#[test]
fn peeks_see_what_was_released() {
    loom::model(|| {
        let value = Arc::new(published::Published::new(0, Published::default(), 0));
        let writer = {
            let value = value.clone();
            thread::spawn(move || {
                value.writing().advance(1);
                value.release(1);
            })
        };
        let reader = {
            let value = value.clone();
            thread::spawn(move || value.read().cached())
        };
        let peeked = value.peek(Published::cached, |kept| *kept);
        assert!(peeked <= 1);
        writer.join().unwrap();
        assert!(reader.join().unwrap() <= 1);
        assert_eq!(value.peek(Published::cached, |kept| *kept), 1);
    });
}

/// A change is always seen in the end: a reader that looks whenever it is told ends at the newest.
#[test]
fn watch_marks_lose_no_change() {
    struct Watched {
        mark: Mark,
        published: Published,
        told: AtomicU64,
    }

    impl Watched {
        fn change(&self, revision: u64) {
            self.published.0.store(revision, Ordering::Release);
            if self.mark.raise() {
                self.told.fetch_add(1, Ordering::AcqRel);
            }
        }

        fn look(&self) -> u64 {
            self.mark.lower();
            self.published.cached()
        }
    }

    loom::model(|| {
        let watched = Arc::new(Watched {
            mark: Mark::new(),
            published: Published::default(),
            told: AtomicU64::new(0),
        });
        let writer = {
            let watched = watched.clone();
            thread::spawn(move || {
                watched.change(1);
                watched.change(2);
            })
        };
        // The reader looks once for each time it was told, as far as it knows yet.
        let (mut looks, mut last) = (0, 0);
        while looks < watched.told.load(Ordering::Acquire) {
            looks += 1;
            let seen = watched.look();
            assert!(seen >= last, "a watch went back");
            last = seen;
        }
        writer.join().unwrap();
        while looks < watched.told.load(Ordering::Acquire) {
            looks += 1;
            last = watched.look();
        }
        assert_eq!(last, 2, "told {looks} times, and the newest was never seen");
    });
}

/// The same mark as a reactor's bell: raised while awake, lowered before sleeping, then one more look.
#[test]
fn bell_wakes_a_sleeper() {
    loom::model(|| {
        let bell = Arc::new(Mark::new());
        let queue = Arc::new(AtomicBool::new(false));
        bell.raise(); // awake
        let producer = {
            let (bell, queue) = (bell.clone(), queue.clone());
            thread::spawn(move || {
                queue.store(true, Ordering::Relaxed);
                bell.raise() // true: the sleeper has to be woken by a syscall
            })
        };
        bell.lower();
        let found = queue.load(Ordering::Relaxed);
        let woken = producer.join().unwrap();
        assert!(found || woken, "asleep with work waiting");
    });
}

/// A session, and a shard whose state is whether its candidate stands.
struct Standing {
    lease: Lease,
    mailbox: Mailbox<Job, bool>,
}

#[derive(Clone, Copy)]
enum Job {
    Enter,
    Ended,
    /// Somebody else's.
    Other,
}

impl Standing {
    fn new() -> Arc<Self> {
        Arc::new(Self { lease: Lease::open_ended(), mailbox: Mailbox::new(false) })
    }

    fn submit(&self, job: Job) {
        let _ok = self.mailbox.submit(
            usize::MAX,
            job,
            |job| job,
            |stands, next| {
                for next in next {
                    let (Next::Own(job) | Next::Waited(job)) = next;
                    match job {
                        // Asked when it is applied, not when it was handed over.
                        Job::Enter => *stands |= self.lease.ended().is_none(),
                        Job::Ended => *stands = false,
                        Job::Other => {}
                    }
                }
            },
            || Ok(()),
        );
    }

    fn enter(&self) {
        self.lease.visit(5);
        self.submit(Job::Enter);
    }

    fn end(&self, ending: Ending) -> bool {
        let Some(shards) = self.lease.end(ending) else { return false };
        if shards & (1 << 5) != 0 {
            self.submit(Job::Ended);
        }
        true
    }

    fn stands(&self) -> bool {
        let mut seen = true;
        let _ok = self.mailbox.submit(
            usize::MAX,
            Job::Other,
            |job| job,
            |stands, next| {
                seen = *stands;
                next.for_each(drop);
            },
            || Ok(()),
        );
        seen
    }
}

/// Session end against use: whatever the order, no candidate outlives its session.
#[test]
fn session_end_against_enter() {
    loom::model(|| {
        let standing = Standing::new();
        let user = {
            let standing = standing.clone();
            thread::spawn(move || standing.enter())
        };
        assert!(standing.end(Ending::Disconnected));
        user.join().unwrap();
        assert!(!standing.stands(), "a candidate outlived its session");
        assert_eq!(standing.lease.ended(), Some(Ending::Disconnected));
    });
}

/// Row P4: the same while somebody else is the writer, so that the Enter waits in the mailbox, or the
/// word of the end does, or both, and a third one runs them.
#[test]
fn p4_session_end_against_a_waiting_enter() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let standing = Standing::new();
        let other = {
            let standing = standing.clone();
            thread::spawn(move || standing.submit(Job::Other))
        };
        let user = {
            let standing = standing.clone();
            thread::spawn(move || standing.enter())
        };
        assert!(standing.end(Ending::Expired));
        user.join().unwrap();
        other.join().unwrap();
        assert_eq!(standing.mailbox.waiting(), 0, "left behind");
        assert!(!standing.stands(), "a candidate outlived its session");
    });
}

/// Two that end a session agree on who did, and why.
#[test]
fn session_ends_once() {
    loom::model(|| {
        let lease = Arc::new(Lease::open_ended());
        let other = {
            let lease = lease.clone();
            thread::spawn(move || lease.end(Ending::Expired).is_some())
        };
        let mine = lease.end(Ending::Closed).is_some();
        let theirs = other.join().unwrap();
        assert!(mine ^ theirs);
        let ending = if mine { Ending::Closed } else { Ending::Expired };
        assert_eq!(lease.ended(), Some(ending));
    });
}

/// Row T6: a renewal and an expiry in the same instant. One wins, and everyone agrees which: either
/// the renewal succeeded and the session lives, or it failed and the session has expired.
#[test]
fn t6_renewal_against_expiry() {
    loom::model(|| {
        let at = |nanos: u64| Moment::from_nanos(1_000_000 + nanos);
        let lease = Arc::new(Lease::until(at(0)));
        let renewer = {
            let lease = lease.clone();
            thread::spawn(move || lease.renew(at(500)))
        };
        let expiry = lease.expire(at(0), Moment::default());
        match (renewer.join().unwrap(), expiry) {
            (Ok(()), Expiry::NotBefore(deadline)) => {
                assert_eq!((deadline, lease.ended()), (at(500), None));
                assert_eq!(lease.deadline(), Some(at(500)));
            }
            (Err(Ending::Expired), Expiry::Ended(_)) => {
                assert_eq!(lease.ended(), Some(Ending::Expired));
            }
            other => panic!("they don't agree: {other:?}"),
        }
    });
}

/// Two renewals: the later deadline stays, whoever came last.
#[test]
fn renewals_never_go_back() {
    loom::model(|| {
        let at = |nanos: u64| Moment::from_nanos(1_000_000 + nanos);
        let lease = Arc::new(Lease::until(at(0)));
        let other = {
            let lease = lease.clone();
            thread::spawn(move || lease.renew(at(700)))
        };
        lease.renew(at(500)).unwrap();
        other.join().unwrap().unwrap();
        assert_eq!(lease.deadline(), Some(at(700)));
    });
}
