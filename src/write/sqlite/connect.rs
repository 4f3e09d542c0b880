//! Opening the database file: which file, on which file system, with which settings.

use std::path::{Path, PathBuf};
use std::time::Duration;

use percent_encoding::percent_decode_str;
use rustix::fs::{Access, access};
use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use crate::config::Sink;
use crate::retry::Disposition;
use crate::write::error::WriteError;

use super::errors::write_error;

/// How long a statement waits for another writer before `SQLITE_BUSY`. Longer than a batch of another daemon takes,
/// far shorter than the transaction's own deadline.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Which file, and may it be created?
#[derive(Debug, PartialEq, Eq)]
struct Location {
    path: PathBuf,
    create: bool,
}

fn block(class: &'static str, message: String) -> WriteError {
    WriteError::new(Disposition::Block, class, "", message)
}

/// `sqlite:///absolute.db`, `sqlite://relative.db`, both with `?mode=rw` (the default) or `?mode=rwc`.
fn location(url: &str) -> Result<Location, WriteError> {
    let wrong = |what: &str| block("configuration", format!("sink.url: {what}"));
    let rest = url.strip_prefix("sqlite:").ok_or_else(|| wrong("a SQLite URL begins with sqlite://"))?;
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = percent_decode_str(path).decode_utf8().map_err(|_| wrong("the path is not UTF-8"))?;
    if path.is_empty() || path == ":memory:" {
        return Err(wrong(
            "a database in memory keeps neither rows nor positions over a restart; name a file: sqlite:///path/file.db",
        ));
    }
    let mut create = false;
    for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match (&*key, &*value) {
            ("mode", "rw") => create = false,
            ("mode", "rwc") => create = true,
            ("mode", _) => return Err(wrong("mode is rw (the file must exist) or rwc (it is created)")),
            _ => return Err(wrong(&format!("the only parameter is mode, which is rw or rwc; found {key:?}"))),
        }
    }
    // Absolute, so that a name like `file:x` is a name and not a URI.
    let path = std::path::absolute(&*path).map_err(|_| wrong("the path cannot be made absolute"))?;
    Ok(Location { path, create })
}

/// A connection, and the journal mode that the file has now.
pub(super) async fn connect(sink: &Sink) -> Result<(SqliteConnection, String), WriteError> {
    if sink.state_schema.is_some() {
        let message = "SQLite has no schemas: remove sink.state_schema; our own tables live in the same file";
        return Err(block("configuration", message.to_owned()));
    }
    let location = location(sink.url.expose())?;
    check_file(&location)?;
    let options = SqliteConnectOptions::new()
        .filename(&location.path)
        .create_if_missing(location.create)
        // A commit that the group's offsets follow must survive a power cut; WAL with NORMAL does not promise it.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        // The file's own triggers and views get no function that could reach outside of it.
        .pragma("trusted_schema", "OFF")
        .disable_statement_logging();
    let in_file = |error| {
        let mut error: WriteError = write_error(error);
        error.message = format!("{}: {}", location.path.display(), error.message);
        error
    };
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(in_file)?;
    // With a write-ahead log readers do not hold up the writer, nor the writer them. The mode stays with the file.
    let journal_mode =
        sqlx::query_scalar("PRAGMA journal_mode = WAL").fetch_one(&mut connection).await.map_err(in_file)?;
    Ok((connection, journal_mode))
}

/// What SQLite would answer with less clear words, or not at all: it opens a file without the right to write to it
/// read-only and silently, and on a network file system its locks may simply not work.
fn check_file(location: &Location) -> Result<(), WriteError> {
    let path = &location.path;
    let directory = path.parent().unwrap_or(path);
    if !directory.is_dir() {
        let message = format!("{}: there is no such directory; create it, or correct sink.url", directory.display());
        return Err(block("missing-file", message));
    }
    if path.is_dir() {
        return Err(block("missing-file", format!("{}: this is a directory; sink.url names a file", path.display())));
    }
    let exists = path.exists();
    if !exists && !location.create {
        let message = format!(
            "{}: there is no such file; correct sink.url, or let it be created by writing sqlite://{}?mode=rwc",
            path.display(),
            path.display()
        );
        return Err(block("missing-file", message));
    }
    if let Some(kind) = network_file_system(directory) {
        let message = format!(
            "{} lies on a network file system ({kind}), where SQLite's locks and shared memory do not hold; move it to \
             a local disk",
            path.display()
        );
        return Err(block("network-file-system", message));
    }
    // A link's target is what is opened, and its log lies beside the target.
    let real = path.canonicalize().unwrap_or_else(|_| path.clone());
    let beside = real.parent().unwrap_or(directory);
    for needed in [Some(beside), exists.then_some(real.as_path())].into_iter().flatten() {
        if access(needed, Access::WRITE_OK).is_err() {
            let message = format!(
                "{}: the daemon's user may not write here; SQLite writes to the file and to its -wal and -shm files \
                 beside it",
                needed.display()
            );
            return Err(block("read-only", message));
        }
    }
    Ok(())
}

/// The name of the network file system that `directory` lies on.
#[cfg(target_os = "linux")]
fn network_file_system(directory: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;

    // What cannot be asked is left to SQLite.
    let kernel = rustix::fs::statfs(directory).ok()?.f_type as u64 & 0xffff_ffff;
    if let Some(name) = kernel_network_name(kernel) {
        return Some(name.to_owned());
    }
    // FUSE serves local disks and networks alike; the mount's type (fuse.sshfs) tells.
    let device = std::fs::metadata(directory).ok()?.dev();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    fuse_network_name(&mounts, rustix::fs::major(device), rustix::fs::minor(device))
}

#[cfg(not(target_os = "linux"))]
fn network_file_system(_directory: &Path) -> Option<String> {
    None
}

/// By `f_type` of statfs(2).
#[cfg(target_os = "linux")]
fn kernel_network_name(kind: u64) -> Option<&'static str> {
    Some(match kind {
        0x6969 => "NFS",
        0x517b | 0xfe53_4d42 => "SMB",
        0xff53_4d42 => "CIFS",
        0x5346_414f | 0x6b41_4653 => "AFS",
        0x7375_7245 => "Coda",
        0x00c3_6400 => "Ceph",
        0x0bd0_0bd0 => "Lustre",
        0x4750_4653 => "GPFS",
        _ => return None,
    })
}

/// The line of the mount with this device in /proc/self/mountinfo:
/// `36 35 0:42 / /mnt rw - fuse.sshfs host:/ rw`.
#[cfg(target_os = "linux")]
fn fuse_network_name(mounts: &str, major: u32, minor: u32) -> Option<String> {
    const NETWORK: [&str; 11] = [
        "sshfs",
        "s3fs",
        "goofys",
        "gcsfuse",
        "blobfuse2",
        "rclone",
        "davfs",
        "glusterfs",
        "ceph",
        "juicefs",
        "curlftpfs",
    ];
    let device = format!("{major}:{minor}");
    mounts.lines().filter(|line| line.split(' ').nth(2) == Some(&device)).find_map(|line| {
        let kind = line.split_once(" - ")?.1.split(' ').next()?;
        let served_by = kind.strip_prefix("fuse.")?;
        NETWORK.iter().any(|network| served_by.starts_with(network)).then(|| kind.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_file() {
        let found = location("sqlite:///var/lib/a.db").unwrap();
        assert_eq!(found, Location { path: "/var/lib/a.db".into(), create: false });
        let found = location("sqlite:///var/lib/a%3Fb.db?mode=rwc").unwrap();
        assert_eq!(found, Location { path: "/var/lib/a?b.db".into(), create: true });
        let relative = location("sqlite://a.db").unwrap().path;
        assert_eq!(relative, std::env::current_dir().unwrap().join("a.db"));
    }

    #[test]
    fn what_is_no_file_is_refused_with_its_cure() {
        for (url, cure) in [
            ("sqlite://:memory:", "name a file"),
            ("sqlite://", "name a file"),
            ("sqlite:///a.db?mode=ro", "rw (the file must exist)"),
            ("sqlite:///a.db?cache=shared", "the only parameter is mode"),
            ("postgres://a", "sqlite://"),
        ] {
            let error = location(url).unwrap_err();
            assert_eq!(error.disposition, Disposition::Block);
            assert!(error.message.contains(cure), "{url}: {}", error.message);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn network_file_systems_are_known_by_number_or_by_mount() {
        assert_eq!(kernel_network_name(0x6969), Some("NFS"));
        assert_eq!(kernel_network_name(0xef53), None, "ext4");
        let mounts =
            "36 35 0:42 / /mnt/a rw shared:1 - fuse.sshfs host:/ rw\n37 35 0:43 / /b rw - fuse.ntfs-3g /dev/sda rw\n";
        assert_eq!(fuse_network_name(mounts, 0, 42).as_deref(), Some("fuse.sshfs"));
        assert_eq!(fuse_network_name(mounts, 0, 43), None);
        assert_eq!(fuse_network_name(mounts, 8, 1), None);
    }
}
