//! Steps larger than one statement.

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, Int32Array, StringArray};
use tidegate::config::Mode;
use tidegate::retry::Disposition;
use tidegate::write::plan::{DeletePlan, TablePlan};
use tidegate::write::session::Session;
use tidegate::write::step::Action;

use super::{apply, on_both, plan, step};

#[tokio::test]
async fn a_step_of_many_rows_goes_in_several_statements() {
    on_both(async |database| {
        database.run("CREATE TABLE t (k INT PRIMARY KEY, s VARCHAR(40), v INT)").await;
        let mut session = database.session().await;
        let upsert = plan(&mut session, "t", Mode::Upsert, &["k"]).await;
        let rows = 30_001;
        let keys: ArrayRef = Arc::new(Int32Array::from_iter_values(0..rows));
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|k| format!("row {k}"))));
        let put = |values: ArrayRef| step(Action::Put, &[0, 1, 2], vec![keys.clone(), texts.clone(), values]);
        assert_eq!(apply(&mut session, &upsert, &[put(keys.clone())]).await, [rows as u64]);
        let update = TablePlan { mode: Mode::Update, ..upsert.clone() };
        let doubled: ArrayRef = Arc::new(Int32Array::from_iter_values((0..rows).map(|k| 2 * k)));
        assert_eq!(apply(&mut session, &update, &[put(doubled)]).await, [rows as u64]);
        let sums = database.rows("SELECT COUNT(*), SUM(v), SUM(s = CONCAT('row ', k)) FROM t").await;
        assert_eq!(sums, [format!("{rows}|{}|{rows}", i64::from(rows) * i64::from(rows - 1))]);
        let hard = TablePlan { deletes: DeletePlan::Hard, ..upsert };
        let delete = step(Action::Delete, &[0], vec![keys.slice(1, 30_000)]);
        assert_eq!(apply(&mut session, &hard, &[delete]).await, [30_000]);
        assert_eq!(database.rows("SELECT k FROM t").await, ["0"]);
    })
    .await;
}

/// 40 MB in one step: more than any packet that the servers take by default allows.
#[tokio::test]
async fn a_step_larger_than_a_packet_is_split_by_bytes() {
    on_both(async |database| {
        database.run("CREATE TABLE t (k INT PRIMARY KEY, b LONGBLOB, s LONGTEXT)").await;
        let mut session = database.session().await;
        let append = plan(&mut session, "t", Mode::Append, &["k"]).await;
        let blob = vec![0xA5_u8; 1 << 20];
        let text = "é".repeat(1 << 18);
        let rows = 27;
        let keys: ArrayRef = Arc::new(Int32Array::from_iter_values(0..rows));
        let blobs: ArrayRef = Arc::new(BinaryArray::from_iter_values((0..rows).map(|_| &blob)));
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|_| &text)));
        let put = step(Action::Put, &[0, 1, 2], vec![keys, blobs, texts]);
        assert_eq!(apply(&mut session, &append, std::slice::from_ref(&put)).await, [27]);
        let whole = "SELECT COUNT(*) FROM t WHERE LENGTH(b) = 1048576 AND CHAR_LENGTH(s) = 262144";
        assert_eq!(database.rows(whole).await, ["27"]);
        let update = TablePlan { mode: Mode::Update, ..append };
        database.run("UPDATE t SET b = NULL, s = NULL").await;
        assert_eq!(apply(&mut session, &update, &[put]).await, [27]);
        assert_eq!(database.rows(whole).await, ["27"], "{}", database.server);
    })
    .await;
}

#[tokio::test]
async fn a_row_larger_than_a_packet_is_its_records_fault() {
    on_both(async |database| {
        database.run("CREATE TABLE t (k INT PRIMARY KEY, b LONGBLOB)").await;
        let limit: usize = database.rows("SELECT CAST(@@max_allowed_packet AS CHAR)").await[0].parse().unwrap();
        let mut session = database.session().await;
        let append = plan(&mut session, "t", Mode::Append, &[]).await;
        let large = vec![1_u8; limit];
        let blobs: ArrayRef = Arc::new(BinaryArray::from_iter_values([&large[..5], &large]));
        session.begin().await.unwrap();
        let keys: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
        let error = session.apply(&append, &step(Action::Put, &[0, 1], vec![keys, blobs])).await.unwrap_err();
        assert_eq!((error.disposition, error.class), (Disposition::Isolate, "packet-too-large"));
        assert_eq!(error.suspect, Some(101));
        session.rollback().await.unwrap();
        assert_eq!(database.count("t").await, 0);
    })
    .await;
}
