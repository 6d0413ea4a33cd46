//! The tables, in Markdown.

use super::Told;
use super::verdict::verdicts;
use crate::figures::{Figures, Question, Row};

const TITLES: [(Question, &str, &str); 6] = [
    (
        Question::Read,
        "Reading who leads",
        "Connections x requests in flight on each; answers a second, and the median time of one where \
         one is asked at a time. The bare server reads as many bytes and writes as many, and does \
         nothing else. Redis: GET. ZooKeeper: getData. etcd: Range. NATS: a key of a bucket, read from \
         JetStream directly. *Busy polling*: `--busy-poll 1ms`, and a client that spins, too.",
    ),
    (
        Question::Take,
        "Taking the lead and releasing it, one client",
        "Pairs a second. Tenure: Enter and Withdraw. Redis: SET NX PX and DEL. ZooKeeper: an ephemeral \
         node, created and deleted. etcd: Campaign and Resign, on a lease that stays. The bare server writes a block that \
         its file has already past the cache, safe before it answers, twice for a pair; it sleeps in between.",
    ),
    (
        Question::Contend,
        "Many contend",
        "Handovers a second, each candidate on a connection of its own. Tenure: each stands in the queue \
         and observes who leads; or, *waiting*, its Enter is answered when it leads. ZooKeeper: its \
         recipe, an ephemeral node in sequence that watches the one before it. Redis: SET NX PX and a \
         checked release, which wakes one by a list (BLPOP, as python-redis-lock does it), or all by \
         *pub/sub* (as Redisson does it). etcd: its election service; its handovers go by a timer, so \
         they are shown and not counted, and in one election only: in many at once it stalls. *Busy \
         polling*: a server with `--busy-poll 1ms`, and a client that sleeps; shown, and judged by itself. The bare server \
         hands the lead on to the next of a line, as *waiting* asks it to, and does nothing else; on two cores it \
         does not sleep in between, and where it keeps, one block keeps all that it has read.",
    ),
    (
        Question::Watch,
        "One change to many watchers",
        "Until the last has it, the median of the changes. Bare server: it only writes as many bytes to \
         each. Tenure: Watch. etcd: Watch. Redis: PUBLISH. NATS: PUB. ZooKeeper: until the event, which \
         says that something changed; the read that says what is not counted.",
    ),
    (
        Question::Fail,
        "The leader is killed",
        "Tenure: `fast` notices the closed connection, `exclusive` waits for the dead session's deadline \
         (TTL 500 ms). etcd and ZooKeeper wait for theirs: the shortest that they give, with their own \
         defaults and *tuned* (etcd: heartbeat 10 ms, election 100 ms; ZooKeeper: tickTime 100). Redis \
         has no elections: a lock's expiry is what one sets, and noticing it is polling.",
    ),
    (
        Question::Memory,
        "Memory",
        "Measured once, on fresh servers. Tenure: an election with one candidate. Redis: a key with \
         SET. ZooKeeper: an ephemeral node. etcd: a key with Put; its pages of the file count as resident.",
    ),
];

const NOTE: &str = "Each figure is the median of the rounds. *One core*: client and server on the same \
    core; *two cores*: each on its own. Every server has one core. *In memory*: Tenure with `--memory`, \
    Redis with its defaults, which write snapshots now and then but no log; ZooKeeper, etcd and NATS have \
    no such mode and keep their data on tmpfs there. *Kept*: a change is answered once it is synced \
    (Tenure with `--data-dir`, Redis with `appendfsync always`, ZooKeeper and etcd with their defaults), \
    where plain Redis is shown and not counted. One driver asks all, on one thread. ZooKeeper, which \
    compiles as it runs, has six rounds of all but failovers before, uncounted. Sessions of Tenure are the connections' \
    own, unless a row names a policy.";

const BOUNDS: &str = "Each ratio is the median of the rounds' own ratios, Tenure's figure over the other's. Where \
    a side has several ways, its best one stands for it, unless the row names one. Beside a bound that is out of \
    reach stands what the bare server makes of it.";

pub fn table(figures: &Figures, told: &Told) -> String {
    let mut out = String::from("| | |\n|---|---|\n");
    for (name, value) in &told.facts {
        out += &format!("| {name} | {value} |\n");
    }
    let versions = told.versions.iter().map(|(system, version)| format!("{system:?} {version}"));
    out += &format!("| Versions | {} |\n", versions.collect::<Vec<_>>().join(", "));
    out += &format!("| Command, rounds | `{}`, {} |\n\n", told.command, told.rounds);
    out += &wrapped(NOTE);
    for (question, title, what) in TITLES {
        let rows: Vec<_> = figures.of(question).collect();
        if !rows.is_empty() {
            out += &format!("\n### {title}\n\n{}\n{}", wrapped(what), of_rows(&rows));
        }
    }
    for failure in &figures.failures {
        out += &format!("\nNot measured in one round: {}\n", failure.replace('\n', " "));
    }
    out + "\n### Bounds\n\n" + &wrapped(BOUNDS) + "\n" + &verdicts(figures)
}

fn of_rows(rows: &[&Row]) -> String {
    let columns = columns(rows);
    let mut out = format!(
        "| | {} | Best |\n|---|{}\n",
        columns.join(" | "),
        "---|".repeat(columns.len() + 1)
    );
    for row in rows {
        let cell = |column: &&str| row.median(column).map_or("".into(), |it| row.unit.shown(it));
        let cells: Vec<String> = columns.iter().map(cell).collect();
        out += &format!("| {} | {} | {} |\n", row.name, cells.join(" | "), best(row));
    }
    out
}

/// The bare ones first, then ours, then each peer's together.
fn columns(rows: &[&Row]) -> Vec<&'static str> {
    const ORDER: [&str; 5] = ["bare", "Tenure", "Redis", "ZooKeeper", "etcd"];
    let mut columns: Vec<&str> = Vec::new();
    for (column, _) in rows.iter().flat_map(|row| row.medians()) {
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    columns.sort_by_key(|column| ORDER.iter().position(|it| column.starts_with(it)).unwrap_or(9));
    columns
}

/// Whether a value stands for its system where the best one is looked for.
pub(super) fn counts(row: &Row, column: &str) -> bool {
    let is_bare = column.starts_with("bare");
    let is_kept = row.name.contains("kept") && row.question != Question::Read;
    let forgets = is_kept && matches!(column, "Redis" | "Redis, pub/sub");
    let is_timer = row.question == Question::Contend && column == "etcd";
    let is_spinning = column.ends_with("busy polling");
    !(is_bare || forgets || is_timer || is_spinning)
}

/// Who is best, and by how much it beats the other side.
fn best(row: &Row) -> String {
    let of = |is_ours: bool| {
        let all = row.medians().filter(|(column, _)| counts(row, column));
        let side = all.filter(|(column, _)| column.starts_with("Tenure") == is_ours);
        side.max_by(|a, b| goodness(row, a.1).total_cmp(&goodness(row, b.1)))
    };
    let (Some(ours), Some(theirs)) = (of(true), of(false)) else { return String::new() };
    let ratio = goodness(row, ours.1) / goodness(row, theirs.1);
    match ratio >= 1.0 {
        true => format!("{}, {} {}", ours.0, times(ratio), theirs.0),
        false => format!("**{}**, {} {}", theirs.0, times(1.0 / ratio), ours.0),
    }
}

fn goodness(row: &Row, value: f64) -> f64 {
    if row.unit.more_is_better() { value } else { 1.0 / value }
}

pub(super) fn times(ratio: f64) -> String {
    if ratio >= 10.0 { format!("{ratio:.0}x") } else { format!("{ratio:.2}x") }
}

/// Lines that a diff can tell apart.
fn wrapped(text: &str) -> String {
    let (mut out, mut width) = (String::new(), 0);
    for word in text.split_whitespace() {
        if width + word.len() >= 110 {
            out.push('\n');
            width = 0;
        } else if width > 0 {
            out.push(' ');
        }
        out += word;
        width += word.len() + 1;
    }
    out + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Unit;

    fn figures(question: Question, unit: Unit, cells: &[(&'static str, f64)]) -> Figures {
        let mut figures = Figures::default();
        for (column, value) in cells {
            figures.add((question, "a row, kept on disk", unit), column, *value);
        }
        figures
    }

    #[test]
    fn a_peer_that_wins_is_named() {
        let cells = [("bare server", 9e9), ("Tenure", 100.0), ("etcd", 150.0)];
        let it = figures(Question::Read, Unit::PerSecond, &cells);
        assert_eq!(best(&it.rows[0]), "**etcd**, 1.50x Tenure");
        let it = figures(Question::Watch, Unit::Micros, &cells);
        assert_eq!(best(&it.rows[0]), "Tenure, 1.50x etcd");
    }

    #[test]
    fn no_log_and_no_timer_wins_a_row() {
        let cells = [("Tenure", 10.0), ("Redis", 90.0), ("Redis, AOF always", 5.0), ("etcd", 70.0)];
        let it = figures(Question::Contend, Unit::PerSecond, &cells);
        assert_eq!(best(&it.rows[0]), "Tenure, 2.00x Redis, AOF always");
    }

    #[test]
    fn a_table_has_a_cell_for_each_column() {
        let mut it = figures(Question::Read, Unit::PerSecond, &[("Tenure", 10.0)]);
        it.add((Question::Read, "another", Unit::PerSecond), "Redis", 5.0);
        let rows: Vec<_> = it.rows.iter().collect();
        let expected = "| | Tenure | Redis | Best |\n|---|---|---|---|\n\
                        | a row, kept on disk | 10 |  |  |\n| another |  | 5 |  |\n";
        assert_eq!(of_rows(&rows), expected);
    }
}
