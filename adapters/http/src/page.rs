//! Pages of lists: opaque cursors, and where the next page is.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use daybook_events::Position;
use uuid::Uuid;

use crate::problem::Problem;
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

/// Cuts a list that was read with [`one_more`]; answers whether there is another page.
pub(crate) fn cut<T>(list: &mut Vec<T>, limit: u32) -> bool {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = list.len() > limit;
    list.truncate(limit);
    more
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
    use super::*;

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

    #[test]
    fn one_more_says_whether_there_is_another_page() {
        let mut list = vec![1, 2, 3];
        assert!(cut(&mut list, 2));
        assert_eq!(list, [1, 2]);
        assert!(!cut(&mut list, 2));
    }
}
