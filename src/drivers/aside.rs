//! Work on a thread of its own, with a runtime of its own: that of a conversation with a provider stays on the thread it began on,
//! and none of it takes time of a thread that carries calls.
use anyhow::Context;
use std::thread;
use tokio::{runtime, sync::oneshot};

/// Does the work, whose result nobody may wait for any more.
///
/// # Errors
/// There is no thread, or the work broke.
pub(super) async fn aside<T, F>(name: &str, work: impl FnOnce() -> F + Send + 'static) -> anyhow::Result<T>
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    let (done, result) = oneshot::channel();
    let body = move || {
        // Without a runtime nothing is done, as whoever waits sees.
        let Ok(runtime) = runtime::Builder::new_current_thread().enable_all().build() else { return };
        let _ = done.send(runtime.block_on(work()));
    };
    thread::Builder::new().name(name.to_owned()).spawn(body).with_context(|| format!("no thread for {name}"))?;
    result.await.with_context(|| format!("{name} broke"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_stays_on_its_thread_is_done_and_what_breaks_is_told() {
        let here = thread::current().id();
        let elsewhere = aside("test", || async {
            let kept = std::rc::Rc::new(thread::current().id());
            tokio::task::yield_now().await;
            *kept
        });
        assert_ne!(elsewhere.await.unwrap(), here);
        let broken = aside("test", move || async move { assert!(here == thread::current().id(), "a bug") }).await;
        assert!(broken.is_err());
    }
}
