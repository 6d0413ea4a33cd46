//! What must hold of Tenure beside the others, and whether it does.

use super::table::times;
use crate::figures::{Figures, Question, median};

enum Bound {
    AtLeast(f64),
    AtMost(f64),
}
use Bound::{AtLeast, AtMost};

/// A value of one row: the best of these columns.
struct Side(Question, &'static str, &'static [&'static str]);

struct Verdict {
    what: &'static str,
    ours: Side,
    /// Nothing where the bound is of the value itself, in its own unit.
    theirs: Option<Side>,
    bound: Bound,
    /// What a bare server makes that moves as many messages, and writes where it keeps, where it is never idle.
    ceiling: Option<Side>,
}

const TENURE: &[&str] = &["Tenure"];
const CONTENDING: &[&str] = &["Tenure", "Tenure, waiting"];
const ECHO: &[&str] = &["bare server"];
const REDIS: &[&str] = &["Redis"];
const REDIS_TO_ALL: &[&str] = &["Redis, pub/sub"];
const AOF: &[&str] = &["Redis, AOF always"];
const AOF_TO_ALL: &[&str] = &["Redis, AOF, pub/sub"];
const ZOOKEEPER: &[&str] = &["ZooKeeper"];
const ETCD: &[&str] = &["etcd"];
const SERIALIZABLE: &[&str] = &["etcd, serializable"];
const NATS: &[&str] = &["NATS"];

const ONE_P50: &str = "1 x 1, p50, one core, in memory";
const TWO_P50: &str = "1 x 1, p50, two cores, in memory";
const R64: &str = "64 x 1, two cores, in memory";
const R50: &str = "50 x 16, two cores, in memory";
const R8: &str = "8 x 128, two cores, in memory";
const TAKE_ONE: &str = "take and release, one core, in memory";
const TAKE_TWO: &str = "take and release, two cores, in memory";
const TAKE_DISK: &str = "take and release, two cores, kept on disk";
const C_ONE: &str = "64 in one election, one core, in memory";
const C_TWO: &str = "64 in one election, two cores, in memory";
const C_DISK: &str = "64 in one election, two cores, kept on disk";
const C_MANY: &str = "64 elections at once, 2 in each, two cores, kept on disk";
const OWN: &str = "1000 watchers on their own connections, two cores, in memory";
const SHARED: &str = "1000 watchers on 10 connections, two cores, in memory";

fn all() -> Vec<Verdict> {
    [reads(), takes(), contentions(), watches(), failovers()].into_iter().flatten().collect()
}

fn reads() -> Vec<Verdict> {
    let of = |what, row, theirs, bound| Verdict {
        what,
        ours: Side(Question::Read, row, TENURE),
        theirs: Some(Side(Question::Read, row, theirs)),
        bound,
        ceiling: (theirs == REDIS).then_some(Side(Question::Read, row, ECHO)),
    };
    let busy = Verdict {
        what: "read 1 x 1 with busy polling beside none, p50",
        ours: Side(Question::Read, TWO_P50, &["Tenure, busy polling"]),
        theirs: Some(Side(Question::Read, TWO_P50, TENURE)),
        bound: AtMost(0.2),
        ceiling: None,
    };
    vec![
        of("read 8 x 128 beside the echo", R8, ECHO, AtLeast(0.5)),
        of("read 50 x 16 beside Redis", R50, REDIS, AtLeast(2.5)),
        of("read 64 x 1 beside the echo", R64, ECHO, AtLeast(0.9)),
        of("read 64 x 1 beside etcd, serializable", R64, SERIALIZABLE, AtLeast(6.0)),
        of("read 1 x 1 beside the echo, p50, one core", ONE_P50, ECHO, AtMost(1.1)),
        of("read 1 x 1 beside the echo, p50, two cores", TWO_P50, ECHO, AtMost(1.1)),
        busy,
    ]
}

fn takes() -> Vec<Verdict> {
    let of = |what, row, theirs, bound| Verdict {
        what,
        ours: Side(Question::Take, row, TENURE),
        theirs: Some(Side(Question::Take, row, theirs)),
        bound: AtLeast(bound),
        ceiling: None,
    };
    vec![
        of("take and release beside Redis, in memory, one core", TAKE_ONE, REDIS, 1.0),
        of("take and release beside Redis, in memory, two cores", TAKE_TWO, REDIS, 1.0),
        of("take and release beside etcd, on disk", TAKE_DISK, ETCD, 1.3),
        of("take and release beside ZooKeeper, on disk", TAKE_DISK, ZOOKEEPER, 1.3),
        of("take and release beside Redis AOF, on disk", TAKE_DISK, AOF, 1.3),
    ]
}

fn contentions() -> Vec<Verdict> {
    let of = |what, ours, row, theirs, bound| Verdict {
        what,
        ours: Side(Question::Contend, ours, CONTENDING),
        theirs: Some(Side(Question::Contend, row, theirs)),
        bound: AtLeast(bound),
        ceiling: Some(Side(Question::Contend, ours, ECHO)),
    };
    let busy = |what, theirs| Verdict {
        ours: Side(Question::Contend, C_TWO, &["Tenure, waiting, busy polling"]),
        ..of(what, C_TWO, C_TWO, theirs, 5.0)
    };
    vec![
        of("64 contend, one core: ZooKeeper", C_ONE, C_ONE, ZOOKEEPER, 20.0),
        of("64 contend, one core: Redis, pub/sub", C_ONE, C_ONE, REDIS_TO_ALL, 20.0),
        of("64 contend, one core: Redis, BLPOP", C_ONE, C_ONE, REDIS, 20.0),
        of("64 contend, two cores: ZooKeeper", C_TWO, C_TWO, ZOOKEEPER, 5.0),
        of("64 contend, two cores: Redis, pub/sub", C_TWO, C_TWO, REDIS_TO_ALL, 5.0),
        of("64 contend, two cores: Redis, BLPOP", C_TWO, C_TWO, REDIS, 5.0),
        busy("64 contend, two cores, busy polling: ZooKeeper", ZOOKEEPER),
        busy("64 contend, two cores, busy polling: Redis, pub/sub", REDIS_TO_ALL),
        of("64 contend, on disk: ZooKeeper", C_DISK, C_DISK, ZOOKEEPER, 1.5),
        of("64 contend, on disk: Redis AOF, pub/sub", C_DISK, C_DISK, AOF_TO_ALL, 1.5),
        of("64 contend, on disk: Redis AOF, BLPOP", C_DISK, C_DISK, AOF, 1.5),
        of("64 elections, on disk: ZooKeeper's one", C_MANY, C_DISK, ZOOKEEPER, 20.0),
        of("64 elections, on disk: Redis AOF's one, pub/sub", C_MANY, C_DISK, AOF_TO_ALL, 20.0),
        of("64 elections, on disk: Redis AOF's one, BLPOP", C_MANY, C_DISK, AOF, 20.0),
        of("64 elections, on disk: ZooKeeper's 64", C_MANY, C_MANY, ZOOKEEPER, 20.0),
        of("64 elections, on disk: Redis AOF's 64, BLPOP", C_MANY, C_MANY, AOF, 20.0),
    ]
}

fn watches() -> Vec<Verdict> {
    let of = |what, row, theirs, bound| Verdict {
        what,
        ours: Side(Question::Watch, row, TENURE),
        theirs: Some(Side(Question::Watch, row, theirs)),
        bound: AtMost(bound),
        ceiling: None,
    };
    vec![
        of("1,000 watchers beside the bare server", OWN, ECHO, 1.1),
        of("1,000 watchers beside Redis", OWN, REDIS, 1.0),
        of("1,000 watchers beside NATS", OWN, NATS, 1.0),
        of("1,000 watchers beside ZooKeeper", OWN, ZOOKEEPER, 1.0),
        of("1,000 watchers beside etcd", OWN, ETCD, 1.0),
        of("1,000 watchers on 10 connections beside etcd", SHARED, ETCD, 0.1),
    ]
}

fn failovers() -> Vec<Verdict> {
    let of = |what, column, bound| Verdict {
        what,
        ours: Side(Question::Fail, "the same, p99", column),
        theirs: None,
        bound: AtMost(bound),
        ceiling: None,
    };
    vec![
        of("leader killed, `fast`, p99 in ms", &["Tenure, fast"], 1.0),
        of("leader killed, `exclusive`, p99 in ms", &["Tenure, exclusive"], 550.0),
    ]
}

/// A table of all bounds whose figures are there.
pub(super) fn verdicts(figures: &Figures) -> String {
    let mut out = String::from("| | Bound | Figure | |\n|---|---|---|---|\n");
    for verdict in all() {
        let Some(figure) = verdict.figure(figures) else { continue };
        let unit = |value: f64| match verdict.theirs {
            Some(_) => times(value),
            None => format!("{value:.2}"),
        };
        let (bound, holds) = match verdict.bound {
            AtLeast(bound) => (format!("at least {}", unit(bound)), figure >= bound),
            AtMost(bound) => (format!("at most {}", unit(bound)), figure <= bound),
        };
        let met = match verdict.out_of_reach(figures) {
            _ if holds => "met".to_owned(),
            Some(bare) => format!("**not met**; a bare server: {}", unit(bare)),
            None => "**not met**".to_owned(),
        };
        out += &format!("| {} | {bound} | {} | {met} |\n", verdict.what, unit(figure));
    }
    out
}

impl Verdict {
    fn figure(&self, figures: &Figures) -> Option<f64> {
        match &self.theirs {
            None => self.ours.best(figures),
            Some(theirs) => ratio(figures, &self.ours, theirs),
        }
    }

    /// The bare server's own ratio, if that does not reach the bound either.
    fn out_of_reach(&self, figures: &Figures) -> Option<f64> {
        let (Some(ceiling), Some(theirs), AtLeast(bound)) =
            (&self.ceiling, &self.theirs, &self.bound)
        else {
            return None;
        };
        ratio(figures, ceiling, theirs).filter(|bare| bare < bound)
    }
}

/// The median of the rounds' own ratios: what else the machine does changes from one round to the next.
fn ratio(figures: &Figures, ours: &Side, theirs: &Side) -> Option<f64> {
    let (ours, theirs) = (ours.best_rounds(figures)?, theirs.best_rounds(figures)?);
    let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
    Some(median(&ratios))
}

impl Side {
    /// All rounds of the column that is best.
    fn best_rounds<'a>(&self, figures: &'a Figures) -> Option<&'a [f64]> {
        let row = figures.of(self.0).find(|row| row.name == self.1)?;
        let rounds = self.2.iter().filter_map(|column| row.rounds(column));
        let goodness = |rounds: &&[f64]| {
            let median = median(rounds);
            if row.unit.more_is_better() { median } else { -median }
        };
        rounds.max_by(|a, b| goodness(a).total_cmp(&goodness(b)))
    }

    fn best(&self, figures: &Figures) -> Option<f64> {
        self.best_rounds(figures).map(median)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Unit;

    #[test]
    fn the_median_of_the_rounds_ratios_is_judged() {
        let mut figures = Figures::default();
        for (ours, theirs) in [(30.0, 10.0), (20.0, 10.0), (400.0, 100.0)] {
            figures.add((Question::Read, R50, Unit::PerSecond), "Tenure", ours);
            figures.add((Question::Read, R50, Unit::PerSecond), "Redis", theirs);
        }
        let said = verdicts(&figures);
        assert!(
            said.contains("| read 50 x 16 beside Redis | at least 2.50x | 3.00x | met |"),
            "{said}"
        );
        assert_eq!(said.lines().count(), 3);
    }

    #[test]
    fn the_best_way_of_each_side_stands_for_it() {
        let mut figures = Figures::default();
        let mut add = |column, value| {
            figures.add((Question::Contend, C_TWO, Unit::PerSecond), column, value);
        };
        add("Tenure", 10.0);
        add("Tenure, waiting", 40.0);
        add("Redis", 20.0);
        add("Redis, pub/sub", 5.0);
        let said = verdicts(&figures);
        assert!(said.contains("| at least 5.00x | 2.00x | **not met** |"), "{said}");
    }

    #[test]
    fn a_bound_that_is_out_of_reach_says_so() {
        let mut figures = Figures::default();
        figures.add((Question::Read, R50, Unit::PerSecond), "Tenure", 21.0);
        figures.add((Question::Read, R50, Unit::PerSecond), "Redis", 10.0);
        figures.add((Question::Read, R50, Unit::PerSecond), "bare server", 24.0);
        let said = verdicts(&figures);
        assert!(said.contains("2.10x | **not met**; a bare server: 2.40x |"), "{said}");
    }

    #[test]
    fn a_bound_of_a_value_itself() {
        let mut figures = Figures::default();
        let row = (Question::Fail, "the same, p99", Unit::Millis);
        figures.add(row, "Tenure, fast", 0.8);
        assert!(verdicts(&figures).contains("| at most 1.00 | 0.80 | met |"));
    }
}
