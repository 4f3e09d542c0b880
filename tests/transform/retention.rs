//! `retention`: old rows are deleted, and are not written when they come.

use super::Scene;
use crate::support::daemon::eventually;
use crate::support::database::{ALL, Kind};
use crate::support::pipeline::{Running, open};

use super::PATIENCE;

const SECTIONS: &str = r#"
[source.columns]
id = "bigint"
at = "timestamptz"
[[table]]
name = "kept"
key = ["id"]
create = true
retention = { column = "at", keep = "1h" }
sql = "SELECT id, at FROM input"
[[table]]
name = "all_rows"
mode = "append"
create = true
sql = "SELECT id FROM input"
"#;

fn order(id: u32, at: &str) -> String {
    format!(r#"{{"id":{id},"at":"{at}"}}"#)
}

fn now() -> String {
    jiff::Timestamp::now().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn old_rows_are_not_written_and_stored_ones_are_deleted_in_chunks() {
    for kind in ALL {
        let mut scene = Scene::new(kind, &[], SECTIONS).await;
        let (old, young, undated) = (order(1, "2020-01-01T00:00:00Z"), order(2, &now()), r#"{"id":3}"#);
        scene.send(&[("1", Some(&old)), ("2", Some(&young)), ("3", Some(undated))]);
        scene.run().await;
        assert_eq!(scene.rows("kept", &["id"]).await, ["2", "3"], "{kind:?}");
        assert_eq!(scene.rows("all_rows", &["id"]).await, ["1", "2", "3"], "{kind:?}: only this table expires");
        // More than one chunk of rows that were young when they came.
        let time = if kind == Kind::Sqlite { "2020-01-01T00:00:00.000000Z" } else { "2020-01-01 00:00:00" };
        for first in [1000, 2000, 3000] {
            let values: Vec<String> = (first..first + 900).map(|id| format!("({id}, '{time}')")).collect();
            scene.database.execute(&format!("INSERT INTO kept (id, at) VALUES {}", values.join(","))).await;
        }
        // The first run's lease would hold off this one for a minute, as of another daemon.
        scene.database.execute("DELETE FROM tidegate_meta WHERE name LIKE 'retention%'").await;
        let running = Running::start(scene.pipeline());
        eventually("the old rows are gone", PATIENCE, || async {
            scene.database.number("SELECT count(*) FROM kept").await == 2
        })
        .await;
        let lease = "SELECT count(*) FROM tidegate_meta WHERE name LIKE 'retention %kept'";
        assert_eq!(scene.database.number(lease).await, 1, "{kind:?}");
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_owner_deletes_until_its_lease_ends() {
    for kind in ALL {
        let mut scene = Scene::new(kind, &[], SECTIONS).await;
        let young = order(2, &now());
        scene.send(&[("2", Some(&young))]);
        scene.run().await;
        // Somebody else has the table, for long.
        let lease = |until: u64| {
            format!("UPDATE tidegate_meta SET value = '7200000|{until}|other' WHERE name LIKE 'retention%'")
        };
        scene.database.execute(&lease(99_999_999_999_999)).await;
        let time = if kind == Kind::Sqlite { "2020-01-01T00:00:00.000000Z" } else { "2020-01-01 00:00:00" };
        scene.database.execute(&format!("INSERT INTO kept (id, at) VALUES (7, '{time}')")).await;
        let prepared = super::create::prepare(&scene).await.unwrap();
        let destination = open(&scene.pipeline(), super::create::outputs(&scene));
        let round = destination.retain(&prepared, "us").await.unwrap();
        assert!(!round[0].owned && round[0].deleted == 0, "{kind:?}: {round:?}");
        assert_eq!(round[0].other_keep.map(|keep| keep.as_secs()), Some(7200), "{kind:?}");
        // ... and then it is gone.
        scene.database.execute(&lease(1)).await;
        let round = destination.retain(&prepared, "us").await.unwrap();
        assert!(round[0].owned && round[0].deleted == 1, "{kind:?}: {round:?}");
        assert!(!destination.retain(&prepared, "them").await.unwrap()[0].owned, "{kind:?}");
        assert_eq!(scene.rows("kept", &["id"]).await, ["2"], "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_no_time_is_refused() {
    for kind in ALL {
        let sections = SECTIONS.replace("column = \"at\"", "column = \"id\"");
        let scene = Scene::new(kind, &[], &sections).await;
        let error = super::create::prepare(&scene).await.map(drop).unwrap_err();
        assert!(error.message.contains("only a date, a timestamp or a timestamptz"), "{kind:?}: {error}");
    }
}
