//! A cell's variable part: the future, then its output, in the same bytes.

use super::Header;
use core::cell::UnsafeCell;
use core::future::Future;
use core::mem::ManuallyDrop;
use core::pin::Pin;
use core::ptr::NonNull;
use core::task::{Context, Poll};

/// A future whose type has a name, which takes no room in the task: for tasks that there are many of.
pub trait Titled: Future {
    /// The name in traces and poll statistics.
    const TITLE: &'static str;
}

/// What a cell holds: a future that knows what to call itself.
pub(super) trait Job: Future {
    fn name(&self) -> &'static str;
}

/// A future without a name of its own.
#[repr(transparent)]
pub(super) struct Unnamed<F>(pub(super) F);

/// A future whose type has a name.
#[repr(transparent)]
pub(super) struct ByTitle<F>(pub(super) F);

/// A future with a name.
pub(super) struct Named<F> {
    pub(super) name: &'static str,
    pub(super) future: F,
}

/// A future too large for the slab; the cell holds a pointer to it.
pub(super) struct Boxed<J>(pub(super) Pin<alloc::boxed::Box<J>>);

impl<F: Future> Future for Unnamed<F> {
    type Output = F::Output;
    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: the field is pinned with the whole.
        unsafe { self.map_unchecked_mut(|job| &mut job.0) }.poll(cx)
    }
}

impl<F: Future> Job for Unnamed<F> {
    fn name(&self) -> &'static str {
        core::any::type_name::<F>()
    }
}

impl<F: Titled> Future for ByTitle<F> {
    type Output = F::Output;
    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: the field is pinned with the whole.
        unsafe { self.map_unchecked_mut(|job| &mut job.0) }.poll(cx)
    }
}

impl<F: Titled> Job for ByTitle<F> {
    fn name(&self) -> &'static str {
        F::TITLE
    }
}

impl<F: Future> Future for Named<F> {
    type Output = F::Output;
    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: the field is pinned with the whole.
        unsafe { self.map_unchecked_mut(|job| &mut job.future) }.poll(cx)
    }
}

impl<F: Future> Job for Named<F> {
    fn name(&self) -> &'static str {
        self.name
    }
}

impl<J: Job> Future for Boxed<J> {
    type Output = J::Output;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<J::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<J: Job> Job for Boxed<J> {
    fn name(&self) -> &'static str {
        self.0.name()
    }
}

/// A whole cell. The header comes first, so a pointer to one is a pointer to the other.
#[repr(C)]
pub(super) struct Cell<J: Future> {
    header: Header,
    body: UnsafeCell<Body<J>>,
}

union Body<J: Future> {
    job: ManuallyDrop<J>,
    output: ManuallyDrop<J::Output>,
}

/// What can be done to a cell without knowing its future's type.
pub(super) struct VTable {
    pub(super) poll: unsafe fn(NonNull<Header>, &mut Context<'_>) -> bool,
    pub(super) drop_future: unsafe fn(NonNull<Header>),
    /// Move the output to the place given.
    pub(super) take_output: unsafe fn(NonNull<Header>, NonNull<()>),
    pub(super) drop_output: unsafe fn(NonNull<Header>),
    pub(super) name: unsafe fn(NonNull<Header>) -> &'static str,
}

impl<J: Job> Cell<J> {
    pub(super) const VTABLE: VTable = VTable {
        poll: Self::poll,
        drop_future: Self::drop_future,
        take_output: Self::take_output,
        drop_output: Self::drop_output,
        name: Self::name,
    };

    /// # Safety
    /// `header` is a cell of this type.
    #[inline(always)]
    unsafe fn body<'a>(header: NonNull<Header>) -> &'a mut Body<J> {
        // SAFETY: the caller's promise; whoever may touch the body is its only user.
        unsafe { &mut *header.cast::<Self>().as_ref().body.get() }
    }

    /// Put the job into a free cell.
    ///
    /// # Safety
    /// `header` is a free cell of at least this size and alignment, owned by the caller.
    #[inline(always)]
    pub(super) unsafe fn fill(header: NonNull<Header>, job: J) {
        // SAFETY: the caller's promise; the body of a free cell holds nothing to drop.
        unsafe { Self::body(header).job = ManuallyDrop::new(job) };
    }

    unsafe fn poll(header: NonNull<Header>, cx: &mut Context<'_>) -> bool {
        // SAFETY: the poller owns the body, the future in it never moves until it is dropped.
        let job = unsafe { Pin::new_unchecked(&mut *Self::body(header).job) };
        match job.poll(cx) {
            Poll::Pending => false,
            Poll::Ready(output) => {
                // SAFETY: as above; the future is dropped in place and its bytes reused.
                unsafe {
                    ManuallyDrop::drop(&mut Self::body(header).job);
                    Self::body(header).output = ManuallyDrop::new(output);
                }
                true
            }
        }
    }

    unsafe fn drop_future(header: NonNull<Header>) {
        // SAFETY: the poller owns the body, which holds a future.
        unsafe { ManuallyDrop::drop(&mut Self::body(header).job) };
    }

    unsafe fn take_output(header: NonNull<Header>, place: NonNull<()>) {
        // SAFETY: the caller owns the body, which holds an output, and `place` has room for it.
        unsafe { place.cast().write(ManuallyDrop::take(&mut Self::body(header).output)) };
    }

    unsafe fn drop_output(header: NonNull<Header>) {
        // SAFETY: the caller owns the body, which holds an output.
        unsafe { ManuallyDrop::drop(&mut Self::body(header).output) };
    }

    unsafe fn name(header: NonNull<Header>) -> &'static str {
        // SAFETY: the poller owns the body, which holds a future.
        unsafe { Self::body(header).job.name() }
    }
}
