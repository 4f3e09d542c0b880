//! Health and metrics over HTTP. Reading only.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;

use crate::config::Http;
use crate::status::Status;

/// How often the recorder folds its histograms together, so that they do not grow between two scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// What the pages show.
#[derive(Clone)]
pub struct Pages {
    pub metrics: PrometheusHandle,
    pub statuses: Arc<[Arc<Status>]>,
}

/// Binds the listener: a busy port that the operator wrote is an error, a busy default port is replaced by a free one.
///
/// # Errors
/// The address cannot be bound.
pub async fn bind(http: &Http) -> io::Result<TcpListener> {
    match TcpListener::bind(http.listen).await {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && !http.explicit => {
            TcpListener::bind(SocketAddr::new(http.listen.ip(), 0)).await
        }
        bound => bound,
    }
}

/// Serves until the process ends.
///
/// # Errors
/// The listener fails.
pub async fn serve(listener: TcpListener, pages: Pages) -> io::Result<()> {
    let upkeep = pages.metrics.clone();
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(UPKEEP);
        loop {
            tick.tick().await;
            upkeep.run_upkeep();
        }
    });
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .with_state(pages);
    axum::serve(listener, router).await
}

async fn metrics(State(pages): State<Pages>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], pages.metrics.render())
}

/// 200 while every pipeline works, else 503; either way a line per pipeline with what is wrong.
async fn readyz(State(pages): State<Pages>) -> impl IntoResponse {
    let mut body = String::new();
    let mut is_ready = true;
    for status in pages.statuses.iter() {
        let state = status.state();
        is_ready &= state.is_ready();
        // Writing to a String does not fail.
        let _ = writeln!(body, "{}: {}", status.name(), state.name());
        for (part, problem) in status.problems() {
            let _ = writeln!(body, "  {part}: {}", problem.message);
        }
    }
    let code = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, body)
}
