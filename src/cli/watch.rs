//! `--watch`: a command again and again, each time that its files change.
//!
//! The folders are watched and not the files, because editors write a new file and rename it over the old one. What
//! counts is the files' content: a notice of anything else in the folder runs nothing.

use std::collections::BTreeSet;
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{EventKind, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Context, Stop, runtime};

/// An editor saves in several steps; the last one is waited for.
const QUIET: Duration = Duration::from_millis(100);

/// Run again when a file changes.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Watch {
    /// Run again whenever a file changes, until Ctrl-C
    #[arg(long)]
    watch: bool,
}

impl Watch {
    /// Runs `once`, or again with every change of `files` (pipeline files, or folders of them).
    pub fn run<F>(self, files: Vec<PathBuf>, context: &Context, once: F) -> Result<u8, Stop>
    where
        F: Fn(&Context) -> Result<u8, Stop> + Send + Sync + 'static,
    {
        if !self.watch {
            return once(context);
        }
        let files = files.into_iter().chain(context.daemon_file.clone()).collect();
        let runtime = runtime()?;
        let ended = runtime.block_on(repeat(files, context.clone(), Arc::new(once)));
        // A run that Ctrl-C cut short ends with the process: its connections close, and nothing of it is kept.
        runtime.shutdown_background();
        ended
    }
}

async fn repeat<F>(files: Vec<PathBuf>, context: Context, once: Arc<F>) -> Result<u8, Stop>
where
    F: Fn(&Context) -> Result<u8, Stop> + Send + Sync + 'static,
{
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    let (changes, mut changed) = mpsc::unbounded_channel();
    let notice = move |event: notify::Result<notify::Event>| {
        // Reading a file is told, too; a lost notice may have been of a change.
        if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
            let _ = changes.send(());
        }
    };
    let unwatched = |cause: notify::Error| Stop::new(1, format!("the files cannot be watched: {cause}"));
    let mut watcher = notify::recommended_watcher(notice).map_err(unwatched)?;
    let mut watched: BTreeSet<PathBuf> = BTreeSet::new();
    loop {
        // Before the run, so that a change during it is not missed.
        let seen = all_files(&files);
        for folder in seen.iter().filter_map(|file| folder_of(file)).filter(|folder| folder.is_dir()) {
            if watched.insert(folder.clone()) {
                watcher.watch(&folder, RecursiveMode::NonRecursive).map_err(unwatched)?;
            }
        }
        let before = content(&seen);
        let (run, context) = (once.clone(), context.clone());
        let run = tokio::task::spawn_blocking(move || run(&context));
        let ended = tokio::select! {
            ended = run => ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())),
            _ = &mut interrupt => return Ok(0),
        };
        let code = ended.unwrap_or_else(|stop| {
            eprintln!("{}", stop.message);
            stop.code
        });
        let now = jiff::Zoned::now().strftime("%H:%M:%S").to_string();
        eprintln!("---- {now}, exit code {code}; waiting for a change (Ctrl-C ends)");
        while content(&all_files(&files)) == before {
            tokio::select! {
                change = changed.recv() => if change.is_none() { return Ok(0) },
                _ = &mut interrupt => return Ok(0),
            }
            while let Ok(Some(())) = timeout(QUIET, changed.recv()).await {}
        }
        eprintln!("---- changed");
    }
}

/// The files, those in the folders, and those that they refer to by `${file:..}`.
fn all_files(given: &[PathBuf]) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    for path in given {
        match fs::read_dir(path) {
            Ok(entries) => {
                // Itself as well: a file that is new in it is a change.
                files.insert(path.clone());
                let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
                files.extend(paths.filter(|path| path.extension().is_some_and(|extension| extension == "toml")));
            }
            Err(_) => drop(files.insert(path.clone())),
        }
    }
    let texts: Vec<String> = files.iter().filter_map(|file| fs::read_to_string(file).ok()).collect();
    files.extend(texts.iter().flat_map(|text| references(text)).map(PathBuf::from));
    files
}

fn references(text: &str) -> impl Iterator<Item = &str> {
    text.split("${file:").skip(1).filter_map(|rest| Some(rest.split_once('}')?.0))
}

fn folder_of(file: &Path) -> Option<PathBuf> {
    if file.is_dir() {
        return Some(file.to_owned());
    }
    let folder = file.parent()?;
    Some(if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_owned() })
}

/// Which files there are, and what is in them.
fn content(files: &BTreeSet<PathBuf>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for file in files {
        (file, fs::read(file).ok()).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_refers_to_belongs_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        let text = format!("url = \"${{file:{}}}\" # ${{HOME}} ${{file:open", secret.display());
        fs::write(folder.path().join("a.toml"), text).unwrap();
        fs::write(folder.path().join("b.txt"), "").unwrap();
        let files = all_files(&[folder.path().to_owned()]);
        let expected = [folder.path().to_owned(), folder.path().join("a.toml"), secret.clone()];
        assert_eq!(files, BTreeSet::from(expected));
        let before = content(&files);
        fs::write(&secret, "x").unwrap();
        assert_ne!(content(&all_files(&[folder.path().to_owned()])), before);
    }
}
