use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;

const FIRST: &str = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
const SECOND: &str =
    "\r\nPOST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
const THIRD: &str = "GET /c HTTP/1.0\r\n\r\n";
const SMUGGLED: &str = "POST /d HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";

/// What comes out of a connection on which these pieces arrive, and which of the requests is refused.
fn handed_on(pieces: &[&[u8]]) -> (Vec<u8>, Option<(u64, Refusal)>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let (here, mut there) = duplex(64);
        let verdict = Arc::new(Verdict::default());
        let mut framed = Framed::new(here, Arc::clone(&verdict));
        let mut out = Vec::new();
        let write = async {
            for piece in pieces {
                let _ = there.write_all(piece).await;
                tokio::task::yield_now().await;
            }
            drop(there);
            // What was refused is followed by nothing, not even an end.
            for _ in 0..1_000 {
                tokio::task::yield_now().await;
            }
        };
        let read = framed.read_to_end(&mut out);
        tokio::select! {
            biased;
            _ = read => {}
            () = write => {}
        }
        (out, verdict.refused.get().copied())
    })
}

/// Cut into pieces at some places.
fn cut<'a>(bytes: &'a [u8], places: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = places.iter().map(|place| place.index(bytes.len() + 1)).collect();
    places.sort_unstable();
    let (mut pieces, mut rest, mut before) = (Vec::new(), bytes, 0);
    for place in places {
        let (piece, left) = rest.split_at(place - before);
        (rest, before) = (left, place);
        pieces.push(piece);
    }
    pieces.push(rest);
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn requests_are_handed_on_as_they_are_however_they_arrive(
        places in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let sent = [FIRST, SECOND, THIRD, FIRST].concat();
        let (out, refused) = handed_on(&cut(sent.as_bytes(), &places));
        prop_assert_eq!(String::from_utf8_lossy(&out), sent);
        prop_assert_eq!(refused, None);
    }

    #[test]
    fn nothing_behind_a_refused_request_is_ever_seen(
        places in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let sent = [FIRST, SECOND, SMUGGLED, "GET /stolen HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
        let (out, refused) = handed_on(&cut(sent.as_bytes(), &places));
        let expected = [FIRST.as_bytes(), SECOND.as_bytes(), STAND_IN].concat();
        prop_assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&expected));
        let is_third = matches!(refused, Some((2, Refusal::Invalid(_))));
        prop_assert!(is_third, "{:?}", refused);
    }
}

#[test]
fn a_broken_body_ends_the_connection() {
    let head = "POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = "3\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for pieces in [[head, body].map(str::as_bytes), [[head, body].concat().as_bytes(), b""]] {
        let (out, refused) = handed_on(&pieces);
        assert_eq!(out, head.as_bytes());
        assert_eq!(refused, None);
    }
}

#[test]
fn only_one_empty_line_may_precede_a_request() {
    let (out, refused) = handed_on(&[b"\r\n\r\nGET / HTTP/1.0\r\n\r\n"]);
    assert_eq!(out, STAND_IN);
    assert!(matches!(refused, Some((0, Refusal::Invalid(_)))));
}

#[test]
fn each_request_is_asked_about_once() {
    let verdict = Verdict::default();
    verdict.refused.set((1, Refusal::TooLarge)).unwrap();
    assert_eq!(
        [verdict.next(), verdict.next(), verdict.next()],
        [None, Some(Refusal::TooLarge), None]
    );
}
