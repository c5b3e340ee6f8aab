//! Errors of AWS: what they mean, and in words of users.

use std::error::Error as StdError;

use anyhow::{Error, anyhow};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Error;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::access::Access;
use crate::settings::location::presentable;

/// Why a listing failed.
pub(crate) type ListError = SdkError<ListObjectsV2Error, HttpResponse>;

impl Access {
    /// An error of AWS in the words of its users: what was being done, with which credentials, and what to do about it.
    pub fn explain<E>(&self, error: &SdkError<E, HttpResponse>, doing: &str) -> Error
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        let who = self.credentials.who();
        if let Some(failure) = self.credentials.failure() {
            return anyhow!("{doing}: {failure}");
        }
        let message = message(error);
        let said = |advice: &str| {
            anyhow!(
                "{doing} with {who}: {message}{}{advice}",
                if advice.is_empty() { "" } else { ": " }
            )
        };
        let code = code(error);
        let to = self.endpoint.as_ref().map_or_else(String::new, |endpoint| {
            format!(" (aws.endpoint is {})", presentable(endpoint))
        });
        let of_history = doing.starts_with(LOOKING_UP);
        let service = if of_history || doing.starts_with(LISTING_KEYS) {
            "CloudTrail"
        } else if doing.contains("queue") {
            "SQS"
        } else {
            "S3"
        };
        match code.as_str() {
            // An answer without an error that can't be understood.
            "200" => anyhow!("{doing}: the answer is not one of {service}{to}"),
            "NoSuchBucket" => anyhow!(
                "{doing}: there is no such bucket (NoSuchBucket): check its name{}",
                match &self.endpoint {
                    Some(endpoint) => format!(" and aws.endpoint, {}", presentable(endpoint)),
                    None => String::new(),
                }
            ),
            "NoSuchKey" => {
                anyhow!("{doing}: it is gone (NoSuchKey): it has been deleted since it was named")
            }
            "QueueDoesNotExist" | "AWS.SimpleQueueService.NonExistentQueue" => said(
                "there is no such queue there, or it is not for these credentials: check its name and region (aws.region) and, where another account owns it, sqsOwnerAccount",
            ),
            "InvalidObjectState" => anyhow!(
                "{doing}: it is archived (InvalidObjectState): restore it from its storage class first"
            ),
            "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => said(
                "the credentials have expired: log in again (aws sso login, aws login) or renew them",
            ),
            _ if of_history && is_unknown_there(error) => said(
                "the credentials are not valid there: check the profile, and that the region is enabled for the account and of the credentials' partition",
            ),
            "InvalidAccessKeyId"
            | "InvalidToken"
            | "InvalidClientTokenId"
            | "UnrecognizedClientException" => said(
                "the credentials are not valid there: check the profile, that they are of the bucket's partition or store, and that its region is enabled for the account",
            ),
            "InvalidSignatureException"
                if ["expired", "current"]
                    .iter()
                    .any(|word| message.contains(word)) =>
            {
                said("set this machine's clock")
            }
            "SignatureDoesNotMatch" | "InvalidSignatureException" => {
                said("the secret access key does not belong to the access key ID")
            }
            "RequestTimeTooSkewed" => said("set this machine's clock"),
            "AccessDenied"
            | "AccessDeniedException"
            | "AllAccessDisabled"
            | "403"
            | "KmsAccessDenied"
            | "KMS.AccessDeniedException" => said(&denied(doing, &message)),
            "PermanentRedirect"
            | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException"
            | "301" => said("the bucket is in another region: set aws.region"),
            "SlowDown" | "ServiceUnavailable" | "InternalError" | "InternalFailure" | "503"
            | "500" => said(&format!(
                "{service} could not serve it after several tries: try again later"
            )),
            "" => match error {
                SdkError::ResponseError(_) => {
                    anyhow!("{doing}: the answer is not one of {service}{to}: {message}")
                }
                SdkError::TimeoutError(_) => {
                    anyhow!("{doing}: no answer in time{to}: {message}")
                }
                // Nothing was sent, or the answer makes no sense.
                SdkError::ConstructionFailure(_) => {
                    anyhow!("{doing}{to}: {}", error.source().map_or(message, chain))
                }
                _ if of_history => {
                    anyhow!(
                        "{doing}: can't reach CloudTrail there: check the region's name{to}: {message}"
                    )
                }
                _ => anyhow!("{doing}: can't reach it{to}: {message}"),
            },
            _ => said(""),
        }
    }
}

/// What is done with queues, and the permission that it takes.
const QUEUE_REQUESTS: [(&str, &str); 5] = [
    (FINDING, "sqs:GetQueueUrl"),
    (ASKING, "sqs:GetQueueAttributes"),
    (RECEIVING, "sqs:ReceiveMessage"),
    (DELETING, "sqs:DeleteMessage"),
    (KEEPING, "sqs:ChangeMessageVisibility"),
];
/// See [`QUEUE_REQUESTS`].
pub(crate) const FINDING: &str = "finding the queue";
/// See [`QUEUE_REQUESTS`].
pub(crate) const ASKING: &str = "asking about the queue";
/// See [`QUEUE_REQUESTS`].
pub(crate) const RECEIVING: &str = "receiving from the queue";
/// See [`QUEUE_REQUESTS`].
pub(crate) const DELETING: &str = "deleting messages of the queue";
/// See [`QUEUE_REQUESTS`].
pub(crate) const KEEPING: &str = "keeping messages of the queue from others";

/// What is done with the event history of a region.
pub(crate) const LOOKING_UP: &str = "looking up the event history of";
/// What is done to get the keys of digests.
pub(super) const LISTING_KEYS: &str = "asking CloudTrail for the public keys";

/// The permission that is missing, as far as can be told.
fn denied(doing: &str, message: &str) -> String {
    let lower = message.to_ascii_lowercase();
    if ["kms:", "kms key", "kms.access", "kmsaccess"]
        .iter()
        .any(|word| lower.contains(word))
    {
        let what = if doing.contains("queue") {
            "queue is"
        } else {
            "log files are"
        };
        return format!("the {what} encrypted: these credentials need kms:Decrypt on the key");
    }
    if doing.starts_with(LISTING_KEYS) {
        return "these credentials need cloudtrail:ListPublicKeys, or the keys in a file (validateKeys)"
            .to_owned();
    }
    let of_queue = QUEUE_REQUESTS
        .iter()
        .find(|(request, _)| doing.starts_with(request));
    if let Some((_, action)) = of_queue {
        return format!("these credentials need {action} on the queue");
    }
    if doing.starts_with(LOOKING_UP) {
        return "these credentials need cloudtrail:LookupEvents".to_owned();
    }
    let permission = if doing.starts_with("listing") {
        "s3:ListBucket on the bucket"
    } else {
        "s3:GetObject on its objects"
    };
    let missing = if doing.starts_with("listing") {
        ""
    } else {
        " (S3 says the same of an object that is gone, where s3:ListBucket is missing)"
    };
    format!("these credentials need {permission}{missing}")
}

/// The HTTP status of an answer, if there was one.
pub(crate) fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error
        .raw_response()
        .map(|response| response.status().as_u16())
}

/// The error's code, or its status where the answer had no body; empty where there was no answer of the service.
pub(crate) fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> String {
    match error {
        SdkError::ServiceError(service) => match service.err().code() {
            Some(code) => code.to_owned(),
            None => service.raw().status().as_u16().to_string(),
        },
        _ => String::new(),
    }
}

/// What the service said, or what went wrong on the way.
fn message<E: ProvideErrorMetadata + StdError + 'static>(
    error: &SdkError<E, HttpResponse>,
) -> String {
    match error {
        SdkError::ServiceError(service) => match (service.err().code(), service.err().message()) {
            (Some(code), Some(message)) if !message.is_empty() => format!("{message} ({code})"),
            (Some(code), _) => code.to_owned(),
            _ => format!("HTTP status {}", service.raw().status().as_u16()),
        },
        _ => chain(error),
    }
}

/// An error with its causes, each said once.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        source = error.source();
    }
    text
}

/// The region that S3 says a bucket is in, in an answer from another one.
pub(crate) fn told_region<E>(error: &SdkError<E, HttpResponse>) -> Option<String> {
    let response = error.raw_response()?;
    if let Some(region) = response.headers().get("x-amz-bucket-region") {
        return Some(region.to_owned());
    }
    let body = std::str::from_utf8(response.body().bytes()?).ok()?;
    let region = body.split_once("<Region>")?.1.split_once("</Region>")?.0;
    (!region.is_empty()).then(|| region.to_owned())
}

/// Have the credentials expired?
pub(crate) fn has_expired<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    matches!(
        code(error).as_str(),
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired"
    )
}

/// Is a permission missing?
pub(crate) fn is_denied<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    matches!(
        code(error).as_str(),
        "AccessDenied" | "AccessDeniedException" | "403"
    )
}

/// Are the credentials good elsewhere at best, as those of an account are where it has not enabled the region?
pub(crate) fn is_unknown_there<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    matches!(
        code(error).as_str(),
        "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "InvalidToken"
            | "AuthFailure"
            | "OptInRequired"
    )
}

/// Are the credentials the reason, whatever was asked for?
pub(crate) fn is_about_credentials<E: ProvideErrorMetadata>(
    error: &SdkError<E, HttpResponse>,
) -> bool {
    has_expired(error)
        || matches!(
            code(error).as_str(),
            "InvalidAccessKeyId"
                | "InvalidToken"
                | "InvalidClientTokenId"
                | "UnrecognizedClientException"
                | "SignatureDoesNotMatch"
        )
}

/// Is it worth another try? What S3 itself fails at, and what goes wrong on the way.
pub(crate) fn is_transient<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    match error {
        SdkError::ServiceError(service) => {
            matches!(service.raw().status().as_u16(), 500..=599 | 429 | 408)
                || matches!(
                    service.err().code(),
                    Some(
                        "RequestTimeout"
                            | "SlowDown"
                            | "TemporaryRedirect"
                            | "Throttling"
                            | "ThrottlingException"
                            | "RequestThrottled"
                            | "KmsThrottled"
                            | "KMS.ThrottlingException"
                            | "OverLimit"
                            | "RequestTimeTooSkewed"
                    )
                )
        }
        SdkError::DispatchFailure(failure) => failure.is_io() || failure.is_timeout(),
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => true,
        _ => false,
    }
}
