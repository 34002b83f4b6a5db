//! The live dashboard at `/`: one page, and a stream of events with one snapshot a second.
//!
//! The numbers are those of `/metrics`, read from the same registry, of this process; beside them stands
//! what the other processes say of themselves, and the sum of all (`peers.rs`). A snapshot is made once,
//! whoever looks, and costs the application no statement. The page is the files in `page/`, as
//! they are: nothing is built, and nothing is fetched from elsewhere, which its
//! `Content-Security-Policy` holds.

mod costs;
mod counts;
mod events;
mod hub;
mod peers;
mod snapshot;
mod viewers;

use actix_web::HttpResponse;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::web::{self, Data, ServiceConfig};

pub(crate) use self::hub::Hub;
use crate::routes::resource;

/// The page loads its own files, asks its own service, and nothing else. Nobody may frame it, for it
/// has a switch; and no text becomes markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// One file of the page.
struct File {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

const FILES: [File; 6] = [
    File::new("/", HTML, include_str!("page/index.html")),
    File::new("/dashboard/style.css", CSS, include_str!("page/style.css")),
    File::new("/dashboard/app.js", SCRIPT, include_str!("page/app.js")),
    File::new("/dashboard/chart.js", SCRIPT, include_str!("page/chart.js")),
    File::new("/dashboard/switch.js", SCRIPT, include_str!("page/switch.js")),
    File::new("/dashboard/icon.svg", SVG, include_str!("page/icon.svg")),
];

impl File {
    const fn new(path: &'static str, kind: &'static str, text: &'static str) -> Self {
        Self { path, kind, text }
    }
}

/// The page, its files and its stream, which `hub` feeds.
pub(crate) fn configure(service: &mut ServiceConfig, hub: &Data<Hub>) {
    service.app_data(hub.clone());
    for file in &FILES {
        service.service(resource(file.path).route(web::get().to(async || show(file))));
    }
    service.service(resource("/dashboard/events").route(web::get().to(events::stream)));
}

fn show(file: &File) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, file.kind))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        // A page of another release would misread the stream of this one.
        .insert_header((CACHE_CONTROL, "no-cache"))
        .body(file.text)
}
