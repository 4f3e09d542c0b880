//! `[[lookup]]`: tables of the sink's database and files, joined.

mod cases;
mod types;
mod unavailable;

use tidegate::config::{Secret, Target};
use tidegate::pipeline::Ending;
use tidegate::status::State;

use super::{PATIENCE, Scene};
use crate::support::daemon::{Daemon, eventually};
use crate::support::database::{ALL, Kind};
use crate::support::pipeline::Running;

const CUSTOMERS: &str = "CREATE TABLE customers (id bigint NOT NULL PRIMARY KEY, name {text}, class {text})";
const ORDERS: &str =
    "CREATE TABLE orders (order_id bigint NOT NULL PRIMARY KEY, name {text}, other {text}, zone {text})";

/// A customer in the table.
fn customer(id: i64, name: &str, class: &str) -> String {
    format!("INSERT INTO customers VALUES ({id}, '{name}', '{class}')")
}

fn order(id: i64, customer: &str) -> String {
    format!(r#"{{"order_id":{id},"customer":{customer},"country":"DE"}}"#)
}

/// Orders with their customers' names.
fn sections(more: &str) -> String {
    format!(
        "
[source.columns]
order_id = \"bigint\"
customer = \"bigint\"
country = \"text\"
[[lookup]]
name = \"customers\"
table = \"customers\"
key = [\"id\"]
{more}
[[table]]
name = \"orders\"
key = [\"order_id\"]
sql = \"SELECT o.order_id, c.name FROM input o LEFT JOIN customers c ON o.customer = c.id\"
"
    )
}

impl Scene {
    fn send_orders(&mut self, orders: &[String]) {
        let records: Vec<(&str, Option<&str>)> = orders.iter().map(|order| ("k", Some(order.as_str()))).collect();
        self.send(&records);
    }

    /// The names in `orders`, by order.
    async fn names(&self) -> Vec<String> {
        self.rows("orders", &["order_id", "name"]).await
    }
}

/// What the status says of the lookup.
fn told(running: &Running) -> String {
    let of_lookup =
        |(part, problem): (String, tidegate::status::Problem)| (part == "lookup customers").then_some(problem.message);
    running.status.problems().into_iter().find_map(of_lookup).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_tables_are_joined_as_they_are_now() {
    for kind in ALL {
        let sections = "
[source.columns]
order_id = \"bigint\"
customer = \"bigint\"
country = \"text\"
[[lookup]]
name = \"customers\"
table = \"customers\"
key = [\"id\"]
max_age = \"1s\"
[[lookup]]
name = \"remembered\"
table = \"customers\"
key = [\"id\"]
max_age = \"1h\"
[[lookup]]
name = \"zones\"
table = \"zones\"
key = [\"country\", \"class\"]
[[table]]
name = \"orders\"
key = [\"order_id\"]
sql = \"\"\"
SELECT o.order_id, c.name, r.name AS other, zone
FROM input o
LEFT JOIN customers c ON o.customer = c.id
LEFT JOIN remembered r ON r.id = o.customer
LEFT JOIN zones z ON z.class = c.class AND z.country = o.country
\"\"\"
";
        let zones = "CREATE TABLE zones (country {text} NOT NULL, class {text} NOT NULL, zone {text})";
        let mut scene = Scene::new(kind, &[CUSTOMERS, zones, ORDERS], sections).await;
        scene.database.execute(&customer(1, "Ada", "gold")).await;
        scene.database.execute("INSERT INTO zones VALUES ('DE', 'gold', 'north'), ('DE', 'tin', 'south')").await;
        scene.send_orders(&[order(101, "1"), order(102, "99"), order(103, "null"), order(104, "1")]);
        let running = Running::start(scene.pipeline());
        let stored = async |scene: &Scene, count: usize| {
            eventually("the orders are stored", PATIENCE, || async {
                assert!(!matches!(running.status.state(), State::Failed), "{kind:?}: {}", running.problems());
                scene.names().await.len() == count
            })
            .await;
        };
        stored(&scene, 4).await;
        let columns = ["order_id", "name", "other", "zone"];
        let expected = ["101|Ada|Ada|north", "102|-|-|-", "103|-|-|-", "104|Ada|Ada|north"];
        assert_eq!(scene.rows("orders", &columns).await, expected, "{kind:?}");

        scene.database.execute("UPDATE customers SET name = 'Adele', class = 'tin' WHERE id = 1").await;
        scene.database.execute(&customer(99, "Bob", "gold")).await;
        // Each try is two orders of their own, until the rows of before are too old.
        for id in (105..1000).step_by(2) {
            scene.send_orders(&[order(id, "1"), order(id + 1, "99")]);
            stored(&scene, id as usize - 99).await;
            let last = scene.rows("orders", &columns).await.split_off(id as usize - 101);
            let is_new = |row: &str, old: &str, new: &str| match row.split_once('|').expect("a number").1 {
                found if found == new => true,
                found => {
                    assert_eq!(found, old, "{kind:?}");
                    false
                }
            };
            let [first, second] = [&last[0], &last[1]];
            let (first, second) =
                (is_new(first, "Ada|Ada|north", "Adele|Ada|south"), is_new(second, "-|-|-", "Bob|-|north"));
            if first && second {
                break;
            }
            assert!(id < 997, "{kind:?}: the change is never seen");
        }
        assert_eq!(running.stop().await, Ending::Drained);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_key_holds_is_never_sql() {
    for kind in ALL {
        let sections = "
[source.columns]
order_id = \"bigint\"
name = \"text\"
[[lookup]]
name = \"by_name\"
table = \"customers\"
key = [\"name\"]
columns = { name = \"text\", class = \"text\" }
[[table]]
name = \"orders\"
key = [\"order_id\"]
sql = \"SELECT o.order_id, class AS name FROM input o LEFT JOIN by_name c ON c.name = o.name\"
";
        let mut scene = Scene::new(kind, &[CUSTOMERS, ORDERS], sections).await;
        scene.database.execute(&customer(1, "Ada", "gold")).await;
        scene.database.execute(&customer(2, "o''Hara \\\"; --", "tin")).await;
        let stored: Vec<String> = scene
            .database
            .texts("SELECT name FROM customers WHERE id = 2")
            .await
            .remove(0)
            .into_iter()
            .flatten()
            .collect();
        let names = ["' OR '1'='1", "'; DROP TABLE customers; --", "ada", "Ada", "Ada ", "", &stored[0]];
        let orders: Vec<String> = (1..)
            .zip(names)
            .map(|(id, name)| format!(r#"{{"order_id":{id},"name":{}}}"#, serde_json::to_string(name).unwrap()))
            .collect();
        scene.send_orders(&orders);
        scene.run().await;
        // A collation may find more; a key is equal or it is not.
        assert_eq!(scene.names().await, ["1|-", "2|-", "3|-", "4|gold", "5|-", "6|-", "7|tin"], "{kind:?}");
        assert_eq!(scene.database.number("SELECT count(*) FROM customers").await, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_keys_than_are_kept_and_than_a_statement_takes() {
    for kind in ALL {
        let mut scene = Scene::new(kind, &[CUSTOMERS, ORDERS], &sections("max_rows = 10")).await;
        let rows: Vec<String> = (0..3000).map(|id| format!("({id}, 'n{id}', 'x')")).collect();
        scene.database.execute(&format!("INSERT INTO customers VALUES {}", rows.join(", "))).await;
        let orders: Vec<String> = (0..4000).map(|id| order(id, &(id % 3500).to_string())).collect();
        scene.send_orders(&orders);
        scene.run().await;
        let wrong = "SELECT count(*) FROM orders o LEFT JOIN customers c ON c.id = CASE WHEN order_id >= 3500 \
                     THEN order_id - 3500 ELSE order_id END WHERE coalesce(o.name, '') <> coalesce(c.name, '')";
        assert_eq!(scene.database.number("SELECT count(*) FROM orders").await, 4000);
        assert_eq!(scene.database.number("SELECT count(*) FROM orders WHERE name IS NOT NULL").await, 3500);
        assert_eq!(scene.database.number(wrong).await, 0, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_table_blocks_until_it_is_there_again() {
    for kind in ALL {
        let mut scene = Scene::new(kind, &[CUSTOMERS, ORDERS], &sections("max_age = \"0s\"")).await;
        scene.database.execute(&customer(1, "Ada", "gold")).await;
        scene.send_orders(&[order(1, "1")]);
        let running = Running::start(scene.pipeline());
        eventually("the first order", PATIENCE, || async { scene.names().await == ["1|Ada"] }).await;
        scene.database.execute("DROP TABLE customers").await;
        scene.send_orders(&[order(2, "1")]);
        eventually("it is blocked", PATIENCE, || async { running.status.state() == State::Blocked }).await;
        assert!(told(&running).starts_with("lookup customers: "), "{kind:?}: {}", running.problems());
        // Another one, with the columns that are needed in other places.
        scene.database.execute("CREATE TABLE others (class int, name varchar(9), id int PRIMARY KEY)").await;
        scene.database.execute("INSERT INTO others VALUES (1, 'Eve', 1)").await;
        scene.database.execute("ALTER TABLE others RENAME TO customers").await;
        eventually("it goes on", PATIENCE, || async { scene.names().await == ["1|Ada", "2|Eve"] }).await;
        assert_eq!(told(&running), "", "{kind:?}");
        assert_eq!(running.stop().await, Ending::Drained);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_rows_of_one_key_block_until_one_is_gone() {
    for kind in ALL {
        let twice = "CREATE TABLE customers (id bigint, name {text}, class {text})";
        let mut scene = Scene::new(kind, &[twice, ORDERS], &sections("")).await;
        scene.database.execute(&customer(1, "Ada", "gold")).await;
        scene.database.execute(&customer(1, "Eve", "gold")).await;
        scene.send_orders(&[order(1, "1")]);
        let running = Running::start(scene.pipeline());
        eventually("it is blocked", PATIENCE, || async { running.status.state() == State::Blocked }).await;
        assert!(told(&running).contains("two rows of the table have one key (id)"), "{}", running.problems());
        scene.database.execute("DELETE FROM customers WHERE name = 'Ada'").await;
        eventually("it goes on", PATIENCE, || async { scene.names().await == ["1|Eve"] }).await;
        assert_eq!(running.stop().await, Ending::Drained);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_table_is_told_at_start() {
    for kind in ALL {
        let cases = [
            ("columns = { id = \"bigint\", name = \"text\", nick = \"text\" }", "has no column nick"),
            ("columns = { id = \"text\", name = \"text\" }", "key column id is"),
        ];
        for (more, words) in cases {
            let sections = sections(more).replace("o.customer = c.id", "CAST(o.customer AS text) = c.id");
            let sections = if more.contains("id = \"text\"") { sections } else { self::sections(more) };
            let scene = Scene::new(kind, &[CUSTOMERS, ORDERS], &sections).await;
            let running = Running::start(scene.pipeline());
            eventually("it fails", PATIENCE, || async { running.status.state() == State::Failed }).await;
            assert!(running.problems().contains(words), "{kind:?}: {}", running.problems());
            running.stop().await;
        }
        let scene = Scene::new(kind, &[ORDERS], &sections("")).await;
        let running = Running::start(scene.pipeline());
        eventually("it fails", PATIENCE, || async { running.status.state() == State::Failed }).await;
        assert!(running.problems().contains("there is no table customers"), "{kind:?}: {}", running.problems());
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_read_nothing_starts() {
    let scene = Scene::new(Kind::Postgres, &[CUSTOMERS, ORDERS], &sections("")).await;
    let role = crate::support::kafka::unique("reader").replace('-', "_");
    let rights = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT ALL ON SCHEMA public TO {role}; GRANT ALL ON orders TO {role}"
    );
    scene.database.execute(&rights).await;
    let mut pipeline = scene.pipeline();
    let mut url = url::Url::parse(&scene.database.url).unwrap();
    url.set_username(&role).unwrap();
    url.set_password(Some("x")).unwrap();
    let Target::Database(sink) = &mut pipeline.sink else { panic!("a database") };
    sink.url = Secret::new(url.to_string());
    let running = Running::start(pipeline);
    eventually("it fails", PATIENCE, || async { running.status.state() == State::Failed }).await;
    let problems = running.problems();
    assert!(problems.contains("lookup customers: the role lacks a right on the object"), "{problems}");
    running.stop().await;
    scene.database.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_daemons_store_each_row_once() {
    for kind in [Kind::Postgres, Kind::Sqlite] {
        let mut scene = Scene::new(kind, &[CUSTOMERS, ORDERS], &sections("max_age = \"0s\"")).await;
        let sql = "SELECT o.order_id, c.name FROM input o LEFT JOIN customers c ON o.customer = c.id";
        scene.sections =
            scene.sections.replace(sql, &format!("{sql}\"\nmode = \"append")).replace("key = [\"order_id\"]", "");
        scene.database.execute(&customer(0, "Ada", "gold")).await;
        scene.database.execute(&customer(1, "Bob", "gold")).await;
        scene.pipeline();
        let file = scene.folder.path().join("pipeline.toml");
        for round in 0..5 {
            let orders: Vec<String> = (0..500).map(|id| order(round * 500 + id, &(id % 3).to_string())).collect();
            scene.send_orders(&orders);
            let mut daemon = Daemon::start(&file);
            eventually("some of it is stored", PATIENCE, || async {
                scene.database.number("SELECT count(*) FROM orders").await > round * 500
            })
            .await;
            daemon.kill();
        }
        scene.run().await;
        let wrong = "SELECT count(*) FROM orders WHERE coalesce(name, '-') <> CASE order_id % 500 % 3 WHEN 0 THEN 'Ada' \
                     WHEN 1 THEN 'Bob' ELSE '-' END";
        assert_eq!(scene.database.number("SELECT count(*) FROM orders").await, 2500, "{kind:?}");
        assert_eq!(scene.database.number(wrong).await, 0, "{kind:?}");
    }
}
