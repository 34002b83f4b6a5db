//! Who looks at the dashboard: how many may at a time, and for how long.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::sleep;

/// What is granted to viewers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Viewers at the same time: each holds a connection. Beyond it the answer is 503.
    most: usize,
    /// Who does not take an event for this long does not read: his place is given to others.
    unread: Duration,
    /// How long one may look; the page then asks anew by itself.
    longest: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let (unread, longest) = (Duration::from_secs(10), Duration::from_secs(3_600));
        Self { most: 32, unread, longest }
    }
}

/// The places of those who look.
pub(super) struct Viewers {
    newest: watch::Receiver<Bytes>,
    places: Arc<Semaphore>,
    limits: Limits,
}

/// What somebody is told who looks: it ends when the process stops, he has looked for long enough, or
/// does not read.
pub(super) struct Events(mpsc::Receiver<Bytes>);

impl Viewers {
    /// For viewers of what `newest` is told.
    pub(super) fn new(newest: watch::Receiver<Bytes>, limits: Limits) -> Self {
        Self { newest, places: Arc::new(Semaphore::new(limits.most)), limits }
    }

    /// Whether somebody looks.
    pub(super) fn any(&self) -> bool {
        self.places.available_permits() < self.limits.most
    }

    /// Lets somebody look, who is told `greeting` first and then the newest; `None` where as many do as
    /// may, or nothing is told any more.
    pub(super) fn admit(&self, greeting: impl FnOnce() -> Bytes) -> Option<Events> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let mut newest = self.newest.clone();
        // The newest is part of what is told first.
        let event = newest.borrow_and_update().clone();
        newest.has_changed().ok()?;
        let first = [greeting(), event].concat().into();
        let (sender, events) = mpsc::channel(1);
        tokio::spawn(tell(first, newest, sender, self.limits, place));
        Some(Events(events))
    }
}

/// Tells one viewer, as long as he may look. The server gives him no time in which he must read, so his
/// place is not his connection's: it goes with this.
async fn tell(
    first: Bytes,
    mut newest: watch::Receiver<Bytes>,
    viewer: mpsc::Sender<Bytes>,
    limits: Limits,
    _place: OwnedSemaphorePermit,
) {
    let mut long_enough = pin!(sleep(limits.longest));
    let mut event = first;
    loop {
        if viewer.send_timeout(event, limits.unread).await.is_err() {
            return;
        }
        tokio::select! {
            changed = newest.changed() => if changed.is_err() { return },
            () = viewer.closed() => return,
            () = &mut long_enough => return,
        }
        // Who reads slowly misses seconds, and holds up nobody.
        event = newest.borrow_and_update().clone();
    }
}

impl Stream for Events {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.0.poll_recv(context)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use actix_web::dev::ServerHandle;
    use actix_web::web::{self, Data};
    use actix_web::{App, HttpServer};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::dashboard::events::answer;

    const PATIENCE: Duration = Duration::from_secs(60);
    /// No buffer of a connection holds many of these.
    const EVENT: usize = 1 << 20;

    /// A server that tells its viewers something new all the time.
    async fn server(limits: Limits) -> (Data<Viewers>, SocketAddr, ServerHandle) {
        let (teller, newest) = watch::channel(Bytes::new());
        let viewers = Data::new(Viewers::new(newest, limits));
        let shared = viewers.clone();
        let server = HttpServer::new(move || {
            let look = async |viewers: Data<Viewers>| answer(viewers.admit(Bytes::new));
            App::new().app_data(shared.clone()).route("/", web::get().to(look))
        });
        let server = server.workers(1).disable_signals().bind(("127.0.0.1", 0)).expect("a port");
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        tokio::spawn(async move {
            while teller.receiver_count() > 0 {
                teller.send_replace(vec![b'x'; EVENT].into());
                sleep(Duration::from_millis(20)).await;
            }
        });
        (viewers, address, handle)
    }

    /// Somebody who asks and has not read yet.
    async fn ask(address: SocketAddr) -> TcpStream {
        let mut connection = TcpStream::connect(address).await.expect("it listens");
        let request = b"GET / HTTP/1.1\r\nhost: dashboard\r\n\r\n";
        connection.write_all(request).await.expect("it is sent");
        connection
    }

    async fn until_free(viewers: &Viewers, places: usize) {
        let began = Instant::now();
        while viewers.places.available_permits() != places {
            let free = viewers.places.available_permits();
            assert!(began.elapsed() < PATIENCE, "{free} places are free, not {places}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The beginning of what is answered.
    async fn head(connection: &mut TcpStream) -> String {
        let mut head = [0; 12];
        let read = timeout(PATIENCE, connection.read_exact(&mut head)).await;
        read.expect("in time").expect("an answer");
        String::from_utf8_lossy(&head).into_owned()
    }

    #[actix_web::test]
    async fn who_does_not_read_gives_up_his_place_and_who_reads_keeps_it() {
        let limits = Limits { most: 3, unread: Duration::from_secs(2), longest: PATIENCE * 10 };
        let (viewers, address, handle) = server(limits).await;
        let silent = [ask(address).await, ask(address).await];
        let mut reader = ask(address).await;
        assert_eq!(head(&mut reader).await, "HTTP/1.1 200");
        let mut more = vec![0; EVENT];
        let reading = async {
            loop {
                let read = timeout(PATIENCE, reader.read(&mut more)).await;
                assert_ne!(read.expect("something new").expect("it is not cut off"), 0);
            }
        };
        let watching = async {
            until_free(&viewers, 0).await;
            assert_eq!(head(&mut ask(address).await).await, "HTTP/1.1 503");
            until_free(&viewers, silent.len()).await;
            // They are still there, and others can look.
            assert_eq!(head(&mut ask(address).await).await, "HTTP/1.1 200");
            until_free(&viewers, silent.len()).await;
        };
        tokio::select! {
            () = reading => {}
            () = watching => {}
        }
        drop(reader);
        until_free(&viewers, limits.most).await;
        drop(silent);
        handle.stop(false).await;
    }

    #[actix_web::test]
    async fn who_has_looked_for_long_enough_is_told_the_end() {
        let limits = Limits { most: 1, unread: PATIENCE, longest: Duration::from_millis(300) };
        let (viewers, address, handle) = server(limits).await;
        let mut viewer = ask(address).await;
        let mut told = Vec::new();
        let mut more = vec![0; EVENT];
        // The last chunk: the stream is not cut off.
        while !told.ends_with(b"\r\n0\r\n\r\n") {
            let read = timeout(PATIENCE, viewer.read(&mut more)).await;
            let read = read.expect("in time").expect("it is not cut off");
            assert_ne!(read, 0, "it is closed before its end");
            told.extend_from_slice(&more[..read]);
        }
        assert!(told.len() > EVENT);
        until_free(&viewers, limits.most).await;
        handle.stop(false).await;
    }
}
