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
        ("a\"GET / HTTP/1.1\"\nrubbish\n", Format::Combined, "line 2"),
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
