//! The fields that hosts filter by and show, each of them once in [`FIELDS`].

mod identity;
mod services;
mod summary;

use std::borrow::Cow;
use std::ffi::{CStr, CString, c_char};
use std::ops::Range;
use std::sync::LazyLock;

use anyhow::{Context, ensure};
use bumpalo::Bump;
use falco_plugin::api::{ss_plugin_extract_field, ss_plugin_extract_value_offsets};
use serde_json::json;

use crate::record::{Index, Member, Record, Value};

/// A field as hosts see it, and how to extract it.
pub struct Field {
    /// The name in filters and outputs.
    pub name: &'static str,
    /// The label in the GUI.
    pub display: &'static str,
    /// What it tells, for a newcomer.
    pub description: &'static str,
    /// What hosts use it for: `info`, `conversation`, `hidden`.
    pub properties: &'static [&'static str],
    source: Source,
}

/// Where a field's value comes from.
enum Source {
    /// A member's text; absent if it is null.
    Text(Member),
    /// A member's JSON, null included.
    Json(Member),
    /// A member's number.
    Number(Member),
    /// A computed text.
    ComputedText(for<'a> fn(&mut Record<'a>) -> Option<Text<'a>>),
    /// A computed number.
    ComputedNumber(fn(&mut Record<'_>) -> Option<u64>),
    /// Several texts, or the one with this index.
    List(for<'a> fn(&mut Record<'a>, Option<u64>) -> Vec<Text<'a>>),
}

/// A text and where in the record it comes from: [`COMPUTED`] if there is no one place.
type Text<'a> = (Cow<'a, [u8]>, Range<usize>);

const COMPUTED: Range<usize> = 0..0;

/// The least length of an event ID, quotes included, that tells events apart.
const UUID: usize = 34;

/// Where an event's payload begins, behind its header: ranges count from the event's start.
const PAYLOAD: usize = 38;

const fn field(
    name: &'static str,
    display: &'static str,
    source: Source,
    description: &'static str,
) -> Field {
    Field {
        name,
        display,
        description,
        properties: &[],
        source,
    }
}

impl Field {
    const fn with(mut self, properties: &'static [&'static str]) -> Self {
        self.properties = properties;
        self
    }

    /// The type, as hosts name it.
    pub fn kind(&self) -> &'static str {
        match self.source {
            Source::Number(_) | Source::ComputedNumber(_) => "uint64",
            _ => "string",
        }
    }

    /// Whether it has several values, of which an index may choose one.
    pub fn is_list(&self) -> bool {
        matches!(self.source, Source::List(_))
    }

    /// The path of the member that it shows, if it is just one.
    pub fn path(&self) -> Option<String> {
        match self.source {
            Source::Text(member) | Source::Json(member) | Source::Number(member) => {
                Some(member.path())
            }
            _ => None,
        }
    }
}

use Source::{ComputedNumber, ComputedText, Json, List, Number, Text as Of};

/// All fields; their positions are the IDs that hosts ask with.
#[rustfmt::skip]
pub static FIELDS: &[Field] = &[
    field("ct.id", "Event ID", Of(Member::EventId), "The unique ID of the event."),
    field("ct.error", "Error Code", Of(Member::ErrorCode), "Why AWS refused the request, as a short code such as AccessDenied. Only there if the request failed."),
    field("ct.errormessage", "Error Message", Of(Member::ErrorMessage), "Why AWS refused the request, as a sentence. Only there if the request failed."),
    field("ct.time", "Timestamp", Of(Member::EventTime), "When the request was completed, in UTC, as written in the record.").with(&["hidden"]),
    field("ct.src", "AWS Service", Of(Member::EventSource), "The AWS service that the request was made to, such as s3.amazonaws.com."),
    field("ct.shortsrc", "AWS Service", ComputedText(summary::short_source), "The AWS service that the request was made to, without the trailing .amazonaws.com, such as s3."),
    field("ct.name", "Event Name", Of(Member::EventName), "What was asked of the service: the name of the API action, such as GetObject or ConsoleLogin."),
    field("ct.user", "User Name", ComputedText(identity::user), "Who made the request: the user's name, for an assumed role the name of the role, for an AWS service its name.").with(&["conversation"]),
    field("ct.originaluser", "Original User Name", ComputedText(identity::original_user), "Who made the request: the user's name, for an assumed role the name of the session, which often tells the person or program behind the role."),
    field("ct.user.accountid", "User Account ID", ComputedText(identity::account), "The AWS account that the user belongs to, or else the one that received the event."),
    field("ct.user.identitytype", "User Identity Type", Of(Member::IdentityType), "What kind of identity made the request, such as IAMUser, AssumedRole, Root or AWSService."),
    field("ct.user.principalid", "User Principal Id", Of(Member::IdentityPrincipalId), "AWS's unique ID of the identity that made the request; for an assumed role, a colon and the name of the session follow."),
    field("ct.user.arn", "User ARN", Of(Member::IdentityArn), "The Amazon Resource Name of the identity that made the request."),
    field("ct.region", "Region", Of(Member::AwsRegion), "The AWS region that the request was made to, such as us-east-1."),
    field("ct.response.subnetid", "Response Subnet ID", Of(Member::ResponseSubnetId), "The ID of the subnet in the response."),
    field("ct.response.reservationid", "Response Reservation ID", Of(Member::ResponseReservationId), "The ID of the EC2 reservation in the response: the group of instances that one request launched."),
    field("ct.response", "Response Elements", Json(Member::ResponseElements), "What the service answered, as JSON; null for requests that change nothing."),
    field("ct.request.availabilityzone", "Request Availability Zone", Of(Member::RequestAvailabilityZone), "The availability zone in the request, such as us-east-1a."),
    field("ct.request.cluster", "Request Cluster", Of(Member::RequestCluster), "The cluster in the request, such as that of an ECS task."),
    field("ct.request.functionname", "Request Function Name", Of(Member::RequestFunctionName), "The name of the Lambda function in the request."),
    field("ct.request.groupname", "Request Group Name", Of(Member::RequestGroupName), "The name of the group in the request, such as an IAM or a security group."),
    field("ct.request.host", "Request Host Name", Of(Member::RequestHost), "The host name that the request was sent to."),
    field("ct.request.name", "Host Name", Of(Member::RequestName), "The name of what the request is about."),
    field("ct.request.policy", "Host Policy", Of(Member::RequestPolicy), "The policy in the request."),
    field("ct.request.reason", "Request Reason", Of(Member::RequestReason), "The reason given in the request."),
    field("ct.request.target", "Request Target", Of(Member::RequestTarget), "The target of the request, such as the instance that a session is started on."),
    field("ct.request.documentname", "Request Document Name", Of(Member::RequestDocumentName), "The name of the Systems Manager document in the request."),
    field("ct.request.serialnumber", "Request Serial Number", Of(Member::RequestSerialNumber), "The serial number in the request, such as that of an MFA device."),
    field("ct.request.servicename", "Request Service", Of(Member::RequestServiceName), "The name of the service in the request."),
    field("ct.request.subnetid", "Request Subnet ID", Of(Member::RequestSubnetId), "The ID of the subnet in the request."),
    field("ct.request.taskdefinition", "Request Task Definition", Of(Member::RequestTaskDefinition), "The ECS task definition in the request."),
    field("ct.request.username", "Request User Name", Of(Member::RequestUserName), "The name of the user that the request is about, which need not be the one who made it."),
    field("ct.request", "Request Parameters", Json(Member::RequestParameters), "The parameters of the request, as JSON; null if it had none."),
    field("ct.srcip", "Source IP", Of(Member::SourceIpAddress), "The IP address that the request came from, or the name of the AWS service that made it.").with(&["conversation"]),
    field("ct.useragent", "User Agent", Of(Member::UserAgent), "The program that the request was made with, such as a browser, the AWS CLI or an SDK."),
    field("ct.info", "Info", ComputedText(summary::info), "A summary of the event: who did what from where; ! marks a failed request, \u{2190} one that only reads, \u{2192} one that changes something.").with(&["info"]),
    field("ct.managementevent", "Management Event", Of(Member::ManagementEvent), "true if the request is about managing resources in the account, false if it is about the data in them."),
    field("ct.readonly", "Read Only", Of(Member::ReadOnly), "true if the request only reads, false if it may change something."),
    field("ct.requestid", "Request ID", Of(Member::RequestId), "The ID that the service gave to the request."),
    field("ct.eventtype", "Event Type", Of(Member::EventType), "What gave rise to the event, such as AwsApiCall, AwsConsoleSignIn or AwsServiceEvent."),
    field("ct.apiversion", "API Version", Of(Member::ApiVersion), "The version of the API that the request was made with."),
    field("ct.resources", "Resources", ComputedText(services::resources), "The resources that the request touched, as JSON objects separated by commas."),
    field("ct.recipientaccountid", "Recipient Account Id", Of(Member::RecipientAccountId), "The AWS account that received the event; it differs from the user's where access goes across accounts."),
    field("ct.serviceeventdetails", "Service Event Details", Of(Member::ServiceEventDetails), "What the service did by itself, and the result, for events that no request gave rise to."),
    field("ct.sharedeventid", "Shared Event ID", Of(Member::SharedEventId), "The ID that the events of one action in several accounts have in common."),
    field("ct.vpcendpointid", "VPC Endpoint ID", Of(Member::VpcEndpointId), "The VPC endpoint that the request went through."),
    field("ct.eventcategory", "Event Category", Of(Member::EventCategory), "The category of the event: Management, Data, NetworkActivity or Insight."),
    field("ct.addendum.reason", "Reason", Of(Member::AddendumReason), "Why the event was delivered late or again."),
    field("ct.addendum.updatedfields", "Updated Fields", Of(Member::AddendumUpdatedFields), "Which members of the record this event brings up to date."),
    field("ct.addendum.originalrequestid", "Original Request ID", Of(Member::AddendumOriginalRequestId), "The request ID of the event that this one brings up to date."),
    field("ct.addendum.originaleventid", "Original Event ID", Of(Member::AddendumOriginalEventId), "The event ID of the event that this one brings up to date."),
    field("ct.sessioncredentialfromconsole", "Session Credential From Console", Of(Member::SessionCredentialFromConsole), "true if the request was made from a session of the AWS Management Console."),
    field("ct.edgedevicedetails", "Edge Device Details", Of(Member::EdgeDeviceDetails), "The edge device that the request is about, as JSON."),
    field("ct.tlsdetails.tlsversion", "TLS Version", Of(Member::TlsVersion), "The TLS version of the connection, such as TLSv1.3."),
    field("ct.tlsdetails.ciphersuite", "TLS Cipher Suite", Of(Member::TlsCipherSuite), "The cipher suite of the connection."),
    field("ct.tlsdetails.clientprovidedhostheader", "Client Provided Host Header", Of(Member::TlsClientProvidedHostHeader), "The host name that the client asked for, as a rule the endpoint of the service."),
    field("ct.additionaleventdata", "Additional Event Data", Json(Member::AdditionalEventData), "What else the service tells of the event, as JSON."),
    field("s3.uri", "Key URI", ComputedText(services::s3_uri), "The S3 object that the request is about, as s3://bucket/key.").with(&["conversation"]),
    field("s3.bucket", "Bucket Name", Of(Member::RequestBucketName), "The name of the S3 bucket in the request.").with(&["conversation"]),
    field("s3.key", "Key Name", Of(Member::RequestKey), "The key of the S3 object in the request: its name in the bucket."),
    field("s3.bytes", "Total Bytes", ComputedNumber(services::s3_bytes), "How many bytes the request moved into and out of S3."),
    field("s3.bytes.in", "Bytes In", Number(Member::BytesTransferredIn), "How many bytes the request moved into S3.").with(&["hidden"]),
    field("s3.bytes.out", "Bytes Out", Number(Member::BytesTransferredOut), "How many bytes the request moved out of S3.").with(&["hidden"]),
    field("s3.cnt.get", "N Get Ops", ComputedNumber(services::count_get), "1 if the event is a GetObject, to be summed up.").with(&["hidden"]),
    field("s3.cnt.put", "N Put Ops", ComputedNumber(services::count_put), "1 if the event is a PutObject, to be summed up.").with(&["hidden"]),
    field("s3.cnt.other", "N Other Ops", ComputedNumber(services::count_other), "1 if the event is neither a GetObject nor a PutObject, to be summed up.").with(&["hidden"]),
    field("ec2.name", "Instance Name", ComputedText(services::instance_name), "The name that the request gives to the EC2 instance: its tag Name."),
    field("ec2.imageid", "Image Id", ComputedText(services::image), "The image (AMI) of the first EC2 instance in the response, or else the one in the request."),
    field("ec2.imageids", "Image Ids", List(services::images), "The images (AMI) of the EC2 instances in the response, or else the one in the request; ec2.imageids[0] is the first of them."),
    field("ecr.repository", "ECR Repository name", Of(Member::RequestRepositoryName), "The name of the container repository (ECR) in the request."),
    field("ecr.imagetag", "Image Tag", Of(Member::RequestImageTag), "The tag of the container image in the request."),
    field("iam.role", "IAM Role", Of(Member::RequestRoleName), "The name of the IAM role in the request."),
    field("iam.policy", "IAM Policy", Of(Member::RequestPolicyName), "The name of the IAM policy in the request."),
];

/// The fields as JSON, for `plugin_get_fields`.
pub fn schema() -> &'static CStr {
    static SCHEMA: LazyLock<CString> = LazyLock::new(|| {
        let field = |field: &Field| {
            let mut json = json!({
                "name": field.name,
                "type": field.kind(),
                "isList": field.is_list(),
                "display": field.display,
                "desc": field.description,
                "properties": field.properties,
            });
            if field.is_list() {
                json["arg"] = json!({ "isIndex": true, "isRequired": false });
            }
            json
        };
        let json = FIELDS.iter().map(field).collect::<serde_json::Value>();
        CString::new(json.to_string()).unwrap_or_default()
    });
    &SCHEMA
}

/// The fields as a table in Markdown, for the README.
pub fn markdown() -> String {
    let mut table = String::from("| field | type | what it tells | from |\n|---|---|---|---|\n");
    for field in FIELDS {
        let kind = match field.is_list() {
            true => format!("list of {}s, index possible", field.kind()),
            false => field.kind().to_owned(),
        };
        let from = field
            .path()
            .map_or_else(|| "computed".to_owned(), |path| format!("`{path}`"));
        table += &format!(
            "| `{}` | {kind} | {} | {from} |\n",
            field.name, field.description
        );
    }
    table
}

/// Extracts fields, and keeps what it has learnt of a record for the next call.
#[derive(Default)]
pub struct Extractor {
    /// The last record, which `index` is of.
    record: Vec<u8>,
    index: Index,
    /// The last event's number and address. They come again, as does the length, with the next file or a host's other buffers.
    event: (u64, usize),
    /// Where the last event's ID is.
    id: Range<usize>,
    /// The fields given since all bytes were compared, as bits.
    given: u128,
}

impl Extractor {
    /// Forgets the last record.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Whether the event is the one of the last call.
    ///
    /// To compare all bytes takes longer than to extract a field. A host asks for each field once, so while it goes on to others
    /// the event ID will do, which tells events apart; once it asks again, it may be for another event, and all bytes count.
    fn is_same(&mut self, event: (u64, usize), payload: &[u8], fields: u128) -> bool {
        if self.event != event || self.record.len() != payload.len() {
            return false;
        }
        if self.given & fields == 0 && self.id.len() >= UUID {
            return self.record.get(self.id.clone()) == payload.get(self.id.clone());
        }
        self.given = 0;
        self.record == payload
    }

    fn record(&mut self, event_number: u64, payload: &[u8], fields: u128) -> Record<'_> {
        let event = (event_number, payload.as_ptr().addr());
        if self.is_same(event, payload, fields) {
            self.given |= fields;
            return Record::again(&self.record, &mut self.index);
        }
        self.event = event;
        self.given = fields;
        self.record.clear();
        self.record.extend_from_slice(payload);
        let mut record = Record::new(&self.record, &mut self.index);
        self.id = record.get(Member::EventId).map_or(COMPUTED, Value::range);
        record
    }

    /// Answers a request of the host for some fields of an event.
    ///
    /// # Errors
    /// For an unknown field, and for an argument to a field that takes none.
    pub fn extract_fields(
        &mut self,
        event_number: u64,
        payload: &[u8],
        fields: &mut [ss_plugin_extract_field],
        offsets: Option<&mut ss_plugin_extract_value_offsets>,
        storage: &Bump,
    ) -> anyhow::Result<()> {
        // Of a field ID too large, which is an error below, any bit will do.
        let asked = fields
            .iter()
            .fold(0, |asked, field| asked | 1u128.wrapping_shl(field.field_id));
        let mut record = self.record(event_number, payload, asked);
        let mut places = offsets.map(|offsets| {
            let starts = storage.alloc_slice_fill_copy(fields.len(), 0u32);
            let lengths = storage.alloc_slice_fill_copy(fields.len(), 0u32);
            offsets.start = starts.as_mut_ptr();
            offsets.length = lengths.as_mut_ptr();
            (starts, lengths)
        });
        for (at, request) in fields.iter_mut().enumerate() {
            let field = FIELDS
                .get(request.field_id as usize)
                .context("the host asks for a field that does not exist")?;
            let range = field.extract(&mut record, request, storage)?;
            if let Some((starts, lengths)) = &mut places
                && !range.is_empty()
            {
                starts[at] = (PAYLOAD + range.start) as u32;
                lengths[at] = range.len() as u32;
            }
        }
        Ok(())
    }

    /// The event in one line.
    pub fn event_string(&mut self, payload: &[u8]) -> CString {
        CString::new(summary::event(&mut self.record(self.event.0, payload, !0)))
            .unwrap_or_default()
    }
}

impl Field {
    /// Writes the value into `request`, and returns its place in the record.
    fn extract(
        &self,
        record: &mut Record<'_>,
        request: &mut ss_plugin_extract_field,
        storage: &Bump,
    ) -> anyhow::Result<Range<usize>> {
        let has_index = request.arg_present != 0;
        ensure!(
            self.is_list() || !has_index,
            "the field {} takes no argument",
            self.name
        );
        let text = match self.source {
            Of(member) => record
                .get(member)
                .and_then(|value| Some((value.text()?, value.range()))),
            Json(member) => record
                .get(member)
                .map(|value| (value.json(), value.range())),
            ComputedText(text) => text(record),
            Number(member) => {
                let number = record
                    .get(member)
                    .and_then(|value| Some((value.number()?, value.range())));
                return Ok(put_number(request, number, storage));
            }
            ComputedNumber(number) => {
                let number = number(record).map(|number| (number, COMPUTED));
                return Ok(put_number(request, number, storage));
            }
            List(texts) => {
                let texts = texts(record, has_index.then_some(request.arg_index));
                let strings = storage
                    .alloc_slice_fill_iter(texts.iter().map(|(text, _)| c_string(text, storage)));
                request.res.str_ = strings.as_mut_ptr();
                request.res_len = strings.len() as u64;
                return Ok(texts.first().map_or(COMPUTED, |(_, range)| range.clone()));
            }
        };
        request.res_len = u64::from(text.is_some());
        let Some((text, range)) = text else {
            request.res.str_ = std::ptr::null_mut();
            return Ok(COMPUTED);
        };
        request.res.str_ = storage.alloc(c_string(&text, storage));
        Ok(range)
    }
}

fn put_number(
    request: &mut ss_plugin_extract_field,
    number: Option<(u64, Range<usize>)>,
    storage: &Bump,
) -> Range<usize> {
    request.res_len = u64::from(number.is_some());
    let Some((number, range)) = number else {
        request.res.u64_ = std::ptr::null_mut();
        return COMPUTED;
    };
    request.res.u64_ = storage.alloc(number);
    range
}

fn c_string(text: &[u8], storage: &Bump) -> *const c_char {
    let mut string = bumpalo::collections::Vec::with_capacity_in(text.len() + 1, storage);
    string.extend_from_slices_copy(&[text, &[0]]);
    string.into_bump_slice().as_ptr().cast()
}

/// A member's text and place.
fn text_of<'a>(record: &mut Record<'a>, member: Member) -> Option<Text<'a>> {
    let value = record.get(member)?;
    Some((value.text()?, value.range()))
}
