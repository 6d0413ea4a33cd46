//! The reigns that are over, packed: there are up to sixteen in a record, and all are written with each
//! change of one.

use super::{BadRecord, session_id};
use crate::election::{Change, Reason, Reign, ReignRef};
use crate::id::SessionId;
use crate::wire::varint;

/// Reigns, one after the other: terms and times as differences, so that sixteen stay short.
pub(super) fn pack<'a>(out: &mut Vec<u8>, reigns: impl Iterator<Item = ReignRef<'a>>) {
    let text = |out: &mut Vec<u8>, text: &str| {
        varint::put(out, text.len() as u64);
        out.extend_from_slice(text.as_bytes());
    };
    let (mut term, mut at) = (0u64, 0u64);
    for reign in reigns {
        varint::put(out, reign.term.wrapping_sub(term));
        varint::put(out, reign.session.number());
        text(out, reign.leader);
        for change in [reign.began, reign.ended] {
            varint::put(out, u64::from(change.reason.number()));
            varint::put(out, change.by.map_or(0, SessionId::number));
            // A clock may have gone back.
            let step = change.at.wrapping_sub(at).cast_signed();
            varint::put(out, (step << 1 ^ step >> 63).cast_unsigned());
            text(out, change.note);
            at = change.at;
        }
        term = reign.term;
    }
}

/// The inverse of [`pack`].
pub(super) fn unpacked(mut raw: &[u8]) -> Result<Vec<Reign>, BadRecord> {
    let mut reigns = Vec::new();
    let (mut term, mut at) = (0u64, 0u64);
    let number = |raw: &mut &[u8]| {
        varint::take(raw).map_err(|malformed| BadRecord::Malformed(malformed.to_string()))
    };
    let text = |raw: &mut &[u8]| {
        let cut = || BadRecord::of("a history that is cut off");
        let len = usize::try_from(number(raw)?).map_err(|_| cut())?;
        let (text, rest) = raw.split_at_checked(len).ok_or_else(cut)?;
        *raw = rest;
        let text = std::str::from_utf8(text);
        text.map(Box::<str>::from).map_err(|_| BadRecord::of("a history that is no text"))
    };
    while !raw.is_empty() {
        term = term.wrapping_add(number(&mut raw)?);
        let session = session_id(number(&mut raw)?)?;
        let leader = text(&mut raw)?;
        let mut change = || {
            let reason = u32::try_from(number(&mut raw)?).ok().and_then(Reason::of_number);
            let by = SessionId::new(number(&mut raw)?);
            let step = number(&mut raw)?;
            let step = (step >> 1).cast_signed() ^ -((step & 1).cast_signed());
            at = at.wrapping_add(step.cast_unsigned());
            Ok(Change {
                reason: reason.ok_or_else(|| BadRecord::of("a reason that is not known"))?,
                by,
                note: text(&mut raw)?,
                at_unix_micros: at,
            })
        };
        let (began, ended) = (change()?, Some(change()?));
        reigns.push(Reign { term, leader, session, began, ended });
    }
    Ok(reigns)
}
