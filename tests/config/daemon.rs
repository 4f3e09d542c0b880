//! The daemon file.

use tidegate::config::{Daemon, Environment, LogFormat, Problems, load_daemon};

use super::{Files, told};

fn load(text: &str, environment: &Environment) -> Result<Daemon, Problems> {
    let files = Files::new([("tidegate.toml", text)]);
    load_daemon(Some(&files.path("tidegate.toml")), environment)
}

#[test]
fn an_empty_file_is_the_defaults() {
    let daemon = load("", &Environment::default()).expect("defaults");
    assert_eq!(daemon.http.listen.to_string(), "127.0.0.1:9470");
    assert!(!daemon.http.explicit && daemon.http.token.is_none());
    assert_eq!((daemon.log.format, daemon.log.level.as_str()), (LogFormat::Text, "info"));
    assert_eq!(daemon.limits.memory, 256 << 20);
}

#[test]
fn the_file_is_read_and_the_environment_goes_over_it() {
    let text =
        "[http]\nlisten = \"[::1]:80\"\ntoken = \"${T}\"\n[log]\nformat = \"json\"\nlevel = \"warn,tidegate=debug\"\n";
    let environment =
        Environment::from_iter([("T", "token"), ("TIDEGATE__HTTP__LISTEN", "0.0.0.0:1"), ("TIDEGATE_X", "")]);
    let daemon = load(text, &environment).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!((daemon.http.listen.to_string().as_str(), daemon.http.explicit), ("0.0.0.0:1", true));
    assert_eq!(daemon.http.token.as_ref().map(|token| token.expose()), Some("token"));
    assert_eq!((daemon.log.format, daemon.log.level.as_str()), (LogFormat::Json, "warn,tidegate=debug"));
}

#[test]
fn every_wrong_line_is_told_at_its_place() {
    for (text, place, words) in [
        ("[http]\nlisten = \"localhost:9470\"", "2:10", "write \"127.0.0.1:9470\""),
        ("[http]\nlisten = \":9470\"", "2:10", "\"0.0.0.0:9470\""),
        ("[http]\nlisten = \"127.0.0.1\"", "2:10", "an IP address and a port"),
        ("[http]\nlisten = 9470", "2:10", "`http.listen` is a number"),
        ("[http]\ntoken = \"\"", "2:9", "`http.token` is empty"),
        ("[http]\ntoken = \"a b\"", "2:9", "cannot carry"),
        ("[http]\nlisen = \"x\"", "2:1", "did you mean `listen`?"),
        ("[log]\nlevel = \"inof\"", "2:9", "did you mean \"info\"?"),
        ("[log]\nlevel = \"warn,tidegate=loud\"", "2:9", "`log.level` cannot be"),
        ("[log]\nformat = \"xml\"", "2:10", "allowed: text, json"),
        ("[limits]\nmemory = \"1MiB\"", "2:10", "at least 16MiB"),
        ("[limits]\nmemory = 0", "2:10", "at least 16MiB"),
        ("[limits]\nmemory = -1", "2:10", "is no size"),
        ("[limits]\nmemory = \"99999999999GiB\"", "2:10", "is no size"),
        ("[sink]\nurl = \"x\"", "1:2", "move `sink` to the top of the pipeline file"),
        ("[htp]\n", "1:2", "did you mean `http`?"),
    ] {
        let told = told(&load(text, &Environment::default()).expect_err(text));
        assert_eq!(told.len(), 1, "{text}: {told:#?}");
        assert!(told[0].starts_with(&format!("tidegate.toml:{place}: ")) && told[0].contains(words), "{told:#?}");
    }
}

#[test]
fn an_explicit_file_must_be_there_and_variables_are_checked() {
    let files = Files::new([]);
    let problems = load_daemon(Some(&files.path("absent.toml")), &Environment::default()).expect_err("no file");
    assert!(problems.to_string().contains("it does not exist"));
    for (variable, value, words) in [
        ("TIDEGATE__HTTP__LISTEN", "nowhere", "`http.listen` cannot be \"nowhere\""),
        ("TIDEGATE__HTTP__LISEN", "x", "did you mean TIDEGATE__HTTP__LISTEN?"),
        ("TIDEGATE__HTPP__LISTEN", "x", "did you mean TIDEGATE__HTTP__LISTEN?"),
        ("TIDEGATE__HTTP", "x", "sets nothing"),
    ] {
        let told = told(&load("", &Environment::from_iter([(variable, value)])).expect_err(variable));
        assert!(told.len() == 1 && told[0].starts_with(variable) && told[0].contains(words), "{told:#?}");
    }
}
