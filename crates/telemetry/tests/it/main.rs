//! Options, and one set-up per process.

use larder_telemetry::{LogFormat, OtlpProtocol, Telemetry, TelemetryError, TelemetryOptions};

#[test]
fn names_are_those_of_the_configuration_and_others_are_told() {
    assert_eq!("http/protobuf".parse(), Ok(OtlpProtocol::Http));
    assert_eq!("grpc".parse(), Ok(OtlpProtocol::Grpc));
    assert_eq!("json".parse(), Ok(LogFormat::Json));
    let unknown = "udp".parse::<OtlpProtocol>().expect_err("no such protocol");
    assert!(unknown.contains("udp") && unknown.contains("grpc"), "{unknown}");
    let unknown = "xml".parse::<LogFormat>().expect_err("no such format");
    assert!(unknown.contains("xml") && unknown.contains("json"), "{unknown}");
}

/// One test, since a process has one set-up.
#[test]
fn metrics_are_read_as_text_and_a_second_set_up_is_refused() {
    let bad = TelemetryOptions { log_filter: "a=loud".into(), ..TelemetryOptions::default() };
    let refused = Telemetry::init(&bad).expect_err("no such level").to_string();
    assert!(refused.contains("log_filter"), "{refused}");

    let bad = TelemetryOptions { otlp_log_filter: "a=loud".into(), ..TelemetryOptions::default() };
    let refused = Telemetry::init(&bad).expect_err("no such level").to_string();
    assert!(refused.contains("otlp_log_filter"), "{refused}");

    let telemetry = Telemetry::init(&TelemetryOptions::default()).expect("the defaults work");
    let meter = telemetry.meter();
    meter.u64_counter("larder.things").build().add(3, &[]);
    let text = larder_telemetry::prometheus(&telemetry.registry());
    let line = text.lines().find(|line| line.starts_with("larder_things_total"));
    assert!(line.is_some_and(|line| line.ends_with(" 3")), "{text}");
    assert!(!telemetry.is_tracing());

    let twice = Telemetry::init(&TelemetryOptions::default());
    assert!(matches!(twice, Err(TelemetryError::Twice(_))), "{twice:?}");
    telemetry.shutdown();
}
