//! Names of error numbers, for output that is compared between kernels.

use std::io;

macro_rules! names {
    ($($name:ident)*) => {
        /// The symbolic name of an error number: `2` is `"ENOENT"`.
        pub fn name(number: i32) -> Option<&'static str> {
            $(if number == libc::$name { return Some(stringify!($name)); })*
            None
        }
    };
}

names! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK EBUSY EEXIST
    EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM
    ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP ENODATA EOVERFLOW EBADFD EILSEQ ENOTSOCK
    EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT EOPNOTSUPP EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL
    ENETUNREACH ECONNRESET ENOBUFS EISCONN ENOTCONN ETIMEDOUT ECONNREFUSED EALREADY EINPROGRESS
}

/// How a call ended, in words that do not depend on the kernel: `"ok"`, or the error's name.
pub fn outcome<T>(result: &io::Result<T>) -> String {
    match result {
        Ok(_) => "ok".into(),
        Err(error) => error_name(error),
    }
}

/// The name of the error number in `error`.
pub fn error_name(error: &io::Error) -> String {
    let number = error.raw_os_error().unwrap_or(0);
    name(number).map_or_else(|| format!("errno {number}"), String::from)
}
