//! How a request was made, and whether it failed.

use super::{Text, text_of};
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
/// but not the `aws-cli/2.17 … md/command#ec2.get-console-screenshot`. That of a browser is found on pages of
/// AWS and elsewhere, and easily made up.
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
    record.text(Member::ErrorCode).is_some()
        || record.text(Member::ErrorMessage).is_some()
        || [Member::ResponseElements, Member::ServiceEventDetails]
            .into_iter()
            .any(|member| is_failure(record, member).is_some())
}

/// Whether an event that tells its outcome under its own name, as those of signing in do, tells of failure.
fn is_failure(record: &mut Record<'_>, member: Member) -> Option<()> {
    let kind = record.text(Member::EventType)?;
    if !matches!(&*kind, b"AwsConsoleSignIn" | b"AwsServiceEvent") {
        return None;
    }
    let name = record.text(Member::EventName)?;
    let outcome = record.get(member)?.member(str::from_utf8(&name).ok()?)?;
    (*outcome.text()? == *b"Failure").then_some(())
}
