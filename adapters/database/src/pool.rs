//! Connections to the database.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use sea_orm::{
    ConnectionTrait, DatabaseBackend, DatabaseConnection, DatabaseTransaction, DbErr, ExecResult,
    QueryResult, RuntimeErr, Statement, TransactionOptions, TransactionTrait,
};

/// How long the connections of a pool that is given up may take to close.
const FAREWELL: Duration = Duration::from_secs(5);

/// A pool of connections.
///
/// On a server every use is bounded in time. The server itself ends statements that take too long;
/// where not even that is heard of, the connections are dead and a new pool takes their place.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Inner>);

struct Inner {
    current: RwLock<DatabaseConnection>,
    renewal: Option<Renewal>,
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
        Self(Arc::new(Inner { current: RwLock::new(connection), renewal: None }))
    }

    /// A pool that is made anew when a use of it takes longer than `bound`.
    pub(crate) fn renewed(
        bound: Duration,
        make: impl Fn() -> DatabaseConnection + Send + Sync + 'static,
    ) -> Self {
        let current = RwLock::new(make());
        Self(Arc::new(Inner { current, renewal: Some(Renewal { bound, make: Box::new(make) }) }))
    }

    fn current(&self) -> DatabaseConnection {
        self.0.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Begins a transaction. What is done in it is to be [`bounded`](Self::bounded) by the caller.
    pub(crate) async fn begin(
        &self,
        options: TransactionOptions,
    ) -> Result<DatabaseTransaction, DbErr> {
        let current = self.current();
        self.bounded(current.begin_with_options(options)).await
    }

    /// What `uses` of connections of this pool answer, within the bound.
    pub(crate) async fn bounded<T, E: From<DbErr>>(
        &self,
        uses: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let Some(renewal) = &self.0.renewal else { return uses.await };
        if let Ok(ended) = tokio::time::timeout(renewal.bound, uses).await {
            return ended;
        }
        self.renew(renewal);
        let silence = format!("the server has not answered for {:?}", renewal.bound);
        Err(DbErr::Conn(RuntimeErr::Internal(silence)).into())
    }

    fn renew(&self, renewal: &Renewal) {
        tracing::warn!("the database has not answered; its connections are made anew");
        let fresh = (renewal.make)();
        let mut current = self.0.current.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *current, fresh);
        drop(current);
        // Its connections may be dead without knowing it: nobody waits for them for long.
        tokio::spawn(tokio::time::timeout(FAREWELL, old.close()));
    }

    pub(crate) async fn close(&self) -> Result<(), DbErr> {
        let closed = tokio::time::timeout(FAREWELL, self.current().close()).await;
        closed.unwrap_or(Ok(()))
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Pool {
    fn get_database_backend(&self) -> DatabaseBackend {
        self.current().get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.bounded(self.current().execute_raw(statement)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.bounded(self.current().execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.bounded(self.current().query_one_raw(statement)).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.bounded(self.current().query_all_raw(statement)).await
    }
}
