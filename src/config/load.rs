//! Paths in, checked configuration out: every problem of every file at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::config::Value;

use super::environment::Environment;
use super::layer::{self, Met, Scope};
use super::node::{Builder, Node};
use super::problem::{Place, Problem, Problems, Rule};
use super::raw::{RawDaemon, RawPipeline};
use super::read::Read;
use super::{Daemon, Pipeline, check, parse};

/// The daemon's own file, which a folder of pipelines may hold too.
const DAEMON_FILE: &str = "tidegate.toml";

/// Where the daemon file is looked for, after `--config`.
const DAEMON_PATHS: [&str; 2] = ["./tidegate.toml", "/etc/tidegate/tidegate.toml"];

/// Loads pipeline files. A folder stands for its `*.toml` in the order of their names, but not `tidegate.toml`.
///
/// # Errors
/// Every problem of every file and variable, at once; nothing was touched.
pub fn load_pipelines(paths: &[PathBuf], environment: &Environment) -> Result<Vec<Pipeline>, Problems> {
    let (pipelines, warnings) = load_pipelines_with_warnings(paths, environment)?;
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    Ok(pipelines)
}

/// As [`load_pipelines`], with what is not wrong but dangerous: for a command that prints it.
///
/// # Errors
/// As [`load_pipelines`].
pub fn load_pipelines_with_warnings(
    paths: &[PathBuf],
    environment: &Environment,
) -> Result<(Vec<Pipeline>, Vec<Problem>), Problems> {
    let mut problems = Problems::new();
    let mut warnings = Vec::new();
    let files = files(paths, &mut problems);
    let mut met = Met::default();
    // Where a file's tables are not known, nothing can be said of variables that name tables.
    let mut all_read = problems.is_empty();
    let mut pipelines: Vec<(Pipeline, Place)> = Vec::new();
    for path in &files {
        let Some(root) = parse::read(path, &mut problems).and_then(|text| parse::parse(&text, path, &mut problems))
        else {
            all_read = false;
            continue;
        };
        let root = layer::apply(root, Scope::Pipeline, environment, &mut met, &mut problems);
        let node = tree(root, path, environment, &mut problems);
        let mut literal = Vec::new();
        let raw = RawPipeline::read(&node, "", &mut problems);
        let name_at =
            raw.as_ref().and_then(|raw| raw.name.given()).map_or(node.place.clone(), |name| name.place.clone());
        let checked = raw.and_then(|raw| check::pipeline(raw, path, &node.place, &mut literal, &mut problems));
        pipelines.extend(checked.map(|pipeline| (pipeline, name_at)));
        warnings.extend(readable_secrets(path, &literal));
    }
    layer::tell_unknown(Scope::Pipeline, environment, all_read.then_some(&met), &mut problems);
    tell_twins(&pipelines, &mut problems);
    problems.check()?;
    Ok((pipelines.into_iter().map(|(pipeline, _)| pipeline).collect(), warnings))
}

/// Loads the daemon file: `explicit`, else ./tidegate.toml, else /etc/tidegate/tidegate.toml, else the defaults; over
/// it the environment's `TIDEGATE__HTTP__LISTEN` and the like.
///
/// # Errors
/// Every problem at once.
pub fn load_daemon(explicit: Option<&Path>, environment: &Environment) -> Result<Daemon, Problems> {
    let present = || DAEMON_PATHS.iter().map(Path::new).find(|path| path.exists());
    let mut problems = Problems::new();
    let daemon = daemon_from(explicit.or_else(present), environment, &mut problems);
    problems.check()?;
    Ok(daemon)
}

fn daemon_from(path: Option<&Path>, environment: &Environment, problems: &mut Problems) -> Daemon {
    let empty = Value::new(None, ::config::Map::<String, Value>::new());
    let root = match path {
        Some(path) => match parse::read(path, problems).and_then(|text| parse::parse(&text, path, problems)) {
            Some(root) => root,
            None => empty,
        },
        None => empty,
    };
    let root = layer::apply(root, Scope::Daemon, environment, &mut Met::default(), problems);
    let node = tree(root, path.unwrap_or(Path::new(DAEMON_FILE)), environment, problems);
    layer::tell_unknown(Scope::Daemon, environment, None, problems);
    let mut literal = Vec::new();
    let raw = RawDaemon::read(&node, "", problems);
    let daemon = raw.map(|raw| check::daemon(&raw, &mut literal, problems)).unwrap_or_default();
    if let Some(warning) = path.and_then(|path| readable_secrets(path, &literal)) {
        tracing::warn!("{warning}");
    }
    daemon
}

fn tree(root: Value, path: &Path, environment: &Environment, problems: &mut Problems) -> Node {
    Builder { environment, file: Arc::from(path), problems }.build(root)
}

/// The files that the paths stand for.
fn files(paths: &[PathBuf], problems: &mut Problems) -> Vec<PathBuf> {
    if paths.is_empty() {
        let what = "no pipeline file is given";
        problems.push(Problem::new(&Place::Nowhere, Rule::Missing, what, "give a file or a folder of them"));
    }
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        match folder(path) {
            Ok(found) if found.is_empty() => {
                let what = "the folder has no pipeline file";
                let cure = format!("put *.toml files into it; {DAEMON_FILE} is the daemon's own");
                problems.push(Problem::new(&Place::file(path), Rule::File, what, cure));
            }
            Ok(found) => files.extend(found),
            Err(error) => {
                let what = format!("the folder cannot be read: {}", parse::reason(&error));
                problems.push(Problem::new(&Place::file(path), Rule::File, what, "check its permissions"));
            }
        }
    }
    files
}

fn folder(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        // Hidden files are editors' and mounts' own.
        let is_pipeline = name.ends_with(".toml") && name != DAEMON_FILE && !name.starts_with('.');
        if is_pipeline && !path.is_dir() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Two pipelines of one run that would take each other's positions or records.
fn tell_twins(pipelines: &[(Pipeline, Place)], problems: &mut Problems) {
    let mut names: BTreeMap<&str, &Place> = BTreeMap::new();
    let mut groups: BTreeMap<&str, &str> = BTreeMap::new();
    for (pipeline, place) in pipelines {
        if let Some(first) = names.insert(&pipeline.name, place) {
            let what = format!("the pipeline \"{}\" is there already, at {first}", pipeline.name);
            let cure = "give each pipeline a name of its own: positions are kept under it";
            problems.push(Problem::new(place, Rule::Contradiction, what, cure));
        } else if let Some(other) = groups.insert(&pipeline.source.group, &pipeline.name) {
            let what =
                format!("the pipelines \"{other}\" and \"{}\" share a group and would share records", pipeline.name);
            let cure = "give each a `source.group` of its own, or remove it: the default is tidegate-<name>";
            problems.push(Problem::new(place, Rule::Contradiction, what, cure));
        }
    }
}

/// A warning where every user of the machine may read secrets that stand in the file as they are.
#[cfg(unix)]
fn readable_secrets(path: &Path, literal: &[String]) -> Option<Problem> {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
    if literal.is_empty() || mode & 0o004 == 0 {
        return None;
    }
    let what = format!("every user can read this file (mode {mode:04o}), and it holds {}", literal.join(", "));
    let cure = "chmod 600 it, or write ${NAME} or ${file:/run/secrets/..} instead of the secret";
    Some(Problem::new(&Place::file(path), Rule::Warning, what, cure))
}

#[cfg(not(unix))]
fn readable_secrets(_path: &Path, _literal: &[String]) -> Option<Problem> {
    None
}
