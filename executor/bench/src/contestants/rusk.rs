//! The executor of this repository, on host threads.

use crate::contestant::Contestant;
use executor::host::Runtime;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

#[derive(Clone)]
pub struct Rusk(Arc<Runtime>);

pub struct Join(executor::JoinHandle<u64>);

impl Future for Join {
    type Output = u64;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u64> {
        Pin::new(&mut self.0).poll(cx).map(|output| output.expect("nobody cancels"))
    }
}

impl Contestant for Rusk {
    const NAME: &'static str = "rusk";
    const SHARES: bool = true;
    type Join = Join;
    type Sleep = executor::Sleep;

    fn start(workers: usize) -> Self {
        Rusk(Arc::new(Runtime::new(workers)))
    }

    fn run(&self, main: impl Future<Output = ()> + Send + 'static) {
        self.0.block_on(main);
    }

    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        executor::spawn(future).detach();
    }

    fn spawn_join(&self, future: impl Future<Output = u64> + Send + 'static) -> Join {
        Join(executor::spawn(future))
    }

    fn sleep_until(&self, at: Instant) -> executor::Sleep {
        executor::sleep_until(executor::host::instant(at))
    }

    fn run_pair(
        first: impl Future<Output = ()> + Send + 'static,
        second: impl Future<Output = ()> + Send + 'static,
    ) {
        let runtime = Runtime::new(2);
        runtime.block_on(async {
            let sides = [
                executor::spawn_on(0, async {
                    crate::cpu::keep_on(0);
                    first.await;
                }),
                executor::spawn_on(1, async {
                    crate::cpu::keep_on(1);
                    second.await;
                }),
            ];
            for side in sides {
                side.await.expect("nobody cancels");
            }
        });
    }

    fn split(&self, pieces: usize, work: fn()) -> Option<impl Future<Output = ()> + Send + 'static> {
        Some(executor::fan_out(pieces, move |_| work()))
    }
}
