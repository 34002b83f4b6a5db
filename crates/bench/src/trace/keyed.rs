//! CSV: the column `key`, or the only one; and `time`, `op`, `cost` and `bytes` where they are.

use std::io::BufRead;

use anyhow::{Context, Result, bail};
use csv::StringRecord;

use super::recording::{Builder, Line, Op};

/// Larger numbers are milliseconds since 1970, smaller ones seconds.
const MILLISECONDS_FROM: f64 = 1e11;

/// Where the columns are.
struct Columns {
    key: usize,
    time: Option<usize>,
    op: Option<usize>,
    cost: Option<usize>,
    bytes: Option<usize>,
}

pub(super) fn read(text: &mut dyn BufRead, builder: &mut Builder) -> Result<()> {
    // A line with too few fields is broken by itself, and not the end of the file.
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text);
    let columns = Columns::of(reader.headers().context("line 1")?)?;
    let mut record = StringRecord::new();
    loop {
        match reader.read_record(&mut record) {
            Ok(false) => return Ok(()),
            Ok(true) => {
                let number = record.position().map_or(0, csv::Position::line);
                match columns.parse(&record) {
                    Ok(line) => builder.push(&line),
                    Err(why) => builder.broken(number, why),
                }
            }
            Err(error) if error.is_io_error() => return Err(error.into()),
            Err(error) => {
                builder.broken(error.position().map_or(0, csv::Position::line), "not UTF-8")
            }
        }
    }
}

impl Columns {
    fn of(headers: &StringRecord) -> Result<Self> {
        let column =
            |name: &str| headers.iter().position(|header| header.trim().eq_ignore_ascii_case(name));
        let key = match column("key") {
            Some(key) => key,
            None if headers.len() == 1 => 0,
            None => bail!(
                "line 1: there is no column named key (the first line names the columns: key and, \
                 where there are any, time, op, cost, bytes)"
            ),
        };
        let [time, op, cost, bytes] = ["time", "op", "cost", "bytes"].map(column);
        Ok(Self { key, time, op, cost, bytes })
    }

    fn parse<'a>(&self, record: &'a StringRecord) -> Result<Line<'a>, String> {
        let field = |column: usize, name: &str| {
            let field = record.get(column).map(str::trim).filter(|field| !field.is_empty());
            field.ok_or_else(|| format!("there is no {name}"))
        };
        let key = field(self.key, "key")?;
        let at_us = self.time.map(|column| micros(field(column, "time")?)).transpose()?;
        let op = self.op.map_or(Ok(Op::Read), |column| op(field(column, "op")?))?;
        // Sizes and costs may be missing: of a write, of a hit.
        let optional = |column: Option<usize>| {
            column.and_then(|column| record.get(column)).map(str::trim).filter(|f| !f.is_empty())
        };
        let cost_ms = optional(self.cost).map(milliseconds).transpose()?;
        let bytes = optional(self.bytes).map(|text| {
            text.parse().map_err(|_| format!("bytes {text:?} is not a number from 0 to 2^32"))
        });
        Ok(Line { key, op, at_us, bytes: bytes.transpose()?, cost_ms })
    }
}

fn op(text: &str) -> Result<Op, String> {
    match text.to_ascii_lowercase().as_str() {
        "read" | "get" | "gets" | "r" => Ok(Op::Read),
        "write" | "set" | "put" | "update" | "insert" | "add" | "replace" | "cas" | "patch"
        | "delete" | "w" => Ok(Op::Write),
        _ => Err(format!(
            "op {text:?} is neither a read (read, get) nor a write (write, set, delete)"
        )),
    }
}

/// Microseconds since 1970 of a number of seconds or milliseconds, or of an RFC 3339 time.
fn micros(text: &str) -> Result<i64, String> {
    if let Ok(number) = text.parse::<f64>()
        && number.is_finite()
    {
        let scale = if number.abs() >= MILLISECONDS_FROM { 1e3 } else { 1e6 };
        return Ok((number * scale) as i64);
    }
    let time = text.parse::<jiff::Timestamp>();
    time.map(jiff::Timestamp::as_microsecond).map_err(|_| {
        format!("time {text:?} is neither a number of seconds nor like 2026-01-31T12:00:00Z")
    })
}

fn milliseconds(text: &str) -> Result<f64, String> {
    let cost = text.parse::<f64>().ok().filter(|cost| cost.is_finite() && *cost >= 0.0);
    cost.ok_or_else(|| format!("cost {text:?} is not a number of milliseconds"))
}
