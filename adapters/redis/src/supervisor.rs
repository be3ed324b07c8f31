//! The task that keeps the connection up.

use std::sync::Arc;
use std::time::Duration;

use daybook_application::TroubleLog;
use redis::PushKind;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

use crate::client::{Shared, State};
use crate::link::Link;
use crate::trouble::RedisTrouble;

/// How long connecting may take, and how long a connection may be silent before it is given up.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long the server may take to confirm that it sends what is published on a channel.
const CONFIRMATION: Duration = Duration::from_millis(500);

/// How often an idle connection is asked for a sign of life.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How often it is tried whether a server that answers does what is needed.
const TRIAL_EVERY: Duration = Duration::from_secs(5);

/// How long a server may take no writes until another is looked for in its place.
const READ_ONLY_PATIENCE: Duration = Duration::from_secs(10);

/// How long it takes at first, and at most, until connecting is tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Keeps the connection up, without end.
pub(crate) async fn keep_up(shared: Arc<Shared>) {
    let mut log = TroubleLog::new(format!("Redis at {}", shared.address));
    let mut pause = FIRST_PAUSE;
    loop {
        let lost = Arc::new(Notify::new());
        let trouble = match connect(&shared, &lost).await {
            Ok(link) => {
                shared.set(State::Up(link.clone()));
                pause = FIRST_PAUSE;
                // Why it was lost is said by what the next one meets: a server closes the connections
                // of a user who may no longer do something, and another can be had at once.
                attend(&shared, link, &lost, &mut log).await
            }
            Err(trouble) => {
                log.look(Some(&trouble));
                trouble
            }
        };
        // What was said on it is not listened to any more, whatever its task still reads.
        shared.channels.begin();
        shared.set(State::Down(trouble));
        // Instances that lost the server together do not come back together.
        sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn connect(shared: &Arc<Shared>, lost: &Arc<Notify>) -> Result<Link, RedisTrouble> {
    let number = shared.channels.begin();
    let (channels, lost) = (Arc::clone(&shared.channels), Arc::clone(lost));
    let connecting = async {
        let hear = move |push: redis::PushInfo| {
            if push.kind == PushKind::Disconnection {
                lost.notify_one();
            }
            channels.hear(number, push);
        };
        let mut link = Link::connect(&shared.address, shared.near, hear).await?;
        // A server that loads its data greets, and answers nothing else.
        link.ping().await?;
        subscribe(shared, &mut link).await;
        Ok(link)
    };
    match timeout(PATIENCE, connecting).await {
        Ok(connected) => connected.map_err(|error| RedisTrouble::of(&error, &shared.address)),
        Err(_) => Err(RedisTrouble::not_answering(&shared.address)),
    }
}

/// Looks after a connection until it is lost; answers why it is.
async fn attend(
    shared: &Arc<Shared>,
    mut link: Link,
    lost: &Notify,
    log: &mut TroubleLog,
) -> RedisTrouble {
    let (mut tried, mut read_only_since) = (None::<Instant>, None::<Instant>);
    loop {
        if log.has_told() || tried.is_none_or(|at| at.elapsed() >= TRIAL_EVERY) {
            let trouble = shared.trial(&link).await;
            tried = Some(Instant::now());
            log.look(trouble.as_ref().map(|trouble| trouble as _));
            match trouble {
                // Its name may lead to the new primary by now.
                Some(trouble @ RedisTrouble::ReadOnly { .. }) => {
                    let since = *read_only_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= READ_ONLY_PATIENCE {
                        return trouble;
                    }
                }
                _ => read_only_since = None,
            }
        }
        tokio::select! {
            () = lost.notified() => return RedisTrouble::closed(&shared.address),
            () = shared.channels.wanted.notified() => {
                subscribe(shared, &mut link).await;
                continue;
            }
            () = shared.doubted.notified() => {
                if !shared.is_doubted() {
                    continue;
                }
                shared.set(State::Stalled(link.clone()));
            }
            () = sleep(HEARTBEAT) => {}
        }
        if let Err(trouble) = probe(shared, &mut link, log).await {
            return trouble;
        }
        subscribe(shared, &mut link).await;
        unsubscribe(shared, &mut link).await;
    }
}

/// Asks for a sign of life. Until it comes nobody else asks for anything.
async fn probe(shared: &Shared, link: &mut Link, log: &mut TroubleLog) -> Result<(), RedisTrouble> {
    let mut asked = link.clone();
    let mut answer = std::pin::pin!(asked.ping());
    let mut answered = timeout(shared.command_timeout, &mut answer).await;
    if answered.is_err() {
        log.look(Some(&RedisTrouble::not_answering(&shared.address)));
        shared.set(State::Stalled(link.clone()));
        answered = timeout(PATIENCE, &mut answer).await;
    }
    let answered = answered.map_err(|_| RedisTrouble::not_answering(&shared.address))?;
    answered.map_err(|error| RedisTrouble::of(&error, &shared.address))?;
    shared.up_again(link);
    Ok(())
}

/// Asks for the channels that somebody wants to listen on. One that can't be had now is asked for
/// again with the next heartbeat.
async fn subscribe(shared: &Shared, link: &mut Link) {
    for channel in shared.channels.to_ask_for() {
        let trouble = match timeout(CONFIRMATION, link.subscribe(&channel)).await {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => RedisTrouble::of(&error, &shared.address),
            Err(_) => RedisTrouble::not_answering(&shared.address),
        };
        debug!(%channel, %trouble, "can't listen on a channel of Redis");
        shared.channels.not_asked(&channel, trouble);
    }
}

async fn unsubscribe(shared: &Shared, link: &mut Link) {
    for channel in shared.channels.give_up() {
        // Where it fails, what is still sent is not listened to.
        let _ = timeout(CONFIRMATION, link.unsubscribe(&channel)).await;
    }
}
