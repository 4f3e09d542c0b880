//! `on_unavailable`: what a batch does while the database is away.

use tidegate::config::{Secret, Target};
use tidegate::pipeline::Ending;
use tidegate::status::State;

use super::{CUSTOMERS, ORDERS, customer, order, sections, told};
use crate::faults::proxy::Proxy;
use crate::support::daemon::eventually;
use crate::support::database::Kind;
use crate::support::pipeline::Running;
use crate::transform::{PATIENCE, Scene};

/// A pipeline whose database can be away, with the first order of Ada stored and her row too old at once.
async fn begun(kind: Kind, policy: &str) -> (Scene, Proxy, Running) {
    let more = format!("max_age = \"0s\"\non_unavailable = \"{policy}\"");
    let mut scene = Scene::new(kind, &[CUSTOMERS, ORDERS], &sections(&more)).await;
    scene.database.execute(&customer(1, "Ada", "gold")).await;
    scene.database.execute(&customer(2, "Bob", "gold")).await;
    let proxy = Proxy::start(&scene.database.url);
    let mut url = proxy.url(&scene.database.url);
    if kind == Kind::MySql {
        // Its TLS takes certificates that the proxy does not have.
        url.push_str("?ssl-mode=DISABLED");
    }
    let mut pipeline = scene.pipeline();
    let Target::Database(sink) = &mut pipeline.sink else { panic!("a database") };
    sink.url = Secret::new(url);
    scene.send_orders(&[order(1, "1")]);
    let running = Running::start(pipeline);
    eventually("the first order", PATIENCE, || async { scene.names().await == ["1|Ada"] }).await;
    proxy.away(true);
    scene.database.execute("UPDATE customers SET name = 'Adele' WHERE id = 1").await;
    (scene, proxy, running)
}

/// The database is back: these are the rows, and nothing is wrong any more.
async fn ended(scene: &Scene, proxy: &Proxy, running: Running, names: &[&str]) {
    proxy.away(false);
    eventually("everything is stored", PATIENCE, || async { scene.names().await.len() == names.len() }).await;
    assert_eq!(scene.names().await, names, "{:?}", scene.database.kind);
    eventually("all is well", PATIENCE, || async { running.status.state() == State::Running }).await;
    assert_eq!(told(&running), "");
    assert_eq!(running.stop().await, Ending::Drained);
}

async fn says(running: &Running, words: &str) {
    eventually(words, PATIENCE, || async { told(running).contains(words) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_waits() {
    for kind in [Kind::Postgres, Kind::MariaDb, Kind::MySql] {
        let (mut scene, proxy, running) = begun(kind, "wait").await;
        scene.send_orders(&[order(2, "1"), order(3, "2")]);
        eventually("it is told", PATIENCE, || async { !told(&running).is_empty() }).await;
        assert_eq!(running.status.state(), State::Retrying, "{}", running.problems());
        ended(&scene, &proxy, running, &["1|Ada", "2|Adele", "3|Bob"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_takes_what_is_too_old_and_waits_for_what_was_never_read() {
    for kind in [Kind::Postgres, Kind::MariaDb, Kind::MySql] {
        let (mut scene, proxy, running) = begun(kind, "stale").await;
        scene.send_orders(&[order(2, "1")]);
        says(&running, "rows that are too old are used meanwhile").await;
        scene.send_orders(&[order(3, "2")]);
        eventually("it waits", PATIENCE, || async {
            !told(&running).is_empty() && !told(&running).contains("meanwhile")
        })
        .await;
        ended(&scene, &proxy, running, &["1|Ada", "2|Ada", "3|Bob"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_goes_on_with_nulls() {
    for kind in [Kind::Postgres, Kind::MariaDb, Kind::MySql] {
        let (mut scene, proxy, running) = begun(kind, "null").await;
        scene.send_orders(&[order(2, "1")]);
        says(&running, "what is not in memory is null meanwhile").await;
        ended(&scene, &proxy, running, &["1|Ada", "2|-"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_waits_does_not_hold_up_the_end() {
    let (mut scene, proxy, running) = begun(Kind::Postgres, "wait").await;
    scene.send_orders(&[order(2, "1")]);
    eventually("it is told", PATIENCE, || async { !told(&running).is_empty() }).await;
    assert_eq!(running.stop().await, Ending::Drained);
    proxy.away(false);
    scene.run().await;
    assert_eq!(scene.names().await, ["1|Ada", "2|Adele"]);
}
