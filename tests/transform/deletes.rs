//! Tombstones and filtered rows.

use super::Scene;
use crate::support::database::ALL;

const DDL: &str = "CREATE TABLE kv (id {text} NOT NULL PRIMARY KEY, amount bigint)";

fn sections(more: &str) -> String {
    format!(
        "
[source.columns]
id = {{ type = \"text\", key = \"$\" }}
amount = \"bigint\"
[[table]]
name = \"kv\"
key = [\"id\"]
sql = \"SELECT id, amount FROM input WHERE amount > 0\"
{more}"
    )
}

/// VARCHAR is what MySQL needs for a key, and so `{text}` is one there.
#[tokio::test(flavor = "multi_thread")]
async fn a_tombstone_passes_by_where_and_deletes_its_key() {
    for kind in ALL {
        let mut scene = Scene::new(kind, &[DDL], &sections("")).await;
        scene.send(&[
            ("a", Some(r#"{"amount":1}"#)),
            ("b", Some(r#"{"amount":2}"#)),
            ("a", None),
            ("c", None),
            ("b", Some(r#"{"amount":-1}"#)),
        ]);
        scene.run().await;
        assert_eq!(scene.rows("kv", &["id", "amount"]).await, ["b|2"], "{kind:?}: what is filtered stays as it was");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_no_longer_matches_is_deleted_where_the_file_says_so() {
    for kind in ALL {
        let mut scene = Scene::new(kind, &[DDL], &sections("filtered = \"delete\"")).await;
        scene.send(&[
            ("a", Some(r#"{"amount":1}"#)),
            ("b", Some(r#"{"amount":2}"#)),
            ("b", Some(r#"{"amount":-1}"#)),
            ("c", Some(r#"{"amount":-1}"#)),
        ]);
        scene.run().await;
        assert_eq!(scene.rows("kv", &["id", "amount"]).await, ["a|1"], "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tombstone_finds_the_row_whose_key_holds_the_topic_too() {
    let sections = "
[source.columns]
id = \"text\"
amount = \"bigint\"
[[table]]
name = \"kv\"
key = [\"origin\", \"id\"]
sql = \"SELECT _topic AS origin, id, amount FROM input\"";
    let ddl = "CREATE TABLE kv (origin {text} NOT NULL, id {text} NOT NULL, amount bigint, PRIMARY KEY (origin, id))";
    for kind in ALL {
        let mut scene = Scene::new(kind, &[ddl], sections).await;
        scene.send(&[("a", Some(r#"{"id":"a","amount":1}"#)), ("b", Some(r#"{"amount":2}"#)), ("a", None)]);
        scene.run().await;
        assert_eq!(scene.rows("kv", &["id", "amount"]).await, ["b|2"], "{kind:?}");
        assert!(scene.dead_letters().await.is_empty(), "{kind:?}");
    }
}
