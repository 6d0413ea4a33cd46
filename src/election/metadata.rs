//! What a candidate says of itself.

use std::collections::BTreeMap;

use crate::error::Error;
use crate::id::{checked_name, checked_note};
use crate::limits::{LABELS, METADATA_BYTES};

/// What a candidate says of itself: where it is reached, and labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    address: Box<str>,
    labels: BTreeMap<Box<str>, Box<str>>,
}

impl Metadata {
    /// An address, which may be empty, and labels. Of a key that is given twice, the last value counts.
    ///
    /// # Errors
    /// [`Error::LimitReached`] for more than 16 labels, or more than 4,096 bytes in all;
    /// [`Error::InvalidName`] for a label without a key, and for control characters.
    pub fn new<'a>(
        address: &str,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Error> {
        let address = checked_note("address", address.as_bytes(), usize::MAX)?;
        let mut known: BTreeMap<Box<str>, Box<str>> = BTreeMap::new();
        // What is over the bound is not copied.
        let mut left = within(METADATA_BYTES, address.len())?;
        for (key, value) in labels {
            checked_name("label", key.as_bytes(), usize::MAX)?;
            checked_note("label's value", value.as_bytes(), usize::MAX)?;
            let had = known.get(key).map_or(0, |value| key.len() + value.len());
            left = within(left + had, key.len() + value.len())?;
            known.insert(key.into(), value.into());
            if known.len() > LABELS {
                let advice = "give a candidate fewer labels";
                return Err(Error::LimitReached { limit: "labels", max: LABELS as u64, advice });
            }
        }
        Ok(Self { address: address.into(), labels: known })
    }

    /// Where the candidate is reached; may be empty.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its labels, in the order of their keys.
    pub fn labels(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.labels.iter().map(|(key, value)| (&**key, &**value))
    }

    /// The value of one label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(|value| &**value)
    }

    /// True if it says nothing.
    pub fn is_empty(&self) -> bool {
        self.address.is_empty() && self.labels.is_empty()
    }

    /// Bytes of all it says.
    pub(crate) fn bytes(&self) -> usize {
        let labels = self.labels().map(|(key, value)| key.len() + value.len());
        self.address.len() + labels.sum::<usize>()
    }
}

/// What is left of `room` bytes.
fn within(room: usize, bytes: usize) -> Result<usize, Error> {
    let advice = "give a candidate a shorter address, or fewer or shorter labels";
    let max = METADATA_BYTES as u64;
    room.checked_sub(bytes).ok_or(Error::LimitReached { limit: "metadata_bytes", max, advice })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q1_metadata_has_a_bound_for_labels_and_for_bytes() {
        let keys: Vec<String> = (0..=LABELS).map(|n| format!("k{n:02}")).collect();
        let labels = |count| keys[..count].iter().map(|key| (key.as_str(), "v"));
        assert_eq!(Metadata::new("", labels(16)).unwrap().labels().len(), 16);
        let error = Metadata::new("", labels(17)).unwrap_err();
        assert!(matches!(error, Error::LimitReached { limit: "labels", max: 16, .. }), "{error}");
        let address = "x".repeat(METADATA_BYTES - 2);
        let most = Metadata::new(&address, [("k", "v")]).unwrap();
        assert_eq!(most.bytes(), METADATA_BYTES);
        let too_long = |error| match error {
            Error::LimitReached { limit, max, .. } => {
                assert_eq!((limit, max), ("metadata_bytes", 4096))
            }
            other => panic!("{other}"),
        };
        too_long(Metadata::new(&address, [("k", "vv")]).unwrap_err());
        too_long(Metadata::new(&"x".repeat(METADATA_BYTES + 1), []).unwrap_err());
    }

    #[test]
    fn the_last_value_of_a_key_counts_and_is_counted_once() {
        let twice = [("k", "x".repeat(4_000)), ("k", "y".repeat(4_000))];
        let metadata =
            Metadata::new("", twice.iter().map(|(key, value)| (*key, &**value))).unwrap();
        assert_eq!((metadata.label("k").unwrap(), metadata.bytes()), (&*twice[1].1, 4_001));
        assert_eq!((metadata.label("l"), metadata.is_empty()), (None, false));
    }

    /// Row W6, for what is shown on people's terminals.
    #[test]
    fn w6_metadata_has_no_control_characters() {
        for (address, key, value, field) in [
            ("a\x1b[2J", "k", "v", "address "),
            ("a", "k\n", "v", "label "),
            ("a", "", "v", "label "),
            ("a", "k", "v\0", "label's value "),
        ] {
            let error = Metadata::new(address, [(key, value)]).unwrap_err();
            assert!(matches!(error, Error::InvalidName { .. }), "{error}");
            assert!(error.to_string().starts_with(field), "{error}");
        }
    }
}
