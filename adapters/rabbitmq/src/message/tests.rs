use super::*;

fn given(kind: &str, payload: &str) -> NewTask {
    NewTask {
        id: TaskId::from_uuid(Uuid::from_u128(7)),
        owner: Some(HolderId::from_uuid(Uuid::from_u128(1))),
        kind: kind.parse().unwrap(),
        payload: RawValue::from_string(payload.to_owned()).unwrap(),
        run_at: Timestamp::from_micros(5_000_001),
        created_at: Timestamp::from_micros(-1),
        priority: Priority::Normal,
        unique: None,
        history: Vec::new(),
        origin: Origin::Outside,
    }
}

fn now() -> Timestamp {
    Timestamp::from_micros(4_000_000)
}

fn read(letter: &Letter) -> NewTask {
    task(&letter.properties, &letter.body, now(), Priority::Normal, Owners::Believed).unwrap()
}

#[test]
fn a_task_is_read_as_it_was_written() {
    for payload in ["\"hello\"", "\"\"", "\"a\\n\"", "\"\\u00fc\"", "\"\\ud800\"", "[1.50]", "null"]
    {
        for kind in ["text", "send_email"] {
            let given = given(kind, payload);
            let read = read(&letter(&given, now()));
            assert_eq!(format!("{read:?}"), format!("{given:?}"));
        }
    }
    let long = format!("\"\\u00fc{}\"", "x".repeat(LONGEST_SPELLING));
    assert_eq!(read(&letter(&given("text", &long), now())).payload.get(), long);
}

#[test]
fn a_task_that_is_nobodys_and_due_has_no_headers() {
    let created_at = Timestamp::from_micros(3_700_000);
    let given = NewTask { owner: None, run_at: now(), created_at, ..given("text", "\"x\"") };
    let letter = letter(&given, now());
    assert!(letter.properties.headers().is_none());
    let read = read(&letter);
    assert_eq!((read.id, read.run_at), (given.id, now()));
    assert_eq!(read.created_at, Timestamp::from_micros(3_000_000));
    // In milliseconds, as some programs have it.
    let mut properties = letter.properties.clone();
    properties.with_timestamp(1_795_392_000_000);
    assert_eq!(
        task(&properties, b"x", now(), Priority::Normal, Owners::Believed).unwrap().created_at,
        now()
    );
}

#[test]
fn a_text_is_just_its_text() {
    for (payload, text) in [("\"Task #1: ü\"", "Task #1: ü"), ("\"\\u00fc\\t\"", "ü\t")] {
        let letter = letter(&given("text", payload), now());
        assert_eq!(letter.body, text.as_bytes());
        assert_eq!(letter.properties.content_type().unwrap(), "text/plain");
        assert_eq!(letter.properties.delivery_mode(), Some(2));
        assert_eq!(letter.properties.message_type().unwrap(), "text");
    }
}

#[test]
fn a_task_goes_where_its_time_says() {
    assert_eq!(letter(&given("text", "1"), now()).route, Route::Wait(9));
    assert_eq!(
        letter(&given("text", "1"), Timestamp::from_micros(5_000_001)).route,
        Route::Work(Priority::Normal)
    );
}

#[test]
fn messages_of_others_are_tasks_where_they_can_be_read() {
    let mut properties = BasicProperties::default();
    let plain =
        task(&properties, "Task #1: ü".as_bytes(), now(), Priority::Normal, Owners::Believed)
            .unwrap();
    assert_eq!((plain.kind.as_str(), plain.payload.get()), ("text", "\"Task #1: ü\""));
    assert_eq!((plain.run_at, plain.owner), (now(), None));
    assert_ne!(
        plain.id,
        task(&properties, b"Task #1", now(), Priority::Normal, Owners::Believed).unwrap().id
    );
    assert!(task(&properties, b"\xff", now(), Priority::Normal, Owners::Believed).is_err());
    assert!(
        task(&properties, &vec![b'a'; LONGEST_BODY + 1], now(), Priority::Normal, Owners::Believed)
            .is_err()
    );

    properties.with_content_type("Application/JSON; charset=utf-8");
    assert!(task(&properties, b"{}", now(), Priority::Normal, Owners::Believed).is_err());
    properties.with_message_type("Send");
    assert!(task(&properties, b"{}", now(), Priority::Normal, Owners::Believed).is_err());
    properties.with_message_type("send_email").with_message_id(&Uuid::from_u128(3).to_string());
    let json =
        task(&properties, b" {\"n\": 1.0} ", now(), Priority::Normal, Owners::Believed).unwrap();
    assert_eq!((json.kind.as_str(), json.payload.get()), ("send_email", "{\"n\": 1.0}"));
    assert_eq!(json.id.uuid(), Uuid::from_u128(3));
    assert!(task(&properties, b"{", now(), Priority::Normal, Owners::Believed).is_err());

    for (name, value) in [(OWNER, FieldValue::t(true)), (OWNER, "me".into()), (RUN_AT, "1".into())]
    {
        let mut headers = FieldTable::new();
        insert(&mut headers, name, value);
        properties.with_headers(headers);
        assert!(
            task(&properties, b"{}", now(), Priority::Normal, Owners::Believed).is_err(),
            "{name}"
        );
    }
}

#[test]
fn what_nobody_can_read_is_kept_as_it_came() {
    let mut headers = FieldTable::new();
    for (name, value) in [("CC", "tasks"), ("mine", "kept"), (REASON, "before")] {
        insert(&mut headers, name, value.into());
    }
    let mut original = BasicProperties::default();
    original
        .with_content_type("image/png")
        .with_headers(headers)
        .with_correlation_id("c")
        .with_user_id("someone")
        .with_expiration("1")
        .with_reply_to("amq.rabbitmq.reply-to")
        .with_app_id("a");
    let letter = unreadable(&original, vec![0xff], &"ü".repeat(LONGEST_REASON));
    let kept = letter.properties;
    assert_eq!((letter.route, letter.body), (Route::Dead, vec![0xff]));
    assert_eq!(kept.content_type().unwrap(), "image/png");
    assert_eq!(
        (kept.correlation_id().unwrap().as_str(), kept.app_id().unwrap().as_str()),
        ("c", "a")
    );
    assert_eq!((kept.user_id(), kept.expiration(), kept.reply_to()), (None, None, None));
    assert_eq!(kept.delivery_mode(), Some(2));
    let headers = kept.headers().unwrap();
    assert_eq!(headers.as_ref().len(), 2);
    assert!(
        matches!(header(&BasicProperties::default().with_headers(headers.clone()).finish(), REASON),
        Some(FieldValue::S(reason)) if reason.as_ref().len() == LONGEST_REASON)
    );
}

#[test]
fn a_buried_task_says_why() {
    let given = given("text", "\"x\"");
    let lease = Lease {
        task_id: given.id,
        kind: given.kind.clone(),
        payload: given.payload.clone(),
        attempt: 3,
        token: 9,
        history: Vec::new(),
    };
    let letter = buried(&given, &lease, "hopeless");
    assert_eq!((letter.route, letter.body.as_slice()), (Route::Dead, b"x".as_slice()));
    let reason = header(&letter.properties, REASON).unwrap().to_string();
    assert_eq!(
        (reason.as_str(), header(&letter.properties, ATTEMPT)),
        ("hopeless", Some(&FieldValue::l(3)))
    );
}

#[test]
fn priority_and_history_go_with_a_task() {
    let failed = FailedAttempt::new(2, now(), "no luck");
    for priority in Priority::ALL {
        let given = NewTask {
            owner: None,
            run_at: now(),
            priority,
            history: vec![failed.clone()],
            ..given("text", "\"x\"")
        };
        let letter = letter(&given, now());
        assert_eq!(letter.route, Route::Work(priority));
        assert_eq!((read(&letter).priority, read(&letter).history), (priority, given.history));
        let later = NewTask { run_at: Timestamp::from_micros(9_000_000), ..read(&letter) };
        let later = super::letter(&later, now());
        assert!(matches!(later.route, Route::Wait(_)));
        assert_eq!((read(&later).priority, read(&later).history.len()), (priority, 1));
    }
    // Without a word about it, it is as urgent as the queue it is on.
    let properties = BasicProperties::default();
    assert_eq!(
        task(&properties, b"x", now(), Priority::Low, Owners::Ignored).unwrap().priority,
        Priority::Low
    );
}

#[test]
fn what_is_recorded_says_so_in_as_few_bytes() {
    for (given, has_headers) in [
        (given("text", "\"x\""), true),
        (NewTask { owner: None, run_at: now(), ..given("text", "\"x\"") }, false),
    ] {
        let given = NewTask { origin: Origin::Recorded, ..given };
        let letter = letter(&given, now());
        assert_eq!(letter.properties.headers().is_some(), has_headers);
        assert_eq!(letter.properties.timestamp().is_some(), has_headers);
        assert_eq!(read(&letter).origin, Origin::Recorded);
        assert_eq!(read(&letter).id, given.id);
    }
    assert_eq!(read(&letter(&given("text", "1"), now())).origin, Origin::Outside);
}

#[test]
fn whose_a_task_of_another_program_is_is_believed_where_that_is_configured() {
    let outside = letter(&given("text", "\"x\""), now());
    let recorded = NewTask { origin: Origin::Recorded, ..given("text", "\"x\"") };
    let recorded = letter(&recorded, now());
    for (letter, owners, believed) in [
        (&outside, Owners::Ignored, false),
        (&outside, Owners::Believed, true),
        (&recorded, Owners::Ignored, true),
    ] {
        let read = task(&letter.properties, &letter.body, now(), Priority::Normal, owners).unwrap();
        assert_eq!(read.owner.is_some(), believed, "{owners:?}");
    }
}

#[test]
fn one_message_id_is_one_task() {
    let read = |id: &str| {
        let mut properties = BasicProperties::default();
        properties.with_message_id(id);
        task(&properties, b"x", now(), Priority::Normal, Owners::Ignored).unwrap().id
    };
    assert_eq!(read("order 17"), read("order 17"));
    assert_ne!(read("order 17"), read("order 18"));
    assert_ne!(read(""), read(""));
}
