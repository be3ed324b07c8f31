//! Pages of lists: opaque cursors, and where the next page is.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use daybook_events::Position;
use serde::Serialize;
use uuid::Uuid;

use crate::problem::Problem;
use crate::reply::Json;
use crate::room::{PAGE_BYTES, Room};
use crate::scalars::Limit;

const DEFAULT_LIMIT: u32 = 100;

/// How many things a caller wants.
pub(crate) fn limit(given: Option<Limit>) -> u32 {
    given.map_or(DEFAULT_LIMIT, |limit| limit.0)
}

/// One more than a caller wants: whether it is there says whether there is another page.
pub(crate) fn one_more(limit: u32) -> u32 {
    limit.saturating_add(1)
}

/// The most bytes of a page: as many as it is read of.
const MOST_BYTES: usize = PAGE_BYTES;
const _: () = assert!(MOST_BYTES as u64 == daybook_application::PAGE_BYTES);

/// The reply to a list of what was found, which is documented as a list of `D`, which has one item more than `limit` where there is another
/// page: as many as the page has room for, as they are shown. `next` is the path of the page behind one.
pub(crate) fn reply<T, S: Serialize, D>(
    found: &[T],
    limit: u32,
    room: Room,
    show: impl Fn(&T) -> S,
    next: impl FnOnce(&T) -> String,
) -> Json<Vec<D>> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut text = vec![b'['];
    let (mut shown, mut last) = (0, None);
    for item in found.iter().take(limit) {
        let before = text.len();
        if shown > 0 {
            text.push(b',');
        }
        // What can't be written can't be made either: these are our own objects.
        let _ = serde_json::to_writer(&mut text, &show(item));
        // One is shown, whatever it takes.
        if shown > 0 && text.len() >= MOST_BYTES {
            text.truncate(before);
            break;
        }
        shown += 1;
        last = Some(item);
    }
    text.push(b']');
    let next = last.filter(|_| shown < found.len()).map(next);
    Json::page(text.into(), next, room)
}

/// Which list a cursor is of, with its filters: of another it means nothing.
pub(crate) struct List<'a> {
    /// Its path and its filters, if any.
    pub name: &'a str,
    pub filter: Option<&'a str>,
}

/// A place in a list. Where several things may share a position, it names the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub position: Position,
    pub id: Uuid,
}

impl Place {
    /// A place that the position alone tells.
    pub(crate) fn at(position: Position) -> Self {
        Self { position, id: Uuid::nil() }
    }
}

/// What cursors of this form begin with. Those of the forms before were a UUID, which began with
/// the time, and a position, which begins with zeros.
const FORM: u8 = 0xD2;

impl List<'_> {
    /// A cursor behind a place in the list.
    pub(crate) fn cursor(&self, place: Place) -> String {
        let position = place.position.get().to_be_bytes();
        URL_SAFE_NO_PAD
            .encode([&[FORM][..], &position, place.id.as_bytes(), &self.bytes()].concat())
    }

    /// Reads a cursor of this list.
    pub(crate) fn read(&self, cursor: Option<&String>) -> Result<Option<Place>, Problem> {
        let Some(cursor) = cursor else { return Ok(None) };
        let place = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| self.place(&bytes));
        place.map(Some).ok_or_else(|| Problem::parameter("cursor", NOT_OURS))
    }

    fn place(&self, bytes: &[u8]) -> Option<Place> {
        let rest = bytes.strip_prefix(&[FORM])?;
        let (position, rest) = rest.split_first_chunk()?;
        let (id, list) = rest.split_first_chunk()?;
        let position = u64::from_be_bytes(*position);
        // Past the highest position that can be stored there is no place.
        let ours = i64::try_from(position).is_ok() && list == self.bytes();
        ours.then(|| Place { position: Position::new(position), id: Uuid::from_bytes(*id) })
    }

    fn bytes(&self) -> Vec<u8> {
        format!("{}?{}", self.name, self.filter.unwrap_or_default()).into_bytes()
    }
}

const NOT_OURS: &str =
    "take it from the Link header of the page before, with the same filters; or begin without it";

#[cfg(test)]
mod tests {
    use daybook_events::HolderId;
    use poem::IntoResponse;

    use super::*;
    use crate::room::ReplyRoom;

    const PAID: List<'_> = List { name: "orders", filter: Some("PAID") };

    #[test]
    fn a_cursor_comes_back_as_it_was() {
        let place = Place { position: Position::new(42), id: Uuid::from_u128(7) };
        assert_eq!(PAID.read(Some(&PAID.cursor(place))).unwrap(), Some(place));
        assert_eq!(PAID.read(None).unwrap(), None);
    }

    #[test]
    fn a_cursor_of_another_list_or_form_is_refused() {
        let place = Place::at(Position::new(42));
        let earlier_forms = [
            URL_SAFE_NO_PAD.encode(Uuid::now_v7().as_bytes()),
            URL_SAFE_NO_PAD.encode(42_u64.to_be_bytes()),
        ];
        let [of_ids, of_positions] = &earlier_forms;
        let past_all = PAID.cursor(Place::at(Position::new(u64::MAX)));
        let all = List { filter: None, ..PAID }.cursor(place);
        let tasks = List { name: "tasks", ..PAID }.cursor(place);
        let cut = &PAID.cursor(place)[1..];
        for other in ["", "x", "!!", of_ids, of_positions, &past_all, &all, &tasks, cut] {
            assert!(PAID.read(Some(&other.to_owned())).is_err(), "{other}");
        }
    }

    async fn shown(items: Vec<String>, limit: u32) -> (Vec<String>, Option<String>) {
        let room = ReplyRoom::new(0).page(HolderId::from_uuid(Uuid::nil())).await.unwrap();
        let page: Json<Vec<String>> =
            reply(&items, limit, room, Clone::clone, |last| format!("/after/{}", last.len()));
        let response = page.into_response();
        let link = response.header("link").map(str::to_owned);
        let text = response.into_body().into_string().await.unwrap();
        assert!(text.len() <= MOST_BYTES || !text.contains(','), "{} bytes", text.len());
        (serde_json::from_str(&text).unwrap(), link)
    }

    #[tokio::test]
    async fn one_more_says_whether_there_is_another_page() {
        let items = |count: usize| (1..=count).map(|n| "x".repeat(n)).collect::<Vec<_>>();
        let (page, link) = shown(items(3), 2).await;
        assert_eq!((page, link.as_deref()), (items(2), Some("</after/2>; rel=\"next\"")));
        assert_eq!(shown(items(2), 2).await, (items(2), None));
        assert_eq!(shown(Vec::new(), 2).await, (Vec::new(), None));
    }

    #[tokio::test]
    async fn a_page_has_no_more_bytes_than_it_may_and_one_item_at_least() {
        let items = vec!["x".repeat(300_000); 9];
        let (page, link) = shown(items.clone(), 9).await;
        assert_eq!((page.len(), link.is_some()), (3, true));
        let (page, link) = shown(vec!["x".repeat(3_000_000); 2], 9).await;
        assert_eq!((page.len(), link.is_some()), (1, true));
        // The last that fits to the byte.
        let exact = vec!["x".repeat((MOST_BYTES - 1) / 2 - 3); 2];
        let (page, link) = shown(exact, 9).await;
        assert_eq!((page.len(), link), (2, None));
    }
}
