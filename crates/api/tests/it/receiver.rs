//! A receiver of OTLP that keeps what it is sent.

use std::sync::{Arc, Mutex};

use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpResponse, HttpServer};
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{
    LogsService, LogsServiceServer,
};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tonic::{Request, Response, Status};

/// What a client that is traced itself sends.
pub(crate) const TRACE_PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The id of that trace, as it is exported.
pub(crate) fn trace_id() -> Vec<u8> {
    let digits = TRACE_PARENT.split('-').nth(1).expect("an id");
    let byte = |n: usize| u8::from_str_radix(&digits[2 * n..2 * n + 2], 16);
    (0..16).map(|n| byte(n).expect("hexadecimal")).collect()
}

/// A log, and whose it is.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) resource: Vec<KeyValue>,
    pub(crate) target: String,
    pub(crate) record: LogRecord,
}

impl Log {
    /// Its message.
    pub(crate) fn message(&self) -> &str {
        text(self.record.body.as_ref())
    }
}

/// The text under `key`; empty where there is none.
pub(crate) fn attribute<'a>(attributes: &'a [KeyValue], key: &str) -> &'a str {
    text(attributes.iter().find(|it| it.key == key).and_then(|it| it.value.as_ref()))
}

fn text(value: Option<&AnyValue>) -> &str {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text,
        _ => "",
    }
}

/// What a receiver was sent.
#[derive(Clone, Default)]
pub(crate) struct Received {
    spans: Arc<Mutex<Vec<Span>>>,
    logs: Arc<Mutex<Vec<Log>>>,
    pub(crate) metrics: Arc<Mutex<Vec<String>>>,
}

impl Received {
    fn take_traces(&self, request: ExportTraceServiceRequest) {
        let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        let spans = scopes.flat_map(|scope| scope.spans);
        self.spans.lock().expect("no panic").extend(spans);
    }

    fn take_metrics(&self, request: ExportMetricsServiceRequest) {
        let scopes =
            request.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
        let names = scopes.flat_map(|scope| scope.metrics).map(|metric| metric.name);
        self.metrics.lock().expect("no panic").extend(names);
    }

    fn take_logs(&self, request: ExportLogsServiceRequest) {
        let mut logs = self.logs.lock().expect("no panic");
        for sent in request.resource_logs {
            let resource = sent.resource.map_or_else(Vec::new, |resource| resource.attributes);
            for scope in sent.scope_logs {
                let target = scope.scope.map_or_else(String::new, |scope| scope.name);
                logs.extend(scope.log_records.into_iter().map(|record| Log {
                    resource: resource.clone(),
                    target: target.clone(),
                    record,
                }));
            }
        }
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        self.spans.lock().expect("no panic").clone()
    }

    pub(crate) fn logs(&self) -> Vec<Log> {
        self.logs.lock().expect("no panic").clone()
    }
}

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.take_traces(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Received {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.take_metrics(request.into_inner());
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Received {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.take_logs(request.into_inner());
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}

/// A receiver of OTLP over HTTP; its endpoint.
async fn http_receiver(received: Received) -> String {
    async fn traces(received: Data<Received>, body: Bytes) -> HttpResponse {
        received.take_traces(ExportTraceServiceRequest::decode(body).expect("protobuf"));
        HttpResponse::Ok().finish()
    }
    async fn metrics(received: Data<Received>, body: Bytes) -> HttpResponse {
        received.take_metrics(ExportMetricsServiceRequest::decode(body).expect("protobuf"));
        HttpResponse::Ok().finish()
    }
    async fn logs(received: Data<Received>, body: Bytes) -> HttpResponse {
        received.take_logs(ExportLogsServiceRequest::decode(body).expect("protobuf"));
        HttpResponse::Ok().finish()
    }
    let server = HttpServer::new(move || {
        App::new()
            .app_data(Data::new(received.clone()))
            .app_data(web::PayloadConfig::new(16 << 20))
            .route("/v1/traces", web::post().to(traces))
            .route("/v1/metrics", web::post().to(metrics))
            .route("/v1/logs", web::post().to(logs))
    });
    let server = server.workers(1).bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", server.addrs()[0]);
    tokio::spawn(server.run());
    endpoint
}

/// A receiver of OTLP over gRPC; its endpoint.
async fn grpc_receiver(received: Received) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(grpc_on(received, listener));
    endpoint
}

/// The same on `listener`, until it is aborted.
pub(crate) async fn grpc_on(received: Received, listener: tokio::net::TcpListener) {
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    let server = tonic::transport::Server::builder()
        .add_service(TraceServiceServer::new(received.clone()))
        .add_service(MetricsServiceServer::new(received.clone()))
        .add_service(LogsServiceServer::new(received));
    // Its end is no business of the test's.
    let _ = server.serve_with_incoming(incoming).await;
}

/// The endpoint of a receiver that speaks `protocol`.
pub(crate) async fn receiver(received: Received, protocol: &str) -> String {
    match protocol {
        "grpc" => grpc_receiver(received).await,
        _ => http_receiver(received).await,
    }
}

pub(crate) fn exporting(endpoint: &str, protocol: &'static str) -> [(&'static str, String); 3] {
    [
        ("TELEMETRY__OTLP_ENDPOINT", endpoint.to_owned()),
        ("TELEMETRY__OTLP_PROTOCOL", protocol.to_owned()),
        ("TELEMETRY__EXPORT_INTERVAL_MS", "200".to_owned()),
    ]
}
