//! Verifying: is what is stored what the log says?

mod books;
mod fold;

use std::sync::Arc;

use daybook_events::{StreamId, Version};

pub use books::{
    Books, BooksError, BooksSnapshot, Check, Difference, Projected, ProjectedPosting, ProjectedTask,
};
pub(crate) use fold::{Fold, ReadModel, follow, stream_of};

/// How many events are read, folded and compared at a time.
pub(crate) const PAGE: u32 = 1_000;

/// Who is told what a verification finds, and how far it is.
pub trait Watcher: Send + Sync {
    /// Something differs.
    fn found(&self, difference: &Difference);

    /// So many events of so many have been compared.
    fn progress(&self, done: u64, all: u64);
}

/// What a verification came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// How many events the log had.
    pub events: u64,
    /// How many differences there are: at least so many, where one check alone found more than it
    /// lists.
    pub differences: u64,
    /// How many tasks have events and none that asked for them: earlier versions wrote that of tasks that
    /// came by way of a broker. That is no difference.
    pub unasked_tasks: u64,
}

/// Compares everything that is stored with the log, as it was at one moment. Commands go on
/// meanwhile. Needs the memory of one page of events, however long the log is.
pub struct Verify {
    books: Arc<dyn Books>,
}

impl Verify {
    /// Verifies these books.
    pub fn new(books: Arc<dyn Books>) -> Self {
        Self { books }
    }

    /// Does it. Each difference is told as it is found.
    ///
    /// # Errors
    /// [`BooksError`]: it could not be looked at.
    pub async fn run(&self, watcher: &dyn Watcher) -> Result<Report, BooksError> {
        let mut snapshot = self.books.snapshot().await?;
        let all = snapshot.count().await?;
        let (mut differences, mut unasked_tasks) = (0, 0);
        let mut count_unasked = |page: &Projected| {
            let unasked = page.tasks.iter().filter(|task| task.kind.is_none()).count();
            unasked_tasks += u64::try_from(unasked).unwrap_or(u64::MAX);
        };
        let mut tell = |found: Vec<Difference>| {
            for difference in found {
                differences += 1;
                watcher.found(&difference);
            }
        };
        watcher.progress(0, all);
        for check in Check::OF_THE_LOG {
            tell(snapshot.check(check).await?);
        }
        let (mut fold, mut after) = (Fold::default(), None::<(StreamId, Version)>);
        let mut done = 0;
        loop {
            let events = snapshot.read(after.as_ref(), PAGE).await?;
            let Some(last) = events.last() else { break };
            after = Some((last.stream.clone(), last.version));
            done += u64::try_from(events.len()).unwrap_or_default();
            let (page, broken) = fold.page(&events);
            tell(broken);
            count_unasked(&page);
            tell(snapshot.compare(&page).await?);
            watcher.progress(done, all);
        }
        let page = fold.finish();
        count_unasked(&page);
        tell(snapshot.compare(&page).await?);
        for check in Check::OF_THE_REST {
            tell(snapshot.check(check).await?);
        }
        Ok(Report { events: done, differences, unasked_tasks })
    }
}

#[cfg(test)]
mod tests;
