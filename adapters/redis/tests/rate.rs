use bytes::Bytes;
use daybook_events::*;
use daybook_redis::*;
use futures_util::StreamExt;
use std::{
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rate() {
    let url = daybook_services::test_redis_url().unwrap();
    let s = RedisSettings { command_timeout: Duration::from_secs(5), ..RedisSettings::new(&url) };
    let plain = RedisCache::new(Redis::new(s.clone()).unwrap());
    let near = RedisCache::new(
        Redis::new(RedisSettings { near_cache: NonZeroUsize::new(1000), ..s.clone() }).unwrap(),
    );
    let v = Cached { version: Version::new(1), value: Some(Bytes::from(vec![b'x'; 200])) };
    let Lookup::Miss(t) = plain.get("k").await.unwrap() else { panic!() };
    plain.fill("k", t, v.clone(), Duration::from_secs(600)).await.unwrap();
    for (name, cache) in [("plain", plain.clone()), ("near", near)] {
        for tasks in [1usize, 16, 64, 256, 512] {
            let n = 200_000 / if tasks == 1 { 20 } else { tasks };
            let b = Instant::now();
            let js: Vec<_> = (0..tasks)
                .map(|_| {
                    let c = cache.clone();
                    tokio::spawn(async move {
                        for _ in 0..n {
                            assert!(matches!(c.get("k").await.unwrap(), Lookup::Hit(_)));
                        }
                    })
                })
                .collect();
            for j in js {
                j.await.unwrap();
            }
            println!(
                "{name} get x{tasks}: {:.0}/s",
                (n * tasks) as f64 / b.elapsed().as_secs_f64()
            );
        }
    }
    for tasks in [1usize, 64, 512] {
        let n = 100_000 / if tasks == 1 { 20 } else { tasks };
        let b = Instant::now();
        let js: Vec<_> = (0..tasks)
            .map(|t| {
                let c = plain.clone();
                let v = v.clone();
                tokio::spawn(async move {
                    let k = format!("p{t}");
                    for i in 0..n {
                        c.put(
                            &k,
                            Cached { version: Version::new(i as u64 + 2), ..v.clone() },
                            Duration::from_secs(600),
                        )
                        .await
                        .unwrap();
                    }
                })
            })
            .collect();
        for j in js {
            j.await.unwrap();
        }
        println!("put (absent) x{tasks}: {:.0}/s", (n * tasks) as f64 / b.elapsed().as_secs_f64());
    }
    let n = 20_000;
    let b = Instant::now();
    for i in 0..n {
        plain
            .put(
                "k",
                Cached { version: Version::new(i + 2), ..v.clone() },
                Duration::from_secs(600),
            )
            .await
            .unwrap();
    }
    println!("put (replace) x1: {:.0}/s", n as f64 / b.elapsed().as_secs_f64());
    let bus = RedisBus::new(Redis::new(s).unwrap());
    let ev = |p: u64| {
        Arc::new(RecordedEvent {
            position: Position::new(p),
            id: EventId::from_uuid(uuid::Uuid::now_v7()),
            stream: StreamId::new("order", p),
            version: Version::new(1),
            event_type: "OrderCreated".into(),
            timestamp: Timestamp::from_micros(1_795_392_000_123_456),
            data: EventData::of(
                &serde_json::json!({"name":"something","quantity":3,"unit_price":"12.30"}),
            ),
            owner: Some(HolderId::from_uuid(uuid::Uuid::now_v7())),
            order_id: Some(uuid::Uuid::now_v7()),
            metadata: Metadata::default(),
        })
    };
    let mut heard = bus.subscribe().await.unwrap();
    for size in [1u64, 100, 500] {
        let batches: Vec<Arc<[Arc<RecordedEvent>]>> =
            (0..(100_000 / size / if size == 1 { 10 } else { 1 }))
                .map(|i| (i * size..(i + 1) * size).map(ev).collect())
                .collect();
        let total: u64 = batches.len() as u64 * size;
        let b = Instant::now();
        let publishing = async {
            for batch in &batches {
                bus.publish(batch.clone()).await.unwrap();
            }
        };
        let hearing = async {
            let mut n = 0;
            let mut missed = 0;
            while n + 0 < total {
                match heard.next().await.unwrap() {
                    Signal::Events(e) => {
                        n += e.len() as u64;
                        if e.last().unwrap().position.get() == total - 1 {
                            break;
                        }
                    }
                    Signal::Missed => missed += 1,
                }
            }
            (n, missed)
        };
        let (_, (n, missed)) = tokio::join!(publishing, hearing);
        println!(
            "bus batches of {size}: {:.0} events/s, heard {n} of {total}, missed {missed}",
            total as f64 / b.elapsed().as_secs_f64()
        );
    }
}
