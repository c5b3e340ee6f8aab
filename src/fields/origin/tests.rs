use std::fmt::Write;

use super::facts::may_tell;
use super::*;
use crate::record::Index;

/// A key with this number.
fn key(number: usize) -> String {
    format!("ASIA{number:016}")
}

fn user(name: &str) -> String {
    format!(
        r#"{{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/{name}","accountId":"111122223333","accessKeyId":"AKIA{name:Z<16}","userName":"{name}"}}"#
    )
}

fn role(name: &str, key: &str) -> String {
    format!(
        r#"{{"type":"AssumedRole","arn":"arn:aws:sts::111122223333:assumed-role/{name}","accountId":"111122223333","accessKeyId":"{key}"}}"#
    )
}

/// An event in which somebody gets a session with this key.
fn given(id: &str, identity: &str, key: &str, more: &str) -> String {
    let event = format!(
        r#"{{"userIdentity":{identity},"eventSource":"sts.amazonaws.com","eventName":"AssumeRole","responseElements":{{"credentials":{{"accessKeyId":"{key}"}}}},"eventID":"{id}"{more}}}"#
    );
    assert!(may_tell(event.as_bytes()), "{event}");
    event
}

fn event(identity: &str) -> String {
    format!(r#"{{"userIdentity":{identity},"eventSource":"s3.amazonaws.com","eventID":"e"}}"#)
}

fn note(sessions: &Sessions, event: &str) {
    sessions.note_bytes(event.as_bytes());
}

fn origin(sessions: &Sessions, event: &str) -> Origin {
    sessions.origin(&mut Record::new(event.as_bytes(), &mut Index::default()))
}

/// All that is told of an event's origin.
fn told(sessions: &Sessions, event: &str) -> String {
    use Part::{AccessKeyId, AccountId, Arn, By, Chain, EventId, Name};
    let origin = origin(sessions, event);
    let mut told = String::new();
    for part in [Name, By, Arn, AccountId, AccessKeyId, EventId, Chain] {
        let text = origin
            .text(part)
            .map_or("-".into(), String::from_utf8_lossy);
        write!(told, "{text}|").unwrap();
    }
    write!(told, "{}", origin.length().unwrap_or(0)).unwrap();
    told
}

const ALICE: &str = "arn:aws:iam::111122223333:user/alice|111122223333";

#[test]
fn what_is_noted_later_gives_a_fuller_answer() {
    let sessions = Sessions::default();
    let asked = event(&role("admin/x1", &key(3)));
    assert_eq!(told(&sessions, &asked), "-|-|-|-|-|-|… > admin/x1|1");
    note(&sessions, &given("3", &role("ops/b", &key(2)), &key(3), ""));
    assert_eq!(
        told(&sessions, &asked),
        "-|-|-|-|-|-|… > ops/b > admin/x1|2"
    );
    note(&sessions, &given("1", &user("alice"), &key(1), ""));
    assert_eq!(
        told(&sessions, &asked),
        "-|-|-|-|-|-|… > ops/b > admin/x1|2"
    );
    note(&sessions, &given("2", &role("dev/a", &key(1)), &key(2), ""));
    let full =
        format!("alice|key|{ALICE}|AKIAaliceZZZZZZZZZZZ|1|alice > dev/a > ops/b > admin/x1|4");
    assert_eq!(told(&sessions, &asked), full);
    // Again, in any order.
    note(&sessions, &given("3", &role("ops/b", &key(2)), &key(3), ""));
    assert_eq!(told(&sessions, &asked), full);
}

#[test]
fn a_temporary_key_of_a_user_may_be_one_that_is_noted_later() {
    let sessions = Sessions::default();
    let session = user("alice").replace("AKIAaliceZZZZZZZZZZZ", &key(1));
    note(&sessions, &given("2", &session, &key(2), ""));
    let asked = event(&role("dev/a", &key(2)));
    assert_eq!(
        told(&sessions, &asked),
        format!("alice|key|{ALICE}|-|-|alice > dev/a|2")
    );
    note(&sessions, &given("1", &user("alice"), &key(1), ""));
    assert_eq!(
        told(&sessions, &asked),
        format!("alice|key|{ALICE}|AKIAaliceZZZZZZZZZZZ|1|alice > alice > dev/a|3")
    );
}

#[test]
fn a_key_that_two_events_gave_out_leads_nowhere() {
    let sessions = Sessions::default();
    let asked = event(&role("dev/a", &key(1)));
    let first = given("1", &user("alice"), &key(1), "");
    for _ in 0..2 {
        note(&sessions, &first);
        assert!(told(&sessions, &asked).starts_with("alice|key"));
    }
    note(&sessions, &given("2", &user("alice"), &key(1), ""));
    note(&sessions, &first);
    assert_eq!(told(&sessions, &asked), "-|-|-|-|-|-|… > dev/a|1");
}

#[test]
fn a_key_of_another_session_leads_nowhere() {
    let sessions = Sessions::default();
    let arn = "arn:aws:sts::111122223333:assumed-role/dev/a";
    let given = given("1", &user("alice"), &key(1), "").replace(
        r#""credentials""#,
        &format!(r#""assumedRoleUser":{{"arn":"{arn}"}},"credentials""#),
    );
    note(&sessions, &given);
    let chain = |name| told(&sessions, &event(&role(name, &key(1))));
    assert!(chain("dev/a").ends_with("alice > dev/a|2"));
    assert!(chain("dev/b").ends_with("… > dev/b|1"));
}

#[test]
fn an_event_id_of_two_callers_leads_nowhere_whichever_comes_first() {
    let by = |name| given("1", &user(name), &key(1), "");
    for order in [["alice", "bob"], ["bob", "alice"]] {
        let sessions = Sessions::default();
        for name in order {
            note(&sessions, &by(name));
        }
        let asked = event(&role("dev/a", &key(1)));
        assert_eq!(told(&sessions, &asked), "-|-|-|-|-|-|… > dev/a|1");
    }
}

#[test]
fn of_two_accounts_copies_the_callers_counts_whichever_comes_first() {
    let account = r#"{"type":"AWSAccount","principalId":"AIDA","accountId":"111122223333"}"#;
    let shared = r#","sharedEventID":"s""#;
    let owners = given("1", account, &key(1), shared);
    let callers = given("2", &user("alice"), &key(1), shared);
    let asked = event(&role("dev/a", &key(1)));
    for order in [[&owners, &callers], [&callers, &owners]] {
        let sessions = Sessions::default();
        note(&sessions, order[0]);
        if *order[0] == owners {
            assert_eq!(
                told(&sessions, &asked),
                "account 111122223333|key|-|111122223333|-|1|account 111122223333 > dev/a|2"
            );
        }
        note(&sessions, order[1]);
        assert!(told(&sessions, &asked).starts_with("alice|key"));
    }
}

#[test]
fn masked_keys_are_not_noted() {
    let sessions = Sessions::default();
    let unlike = [
        "",
        "ASIA",
        "ASIA000000000000000*",
        "AKIA0000000000000001",
        "ASIA000000000000000a",
    ];
    for key in unlike {
        note(&sessions, &given("1", &user("alice"), key, ""));
        let asked = event(&role("dev/a", key));
        assert_eq!(told(&sessions, &asked), "-|-|-|-|-|-|… > dev/a|1", "{key}");
    }
    assert_eq!(sessions.version(), 0);
}

#[test]
fn a_circle_ends() {
    let sessions = Sessions::default();
    note(&sessions, &given("1", &role("a/a", &key(2)), &key(1), ""));
    note(&sessions, &given("2", &role("b/b", &key(1)), &key(2), ""));
    let told = told(&sessions, &event(&role("a/a", &key(1))));
    assert!(told.starts_with("-|-|-|-|-|-|… > "), "{told}");
    assert!(told.ends_with("|17"), "{told}");
}

#[test]
fn a_sign_in_is_followed_and_adds_no_name() {
    let sessions = Sessions::default();
    let session = "arn:aws:signin:us-east-1:111122223333:session/1";
    let context = format!(r#""sessionContext":{{"signInSessionArn":"{session}"}},"type""#);
    let asked = event(
        &user("alice")
            .replace("AKIA", "ASIA")
            .replace(r#""type""#, &context),
    );
    let unseen = format!("alice|signin|{ALICE}|-|-|alice|1");
    assert_eq!(told(&sessions, &asked), unseen);
    let sign_in = |name, id| {
        let identity = user("alice").replace(r#","accessKeyId":"AKIAaliceZZZZZZZZZZZ""#, "");
        let event = format!(
            r#"{{"userIdentity":{identity},"eventSource":"signin.amazonaws.com","eventName":"{name}","additionalEventData":{{"signInSessionArn":"{session}"}},"eventID":"{id}"}}"#
        );
        assert!(may_tell(event.as_bytes()));
        event
    };
    note(&sessions, &sign_in("CreateOAuth2Token", "1"));
    note(&sessions, &sign_in("AuthorizeOAuth2Access", "2"));
    note(&sessions, &sign_in("CreateOAuth2Token", "0"));
    assert_eq!(
        told(&sessions, &asked),
        format!("alice|signin|{ALICE}|-|2|alice|1")
    );
    // A role's session of that sign-in.
    let role = role("dev/a", &key(1)).replace(r#""type""#, &context);
    assert_eq!(
        told(&sessions, &event(&role)),
        format!("alice|signin|{ALICE}|-|2|alice > dev/a|2")
    );
}

#[test]
fn who_aws_vouches_for_goes_first() {
    let sessions = Sessions::default();
    note(&sessions, &given("1", &user("alice"), &key(1), ""));
    let vouched = |context: &str| {
        let role = role("dev/a", &key(1)).replace(r#""type""#, &format!(r#"{context},"type""#));
        told(&sessions, &event(&role))
    };
    let rest = format!("{ALICE}|AKIAaliceZZZZZZZZZZZ|1|alice > dev/a|2");
    let source = r#""sessionContext":{"sourceIdentity":"bob"}"#;
    let user = r#""onBehalfOf":{"userId":"u"}"#;
    assert_eq!(vouched(source), format!("bob|sourceidentity|{rest}"));
    assert_eq!(vouched(user), format!("u|onbehalfof|{rest}"));
    assert_eq!(
        vouched(&format!("{user},{source}")),
        format!("bob|sourceidentity|{rest}")
    );
}

#[test]
fn signs_of_the_chain_are_escaped_in_names() {
    let sessions = Sessions::default();
    note(&sessions, &given("1", &user(r"a>b\\c"), &key(1), ""));
    let chain = origin(&sessions, &event(&role("dev/a", &key(1))));
    assert_eq!(chain.text(Part::Chain), Some(&br"a\>b\\c > dev/a"[..]));
    assert_eq!(chain.text(Part::Name), Some(&br"a>b\c"[..]));
}

#[test]
fn memory_is_bounded_and_the_oldest_sessions_are_forgotten_first() {
    let is_known = |sessions: &Sessions, number| {
        let asked = event(&role("dev/a", &key(number)));
        origin(sessions, &asked).text(Part::Name).is_some()
    };
    for (more, kept) in [("", 100_000), (&*"x".repeat(1000), 25_000)] {
        let sessions = Sessions::default();
        let id = format!("00000000-0000-0000-0000-000000000000{more}");
        for number in 0..120_000 {
            note(&sessions, &given(&id, &user("alice"), &key(number), ""));
        }
        assert!(sessions.bytes() <= 40 << 20);
        assert!(is_known(&sessions, 119_999));
        assert!(is_known(&sessions, 120_000 - kept));
        assert!(!is_known(&sessions, 0));
    }
    // What AWS never writes takes no room.
    let sessions = Sessions::default();
    note(
        &sessions,
        &given(&"x".repeat(5_000), &user("alice"), &key(1), ""),
    );
    assert_eq!(sessions.bytes(), 0);
}

/// Sources in all their spellings; only those that may tell something are looked at.
#[test]
fn what_may_tell_is_seen_by_its_source() {
    for (record, may) in [
        (
            r#"{"eventSource":"sts.amazonaws.com","a":{"credentials":{}}}"#,
            true,
        ),
        (r#"{"eventSource":"sts.amazonaws.com"}"#, false),
        (
            "{\"eventSource\" :\n\t\"signin.amazonaws.com\", \"a\": {\"signInSessionArn\": \"b\"}}",
            true,
        ),
        (
            r#"{"eventSource":"s3.amazonaws.com","a":{"credentials":{}}}"#,
            false,
        ),
        (
            r#"{"eventSource":"sts.amazonaws.com.example.com","credentials":{}}"#,
            false,
        ),
        (
            r#"{"a":"\"eventSource\":\"s3.amazonaws.com\"","eventSource":"sts.amazonaws.com","credentials":{}}"#,
            true,
        ),
        (
            r#"{"a":"eventSource","eventSource":"sts.amazonaws.com","credentials":{}}"#,
            true,
        ),
        ("{}", false),
        ("", false),
        (r#""eventSource""#, false),
    ] {
        assert_eq!(may_tell(record.as_bytes()), may, "{record}");
    }
}

#[test]
fn root_of_another_account_is_followed() {
    let sessions = Sessions::default();
    let event = given(
        "1",
        &user("alice"),
        &key(1),
        r#","requestParameters":{"targetPrincipal":"444455556666"}"#,
    )
    .replace("AssumeRole", "AssumeRoot");
    note(&sessions, &event);
    let root = |account: &str| {
        let identity = format!(
            r#"{{"type":"Root","arn":"arn:aws:iam::{account}:root","accountId":"{account}","accessKeyId":"{}","sessionContext":{{"assumedRoot":"true"}}}}"#,
            key(1)
        );
        told(&sessions, &super::tests::event(&identity))
    };
    assert!(
        root("444455556666").ends_with("alice > root|2"),
        "{}",
        root("444455556666")
    );
    assert!(root("111122223333").ends_with("… > root|1"));
}
