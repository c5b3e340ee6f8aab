//! Errors of AWS. Their kind decides what is done; their words, which are made here and nowhere else, tell a person what
//! was being done, with which credentials, what went wrong, and what to do about it.

use std::error::Error as StdError;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::access::Access;
use super::credentials::Missing;
use super::endpoint::Endpoint;
use super::operation::{Operation, Service};
use super::sdk_error::{chain, code, reason, status, told_region};
use crate::settings::location::presentable;

/// What an error means, independent of the caller.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// The service, or what is between, failed: the same request may succeed later.
    Transient,
    /// There were too many requests: the same request will succeed later.
    Throttled,
    /// This machine's clock is wrong, for example after sleep, until it is set.
    Clock,
    /// The credentials have expired; others may be found.
    Expired,
    /// Credentials can't be obtained at the moment, for example because their provider can't be reached.
    CredentialsUnavailable,
    /// There are no credentials until somebody does something about it, for example logs in.
    CredentialsMissing,
    /// The credentials are not valid here, whatever is asked for: they were deleted, or belong to another partition, or to
    /// an account that has not enabled the region.
    CredentialsInvalid,
    /// A permission is missing.
    Denied,
    /// There is no such bucket, object, queue or log group.
    Gone,
    /// The object is archived.
    Archived,
    /// The bucket is in another region.
    Elsewhere,
    /// The token for the next page is no longer accepted.
    PageTokenInvalid,
    /// Something is wrong with the request, as the service sees it.
    ParameterInvalid,
    /// The service doesn't have this.
    Unsupported,
    /// Everything else, for which another try does not help.
    Other,
}

impl Kind {
    /// May the same request succeed by itself, a little later?
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Transient | Self::Throttled | Self::Clock)
    }

    /// Are the credentials the reason, whatever was asked for?
    pub fn is_about_credentials(self) -> bool {
        matches!(
            self,
            Self::Expired
                | Self::CredentialsUnavailable
                | Self::CredentialsMissing
                | Self::CredentialsInvalid
        )
    }
}

/// A request that failed.
#[derive(Debug)]
pub(crate) struct Error {
    pub kind: Kind,
    pub operation: Operation,
    /// The HTTP status, where there was an answer.
    pub status: Option<u16>,
    /// The code that the service gave, or else the status; empty where it gave no answer.
    pub code: String,
    /// The region that S3 says a bucket is in.
    pub region: Option<String>,
    /// How often it was tried again, and how long.
    pub tries: u32,
    pub elapsed: Duration,
    /// What its words are made of.
    details: Box<Details>,
    advice: Advice,
}

/// What the words of an [`Error`] are made of.
#[derive(Debug)]
struct Details {
    /// What it was about: a bucket's URL, a queue's name, a log group's, a region.
    target: String,
    /// The same as an ARN, as policies need it, where the operation's permission does not tell it.
    resource: Option<String>,
    /// What users call the credentials in use.
    who: String,
    /// The endpoint that was asked instead of AWS.
    endpoint: Option<Endpoint>,
    /// What went wrong, in the words of the service or of the SDK.
    reason: String,
}

/// How the words continue after what was being done.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Advice {
    /// Nothing is added to the reason.
    Complete,
    /// The service has answered: its answer's kind and code decide.
    ByKind,
    /// The answer can't be understood.
    NotUnderstood,
    /// No answer came in time.
    TooLate,
    /// Nothing was sent.
    NotSent,
    /// There was no connection.
    Unreachable,
}

impl Error {
    /// The error of a request that the SDK has sent or tried to send.
    pub fn of<E>(
        access: &Access,
        operation: Operation,
        target: &str,
        error: &SdkError<E, HttpResponse>,
    ) -> Self
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        let mut found = Self {
            kind: Kind::Other,
            operation,
            status: status(error),
            code: code(error),
            region: told_region(error),
            tries: 0,
            elapsed: Duration::ZERO,
            details: Box::new(Details {
                target: target.to_owned(),
                resource: None,
                who: access.who(),
                endpoint: access.endpoint(operation.service()).cloned(),
                reason: reason(error),
            }),
            advice: Advice::ByKind,
        };
        let was_answered = matches!(
            error,
            SdkError::ServiceError(_) | SdkError::ResponseError(_)
        );
        if !was_answered && let Some(Missing { why, needs_action }) = access.missing_credentials() {
            found.kind = match needs_action {
                true => Kind::CredentialsMissing,
                false => Kind::CredentialsUnavailable,
            };
            found.details.reason = why;
            found.advice = Advice::Complete;
            return found;
        }
        (found.kind, found.advice) = match error {
            SdkError::ServiceError(_) if found.code == "200" => {
                (Kind::Other, Advice::NotUnderstood)
            }
            SdkError::ServiceError(_) => (
                kind_of_code(&found.code, found.status, &found.details.reason),
                Advice::ByKind,
            ),
            SdkError::ResponseError(_) => (Kind::Transient, Advice::NotUnderstood),
            SdkError::TimeoutError(_) => (Kind::Transient, Advice::TooLate),
            SdkError::DispatchFailure(failure) if failure.is_io() || failure.is_timeout() => {
                (Kind::Transient, Advice::Unreachable)
            }
            SdkError::ConstructionFailure(_) => {
                if let Some(source) = error.source() {
                    found.details.reason = chain(source);
                }
                (Kind::Other, Advice::NotSent)
            }
            _ => (Kind::Other, Advice::Unreachable),
        };
        found
    }

    /// An error that the plugin itself has found.
    pub fn new(kind: Kind, operation: Operation, target: &str, reason: String) -> Self {
        Self {
            kind,
            operation,
            status: None,
            code: String::new(),
            region: None,
            tries: 0,
            elapsed: Duration::ZERO,
            details: Box::new(Details {
                target: target.to_owned(),
                resource: None,
                who: String::new(),
                endpoint: None,
                reason,
            }),
            advice: Advice::Complete,
        }
    }

    /// About this resource, an ARN in the form that policies need.
    pub fn on(mut self, resource: &str) -> Self {
        self.details.resource = Some(resource.to_owned());
        self
    }

    /// Does a store refuse buckets in the path, or in the host's name?
    pub fn wants_other_style(&self) -> bool {
        // Codes of Alibaba, Huawei and Tencent.
        matches!(
            self.code.as_str(),
            "SecondLevelDomainForbidden" | "VirtualHostDomainRequired" | "PathStyleDomainForbidden"
        )
    }

    /// What was being done.
    pub fn doing(&self) -> String {
        self.operation.doing(&self.details.target)
    }

    /// What to do about it, if the service has answered.
    fn advice(&self) -> String {
        let service = self.operation.service();
        match (self.kind, self.code.as_str()) {
            (Kind::Gone, _) if service == Service::Sqs => "there is no such queue there, or these credentials may \
                 not see it: check its name, aws.region and, for another account's, sqsOwnerAccount"
                .to_owned(),
            (Kind::Gone, _) if service == Service::Logs => "there is no such log group there, or these credentials may not \
                 see it: check its name and region (logs://REGION/GROUP); that of another account is given as its ARN"
                .to_owned(),
            (Kind::Expired, _) => {
                "the credentials have expired: log in again (aws sso login, aws login) or renew them".to_owned()
            }
            (Kind::CredentialsInvalid, "SignatureDoesNotMatch" | "InvalidSignatureException") => {
                "the secret access key does not belong to the access key ID".to_owned()
            }
            (Kind::CredentialsInvalid, _) if service == Service::S3 => "the credentials are not valid there: check the \
                 profile, that they belong to the bucket's partition or store, and that its region is enabled for the account"
                .to_owned(),
            (Kind::CredentialsInvalid, _) => "the credentials are not valid there: check the profile, and that the \
                 region is enabled for the account and belongs to the credentials' partition"
                .to_owned(),
            (Kind::Clock, _) => "set this machine's clock".to_owned(),
            (Kind::Denied, _) => self.missing_permission(),
            (Kind::Elsewhere, _) => "the bucket is in another region: set aws.region".to_owned(),
            (Kind::Transient | Kind::Throttled, _) => format!(
                "{} could not serve the request after several tries: try again later",
                service.name()
            ),
            _ => String::new(),
        }
    }

    fn missing_permission(&self) -> String {
        let lower = self.details.reason.to_ascii_lowercase();
        let of_kms = ["kms:", "kms key", "kms.access", "kmsaccess"]
            .iter()
            .any(|word| lower.contains(word));
        if of_kms {
            let what = match self.operation.service() {
                Service::Sqs => "queue is",
                _ => "log files are",
            };
            return format!("the {what} encrypted: these credentials need kms:Decrypt on the key");
        }
        let permission = self.operation.permission();
        match &self.details.resource {
            Some(resource) => format!("these credentials need {permission} on {resource}"),
            None => format!("these credentials need {permission}"),
        }
    }
}

impl Display for Error {
    fn fmt(&self, text: &mut Formatter<'_>) -> fmt::Result {
        let reason = &self.details.reason;
        let to = self.instead_of_aws();
        write!(text, "{}", self.doing())?;
        match self.advice {
            Advice::Complete => write!(text, ": {reason}"),
            Advice::ByKind => self.fmt_answer(text),
            Advice::NotUnderstood => {
                let service = self.operation.service().name();
                write!(text, ": the answer is not one that {service} gives{to}")?;
                match self.code.as_str() {
                    "200" => Ok(()),
                    _ => write!(text, ": {reason}"),
                }
            }
            Advice::TooLate => write!(text, ": no answer in time{to}: {reason}"),
            Advice::NotSent => write!(text, "{to}: {reason}"),
            Advice::Unreachable => self.fmt_unreachable(text),
        }?;
        match self.tries {
            0 => Ok(()),
            tries => write!(
                text,
                " (tried {} times in {} s)",
                tries + 1,
                self.elapsed.as_secs()
            ),
        }
    }
}

impl Error {
    /// The endpoint that was asked instead of AWS, in parentheses; empty if there is none.
    fn instead_of_aws(&self) -> String {
        match &self.details.endpoint {
            Some(endpoint) => format!(" ({} is {})", endpoint.from, presentable(&endpoint.url)),
            None => String::new(),
        }
    }

    /// The words for an error that the service has answered with.
    fn fmt_answer(&self, text: &mut Formatter<'_>) -> fmt::Result {
        let code = &self.code;
        match self.kind {
            Kind::Gone if code == "NoSuchBucket" => {
                write!(
                    text,
                    ": there is no such bucket (NoSuchBucket): check its name"
                )?;
                match &self.details.endpoint {
                    Some(endpoint) => {
                        write!(
                            text,
                            " and {}, {}",
                            endpoint.from,
                            presentable(&endpoint.url)
                        )
                    }
                    None => Ok(()),
                }
            }
            Kind::Gone if self.operation.service() == Service::S3 => write!(
                text,
                ": it is gone ({code}): it was deleted after the listing or message that named it"
            ),
            Kind::Archived => write!(
                text,
                ": it is archived ({code}): restore it from its storage class first"
            ),
            _ => {
                let Details { who, reason, .. } = &*self.details;
                let to = self.instead_of_aws();
                match self.advice() {
                    none if none.is_empty() => write!(text, " with {who}: {reason}{to}"),
                    // The remedy first: hosts cut long errors.
                    advice => {
                        write!(text, ": {advice} ({code}); with {who}")?;
                        let words = reason.strip_suffix(&format!(" ({code})"));
                        match words.unwrap_or(reason) {
                            words if words == code => {}
                            words => write!(text, ": {words}")?,
                        }
                        write!(text, "{to}")
                    }
                }
            }
        }
    }

    /// The words for an error without a connection.
    fn fmt_unreachable(&self, text: &mut Formatter<'_>) -> fmt::Result {
        let reason = &self.details.reason;
        let why = if reason.contains("UnknownIssuer") {
            "the certificate was issued by an authority that is not trusted here: name a file with the authority's \
             certificate in AWS_CA_BUNDLE or ca_bundle"
        } else if self.operation.service() == Service::CloudTrail {
            "can't reach CloudTrail there: check the region's name"
        } else if self.operation.service() == Service::Logs {
            "can't reach CloudWatch Logs there: check the region's name"
        } else {
            "can't reach it"
        };
        write!(text, ": {why}{}: {reason}", self.instead_of_aws())
    }
}

impl StdError for Error {}

/// What a code of S3, SQS, CloudTrail, CloudWatch Logs, STS or KMS means.
fn kind_of_code(code: &str, status: Option<u16>, reason: &str) -> Kind {
    match code {
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => Kind::Expired,
        "RequestTimeTooSkewed" => Kind::Clock,
        // "Signature expired: … is now earlier than …", "Signature not yet current: …".
        "InvalidSignatureException" | "SignatureDoesNotMatch"
            if ["expired", "current"]
                .iter()
                .any(|word| reason.contains(word)) =>
        {
            Kind::Clock
        }
        "InvalidAccessKeyId"
        | "InvalidToken"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "AuthFailure"
        | "OptInRequired"
        | "SignatureDoesNotMatch"
        | "InvalidSignatureException" => Kind::CredentialsInvalid,
        "AccessDenied"
        | "AccessDeniedException"
        | "AllAccessDisabled"
        | "403"
        | "KmsAccessDenied"
        | "KMS.AccessDeniedException" => Kind::Denied,
        "NoSuchBucket"
        | "NoSuchKey"
        | "QueueDoesNotExist"
        | "ResourceNotFoundException"
        | "AWS.SimpleQueueService.NonExistentQueue" => Kind::Gone,
        "InvalidObjectState" => Kind::Archived,
        "PermanentRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException"
        | "301" => Kind::Elsewhere,
        "InvalidNextTokenException" => Kind::PageTokenInvalid,
        "InvalidParameterException" => Kind::ParameterInvalid,
        "InvalidEventCategoryException"
        | "UnsupportedOperationException"
        | "OperationNotPermittedException" => Kind::Unsupported,
        "SlowDown"
        | "Throttling"
        | "ThrottlingException"
        | "RequestThrottled"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        | "KmsThrottled"
        | "KMS.ThrottlingException"
        | "OverLimit"
        // Of Logs Insights: as many queries run already as may.
        | "LimitExceededException"
        | "429" => Kind::Throttled,
        "RequestTimeout" | "TemporaryRedirect" => Kind::Transient,
        _ => match status {
            Some(429) => Kind::Throttled,
            Some(500..=599 | 408) => Kind::Transient,
            _ => Kind::Other,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_code_has_its_kind_whatever_the_status() {
        for (kind, codes) in [
            (
                Kind::Expired,
                &["ExpiredToken", "ExpiredTokenException"][..],
            ),
            (Kind::Clock, &["RequestTimeTooSkewed"]),
            (
                Kind::CredentialsInvalid,
                &[
                    "InvalidAccessKeyId",
                    "InvalidClientTokenId",
                    "UnrecognizedClientException",
                    "OptInRequired",
                    "SignatureDoesNotMatch",
                ],
            ),
            (
                Kind::Denied,
                &["AccessDenied", "AccessDeniedException", "403"],
            ),
            (
                Kind::Gone,
                &["NoSuchBucket", "NoSuchKey", "QueueDoesNotExist"],
            ),
            (Kind::Archived, &["InvalidObjectState"]),
            (
                Kind::Elsewhere,
                &["PermanentRedirect", "AuthorizationHeaderMalformed", "301"],
            ),
            (Kind::PageTokenInvalid, &["InvalidNextTokenException"]),
            (Kind::ParameterInvalid, &["InvalidParameterException"]),
            (Kind::Unsupported, &["UnsupportedOperationException"]),
            (
                Kind::Throttled,
                &["SlowDown", "ThrottlingException", "OverLimit", "429"],
            ),
            (Kind::Transient, &["RequestTimeout", "TemporaryRedirect"]),
            (Kind::Other, &["NotImplemented", "405", ""]),
        ] {
            for code in codes {
                assert_eq!(kind_of_code(code, Some(400), "no"), kind, "{code}");
            }
        }
    }

    #[test]
    fn the_status_decides_what_an_unknown_code_means() {
        for (status, kind) in [
            (Some(429), Kind::Throttled),
            (Some(408), Kind::Transient),
            (Some(500), Kind::Transient),
            (Some(599), Kind::Transient),
            (Some(400), Kind::Other),
            (Some(600), Kind::Other),
            (None, Kind::Other),
        ] {
            assert_eq!(kind_of_code("New", status, ""), kind, "{status:?}");
        }
    }

    #[test]
    fn a_signature_that_is_too_old_or_too_new_is_about_the_clock() {
        for code in ["SignatureDoesNotMatch", "InvalidSignatureException"] {
            for (reason, kind) in [
                ("Signature expired: 1 is now earlier than 2", Kind::Clock),
                (
                    "Signature not yet current: 2 is still later than 1",
                    Kind::Clock,
                ),
                ("The signature does not match", Kind::CredentialsInvalid),
            ] {
                assert_eq!(kind_of_code(code, Some(403), reason), kind, "{reason}");
            }
        }
    }

    #[test]
    fn an_error_says_what_was_being_done_and_why_it_failed() {
        for (operation, target, words) in [
            (Operation::List, "s3://logs", "listing s3://logs: down"),
            (Operation::Get, "s3://logs/x", "reading it: down"),
            (Operation::FindQueue, "q", "finding the queue q: down"),
            (
                Operation::LookUp,
                "us-east-1",
                "looking up the event history of us-east-1: down",
            ),
        ] {
            let mut error = Error::new(Kind::Transient, operation, target, "down".to_owned());
            assert_eq!(error.to_string(), words);
            error.tries = 5;
            error.elapsed = Duration::from_millis(7900);
            assert_eq!(error.to_string(), format!("{words} (tried 6 times in 7 s)"));
        }
    }
}
