//! Money: integer minor units and a currency.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A currency code of the shape of ISO 4217: three upper-case letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

/// A price in minor units (cents, pence), so that no rounding ever happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "PriceParts")]
pub struct Price {
    /// Minor units, 0 to 10^12.
    minor: i64,
    /// What they are units of.
    currency: Currency,
}

/// A price as it is written, unchecked.
#[derive(Deserialize)]
struct PriceParts {
    minor: i64,
    currency: Currency,
}

impl TryFrom<PriceParts> for Price {
    type Error = String;

    fn try_from(parts: PriceParts) -> Result<Self, String> {
        Self::new(parts.minor, parts.currency)
    }
}

impl Currency {
    /// The code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("three ASCII letters")
    }
}

impl TryFrom<String> for Currency {
    type Error = String;

    fn try_from(code: String) -> Result<Self, String> {
        match <[u8; 3]>::try_from(code.as_bytes()) {
            Ok(letters) if letters.iter().all(u8::is_ascii_uppercase) => Ok(Self(letters)),
            _ => Err("must be three upper-case letters, such as EUR".to_owned()),
        }
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.as_str().to_owned()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Price {
    /// The largest price, in minor units.
    pub const MAX_MINOR: i64 = 1_000_000_000_000;

    /// A price of `minor` units of `currency`.
    ///
    /// # Errors
    ///
    /// When it is negative or above [`MAX_MINOR`](Self::MAX_MINOR).
    pub fn new(minor: i64, currency: Currency) -> Result<Self, String> {
        if !(0..=Self::MAX_MINOR).contains(&minor) {
            return Err("must be an integer from 0 to 1000000000000".to_owned());
        }
        Ok(Self { minor, currency })
    }

    /// Minor units.
    #[must_use]
    pub const fn minor(self) -> i64 {
        self.minor
    }

    /// The currency.
    #[must_use]
    pub const fn currency(self) -> Currency {
        self.currency
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_money_is_refused() {
        for code in ["", "eur", "EURO", "E1R", "€€€"] {
            assert!(Currency::try_from(code.to_owned()).is_err(), "{code:?}");
        }
        let euro = Currency::try_from("EUR".to_owned()).expect("a currency");
        assert!(Price::new(-1, euro).is_err());
        assert!(Price::new(Price::MAX_MINOR + 1, euro).is_err());
        assert_eq!(Price::new(1_299, euro).map(Price::minor), Ok(1_299));
    }
}
