//! The executors that are compared.

pub mod async_executor;
pub mod rusk;
pub mod tokio;

/// Call a generic function for every contestant: ours first, then its peers.
#[macro_export]
macro_rules! for_each_contestant {
    ($function:ident ( $($argument:expr),* )) => {
        $function::<$crate::contestants::rusk::Rusk>($($argument),*);
        $function::<$crate::contestants::tokio::MultiThread>($($argument),*);
        $function::<$crate::contestants::tokio::CurrentThread>($($argument),*);
        $function::<$crate::contestants::async_executor::General>($($argument),*);
        $function::<$crate::contestants::async_executor::Static>($($argument),*);
    };
}
