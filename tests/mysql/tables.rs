//! Our own tables, the catalog, and what is refused.

use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection};
use tidegate::config::{Missing, Mode};
use tidegate::dead_letter::{DeadLetter, Fault, Stage};
use tidegate::offsets::TopicPartition;
use tidegate::retry::Disposition;
use tidegate::types::ColumnType;
use tidegate::write::mysql::MySqlSession;
use tidegate::write::plan::{DeletePlan, TablePlan};
use tidegate::write::session::{Gap, Session};

use super::{Database, on_both, plan};

#[tokio::test]
async fn four_daemons_may_create_the_tables_at_once() {
    on_both(async |database| {
        let one = || async {
            let mut session = database.session().await;
            session.migrate().await.unwrap();
        };
        tokio::join!(one(), one(), one(), one());
        one().await;
        assert_eq!(database.rows("SELECT name, value FROM tidegate_meta").await, ["schema_version|1"]);
        for table in ["tidegate_positions", "tidegate_gaps", "tidegate_dead_letters"] {
            assert_eq!(database.count(table).await, 0);
        }
    })
    .await;
}

#[tokio::test]
async fn the_tables_may_live_in_another_database() {
    on_both(async |database| {
        let state = format!("{}_state", database.name);
        let mut sink = database.sink();
        sink.state_schema = Some(state.clone());
        let mut session = MySqlSession::connect(&sink, "p").await.unwrap();
        let error = session.migrate().await.unwrap_err();
        assert_eq!((error.disposition, error.class), (Disposition::Block, "missing-database"));

        database.run(&format!("CREATE DATABASE {state}")).await;
        let mut session = MySqlSession::connect(&sink, "p").await.unwrap();
        session.migrate().await.unwrap();
        // The connection's own database is the current one again.
        database.run("CREATE TABLE here (k INT PRIMARY KEY)").await;
        let table = session.table("here").await.unwrap().unwrap();
        assert_eq!(table.schema.as_deref(), Some(&*database.name));
        let query = format!("SELECT COUNT(*) FROM {state}.tidegate_positions");
        assert_eq!(database.rows(&query).await, ["0"]);
        database.run(&format!("DROP DATABASE {state}")).await;
    })
    .await;
}

#[tokio::test]
async fn tables_of_a_newer_version_are_not_touched() {
    on_both(async |database| {
        let mut session = database.session().await;
        session.migrate().await.unwrap();
        database.run("UPDATE tidegate_meta SET value = '99'").await;
        let error = session.migrate().await.unwrap_err();
        assert_eq!((error.disposition, error.class), (Disposition::Block, "newer-schema"));
        assert!(error.message.contains("version 99"), "{error}");
    })
    .await;
}

/// An account may have to be that of a host: an anonymous one of `localhost` goes before one of anywhere.
const HOSTS: [&str; 2] = ["%", "localhost"];

/// A user of the test's own.
struct User {
    name: String,
    url: String,
}

impl User {
    async fn create(database: &Database) -> Self {
        let name = format!("u{:012x}", fastrand::u64(..1 << 48));
        for host in HOSTS {
            database.run(&format!("CREATE USER {name}@'{host}' IDENTIFIED BY 'Secret-1-word'")).await;
            // Without any right it could not even enter the database.
            database.run(&format!("GRANT SELECT ON {}.* TO {name}@'{host}'", database.name)).await;
        }
        let mut url = url::Url::parse(&database.url()).unwrap();
        url.set_username(&name).unwrap();
        url.set_password(Some("Secret-1-word")).unwrap();
        Self { name, url: url.into() }
    }

    async fn grant(&self, database: &Database, rights: &str, table: &str) {
        for host in HOSTS {
            database.run(&format!("GRANT {rights} ON {}.{table} TO {}@'{host}'", database.name, self.name)).await;
        }
    }

    async fn session(&self, database: &Database) -> MySqlSession {
        MySqlSession::connect(&database.sink_as(&self.url), "p").await.unwrap()
    }

    async fn drop(self, database: &Database) {
        for host in HOSTS {
            database.run(&format!("DROP USER {}@'{host}'", self.name)).await;
        }
    }
}

#[tokio::test]
async fn a_user_without_rights_is_told_what_to_grant() {
    on_both(async |database| {
        database.run("CREATE TABLE t (k INT PRIMARY KEY, v INT)").await;
        let user = User::create(database).await;
        let mut session = user.session(database).await;
        let error = session.migrate().await.unwrap_err();
        assert_eq!((error.disposition, error.class), (Disposition::Block, "no-privilege"));
        for words in ["tidegate migrate FILE --print", "CREATE TABLE IF NOT EXISTS tidegate_positions", &database.name]
        {
            assert!(error.message.contains(words), "{error}");
        }

        for (mode, rights) in [
            (Mode::Append, "GRANT INSERT ON"),
            (Mode::Upsert, "GRANT SELECT, INSERT, UPDATE ON"),
            (Mode::Update, "GRANT SELECT, UPDATE ON"),
        ] {
            let plan = plan(&mut session, "t", mode, &["k"]).await;
            let problems = session.inspect_table(&plan).await.unwrap();
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].contains(rights), "{problems:?}");
        }
        user.grant(database, "INSERT, UPDATE", "t").await;
        let mut session = user.session(database).await;
        let upsert = plan(&mut session, "t", Mode::Upsert, &["k"]).await;
        assert_eq!(session.inspect_table(&upsert).await.unwrap(), Vec::<String>::new());
        let hard = TablePlan { deletes: DeletePlan::Hard, ..upsert };
        let problems = session.inspect_table(&hard).await.unwrap();
        assert!(problems[0].contains("GRANT SELECT, DELETE ON"), "{problems:?}");
        user.drop(database).await;
    })
    .await;
}

#[tokio::test]
async fn a_wrong_password_or_database_blocks_without_the_secret() {
    on_both(async |database| {
        let user = User::create(database).await;
        let mut wrong = url::Url::parse(&user.url).unwrap();
        wrong.set_password(Some("hunter2")).unwrap();
        let error = MySqlSession::connect(&database.sink_as(wrong.as_str()), "p").await.err().unwrap();
        assert_eq!((error.disposition, error.class), (Disposition::Block, "authentication"), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
        let nowhere = database.url().replace(&database.name, "tidegate_no_such_database");
        let error = MySqlSession::connect(&database.sink_as(&nowhere), "p").await.err().unwrap();
        assert_eq!((error.disposition, error.class), (Disposition::Block, "missing-database"), "{error}");
        if !database.is_mariadb {
            let plain = format!("{}?ssl-mode=disabled", user.url);
            let error = MySqlSession::connect(&database.sink_as(&plain), "p").await.err().unwrap();
            assert_eq!((error.disposition, error.class), (Disposition::Block, "authentication"), "{error}");
            assert!(error.message.contains("ssl-mode=disabled"), "{error}");
        }
        user.drop(database).await;
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_waited_for() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    on_both(async |database| {
        let sink = database.sink_as(&format!("mysql://root@127.0.0.1:{port}/x"));
        let error = MySqlSession::connect(&sink, "p").await.err().unwrap();
        assert_eq!((error.disposition, error.class), (Disposition::Retry, "connection"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn the_catalog_is_read_as_it_is() {
    on_both(async |database| {
        database
            .run(
                "CREATE TABLE Orders (id BIGINT UNSIGNED AUTO_INCREMENT, code VARCHAR(20) NOT NULL, n INT DEFAULT 5, \
                 doc JSON, created TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6), \
                 twice INT GENERATED ALWAYS AS (n * 2) VIRTUAL, kept INT GENERATED ALWAYS AS (n * 3) STORED, \
                 shape POINT, a INT, b INT, PRIMARY KEY (id), UNIQUE KEY by_code (code), UNIQUE KEY pair (b, a), \
                 UNIQUE KEY short (code(3)))",
            )
            .await;
        let mut session = database.session().await;
        let table = session.table("orders").await.unwrap().expect("found but for case");
        assert_eq!((table.schema.as_deref(), &*table.name), (Some(&*database.name), "Orders"));
        let column = |name: &str| &table.columns[table.column(name).unwrap()];
        assert_eq!(column("id").ty, Some(ColumnType::UInt64));
        assert!(column("id").has_default && !column("id").nullable && !column("id").generated);
        assert!(!column("code").has_default && !column("code").nullable);
        assert!(column("n").has_default && column("n").nullable);
        assert_eq!(column("doc").ty, Some(ColumnType::Json));
        assert!(!column("doc").has_default, "no default is not a default of NULL");
        assert!(column("created").has_default);
        assert_eq!(column("created").native, "timestamp(6)");
        assert!(column("twice").generated && column("kept").generated);
        assert_eq!(column("shape").ty, None);
        let unique: Vec<_> = table.unique.iter().map(|index| (&*index.name, index.primary, &*index.columns)).collect();
        assert_eq!(unique, [("PRIMARY", true, &[0][..]), ("by_code", false, &[1]), ("pair", false, &[9, 8])]);
        assert_eq!(table.unusable_unique, ["short"]);

        let elsewhere = format!("{}.Orders", database.name);
        assert_eq!(session.table(&elsewhere).await.unwrap().as_ref(), Some(&table));
        assert_eq!(session.table("nothing").await.unwrap(), None);
        database.run("CREATE TABLE ORDERS (k INT)").await;
        assert_eq!(session.table("orders").await.unwrap(), None, "two differ from it but for case");
        assert_eq!(session.table("ORDERS").await.unwrap().unwrap().name, "ORDERS");
        database.run("CREATE VIEW seen AS SELECT * FROM Orders").await;
        assert_eq!(session.table("seen").await.unwrap_err().disposition, Disposition::Block);
    })
    .await;
}

#[tokio::test]
async fn tables_that_cannot_be_written_safely_are_refused() {
    on_both(async |database| {
        let mut session = database.session().await;
        let problem = async |session: &mut MySqlSession, ddl: &str, mode: Mode, key: &[&str]| {
            database.run("DROP TABLE IF EXISTS t").await;
            database.run(ddl).await;
            let plan = plan(session, "t", mode, key).await;
            session.inspect_table(&plan).await.unwrap().join("; ")
        };
        let s = &mut session;
        let ddl = "CREATE TABLE t (k INT PRIMARY KEY) ENGINE = MyISAM";
        assert!(problem(s, ddl, Mode::Append, &[]).await.contains("ENGINE = InnoDB"));
        let ddl = "CREATE TABLE t (k INT PRIMARY KEY, email VARCHAR(20), UNIQUE KEY by_email (email))";
        for mode in [Mode::Upsert, Mode::InsertIgnore] {
            assert!(problem(s, ddl, mode, &["k"]).await.contains("unique index by_email"));
        }
        assert_eq!(problem(s, ddl, Mode::Update, &["k"]).await, "");
        assert_eq!(problem(s, ddl, Mode::Append, &[]).await, "");
        let ddl = "CREATE TABLE t (k INT PRIMARY KEY, email VARCHAR(20), UNIQUE KEY by_prefix (email(3)))";
        assert!(problem(s, ddl, Mode::Upsert, &["k"]).await.contains("unique index by_prefix"));
        let ddl = "CREATE TABLE t (k INT UNIQUE, v INT)";
        assert!(problem(s, ddl, Mode::Upsert, &["k"]).await.contains("declare it NOT NULL"));
        let ddl = "CREATE TABLE t (k INT NOT NULL UNIQUE, v INT)";
        assert_eq!(problem(s, ddl, Mode::Upsert, &["k"]).await, "");

        // A surrogate key that the server numbers never meets another row.
        database.run("DROP TABLE t").await;
        database.run("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, k INT NOT NULL UNIQUE, v INT)").await;
        let mut numbered = plan(s, "t", Mode::Upsert, &["k"]).await;
        assert!(s.inspect_table(&numbered).await.unwrap()[0].contains("unique index PRIMARY"));
        numbered.columns.remove(0);
        numbered.key = vec![0];
        assert_eq!(s.inspect_table(&numbered).await.unwrap(), Vec::<String>::new());

        if !database.is_mariadb {
            database.run("DROP TABLE t").await;
            database.run("CREATE TABLE t (k INT PRIMARY KEY, u VARCHAR(40) DEFAULT (UUID()), n INT DEFAULT 3)").await;
            let update = plan(s, "t", Mode::Update, &["k"]).await;
            let update = TablePlan { missing: Missing::Default, ..update };
            let problems = s.inspect_table(&update).await.unwrap();
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].contains("column u"), "{problems:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_healthy_server_passes() {
    on_both(async |database| {
        let warnings = database.session().await.inspect_server().await.unwrap();
        assert!(
            warnings.iter().all(|warning| warning.contains("sync_binlog") || warning.contains("flush_log")),
            "{warnings:?}"
        );
    })
    .await;
}

/// The session does not depend on what the server's operator set.
#[tokio::test]
async fn the_session_is_strict_and_in_utc() {
    on_both(async |database| {
        let mut admin = MySqlConnection::connect(&database.url()).await.unwrap();
        let procedure = "CREATE TABLE seen (mode TEXT, zone TEXT, wait INT)";
        admin.execute(AssertSqlSafe(procedure)).await.unwrap();
        database.run("CREATE TABLE t (k INT AUTO_INCREMENT PRIMARY KEY, v INT)").await;
        database
            .run(
                "CREATE TRIGGER look BEFORE INSERT ON t FOR EACH ROW \
                 INSERT INTO seen VALUES (@@SESSION.sql_mode, @@SESSION.time_zone, @@SESSION.innodb_lock_wait_timeout)",
            )
            .await;
        let mut session = database.session().await;
        let plan = plan(&mut session, "t", Mode::Append, &[]).await;
        let zero = super::step(
            tidegate::write::step::Action::Put,
            &[0, 1],
            vec![super::ints(&[Some(0)]), super::ints(&[Some(1)])],
        );
        super::apply(&mut session, &plan, &[zero]).await;
        assert_eq!(database.rows("SELECT k FROM t").await, ["0"], "a 0 is a 0, not the next number");
        let seen = database.rows("SELECT zone, wait FROM seen").await;
        assert_eq!(seen, ["+00:00|30"]);
    })
    .await;
}

#[tokio::test]
async fn dead_letters_and_gaps_are_kept_as_they_came() {
    on_both(async |database| {
        let mut session = database.session().await;
        session.migrate().await.unwrap();
        let letter = |offset: i64, value: Option<Vec<u8>>, reason: &str| DeadLetter {
            topic: "Orders".into(),
            partition: 3,
            offset,
            timestamp: (offset > 0).then_some(1_709_251_199_999),
            key: Some(vec![0xff, 0]),
            value,
            headers: r#"[["h🦀",null]]"#.into(),
            fault: Fault {
                stage: Stage::Decode,
                class: "invalid-json",
                code: String::new(),
                reason: reason.into(),
                column: None,
            },
        };
        session.begin().await.unwrap();
        let letters = [letter(0, None, "first"), letter(1, Some(vec![b'x'; 3 << 20]), "large")];
        session.store_dead_letters("p", &letters).await.unwrap();
        session.store_dead_letters("p", &[letter(0, None, "second")]).await.unwrap();
        let gap = Gap { partition: TopicPartition::new("Orders", 3), from: 5, to: 9, reason: "retention".into() };
        session.store_gap("p", &gap).await.unwrap();
        session.commit().await.unwrap();
        let shown = "SELECT topic, part, record_offset, CAST(record_time AS CHAR), HEX(record_key), \
                     LENGTH(record_value), headers, stage, class, reason, attempts FROM tidegate_dead_letters \
                     ORDER BY record_offset";
        assert_eq!(
            database.rows(shown).await,
            [
                "Orders|3|0|null|FF00|null|[[\"h🦀\",null]]|decode|invalid-json|first|1",
                "Orders|3|1|2024-02-29 23:59:59.999|FF00|3145728|[[\"h🦀\",null]]|decode|invalid-json|large|1",
            ]
        );
        let gaps = "SELECT pipeline, topic, part, from_offset, to_offset, reason FROM tidegate_gaps";
        assert_eq!(database.rows(gaps).await, ["p|Orders|3|5|9|retention"]);
    })
    .await;
}
