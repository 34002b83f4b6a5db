//! Redis keys: one per entry, all of them in this one spelling.

use std::fmt::{self, Display, Write};

/// The part of a Redis key that all keys of one namespace share.
///
/// A key is `<environment>:{<namespace>:<key>}`. The braces make the namespace and key the
/// cluster's hash tag, so an entry lives in one slot whatever the environment. `%`, `:`, `{`
/// and `}` inside a part are percent-encoded: no two keys share a spelling. A tag's barrier is
/// `<environment>:{<namespace>:tag:<name>}`, which no key is, for it has a colon more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeySpace {
    prefix: String,
}

struct Escaped<'a>(&'a mut String);

impl KeySpace {
    pub(crate) fn new(environment: &str, namespace: &str) -> Self {
        let mut prefix = String::new();
        escape(&mut prefix, environment);
        prefix.push_str(":{");
        escape(&mut prefix, namespace);
        prefix.push(':');
        Self { prefix }
    }

    pub(crate) fn key(&self, key: &impl Display) -> String {
        self.spell("", key)
    }

    /// The key of the barrier of the tag `name`.
    pub(crate) fn tag(&self, name: &str) -> String {
        self.spell("tag:", name)
    }

    fn spell(&self, kind: &str, key: &(impl Display + ?Sized)) -> String {
        let mut text = String::with_capacity(self.prefix.len() + 24);
        text.push_str(&self.prefix);
        text.push_str(kind);
        escape(&mut text, key);
        text.push('}');
        text
    }
}

fn escape(text: &mut String, part: &(impl Display + ?Sized)) {
    write!(Escaped(text), "{part}").expect("writing to a String cannot fail");
}

impl Write for Escaped<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for character in part.chars() {
            match character {
                '%' | ':' | '{' | '}' => write!(self.0, "%{:02X}", u32::from(character))?,
                _ => self.0.push(character),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_reads_as_the_design_says() {
        assert_eq!(KeySpace::new("dev", "product-page").key(&42), "dev:{product-page:42}");
        assert_eq!(KeySpace::new("a:b", "c{d").key(&"e}f%g"), "a%3Ab:{c%7Bd:e%7Df%25g}");
    }

    proptest! {
        #[test]
        fn different_parts_make_different_keys(
            a in ("[ab:{}%]{0,4}", "[ab:{}%]{0,4}", "[ab:{}%]{0,4}"),
            b in ("[ab:{}%]{0,4}", "[ab:{}%]{0,4}", "[ab:{}%]{0,4}"),
        ) {
            let key = |(e, n, k): &(String, String, String)| KeySpace::new(e, n).key(k);
            prop_assert_eq!(a == b, key(&a) == key(&b));
            prop_assert_ne!(KeySpace::new(&a.0, &a.1).tag(&a.2), key(&b));
        }
    }
}
