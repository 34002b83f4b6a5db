//! What a conditional write asks for.

use catalog_domain::{RepositoryError, Revision};

/// What must hold of a product for a write to be made. One that asks for anything is made at once,
/// in every strategy: whether it was made depends on what is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    #[default]
    None,
    /// That it is there.
    Exists,
    /// That its page is at one of these revisions.
    At(Vec<Revision>),
}

impl Condition {
    /// Makes a write that takes one expected revision, or none.
    pub(crate) async fn hold<T, F>(
        &self,
        write: impl Fn(Option<Revision>) -> F,
    ) -> Result<T, RepositoryError>
    where
        F: Future<Output = Result<T, RepositoryError>>,
    {
        let revisions = match self {
            Self::None | Self::Exists => return write(None).await,
            Self::At(revisions) => revisions,
        };
        // Where no tag is a revision, the store is asked all the same: it may have no such product.
        let mut expected = revisions.first().copied().unwrap_or(NOWHERE);
        let mut tries = revisions.len();
        loop {
            tries = tries.saturating_sub(1);
            match write(Some(expected)).await {
                Err(RepositoryError::Moved { found })
                    if tries > 0 && revisions.contains(&found) =>
                {
                    expected = found;
                }
                outcome => return outcome,
            }
        }
    }
}

/// A revision that no product comes to.
const NOWHERE: Revision = Revision { epoch: u32::MAX, counter: u64::MAX };

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    const fn at(counter: u64) -> Revision {
        Revision { epoch: 1, counter }
    }

    async fn outcome(condition: &Condition, found: Revision) -> (Option<Revision>, usize) {
        let asked = Mutex::new(Vec::new());
        let written = condition
            .hold(async |expected: Option<Revision>| {
                asked.lock().unwrap().push(expected);
                match expected {
                    Some(expected) if expected != found => Err(RepositoryError::Moved { found }),
                    _ => Ok(()),
                }
            })
            .await;
        let moved = match written {
            Ok(()) => None,
            Err(RepositoryError::Moved { found }) => Some(found),
            Err(other) => panic!("{other}"),
        };
        (moved, asked.into_inner().unwrap().len())
    }

    #[tokio::test]
    async fn any_of_several_revisions_will_do_and_what_is_found_is_told() {
        assert_eq!(outcome(&Condition::None, at(3)).await, (None, 1));
        assert_eq!(outcome(&Condition::Exists, at(3)).await, (None, 1));
        let list = Condition::At(vec![at(1), at(2), at(3)]);
        assert_eq!(outcome(&list, at(1)).await, (None, 1));
        assert_eq!(outcome(&list, at(3)).await, (None, 2));
        assert_eq!(outcome(&list, at(4)).await, (Some(at(4)), 1));
        assert_eq!(outcome(&Condition::At(vec![]), at(4)).await, (Some(at(4)), 1));
    }
}
