//! Orders, and paying them.

use daybook_application::{NewOrder as Wanted, OrderView, Receipt};
use daybook_events::{Placed, RecordedEvent, Timestamp};
use daybook_money::Currency;
use daybook_orders::{Contents, LineName, OrderId, Reason, RequestedLine};
use poem::Request;
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};

use super::accounts::account_field;
use super::events::reached;
use super::{Context, Group, not_found, receipt, unexpected};
use crate::auth::Bearer;
use crate::body::MaybeBody;
use crate::document::{Cancellation, Event, NewOrder, Order, OrderCreated, OrderStatus, Payment};
use crate::page::{self, List, Place};
use crate::problem::{Changing, Failure, Listing, Making, Problem, Reading, ReadingEvents};
use crate::reply::{Json, Nothing, Written};
use crate::request;
use crate::scalars::{Count, Key, Limit, PathId};

pub(crate) struct OrdersApi(pub Context);

#[OpenApi(tag = "Group::Orders")]
impl OrdersApi {
    /// Your orders
    ///
    /// Newest first.
    #[oai(path = "/orders", method = "get", operation_id = "listOrders")]
    async fn list(
        &self,
        caller: Bearer,
        /// Only orders in this status.
        status: Query<Option<OrderStatus>>,
        /// How many at most; 100 where it isn't given.
        limit: Query<Option<Limit>>,
        /// Where to go on: from the `Link` header of the page before.
        cursor: Query<Option<String>>,
        /// Answer nothing older than this position of the log, which you know from `Daybook-Position` or a
        /// stream: waits for it, for two seconds at most.
        #[oai(name = "Daybook-Min-Position")]
        min_position: Header<Option<Count>>,
    ) -> Result<Json<Vec<Order>>, Failure<Listing>> {
        self.0.reached(&min_position).await?;
        let (limit, status) = (page::limit(limit.0), status.0.map(stored_status));
        let list = List { name: "orders", filter: status.map(daybook_orders::OrderStatus::as_str) };
        let before = list.read(cursor.0.as_ref())?.map(|place| place.position);
        let room = self.0.replies.page(caller.0.holder_id).await?;
        let orders =
            self.0.queries.orders(&caller.0, status, before, page::one_more(limit)).await?;
        let next = |last: &Placed<daybook_orders::Order>| {
            let status =
                status.map(|status| format!("status={}&", status.as_str())).unwrap_or_default();
            let cursor = list.cursor(Place::at(last.position));
            format!("/orders?{status}limit={limit}&cursor={cursor}")
        };
        let show = |order: &Placed<daybook_orders::Order>| OrderView::from(&order.thing);
        Ok(page::reply(&orders, limit, room, show, next))
    }

    /// Create an order
    ///
    /// With lines and the currency of their prices, or without a body: then it has no total.
    #[oai(path = "/orders", method = "post", operation_id = "createOrder")]
    async fn create(
        &self,
        caller: Bearer,
        request: &Request,
        /// Makes the request safe to repeat: the same key and body have one outcome.
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<Key>>,
        body: MaybeBody<NewOrder>,
    ) -> Result<Written<201, OrderCreated>, Failure<Making>> {
        let now = self.0.clock.now();
        let contents = body.value.map(|order| contents(order, now)).transpose()?;
        let understood = contents.as_ref().map(|contents| (contents.lines(), contents.total()));
        let request = request::of(request, key.0.as_ref(), "createOrder", &understood);
        let outcome = self.0.commands.create_order(&caller.0, Wanted { contents }, request).await?;
        let Receipt::OrderCreated(id) = receipt(&outcome)? else { return Err(unexpected().into()) };
        Ok(Written::new(&outcome, &OrderCreated { order_id: id.uuid() }))
    }

    /// An order
    #[oai(path = "/orders/:id", method = "get", operation_id = "getOrder")]
    async fn get(
        &self,
        caller: Bearer,
        /// The order.
        id: Path<PathId>,
        /// Answer nothing older than this position of the log, which you know from `Daybook-Position` or a
        /// stream: waits for it, for two seconds at most.
        #[oai(name = "Daybook-Min-Position")]
        min_position: Header<Option<Count>>,
    ) -> Result<Json<Order>, Failure<Reading>> {
        let freshness = self.0.reached(&min_position).await?;
        let order = self.0.queries.order(&caller.0, order_id(&id)?, freshness).await?;
        Ok(Json::encoded(order.ok_or_else(not_found)?))
    }

    /// Pay an order
    ///
    /// From one of your accounts: the money moves and the order is paid, both or neither. Without
    /// a body a payment outside Daybook is recorded.
    #[oai(path = "/orders/:id/pay", method = "post", operation_id = "payOrder")]
    async fn pay(
        &self,
        caller: Bearer,
        request: &Request,
        /// The order.
        id: Path<PathId>,
        /// Makes the request safe to repeat: the same key and body have one outcome.
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<Key>>,
        body: MaybeBody<Payment>,
    ) -> Result<Written<204, Nothing>, Failure<Changing>> {
        let account = body.value.map(|payment| payment.account_id);
        let account = account.map(|id| account_field("account_id", &id.0)).transpose()?;
        let id = order_id(&id)?;
        let request = request::of(request, key.0.as_ref(), "payOrder", &(id, account));
        let outcome = self.0.commands.pay_order(&caller.0, id, account, request).await?;
        receipt(&outcome)?;
        Ok(Written::empty(&outcome))
    }

    /// Cancel an order
    ///
    /// A paid order's money goes back where it came from, in the same entry. Where the account it
    /// came from is closed, it is paid out.
    #[oai(path = "/orders/:id/cancel", method = "post", operation_id = "cancelOrder")]
    async fn cancel(
        &self,
        caller: Bearer,
        request: &Request,
        /// The order.
        id: Path<PathId>,
        /// Makes the request safe to repeat: the same key and body have one outcome.
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<Key>>,
        body: MaybeBody<Cancellation>,
    ) -> Result<Written<204, Nothing>, Failure<Changing>> {
        let reason = body.value.and_then(|cancellation| cancellation.reason);
        let reason = reason.map(|text| Reason::new(&text)).transpose();
        let reason = reason.map_err(|error| Problem::field("reason", error))?;
        let id = order_id(&id)?;
        let request = request::of(request, key.0.as_ref(), "cancelOrder", &(id, &reason));
        let outcome = self.0.commands.cancel_order(&caller.0, id, reason, request).await?;
        receipt(&outcome)?;
        Ok(Written::empty(&outcome))
    }

    /// The events of an order
    ///
    /// Oldest first. A position that the log has not come to is answered with 409.
    #[oai(path = "/orders/:id/events", method = "get", operation_id = "listOrderEvents")]
    async fn events(
        &self,
        caller: Bearer,
        /// The order.
        id: Path<PathId>,
        /// Only events after this position.
        after: Query<Option<Count>>,
        /// How many at most; 100 where it isn't given.
        limit: Query<Option<Limit>>,
        /// Answer nothing older than this position of the log, which you know from `Daybook-Position` or a
        /// stream: waits for it, for two seconds at most.
        #[oai(name = "Daybook-Min-Position")]
        min_position: Header<Option<Count>>,
    ) -> Result<Json<Vec<Event>>, Failure<ReadingEvents>> {
        self.0.reached(&min_position).await?;
        let (id, limit) = (order_id(&id)?, page::limit(limit.0));
        let after = after.0.map(Count::position).unwrap_or_default();
        let room = self.0.replies.page(caller.0.holder_id).await?;
        let events =
            self.0.queries.order_events(&caller.0, id, after, page::one_more(limit)).await?;
        let events = events.ok_or_else(not_found)?;
        if events.is_empty() {
            reached(&self.0.queries, after).await?;
        }
        let next = |last: &RecordedEvent| {
            format!("/orders/{id}/events?limit={limit}&after={}", last.position)
        };
        Ok(page::reply(&events, limit, room, Event::of, next))
    }
}

fn order_id(id: &PathId) -> Result<OrderId, Problem> {
    id.0.map(OrderId::from_uuid).ok_or_else(not_found)
}

const fn stored_status(status: OrderStatus) -> daybook_orders::OrderStatus {
    match status {
        OrderStatus::Pending => daybook_orders::OrderStatus::Pending,
        OrderStatus::Paid => daybook_orders::OrderStatus::Paid,
        OrderStatus::Canceled => daybook_orders::OrderStatus::Canceled,
    }
}

fn contents(order: NewOrder, now: Timestamp) -> Result<Contents, Problem> {
    let NewOrder { currency_code: code, lines } = order;
    let currency = Currency::current(&code, now.seconds())
        .map_err(|error| Problem::field("currency_code", error))?;
    let lines = lines.into_iter().enumerate().map(|(index, line)| {
        let name = LineName::new(&line.name)
            .map_err(|error| Problem::field(&format!("line {}: name", index + 1), error));
        let quantity = line.quantity.0.ok_or_else(|| {
            let reason = format!("must be a whole number from 1 to {}", Contents::MAX_QUANTITY);
            Problem::field(&format!("line {}: quantity", index + 1), reason)
        });
        Ok(RequestedLine { name: name?, quantity: quantity?, unit_price: line.unit_price.0 })
    });
    let lines = lines.collect::<Result<Vec<_>, Problem>>()?;
    Contents::new(currency, lines).map_err(|error| Problem::field("lines", error))
}
