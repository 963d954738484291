//! Signals that end long work: the first one lets it come to a good end, the second one ends it at once.

use super::Failure;
use candlewick::training::{Event, Observer, ProgressBarObserver};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};

/// What the handlers know; they are installed once, since none can be taken away again.
struct Handlers {
    /// Whether a signal ends the program at once, as it does where nothing is trained.
    at_once: Arc<AtomicBool>,
    /// The signal that came; 0 where none has.
    signal: Arc<AtomicUsize>,
}

impl Handlers {
    fn install() -> io::Result<Self> {
        let found = Self { at_once: Arc::default(), signal: Arc::default() };
        for number in [SIGINT, SIGTERM] {
            // What is registered first is asked first: only a second signal finds that one has come.
            flag::register_conditional_default(number, Arc::clone(&found.at_once))?;
            flag::register(number, Arc::clone(&found.at_once))?;
            flag::register_usize(number, Arc::clone(&found.signal), number.unsigned_abs() as usize)?;
        }
        Ok(found)
    }
}

/// Listens for SIGINT and SIGTERM; when it goes, signals end the program at once again.
pub struct Signals(&'static Handlers);

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the system takes no handler.
    pub fn listen() -> Result<Self, Failure> {
        static HANDLERS: OnceLock<Handlers> = OnceLock::new();
        let handlers = match HANDLERS.get() {
            Some(handlers) => handlers,
            None => {
                let installed = Handlers::install()?;
                HANDLERS.get_or_init(|| installed)
            }
        };
        handlers.signal.store(0, SeqCst);
        handlers.at_once.store(false, SeqCst);
        Ok(Self(handlers))
    }

    /// The exit code of a program that a signal ended, 128 and the signal's number; nothing where none has come.
    pub fn exit_code(&self) -> Option<u8> {
        match self.0.signal.load(SeqCst) {
            0 => None,
            signal => u8::try_from(128 + signal).ok(),
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.0.at_once.store(true, SeqCst);
    }
}

/// A progress bar that stops the training once a signal has come.
pub struct Interruptible {
    bar: ProgressBarObserver,
    signals: Signals,
}

impl Interruptible {
    /// Listens for signals from now on.
    ///
    /// # Errors
    /// As [`Signals::listen`] says.
    pub fn new(quiet: bool) -> Result<Self, Failure> {
        Ok(Self { bar: ProgressBarObserver::new(quiet), signals: Signals::listen()? })
    }

    /// As [`Signals::exit_code`] says.
    pub fn exit_code(&self) -> Option<u8> {
        self.signals.exit_code()
    }
}

impl Observer for Interruptible {
    fn event(&mut self, event: &Event) {
        self.bar.event(event);
    }

    fn stops(&self) -> bool {
        self.exit_code().is_some()
    }
}
