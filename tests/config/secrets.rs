//! No secret in any message, and secrets arrive whole.

use tidegate::config::{Environment, Rule, load_daemon, load_pipelines_with_warnings};

use super::{Files, GOOD, changed, load, load_with};

const CANARY: &str = "c4n4ry";

/// Pieces that a wrong file may leave of a password: none of them may be told.
fn assert_silent(text: &str, context: &str) {
    for piece in [CANARY, "4n4r", "hunter", "tr0ub"] {
        assert!(!text.contains(piece), "{context}: {text}");
    }
}

#[test]
fn a_hard_secret_arrives_as_it_is() {
    let unit = "@:/?#%[]\\ \"'\n\r\t€🦀&=+;";
    let secret: String = unit.repeat(4096 / unit.len() + 1);
    let files = Files::new([("password", format!("{secret}\n").as_str())]);
    let text = changed("app:secret", "app:${file:password}");
    files.write("orders.toml", text.as_bytes());
    let loaded = tidegate::config::load_pipelines(&[files.path("orders.toml")], &Environment::default());
    let pipeline = loaded.unwrap_or_else(|problems| panic!("{problems}")).remove(0);
    let url = url::Url::parse(pipeline.sink.database().unwrap().url.expose()).expect("a URL");
    let password = url.password().expect("a password");
    let decoded = percent_encoding::percent_decode_str(password).decode_utf8().expect("UTF-8");
    assert_eq!(decoded, secret);
    assert_eq!((url.host_str(), url.path()), (Some("db"), "/shop"));
    // The properties of Kafka take it as it is.
    let kafka = "[source.kafka]\nsecurity.protocol = \"sasl_ssl\"\nsasl.mechanism = \"PLAIN\"\nsasl.username = \"u\"\n\
                 sasl.password = \"${SECRET}\"\n[sink]";
    let environment = Environment::from_iter([("SECRET", secret.as_str())]);
    let pipeline = load_with(&changed("[sink]", kafka), &environment).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(pipeline.source.kafka["sasl.password"].expose(), secret);
    assert_silent(&format!("{pipeline:?} {environment:?}").replace(unit, CANARY), "debug output");
}

#[test]
fn a_whole_url_by_reference_is_taken_as_it_is() {
    let environment = Environment::from_iter([("DATABASE_URL", "postgres://app:p%40ss@db/shop")]);
    let text = changed("postgres://app:secret@db/shop", "${DATABASE_URL}");
    let pipeline = load_with(&text, &environment).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(pipeline.sink.database().unwrap().url.expose(), "postgres://app:p%40ss@db/shop");
}

#[test]
fn no_part_of_a_wrong_url_is_told() {
    for url in [
        "postgres://app:c4n4ry@db",
        "postgres://app:c4n4ry/hunter2@db/shop",
        "postgres://app:c4n4ry?hunter2=tr0ub@db/shop",
        "postgres://app:c4n4ry#hunter2@db/shop",
        "postgres://app:c4n4ry@db:port/shop",
        "postgres://app:c4n4ry@db/shop?password=hunter2",
        "postgres://app:c4n4ry@db/shop?sslmode=hunter2",
        "postgres://app:c4n4ry@db/shop?hunter2=1",
        "postgres://app:c4n4ry@/shop",
        "pg://app:c4n4ry@db/shop",
        "app:c4n4ry@db/shop",
        "c4n4ry",
        "mysql://app:c4n4ry@db/a/b",
        "sqlite://?mode=c4n4ry&hunter2=1",
        "postgres://app:${c4n4ry-hunter2}@db/shop",
        "postgres://app:${c4n4ry@db/shop",
    ] {
        let problems = load(&changed("postgres://app:secret@db/shop", url)).expect_err(url);
        assert_silent(&format!("{problems} {problems:?}"), url);
        let environment = Environment::from_iter([("TIDEGATE__SINK__URL", url)]);
        let problems = load_with(GOOD, &environment).expect_err(url);
        assert_silent(&format!("{problems} {problems:?}"), url);
    }
}

#[test]
fn what_a_reference_gives_is_told_nowhere() {
    let environment = Environment::from_iter([("S", CANARY)]);
    for (from, to) in [
        ("name = \"orders\"\n\n", "name = \"/${S}\"\n\n"),
        ("\"localhost:9092\"", "\"//${S}\""),
        ("topics = [\"orders\"]", "topics = [\"a b${S}\"]"),
        ("topics = [\"orders\"]", "topics = [\"${S}\", \"${S}\"]"),
        ("topics = [\"orders\"]", "pattern = \"^(${S}\""),
        ("topics = [\"orders\"]", "topics = [\"a\"]\nstart = \"${S}\""),
        ("topics = [\"orders\"]", "topics = [\"a\"]\nformat = \"${S}\""),
        ("topics = [\"orders\"]", "topics = [\"a\"]\ngroup = \" ${S}\""),
        ("topics = [\"orders\"]", "topics = [\"a\"]\ninstance = \" ${S}\""),
        ("topics = [\"orders\"]", "topics = [\"a\"]\ntimezone = \"${S}\""),
        ("topics = [\"orders\"]", "topics = [\"a\"]\n[source.columns]\na = \"${S}\""),
        ("topics = [\"orders\"]", "topics = [\"a\"]\n[source.columns]\na = { path = \"${S}\" }"),
        ("topics = [\"orders\"]", "topics = [\"a\"]\n[source.columns]\na = { type = \"int\", default = \"${S}\" }"),
        ("topics = [\"orders\"]", "topics = [\"a\"]\n[source.kafka]\nsecurity.protocol = \"${S}\""),
        ("topics = [\"orders\"]", "topics = [\"a\"]\n[source.kafka]\nsasl.password = \"${S}\""),
        ("[sink]", "[sink]\nwriters = \"${S}\""),
        ("[sink]", "[sink]\nbatch = { bytes = \"${S}\", linger = \"${S}\" }"),
        ("[sink]", "[sink]\nstate_schema = \" ${S}\""),
        ("[[table]]\nname = \"orders\"", "[[table]]\nname = \"{${S}}\""),
        ("[[table]]\nname = \"orders\"", "[[table]]\nname = \" ${S}\""),
        ("[[table]]\nname = \"orders\"", "[[table]]\nname = \"o\"\nkey = [\"${S}\", \"${S}\"]"),
        ("[[table]]\nname = \"orders\"", "[[table]]\nname = \"o\"\nmode = \"${S}\""),
        ("[[table]]\nname = \"orders\"", "[[table]]\nname = \"o\"\nkey = [\"${S}\"]\nversion = \"${S}\""),
        ("[[table]]\nname = \"orders\"", "[[table]]\nname = \"o\"\nkey = [\"a\"]\ndeletes = \"${S}\""),
        ("[[table]]\nname = \"orders\"", "[[table]]\nname = \"o\"\nkey = [\"${S}\"]\ndeletes = \"soft(${S})\""),
    ] {
        let problems = load_with(&changed(from, to), &environment).expect_err(to);
        assert_silent(&format!("{problems} {problems:?}"), to);
    }
}

#[test]
fn syntax_errors_and_brokers_do_not_repeat_what_stands_there() {
    for text in ["password = \"c4n4ry", "password = c4n4ry", "password = \"c4n4ry\" hunter2", "= \"c4n4ry\""] {
        assert_silent(&load(text).expect_err(text).to_string(), text);
    }
    let text = changed("localhost:9092", "kafka://u:c4n4ry@localhost:9092");
    assert_silent(&load(&text).expect_err("a broker with a password").to_string(), &text);
    let files = Files::new([("t.toml", "[http]\ntoken = \"c4n4ry hunter2\"\nlisten = \"x\"\n")]);
    let problems = load_daemon(Some(&files.path("t.toml")), &Environment::default()).expect_err("a wrong token");
    assert_silent(&format!("{problems} {problems:?}"), "token");
}

#[cfg(unix)]
#[test]
fn secrets_in_a_file_that_everybody_can_read_are_warned_about() {
    use std::os::unix::fs::PermissionsExt as _;

    let kafka = "[source.kafka]\nsecurity.protocol = \"sasl_ssl\"\nsasl.mechanism = \"PLAIN\"\nsasl.username = \"u\"\n\
                 sasl.password = \"c4n4ry\"\n[sink]";
    let literal = changed("[sink]", kafka);
    let referring = changed("app:secret", "app:${P}");
    let environment = Environment::from_iter([("P", CANARY)]);
    for (text, mode, warned) in [(&literal, 0o644, true), (&literal, 0o600, false), (&referring, 0o644, false)] {
        let files = Files::new([("orders.toml", text.as_str())]);
        let path = files.path("orders.toml");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("a mode");
        let (_, warnings) = load_pipelines_with_warnings(&[path], &environment).expect("a pipeline");
        assert_eq!(!warnings.is_empty(), warned, "{mode:o}");
        for warning in warnings {
            assert_eq!(warning.rule, Rule::Warning);
            let told = warning.to_string();
            assert!(told.contains("mode 0644") && told.contains("sasl.password, sink.url"), "{told}");
            assert_silent(&told, "a warning");
        }
    }
}
