//! Makes a snapshot a second, once for all who look.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::web::Data;
use bytes::Bytes;
use catalog_service::{Strategy, Tiers};
use larder_telemetry::Readings;
use serde::Serialize;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::costs::Costs;
use super::counts::Counts;
use super::peers::{Heard, Processes, listen};
use super::snapshot::{Point, Window};
use super::viewers::{Events, Limits, Viewers};
use crate::app::State;

const SECOND: Duration = Duration::from_secs(1);
/// Seconds that a new viewer is shown of what was before.
const REMEMBERED: usize = 300;

/// Makes the snapshots, and knows who looks.
pub(crate) struct Hub {
    address: SocketAddr,
    past: Arc<Mutex<VecDeque<Point>>>,
    viewers: Arc<Viewers>,
    closing: Arc<Notify>,
}

/// What a viewer is told first: who speaks, what was before, and what there is to choose from.
#[derive(Serialize)]
struct Greeting<'a> {
    address: SocketAddr,
    version: &'static str,
    strategies: [&'static str; Strategy::ALL.len()],
    tiers: [&'static str; Tiers::ALL.len()],
    points: &'a VecDeque<Point>,
}

impl Hub {
    /// Begins to make snapshots of the process that listens on `address`, until it is closed or the
    /// service stops listening.
    pub(crate) fn start(state: Data<State>, address: SocketAddr) -> Data<Self> {
        let past = Arc::new(Mutex::new(VecDeque::with_capacity(REMEMBERED)));
        let closing = Arc::new(Notify::new());
        let (closed, stopping) = (Arc::clone(&closing), state.closing.clone());
        let (sender, newest) = watch::channel(Bytes::new());
        let viewers = Arc::new(Viewers::new(newest, Limits::default()));
        let (told, heard) = watch::channel(None);
        let maker = Maker {
            state: state.clone(),
            address,
            heard,
            began: Instant::now(),
            window: Window::default(),
            costs: Costs::default(),
            past: Arc::clone(&past),
        };
        let seen = Arc::clone(&viewers);
        tokio::spawn(async move {
            tokio::select! {
                () = maker.run(&sender) => {}
                () = listen(&state, &seen, &told) => {}
                () = closed.notified() => {}
                () = stopping.stopping() => {}
            }
            // The sender goes with this task, and ends every viewer's stream: a stop would
            // otherwise wait for them in vain.
        });
        Data::new(Self { address, past, viewers, closing })
    }

    /// Ends all streams.
    pub(crate) fn close(&self) {
        self.closing.notify_one();
    }

    /// Lets somebody look; `None` where as many do as may, or the process stops.
    pub(super) fn view(&self) -> Option<Events> {
        self.viewers.admit(|| {
            let points = self.past.lock().unwrap_or_else(PoisonError::into_inner);
            event(
                "hello",
                &Greeting {
                    address: self.address,
                    version: env!("CARGO_PKG_VERSION"),
                    strategies: Strategy::ALL.map(Strategy::as_str),
                    tiers: Tiers::ALL.map(Tiers::as_str),
                    points: &points,
                },
            )
        })
    }
}

/// What snapshots are made of.
struct Maker {
    state: Data<State>,
    address: SocketAddr,
    heard: watch::Receiver<Heard>,
    began: Instant,
    window: Window,
    costs: Costs,
    past: Arc<Mutex<VecDeque<Point>>>,
}

impl Maker {
    async fn run(mut self, newest: &watch::Sender<Bytes>) {
        let mut ticks = interval(SECOND);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Some(event) = self.tick() {
                newest.send_replace(event);
            }
        }
    }

    /// The event of this second.
    fn tick(&mut self) -> Option<Bytes> {
        let at_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let readings = Readings::of(&self.state.registry);
        let counts = Counts::of(&readings);
        self.costs.note(at_ms, |view| self.state.catalogue.settings(view), &counts.costs);
        let costs = self.costs.periods(at_ms, &counts.costs);
        self.window.push(at_ms, counts);
        let report = self.window.report()?;
        let switching = &self.state.switching;
        switching.say(serde_json::to_string(&report).expect("numbers have a JSON form"));
        let processes = self.heard.borrow().as_ref().map(|said| {
            Processes::of(switching.process(), &self.address.to_string(), &report, said)
        });
        let beside = (costs, processes);
        let (point, snapshot) = self.window.snapshot(&self.state, &readings, &report, beside)?;
        let event = event("second", &snapshot);
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        if past.len() == REMEMBERED {
            past.pop_front();
        }
        past.push_back(point);
        Some(event)
    }
}

/// An event in the format of `text/event-stream`.
fn event(name: &str, data: &impl Serialize) -> Bytes {
    // JSON in one line: a line break would end the field.
    let data = serde_json::to_string(data).expect("numbers and names have a JSON form");
    format!("event: {name}\ndata: {data}\n\n").into()
}
