//! What a panic says: where it was, and never a value. A message that was put together may hold one.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::set_hook;

/// Replaces the standard hook. Once per process.
pub fn install() {
    set_hook(Box::new(|info| {
        let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        eprintln!("a defect of Tidegate at {place}: {}", told(info.payload()));
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            eprintln!("{backtrace}");
        }
    }));
}

/// A text of the program is told; one that was formatted at run time may hold what it was about.
fn told(payload: &(dyn Any + Send)) -> &str {
    payload.downcast_ref::<&'static str>().copied().unwrap_or("its message is withheld, as it may hold a value")
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn a_message_with_a_value_in_it_is_withheld() {
        let value = std::hint::black_box("c4n4ry");
        let formatted = catch_unwind(|| panic!("the value {value}")).unwrap_err();
        assert!(told(&*formatted).contains("withheld"), "{}", told(&*formatted));
        let failed = catch_unwind(|| value.parse::<i32>().expect("a number")).unwrap_err();
        assert!(told(&*failed).contains("withheld"), "{}", told(&*failed));
        let fixed = catch_unwind(|| panic!("a batch without records")).unwrap_err();
        assert_eq!(told(&*fixed), "a batch without records");
    }
}
