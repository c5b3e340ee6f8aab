//! How a request was made, and whether it failed.

use super::{COMPUTED, Text, text_of};
use crate::record::{Member, Record};

/// `ct.console`
pub(super) fn console(record: &mut Record<'_>) -> bool {
    let is = |record: &mut Record<'_>, member, text: &[u8]| {
        record.text(member).is_some_and(|value| *value == *text)
    };
    is(record, Member::SessionCredentialFromConsole, b"true")
        || is(record, Member::EventType, b"AwsConsoleSignIn")
        || is(record, Member::EventType, b"AwsConsoleAction")
        || record
            .text(Member::UserAgent)
            .is_some_and(|agent| is_console(&agent))
}

/// Whether a user agent's name is a console's: `console.amazonaws.com`, `[S3Console/0.4, …]`, `RDS Console, …`,
/// but not `aws-cli/2.17 … md/command#ec2.get-console-screenshot`. A browser's user agent does not count: browsers
/// are used for other things too, and programs can pretend to be one.
fn is_console(agent: &[u8]) -> bool {
    let name = agent.split(|byte| b"/,".contains(byte)).next();
    name.is_some_and(|name| memchr::memmem::find(name, b"onsole").is_some())
}

/// `ct.mfaused`
pub(super) fn mfa_used<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    if let Some((used, range)) = text_of(record, Member::MfaUsed) {
        // Yes, No, at times YES.
        let used: &[u8] = match &*used.to_ascii_lowercase() {
            b"yes" | b"true" => b"true",
            b"no" | b"false" => b"false",
            _ => return None,
        };
        return Some((used.into(), range));
    }
    text_of(record, Member::SessionMfa)
}

/// `ct.failed`
pub(super) fn failed(record: &mut Record<'_>) -> bool {
    let code = record.text(Member::ErrorCode);
    let has_error = match code.as_deref() {
        Some(code) if !is_nothing(code) => !is_success(code),
        _ => record
            .text(Member::ErrorMessage)
            .is_some_and(|message| is_error(&message)),
    };
    has_error || is_failure(record)
}

/// `ct.outcome`
pub(super) fn outcome<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    const SIGN_INS: [Member; 4] = [
        Member::ResponseConsoleLogin,
        Member::ResponseCheckMfa,
        Member::ResponsePasswordUpdated,
        Member::ResponseSwitchRole,
    ];
    // Why a sign-in failed is in the message alone.
    for member in [Member::ErrorCode, Member::ErrorMessage] {
        let error = text_of(record, member).filter(|(error, _)| is_error(error));
        if error.is_some() {
            return error;
        }
    }
    let result = SIGN_INS
        .into_iter()
        .find_map(|member| text_of(record, member));
    let Some((result, range)) = result else {
        return is_failure(record).then_some((b"Failure".into(), COMPUTED));
    };
    // Whoever signs in elsewhere uses MFA there, if at all, and AWS says No.
    let identity = record.text(Member::IdentityType);
    let is_of_aws = identity.is_some_and(|kind| [&b"IAMUser"[..], b"Root"].contains(&&*kind));
    let used = mfa_used(record).filter(|_| is_of_aws && *result == *b"Success");
    Some(match used.as_ref().map(|(used, _)| &**used) {
        Some(b"true") => (b"Success with MFA".into(), COMPUTED),
        Some(b"false") => (b"Success without MFA".into(), COMPUTED),
        _ => (result, range),
    })
}

/// `ct.omitted`
pub(super) fn omitted<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    // Written as a text and as a flag.
    let mut reason = |omitted, reason| {
        let omitted = record.text(omitted)?;
        let reason = || text_of(record, reason).or(Some((b"true".into(), COMPUTED)));
        omitted.eq_ignore_ascii_case(b"true").then(reason).flatten()
    };
    reason(Member::RequestOmitted, Member::RequestReason)
        .or_else(|| reason(Member::ResponseOmitted, Member::ResponseReason))
}

/// Does an error code or message tell of an error? Amazon Managed Grafana writes the code 200 beside a success.
pub(super) fn is_error(text: &[u8]) -> bool {
    !is_nothing(text) && !is_success(text)
}

/// What is written where there is no error.
fn is_nothing(text: &[u8]) -> bool {
    is_one_of(text, &["", "none", "null"])
}

/// 0, the 200 to 299 of HTTP, and their names.
fn is_success(text: &[u8]) -> bool {
    let is_http = matches!(text.trim_ascii(), [b'2', b'0'..=b'9', b'0'..=b'9']);
    is_http || is_one_of(text, &["0", "ok", "success", "succeeded", "successful"])
}

fn is_one_of(text: &[u8], words: &[&str]) -> bool {
    let text = text.trim_ascii();
    words
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word.as_bytes()))
}

/// Whether an event that tells its outcome under its own name, as those of signing in do, tells of failure.
fn is_failure(record: &mut Record<'_>) -> bool {
    let kind = record.text(Member::EventType);
    if !kind.is_some_and(|kind| matches!(&*kind, b"AwsConsoleSignIn" | b"AwsServiceEvent")) {
        return false;
    }
    let mut tells = |member| -> Option<bool> {
        let name = record.text(Member::EventName)?;
        let outcome = record.get(member)?.member(str::from_utf8(&name).ok()?)?;
        Some(*outcome.text()? == *b"Failure")
    };
    [Member::ResponseElements, Member::ServiceEventDetails]
        .into_iter()
        .any(|member| tells(member) == Some(true))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answer, text};
    use super::*;

    #[test]
    fn the_outcome_is_that_of_the_request_or_of_the_sign_in() {
        let sign_in = |rest: &str| {
            format!(r#"{{"eventType":"AwsConsoleSignIn","eventName":"ConsoleLogin",{rest}}}"#)
        };
        let user = r#""userIdentity":{"type":"IAMUser"}"#;
        let role = r#""userIdentity":{"type":"AssumedRole"}"#;
        let success = r#""responseElements":{"ConsoleLogin":"Success"}"#;
        let mfa = |used: &str| format!(r#""additionalEventData":{{"MFAUsed":"{used}"}}"#);
        for (record, expected) in [
            ("{}".to_owned(), None),
            (
                r#"{"errorCode":"AccessDenied","errorMessage":"not authorized"}"#.to_owned(),
                Some("AccessDenied"),
            ),
            (r#"{"errorCode":"200"}"#.to_owned(), None),
            (
                sign_in(&format!(
                    r#"{user},"errorMessage":"Failed authentication","responseElements":{{"ConsoleLogin":"Failure"}}"#
                )),
                Some("Failed authentication"),
            ),
            (
                sign_in(&format!(r#"{user},"responseElements":{{"ConsoleLogin":"Failure"}}"#)),
                Some("Failure"),
            ),
            (
                sign_in(&format!("{user},{success},{}", mfa("Yes"))),
                Some("Success with MFA"),
            ),
            (
                sign_in(&format!("{user},{success},{}", mfa("No"))),
                Some("Success without MFA"),
            ),
            // It may have used MFA where it signed in.
            (
                sign_in(&format!("{role},{success},{}", mfa("No"))),
                Some("Success"),
            ),
            (sign_in(&format!("{user},{success}")), Some("Success")),
            (
                r#"{"eventType":"AwsServiceEvent","eventName":"X","serviceEventDetails":{"X":"Failure"}}"#.to_owned(),
                Some("Failure"),
            ),
        ] {
            assert_eq!(text(&record, outcome).as_deref(), expected, "{record}");
        }
    }

    #[test]
    fn people_at_a_console_are_told_by_session_type_or_agent() {
        for (record, expected) in [
            ("{}", false),
            (r#"{"sessionCredentialFromConsole":"true"}"#, true),
            (r#"{"sessionCredentialFromConsole":true}"#, true),
            (r#"{"sessionCredentialFromConsole":"false"}"#, false),
            (r#"{"eventType":"AwsConsoleSignIn"}"#, true),
            (r#"{"eventType":"AwsConsoleAction"}"#, true),
            (r#"{"eventType":"AwsApiCall"}"#, false),
            (r#"{"userAgent":"console.amazonaws.com"}"#, true),
            (r#"{"userAgent":"[S3Console/0.4, aws-internal/3]"}"#, true),
            (r#"{"userAgent":"RDS Console, Coral/Netty4"}"#, true),
            (
                r#"{"userAgent":"aws-cli/2.17 md/command#ec2.get-console-screenshot"}"#,
                false,
            ),
        ] {
            assert_eq!(answer(record, console), expected, "{record}");
        }
    }

    #[test]
    fn mfa_is_that_of_the_sign_in_or_of_the_session() {
        let session =
            r#""userIdentity":{"sessionContext":{"attributes":{"mfaAuthenticated":"false"}}}"#;
        for (sign_in, expected) in [
            ("", Some("false")),
            (r#","additionalEventData":{"MFAUsed":"Yes"}"#, Some("true")),
            (r#","additionalEventData":{"MFAUsed":"YES"}"#, Some("true")),
            (r#","additionalEventData":{"MFAUsed":"No"}"#, Some("false")),
            (r#","additionalEventData":{"MFAUsed":"Perhaps"}"#, None),
        ] {
            let record = format!("{{{session}{sign_in}}}");
            assert_eq!(text(&record, mfa_used).as_deref(), expected, "{record}");
        }
        assert_eq!(text("{}", mfa_used), None);
    }

    #[test]
    fn what_cloudtrail_leaves_out_is_told() {
        for (record, expected) in [
            (
                r#"{"requestParameters":{"omitted":"true","originalSize":"149893","reason":"requestParameters too large"}}"#,
                Some("requestParameters too large"),
            ),
            (r#"{"requestParameters":{"omitted":true}}"#, Some("true")),
            (
                r#"{"responseElements":{"omitted":true,"reason":"responseElements too large"}}"#,
                Some("responseElements too large"),
            ),
            (
                r#"{"requestParameters":{"omitted":false,"reason":"r"}}"#,
                None,
            ),
            (r#"{"requestParameters":{"reason":"r"}}"#, None),
        ] {
            assert_eq!(text(record, omitted).as_deref(), expected, "{record}");
        }
    }

    #[test]
    fn errors_and_failures_are_failures_and_codes_of_success_are_none() {
        for (record, expected) in [
            ("{}", false),
            (r#"{"errorCode":null,"errorMessage":null}"#, false),
            (r#"{"errorCode":"AccessDenied"}"#, true),
            (r#"{"errorMessage":"Failed authentication"}"#, true),
            (r#"{"errorCode":"403"}"#, true),
            (r#"{"errorCode":"500","errorMessage":"OK"}"#, true),
            (r#"{"errorCode":"2000"}"#, true),
            (r#"{"errorCode":"Client.DryRunOperation"}"#, true),
            // Of Amazon Managed Grafana.
            (r#"{"errorCode":"200"}"#, false),
            (r#"{"errorCode":200}"#, false),
            (r#"{"errorCode":"201","errorMessage":"Created"}"#, false),
            (r#"{"errorCode":"204"}"#, false),
            (r#"{"errorCode":"0"}"#, false),
            (r#"{"errorCode":"Success"}"#, false),
            (r#"{"errorCode":"OK","errorMessage":""}"#, false),
            // Empty in public records of S3.
            (r#"{"errorCode":""}"#, false),
            (r#"{"errorCode":"None","errorMessage":"None"}"#, false),
            (r#"{"errorCode":"","errorMessage":" "}"#, false),
            (r#"{"errorCode":"","errorMessage":"Access Denied"}"#, true),
            (r#"{"errorMessage":"Success"}"#, false),
            // What a sign-in or a service tells under the event's own name.
            (
                r#"{"eventType":"AwsConsoleSignIn","eventName":"ConsoleLogin","responseElements":{"ConsoleLogin":"Failure"}}"#,
                true,
            ),
            (
                r#"{"eventType":"AwsConsoleSignIn","eventName":"ConsoleLogin","responseElements":{"ConsoleLogin":"Success"}}"#,
                false,
            ),
            (
                r#"{"eventType":"AwsServiceEvent","eventName":"X","serviceEventDetails":{"X":"Failure"},"errorCode":"200"}"#,
                true,
            ),
            (
                r#"{"eventType":"AwsApiCall","eventName":"X","responseElements":{"X":"Failure"}}"#,
                false,
            ),
        ] {
            assert_eq!(answer(record, failed), expected, "{record}");
        }
    }
}
