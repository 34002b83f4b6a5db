//! `advise.html`.

use maud::{Markup, html};

use super::outcome::{Advice, L1, StrategyRow};
use crate::report::chart::{Legend, Mark, Series, lines};
use crate::report::{document, megabytes, percent};

pub(super) fn page(advice: &Advice) -> Markup {
    document(
        "Larder: what caching would do",
        &html! {
            h1 { "What caching would do for " (advice.log) }
            (summary(advice))
            (recommendation(advice))
            (strategies(advice))
            (tiers(advice))
            (l1(&advice.l1))
            (hot_keys(advice))
            (origin(advice))
        },
    )
}

fn summary(advice: &Advice) -> Markup {
    let traffic = &advice.traffic;
    let chosen = &advice.recommendation;
    // The first rows are those without a cache, and with one that keeps all for ever.
    let [before, after] = [0, 1].map(|row| advice.strategies.get(row).and_then(rates));
    let rates = before.zip(after);
    html! {
        ul.summary {
            li { strong { (traffic.reads) } " reads of " (traffic.keys) " keys, and "
                 (traffic.writes) " writes"
                 @if let Some(seconds) = traffic.seconds {
                     ", in " (format!("{seconds:.0}")) " s: "
                     (format!("{:.1}", traffic.reads as f64 / seconds)) " reads a second"
                 } "." }
            li { "A cache can answer " strong { (percent(advice.ceiling)) } " of them at most: "
                 strong { (advice.floor.loads()) } " loads remain, " (advice.floor.compulsory)
                 " of keys read for the first time and " (advice.floor.after_writes)
                 " after writes." }
            @if let Some((before, after)) = &rates {
                li { "Postgres gets " (before) " without a cache, and " strong { (after) }
                     " with one." }
            }
            li { "Recommended: " strong { code { (chosen.strategy) } " in " code { (chosen.tiers) } }
                 @if chosen.l1_capacity_bytes > 0 {
                     ", with an L1 of " (megabytes(chosen.l1_capacity_bytes)) " (" (chosen.l1_eviction) ")"
                 } "." }
            @if traffic.broken.count > 0 {
                li.missed { (traffic.broken.count) " of " (traffic.broken.lines)
                     " lines could not be read and are left out: " (traffic.broken.first.join("; ")) }
            }
        }
    }
}

/// Queries a second, on average and in the busiest ten, where times are known.
fn rates(row: &StrategyRow) -> Option<String> {
    let (mean, busiest) = row.queries_per_s.zip(row.busiest_per_s)?;
    let connections = row
        .busy_connections
        .map_or(String::new(), |busy| format!(", {busy:.2} connections busy with loads"));
    Some(format!("{mean:.1} queries a second ({busiest:.1} in the busiest 10 s{connections})"))
}

fn recommendation(advice: &Advice) -> Markup {
    html! {
        h2 { "Recommended settings" }
        ul { @for reason in &advice.recommendation.reasons { li { (reason) } } }
        pre { (advice.recommendation.toml) }
    }
}

fn strategies(advice: &Advice) -> Markup {
    let optional = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.2}"));
    let ttl = |row: &StrategyRow| match row.ttl_ms {
        None if row.strategy == "none" => String::new(),
        None => "unbounded".to_owned(),
        Some(ttl) => format!("{} s", ttl as f64 / 1e3),
    };
    html! {
        h2 { "Database queries by strategy" }
        p { "With a shared tier that holds everything. Loads are reads of the database; each write is "
            "taken for one statement. The floor is the fewest loads with which any cache could have "
            "answered at this time to live and with these writes. Stale answers are reads that got "
            "what a write had made old; that happens under " code { "ttl" } " alone. Connections are "
            "those that are busy with loads on average." }
        div.wide { table {
            thead { tr {
                th { "strategy" } th { "time to live" } th { "queries" } th { "saved" } th { "loads" }
                th { "reloads ahead" } th { "loads to publish" } th { "writes" } th { "floor" }
                th { "stale answers" } th { "queries/s" } th { "in the busiest 10 s" }
                th { "connections" }
            } }
            tbody { @for row in &advice.strategies { tr {
                td { (row.strategy) } td.n { (ttl(row)) }
                td.n { strong { (row.queries) } } td.n { (percent(row.saved)) }
                td.n { (row.demand.loads) } td.n { (row.demand.background_loads) }
                td.n { (row.demand.publishing_loads) } td.n { (row.demand.writes) }
                td.n { @if row.strategy != "none" { (row.floor) } }
                td.n { (row.demand.stale_answers) }
                td.n { (optional(row.queries_per_s)) } td.n { (optional(row.busiest_per_s)) }
                td.n { (optional(row.busy_connections)) }
            } } }
        } }
    }
}

fn tiers(advice: &Advice) -> Markup {
    html! {
        h2 { "Tiers" }
        p { "Under " code { "read-through" } " without a time to live, with "
            (advice.l1.processes) " process" @if advice.l1.processes != 1 { "es" }
            " and the recommended L1 in each." }
        table {
            thead { tr { th { "tiers" } th { "loads" } th { "reads of Redis" } th { "hit ratio" } } }
            tbody { @for row in &advice.tiers { tr {
                td { (row.tiers) } td.n { (row.loads) } td.n { (row.redis_reads) }
                td.n { (format!("{:.3}", row.hit_ratio)) }
            } } }
        }
    }
}

fn l1(l1: &L1) -> Markup {
    let mut names: Vec<&str> = l1.rows.iter().map(|row| row.eviction.as_str()).collect();
    names.dedup();
    let mut sizes: Vec<u64> = l1.rows.iter().map(|row| row.capacity_bytes).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let mib = |bytes: u64| bytes as f64 / (1_u64 << 20) as f64;
    let mut series: Vec<Series> = names
        .iter()
        .map(|name| {
            let own = l1.rows.iter().filter(|row| row.eviction == *name);
            let point = own.map(|row| {
                let misses = 1.0 - row.hit_ratio.value;
                let said = format!("{name}, {}: {misses:.3}", megabytes(row.capacity_bytes));
                Mark::at(mib(row.capacity_bytes), misses, said)
            });
            Series { name: (*name).to_owned(), points: point.collect() }
        })
        .collect();
    let first = sizes.first().copied().unwrap_or(0);
    let exact = l1.lru.iter().filter(|point| point.bytes >= first).map(|point| {
        let misses = 1.0 - point.hit_ratio.value;
        let said = format!("lru, {} entries: {misses:.3}", point.entries);
        Mark::at(mib(point.bytes), misses, said)
    });
    series.push(Series { name: "lru, every size".to_owned(), points: exact.collect() });
    let at = |name: &str, size: u64| {
        l1.rows.iter().find(|row| row.eviction == name && row.capacity_bytes == size)
    };
    html! {
        h2 { "L1 by size and eviction policy" }
        p { "The part of the reads that L1 does not answer, in " (l1.processes) " process"
            @if l1.processes != 1 { "es with one each" } ", in the container that the service uses. "
            @if l1.sample < 1.0 {
                "Simulated on " (percent(l1.sample)) " of the keys; after ± is half of the interval "
                "that holds the true value with 95 %, estimated for each policy at each size; where there is none, too few entries "
                "were left to tell."
            } @else { "Every step was simulated." } }
        (lines(&series, "MiB in each process", "miss ratio", Legend::Right))
        div.wide { table {
            thead { tr { th { "hit ratio" } @for size in &sizes { th { (megabytes(*size)) } } } }
            tbody { @for name in &names { tr {
                td { (name) }
                @for size in &sizes { td.n { @if let Some(row) = at(name, *size) {
                    (format!("{:.3}", row.hit_ratio.value))
                    @if let Some(error) = row.hit_ratio.error.filter(|_| l1.sample < 1.0) {
                        (format!(" ± {error:.3}"))
                    }
                } } }
            } } }
        } }
        h2 { "The smallest L1 that answers " (percent(l1.target)) }
        table {
            thead { tr { th { "policy" } th { "size" } th { "entries of mean size" } } }
            tbody { @for row in &l1.smallest { tr {
                td { (row.eviction) }
                td.n { @match row.bytes { Some(bytes) => (megabytes(bytes)), None => "not reached" } }
                td.n { @if let Some(entries) = row.entries { (entries) } }
            } } }
        }
    }
}

fn hot_keys(advice: &Advice) -> Markup {
    html! {
        h2 { "Hot keys" }
        p { "The most popular 1 % of the keys take " (percent(advice.top_1_percent))
            " of the reads." }
        table {
            thead { tr { th { "key" } th { "reads" } th { "part" } th { "writes" } } }
            tbody { @for key in &advice.hot_keys { tr {
                td { code { (key.key) } } td.n { (key.reads) } td.n { (percent(key.share)) }
                td.n { (key.writes) }
            } } }
        }
    }
}

fn origin(advice: &Advice) -> Markup {
    let traffic = &advice.traffic;
    html! {
        h2 { "What was assumed" }
        ul { @for assumed in &advice.assumptions { li { (assumed) } } }
        h2 { "Where this is from" }
        table.plain {
            tr { th { "command" } td { code { (advice.command) } } }
            tr { th { "looked at" } td { (advice.looked_at) } }
            tr { th { "took" } td { (format!("{:.1} s", advice.took_s))
                @if let Some(peak) = advice.peak_memory_bytes { ", " (megabytes(peak)) " of memory" } } }
            tr { th { "mean value" } td { (format!("{:.0}", traffic.value_bytes)) " bytes; all keys in L1: "
                (megabytes(traffic.all_keys_bytes)) } }
            @if let Some(cost) = traffic.query_ms {
                tr { th { "mean load" } td { (format!("{cost:.2} ms")) } }
            }
            tr { th { "other lines" } td { (traffic.others) } }
        }
    }
}
