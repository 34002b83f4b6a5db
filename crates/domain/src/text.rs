//! Texts: bounded, trimmed, without control characters.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Checks `text` against a length in characters, both ends included.
fn bounded(text: String, least: usize, most: usize) -> Result<String, String> {
    let length = text.chars().count();
    if length < least || length > most {
        return Err(format!("must have {least} to {most} characters, has {length}"));
    }
    // NUL cannot be stored in Postgres at all; other control characters never mean anything
    // here but line breaks and tabs in longer texts.
    if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Err("must not contain control characters".to_owned());
    }
    if least > 0 && text.trim().is_empty() {
        return Err("must not be blank".to_owned());
    }
    Ok(text)
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $least:literal ..= $most:literal $(, $extra:expr)?) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                let text = bounded(text, $least, $most)?;
                $( ($extra)(&text)?; )?
                Ok(Self(text))
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text!(
    /// A stock-keeping unit: 1 to 64 printable ASCII characters without spaces around.
    Sku, 1..=64, |text: &str| {
        if text.chars().all(|c| c == ' ' || c.is_ascii_graphic()) && text.trim() == text {
            return Ok(());
        }
        Err("must be printable ASCII without spaces around".to_owned())
    }
);
text!(
    /// What a product is called: 1 to 200 characters.
    ProductName, 1..=200
);
text!(
    /// What a variant is called, such as "blue / large": 1 to 100 characters.
    VariantName, 1..=100
);
text!(
    /// What a product is: up to 5,000 characters.
    Description, 0..=5000
);
text!(
    /// The heading of a review: 1 to 120 characters.
    ReviewTitle, 1..=120
);
text!(
    /// The text of a review: up to 4,000 characters.
    ReviewBody, 0..=4000
);
text!(
    /// The name a review is signed with: 1 to 80 characters.
    Author, 1..=80
);
text!(
    /// The name of a category in URLs: lower-case letters, digits and inner hyphens, 1 to 80.
    Slug, 1..=80, |text: &str| {
        let fits = text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if fits && !text.starts_with('-') && !text.ends_with('-') {
            return Ok(());
        }
        Err("must be lower-case letters, digits and inner hyphens".to_owned())
    }
);

/// Attributes of a product, such as `material: oak`: at most 50, names of 1 to 60 characters,
/// values up to 500.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct Attributes(BTreeMap<String, String>);

impl Attributes {
    /// The attributes, by name.
    #[must_use]
    pub const fn as_map(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

impl TryFrom<BTreeMap<String, String>> for Attributes {
    type Error = String;

    fn try_from(map: BTreeMap<String, String>) -> Result<Self, String> {
        if map.len() > 50 {
            return Err(format!("must be at most 50, are {}", map.len()));
        }
        for (name, value) in &map {
            bounded(name.clone(), 1, 60).map_err(|message| format!("name {name:?} {message}"))?;
            bounded(value.clone(), 0, 500).map_err(|message| format!("{name:?} {message}"))?;
        }
        Ok(Self(map))
    }
}

impl From<Attributes> for BTreeMap<String, String> {
    fn from(attributes: Attributes) -> Self {
        attributes.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_that_cannot_be_stored_or_shown_are_refused() {
        for bad in ["", "   ", "a\0b", "a\u{7}b", &"x".repeat(201)] {
            assert!(ProductName::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
        for bad in ["", " A1", "A1 ", "ä", "A\n1", &"x".repeat(65)] {
            assert!(Sku::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
        for bad in ["", "Oak", "-oak", "oak-", "oak chairs", "o/k"] {
            assert!(Slug::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
        assert!(Sku::try_from("85123A".to_owned()).is_ok());
        assert!(Slug::try_from("oak-chairs-2".to_owned()).is_ok());
        assert!(Description::try_from(String::new()).is_ok());
    }

    proptest! {
        #[test]
        fn a_length_is_counted_in_characters(length in 1usize..260) {
            let text = "ü".repeat(length);
            prop_assert_eq!(ProductName::try_from(text).is_ok(), length <= 200);
        }

        #[test]
        fn deserializing_checks_as_constructing_does(text: String) {
            let json = serde_json::to_string(&text).expect("a string has a JSON form");
            let read = serde_json::from_str::<Sku>(&json);
            prop_assert_eq!(read.is_ok(), Sku::try_from(text).is_ok());
        }
    }
}
