//! Expiry against the end of the sleep, and against another wake.

use super::{Count, waker};
use crate::sync::SpinMutex;
use crate::time::{Timer, Wheel, expire};
use loom::sync::Arc;
use loom::thread;

fn started(count: &std::sync::Arc<Count>) -> (Arc<SpinMutex<Wheel>>, Box<Timer>) {
    let wheel = Arc::new(SpinMutex::new(Wheel::new()));
    let timer = Box::new(Timer::new());
    // SAFETY: boxed, fresh; every model stops it before it goes.
    unsafe { timer.start(&wheel, 1024, 0, &waker(count)) };
    (wheel, timer)
}

/// The timer is stopped and freed while its time comes: it fires or it does not, and after `stop`
/// the wheel no longer touches it (its wakee is watched by the model checker).
#[test]
fn a_timer_that_is_stopped_in_time_or_not_may_go() {
    loom::model(|| {
        let count = Count::new();
        let (wheel, timer) = started(&count);
        let expirer = {
            let wheel = wheel.clone();
            thread::spawn(move || expire(&wheel, 4096))
        };
        timer.stop(&wheel);
        let fired = timer.has_fired();
        drop(timer);
        expirer.join().unwrap();
        assert_eq!(count.get(), usize::from(fired), "woken if and only if it fired");
        assert_eq!(wheel.lock().next_deadline(), u64::MAX);
    });
}

/// The sleeper looks whether its time has come, sees that it has not, and changes whom to wake. One of
/// the two must be woken, or it sees that the timer has fired.
#[test]
fn expiry_is_seen_or_wakes() {
    loom::model(|| {
        let (first, second) = (Count::new(), Count::new());
        let (wheel, timer) = started(&first);
        let expirer = {
            let wheel = wheel.clone();
            thread::spawn(move || expire(&wheel, 4096))
        };
        timer.refresh(&wheel, &waker(&second));
        let fired = timer.has_fired();
        expirer.join().unwrap();
        assert!(fired || second.get() == 1, "neither seen nor woken");
        assert_eq!(first.get() + second.get(), 1);
        timer.stop(&wheel);
    });
}
