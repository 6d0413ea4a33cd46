//! What nobody can guess: keys, and names for what is to be told apart.

use crate::error::Error;

/// Bytes that nobody can guess.
pub(crate) fn random() -> Result<[u8; 16], Error> {
    let mut bytes = [0; 16];
    let why = |error: getrandom::Error| Error::NoRandomness { why: error.to_string() };
    getrandom::fill(&mut bytes).map_err(why)?;
    Ok(bytes)
}

/// The same as text.
pub(crate) fn random_hex() -> Result<Box<str>, Error> {
    Ok(format!("{:032x}", u128::from_be_bytes(random()?)).into())
}
