//! A thousand clients pay one order at once.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::json;

use crate::client::Client;
use crate::crowd::insist;
use crate::error::{Failure, Outcome, ensure};
use crate::money::decimal;
use crate::run::{Run, Tally, Trial};
use crate::site::{Engines, Servers, Site, free_address};

pub(super) const TRIAL: Trial = Trial {
    name: "r11",
    title: "one order is paid by many at once, on two instances: one debit",
    short: 10,
    full: 1_000,
    run,
};

const PRICE: i64 = 250;
const READ_PATIENCE: Duration = Duration::from_secs(30);

fn run(run: &Run) -> Outcome<Tally> {
    let mut tally = Tally::default();
    let servers = Servers::start(Engines::Postgres)?;
    let site = Site::on(&servers)?;
    let addresses = [free_address()?, free_address()?];
    let _instances = [site.serve(addresses[0])?, site.serve(addresses[1])?];
    let mut client = Client::register(&addresses, "ada@example.com")?;
    let balance = i64::from(run.dose) * PRICE * 2;
    let body =
        json!({ "name": "Daily", "currency_code": "EUR", "initial_balance": decimal(balance) });
    let account =
        insist(&mut client, "/accounts", "open", Some(&body))?.expect(201)?.text("account_id")?;
    let mut payers = Payers::connect(run.size(1_000, 200), &addresses)?;
    run.rounds(run.dose, |round| {
        let line = json!({ "name": "Tea", "quantity": 1, "unit_price": decimal(PRICE) });
        let body = json!({ "currency_code": "EUR", "lines": [line] });
        let key = format!("order-{}", round.seed);
        let order =
            insist(&mut client, "/orders", &key, Some(&body))?.expect(201)?.text("order_id")?;
        let body = json!({ "account_id": account }).to_string();
        let request = format!(
            "POST /orders/{order}/pay HTTP/1.1\r\nHost: daybook\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            client.token(),
            body.len()
        );
        let statuses = payers.ask(&request)?;
        let count = |status| statuses.iter().filter(|one| **one == status).count();
        let (paid, refused, busy) = (count(204), count(409), count(503));
        ensure(paid == 1 && paid + refused + busy == statuses.len(), || {
            format!("{paid} paid, {refused} refused, {busy} not served, of {}", statuses.len())
        })?;
        tally.add("payments tried", statuses.len());
        tally.add("not served in time", busy);
        Ok(())
    })?;
    tally.add("orders", run.dose as usize);
    let left = client.get(&format!("/accounts/{account}"))?.expect(200)?.text("balance")?;
    let expected = decimal(balance - i64::from(run.dose) * PRICE);
    ensure(left == expected, || format!("{left} is left, not {expected}"))?;
    site.verify()?;
    Ok(tally)
}

/// Connections that are held open, so that all requests are there at once.
struct Payers(Vec<BufReader<TcpStream>>);

impl Payers {
    fn connect(count: usize, addresses: &[SocketAddr]) -> Outcome<Self> {
        let connect = |address: &SocketAddr| {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(READ_PATIENCE))?;
            Ok(BufReader::with_capacity(1024, stream))
        };
        addresses.iter().cycle().take(count).map(connect).collect::<Outcome<_>>().map(Self)
    }

    /// Sends the request on every connection, then reads the answers' statuses.
    fn ask(&mut self, request: &str) -> Outcome<Vec<u16>> {
        for payer in &mut self.0 {
            payer.get_mut().write_all(request.as_bytes())?;
        }
        self.0.iter_mut().map(status).collect()
    }
}

fn status(reader: &mut BufReader<TcpStream>) -> Outcome<u16> {
    let (mut status, mut length) = (None, 0);
    for number in 0.. {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end();
        if number == 0 {
            status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        } else if line.is_empty() {
            break;
        } else if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse()?;
        }
    }
    std::io::copy(&mut reader.take(length), &mut std::io::sink())?;
    status.ok_or_else(|| Failure::new("a connection was closed"))
}
