//! Where the real services are: named in the environment, else containers. scripts/test names what it starts itself.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::containers;

/// The endpoint of a service, such as `TIDEGATE_TEST_POSTGRES`.
pub fn endpoint(variable: &str) -> String {
    static STARTED: Mutex<BTreeMap<String, Result<String, String>>> = Mutex::new(BTreeMap::new());
    if let Ok(endpoint) = std::env::var(variable) {
        return endpoint;
    }
    // Whoever comes second waits here for the first one's container.
    let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    let endpoint = started.entry(variable.to_owned()).or_insert_with(|| containers::start(variable));
    match endpoint {
        Ok(endpoint) => endpoint.clone(),
        Err(error) => panic!(
            "{variable} is not set, and no container could be started ({error}): run scripts/test, which starts the \
             services"
        ),
    }
}

pub fn kafka() -> String {
    endpoint("TIDEGATE_TEST_KAFKA")
}

pub fn postgres() -> String {
    endpoint("TIDEGATE_TEST_POSTGRES")
}

pub fn mariadb() -> String {
    endpoint("TIDEGATE_TEST_MARIADB")
}

pub fn mysql() -> String {
    endpoint("TIDEGATE_TEST_MYSQL")
}
