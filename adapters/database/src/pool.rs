//! Connections to the database.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use sea_orm::{
    ConnectionTrait, DatabaseBackend, DatabaseConnection, DatabaseTransaction, DbErr, ExecResult,
    QueryResult, RuntimeErr, Statement, TransactionOptions, TransactionTrait,
};

use crate::error::Failed;

/// How long the connections of a pool that is given up may take to close.
const FAREWELL: Duration = Duration::from_secs(5);
/// Whoever was about to use them when they were given up still may.
const LINGER: Duration = Duration::from_secs(1);
/// So long a pool is kept at least where the server itself says that a session is of no more use: what
/// replaces it may do no better yet.
const TRIAL: Duration = Duration::from_secs(1);

/// A pool of connections.
///
/// On a server every use is bounded in time. The server itself ends statements that take too long;
/// where not even that is heard of, the connections are dead and a new pool takes their place. So it
/// does where the server says that a session can't do its work any more: it takes no more writes, or is
/// about to end. A pool is replaced once, however many uses of it fail.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Inner>);

struct Inner {
    current: RwLock<Current>,
    renewal: Option<Renewal>,
}

#[derive(Clone)]
struct Current {
    connections: DatabaseConnection,
    /// How many pools there were before.
    generation: u64,
    since: Instant,
}

impl Current {
    fn new(connections: DatabaseConnection, generation: u64) -> Self {
        Self { connections, generation, since: Instant::now() }
    }
}

struct Renewal {
    bound: Duration,
    make: Box<dyn Fn() -> DatabaseConnection + Send + Sync>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pool(…)")
    }
}

impl Pool {
    /// A pool that lasts: its connections are files of this machine.
    pub(crate) fn lasting(connection: DatabaseConnection) -> Self {
        let current = RwLock::new(Current::new(connection, 0));
        Self(Arc::new(Inner { current, renewal: None }))
    }

    /// A pool that is made anew when a use of it takes longer than `bound`, or shows that its sessions
    /// are of no more use.
    pub(crate) fn renewed(
        bound: Duration,
        make: impl Fn() -> DatabaseConnection + Send + Sync + 'static,
    ) -> Self {
        let current = RwLock::new(Current::new(make(), 0));
        Self(Arc::new(Inner { current, renewal: Some(Renewal { bound, make: Box::new(make) }) }))
    }

    fn current(&self) -> Current {
        self.0.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Begins a transaction. What is done in it is to be [`bounded`](Self::bounded) by the caller.
    pub(crate) async fn begin(
        &self,
        options: TransactionOptions,
    ) -> Result<DatabaseTransaction, DbErr> {
        let Current { connections, generation, .. } = self.current();
        self.within(generation, connections.begin_with_options(options)).await
    }

    /// What `uses` of connections of this pool answer, within the bound.
    pub(crate) async fn bounded<T, E: Failed>(
        &self,
        uses: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.within(self.current().generation, uses).await
    }

    /// The same of what was begun on the pool of this generation.
    async fn within<T, E: Failed>(
        &self,
        generation: u64,
        uses: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let Some(renewal) = &self.0.renewal else { return uses.await };
        let Ok(ended) = tokio::time::timeout(renewal.bound, uses).await else {
            self.renew(renewal, generation, Duration::ZERO, "it has not answered");
            let silence = format!("the server has not answered for {:?}", renewal.bound);
            return Err(DbErr::Conn(RuntimeErr::Internal(silence)).into());
        };
        if ended.as_ref().is_err_and(Failed::is_of_session) {
            self.renew(renewal, generation, TRIAL, "its sessions can't do their work any more");
        }
        ended
    }

    /// Replaces the pool of this generation, if that is at least so old and was not replaced yet.
    fn renew(&self, renewal: &Renewal, generation: u64, at_least: Duration, reason: &str) {
        let mut current = self.0.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.generation != generation || current.since.elapsed() < at_least {
            return;
        }
        let fresh = Current::new((renewal.make)(), generation.wrapping_add(1));
        let old = std::mem::replace(&mut *current, fresh).connections;
        drop(current);
        tracing::warn!(reason, "the connections to the database are made anew");
        tokio::spawn(async move {
            tokio::time::sleep(LINGER).await;
            // They may be dead without knowing it: nobody waits for them for long.
            tokio::time::timeout(FAREWELL, old.close()).await
        });
    }

    pub(crate) async fn close(&self) -> Result<(), DbErr> {
        let closed = tokio::time::timeout(FAREWELL, self.current().connections.close()).await;
        closed.unwrap_or(Ok(()))
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Pool {
    fn get_database_backend(&self) -> DatabaseBackend {
        self.current().connections.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let Current { connections, generation, .. } = self.current();
        self.within(generation, connections.execute_raw(statement)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let Current { connections, generation, .. } = self.current();
        self.within(generation, connections.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let Current { connections, generation, .. } = self.current();
        self.within(generation, connections.query_one_raw(statement)).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let Current { connections, generation, .. } = self.current();
        self.within(generation, connections.query_all_raw(statement)).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const BOUND: Duration = Duration::from_millis(50);

    /// A pool, and how many were made for it.
    fn counted() -> (Pool, Arc<AtomicU64>) {
        let made = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&made);
        let pool = Pool::renewed(BOUND, move || {
            count.fetch_add(1, Ordering::Relaxed);
            DatabaseConnection::default()
        });
        (pool, made)
    }

    #[tokio::test]
    async fn of_many_uses_that_are_not_answered_one_replaces_the_pool() {
        let (pool, made) = counted();
        let mut uses = tokio::task::JoinSet::new();
        for number in 0..16 {
            let pool = pool.clone();
            uses.spawn(async move {
                // They run out of patience one after the other.
                let generation = pool.current().generation;
                tokio::time::sleep(Duration::from_millis(number)).await;
                pool.within(generation, std::future::pending::<Result<(), DbErr>>()).await
            });
        }
        assert!(uses.join_all().await.iter().all(Result::is_err));
        assert_eq!(made.load(Ordering::Relaxed), 2);
        assert!(pool.bounded(std::future::pending::<Result<(), DbErr>>()).await.is_err());
        assert_eq!(made.load(Ordering::Relaxed), 3);
    }
}
