//! Signals that end a training: the first one lets it write a checkpoint, the second one ends it at once.

use super::Failure;
use candlewick::training::{Event, Observer, ProgressBarObserver};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

/// A progress bar that stops the run once a signal has come.
pub struct Interruptible {
    bar: ProgressBarObserver,
    /// The signal; 0 where none has come.
    signal: Arc<AtomicUsize>,
}

impl Interruptible {
    /// Listens for SIGINT and SIGTERM from now on.
    ///
    /// # Errors
    /// When the system takes no handler.
    pub fn new(quiet: bool) -> Result<Self, Failure> {
        let signal = Arc::new(AtomicUsize::new(0));
        let again = Arc::new(AtomicBool::new(false));
        for number in [SIGINT, SIGTERM] {
            // What comes first is asked first: only a second signal finds that one has come.
            flag::register_conditional_default(number, Arc::clone(&again))?;
            flag::register(number, Arc::clone(&again))?;
            flag::register_usize(number, Arc::clone(&signal), number.unsigned_abs() as usize)?;
        }
        Ok(Self { bar: ProgressBarObserver::new(quiet), signal })
    }

    /// The exit code of a program that a signal ended, 128 and the signal's number; nothing where none has come.
    pub fn exit_code(&self) -> Option<u8> {
        match self.signal.load(SeqCst) {
            0 => None,
            signal => u8::try_from(128 + signal).ok(),
        }
    }
}

impl Observer for Interruptible {
    fn event(&mut self, event: &Event) {
        self.bar.event(event);
    }

    fn stops(&self) -> bool {
        self.signal.load(SeqCst) > 0
    }
}
