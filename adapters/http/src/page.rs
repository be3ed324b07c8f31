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

/// A cursor behind a thing with this id.
pub(crate) fn id_cursor(id: Uuid) -> String {
    URL_SAFE_NO_PAD.encode(id.as_bytes())
}

pub(crate) fn read_id_cursor(cursor: Option<&String>) -> Result<Option<Uuid>, Problem> {
    read(cursor, |bytes| Uuid::from_slice(bytes).ok())
}

/// A cursor behind a thing at this position.
pub(crate) fn position_cursor(position: Position) -> String {
    URL_SAFE_NO_PAD.encode(position.get().to_be_bytes())
}

pub(crate) fn read_position_cursor(cursor: Option<&String>) -> Result<Option<Position>, Problem> {
    let position = read(cursor, |bytes| bytes.try_into().ok().map(u64::from_be_bytes))?;
    match position.filter(|position| i64::try_from(*position).is_err()) {
        Some(_) => Err(Problem::parameter("cursor", NOT_OURS)),
        None => Ok(position.map(Position::new)),
    }
}

const NOT_OURS: &str = "take it from the Link header of the page before";

fn read<T>(
    cursor: Option<&String>,
    read: impl Fn(&[u8]) -> Option<T>,
) -> Result<Option<T>, Problem> {
    let Some(cursor) = cursor else { return Ok(None) };
    let value = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| read(&bytes));
    value.map(Some).ok_or_else(|| Problem::parameter("cursor", NOT_OURS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was() {
        let (id, position) = (Uuid::from_u128(7), Position::new(42));
        assert_eq!(read_id_cursor(Some(&id_cursor(id))).unwrap(), Some(id));
        assert_eq!(read_position_cursor(Some(&position_cursor(position))).unwrap(), Some(position));
        assert_eq!(read_id_cursor(None).unwrap(), None);
        for forged in ["", "x", "!!", &id_cursor(id)[1..]] {
            assert!(read_id_cursor(Some(&forged.to_owned())).is_err(), "{forged}");
        }
        assert!(read_position_cursor(Some(&position_cursor(Position::new(u64::MAX)))).is_err());
    }

    #[test]
    fn one_more_says_whether_there_is_another_page() {
        let mut list = vec![1, 2, 3];
        assert!(cut(&mut list, 2));
        assert_eq!(list, [1, 2]);
        assert!(!cut(&mut list, 2));
    }
}
