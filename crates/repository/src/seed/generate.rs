//! A generated catalogue: believable, deterministic, of any size.

use jiff::{Timestamp, ToSpan};
use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::SeedOptions;
use super::copy::Line;
use super::words::{
    ADJECTIVES, COLOURS, DEPARTMENTS, GROUPS, KINDS, MATERIALS, NOUNS, OPINIONS, SENTENCES,
    SIGNATURES, SIZES, TITLES,
};
use super::zipf::share;

/// Categories without further ones below them: what products are in.
const LEAVES: u32 = 12 * 5 * 5;
/// Ids of the leaves follow those of their 12 parents and 60 grandparents.
const FIRST_LEAF: u32 = 12 + 60 + 1;
/// Products shown beside each, as far as there are that many.
const RELATED: u32 = 8;
/// Stars out of a hundred reviews: 7 give one, 6 two, 12 three, 25 four and 50 five.
const STARS: [(u32, u8); 5] = [(7, 1), (13, 2), (25, 3), (50, 4), (100, 5)];

/// Makes the rows of every table. Each row has a random generator of its own, so a table does
/// not depend on which others were made before it.
pub(super) struct Generator {
    options: SeedOptions,
    /// How many reviews product `id` has, at `id - 1`.
    reviews: Vec<u32>,
}

impl Generator {
    pub(super) fn new(options: SeedOptions) -> Self {
        let mut reviews = share(options.reviews, options.products, options.exponent);
        // Popularity must not follow the ids, or neighbours in the index would be popular
        // together.
        reviews.shuffle(&mut ChaCha8Rng::seed_from_u64(options.seed));
        Self { options, reviews }
    }

    /// Rows of all tables.
    pub(super) fn total(&self) -> u64 {
        let related = u64::from(self.options.products) * u64::from(self.related_each());
        let variants: u64 =
            self.ids().map(|id| u64::from(variant_count(self.options.seed, id))).sum();
        u64::from(FIRST_LEAF + LEAVES - 1)
            + u64::from(self.options.products)
            + variants
            + u64::from(self.options.reviews)
            + related
    }

    pub(super) fn categories(&self) -> impl Iterator<Item = Line> + Send + use<> {
        let slug = |name: &str| name.to_lowercase().replace(' ', "-");
        let mut lines = Vec::new();
        for (d, department) in (1_u32..).zip(DEPARTMENTS) {
            lines.push((d, Line::default().with(d).null().with(slug(department)).with(department)));
            for (g, group) in (0_u32..).zip(GROUPS) {
                let id = 12 + (d - 1) * 5 + g + 1;
                let name = format!("{department} {group}");
                lines.push((id, Line::default().with(id).with(d).with(slug(&name)).with(&name)));
                for (k, kind) in (0_u32..).zip(KINDS) {
                    let leaf = FIRST_LEAF + ((d - 1) * 5 + g) * 5 + k;
                    let name = format!("{name} {kind}");
                    let line = Line::default().with(leaf).with(id).with(slug(&name)).with(&name);
                    lines.push((leaf, line));
                }
            }
        }
        // Parents first: a row may only name one that is there.
        lines.sort_by_key(|(id, _)| *id);
        lines.into_iter().map(|(_, line)| line)
    }

    pub(super) fn products(&self) -> impl Iterator<Item = Line> + Send + '_ {
        self.ids().map(|id| {
            let mut random = self.random(1, id);
            let adjective = pick(&mut random, &ADJECTIVES);
            let material = pick(&mut random, &MATERIALS);
            let noun = pick(&mut random, &NOUNS);
            let colour = pick(&mut random, &COLOURS);
            let mut sentences = SENTENCES;
            let count = random.random_range(8..=14);
            let (chosen, _) = sentences.partial_shuffle(&mut random, count);
            let description = chosen.join(" ");
            let attributes = format!(
                r#"{{"material": "{}", "colour": "{colour}", "weight_g": "{}", "width_cm": "{}", "care": "{}", "warranty": "{} years"}}"#,
                material.to_lowercase(),
                random.random_range(50..9_000),
                random.random_range(4..180),
                pick(&mut random, &["wipe clean", "hand wash", "dry clean", "oil once a year"]),
                random.random_range(1..=10),
            );
            let created = moment(random.random_range(0..400 * 24 * 3_600));
            Line::default()
                .with(id)
                .with(format_args!("LD-{id:07}"))
                .with(format_args!("{adjective} {material} {noun}"))
                .with(description)
                .with(FIRST_LEAF + id % LEAVES)
                .with(random.random_range(199..40_000))
                .with("EUR")
                .with(attributes)
                .with(created)
                .with(created)
        })
    }

    pub(super) fn variants(&self) -> impl Iterator<Item = Line> + Send + '_ {
        self.ids().flat_map(|id| {
            let mut random = self.random(2, id);
            (1..=variant_count(self.options.seed, id)).map(move |number| {
                let colour = pick(&mut random, &COLOURS);
                let size = pick(&mut random, &SIZES);
                Line::default()
                    .with(id)
                    .with(format_args!("LD-{id:07}-{number}"))
                    .with(format_args!("{colour} / {size}"))
                    .with(random.random_range(0..500))
            })
        })
    }

    pub(super) fn reviews(&self) -> impl Iterator<Item = Line> + Send + '_ {
        self.ids().flat_map(|id| {
            let mut random = self.random(3, id);
            let count = self.reviews[id as usize - 1];
            (0..count).map(move |_| {
                let roll = random.random_range(0..100_u32);
                let stars = STARS.iter().find(|(below, _)| roll < *below).map_or(5, |(_, s)| *s);
                let mut opinions = OPINIONS;
                let length = random.random_range(1..=4);
                let (chosen, _) = opinions.partial_shuffle(&mut random, length);
                Line::default()
                    .with(id)
                    .with(stars)
                    .with(pick(&mut random, &TITLES))
                    .with(chosen.join(" "))
                    .with(pick(&mut random, &SIGNATURES))
                    .with(moment(random.random_range(400 * 24 * 3_600..1_000 * 24 * 3_600)))
            })
        })
    }

    /// Mostly products of the same category, some from anywhere.
    pub(super) fn related(&self) -> impl Iterator<Item = Line> + Send + '_ {
        let products = self.options.products;
        self.ids().flat_map(move |id| {
            let mut random = self.random(4, id);
            let mut chosen: Vec<u32> = Vec::new();
            let mut neighbour = id;
            while chosen.len() < self.related_each() as usize {
                // Every LEAVES-th product is of the same category.
                neighbour = (neighbour - 1 + LEAVES) % products + 1;
                let anywhere = random.random_range(0..4_u32) == 0 || products <= LEAVES;
                let candidate =
                    if anywhere { random.random_range(1..=products) } else { neighbour };
                if candidate != id && !chosen.contains(&candidate) {
                    chosen.push(candidate);
                }
            }
            (1_u32..).zip(chosen).map(move |(position, related)| {
                Line::default().with(id).with(position).with(related)
            })
        })
    }

    fn ids(&self) -> impl Iterator<Item = u32> + Send + use<> {
        1..=self.options.products
    }

    fn related_each(&self) -> u32 {
        RELATED.min(self.options.products - 1)
    }

    fn random(&self, table: u64, id: u32) -> ChaCha8Rng {
        row_random(self.options.seed, table, id)
    }
}

fn row_random(seed: u64, table: u64, id: u32) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(table << 32 | u64::from(id));
    random
}

fn variant_count(seed: u64, id: u32) -> u32 {
    row_random(seed, 5, id).next_u32() % 6 + 1
}

fn pick<'a>(random: &mut ChaCha8Rng, words: &[&'a str]) -> &'a str {
    words[random.random_range(0..words.len())]
}

/// `seconds` after a fixed day.
fn moment(seconds: i64) -> Timestamp {
    // 2023-01-01T00:00:00Z
    let start = Timestamp::from_second(1_672_531_200).expect("a time within range");
    start.saturating_add(seconds.seconds()).expect("whole seconds can be added")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PINNED: &str = "11181b55955dbd54";

    fn rows(options: SeedOptions) -> Vec<String> {
        let generator = Generator::new(options);
        let text = |line: Line| line.as_str().to_owned();
        let mut all: Vec<String> = generator.categories().map(text).collect();
        all.extend(generator.products().map(text));
        all.extend(generator.variants().map(text));
        all.extend(generator.reviews().map(text));
        all.extend(generator.related().map(text));
        assert_eq!(all.len() as u64, generator.total());
        all
    }

    #[test]
    fn the_same_seed_makes_the_same_catalogue_and_another_another() {
        let options = SeedOptions { products: 700, reviews: 3_000, ..SeedOptions::default() };
        let first = rows(options);
        assert_eq!(first, rows(options));
        assert_ne!(first, rows(SeedOptions { seed: 2, ..options }));
        // Pinned: another machine or release must make the very same rows.
        let checksum = first
            .iter()
            .flat_map(|row| row.bytes())
            .fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
        assert_eq!(format!("{checksum:016x}"), PINNED);
    }

    #[test]
    fn tiny_catalogues_can_be_made() {
        for products in 1..12 {
            rows(SeedOptions { products, reviews: products, ..SeedOptions::default() });
        }
    }
}
