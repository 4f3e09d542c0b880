//! The examples, the JSON Schemas and the reference page are what this version takes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tidegate::config::{Environment, Mode, load_daemon, load_pipelines, reference, schema};

use super::Files;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every example: its path and its text, with the folder of secrets moved to one that is there.
fn examples(folder: &str, secrets: &Files) -> Vec<(PathBuf, String)> {
    let entries = std::fs::read_dir(root().join(folder)).expect("a folder of examples");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let examples = paths.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
    let secrets = format!("{}/", secrets.folder().display());
    examples.map(|path| (path.clone(), read(&path).replace("/run/secrets/", &secrets))).collect()
}

const KEY: &str = "AAgQGCAoMDhASFBYYGhweICIkJigqLC4wMjQ2ODo8Pg=\n";
const OTHER_KEY: &str = "0b7c1f2e3d4c5b6a798897a6b5c4d3e2f10f1e2d3c4b5a69788796a5b4c3d2e1";

fn secrets() -> Files {
    Files::new([
        ("db_password", "a@b\n"),
        ("kafka_password", "x\n"),
        ("tidegate_token", "t\n"),
        ("k1", KEY),
        ("k2", OTHER_KEY),
    ])
}

#[test]
fn every_example_loads_and_names_its_schema() {
    let secrets = secrets();
    let environment = Environment::from_iter([("DB_PASSWORD", "p")]);
    let mut modes = Vec::new();
    for (folder, schema) in [("config", "./pipeline.schema.json"), ("config/several", "../pipeline.schema.json")] {
        let copies = Files::new([]);
        for (path, text) in examples(folder, &secrets) {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            let schema = if name == "tidegate.toml" { "./tidegate.schema.json" } else { schema };
            assert!(text.starts_with(&format!("#:schema {schema}\n")), "{name}");
            copies.write(&name, text.as_bytes());
        }
        // What they read beside themselves.
        for entry in std::fs::read_dir(root().join(folder)).expect("a folder of examples") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|extension| extension == "csv") {
                let name = path.file_name().expect("a name").to_string_lossy().into_owned();
                copies.write(&name, read(&path).as_bytes());
            }
        }
        // The whole folder at once: the examples have names and groups of their own.
        let pipelines = load_pipelines(&[copies.folder().to_owned()], &environment);
        let pipelines = pipelines.unwrap_or_else(|problems| panic!("{problems}"));
        modes.extend(pipelines.iter().flat_map(|pipeline| &pipeline.tables).map(|table| table.mode));
        if folder == "config" {
            load_daemon(Some(&copies.path("tidegate.toml")), &environment)
                .unwrap_or_else(|problems| panic!("{problems}"));
        }
    }
    for mode in [Mode::Append, Mode::Upsert, Mode::InsertIgnore, Mode::Merge] {
        assert!(modes.contains(&mode), "no example of {mode:?}");
    }
}

/// The keys of every object in a schema: its options.
fn options(schema: &str) -> BTreeSet<String> {
    let document: serde_json::Value = serde_json::from_str(schema).expect("JSON");
    let definitions = document["$defs"].as_object().expect("definitions").values();
    let objects = definitions.chain([&document]).filter_map(|schema| schema["properties"].as_object());
    objects.flat_map(|properties| properties.keys().cloned()).collect()
}

#[test]
fn the_reference_examples_have_every_option() {
    for (file, schema) in
        [("config/reference.toml", schema::schema()), ("config/tidegate.toml", schema::daemon_schema())]
    {
        let text = read(file);
        for option in options(&schema) {
            let forms = [format!("{option} ="), format!("[{option}]"), format!("[{option}."), format!(".{option}]")];
            assert!(forms.iter().any(|form| text.contains(form.as_str())), "{file} lacks {option}");
        }
    }
}

#[test]
fn every_option_of_the_schema_is_known_to_the_reader_and_documented() {
    let page = reference::reference();
    for option in options(&schema::schema()).into_iter().chain(options(&schema::daemon_schema())) {
        assert!(page.contains(&format!("| `{option}` |")), "{option} is not in the reference");
    }
}

/// The committed file is what the program makes now. `TIDEGATE_TEST_WRITE=1` writes it.
fn assert_current(path: &str, made: &str) {
    if std::env::var_os("TIDEGATE_TEST_WRITE").is_some() {
        std::fs::write(root().join(path), made).expect("the file can be written");
    }
    assert!(read(path) == made, "{path} is not current: run the tests with TIDEGATE_TEST_WRITE=1 and commit it");
}

#[test]
fn the_schemas_are_current() {
    assert_current("config/pipeline.schema.json", &schema::schema());
    assert_current("config/tidegate.schema.json", &schema::daemon_schema());
    let document: serde_json::Value = serde_json::from_str(&schema::schema()).expect("JSON");
    assert_eq!(document["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(document["$defs"]["Table"]["properties"]["missing"]["default"], "null");
}

#[test]
fn the_reference_page_is_current() {
    assert_current("docs/configuration.md", &reference::reference());
}
