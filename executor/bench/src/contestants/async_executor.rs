//! async-executor: its general form, and the static one without a registry of live tasks.

use crate::contestant::Contestant;
use async_executor::{Executor, StaticExecutor, Task};
use futures_lite::future::{block_on, pending};
use std::future::Future;
use std::time::Instant;

#[derive(Clone)]
pub struct General(&'static Executor<'static>);

#[derive(Clone)]
pub struct Static(&'static StaticExecutor);

macro_rules! contestant {
    ($type:ident, $name:literal, $make:expr) => {
        impl Contestant for $type {
            const NAME: &'static str = $name;
            const SHARES: bool = true;
            type Join = Task<u64>;
            type Sleep = async_io::Timer;

            fn start(workers: usize) -> Self {
                let executor = $make;
                for _ in 1..workers {
                    std::thread::spawn(|| block_on(executor.run(pending::<()>())));
                }
                $type(executor)
            }

            fn run(&self, main: impl Future<Output = ()> + Send + 'static) {
                let main = self.0.spawn(main);
                block_on(self.0.run(main));
            }

            fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
                self.0.spawn(future).detach();
            }

            fn spawn_join(&self, future: impl Future<Output = u64> + Send + 'static) -> Task<u64> {
                self.0.spawn(future)
            }

            fn sleep_until(&self, at: Instant) -> async_io::Timer {
                async_io::Timer::at(at)
            }
        }
    };
}

contestant!(General, "async-executor", Box::leak(Box::new(Executor::new())));
contestant!(Static, "async-executor static", Executor::new().leak());
