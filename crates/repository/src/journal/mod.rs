//! Writes that wait: how the catalogue's operations are appended and applied.

mod pending;
pub(crate) mod stored;

use catalog_domain::{Operation, Pending, ProductId, Refusal};
use larder_postgres::{Applier, Coalesced, Database, PostgresJournal, Refused, Taken};

pub(crate) use self::pending::{Locked, Touch, lock};
pub(crate) use self::stored::PendingRow;

/// The catalogue's journal. Its keys are those of [`journal_key`].
pub type CatalogueJournal = PostgresJournal<CatalogueApplier>;

/// Applies the catalogue's operations, by the functions of `migrations/0006_catalogue_journal.sql`.
#[derive(Clone, Copy, Debug, Default)]
pub struct CatalogueApplier;

/// The key of a product in the journal.
#[must_use]
pub fn journal_key(id: ProductId) -> String {
    stored::key(id)
}

/// The journal of the catalogue in `db`.
pub(crate) const fn journal(db: Database) -> CatalogueJournal {
    PostgresJournal::new(db, CatalogueApplier)
}

impl Applier for CatalogueApplier {
    type Operation = Operation;
    type Refusal = Refusal;

    const APPEND: &'static str = "
        SELECT position, refusal, list, sku, namespaces, changed, epochs, counters
        FROM journal_append($1, $2::text[]::jsonb[])";
    const TAKE: &'static str = "
        SELECT key, standing::text AS standing, positions, operations::text[] AS operations, times
        FROM journal_take($1)";
    const APPLY: &'static str = "
        SELECT key, error FROM journal_apply(to_jsonb($1::text[]::jsonb[]))";
    const FAIL: &'static str = "
        SELECT dead, namespace, key, epoch, counter
        FROM journal_fail($1, $2, $3, make_interval(secs => $4))";

    fn write(&self, operation: &Operation) -> String {
        stored::write(operation)
    }

    fn refusal(&self, operation: &Operation, why: &Refused) -> Refusal {
        let list = why.list.as_deref().unwrap_or_default();
        match why.rule.as_str() {
            "stock" => Refusal::out_of_bounds(list),
            "variant" => {
                let part = why.part.as_deref().unwrap_or_default();
                let index = match operation {
                    Operation::Stock { set, .. } if list == "stock" => {
                        set.iter().position(|change| change.sku.as_str() == part)
                    }
                    Operation::Stock { add, .. } => {
                        add.iter().position(|change| change.sku.as_str() == part)
                    }
                    Operation::Price(_) => None,
                };
                Refusal::no_variant(list, index.unwrap_or_default())
            }
            _ => Refusal::Absent,
        }
    }

    fn coalesce(&self, taken: &Taken, from: usize, upto: usize) -> Coalesced {
        let nothing = |refused: String| Coalesced {
            change: String::new(),
            entries: 0,
            refused: Some(refused),
        };
        let Some(standing) = &taken.standing else { return nothing(Refusal::Absent.to_string()) };
        let standing = match stored::standing(standing) {
            Ok(standing) => standing,
            Err(problem) => return nothing(format!("the product's data is wrong: {problem}")),
        };
        let mut entries = Vec::with_capacity(upto);
        let mut unread = None;
        for entry in &taken.entries[..upto] {
            match stored::read(&entry.operation, entry.at_us) {
                Ok(pending) => entries.push(pending),
                Err(problem) => {
                    unread = Some(format!("the operation cannot be read: {problem}"));
                    break;
                }
            }
        }
        let all = standing.coalesce(&entries);
        let (last, refused) = (all.taken, all.refused.map(|refusal| refusal.to_string()));
        if last <= from {
            return Coalesced { change: String::new(), entries: 0, refused: refused.or(unread) };
        }
        let priced = entries[from..last].iter().any(is_price);
        let price = all.price.filter(|_| priced);
        let change = stored::Change {
            key: &taken.key,
            price_minor: price.map(|price| price.minor()),
            currency: price.map(|price| price.currency()),
            updated_at: all.after.updated_at.as_microsecond(),
            // Those that were applied before have the same stock once more.
            stock: all.stock.iter().map(|s| (s.sku.as_str(), s.stock.get())).collect(),
            positions: taken.entries[from..last].iter().map(|entry| entry.position).collect(),
        };
        Coalesced {
            change: serde_json::to_string(&change).expect("names are strings"),
            entries: last - from,
            refused: refused.or(unread),
        }
    }
}

fn is_price(pending: &Pending) -> bool {
    match pending.operation {
        Operation::Price(_) => true,
        Operation::Stock { .. } => false,
    }
}
