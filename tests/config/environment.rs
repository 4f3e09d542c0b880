//! The environment over the file.

use tidegate::config::{Environment, Mode, Pipeline, Problems, Rule, load_daemon, load_pipelines};

use super::{Files, GOOD, changed, load_with, told};

fn with<const N: usize>(variables: [(&str, &str); N]) -> Result<Pipeline, Problems> {
    load_with(GOOD, &Environment::from_iter(variables))
}

#[test]
fn a_variable_wins_over_the_file() {
    let pipeline = with([
        ("TIDEGATE__SINK__URL", "mysql://app:${PASSWORD}@db/shop"),
        ("PASSWORD", "p@ss"),
        ("TIDEGATE__SINK__WRITERS", "4"),
        ("TIDEGATE__SINK__BATCH__LINGER", "20ms"),
        ("TIDEGATE__SOURCE__BROKERS", "a:9092, b:9092"),
        ("TIDEGATE__SOURCE__COLUMNS__PRICE", "decimal(12,2)"),
        ("TIDEGATE__SOURCE__KAFKA__CLIENT_RACK", "r1"),
        ("TIDEGATE__TABLE__ORDERS__MODE", "upsert"),
        ("TIDEGATE__TABLE__ORDERS__KEY", "id,line"),
        ("TIDEGATE__ERRORS__BAD_RECORDS", "skip"),
        // Not ours: one underscore, another prefix, the daemon's.
        ("TIDEGATE_TEST_KAFKA", "x"),
        ("TIDEGATEX__SINK", "x"),
        ("TIDEGATE__HTTP__LISTEN", "127.0.0.1:1"),
    ])
    .unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(pipeline.sink.database().unwrap().url.expose(), "mysql://app:p%40ss@db/shop");
    assert_eq!(pipeline.sink.database().unwrap().writers.map(std::num::NonZeroUsize::get), Some(4));
    assert_eq!(pipeline.sink.database().unwrap().batch.linger.as_millis(), 20);
    assert_eq!(pipeline.source.brokers, ["a:9092", "b:9092"]);
    assert_eq!(pipeline.source.columns[0].name, "price");
    assert_eq!(pipeline.source.kafka["client.rack"].expose(), "r1");
    assert_eq!((pipeline.tables[0].mode, pipeline.tables[0].key.len()), (Mode::Upsert, 2));
    // What no variable names stays as the file has it.
    assert_eq!((pipeline.name.as_str(), pipeline.tables[0].name.as_str()), ("orders", "orders"));
}

#[test]
fn a_variable_supplies_what_the_file_lacks_and_mends_what_it_has_wrong() {
    let text = changed("url = \"postgres://app:secret@db/shop\"\n", "writers = 0\n");
    let environment =
        Environment::from_iter([("TIDEGATE__SINK__URL", "postgres://db/shop"), ("TIDEGATE__SINK__WRITERS", "1")]);
    assert!(load_with(&text, &environment).is_ok());
}

#[test]
fn a_problem_of_a_variable_is_told_by_its_name() {
    let problems = with([
        ("TIDEGATE__SINK__WRITERS", "many"),
        ("TIDEGATE__TABLE__ORDERS__MODE", "upsrt"),
        ("TIDEGATE__SOURCE__KAFKA__DEBUG", "all"),
        ("TIDEGATE__TABLE__ORDERS__CREATE", "true"),
    ])
    .expect_err("wrong variables");
    let told = told(&problems);
    assert_eq!(told.len(), 4, "{told:#?}");
    for (line, words) in told.iter().zip([
        "TIDEGATE__SINK__WRITERS: `sink.writers` is text",
        "TIDEGATE__SOURCE__KAFKA__DEBUG: `debug` cannot be set here",
        "TIDEGATE__TABLE__ORDERS__CREATE: create = true, and nothing says which columns",
        "TIDEGATE__TABLE__ORDERS__MODE: `table.mode` cannot be \"upsrt\"",
    ]) {
        assert!(line.starts_with(words), "{line}");
    }
}

#[test]
fn an_unknown_variable_is_an_error_with_the_nearest_known_one() {
    for (variable, cure) in [
        ("TIDEGATE__SINK__URI", "did you mean TIDEGATE__SINK__URL?"),
        ("TIDEGATE__SNK__URL", "did you mean TIDEGATE__SINK__URL?"),
        ("TIDEGATE__SINK", "unset it"),
        ("TIDEGATE__TABLE__ORDRS__MODE", "did you mean TIDEGATE__TABLE__ORDERS__..?"),
        ("TIDEGATE__", "unset it"),
    ] {
        let problems = with([(variable, "x")]).expect_err(variable);
        let told = told(&problems);
        assert!(told.len() == 1 && told[0].starts_with(variable) && told[0].contains(cure), "{told:#?}");
        assert_eq!(problems.iter().next().map(|problem| problem.rule), Some(Rule::UnknownVariable));
    }
}

#[test]
fn one_variable_goes_to_every_pipeline_and_its_problem_is_told_once() {
    let second = GOOD.replace("orders", "returns");
    let files = Files::new([("a.toml", GOOD), ("b.toml", second.as_str())]);
    let load =
        |variable: (&str, &str)| load_pipelines(&[files.folder().to_owned()], &Environment::from_iter([variable]));
    let pipelines = load(("TIDEGATE__SINK__URL", "sqlite://all.db")).expect("two pipelines");
    assert!(pipelines.iter().all(|pipeline| pipeline.sink.database().unwrap().url.expose() == "sqlite://all.db"));
    let problems = load(("TIDEGATE__SINK__URL", "sqlite://")).expect_err("a wrong variable");
    assert_eq!(problems.len(), 1, "{problems}");
    // A table of one of the pipelines is enough to make the variable known.
    let pipelines = load(("TIDEGATE__TABLE__RETURNS__MODE", "upsert")).expect("two pipelines");
    assert_eq!((pipelines[0].tables[0].mode, pipelines[1].tables[0].mode), (Mode::Append, Mode::Upsert));
}

#[test]
fn tables_with_points_and_underscores_have_variables_too() {
    for (table, variable) in [("shop.orders", "SHOP_ORDERS"), ("a__b", "A__B"), ("Größe", "GR__E")] {
        let text = changed("[[table]]\nname = \"orders\"", &format!("[[table]]\nname = \"{table}\""));
        let name = format!("TIDEGATE__TABLE__{variable}__MODE");
        let environment = Environment::from_iter([(name.as_str(), "upsert")]);
        let pipeline = load_with(&text, &environment).unwrap_or_else(|problems| panic!("{table}: {problems}"));
        assert_eq!(pipeline.tables[0].mode, Mode::Upsert, "{table}");
    }
    let twins = changed("[[table]]\nname = \"orders\"\n", "[[table]]\nname = \"a.b\"\n[[table]]\nname = \"a_b\"\n");
    let environment = Environment::from_iter([("TIDEGATE__TABLE__A_B__MODE", "upsert")]);
    let told = told(&load_with(&twins, &environment).expect_err("one variable for two tables"));
    assert!(told[0].contains("means 2 tables"), "{told:#?}");
}

#[test]
fn a_column_that_is_a_table_keeps_its_other_options() {
    let text = changed("[sink]", "[source.columns]\nAt = { type = \"date\", unit = \"ms\" }\n[sink]");
    let environment = Environment::from_iter([("TIDEGATE__SOURCE__COLUMNS__AT", "timestamptz")]);
    let columns = load_with(&text, &environment).expect("a column").source.columns;
    assert_eq!(columns.len(), 1);
    assert_eq!((columns[0].name.as_str(), columns[0].unit.is_some()), ("At", true));
    assert_eq!(columns[0].ty, Some(tidegate::types::ColumnType::TimestampTz));
}

#[test]
fn each_kind_of_file_leaves_the_variables_of_the_other_alone() {
    let files = Files::new([("t.toml", "")]);
    let environment = Environment::from_iter([
        ("TIDEGATE__SINK__URL", "x"),
        ("TIDEGATE__SINK__URI", "x"),
        ("TIDEGATE__TABLE__X__MODE", "x"),
        ("TIDEGATE__NAME", "x"),
        ("TIDEGATE__SOURCE__COLUMNS__A", "x"),
        ("TIDEGATE__LIMITS__MEMORY", "32MiB"),
    ]);
    let daemon = load_daemon(Some(&files.path("t.toml")), &environment).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(daemon.limits.memory, 32 << 20);
    assert!(with([("TIDEGATE__LIMITS__MEMRY", "x"), ("TIDEGATE__LOG__LEVEL", "x")]).is_ok());
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf8_is_told() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;

    let bytes = OsString::from_vec(vec![0xff, 0xfe]);
    let environment = Environment::from_iter([("TIDEGATE__SINK__URL", bytes)]);
    let told = told(&load_with(GOOD, &environment).expect_err("not UTF-8"));
    assert!(told.len() == 1 && told[0].starts_with("TIDEGATE__SINK__URL: the variable is not UTF-8"), "{told:#?}");
}
