//! One writer at a time, without a thread that waits for a lock.
//!
//! Whoever submits tries to become the shard's writer. If somebody else is, the command stays in the
//! queue, and the present writer runs it. No command may be left behind with nobody to run it, and
//! that is what the role's one atomic has to guarantee:
//!
//! - The role is the state itself, in a slot with room for one. It is taken and given back by `swap`
//!   alone, never by a plain load or store. A submitter that finds the slot empty has *pushed first* and
//!   then written nothing over nothing. The writer's swap that gives the state back comes after that in
//!   the slot's modification order, so it reads from the submitter's swap or from a later one, acquires
//!   what the submitter released, and its next look at the queue sees the command.
//! - If instead the submitter's second swap comes after the writer's, it finds the state and becomes the
//!   writer itself.
//!
//! After a panic of its writer the state is never run again, and every later command is dropped unrun: a
//! command tells its submitter so when it is dropped (`reply.rs`).

use std::panic::resume_unwind;
use std::thread;

use crate::sync::{SegQueue, Slot};

/// `K` is a command that can wait, `S` what the writer alone may touch.
pub(crate) struct Mailbox<K, S> {
    role: Slot<Role<S>>,
    waiting: SegQueue<K>,
}

/// Who holds it is the writer. It shares no cache line with another shard's, nor with the one fetched beside it.
#[repr(align(128))]
struct Role<S> {
    state: S,
    /// Its writer did not come to the end of a turn.
    has_failed: bool,
}

/// What a writer runs: its own command, as it was handed over, or one that waited.
pub(crate) enum Next<C, K> {
    Own(C),
    Waited(K),
}

/// What there is to run. What waits goes first, for some of it may be this submitter's own, handed over
/// earlier; then its own, before what others hand over meanwhile.
pub(crate) struct Todo<'a, C, K> {
    own: &'a mut Option<C>,
    waiting: &'a SegQueue<K>,
    /// How many waited before its own.
    earlier: usize,
}

impl<C, K> Iterator for Todo<'_, C, K> {
    type Item = Next<C, K>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if (self.earlier == 0 || self.waiting.is_empty())
            && let Some(own) = self.own.take()
        {
            return Some(Next::Own(own));
        }
        self.earlier = self.earlier.saturating_sub(1);
        // Looking is cheaper than trying, and is all that most turns need.
        if self.waiting.is_empty() { None } else { self.waiting.pop().map(Next::Waited) }
    }
}

/// The mailbox is full; the command comes back.
pub(crate) struct Overloaded<C>(pub(crate) C);

impl<K, S> Mailbox<K, S> {
    pub(crate) fn new(state: S) -> Self {
        let role = Slot::new(Role { state, has_failed: false });
        Self { role, waiting: SegQueue::new() }
    }

    /// Commands that wait for a writer; exact only while nobody submits.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Has `command` run, here or by the present writer, after everything this thread submitted
    /// before. If it has to wait behind `bound` others or more, it comes back instead (when many
    /// submit at once, each may add one over the bound). `keep` makes it fit to wait. `run` takes
    /// what there is to run until there is no more, or stops earlier: then the role is given back, so
    /// that another submitter may go on, and `rest` is called before it is tried for again. If it has a
    /// panic to tell of, this goes on with that, but not before it has looked again: others have left their commands
    /// to it.
    pub(crate) fn submit<C>(
        &self,
        bound: usize,
        command: C,
        keep: impl Fn(C) -> K,
        mut run: impl FnMut(&mut S, &mut Todo<'_, C, K>),
        mut rest: impl FnMut() -> thread::Result<()>,
    ) -> Result<(), Overloaded<C>> {
        let (mut own, mut panic) = (None, None);
        let mut role = self.take_role();
        if role.is_some() {
            own = Some(command);
        } else if self.waiting.len() >= bound {
            return Err(Overloaded(command));
        } else {
            self.waiting.push(keep(command));
            role = self.take_role();
        }
        while let Some(mut writer) = role {
            writer.work(&mut own, &mut run);
            if let Some(own) = own.take() {
                // Many waited before it. Whoever has the role next runs it in its place.
                self.waiting.push(keep(own));
            }
            drop(writer);
            panic = panic.or(rest().err());
            role = if self.waiting.is_empty() { None } else { self.take_role() };
        }
        match panic {
            Some(panic) => resume_unwind(panic),
            None => Ok(()),
        }
    }

    /// Leaves a command of the writer's own for its next pass, bound or no bound.
    pub(crate) fn put_back(&self, command: K) {
        self.waiting.push(command);
    }

    fn take_role(&self) -> Option<Writer<'_, K, S>> {
        self.role.take().map(|role| Writer { mailbox: self, role: Some(role), is_at_work: false })
    }
}

/// The role, given back when dropped, also by a panic.
struct Writer<'a, K, S> {
    mailbox: &'a Mailbox<K, S>,
    /// Until dropped.
    role: Option<Box<Role<S>>>,
    is_at_work: bool,
}

impl<K, S> Writer<'_, K, S> {
    fn work<C>(&mut self, own: &mut Option<C>, run: &mut impl FnMut(&mut S, &mut Todo<'_, C, K>)) {
        let waiting = &self.mailbox.waiting;
        let earlier = if waiting.is_empty() { 0 } else { waiting.len() };
        let mut todo = Todo { own, waiting, earlier };
        match self.role.as_deref_mut() {
            Some(Role { state, has_failed: false }) => {
                self.is_at_work = true;
                run(state, &mut todo);
                self.is_at_work = false;
            }
            _ => todo.by_ref().for_each(drop),
        }
    }
}

impl<K, S> Drop for Writer<'_, K, S> {
    fn drop(&mut self) {
        let Some(mut role) = self.role.take() else { return };
        role.has_failed |= self.is_at_work;
        self.mailbox.role.put(role);
        if self.is_at_work {
            // Nobody may come again to run these; dropping them tells who waits for them.
            while self.mailbox.waiting.pop().is_some() {}
        }
    }
}

#[cfg(all(test, not(tenure_loom)))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    /// Who has left a command to the writer relies on it, whatever a waker does.
    #[test]
    fn a_panic_between_two_turns_leaves_no_command_behind() {
        let mailbox: Mailbox<u32, Vec<u32>> = Mailbox::new(Vec::new());
        let submit = || {
            let run = |ran: &mut Vec<u32>, todo: &mut Todo<'_, u32, u32>| {
                if let Some(Next::Own(command) | Next::Waited(command)) = todo.next() {
                    ran.push(command);
                    if command == 1 {
                        // Another's, which finds the role taken.
                        mailbox.put_back(2);
                    }
                }
            };
            let rest =
                || if mailbox.waiting() > 0 { Err(Box::new("a waker's") as _) } else { Ok(()) };
            mailbox.submit(8, 1, |it| it, run, rest).is_ok()
        };
        let panic = catch_unwind(AssertUnwindSafe(submit)).expect_err("it goes on with the panic");
        assert_eq!(panic.downcast_ref(), Some(&"a waker's"));
        assert_eq!(mailbox.waiting(), 0, "left behind");
        let role = mailbox.take_role().expect("it was given back");
        assert_eq!(role.role.as_ref().expect("held").state, [1, 2]);
    }
}
