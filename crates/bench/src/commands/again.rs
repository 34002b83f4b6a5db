//! The command lines that make runs again.

use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;

use crate::bed::Bed;
use crate::scenario::Contender;

/// `larder-bench` with `words`, as a shell takes them.
pub(super) fn command<'a>(words: impl IntoIterator<Item = Cow<'a, str>>) -> String {
    let words = std::iter::once(Cow::Borrowed("larder-bench")).chain(words);
    words.map(|word| quoted(&word).into_owned()).collect::<Vec<_>>().join(" ")
}

/// A part of a scenario; `more` chooses within it.
pub(super) fn part(file: &str, part: &str, more: &[String], bed: &Bed) -> String {
    let far = bed.db_latency().map(|latency: Duration| {
        [Cow::Borrowed("--db-latency"), (latency.as_secs_f64() * 1e3).to_string().into()]
    });
    let chosen = ["run", file, "--part", part].map(Cow::Borrowed);
    let more = more.iter().map(|word| Cow::Borrowed(word.as_str()));
    command(chosen.into_iter().chain(more).chain(far.into_iter().flatten()))
}

/// Words that choose `contender`, as the command line takes them where there is no scenario.
pub(super) fn strategy(contender: &Contender) -> impl Iterator<Item = Cow<'_, str>> {
    let Contender { strategy, tiers, ttl_ms, .. } = contender;
    let ttl = (*ttl_ms > 0).then(|| ("--ttl-ms", ttl_ms.to_string()));
    let named = [("--strategy", strategy.clone()), ("--tiers", tiers.clone())];
    options(named.into_iter().chain(ttl))
}

/// Options with their values.
pub(super) fn options<'a>(
    named: impl IntoIterator<Item = (&'a str, String)>,
) -> impl Iterator<Item = Cow<'a, str>> {
    named.into_iter().flat_map(|(name, value)| [Cow::Borrowed(name), Cow::Owned(value)])
}

/// A path as a word.
pub(super) fn path(path: &Path) -> Cow<'_, str> {
    path.to_string_lossy()
}

fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./+:=,%@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', "'\\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_takes_the_words_as_they_were() {
        let words = ["replay", "--trace", "my traces/it's.csv", "--tiers", "l1+l2", ""];
        assert_eq!(
            command(words.map(Cow::Borrowed)),
            "larder-bench replay --trace 'my traces/it'\\''s.csv' --tiers l1+l2 ''"
        );
    }
}
