//! Threads: what they share, signals to them, and the standard library's tools on top of futexes.

use crate::check::{in_child, outcome, show, sleeper, sys};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Condvar, Mutex, RwLock, mpsc};
use std::thread;
use support::clock::sleep_ms;
use support::patience::{thread_in_call, until, until_alone};

pub fn run() {
    counting();
    tools();
    sharing();
    local_storage();
    signals();
    placement();
    endings();
    memory();
    crate::barriers::run();
}

fn counting() {
    let plain = Mutex::new(0_u64);
    let atomic = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5000 {
                    *plain.lock().expect("not poisoned") += 1;
                    atomic.fetch_add(1, SeqCst);
                }
            });
        }
    });
    show("under a mutex", plain.into_inner().expect("not poisoned"));
    show("atomic", atomic.into_inner());
}

/// Threads stay on the CPUs that they are given: here CPU 0, as not every machine has more.
fn placement() {
    let mut all = [0_u64; 16];
    let whole = size_of_val(&all);
    show("size of a set", sys!(SYS_sched_getaffinity, 0, whole, all.as_mut_ptr()).unwrap_or(-1) % 8 == 0);
    let mine = || {
        let mut set = [0_u64; 16];
        let _ = sys!(SYS_sched_getaffinity, 0, whole, set.as_mut_ptr());
        format!("{:#x}", set[0])
    };
    let here = || {
        let mut cpu = 99_u32;
        let _ = sys!(SYS_getcpu, &raw mut cpu, 0, 0);
        cpu
    };
    let (first, nothing, absent) = (1_u64, 0_u64, 1_u64 << 40);
    outcome("confine", sys!(SYS_sched_setaffinity, 0, 8, &raw const first));
    show("is there at once", here());
    show("set", mine());
    let stays = (0..200).all(|round| {
        if round % 10 == 0 {
            sleep_ms(1);
        }
        thread::yield_now();
        here() == 0
    });
    show("stays", stays);
    let inherited = thread::spawn(move || {
        let mut set = [0_u64; 16];
        let _ = sys!(SYS_sched_getaffinity, 0, size_of_val(&set), set.as_mut_ptr());
        format!("{:#x}", set[0])
    });
    show("a thread inherits it", inherited.join().expect("a thread"));
    crate::check::aside("a child inherits it", || {
        show("a child inherits it", format!("{} on {}", mine(), here()));
    });
    outcome("a set of one byte", sys!(SYS_sched_setaffinity, 0, 1, &raw const first));
    outcome("no CPU", sys!(SYS_sched_setaffinity, 0, 8, &raw const nothing));
    outcome("no bytes", sys!(SYS_sched_setaffinity, 0, 0, &raw const first));
    outcome("a CPU that is not there", sys!(SYS_sched_setaffinity, 0, 8, &raw const absent));
    outcome("no such thread", sys!(SYS_sched_setaffinity, 4_000_000, 8, &raw const first));
    outcome("no memory", sys!(SYS_sched_setaffinity, 0, 8, crate::check::BAD));
    outcome("ask with too little room", sys!(SYS_sched_getaffinity, 0, 4, all.as_mut_ptr()));
    outcome("ask for no thread", sys!(SYS_sched_getaffinity, 4_000_000, whole, all.as_mut_ptr()));
    outcome("set free", sys!(SYS_sched_setaffinity, 0, whole, all.as_ptr()));
    show("all again", {
        let set = mine();
        set == format!("{:#x}", all[0])
    });
    // Another thread is moved while it computes.
    let (tid, moved) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            tid.store(sys!(SYS_gettid).unwrap_or(0) as usize, SeqCst);
            while moved.load(SeqCst) == 0 {
                std::hint::spin_loop();
            }
            show("moved while it ran", here());
        });
        while tid.load(SeqCst) == 0 {
            thread::yield_now();
        }
        outcome("move another", sys!(SYS_sched_setaffinity, tid.load(SeqCst), 8, &raw const first));
        sleep_ms(20);
        moved.store(1, SeqCst);
    });
    let child = sleeper();
    crate::check::aside("as another user", || {
        let _ = sys!(SYS_setuid, 1000);
        outcome("another user's process", sys!(SYS_sched_setaffinity, child.pid, 8, &raw const first));
        outcome("its own", sys!(SYS_sched_setaffinity, 0, 8, &raw const first));
    });
    let _ = child.kill(libc::SIGKILL);
    let _ = child.wait();
}

fn tools() {
    let barrier = Arc::new(Barrier::new(5));
    let leaders = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..5)
        .map(|_| {
            let (barrier, leaders) = (barrier.clone(), leaders.clone());
            thread::spawn(move || {
                for _ in 0..50 {
                    leaders.fetch_add(usize::from(barrier.wait().is_leader()), SeqCst);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("a thread"));
    show("barrier leaders", leaders.load(SeqCst));

    let (sender, receiver) = mpsc::channel();
    for start in 0..4_u64 {
        let sender = sender.clone();
        thread::spawn(move || (0..1000).for_each(|i| sender.send(start * 1000 + i).expect("a receiver")));
    }
    drop(sender);
    let mut all: Vec<u64> = receiver.iter().collect();
    all.sort_unstable();
    show("through a channel", all == (0..4000).collect::<Vec<_>>());

    let turn = (Mutex::new(0_u32), Condvar::new());
    thread::scope(|scope| {
        for me in 0..3 {
            let turn = &turn;
            scope.spawn(move || {
                for _ in 0..200 {
                    let mut whose =
                        turn.1.wait_while(turn.0.lock().expect("not poisoned"), |whose| *whose % 3 != me);
                    **whose.as_mut().expect("not poisoned") += 1;
                    turn.1.notify_all();
                }
            });
        }
    });
    show("turns taken", turn.0.into_inner().expect("not poisoned"));

    let lock = RwLock::new(0_u32);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let before = *lock.read().expect("not poisoned");
                    *lock.write().expect("not poisoned") += 1;
                    assert!(*lock.read().expect("not poisoned") > before);
                }
            });
        }
    });
    show("writes under a read-write lock", lock.into_inner().expect("not poisoned"));
    let parked = thread_in_call(libc::SYS_futex, || {
        thread::park();
        7
    });
    parked.thread().unpark();
    show("parked and unparked", parked.join().expect("a thread"));
}

/// Threads share the process number, descriptors, working folder and memory.
fn sharing() {
    let pid = sys!(SYS_getpid).ok();
    let (their_pid, their_tid) =
        thread::spawn(|| (sys!(SYS_getpid).ok(), sys!(SYS_gettid).ok())).join().expect("a thread");
    show("one process number", their_pid == pid);
    show("own thread number", their_tid != pid);
    let file = thread::spawn(|| sys!(SYS_dup, 1)).join().expect("a thread");
    outcome("its descriptor is ours", sys!(SYS_fcntl, file.unwrap_or(-1), libc::F_GETFD));
    let _ = std::fs::create_dir("below");
    thread::spawn(|| std::env::set_current_dir("below").expect("a folder")).join().expect("a thread");
    let now = std::env::current_dir().expect("a working folder");
    show("its working folder is ours", now.ends_with("below"));
    let count = || std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    until_alone();
    let (running, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let tasks = thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                running.fetch_add(1, SeqCst);
                while done.load(SeqCst) == 0 {
                    sleep_ms(1);
                }
            });
        }
        while running.load(SeqCst) < 3 {
            sleep_ms(1);
        }
        let tasks = count();
        done.store(1, SeqCst);
        tasks
    });
    show("tasks while three run", tasks);
}

fn local_storage() {
    thread_local! {
        static VALUE: std::cell::Cell<u32> = const { std::cell::Cell::new(1) };
    }
    VALUE.set(2);
    let theirs: Vec<u32> = (0..4)
        .map(|i| {
            let thread = thread::spawn(move || {
                let fresh = VALUE.get();
                VALUE.set(10 + i);
                sleep_ms(20);
                fresh * 100 + VALUE.get()
            });
            thread.join().expect("a thread")
        })
        .collect();
    show("theirs", format!("{theirs:?}"));
    show("ours", VALUE.get());
}

/// The thread that handled the last signal.
static HANDLER: AtomicU64 = AtomicU64::new(0);

extern "C" fn note(_signal: i32) {
    HANDLER.store(sys!(SYS_gettid).unwrap_or(0) as u64, SeqCst);
}

fn signals() {
    let block = |how: i32| {
        let set = 1_u64 << (libc::SIGUSR1 - 1);
        let _ = sys!(SYS_rt_sigprocmask, how, &raw const set, 0, 8);
    };
    // SAFETY: the handler stores one atomic.
    unsafe { libc::signal(libc::SIGUSR1, note as extern "C" fn(i32) as usize) };
    let ((sender, receiver), (end, until_end)) = (mpsc::channel(), mpsc::channel::<()>());
    let thread = thread::spawn(move || {
        sender.send(sys!(SYS_gettid).unwrap_or(0) as u64).expect("a receiver");
        let _ = until_end.recv();
    });
    let other = receiver.recv().expect("its number");
    let is_handled = || until(|| HANDLER.swap(0, SeqCst) == other);
    outcome("tgkill to the thread", sys!(SYS_tgkill, sys!(SYS_getpid).unwrap_or(0), other, libc::SIGUSR1));
    show("it handled it", is_handled());
    block(libc::SIG_BLOCK);
    outcome(
        "kill to the process while we block it",
        sys!(SYS_kill, sys!(SYS_getpid).unwrap_or(0), libc::SIGUSR1),
    );
    show("the other thread handled it", is_handled());
    block(libc::SIG_UNBLOCK);
    drop(end);
    thread.join().expect("a thread");
    // A join returns a moment before the thread's number is free.
    let tgkill = || sys!(SYS_tgkill, sys!(SYS_getpid).unwrap_or(0), other, 0);
    until(|| tgkill().is_err());
    outcome("tgkill after its end", tgkill());
    outcome("tgkill of another process's thread", sys!(SYS_tgkill, sys!(SYS_getpid).unwrap_or(0), 1, 0));
}

fn endings() {
    // The children start threads.
    until_alone();
    in_child("a fault in a thread ends the process", || {
        // SAFETY: faults, which is the point, in a child.
        let _ = thread::spawn(|| unsafe { (8 as *mut u8).write_volatile(1) }).join();
        0
    });
    in_child("kill ends all threads", || {
        for _ in 0..4 {
            thread::spawn(|| sleep_ms(10_000));
        }
        sleep_ms(20);
        let _ = sys!(SYS_kill, sys!(SYS_getpid).unwrap_or(0), libc::SIGTERM);
        0
    });
    in_child("return from main while threads run", || {
        for _ in 0..4 {
            thread::spawn(|| {
                let mut count = 0_u64;
                loop {
                    count = std::hint::black_box(count + 1);
                }
            });
        }
        5
    });
    in_child("fork in a thread copies only that thread", || {
        thread::spawn(|| sleep_ms(10_000));
        let tasks = thread::spawn(|| {
            let child = support::process::fork(|| {
                std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count) as i32
            });
            child.and_then(support::process::Child::wait)
        });
        match tasks.join() {
            Ok(Ok(support::process::Ended::Exited(count))) => count,
            _ => 99,
        }
    });
    in_child("another thread waits for our child", || {
        let child = support::process::fork(|| 21).expect("fork");
        let ended = thread::spawn(move || child.wait()).join();
        match ended {
            Ok(Ok(support::process::Ended::Exited(status))) => status,
            _ => 99,
        }
    });
}

/// Threads map, touch and unmap at once: each sees its own bytes.
fn memory() {
    let wrong = AtomicUsize::new(0);
    thread::scope(|scope| {
        for me in 0..6_u8 {
            let wrong = &wrong;
            scope.spawn(move || {
                for _ in 0..60 {
                    let mut memory = support::memory::Anonymous::map(16 * 4096).expect("memory");
                    let zero = memory.bytes().iter().step_by(512).all(|byte| *byte == 0);
                    memory.bytes().fill(me);
                    let own = memory.bytes().iter().step_by(64).all(|byte| *byte == me);
                    wrong.fetch_add(usize::from(!zero || !own), SeqCst);
                }
            });
        }
    });
    show("wrong pages", wrong.into_inner());
}
