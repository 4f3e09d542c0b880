//! Files that are damaged, absent, or made to hurt.

use std::path::{Path, PathBuf};

use tidegate::config::{Environment, Problems, load_pipelines};

use super::{Files, GOOD, changed, load, told};

fn load_bytes(bytes: &[u8]) -> Result<(), Problems> {
    let files = Files::new([]);
    files.write("orders.toml", bytes);
    load_pipelines(&[files.path("orders.toml")], &Environment::default()).map(|_| ())
}

fn only_told(paths: &[PathBuf]) -> String {
    let problems = load_pipelines(paths, &Environment::default()).expect_err("nothing to load");
    let told = told(&problems);
    assert_eq!(told.len(), 1, "{told:#?}");
    told[0].clone()
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_taken() {
    assert!(load_bytes(format!("\u{feff}{GOOD}").as_bytes()).is_ok());
    assert!(load(&GOOD.replace('\n', "\r\n")).is_ok());
    let marked = format!("\u{feff}{}", changed("name = \"orders\"\n\n", "name = \"\"\n\n"));
    let problems = load(&marked).expect_err("an empty name");
    assert_eq!(problems.iter().next().and_then(|problem| problem.position()), Some((1, 8)));
    let windows = changed("topics = [\"orders\"]", "topics = [1]").replace('\n', "\r\n");
    let problems = load(&windows).expect_err("a wrong topic");
    assert_eq!(problems.iter().next().and_then(|problem| problem.position()), Some((5, 11)));
}

#[test]
fn columns_count_characters() {
    let text = changed("topics = [\"orders\"]", "topics = [\"größe🦀\", 1]");
    let places: Vec<_> = load(&text).expect_err("wrong topics").iter().filter_map(|it| it.position()).collect();
    assert_eq!(places, [(5, 21)]);
}

#[test]
fn bytes_that_are_no_text_are_told_with_their_place() {
    for (bytes, place) in
        [(&b"name = \"a\"\nx = \"\xff\"\n"[..], "2:6"), (b"\xff\xfen\0a\0", "1:1"), (b"name = \"\xc3\"", "1:9")]
    {
        let told = told(&load_bytes(bytes).expect_err("not UTF-8"));
        assert!(told.len() == 1 && told[0].starts_with(&format!("orders.toml:{place}: ")), "{told:#?}");
        assert!(told[0].contains("save the file as UTF-8"), "{told:#?}");
    }
    assert!(load_bytes(b"name = \"a\0b\"\n").is_err());
    assert!(load_bytes(&vec![b'#'; 5 << 20]).expect_err("too large").to_string().contains("larger than 4 MiB"));
}

#[test]
fn what_cannot_be_read_is_told() {
    let files = Files::new([("tidegate.toml", ""), ("notes.txt", ""), (".hidden.toml", "")]);
    std::fs::create_dir(files.path("folder.toml")).expect("a folder");
    assert!(only_told(&[files.folder().to_owned()]).contains("the folder has no pipeline file"));
    assert!(only_told(&[files.path("absent.toml")]).contains("it does not exist"));
    assert!(only_told(&[]).starts_with("tidegate: no pipeline file is given"));
    std::os::unix::fs::symlink(files.path("nowhere"), files.path("broken.toml")).expect("a link");
    assert!(only_told(&[files.folder().to_owned()]).contains("it does not exist"));
}

#[cfg(unix)]
#[test]
fn a_file_without_permission_is_told() {
    use std::os::unix::fs::PermissionsExt as _;

    let files = Files::new([("orders.toml", GOOD)]);
    let path = files.path("orders.toml");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).expect("a mode");
    // The superuser may read everything, so there is nothing to refuse.
    if std::fs::read(&path).is_err() {
        assert!(only_told(&[path]).contains("permission denied"));
    }
}

#[test]
fn a_folder_is_read_in_the_order_of_names_without_the_daemon_file() {
    let other = GOOD.replace("\"orders\"", "\"a\"");
    let files = Files::new([("b.toml", GOOD), ("a.toml", other.as_str()), ("tidegate.toml", "[http]\n"), ("x", "")]);
    let pipelines = load_pipelines(&[files.folder().to_owned()], &Environment::default()).expect("two pipelines");
    let names: Vec<&str> = pipelines.iter().map(|pipeline| pipeline.name.as_str()).collect();
    assert_eq!(names, ["a", "orders"]);
    assert_eq!(pipelines[0].path.as_deref().and_then(Path::file_name), Some("a.toml".as_ref()));
}

#[test]
fn names_that_would_break_a_line_are_escaped() {
    let told = told(&load(&format!("\"a\\nb\\u001b[2J\\u202e\" = 1\n{GOOD}")).expect_err("a wild key"));
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].contains("`a\\nb\\u{1b}[2J\\u{202e}`"), "{told:#?}");
}

#[test]
fn numbers_beyond_every_bound_are_told() {
    for (from, to) in [
        ("[sink]", "[sink]\nwriters = 18446744073709551616"),
        ("[sink]", "[sink]\nwriters = -1"),
        ("[sink]", "[sink]\nwriters = 1.5"),
        ("[sink]", "[sink]\nwriters = nan"),
        ("[sink]", "[sink]\nbatch.rows = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"),
        ("[sink]", "[sink]\nbatch.bytes = -5"),
        ("[sink]", "[sink]\nbatch.bytes = \"99999999999999999999GiB\""),
        ("[sink]", "[sink]\nbatch.linger = \"99999999999999999d\""),
        ("[sink]", "[source.columns]\na = \"decimal(99999999999,2)\"\n[sink]"),
        ("[sink]", "[source.columns]\na = { type = \"bigint\", default = 9223372036854775808 }\n[sink]"),
        ("[sink]", "[source.columns]\na = { type = \"double\", default = inf }\n[sink]"),
    ] {
        let told = told(&load(&changed(from, to)).expect_err(to));
        assert_eq!(told.len(), 1, "{to}: {told:#?}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    /// Whatever is written into a good file: an answer, never a panic, and never a piece of the password.
    #[test]
    fn any_damage_is_answered(
        at in 0..1000usize,
        cut in 0..40usize,
        piece in "([a-z]{1,6}|[\\[\\]{}=\"'.,#$:@/\\\\\n ]|[0-9]{1,4}|\\PC){0,8}",
    ) {
        let good = include_str!("../../config/reference.toml").replace("${DB_PASSWORD}", "q7x-c4n4ry-q7x");
        let characters: Vec<char> = good.chars().collect();
        // The settings, not the comments at the top.
        let at = (at * characters.len() / 1000).min(characters.len());
        let after = (at + cut).min(characters.len());
        let damaged: String =
            characters[..at].iter().copied().chain(piece.chars()).chain(characters[after..].iter().copied()).collect();
        if let Err(problems) = load(&damaged) {
            let told = format!("{problems} {problems:?}");
            proptest::prop_assert!(!problems.is_empty());
            proptest::prop_assert!(!told.contains("c4n4ry"), "{told}");
        }
    }
}

#[test]
fn files_made_to_hurt_end_quickly() {
    let deep = format!("{GOOD}x = {}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    assert!(load(&deep).is_err());
    let wide: String = (0..20_000).map(|index| format!("k{index} = 1\n")).collect();
    assert!(load(&format!("{wide}{GOOD}")).is_err());
    let unclosed = "a = [\n".repeat(20_000);
    let problems = load(&unclosed).expect_err("not TOML");
    assert!(problems.len() <= 10, "{}", problems.len());
    let long = changed("name = \"orders\"\n\n", &format!("name = \"{}\"\n\n", "x".repeat(1_000_000)));
    assert!(load(&long).expect_err("a long name").to_string().len() < 1000);
}
