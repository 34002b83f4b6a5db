use std::io::Write;

use larder_stack::testing::data_file;

use super::*;

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("writes");
    file
}

#[test]
fn the_recorded_trace_has_the_published_numbers() {
    let Some(path) = data_file("the_recorded_trace", "traces/web07.trace.xz") else { return };
    let trace = Trace::read(&path, Format::Cache2k).expect("reads");
    assert_eq!((trace.requests.len(), trace.distinct), (76_118, 20_484));
    let mut counts = vec![0_u32; 20_485];
    for key in &trace.requests {
        counts[*key as usize] += 1;
    }
    counts.sort_by(|a, b| b.cmp(a));
    let top: u32 = counts[..204].iter().sum();
    let share = f64::from(top) / 76_118.0;
    assert!((0.36..0.375).contains(&share), "{share}");
}

#[test]
fn access_logs_and_csv_are_read_in_order() {
    let log = concat!(
        "1.2.3.4 - - [10/Oct/2025:13:55:36 +0000] \"GET /a?x=1 HTTP/1.1\" 200 5 \"-\" \"curl\"\n",
        "1.2.3.4 - - [10/Oct/2025:13:55:36 +0000] \"POST /a HTTP/1.1\" 200 5\n",
        "1.2.3.4 - - [10/Oct/2025:13:55:37 +0000] \"GET /b HTTP/1.1\" 200 5\n",
        "1.2.3.4 - - [10/Oct/2025:13:55:38 +0000] \"GET /a HTTP/1.1\" 200 5\n",
    );
    let trace = Trace::read(file(log).path(), Format::Combined).expect("reads");
    assert_eq!(trace, Trace { requests: vec![1, 2, 1], distinct: 2 });
    let csv = file("time,key\n1,x\n2,y\n3,x\n");
    assert_eq!(Trace::read(csv.path(), Format::Csv).expect("reads"), trace);
}

#[test]
fn what_cannot_be_read_is_named_by_file_and_line() {
    let cases = [
        ("rubbish\na\"GET / HTTP/1.1\"\n", Format::Combined, "line 2: there is no time"),
        ("time,page\n1,x\n", Format::Csv, "no column named key"),
        ("time,key\n1,x\n2\n", Format::Csv, "line"),
        ("abcde", Format::Cache2k, "1 bytes are left"),
        ("", Format::Cache2k, "no requests"),
    ];
    for (text, format, expected) in cases {
        let file = file(text);
        let message = format!("{:#}", Trace::read(file.path(), format).expect_err(text));
        assert!(message.contains(expected), "{message}");
        assert!(message.contains(&file.path().display().to_string()), "{message}");
    }
}

const LOG: &str = concat!(
    "::1 - - [10/Oct/2025:13:55:36 +0000] \"GET /a HTTP/1.1\" 200 512 \"-\" \"x\"\n",
    "::1 - - [10/Oct/2025:15:55:38 +0200] \"GET /b?q=\\\"1 HTTP/1.1\" 304 -\n",
    "::1 - - [10/Oct/2025:13:55:37 +0000] \"PATCH /a HTTP/1.1\" 204 -\n",
    "::1 - - [10/Oct/2025:13:55:40 +0000] \"GET /a HTTP/1.1\" 502 99\n",
    "::1 - - [10/Oct/2025:13:55:40 +0000] \"-\" 408 -\n",
    "::1 - - [10/Oct/2025:13:55:41 +0000] \"DELETE /c HTTP/1.1\" 403 9\n",
);

fn step(at_us: u64, key: u32, op: Op) -> Access {
    Access { at_us, key, op }
}

#[test]
fn an_access_log_tells_times_sizes_and_writes() {
    let log = Recording::read(file(LOG).path(), Format::Combined, 0.0).expect("reads");
    let expected = [
        step(0, 0, Op::Read),
        step(2_000_000, 1, Op::Read),
        // Written when it ended, after one that ended later: time does not go back.
        step(2_000_000, 0, Op::Write),
    ];
    assert_eq!(log.accesses, expected);
    assert_eq!((log.keys, log.bytes), (vec!["/a".to_owned(), "/b".to_owned()], vec![512, 0]));
    assert_eq!((log.timed, log.others, log.broken.lines), (true, 3, 6));
    assert_eq!(log.began_us, 1_760_104_536_000_000);
}

#[test]
fn csv_tells_what_its_columns_are_named_for() {
    let text =
        "op,key,time,bytes,cost\nGET,x,10,7,1.5\nset,x,10.5,,\nread,y,11,,2\nget,x,12,9,2.5\n";
    let log = Recording::read(file(text).path(), Format::Csv, 0.0).expect("reads");
    let expected = [
        step(0, 0, Op::Read),
        step(500_000, 0, Op::Write),
        step(1_000_000, 1, Op::Read),
        step(2_000_000, 0, Op::Read),
    ];
    assert_eq!(log.accesses, expected);
    assert_eq!((log.bytes, log.cost_ms), (vec![9, 0], vec![Some(2.0), Some(2.0)]));
    // The same moments, written otherwise.
    for times in [
        ["1760104536000", "1760104536500"],
        ["2025-10-10T13:55:36Z", "2025-10-10T15:55:36.5+02:00"],
    ] {
        let text = format!("time,key\n{},x\n{},x\n", times[0], times[1]);
        let log = Recording::read(file(&text).path(), Format::Csv, 0.0).expect("reads");
        let found = (log.began_us, log.accesses[1].at_us);
        assert_eq!(found, (1_760_104_536_000_000, 500_000), "{times:?}");
    }
    let untimed = Recording::read(file("x\ny\nx\n").path(), Format::Csv, 0.0).expect("reads");
    assert_eq!((untimed.timed, untimed.accesses.len()), (false, 2), "its first line is a header");
}

#[test]
fn packed_files_are_read_whatever_their_name() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(LOG.as_bytes()).expect("packs");
    // Logs that were rotated are often put together.
    let gzip = gzip.finish().expect("packs").repeat(2);
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 0);
    xz.write_all(LOG.as_bytes()).expect("packs");
    for (packed, steps) in [(gzip, 6), (xz.finish().expect("packs"), 3)] {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(&packed).expect("writes");
        let log = Recording::read(file.path(), Format::Combined, 0.0).expect("reads");
        assert_eq!(log.accesses.len(), steps);
        // Cut off.
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(&packed[..packed.len() - 9]).expect("writes");
        let error = Recording::read(file.path(), Format::Combined, 1.0).expect_err("cut off");
        assert!(error.downcast_ref::<BadData>().is_some(), "{error:#}");
    }
}

#[test]
fn a_few_broken_lines_are_left_out_and_many_are_an_error() {
    let good = LOG.lines().next().expect("a line");
    let mut lines = vec![good; 99];
    lines.insert(40, "torn in the mid");
    let log = file(&lines.join("\n"));
    let read = |max_broken| Recording::read(log.path(), Format::Combined, max_broken);
    let found = read(MAX_BROKEN).expect("one in a hundred");
    assert_eq!((found.broken.count, found.broken.lines), (1, 100));
    let warning = found.broken.warning(log.path()).expect("a warning");
    for part in ["1 of 100", "line 41: there is no request in quotes"] {
        assert!(warning.contains(part), "{warning}");
    }
    assert_eq!(
        read(0.0).map(|_| ()).expect_err("one is too many").downcast_ref::<BadData>(),
        Some(&BadData::new(format!(
            "{}: 1 of 100 lines (1.0 %) cannot be read as an access log: line 41: there is no \
             request in quotes; choose another --format, mend them, or let more of them be left \
             out with --max-broken",
            log.path().display()
        )))
    );
    // What is not there is no bad data.
    let missing = Recording::read(Path::new("no-such.log"), Format::Combined, 1.0);
    let missing = missing.map(|_| ()).expect_err("it is not there");
    assert!(missing.downcast_ref::<BadData>().is_none());
    assert!(format!("{missing:#}").contains("no-such.log"), "{missing:#}");
}

#[test]
fn broken_fields_are_named() {
    let cases = [
        ("key,time\nx,noon\n", "line 2: time \"noon\" is neither"),
        ("key,op\nx,scan\n", "line 2: op \"scan\" is neither"),
        ("key,cost\nx,-1\n", "line 2: cost \"-1\" is not"),
        ("key,bytes\nx,1e3\n", "line 2: bytes \"1e3\" is not"),
        ("key,time\n,1\n", "line 2: there is no key"),
        ("key,time\nx\n", "line 2: there is no time"),
    ];
    for (text, expected) in cases {
        let error = Recording::read(file(text).path(), Format::Csv, 0.5).expect_err(text);
        let message = format!("{error:#}");
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn writes_of_another_file_come_in_at_their_times() {
    let reads = file("key,time\nx,10\ny,11\nx,12\n");
    let mut log = Recording::read(reads.path(), Format::Csv, 0.0).expect("reads");
    let writes = file("key,time,op\nx,9,write\nz,11.5,write\nx,11.5,write\ny,11,read\n");
    log.merge_writes(&Recording::read(writes.path(), Format::Csv, 0.0).expect("reads"));
    let expected = [
        step(0, 0, Op::Write),
        step(1_000_000, 0, Op::Read),
        step(2_000_000, 1, Op::Read),
        step(2_500_000, 2, Op::Write),
        step(2_500_000, 0, Op::Write),
        step(3_000_000, 0, Op::Read),
    ];
    assert_eq!(log.accesses, expected);
    assert_eq!((log.keys.len(), log.began_us), (3, 9_000_000));
}

#[test]
fn formats_are_guessed_from_names() {
    for (name, format) in [
        ("web07.trace.xz", Format::Cache2k),
        ("keys.CSV.gz", Format::Csv),
        ("access.log.2.gz", Format::Combined),
        ("access", Format::Combined),
    ] {
        assert_eq!(Format::of(Path::new(name)), format, "{name}");
    }
}
