//! The text of a key: `lk_<id>_<secret>`.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use sha2::{Digest, Sha256};

/// Hexadecimal digits of an id: 64 bits.
const ID: usize = 16;
/// … of a secret: 256 bits.
const SECRET: usize = 64;

/// What a secret is compared with where there is no such key, so that an unknown id takes as long as
/// a wrong secret. It has the parameters of [`hash`]; that some secret fits it is as likely as that one
/// is guessed, and it would open nothing.
const DECOY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A key that was just made. Its text is shown once, and kept nowhere.
pub(super) struct Made {
    pub(super) id: String,
    pub(super) text: String,
    pub(super) hash: String,
}

/// A key's text, in its parts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    pub(super) id: &'a str,
    secret: &'a str,
}

/// What is remembered of a key's text.
pub(super) type Fingerprint = [u8; 32];

pub(super) fn fingerprint(text: &str) -> Fingerprint {
    Sha256::digest(text.as_bytes()).into()
}

/// A new key. It takes as long as a verification.
///
/// # Errors
///
/// When the system has no randomness to give.
pub(super) fn make() -> Result<Made, String> {
    let id = format!("{:016x}", rand::random::<u64>());
    let secret: [u128; 2] = [rand::random(), rand::random()];
    let secret = format!("{:032x}{:032x}", secret[0], secret[1]);
    let hash = Argon2::default().hash_password(secret.as_bytes());
    let hash = hash.map_err(|error| error.to_string())?.to_string();
    Ok(Made { text: format!("lk_{id}_{secret}"), id, hash })
}

/// The parts of a key's text; `None`: it is no key's.
pub(super) fn parse(text: &str) -> Option<Parts<'_>> {
    let (id, secret) = text.strip_prefix("lk_")?.split_once('_')?;
    (is_id(id) && hexadecimal(secret, SECRET)).then_some(Parts { id, secret })
}

/// Whether a key could have this id.
pub(crate) fn is_id(text: &str) -> bool {
    hexadecimal(text, ID)
}

fn hexadecimal(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether the secret is that of `hash`; where there is none, it takes as long to say no.
pub(super) fn verify(secret: &str, hash: Option<&str>) -> bool {
    let parsed = PasswordHash::new(hash.unwrap_or(DECOY));
    let right = parsed
        .is_ok_and(|parsed| Argon2::default().verify_password(secret.as_bytes(), &parsed).is_ok());
    right && hash.is_some()
}

impl Parts<'_> {
    pub(super) fn secret(&self) -> String {
        self.secret.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_fits_its_own_hash_alone() {
        let (one, other) = (make().expect("made"), make().expect("made"));
        let parts = parse(&one.text).expect("a key");
        assert_eq!(parts.id, one.id);
        assert!(verify(parts.secret, Some(&one.hash)));
        assert!(!verify(parts.secret, Some(&other.hash)));
        assert!(!verify(parts.secret, None));
        assert!(!one.hash.contains(parts.secret));
    }

    #[test]
    fn the_decoy_costs_what_a_hash_costs() {
        let made = make().expect("made").hash;
        let cost = |hash: &str| {
            let parsed = PasswordHash::new(hash).expect("a PHC string");
            let length = parsed.hash.as_ref().map(|output| output.len());
            (parsed.algorithm.to_string(), parsed.params.to_string(), length)
        };
        assert_eq!(cost(&made), cost(DECOY));
    }

    #[test]
    fn what_is_no_key_is_not_taken_for_one() {
        let (id, secret) = ("0".repeat(ID), "a".repeat(SECRET));
        assert!(parse(&format!("lk_{id}_{secret}")).is_some());
        for wrong in [
            String::new(),
            "lk_".to_owned(),
            format!("{id}_{secret}"),
            format!("lk_{id}"),
            format!("lk_{secret}_{id}"),
            format!("lk_{id}_{secret}0"),
            format!("lk_{}_{secret}", id.replace('0', "'")),
            format!("lk_{id}_{}", secret.to_uppercase()),
        ] {
            assert!(parse(&wrong).is_none(), "{wrong}");
        }
    }
}
