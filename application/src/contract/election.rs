//! What every election promises.

use std::sync::Arc;
use std::time::Duration;

use daybook_events::Election;

use super::soon;

/// A lead is held by one at a time, and can be had again once it is given up.
pub async fn one_leads_at_a_time(election: Arc<dyn Election>) {
    for _ in 0..3 {
        let mut lead = soon("the lead is free", async {
            loop {
                if let Some(lead) = election.try_lead("relay").await.unwrap() {
                    return lead;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        assert!(lead.is_held().await);
        for _ in 0..3 {
            assert!(election.try_lead("relay").await.unwrap().is_none());
        }
        assert!(lead.is_held().await);
    }
}

/// Who leads in one thing keeps nobody from leading in another.
pub async fn different_leads_are_different(election: Arc<dyn Election>) {
    let mut relay = election.try_lead("relay").await.unwrap().unwrap();
    let mut dispatch = election.try_lead("dispatch").await.unwrap().unwrap();
    assert!(relay.is_held().await && dispatch.is_held().await);
}
