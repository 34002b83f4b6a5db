//! Access logs: `host - user [time] "GET /path HTTP/1.1" status size …`

use std::io::BufRead;

use anyhow::Result;
use jiff::fmt::strtime;

use super::recording::{Builder, Line, Op};
use super::source::lines;

/// How Apache and nginx write times, such as `10/Oct/2025:13:55:36 +0000`.
const TIME: &str = "%d/%b/%Y:%H:%M:%S %z";

pub(super) fn read(text: &mut dyn BufRead, builder: &mut Builder) -> Result<()> {
    let mut times = Times::default();
    lines(text, |number, line| match parse(line, &mut times) {
        Ok(Some(line)) => builder.push(&line),
        Ok(None) => builder.other(),
        Err(why) => builder.broken(number, why),
    })
}

/// What `line` tells: `None` if it is neither a read nor a write that was carried out.
fn parse<'a>(line: &'a str, times: &mut Times) -> Result<Option<Line<'a>>, &'static str> {
    let (before, rest) = line.split_once('"').ok_or("there is no request in quotes")?;
    let (request, after) = quoted(rest).ok_or("the request's quotes are not closed")?;
    let time = before.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    let (time, _) = time.ok_or("there is no time in brackets")?;
    let at_us = times.micros(time).ok_or("the time is not like 10/Oct/2025:13:55:36 +0000")?;
    let mut after = after.split_ascii_whitespace();
    let status: u16 =
        after.next().and_then(|status| status.parse().ok()).ok_or("there is no status")?;
    // nginx and Apache write "-" for no body.
    let bytes = after.next().and_then(|bytes| bytes.parse().ok());
    let mut words = request.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next());
    let (Some(target), 200..=499) = (target, status) else {
        // A torn request is logged as "-"; what failed was neither read nor changed.
        return Ok(None);
    };
    // Pages are told apart by their path.
    let key = target.split(['?', '#']).next().unwrap_or(target);
    let line = |op, bytes| Some(Line { key, op, at_us: Some(at_us), bytes, cost_ms: None });
    Ok(match method {
        // "Not modified" has no body, and says nothing of its size.
        "GET" => line(Op::Read, bytes.filter(|_| status == 200)),
        "POST" | "PUT" | "PATCH" | "DELETE" if status < 400 => line(Op::Write, None),
        _ => None,
    })
}

/// Up to the closing quote, and what follows; `\"` does not close.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (place, byte) in text.bytes().enumerate() {
        match byte {
            b'"' if !escaped => return Some((&text[..place], &text[place + 1..])),
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    None
}

/// Reads times; lines of the same second are next to one another.
#[derive(Default)]
struct Times {
    last: String,
    micros: i64,
}

impl Times {
    fn micros(&mut self, text: &str) -> Option<i64> {
        if self.last != text {
            let time = strtime::parse(TIME, text).ok()?.to_timestamp().ok()?;
            self.micros = time.as_microsecond();
            text.clone_into(&mut self.last);
        }
        Some(self.micros)
    }
}
