//! Files that are not what was written: refused, with the file and a reason, or read as they were.

use std::fs;
use std::panic;
use std::path::Path;
use std::time::Duration;

use fastrand::Rng;
use tenure::internals::{KeptFacts, claim_format, create_store, read_store};
use tenure::{Engine, SessionSettings};

use crate::platter::{Disk, Image};

fn fill(folder: &Path) -> Vec<u8> {
    let engine = Engine::builder().data_dir(folder).open().unwrap();
    let settings = SessionSettings { ttl: Duration::from_secs(3600), ..SessionSettings::default() };
    let (session, _) = engine.open_session(settings).unwrap();
    for at in 0..40 {
        let election = engine.election(&format!("e{}", at % 20)).unwrap();
        election.enter(&session, &format!("c{at}")).unwrap();
    }
    engine.election("e0").unwrap().delete().unwrap();
    // As a crash leaves it, and then as an orderly end does.
    let crashed = fs::read(folder.join("store.redb")).unwrap();
    drop((session, engine));
    crashed
}

fn found(image: Image) -> Result<KeptFacts, String> {
    read_store(Box::new(Disk::of(image)))
}

fn images() -> [(&'static str, Image); 2] {
    let folder = tempfile::tempdir().unwrap();
    let crashed = fill(folder.path());
    let ended = fs::read(folder.path().join("store.redb")).unwrap();
    [("after a crash", Image::of(&crashed)), ("after an end", Image::of(&ended))]
}

fn check(what: &str, image: Image, before: &KeptFacts) -> bool {
    let found = panic::catch_unwind(|| found(image));
    match found.unwrap_or_else(|_| panic!("{what}: it panics")) {
        Ok(found) => {
            assert!(found == *before, "{what}: silently something else");
            false
        }
        Err(why) => {
            assert!(why.len() > 10, "{what}: {why}");
            true
        }
    }
}

/// Where the tables begin, behind the file's head and the journal.
const TABLES: u64 = (1 + 1024) * 4096;

/// Every bit of the heads of the file and of its tables, and of the rest as many as there is time for.
#[test]
fn d6_a_flipped_bit_is_refused_or_means_nothing() {
    let mut rng = Rng::with_seed(6);
    for (which, image) in images() {
        let before = found(image.clone()).unwrap();
        let (mut refused, mut bits, mut in_journal) = (0, 0, 0);
        for bit in 0..image.len() * 8 {
            let is_header = bit < 32 * 8 || (TABLES..TABLES + 512).contains(&(bit / 8));
            if !is_header && (image.is_hole(bit / 8) || rng.u32(..512) != 0) {
                continue;
            }
            let mut image = image.clone();
            image.flip(bit);
            bits += 1;
            in_journal += u32::from((4096..TABLES).contains(&(bit / 8)));
            refused += u32::from(check(&format!("{which}, bit {bit}"), image, &before));
        }
        println!("{which}: {bits} bits flipped, {refused} refused");
        assert!(refused > 2_000 && bits > 4_096, "{bits} bits, {refused} refused");
        assert!(in_journal > 1_000, "{in_journal} in the journal");
    }
}

#[test]
fn d6_a_file_that_is_cut_short_or_longer_is_refused_or_means_nothing() {
    for (which, image) in images() {
        let before = found(image.clone()).unwrap();
        let mut lens: Vec<u64> = (0..image.len()).step_by(4096).collect();
        lens.extend([1, 9, 319, 320, 323, 324, 511, 512, 4095, image.len() - 1]);
        lens.extend([image.len() + 1, image.len() + 4096, image.len() * 2]);
        let mut refused = 0;
        for len in lens {
            let mut image = image.clone();
            image.set_len(len);
            let is_short = len < image.len();
            let is_refused = check(&format!("{which}, {len} bytes"), image, &before);
            assert!(is_refused || !is_short, "{which}: {len} bytes are not all");
            refused += u32::from(is_refused);
        }
        assert!(refused > 10, "{refused}");
    }
}

/// Sectors that are zeros, that are another's, or that are random.
#[test]
fn d6_lost_and_misplaced_sectors_are_refused_or_mean_nothing() {
    let mut rng = Rng::with_seed(7);
    for (which, image) in images() {
        let before = found(image.clone()).unwrap();
        let bytes = image.bytes();
        for round in 0..1_200 {
            let mut bytes = bytes.clone();
            let sector = |rng: &mut Rng| rng.usize(..bytes.len() / 512) * 512;
            let (at, from) = (sector(&mut rng), sector(&mut rng));
            match round % 3 {
                0 => bytes[at..at + 512].fill(0),
                1 => bytes.copy_within(from..from + 512, at),
                _ => bytes[at..at + 512].iter_mut().for_each(|byte| *byte = rng.u8(..)),
            }
            check(&format!("{which}, sector at {at}, {round}"), Image::of(&bytes), &before);
        }
    }
}

fn refusal(folder: &Path) -> String {
    let refused = Engine::builder().data_dir(folder).open().unwrap_err().to_string();
    assert!(refused.contains(&*folder.to_string_lossy()), "{refused}");
    refused
}

#[test]
fn d6_another_store_an_older_one_and_none_are_refused() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill(folder.path());
    fill(other.path());
    let store = folder.path().join("store.redb");
    let older = fs::read(&store).unwrap();
    drop(Engine::builder().data_dir(folder.path()).open().unwrap());
    let right = fs::read(&store).unwrap();

    fs::copy(other.path().join("store.redb"), &store).unwrap();
    assert!(refusal(folder.path()).contains("another server's"));
    fs::write(&store, older).unwrap();
    assert!(refusal(folder.path()).contains("an older one"));
    fs::remove_file(&store).unwrap();
    assert!(refusal(folder.path()).contains("there is none now"));
    assert!(!store.exists(), "nothing is begun in its place");
    fs::write(&store, []).unwrap();
    assert!(refusal(folder.path()).contains("empty"));
    assert_eq!(fs::metadata(&store).unwrap().len(), 0, "nothing is begun in its place");
    fs::write(&store, "a letter to a friend".repeat(1_000)).unwrap();
    refusal(folder.path());

    // Put back, all is well; also without the witness, as where a backup was put.
    fs::write(&store, &right).unwrap();
    let engine = Engine::builder().data_dir(folder.path()).open().unwrap();
    assert_eq!(engine.term("e1").unwrap().leader(), Some("c1"));
    drop(engine);
    let witness = folder.path().join("witness");
    fs::write(&witness, "server nobody\nstarts 1 2\n").unwrap();
    assert!(refusal(folder.path()).contains("witness"));
    fs::remove_file(&witness).unwrap();
    drop(Engine::builder().data_dir(folder.path()).open().unwrap());
    assert!(witness.exists());
}

/// What a crash may leave while a store is made: none of it was promised to anybody.
#[test]
fn d3_what_is_left_of_a_store_that_was_being_made() {
    let whole = {
        let disk = Disk::of(Image::default());
        create_store(Box::new(disk.clone()), "somebody").unwrap();
        disk.shown().bytes()
    };
    let torn: Vec<Vec<u8>> = {
        let disk = Disk::of(Image::default());
        create_store(Box::new(disk.clone()), "somebody").unwrap();
        let (journal, mut rng) = (disk.journal(), Rng::with_seed(3));
        let cut = |until: usize| {
            let cuts = crate::platter::Cuts::after(Image::default(), &journal[..until], &mut rng);
            cuts.cut(&mut rng).bytes()
        };
        (0..=journal.len()).map(cut).collect()
    };
    let leftovers = torn.into_iter().chain([Vec::new(), whole, b"nothing".to_vec()]);
    for (at, left) in leftovers.enumerate() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("lock"), "process 1\n").unwrap();
        fs::write(folder.path().join("store.redb.new"), left).unwrap();
        let mut id = None;
        for round in 0..2 {
            let engine = Engine::builder().data_dir(folder.path()).open().unwrap();
            let known = id.get_or_insert_with(|| engine.server_id().to_owned());
            assert_eq!(known, engine.server_id());
            assert_ne!(known, "somebody", "leftover {at}");
            assert!(!folder.path().join("store.redb.new").exists());
            let session = engine.session().unwrap();
            let entered = engine.election("e").unwrap().enter(&session, "a").unwrap();
            assert_eq!(entered.number(), round + 1, "leftover {at}");
        }
    }
}

#[test]
fn a_newer_format_is_refused() {
    let disk = Disk::of(Image::default());
    create_store(Box::new(disk.clone()), "a server").unwrap();
    claim_format(Box::new(disk.clone()), 2).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store.redb");
    let bytes = disk.shown().bytes();
    fs::write(&store, &bytes).unwrap();
    let refused = refusal(folder.path());
    assert!(refused.contains("format 2") && refused.contains("newer tenure"), "{refused}");
    assert!(refusal(folder.path()).contains("format 2"), "it was left as it was");
}
