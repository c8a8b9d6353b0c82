//! Faults that tests ask for: they are compiled only into builds with debug assertions, and happen only where the
//! environment says so.
//!
//! `FLUX_TUI_FAULTS` lists them, with commas between: `memory@K` (the card's memory runs out behind step K), `device@K` (the
//! device fails for good behind step K), `panic@decode` (the engine breaks down while it decodes), `kill@write:N` and
//! `kill@written:N` (the process is killed before or after the library's Nth change since it was opened is on disk). Each
//! happens once in a process; one that is listed twice happens twice.

use std::str::FromStr;
use std::sync::{LazyLock, Mutex, PoisonError};

/// Lists what is to go wrong.
pub const VARIABLE: &str = "FLUX_TUI_FAULTS";

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Memory runs out at this step.
    Memory(u32),
    /// The device fails at this step.
    Device(u32),
    /// The engine panics while it decodes.
    Decode,
    /// The process is killed before this change of the library, from 1, is on disk.
    Write(u32),
    /// … after it is.
    Written(u32),
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || {
            format!(
                "{VARIABLE}: {text:?} is no fault; there are memory@STEP, device@STEP, panic@decode, kill@write:N and \
                 kill@written:N"
            )
        };
        let (kind, place) = text.trim().split_once('@').ok_or_else(unknown)?;
        let number = |text: &str| text.parse().map_err(|_| unknown());
        match (kind, place.split_once(':')) {
            ("memory", None) => Ok(Self::Memory(number(place)?)),
            ("device", None) => Ok(Self::Device(number(place)?)),
            ("panic", None) if place == "decode" => Ok(Self::Decode),
            ("kill", Some(("write", number_of))) => Ok(Self::Write(number(number_of)?)),
            ("kill", Some(("written", number_of))) => Ok(Self::Written(number(number_of)?)),
            _ => Err(unknown()),
        }
    }
}

/// Those that are still to come.
static LEFT: LazyLock<Mutex<Vec<Fault>>> = LazyLock::new(|| {
    let said = std::env::var(VARIABLE).unwrap_or_default();
    let list = said.split(',').filter(|fault| !fault.trim().is_empty());
    // A test that asks for a fault and gets none would show nothing.
    Mutex::new(list.map(|fault| fault.parse().unwrap_or_else(|error| panic!("{error}"))).collect())
});

/// Whether this is to happen now; then it will not again.
#[must_use]
pub fn take(fault: Fault) -> bool {
    let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
    let found = left.iter().position(|asked| *asked == fault);
    found.map(|at| left.remove(at)).is_some()
}

/// Ends this process as `kill -9` does, if that is to happen now.
pub fn die_at(fault: Fault) {
    if take(fault) {
        let killed = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        panic!("a process that was killed goes on: {killed:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_named_with_their_places() {
        let read = |text: &str| text.parse::<Fault>();
        assert_eq!(read("memory@3"), Ok(Fault::Memory(3)));
        assert_eq!(read(" device@0"), Ok(Fault::Device(0)));
        assert_eq!(read("panic@decode"), Ok(Fault::Decode));
        assert_eq!(read("kill@write:7"), Ok(Fault::Write(7)));
        assert_eq!(read("kill@written:1"), Ok(Fault::Written(1)));
        for wrong in
            ["", "memory", "memory@x", "memory@-1", "panic@encode", "kill@write", "kill@wrote:1", "fire@1"]
        {
            let error = read(wrong).expect_err(wrong);
            assert!(error.contains("kill@written:N"), "{error}");
        }
    }
}
