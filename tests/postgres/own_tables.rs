//! Our own tables: created once, by whoever is first, or by somebody else where the role may not.

use super::*;

use tidegate::retry::Disposition;
use tidegate::write::postgres::ddl;

#[tokio::test]
async fn four_daemons_that_start_at_once_create_the_tables_once() {
    let mut fixture = Fixture::new().await;
    let mut sessions = Vec::new();
    for _ in 0..4 {
        sessions.push(fixture.session().await);
    }
    let racing = sessions.into_iter().map(|mut session| tokio::spawn(async move { session.migrate().await }));
    for migrated in racing.collect::<Vec<_>>() {
        migrated.await.unwrap().unwrap();
    }
    fixture.session().await.migrate().await.unwrap();
    let tables = fixture.rows("tablename", "pg_tables WHERE schemaname = current_schema()").await;
    assert_eq!(tables, ["tidegate_dead_letters", "tidegate_gaps", "tidegate_meta", "tidegate_positions"]);
    assert_eq!(fixture.rows("name, value", "tidegate_meta").await, ["schema_version|1"]);
}

#[tokio::test]
async fn a_schema_of_their_own_is_created_and_used() {
    let mut fixture = Fixture::new().await;
    let state = format!("{}\"State", fixture.schema);
    let sink = Sink { state_schema: Some(state.clone()), ..fixture.sink("") };
    let mut session = PostgresSession::connect(&sink, "test").await.unwrap();
    session.migrate().await.unwrap();
    session.insert_positions("p", &[position("orders", 0, 7, 0)]).await.unwrap();
    assert_eq!(session.lock_positions("p").await.unwrap().len(), 1);
    session.close().await;
    fixture.run(format!("DROP SCHEMA \"{}\" CASCADE", state.replace('"', "\"\""))).await;
}

#[tokio::test]
async fn a_role_that_may_not_create_them_gets_the_statements() {
    let mut fixture = Fixture::new().await;
    let (role, sink) = fixture.role().await;
    let mut session = PostgresSession::connect(&sink, "test").await.unwrap();
    let error = session.migrate().await.unwrap_err();
    assert_eq!((error.disposition, error.class), (Disposition::Block, "no-privilege"));
    for part in ["tidegate migrate FILE --print", "CREATE TABLE IF NOT EXISTS", "tidegate_positions"] {
        assert!(error.message.contains(part), "{error}");
    }
    // The statements as they were printed are enough, together with the right to use what they made.
    fixture.run(ddl(&fixture.schema.clone())).await;
    fixture.run(format!("GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA {} TO {role}", fixture.schema)).await;
    session.migrate().await.unwrap();
    session.insert_positions("p", &[position("orders", 0, 7, 0)]).await.unwrap();
    session.close().await;
}

#[tokio::test]
async fn tables_of_a_newer_program_are_left_alone() {
    let (mut fixture, mut session) = Fixture::migrated().await;
    fixture.run("UPDATE tidegate_meta SET value = '99'").await;
    let error = session.migrate().await.unwrap_err();
    assert_eq!((error.disposition, error.class), (Disposition::Block, "newer-schema"));
    assert!(error.message.contains("99"), "{error}");
}
