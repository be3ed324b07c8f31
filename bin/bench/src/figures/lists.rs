//! P17: every list with every filter at 10⁶ rows of one holder, its first page and one in the middle, beside the
//! same list at 10³ rows, on both databases.

use rusqlite::Connection;

use crate::error::BenchError;
use crate::http;
use crate::interrupt;
use crate::load::Load;
use crate::options::Options;
use crate::product::Product;
use crate::report;
use crate::rounds::{Turn, alternate};
use crate::servers::{OwnDatabase, PostgresServer};

const MANY: u64 = 1_000_000;
const FEW: u64 = 1_000;
const PAGE: u64 = 100;
/// Rows are put in from here on: what the API made itself stands before.
const FIRST: u64 = 1_000;

/// The lists, and whether they have rows.
const LISTS: [(&str, bool); 9] = [
    ("/accounts", true),
    ("/orders", true),
    ("/orders?status=PENDING", true),
    ("/orders?status=PAID", false),
    ("/tasks", true),
    ("/tasks?state=done", true),
    ("/tasks?state=dead", false),
    ("/events", true),
    ("/accounts/{account}/entries", true),
];

/// A product with so many rows of everything, all of one holder.
struct Subject {
    product: Product,
    token: String,
    account: String,
    rows: u64,
}

/// Where the rows are put in.
enum Database<'a> {
    Sqlite(Connection),
    Postgres(&'a OwnDatabase<'a>),
}

impl Database<'_> {
    fn execute(&self, sql: &str) -> Result<(), BenchError> {
        match self {
            Self::Sqlite(connection) => Ok(connection.execute_batch(sql)?),
            Self::Postgres(database) => database.execute(sql),
        }
    }

    const fn new_id(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "randomblob(16)",
            Self::Postgres(_) => "gen_random_uuid()",
        }
    }

    /// Copies of what the API made, with ids and positions of their own.
    fn fill(&self, rows: u64) -> Result<(), BenchError> {
        let (id, last) = (self.new_id(), FIRST + rows - 1);
        let numbers = format!(
            "WITH RECURSIVE numbers (i) AS (SELECT {FIRST} UNION ALL SELECT i + 1 FROM numbers WHERE i < {last}) "
        );
        let deposit = "FROM events WHERE event_type = 'MoneyDeposited' LIMIT 1";
        for (table, columns, from) in [
            (
                "events (position, id, stream, version, event_type, entry_id, owner_id, order_id, timestamp, data, \
                 metadata)",
                format!(
                    "i, {id}, stream, i, event_type, {id}, owner_id, order_id, timestamp, data, metadata"
                ),
                format!("(SELECT * {deposit}) AS e"),
            ),
            (
                "postings (position, ledger, account_id, currency, amount, balance)",
                "i, ledger, account_id, currency, amount, i".to_owned(),
                format!(
                    "(SELECT * FROM postings WHERE ledger = 'account' AND position = (SELECT position {deposit})) AS p"
                ),
            ),
            (
                "orders (id, holder_id, status, paid, created_at, version, position)",
                format!("{id}, holder_id, status, paid, created_at, version, i"),
                "(SELECT * FROM orders LIMIT 1) AS o".to_owned(),
            ),
            (
                "accounts (id, holder_id, name, currency, initial_balance, balance, open, created_at, version, position)",
                format!(
                    "{id}, holder_id, name, currency, initial_balance, balance, open, created_at, version, i"
                ),
                "(SELECT * FROM accounts LIMIT 1) AS a".to_owned(),
            ),
            (
                "tasks (id, owner_id, kind, payload, state, attempts, run_at, created_at, lease_token, version, position)",
                format!("{id}, h.id, 'text', '\"x\"', 'done', 1, i, i, 1, 1, i"),
                "(SELECT id FROM holders LIMIT 1) AS h".to_owned(),
            ),
        ] {
            interrupt::check()?;
            let sql = match self {
                Self::Sqlite(_) => {
                    format!("{numbers} INSERT INTO {table} SELECT {columns} FROM numbers, {from}")
                }
                Self::Postgres(_) => {
                    format!("INSERT INTO {table} {numbers} SELECT {columns} FROM numbers, {from}")
                }
            };
            self.execute(&sql)?;
        }
        self.execute("ANALYZE")
    }
}

impl Subject {
    fn on_sqlite(options: &Options, rows: u64) -> Result<Self, BenchError> {
        let product = Product::start(options)?;
        let file = Connection::open(product.database_file())?;
        Self::filled(product, &Database::Sqlite(file), rows)
    }

    fn on_postgres(
        options: &Options,
        database: &OwnDatabase<'_>,
        rows: u64,
    ) -> Result<Self, BenchError> {
        let product = Product::start_on(options, database, None)?;
        Self::filled(product, &Database::Postgres(database), rows)
    }

    fn filled(product: Product, database: &Database<'_>, rows: u64) -> Result<Self, BenchError> {
        let token = product.register()?;
        let account = product.open_account(&token)?;
        let call = |path: &str, body: Option<&str>| {
            let request = http::request("POST", path, Some(&token), body);
            http::call(product.address(), &request, 201)
        };
        call(&format!("/accounts/{account}/deposits"), Some(r#"{"amount":"1"}"#))?;
        call("/orders", None)?;
        database.fill(rows)?;
        Ok(Self { product, token, account, rows })
    }

    fn get(&self, path: &str) -> Vec<u8> {
        http::request("GET", path, Some(&self.token), None)
    }

    /// A list, or its page in the middle.
    fn request(&self, list: &str, in_the_middle: bool) -> Result<Vec<u8>, BenchError> {
        let list = list.replace("{account}", &self.account);
        let mut path = list.clone() + if list.contains('?') { "&limit=100" } else { "?limit=100" };
        if in_the_middle && list == "/events" {
            path = format!("{list}?limit=100&after={}", FIRST + self.rows / 2);
        } else if in_the_middle {
            for _ in 0..self.rows / PAGE / 2 {
                interrupt::check()?;
                let page = http::call(self.product.address(), &self.get(&path), 200)?;
                path = next(&page)?;
            }
        }
        Ok(self.get(&path))
    }

    fn turn(&self, options: &Options, request: &[u8]) -> Result<Turn, BenchError> {
        let load = Load {
            address: self.product.address(),
            request: request.to_vec(),
            expected_status: 200,
            connections: 1,
            pace: options.pace(),
        };
        Turn::of_load(&load, self.product.process()).map(|(turn, _)| turn)
    }
}

/// Where the next page is.
fn next(page: &http::Reply) -> Result<String, BenchError> {
    let link = page.headers().find(|(name, _)| name.eq_ignore_ascii_case("link"));
    let target = link.and_then(|(_, link)| link.split_once('<')?.1.split_once('>'));
    let target = target.map(|(target, _)| target.to_owned());
    target.ok_or_else(|| BenchError::failed("a list ended before its middle"))
}

/// Measures and prints the figure.
pub(super) fn measure(options: &Options) -> Result<(), BenchError> {
    let few = Subject::on_sqlite(options, FEW)?;
    let many = Subject::on_sqlite(options, MANY)?;
    compare(options, "SQLite", &few, &many)?;
    drop((few, many));
    let server = PostgresServer::start()?;
    let (small, large) = (server.database()?, server.database()?);
    let few = Subject::on_postgres(options, &small, FEW)?;
    let many = Subject::on_postgres(options, &large, MANY)?;
    compare(options, "Postgres", &few, &many)
}

fn compare(
    options: &Options,
    engine: &str,
    few: &Subject,
    many: &Subject,
) -> Result<(), BenchError> {
    println!("\nP17  lists of 100 on {engine}, one connection: 10⁶ rows of one holder beside 10³");
    let mut worst: f64 = 0.0;
    for (list, has_rows) in LISTS {
        for in_the_middle in [false, true] {
            if in_the_middle && !has_rows {
                continue;
            }
            let place = if in_the_middle { "middle" } else { "first page" };
            let (large, small) =
                (many.request(list, in_the_middle)?, few.request(list, in_the_middle)?);
            let result = alternate(
                options.rounds,
                || many.turn(options, &large),
                || few.turn(options, &small),
            )?;
            let name = format!("{list}, {place}");
            worst = worst.max(report::slower(&name, &result, 1.5)?);
        }
    }
    println!("    the worst of them: {worst:.2}");
    Ok(())
}
