//! The fence of `docs/fencing.md` in a database: a row that remembers the greatest term.

use rusqlite::{Connection, named_params};
use tenure::fence::{self, StaleTerm};
use tenure::{Engine, EnterOptions};

const UPDATE: &str =
    "UPDATE jobs SET state = :state, term = :term WHERE id = :id AND term <= :term";

fn write(database: &Connection, term: u64, state: &str) -> Result<(), StaleTerm> {
    let values = named_params! { ":state": state, ":term": term as i64, ":id": 1 };
    fence::changed(database.execute(UPDATE, values).unwrap(), term)
}

fn state(database: &Connection) -> (String, i64) {
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    database.query_one("SELECT state, term FROM jobs WHERE id = 1", [], row).unwrap()
}

fn database() -> Connection {
    let database = Connection::open_in_memory().unwrap();
    database
        .execute_batch(
            "CREATE TABLE jobs (id INTEGER PRIMARY KEY, state TEXT, term INTEGER NOT NULL);
             INSERT INTO jobs VALUES (1, 'new', 0);",
        )
        .unwrap();
    database
}

/// Row P3: a leader with an old belief is refused by the row, whatever it thinks.
#[test]
fn p3_a_former_leader_is_refused_by_the_row() {
    assert!(UPDATE.ends_with(fence::SQL), "the pattern that the documentation tells");
    let database = database();
    let engine = Engine::builder().open().unwrap();
    let election = engine.election("jobs").unwrap();
    let [old, new] = [(); 2].map(|()| engine.session().unwrap());
    let first = election.enter(&old, "worker").unwrap().number();
    write(&database, first, "by the first").unwrap();

    let take_over = EnterOptions { take_over: true, ..EnterOptions::default() };
    let second = election.enter_with(&new, "worker", take_over).unwrap().number();
    // Not refused before the successor has written: nobody has acted in the new term yet.
    write(&database, first, "by the first, late").unwrap();
    write(&database, second, "by the second").unwrap();
    write(&database, second, "by the second, again").unwrap();
    let refused = write(&database, first, "too late");
    assert_eq!(refused, Err(StaleTerm { term: first, newest: None }));
    assert_eq!(state(&database), ("by the second, again".to_owned(), second as i64));
}

#[test]
fn the_greatest_term_fits_the_column() {
    let database = database();
    let greatest = (1 << 53) - 1;
    write(&database, greatest, "at the end").unwrap();
    assert_eq!(state(&database), ("at the end".to_owned(), greatest as i64));
    assert!(write(&database, greatest - 1, "late").is_err());
}
