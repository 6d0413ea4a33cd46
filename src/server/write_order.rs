//! Who is written to in a pass, and in which order.

/// Connections by their slots; one may stand there more than once.
#[derive(Default)]
pub(super) struct WriteOrder {
    answered: Vec<usize>,
    told: Vec<usize>,
    asked: Vec<usize>,
    unfinished: Vec<usize>,
}

impl WriteOrder {
    /// It got the outcome that it waited for.
    pub(super) fn answered(&mut self, slot: usize) {
        self.answered.push(slot);
    }

    /// Something else happened to it that it has not asked for just now.
    pub(super) fn told(&mut self, slot: usize) {
        self.told.push(slot);
    }

    /// It was read from, and nothing happened to it before.
    pub(super) fn asked(&mut self, slot: usize) {
        self.asked.push(slot);
    }

    /// It could take more than its share of a pass.
    pub(super) fn unfinished(&mut self, slot: usize) {
        self.unfinished.push(slot);
    }

    /// True if somebody waits for the next pass.
    pub(super) fn has_unfinished(&self) -> bool {
        !self.unfinished.is_empty()
    }

    /// Takes out who hears what others brought about, while who asks may still let somebody lead. Those with an
    /// outcome first, and of them the last: it is behind a withdrawal that who waited is let in.
    pub(super) fn take_told(&mut self, into: &mut Vec<usize>) {
        into.extend(self.answered.drain(..).rev());
        into.append(&mut self.told);
    }

    /// Takes out all. So a hand-over's new leader comes before the old one, and who could take more behind the
    /// others.
    pub(super) fn take(&mut self, into: &mut Vec<usize>) {
        self.take_told(into);
        into.append(&mut self.asked);
        into.append(&mut self.unfinished);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> WriteOrder {
        let mut order = WriteOrder::default();
        order.unfinished(1);
        order.asked(2);
        order.asked(3);
        order.told(4);
        order.answered(5);
        order.told(6);
        order.answered(7);
        order
    }

    #[test]
    fn the_new_leader_comes_before_the_old_one() {
        let (mut order, mut all) = (order(), Vec::new());
        assert!(order.has_unfinished());
        order.take(&mut all);
        assert_eq!(all, [7, 5, 4, 6, 2, 3, 1]);
        assert!(!order.has_unfinished());
        order.take(&mut all);
        assert_eq!(all.len(), 7, "each is taken out once");
    }

    #[test]
    fn in_the_middle_of_a_pass_who_asks_waits() {
        let (mut order, mut told, mut rest) = (order(), Vec::new(), Vec::new());
        order.take_told(&mut told);
        assert_eq!(told, [7, 5, 4, 6]);
        order.answered(8);
        order.take(&mut rest);
        assert_eq!(rest, [8, 2, 3, 1]);
    }
}
