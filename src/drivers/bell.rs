//! Sources that seldom have anything, beside others for which their task wakes a hundred times a second.
use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// Stands between a task and one source, which is asked when it has rung, and not whenever the task wakes for another
/// reason: to be told that there is nothing costs about as much as to be told something.
#[derive(Debug, Default)]
pub(crate) struct Bell(Option<Arc<Rope>>);

/// What a source that has nothing is given to pull: once, since the next time it is given another.
#[derive(Debug)]
struct Rope {
    pulled: AtomicBool,
    task: Waker,
}

impl Wake for Rope {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.pulled.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

impl Bell {
    /// What the source says, if there is a reason to ask it.
    pub(crate) fn poll<T>(
        &mut self,
        context: &mut Context<'_>,
        ask: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let will_ring = |rope: &Arc<Rope>| !rope.pulled.load(Ordering::Acquire) && rope.task.will_wake(context.waker());
        if self.0.as_ref().is_some_and(will_ring) {
            return Poll::Pending;
        }
        let rope = Arc::new(Rope { pulled: AtomicBool::new(false), task: context.waker().clone() });
        let told = ask(&mut Context::from_waker(&Waker::from(Arc::clone(&rope))));
        self.0 = told.is_pending().then_some(rope);
        told
    }

    /// What the source says next. Nothing is lost when the future is dropped.
    pub(crate) async fn wait<T>(&mut self, mut ask: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
        poll_fn(|context| self.poll(context, &mut ask)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    /// A task that counts how often it is woken.
    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A source that counts how often it is asked, and keeps what it may call with.
    #[derive(Default)]
    struct Source {
        asked: usize,
        waker: Option<Waker>,
    }

    impl Source {
        fn answer(&mut self, context: &Context<'_>, told: Poll<()>) -> Poll<()> {
            self.asked += 1;
            self.waker = Some(context.waker().clone());
            told
        }

        fn call(&self) {
            self.waker.as_ref().unwrap().wake_by_ref();
        }
    }

    /// How often the source was asked in all, when the task of this waker has looked once more.
    fn look(bell: &mut Bell, source: &mut Source, task: &Waker, told: Poll<()>) -> usize {
        let before = source.asked;
        let heard = bell.poll(&mut Context::from_waker(task), |context| source.answer(context, told));
        assert_eq!(heard, if source.asked > before { told } else { Poll::Pending });
        source.asked
    }

    #[test]
    fn a_source_is_asked_when_it_has_called_and_until_it_has_nothing_more() {
        let (mut bell, mut source, task) = (Bell::default(), Source::default(), Arc::new(Task::default()));
        let waker = Waker::from(Arc::clone(&task));
        let (nothing, something) = (Poll::Pending, Poll::Ready(()));
        assert_eq!([0; 3].map(|_| look(&mut bell, &mut source, &waker, nothing)), [1, 1, 1], "it has not called");
        source.call();
        assert_eq!(task.0.load(Ordering::Relaxed), 1);
        assert_eq!([0; 2].map(|_| look(&mut bell, &mut source, &waker, something)), [2, 3], "it may have more");
        assert_eq!([0; 2].map(|_| look(&mut bell, &mut source, &waker, nothing)), [4, 4]);
    }

    /// As the runtime's sources do when the task has had its share of the thread.
    #[test]
    fn a_source_that_calls_while_it_is_asked_is_asked_again() {
        let (mut bell, mut source) = (Bell::default(), Source::default());
        let waker = Waker::from(Arc::new(Task::default()));
        let heard = bell.poll(&mut Context::from_waker(&waker), |context| {
            let told = source.answer(context, Poll::Pending);
            source.call();
            told
        });
        assert_eq!(heard, Poll::Pending);
        assert_eq!(look(&mut bell, &mut source, &waker, Poll::Pending), 2);
    }

    #[test]
    fn whoever_waits_in_place_of_another_task_is_called_and_not_that_one() {
        let (mut bell, mut source) = (Bell::default(), Source::default());
        let tasks = [0; 2].map(|_| Arc::new(Task::default()));
        for (number, task) in (1..).zip(&tasks) {
            let waker = Waker::from(Arc::clone(task));
            assert_eq!([0; 2].map(|_| look(&mut bell, &mut source, &waker, Poll::Pending)), [number; 2]);
        }
        source.call();
        assert_eq!(tasks.map(|task| task.0.load(Ordering::Relaxed)), [0, 1]);
    }
}
