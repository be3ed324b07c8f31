//! What a new order is to the database: an event row and an order row, as large as the product's.

use uuid::Uuid;

/// When all of them happened, in microseconds.
pub(super) const MICROS: i64 = 1_795_399_357_878_405;
const INSTANT: &str = "2026-11-23T02:02:37.878405Z";

/// What differs from order to order.
pub(super) struct OrderRows {
    pub(super) order: Uuid,
    pub(super) event: Uuid,
    pub(super) entry: Uuid,
    pub(super) stream: String,
    pub(super) data: String,
    pub(super) metadata: String,
}

impl OrderRows {
    /// Those of another order of this holder.
    pub(super) fn new(holder: Uuid) -> Self {
        let [order, entry, event, request] = std::array::from_fn(|_| Uuid::now_v7());
        let data =
            format!(r#"{{"order_id":"{order}","holder_id":"{holder}","created_at":"{INSTANT}"}}"#);
        let metadata = format!(r#"{{"actor":"{holder}","correlation_id":"{request}"}}"#);
        Self { order, event, entry, stream: format!("order-{order}"), data, metadata }
    }
}

/// Data and metadata of one event, without what a command line would take for something else.
pub(super) fn text_of_an_event() -> String {
    let OrderRows { data, metadata, .. } = OrderRows::new(Uuid::now_v7());
    data + &metadata
}
