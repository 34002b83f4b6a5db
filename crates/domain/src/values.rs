//! Numbers with a meaning.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty), $range:expr, $message:literal) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(try_from = "i64", into = "i64")]
        pub struct $name($inner);

        impl $name {
            /// The number.
            #[must_use]
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl TryFrom<i64> for $name {
            type Error = String;

            fn try_from(number: i64) -> Result<Self, String> {
                let inside = ($range).contains(&number);
                match <$inner>::try_from(number) {
                    Ok(number) if inside => Ok(Self(number)),
                    _ => Err(concat!("must be ", $message).to_owned()),
                }
            }
        }

        impl From<$name> for i64 {
            fn from(number: $name) -> Self {
                Self::from(number.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// The id of a product.
    ProductId(i64), 1..=i64::MAX, "a positive integer"
);
number!(
    /// The id of a review.
    ReviewId(i64), 1..=i64::MAX, "a positive integer"
);
number!(
    /// How many pieces are in stock.
    Stock(i32), 0..=1_000_000_000, "an integer from 0 to 1000000000"
);
number!(
    /// Stars of a review.
    Rating(i16), 1..=5, "an integer from 1 to 5"
);

impl FromStr for ProductId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Digits only: "+7" and "007" would be further names for the same product.
        let canonical = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
        let number = canonical.then(|| text.parse::<i64>().ok()).flatten();
        Self::try_from(number.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_refused() {
        assert!(ProductId::try_from(0).is_err());
        assert!(Stock::try_from(-1).is_err());
        assert!(Stock::try_from(1_000_000_001).is_err());
        for stars in [0, 6, i64::MAX, i64::MIN] {
            assert!(Rating::try_from(stars).is_err(), "{stars}");
        }
        assert_eq!(Rating::try_from(5).map(Rating::get), Ok(5));
    }

    #[test]
    fn an_id_has_one_spelling() {
        assert_eq!("42".parse::<ProductId>().map(ProductId::get), Ok(42));
        for other in ["", "0", "042", "+42", "-1", "4 2", "42.0", "99999999999999999999", "x"] {
            assert!(other.parse::<ProductId>().is_err(), "{other:?}");
        }
    }
}
