//! The journal: a fixed part of the file in front of the tables, where a commit is one write and one sync.
//!
//! What is appended lies within blocks that the file has already, so a sync has no metadata to write, and
//! its room can't be taken by anybody else. When it is full, all that is in it goes into the tables by one
//! commit of theirs, which says the number of the last entry that they hold; then it begins again.
//!
//! An entry begins on a page of its own: what was told of is never written again with what follows. It is
//! written twice, one copy behind the other, by one write: a damaged copy of one that was told of is made
//! good by the other, and where both are bad and a later entry is whole, the file is refused. So what is taken for
//! torn is one that nobody was told of, or the newest, damaged in both its copies with all that came after.

use std::sync::Arc;

use super::disk::Disk;
use super::place::io_fault;
use super::store::Fault;
use crate::random::random;

const PAGE: usize = 4096;
const MAGIC: &[u8; 16] = b"tenure store 1\n\0";
/// How a file of the store crate's begins.
const BARE: &[u8; 4] = b"redb";
const ENTRY: &[u8; 4] = b"jrnl";
/// The file's head: what it is, the journal's pages, what seals its entries, and a checksum.
const FILE_HEAD: usize = 16 + 4 + 8 + 4;
/// An entry's head: what it is, its number, how long it is, and a checksum over that, its place, it and what nobody
/// outside knows: names in it may have any bytes.
const HEAD: usize = 4 + 8 + 4 + 4;

/// Pages of the journal in a store that is made. An entry takes two at least.
pub(crate) const PAGES: u32 = 1024;
/// As many as a file may say, so that a damaged one can't ask for more memory than there is.
const MOST: u32 = 1 << 16;

#[derive(Debug)]
pub(super) struct Journal {
    disk: Arc<Disk>,
    pages: u32,
    secret: [u8; 8],
    /// The page that the next entry begins on, counted from the first behind the file's head.
    at: u32,
    /// The number of the next entry. They go up by one, over the life of the store.
    next: u64,
    buffer: Vec<u8>,
}

/// What a scan found.
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) body: Vec<u8>,
}

impl Journal {
    /// Writes the head of an empty file, and room for the journal. Not synced yet.
    pub(super) fn create(disk: Arc<Disk>, pages: u32) -> Result<Self, Fault> {
        let random = random().map_err(|error| Fault::Disk(error.to_string()))?;
        let secret = *random.first_chunk().expect("longer than that");
        let journal = Self { disk, pages, secret, at: 0, next: 1, buffer: Vec::new() };
        let mut head = [0; PAGE];
        head[..16].copy_from_slice(MAGIC);
        head[16..20].copy_from_slice(&pages.to_be_bytes());
        head[20..28].copy_from_slice(&secret);
        let sum = crc32fast::hash(&head[..28]);
        head[28..32].copy_from_slice(&sum.to_be_bytes());
        let begun = journal.disk.set_len(journal.end()).and_then(|()| journal.disk.write(0, &head));
        // Written, not only reserved: the first write of a block is one more thing to sync.
        let zeros = vec![0; pages as usize * PAGE];
        let filled = begun.and_then(|()| journal.disk.write(PAGE as u64, &zeros));
        filled.map_err(io_fault)?;
        Ok(journal)
    }

    /// Finds the journal of a file by its head.
    pub(super) fn open(disk: Arc<Disk>) -> Result<Self, Fault> {
        let mut head = [0; FILE_HEAD];
        let len = disk.len().map_err(io_fault)?;
        if len >= head.len() as u64 {
            disk.read(0, &mut head).map_err(io_fault)?;
        }
        if head.starts_with(BARE) {
            let why = "it was written before there was a journal in it, by a version that was never \
                       released; back it up with that one, and restore that with this";
            return Err(Fault::Damaged(why.into()));
        }
        let (body, sum) = head.split_last_chunk::<4>().expect("longer than that");
        let is_whole = body.starts_with(MAGIC) && crc32fast::hash(body).to_be_bytes() == *sum;
        let (body, secret) = body.split_last_chunk().expect("longer than that");
        let pages = u32::from_be_bytes(*body.last_chunk().expect("longer than that"));
        let journal = Self { disk, pages, secret: *secret, at: 0, next: 1, buffer: Vec::new() };
        if !is_whole || pages > MOST || len < journal.end() {
            let why = "the head of its file is not what was written: it was changed or cut short";
            return Err(Fault::Damaged(why.into()));
        }
        Ok(journal)
    }

    /// Where the tables begin.
    pub(super) fn end(&self) -> u64 {
        (1 + u64::from(self.pages)) * PAGE as u64
    }

    /// The number of the last entry.
    pub(super) fn last(&self) -> u64 {
        self.next - 1
    }

    /// Whether there is room for an entry with so long a body, now or once it begins again.
    pub(super) fn has_room(&self, body: usize, when_empty: bool) -> bool {
        let at = if when_empty { 0 } else { self.at };
        2 * pages_of(HEAD + body) <= (self.pages - at) as usize
    }

    /// Makes a body durable, which there is room for: its bytes are what `put` appends.
    pub(super) fn append(&mut self, put: impl FnOnce(&mut Vec<u8>)) -> Result<(), Fault> {
        let (at, number) = (self.at, self.next);
        let buffer = &mut self.buffer;
        buffer.clear();
        buffer.resize(HEAD, 0);
        put(buffer);
        let len = buffer.len() - HEAD;
        let head = head_of(self.secret, (at, Which::First), number, &buffer[HEAD..]);
        buffer[..HEAD].copy_from_slice(&head);
        let pages = pages_of(HEAD + len);
        buffer.resize(pages * PAGE, 0);
        // Neither is taken for the other, nor for one of another entry.
        buffer.extend_from_within(..);
        let body = &buffer[HEAD..HEAD + len];
        let again = head_of(self.secret, (at, Which::Second), number, body);
        buffer[pages * PAGE..][..HEAD].copy_from_slice(&again);
        let written = self.disk.write_through(offset(at), buffer);
        written.map_err(|error| {
            self.disk.give_up();
            io_fault(error)
        })?;
        if buffer.capacity() > (1 << 20) {
            *buffer = Vec::new();
        }
        self.at += 2 * pages as u32;
        self.next += 1;
        Ok(())
    }

    /// Begins again, once the tables hold all that is in it.
    pub(super) fn restart(&mut self) {
        self.at = 0;
    }

    /// All entries behind that number, in their order, and goes on after them.
    pub(super) fn recover(&mut self, held: u64) -> Result<Vec<Entry>, Fault> {
        (self.at, self.next) = (0, held + 1);
        let mut found = Vec::new();
        while self.at < self.pages {
            let Some(body) = self.entry(self.at, self.next)? else { break };
            self.at += 2 * pages_of(HEAD + body.len()) as u32;
            found.push(Entry { number: self.next, body });
            self.next += 1;
        }
        // Whoever wrote a later one was told that this one is safe.
        for page in self.at..self.pages {
            if let Some(later) = self.head(page)?.filter(|head| head.number > self.next)
                && self.is_any_copy(page, &later)?
            {
                let (lost, later) = (self.next, later.number);
                let why = format!(
                    "entry {lost} of its journal is not what was written, and entry {later} \
                     stands behind it"
                );
                return Err(Fault::Damaged(why));
            }
        }
        Ok(found)
    }

    /// The entry of that number that begins on that page, if one of its copies is whole.
    fn entry(&self, page: u32, number: u64) -> Result<Option<Vec<u8>>, Fault> {
        if let Some(head) = self.head(page)?
            && head.number == number
            && let Some(body) = self.copy(page, &head, (page, Which::First))?
        {
            return Ok(Some(body));
        }
        for behind in page + 1..self.pages {
            if let Some(head) = self.head(behind)?
                && head.number == number
                && let Some(body) = self.copy(behind, &head, (page, Which::Second))?
            {
                return Ok(Some(body));
            }
        }
        Ok(None)
    }

    /// What a page says, if it may begin a copy of an entry.
    fn head(&self, page: u32) -> Result<Option<Head>, Fault> {
        let mut raw = [0; HEAD];
        self.disk.read(offset(page), &mut raw).map_err(io_fault)?;
        let head = Head {
            number: u64::from_be_bytes(raw[4..12].try_into().expect("eight")),
            len: u32::from_be_bytes(raw[12..16].try_into().expect("four")) as usize,
            raw,
        };
        let room = (self.pages - page) as usize * PAGE - HEAD;
        Ok((raw.starts_with(ENTRY) && head.len <= room).then_some(head))
    }

    /// The body of what begins on that page, if it is this copy of the entry that begins there, and whole.
    fn copy(&self, page: u32, head: &Head, of: (u32, Which)) -> Result<Option<Vec<u8>>, Fault> {
        let mut body = vec![0; head.len];
        self.disk.read(offset(page) + HEAD as u64, &mut body).map_err(io_fault)?;
        Ok((head_of(self.secret, of, head.number, &body) == head.raw).then_some(body))
    }

    fn is_any_copy(&self, page: u32, head: &Head) -> Result<bool, Fault> {
        let first = page.checked_sub(pages_of(HEAD + head.len) as u32);
        let second = first.map(|first| self.copy(page, head, (first, Which::Second)));
        let is_second = second.transpose()?.flatten().is_some();
        Ok(is_second || self.copy(page, head, (page, Which::First))?.is_some())
    }
}

struct Head {
    number: u64,
    len: usize,
    raw: [u8; HEAD],
}

/// Which of the two.
#[derive(Clone, Copy)]
enum Which {
    First,
    Second,
}

fn head_of(secret: [u8; 8], (page, which): (u32, Which), number: u64, body: &[u8]) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..4].copy_from_slice(ENTRY);
    head[4..12].copy_from_slice(&number.to_be_bytes());
    head[12..16].copy_from_slice(&(body.len() as u32).to_be_bytes());
    let mut sum = crc32fast::Hasher::new();
    sum.update(&secret);
    sum.update(&page.to_be_bytes());
    sum.update(&[which as u8]);
    sum.update(&head[..16]);
    sum.update(body);
    head[16..].copy_from_slice(&sum.finalize().to_be_bytes());
    head
}

fn pages_of(bytes: usize) -> usize {
    bytes.div_ceil(PAGE)
}

fn offset(page: u32) -> u64 {
    (1 + u64::from(page)) * PAGE as u64
}

#[cfg(test)]
mod tests {
    use redb::StorageBackend;
    use redb::backends::InMemoryBackend;

    use super::*;
    use crate::log::durable::medium::Medium;

    fn in_memory() -> Medium {
        let file: Box<dyn StorageBackend> = Box::new(InMemoryBackend::new());
        file.into()
    }

    fn body(number: u64) -> Vec<u8> {
        // The third takes two pages, and so four.
        let len = if number == 3 { PAGE + 7 } else { 100 };
        vec![number as u8; len]
    }

    /// A file with so many entries, and the page that each begins on.
    fn filled(entries: u64) -> (Arc<Disk>, Vec<u32>) {
        let disk = Disk::new(in_memory());
        let mut journal = Journal::create(disk.clone(), 16).unwrap();
        let mut begins = Vec::new();
        for number in 1..=entries {
            assert!(journal.has_room(body(number).len(), false));
            begins.push(journal.at);
            journal.append(|out| out.extend_from_slice(&body(number))).unwrap();
        }
        (disk, begins)
    }

    fn found(disk: &Arc<Disk>, held: u64) -> Result<Vec<u64>, String> {
        let mut journal = Journal::open(disk.clone()).map_err(|fault| fault.to_string())?;
        let found = journal.recover(held).map_err(|fault| fault.to_string())?;
        assert!(found.iter().all(|entry| entry.body == body(entry.number)));
        assert_eq!(journal.last(), held + found.len() as u64);
        Ok(found.iter().map(|entry| entry.number).collect())
    }

    fn damage(disk: &Disk, page: u32) {
        let mut byte = [0];
        disk.read(offset(page) + 30, &mut byte).unwrap();
        disk.write(offset(page) + 30, &[byte[0] ^ 4]).unwrap();
    }

    #[test]
    fn entries_come_back_in_their_order_behind_what_the_tables_hold() {
        let (disk, begins) = filled(4);
        assert_eq!(begins, [0, 2, 4, 8]);
        assert_eq!(found(&disk, 0).unwrap(), [1, 2, 3, 4]);
        assert!(found(&disk, 4).unwrap().is_empty());
        let mut journal = Journal::open(disk.clone()).unwrap();
        journal.recover(4).unwrap();
        journal.append(|out| out.extend_from_slice(&body(5))).unwrap();
        assert_eq!(found(&disk, 4).unwrap(), [5], "the ones before it are stale");
    }

    #[test]
    fn one_copy_is_enough() {
        for page in 0..10 {
            let (disk, _) = filled(4);
            damage(&disk, page);
            assert_eq!(found(&disk, 0).unwrap(), [1, 2, 3, 4], "page {page}");
        }
    }

    #[test]
    fn d6_what_was_told_of_is_not_taken_for_torn() {
        let (disk, begins) = filled(4);
        (0..2).for_each(|copy| damage(&disk, begins[1] + copy));
        let refused = found(&disk, 0).unwrap_err();
        assert!(refused.contains("entry 2") && refused.contains("entry 3"), "{refused}");
        let (disk, begins) = filled(4);
        (0..2).for_each(|copy| damage(&disk, begins[3] + copy));
        assert_eq!(found(&disk, 0).unwrap(), [1, 2, 3], "the last one is torn");
    }

    #[test]
    fn a_copy_counts_only_where_it_was_written() {
        let (disk, begins) = filled(4);
        let mut page = vec![0; PAGE];
        disk.read(offset(begins[3]), &mut page).unwrap();
        disk.write(offset(begins[3] + 2), &page).unwrap();
        assert_eq!(found(&disk, 0).unwrap(), [1, 2, 3, 4]);
        disk.read(offset(begins[1]), &mut page).unwrap();
        (0..2).for_each(|copy| disk.write(offset(begins[0] + copy), &page).unwrap());
        assert!(found(&disk, 0).is_err(), "the second is not the first");
    }

    #[test]
    fn no_room_is_known_before_it_is_asked_for() {
        let disk = Disk::new(in_memory());
        let mut journal = Journal::create(disk, 4).unwrap();
        let most = 2 * PAGE - HEAD;
        assert!(journal.has_room(most, false) && !journal.has_room(most + 1, true));
        journal.append(|out| out.resize(HEAD + most, 1)).unwrap();
        assert!(!journal.has_room(0, false) && journal.has_room(most, true));
        journal.restart();
        assert!(journal.has_room(most, false));
    }

    #[test]
    fn another_file_is_refused_in_words() {
        let disk = Disk::new(in_memory());
        assert!(Journal::open(disk.clone()).unwrap_err().to_string().contains("head"));
        disk.set_len(4096).unwrap();
        disk.write(0, b"redb and more").unwrap();
        assert!(Journal::open(disk.clone()).unwrap_err().to_string().contains("never released"));
        let (disk, _) = filled(1);
        disk.set_len(5 * PAGE as u64).unwrap();
        assert!(Journal::open(disk).unwrap_err().to_string().contains("cut short"));
    }
}
