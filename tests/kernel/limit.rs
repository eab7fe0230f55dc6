//! A test's body on a thread of its own, so that it can change its namespace, and not longer than it may take.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use libtest_mimic::Failed;

pub fn run_within(limit: Duration, body: impl FnOnce() + Send + 'static) -> Result<(), Failed> {
    let (done, finished) = mpsc::channel();
    let thread = thread::spawn(move || {
        let result = std::panic::catch_unwind(AssertUnwindSafe(body));
        let _ = done.send(());
        result
    });
    if finished.recv_timeout(limit).is_err() {
        return Err(Failed::from(format!("hangs: nothing for {limit:?}")));
    }
    match thread.join() {
        Ok(Ok(())) => Ok(()),
        Ok(Err(panic)) | Err(panic) => Err(Failed::from(words(&*panic))),
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panicked".to_owned())
}
