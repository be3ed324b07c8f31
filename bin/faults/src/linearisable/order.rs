//! What readers of the log and listeners were told of its order.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::log::Log;
use crate::crowd::{Act, Answer, Deed, Deeds};
use crate::error::{Failure, Outcome, ensure};

/// A page has what the log has there, without a gap. One that is not full goes to an end of the log that
/// it may have had: behind everything that others were told of before, and before what was asked for
/// afterwards.
pub(super) fn check_readers(deeds: &Deeds, log: &Log) -> Outcome {
    let asked_for = asked_for(deeds);
    let mut by_end: Vec<_> =
        deeds.all.iter().filter_map(|deed| Some((deed.answered, shown(deed)?, deed))).collect();
    by_end.sort_by_key(|(answered, ..)| *answered);
    let mut by_begin: Vec<_> =
        deeds.all.iter().filter(|deed| matches!(deed.answer, Answer::Log { .. })).collect();
    by_begin.sort_by_key(|deed| deed.asked);
    let (mut ended, mut known) = (by_end.into_iter().peekable(), None);
    for page in by_begin {
        while let Some((_, position, deed)) = ended.next_if(|(answered, ..)| *answered < page.asked)
        {
            if known.is_none_or(|(highest, _)| position > highest) {
                known = Some((position, deed));
            }
        }
        check_page(page, log, known, &asked_for)?;
    }
    Ok(())
}

/// The last position that an answer tells of.
fn shown(deed: &Deed) -> Option<u64> {
    match &deed.answer {
        Answer::Done { position, .. } => Some(*position),
        Answer::Log { events, .. } => Some(events.last()?.position),
        _ => None,
    }
}

/// When what was acknowledged with a position was asked for.
fn asked_for(deeds: &Deeds) -> HashMap<u64, Duration> {
    let done = deeds.all.iter().filter_map(|deed| match deed.answer {
        Answer::Done { position, .. } => Some((position, deed.asked)),
        _ => None,
    });
    done.collect()
}

fn check_page(
    page: &Deed,
    log: &Log,
    known: Option<(u64, &Deed)>,
    asked_for: &HashMap<u64, Duration>,
) -> Outcome {
    let (Act::ReadLog { after }, Answer::Log { events, is_full }) = (&page.act, &page.answer)
    else {
        return Ok(());
    };
    let told = |what: String| {
        format!(
            "client {} read the log behind {after} from {:.3?} to {:.3?}: {what}",
            page.client, page.asked, page.answered
        )
    };
    let mut last = *after;
    for event in events {
        ensure(event.position == last + 1, || told(format!("it saw {event:?} behind {last}")))?;
        last = event.position;
        let stands = log.at(last);
        ensure(stands == Some((event.stream.as_str(), event.version)), || {
            told(format!("it saw {event:?}, where the log has {stands:?}"))
        })?;
        ensure(asked_for.get(&last).is_none_or(|asked| *asked <= page.answered), || {
            told(format!("it saw {event:?}, which was asked for later"))
        })?;
    }
    match known {
        Some((position, deed)) if !is_full && position > last => Err(Failure::new(told(format!(
            "it ends at {last}, though client {} was told of {position} from {:.3?} to {:.3?}",
            deed.client, deed.asked, deed.answered
        )))),
        _ => Ok(()),
    }
}

/// What was said and acknowledged is heard, and on each topic first heard in its order.
pub(super) fn check_listener(deeds: &Deeds) -> Outcome {
    let Some(heard) = &deeds.heard else { return Ok(()) };
    let mut first = HashMap::new();
    for (at, text) in heard.iter().enumerate() {
        first.entry(text.as_str()).or_insert(at);
    }
    let mut topics: BTreeMap<&str, Vec<(u64, &str)>> = BTreeMap::new();
    for deed in &deeds.all {
        if let (Act::Publish { topic, text }, Answer::Done { position, .. }) =
            (&deed.act, &deed.answer)
        {
            topics.entry(topic).or_default().push((*position, text));
        }
    }
    let said = topics.values().map(Vec::len).sum::<usize>();
    let missing = || topics.values().flatten().filter(|(_, text)| !first.contains_key(text));
    if let Some(one) = missing().next() {
        let count = missing().count();
        let told = format!("{count} of {said} notifications were not heard, such as {one:?}");
        return Err(Failure::new(told));
    }
    for (topic, mut said) in topics {
        said.sort_unstable();
        let mut order = said.iter().map(|(_, text)| first.get(text));
        let mut last = order.next().flatten();
        for (at, (_, text)) in order.zip(said.iter().skip(1)) {
            ensure(at > last, || format!("on {topic}, {text} was heard before what it follows"))?;
            last = at;
        }
    }
    Ok(())
}
