//! tokio's two schedulers.

use crate::contestant::Contestant;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::runtime::{Builder, Runtime};

#[derive(Clone)]
pub struct MultiThread(Arc<Runtime>);

#[derive(Clone)]
pub struct CurrentThread(Arc<Runtime>);

pub struct Join(tokio::task::JoinHandle<u64>);

impl Future for Join {
    type Output = u64;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u64> {
        Pin::new(&mut self.0).poll(cx).map(|output| output.expect("nobody cancels"))
    }
}

fn multi_thread(workers: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(workers).enable_time().build().expect("tokio starts")
}

fn current_thread(_: usize) -> Runtime {
    Builder::new_current_thread().enable_time().build().expect("tokio starts")
}

macro_rules! contestant {
    ($type:ident, $name:literal, $shares:literal, $start:ident) => {
        impl Contestant for $type {
            const NAME: &'static str = $name;
            const SHARES: bool = $shares;
            type Join = Join;
            type Sleep = tokio::time::Sleep;

            fn start(workers: usize) -> Self {
                $type(Arc::new($start(workers)))
            }

            fn run(&self, main: impl Future<Output = ()> + Send + 'static) {
                // What `block_on` itself polls is no ordinary task, so spawn first.
                let main = self.0.spawn(main);
                self.0.block_on(main).expect("main does not fail");
            }

            fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
                drop(tokio::spawn(future));
            }

            fn spawn_join(&self, future: impl Future<Output = u64> + Send + 'static) -> Join {
                Join(tokio::spawn(future))
            }

            fn sleep_until(&self, at: Instant) -> tokio::time::Sleep {
                tokio::time::sleep_until(at.into())
            }
        }
    };
}

contestant!(MultiThread, "tokio multi-thread", true, multi_thread);
contestant!(CurrentThread, "tokio current-thread", false, current_thread);
