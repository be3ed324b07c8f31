//! What every installation's identity promises.

use std::sync::Arc;

use daybook_events::{Identity, Installation};
use futures_util::future::join_all;

/// Whoever asks is told the same.
pub async fn everyone_on_a_log_knows_it_as_the_same(
    one: &dyn Installation,
    other: &dyn Installation,
) {
    let first = one.identity().await.unwrap();
    assert_eq!(other.identity().await.unwrap(), first);
    assert_eq!(one.identity().await.unwrap(), first);
}

/// Of many who want a new one in place of the same old one, all are told the same new one.
pub async fn an_identity_is_renewed_once(installation: Arc<dyn Installation>) {
    let mut given_up: Vec<Identity> = Vec::new();
    for _ in 0..3 {
        let old = installation.identity().await.unwrap();
        let renewals = (0..8).map(|_| {
            let installation = Arc::clone(&installation);
            tokio::spawn(async move { installation.renew(old.id).await.unwrap() })
        });
        let renewed: Vec<_> = join_all(renewals).await.into_iter().map(Result::unwrap).collect();
        let present = installation.identity().await.unwrap();
        assert!(renewed.iter().all(|seen| *seen == present), "{renewed:?}");
        assert!(present.id != old.id && present.secret != old.secret);
        assert!(given_up.iter().all(|before| before.id != present.id));
        // Who comes late with what was given up before changes nothing.
        for late in &given_up {
            assert_eq!(installation.renew(late.id).await.unwrap(), present);
        }
        given_up.push(old);
    }
}
