//! Static membership (KIP-345): an id that a daemon has again after it was killed, so that it is back at once with the
//! partitions it had.
//!
//! `auto` is the host's name, the pipeline and a slot number. The slot is a lock on a file, which the kernel frees when
//! the process ends, however it ends: the next process takes the first free slot, which is the same one.
//!
//! With the consumer protocol (KIP-848) `auto` is dynamic membership: there the broker refuses an instance whose member
//! was killed until its session has run out, and librdkafka takes the refusal as fatal.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};

use super::ConsumeError;
use crate::config::{GroupProtocol, Instance};
use crate::retry::Disposition;

/// Daemons of one pipeline on one host; far beyond any use, so that an unwritable directory is told and not searched.
const SLOTS: usize = 64;

/// A group instance id that is ours as long as this lives.
#[derive(Debug)]
pub(super) struct Slot {
    id: String,
    _lock: Option<File>,
}

impl Slot {
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The id that `instance` asks for; `None` where membership is to be dynamic.
    pub(super) fn take(
        instance: &Instance,
        protocol: GroupProtocol,
        pipeline: &str,
    ) -> Result<Option<Self>, ConsumeError> {
        match instance {
            Instance::None => Ok(None),
            Instance::Auto if protocol == GroupProtocol::Consumer => Ok(None),
            Instance::Id(id) => Self::named(id, &directory()).map(Some),
            Instance::Auto => Self::automatic(pipeline, &directory()).map(Some),
        }
    }

    fn named(id: &str, directory: &Path) -> Result<Self, ConsumeError> {
        match lock(&directory.join(format!("tidegate-{}.lock", file_name(id)))) {
            Ok(Locked::Ours(file)) => Ok(Self { id: id.to_owned(), _lock: Some(file) }),
            Ok(Locked::Taken) => Err(taken(format!(
                "the static instance {id:?} is used by another daemon on this host; give each its own [source] instance"
            ))),
            // The lock is only a courtesy here: the broker fences the second member of one id.
            Err(_) => Ok(Self { id: id.to_owned(), _lock: None }),
        }
    }

    fn automatic(pipeline: &str, directory: &Path) -> Result<Self, ConsumeError> {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let mut refused = None;
        for slot in 0..SLOTS {
            let id = format!("{host}-{pipeline}-{slot}");
            match lock(&directory.join(format!("tidegate-{}.lock", file_name(&id)))) {
                Ok(Locked::Ours(file)) => return Ok(Self { id, _lock: Some(file) }),
                Ok(Locked::Taken) => {}
                // Another user's file, for one: the next slot may be ours.
                Err(cause) => refused = Some(cause),
            }
        }
        let cause = refused.map_or_else(|| "all of them are taken".to_owned(), |cause| cause.to_string());
        Err(taken(format!(
            "no slot for a static instance could be locked in {}: {cause}; make the directory writable, or set \
             [source] instance to an id of its own or to \"none\"",
            directory.display()
        )))
    }
}

fn taken(message: String) -> ConsumeError {
    ConsumeError { disposition: Disposition::Block, class: "instance", message }
}

enum Locked {
    Ours(File),
    Taken,
}

fn lock(path: &Path) -> std::io::Result<Locked> {
    // No following of links: the directory may be one that everybody writes to.
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits() as i32)
        .open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Locked::Ours(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(Locked::Taken),
        Err(cause) => Err(cause.into()),
    }
}

/// Where the locks are: the user's runtime directory, the service's, or that for temporary files.
fn directory() -> PathBuf {
    let user = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let service = Some(PathBuf::from("/run/tidegate"));
    [user, service].into_iter().flatten().find(|path| path.is_dir()).unwrap_or_else(std::env::temp_dir)
}

/// The id as a file's name: other characters become `_`, and what that loses is told apart by a sum over the id.
fn file_name(id: &str) -> String {
    let plain: String =
        id.chars().map(|c| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '_' }).take(180).collect();
    if plain == id { plain } else { format!("{plain}-{:08x}", checksum(id)) }
}

/// FNV-1a: the same in every build, unlike the standard library's hasher.
fn checksum(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_free_slot_is_taken_and_comes_back() {
        let directory = tempfile::tempdir().unwrap();
        let first = Slot::automatic("orders", directory.path()).unwrap();
        let second = Slot::automatic("orders", directory.path()).unwrap();
        assert!(first.id().ends_with("-orders-0"), "{}", first.id());
        assert!(second.id().ends_with("-orders-1"), "{}", second.id());
        let id = first.id().to_owned();
        drop(first);
        assert_eq!(Slot::automatic("orders", directory.path()).unwrap().id(), id);
        drop(second);
    }

    #[test]
    fn the_consumer_protocol_is_dynamic_unless_an_instance_is_named() {
        let take = |instance| Slot::take(&instance, GroupProtocol::Consumer, "orders").unwrap();
        assert!(take(Instance::Auto).is_none());
        let id = format!("i-{:016x}", fastrand::u64(..));
        assert_eq!(take(Instance::Id(id.clone())).unwrap().id(), id);
    }

    #[test]
    fn a_named_instance_is_taken_once() {
        let directory = tempfile::tempdir().unwrap();
        let ours = Slot::named("a/b", directory.path()).unwrap();
        let error = Slot::named("a/b", directory.path()).unwrap_err();
        assert_eq!(error.disposition, Disposition::Block);
        assert!(Slot::named("a_b", directory.path()).is_ok(), "another id");
        drop(ours);
        assert!(Slot::named("a/b", directory.path()).is_ok());
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_told() {
        let error = Slot::automatic("orders", Path::new("/nonexistent")).unwrap_err();
        assert!(error.message.contains("/nonexistent"), "{}", error.message);
    }
}
