//! The fields that hosts filter by and show, each of them once in [`FIELDS`].

mod given;
mod identity;
mod joined;
mod outcome;
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
use given::{Asked, Given, asked};
use joined::{Path, all, below};

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
    /// The text of the first of these members that has one.
    First(&'static [Member]),
    /// A member's JSON, null included.
    Json(Member),
    /// A member's number.
    Number(Member),
    /// The texts of all that these paths lead to, each once, joined by commas.
    Joined(&'static [Path]),
    /// The value that the argument, a JSON pointer, points to, as text; absent if it is null.
    Pointer,
    /// A computed text.
    ComputedText(for<'a> fn(&mut Record<'a>) -> Option<Text<'a>>),
    /// `true` or `false`, computed.
    Flag(fn(&mut Record<'_>) -> bool),
    /// A computed number.
    ComputedNumber(fn(&mut Record<'_>) -> Option<u64>),
    /// Several texts, or the one with this index.
    List(for<'a> fn(&mut Record<'a>, Option<u64>) -> Vec<Text<'a>>),
}

/// A text and where in the record it comes from: [`COMPUTED`] if there is no one place.
type Text<'a> = (Cow<'a, [u8]>, Range<usize>);

const COMPUTED: Range<usize> = 0..0;

/// The length of an event ID, quotes included.
const UUID: usize = 38;

/// Where an event's payload begins, behind its header: ranges count from the event's start.
pub(crate) const PAYLOAD: usize = 38;

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

    /// Whether a JSON pointer may choose what it shows.
    pub fn is_pointed(&self) -> bool {
        matches!(self.source, Source::Pointer)
    }

    /// Whether its value is made of several.
    pub fn is_joined(&self) -> bool {
        matches!(self.source, Source::Joined(_))
    }

    /// The paths of the members that it shows the first of, or all; none if it is computed.
    pub fn paths(&self) -> Vec<String> {
        let path = |member: &Member| member.path();
        match &self.source {
            Source::Text(member) | Source::Json(member) | Source::Number(member) => {
                vec![path(member)]
            }
            Source::First(members) => members.iter().map(path).collect(),
            Source::Joined(paths) => paths.iter().map(Path::name).collect(),
            _ => Vec::new(),
        }
    }
}

use Source::{
    ComputedNumber, ComputedText, First, Flag, Joined, Json, List, Number, Pointer, Text as Of,
};

/// How many fields the official plugin has, which come first.
pub const OFFICIAL: usize = 73;

/// All fields; their positions are the IDs that hosts ask with.
#[rustfmt::skip]
pub static FIELDS: &[Field] = &[
    field("ct.id", "Event ID", First(&[Member::EventId, Member::EventIdOfAggregate]), "The unique ID of the event."),
    field("ct.error", "Error Code", Of(Member::ErrorCode), "Why AWS refused the request, as a short code such as AccessDenied. Only there if the request failed."),
    field("ct.errormessage", "Error Message", Of(Member::ErrorMessage), "Why AWS refused the request, as a sentence. Only there if the request failed."),
    field("ct.time", "Timestamp", First(&[Member::EventTime, Member::WindowStart]), "When the request was completed, in UTC, as written in the record.").with(&["hidden"]),
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
    field("ct.recipientaccountid", "Recipient Account Id", First(&[Member::RecipientAccountId, Member::AccountId]), "The AWS account that received the event; it differs from the user's where access goes across accounts."),
    field("ct.serviceeventdetails", "Service Event Details", Of(Member::ServiceEventDetails), "What the service did by itself, and the result, for events that no request gave rise to."),
    field("ct.sharedeventid", "Shared Event ID", Of(Member::SharedEventId), "The ID that the events of one action in several accounts have in common."),
    field("ct.vpcendpointid", "VPC Endpoint ID", Of(Member::VpcEndpointId), "The VPC endpoint that the request went through."),
    field("ct.eventcategory", "Event Category", Of(Member::EventCategory), "The category of the event: Management, Data, NetworkActivity, Insight or Aggregated."),
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
    // Those that the official plugin doesn't have; new ones come last.
    field("ct.value", "Value", Pointer, "Any value of the event, by JSON pointer (RFC 6901): ct.value[/requestParameters/bucketName], ct.value[/resources/0/ARN]; in names, ~1 stands for / and ~0 for ~. Texts as they are, all else as JSON; null is absent. Without pointer the whole event.").with(&["hidden"]),
    field("ct.actor", "Actor", ComputedText(identity::actor), "Who made the request, in words, for every event: a user's name, role/session, root, an AWS service, account and its number, anonymous, or unknown."),
    field("ct.user.accesskeyid", "Access Key ID", Of(Member::IdentityAccessKeyId), "The ID of the access key that the request was signed with: AKIA… are long-term keys, ASIA… temporary ones."),
    field("ct.user.invokedby", "Invoked By", Of(Member::IdentityInvokedBy), "The AWS service that made the request on behalf of the identity, such as cloudformation.amazonaws.com."),
    field("ct.user.mfa", "MFA Authenticated", Of(Member::SessionMfa), "true if the session's credentials were obtained with multi-factor authentication."),
    field("ct.user.sessioncreated", "Session Created", Of(Member::SessionCreated), "When the session's temporary credentials were issued."),
    field("ct.user.issuer.arn", "Issuer ARN", Of(Member::IssuerArn), "The Amazon Resource Name of the role or user that the session's credentials were obtained from."),
    field("ct.user.issuer.type", "Issuer Type", Of(Member::IssuerType), "Where the session's credentials came from, such as Role, IAMUser or Root."),
    field("ct.user.issuer.accountid", "Issuer Account ID", Of(Member::IssuerAccountId), "The AWS account of the role or user that the session's credentials were obtained from."),
    field("ct.user.issuer.principalid", "Issuer Principal ID", Of(Member::IssuerPrincipalId), "AWS's unique ID of the role or user that the session's credentials were obtained from."),
    field("ct.user.sourceidentity", "Source Identity", Of(Member::SessionSourceIdentity), "The source identity that was set when the role was assumed; it stays the same from role to role."),
    field("ct.user.federatedprovider", "Federated Provider", Of(Member::FederatedProvider), "The identity provider that vouched for a session of web identity federation, such as an OIDC provider's ARN."),
    field("ct.user.identityprovider", "Identity Provider", Of(Member::IdentityProvider), "The external identity provider of a user from SAML or web identity federation."),
    field("ct.user.onbehalfof.userid", "On Behalf Of User ID", Of(Member::OnBehalfOfUserId), "The ID of the IAM Identity Center user for whom the request was made."),
    field("ct.user.onbehalfof.store", "On Behalf Of Identity Store", Of(Member::OnBehalfOfStore), "The ARN of the IAM Identity Center identity store of the user for whom the request was made."),
    field("ct.user.credentialid", "Credential ID", Of(Member::IdentityCredentialId), "The ID of the bearer token that the request was made with; of IAM Identity Center users only."),
    field("ct.user.inscopeof", "In Scope Of", Of(Member::IdentityInScopeOf), "The AWS resource, such as a Lambda function, that the credentials were issued to, as JSON."),
    field("ct.user.assumedroot", "Assumed Root", Of(Member::SessionAssumedRoot), "true if the session has the root user's permissions for a task in a member account (AssumeRoot)."),
    field("ct.version", "Event Version", Of(Member::EventVersion), "The version of the record's format, such as 1.11."),
    field("ct.console", "Console", Flag(outcome::console), "true if a person used the AWS Management Console: the session, the event's type or the user agent says so. Otherwise false."),
    field("ct.mfaused", "MFA Used", ComputedText(outcome::mfa_used), "true or false: whether the sign-in, or else the session, was with multi-factor authentication; absent where the event doesn't tell."),
    field("ct.failed", "Failed", Flag(outcome::failed), "true if the request was refused or the sign-in failed, with or without an error code. Otherwise false."),
    field("ct.vpcendpointaccountid", "VPC Endpoint Account ID", Of(Member::VpcEndpointAccountId), "The AWS account that owns the VPC endpoint that the request went through."),
    field("ct.resource.arns", "Resource ARNs", ComputedText(joined::resource_arns), "The ARNs of the resources that the request touched, separated by commas."),
    field("ct.resource.types", "Resource Types", ComputedText(joined::resource_types), "The types of the resources that the request touched, such as AWS::S3::Object, each once, separated by commas."),
    field("ct.resource.accounts", "Resource Accounts", ComputedText(joined::resource_accounts), "The AWS accounts that own the resources that the request touched, each once, separated by commas."),
    field("ct.tlsdetails.keyexchange", "TLS Key Exchange", Of(Member::TlsKeyExchange), "The key exchange of the TLS connection, such as X25519MLKEM768, which withstands quantum computers."),
    field("ct.eventcontext", "Event Context", Of(Member::EventContext), "What CloudTrail was told to add to the event: tags of resources and principals, condition keys of the request, as JSON."),
    field("ct.insight.state", "Insight State", Of(Member::InsightState), "Start or End of the unusual activity that CloudTrail Insights has noticed."),
    field("ct.insight.type", "Insight Type", Of(Member::InsightType), "What is unusual: ApiCallRateInsight or ApiErrorRateInsight."),
    field("ct.insight.source", "Insight Source", Of(Member::InsightEventSource), "The AWS service of the unusual activity, such as ec2.amazonaws.com."),
    field("ct.insight.name", "Insight Name", Of(Member::InsightEventName), "The API action of the unusual activity, such as RunInstances."),
    field("ct.insight.error", "Insight Error", Of(Member::InsightErrorCode), "The error code whose rate is unusual."),
    field("ct.insight.baseline", "Insight Baseline", Of(Member::BaselineAverage), "How many calls or errors a minute are usual."),
    field("ct.insight.value", "Insight Value", Of(Member::InsightAverage), "How many calls or errors a minute there were."),
    field("ct.aggregate.dimension", "Aggregate Dimension", Of(Member::DimensionName), "What an aggregated event counts by: eventName, resourceARN or userIdentity."),
    field("ct.aggregate.names", "Aggregate Names", ComputedText(joined::aggregate_names), "The API actions, resources or users that an aggregated event is about, separated by commas."),
    field("ct.aggregate.count", "Aggregate Count", ComputedNumber(joined::aggregate_count), "How many events an aggregated event stands for."),
    field("ct.aggregate.type", "Aggregation Type", Of(Member::DimensionAggregationType), "How an aggregated event was made of others, such as Count."),
    field("ct.aggregate.start", "Aggregate Start", Of(Member::WindowStart), "The beginning of the time that an aggregated event sums up, which is the event's own time."),
    field("ct.aggregate.end", "Aggregate End", Of(Member::WindowEnd), "The end of the time that an aggregated event sums up."),
    field("ct.aggregate.window", "Aggregate Window", Of(Member::WindowSize), "How long the time is that an aggregated event sums up, such as PT5M for five minutes."),
    field("ct.aggregate.details", "Aggregate Details", Of(Member::SummaryDetails), "What else an aggregated event counts, by resource, user, address and the like, as JSON."),
    field("ct.tags", "Tags", ComputedText(services::tags), "The tags that the request sets, as key=value, separated by commas."),
    field("iam.policyarn", "IAM Policy ARN", Of(Member::RequestPolicyArn), "The ARN of the IAM policy in the request, such as that of AdministratorAccess."),
    field("iam.policydocument", "IAM Policy Document", First(&[Member::RequestPolicyDocument, Member::RequestAssumeRolePolicyDocument]), "The IAM policy in the request, as JSON: of a role, a user or a group, or who may assume a role."),
    field("iam.accesskeyid", "IAM Access Key ID", First(&[Member::RequestAccessKeyId, Member::NewAccessKeyId]), "The access key that the request is about, or that it has made; ct.user.accesskeyid is the one that it was signed with."),
    field("iam.rolearn", "IAM Role ARN", First(&[Member::RequestRoleArn, Member::RequestRole]), "The ARN of the role in the request: the role to assume, or the one that a function or service gets."),
    field("iam.instanceprofile", "IAM Instance Profile", Of(Member::RequestInstanceProfileName), "The name of the instance profile in the request."),
    field("iam.samlproviderarn", "SAML Provider ARN", First(&[Member::RequestSamlProviderArn, Member::SamlProviderArn]), "The ARN of the SAML identity provider in the request or of the sign-in."),
    field("sts.sessionname", "STS Session Name", Of(Member::RequestRoleSessionName), "The name that the session of the assumed role is to have."),
    field("sts.accesskeyid", "STS Access Key ID", Of(Member::CredentialsAccessKeyId), "The temporary access key that was given out; what the session does next has it as ct.user.accesskeyid."),
    field("signin.result", "Sign-in Result", First(&[Member::ResponseConsoleLogin, Member::ResponseCheckMfa, Member::ResponsePasswordUpdated, Member::ResponseSwitchRole]), "Success or Failure of a sign-in to the console, a check of MFA, a new password or a switch of roles."),
    field("signin.loginto", "Sign-in To", Of(Member::LoginTo), "The page of the console that the sign-in was for."),
    field("ec2.instanceid", "Instance ID", Joined(&[all(Member::RequestInstanceId), below(Member::RequestInstancesSet, &["items", "instanceId"]), all(Member::RequestInstanceIds), below(Member::ResponseInstancesSet, &["items", "instanceId"])]), "The EC2 instances of the request or the response, separated by commas."),
    field("ec2.instancetype", "Instance Type", ComputedText(services::instance_type), "The type of the EC2 instances in the request, such as t3.micro."),
    field("ec2.attribute", "Attribute", First(&[Member::RequestAttribute, Member::RequestAttributeType]), "The attribute that is read or changed, such as an instance's userData or an image's launchPermission."),
    field("ec2.vpcid", "VPC ID", Of(Member::RequestVpcId), "The ID of the VPC in the request."),
    field("ec2.groupid", "Security Group ID", Joined(&[all(Member::RequestGroupId), below(Member::RequestGroupSet, &["items", "groupId"]), below(Member::RequestModifySecurityGroupRules, &["GroupId"]), all(Member::ResponseGroupId)]), "The security groups of the request, or the one that it has made, separated by commas."),
    field("ec2.cidrs", "CIDRs", Joined(&[below(Member::RequestIpPermissions, &["items", "ipRanges", "items", "cidrIp"]), below(Member::RequestIpPermissions, &["items", "ipv6Ranges", "items", "cidrIpv6"]), all(Member::RequestCidrIp), below(Member::RequestModifySecurityGroupRules, &["SecurityGroupRule", "SecurityGroupRule", "CidrIpv4"]), below(Member::RequestModifySecurityGroupRules, &["SecurityGroupRule", "SecurityGroupRule", "CidrIpv6"]), all(Member::RequestCidrBlock), all(Member::RequestIpv6CidrBlock), all(Member::RequestDestinationCidrBlock), all(Member::RequestDestinationIpv6CidrBlock)]), "The address ranges in the request, of a security group's rules, a network ACL, a route, a VPC or a subnet, such as 0.0.0.0/0, separated by commas."),
    field("ec2.ports", "Ports", ComputedText(services::ports), "The ports that the rules in the request open or close: 22, 8000-8080 or all, separated by commas."),
    field("ec2.rules", "Security Group Rules", ComputedText(services::security_group_rules), "The rules of a security group in the request, such as tcp 22 0.0.0.0/0, separated by commas."),
    field("ec2.ruleaction", "ACL Rule Action", Of(Member::RequestRuleAction), "What a network ACL's entry does: allow or deny."),
    field("ec2.sharedwith", "Shared With", Joined(&[below(Member::RequestCreateVolumePermission, &["add", "items", "userId"]), below(Member::RequestCreateVolumePermission, &["add", "items", "group"]), below(Member::RequestLaunchPermission, &["add", "items", "userId"]), below(Member::RequestLaunchPermission, &["add", "items", "group"]), below(Member::RequestLaunchPermission, &["add", "items", "organizationArn"]), below(Member::RequestLaunchPermission, &["add", "items", "organizationalUnitArn"])]), "Whom the request shares a snapshot or an image (AMI) with: accounts, organizations, or all, separated by commas."),
    field("ec2.snapshotid", "Snapshot ID", First(&[Member::RequestSnapshotId, Member::ResponseSnapshotId]), "The ID of the EBS snapshot in the request, or the one that it has made."),
    field("ec2.volumeid", "Volume ID", First(&[Member::RequestVolumeId, Member::ResponseVolumeId]), "The ID of the EBS volume in the request, or the one that it has made."),
    field("ec2.keyname", "Key Pair Name", Of(Member::RequestKeyName), "The name of the key pair in the request."),
    field("ec2.httptokens", "IMDS Tokens", Joined(&[below(Member::RequestModifyMetadataOptions, &["HttpTokens"]), below(Member::RequestMetadataOptions, &["httpTokens"])]), "Whether the instance metadata service (IMDS) asks for tokens: optional or required."),
    field("s3.acl", "Canned ACL", Joined(&[all(Member::RequestAcl)]), "The canned ACL that a bucket or object gets, such as public-read."),
    field("s3.grants", "ACL Grants", ComputedText(services::grants), "The grants of the ACL in the request, as permission and grantee, such as READ http://acs.amazonaws.com/groups/global/AllUsers, separated by commas."),
    field("s3.bucketpolicy", "Bucket Policy", Of(Member::RequestBucketPolicy), "The bucket policy in the request, as JSON."),
    field("s3.publicaccessblock", "Public Access Block", Of(Member::RequestPublicAccessBlock), "Which public access the request blocks, as JSON."),
    field("s3.versioning", "Versioning", Joined(&[below(Member::RequestVersioning, &["Status"])]), "The versioning that a bucket gets: Enabled or Suspended."),
    field("s3.mfadelete", "MFA Delete", Joined(&[below(Member::RequestVersioning, &["MfaDelete"])]), "Whether deleting versions of a bucket's objects is to need MFA: Enabled or Disabled."),
    field("s3.lifecycle", "Lifecycle", Of(Member::RequestLifecycle), "The lifecycle rules that a bucket gets, as JSON; they may delete its objects."),
    field("s3.ssecustomeralgorithm", "SSE-C Algorithm", Of(Member::RequestCustomerAlgorithm), "The algorithm, where an object is encrypted with a key of the caller's own, which ransomware does."),
    field("kms.keyid", "KMS Key ID", First(&[Member::RequestKeyId, Member::RequestKmsKeyId, Member::RequestKmsKeyIdOfDatabase, Member::RequestKmsKeyIdOfObject, Member::ResponseKeyId]), "The KMS key in the request: its ID, ARN or alias."),
    field("secretsmanager.secretid", "Secret ID", Of(Member::RequestSecretId), "The name or ARN of the secret in the request."),
    field("ssm.parameters", "SSM Parameters", ComputedText(services::ssm_parameters), "The names of the Systems Manager parameters in the request, separated by commas."),
    field("ssm.withdecryption", "SSM With Decryption", Of(Member::RequestWithDecryption), "true if Systems Manager parameters are to be given decrypted."),
    field("lambda.functionarn", "Lambda Function ARN", Of(Member::ResponseFunctionArn), "The ARN of the Lambda function in the response."),
    field("lambda.layers", "Lambda Layers", Joined(&[all(Member::RequestLayers), below(Member::ResponseLayers, &["arn"])]), "The ARNs of the layers that a Lambda function gets, separated by commas."),
    field("lambda.principal", "Lambda Principal", Of(Member::RequestPrincipal), "Who is to be allowed to invoke a Lambda function: a service, an account, or * for everybody."),
    field("cloudtrail.trail", "Trail", ComputedText(services::trail), "The trail that a request to CloudTrail is about: its name or ARN."),
    field("cloudtrail.eventselectors", "Event Selectors", First(&[Member::RequestEventSelectors, Member::RequestAdvancedEventSelectors]), "Which events a trail is to log, as JSON."),
    field("rds.instance", "DB Instance", First(&[Member::RequestDbInstanceIdentifier, Member::ResponseDbInstanceIdentifier]), "The identifier of the database instance in the request or the response."),
    field("rds.cluster", "DB Cluster", Of(Member::RequestDbClusterIdentifier), "The identifier of the database cluster in the request."),
    field("rds.snapshot", "DB Snapshot", First(&[Member::RequestDbSnapshotIdentifier, Member::RequestDbClusterSnapshotIdentifier]), "The identifier of the database snapshot in the request."),
    field("rds.attribute", "DB Snapshot Attribute", Of(Member::RequestAttributeName), "The attribute of a database snapshot that is changed: restore is who may restore it."),
    field("rds.sharedwith", "DB Snapshot Shared With", Joined(&[all(Member::RequestValuesToAdd)]), "The accounts that a database snapshot is shared with, or all, separated by commas."),
    field("rds.publiclyaccessible", "DB Publicly Accessible", First(&[Member::RequestPubliclyAccessible, Member::ResponsePubliclyAccessible]), "true if a database instance is to be reachable from the internet."),
    field("rds.deletionprotection", "DB Deletion Protection", Of(Member::RequestDeletionProtection), "false if a database is no longer to be protected from deletion."),
    field("rds.masteruserpassword", "DB Master User Password", First(&[Member::RequestMasterUserPassword, Member::PendingMasterUserPassword]), "There, as asterisks or the like, if the request sets the password of a database's master user."),
    field("dynamodb.table", "DynamoDB Table", Of(Member::RequestTableName), "The name or ARN of the table in the request."),
    field("sns.topicarn", "SNS Topic ARN", Of(Member::RequestTopicArn), "The ARN of the SNS topic in the request."),
    field("sns.protocol", "SNS Protocol", Of(Member::RequestProtocol), "The protocol of a subscription to an SNS topic, such as email or sms."),
    field("sqs.queueurl", "SQS Queue URL", Of(Member::RequestQueueUrl), "The URL of the SQS queue in the request."),
    field("logs.group", "Log Group", Of(Member::RequestLogGroupName), "The name of the CloudWatch log group in the request."),
    field("guardduty.detectorid", "GuardDuty Detector ID", Of(Member::RequestDetectorId), "The ID of the GuardDuty detector in the request."),
    field("guardduty.enable", "GuardDuty Enable", Of(Member::RequestEnable), "false if a GuardDuty detector is to be switched off."),
];

const _: () = assert!(FIELDS.len() < Given::BITS);

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
            if field.is_pointed() {
                json["arg"] = json!({ "isKey": true, "isRequired": false });
            }
            json
        };
        let json = FIELDS.iter().map(field).collect::<serde_json::Value>();
        CString::new(json.to_string()).unwrap_or_default()
    });
    &SCHEMA
}

/// The fields as a table in Markdown, for the README, with a mark at those that the official plugin doesn't have.
pub fn markdown() -> String {
    let mut table = String::from("| field | type | what it tells | from |\n|---|---|---|---|\n");
    for (at, field) in FIELDS.iter().enumerate() {
        let mark = if at < OFFICIAL { "" } else { "+ " };
        let kind = match (field.is_list(), field.is_pointed()) {
            (true, _) => format!("list of {}s, index possible", field.kind()),
            (_, true) => format!("{}, JSON pointer possible", field.kind()),
            _ => field.kind().to_owned(),
        };
        let paths = field.paths().into_iter().map(|path| format!("`{path}`"));
        let or = if field.is_joined() { ", " } else { ", else " };
        let from = match paths.collect::<Vec<_>>().join(or) {
            none if none.is_empty() => "computed".to_owned(),
            paths => paths,
        };
        table += &format!(
            "| {mark}`{}` | {kind} | {} | {from} |\n",
            field.name, field.description
        );
    }
    table
}

/// Extracts fields, and keeps what it has learnt of a record for the next call.
#[derive(Default)]
pub struct Extractor {
    index: Index,
    /// The last event: its number, address and length. These come again, with the next file or a
    /// host's other buffers.
    event: (u64, usize, usize),
    /// The last event's ID and where it is, if it tells events apart.
    id: Option<([u8; UUID], usize)>,
    /// The last event's bytes, once a host has asked for more of it than its ID can vouch for.
    bytes: Vec<u8>,
    /// What was given since all bytes were compared.
    given: Given,
}

impl Extractor {
    /// Forgets the last record.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// The event's record, with what is known of it if it is the one of the last call.
    ///
    /// To compare all bytes takes longer than to extract a field. A host asks for each field of an
    /// event once, so while it goes on to others the ID will do. If it asks again, that may be for
    /// another event in the same place, and all bytes count.
    fn record<'a>(&'a mut self, number: u64, payload: &'a [u8], asked: Asked) -> Record<'a> {
        let event = (number, payload.as_ptr().addr(), payload.len());
        let again = self.event == event;
        if again {
            let first = self.given.add(asked);
            let same_id = || {
                let (id, at) = self.id.as_ref()?;
                Some(is_same_id(id, payload.get(*at..)?.first_chunk()?))
            };
            if first && same_id() == Some(true) || self.bytes == payload {
                if !first {
                    self.given.start(asked);
                }
                return Record::again(payload, &mut self.index);
            }
        }
        self.event = event;
        self.given.start(asked);
        self.bytes.clear();
        if again {
            self.bytes.extend_from_slice(payload);
        }
        let mut record = Record::new(payload, &mut self.index);
        self.id = record.get(Member::EventId).and_then(|id| {
            let at = id.range().start;
            Some((*payload.get(id.range())?.first_chunk()?, at))
        });
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
        let mut record = self.record(event_number, payload, asked(fields));
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
        CString::new(summary::event(&mut self.record(
            self.event.0,
            payload,
            None,
        )))
        .unwrap_or_default()
    }
}

impl Field {
    /// Writes the value into `request`, and returns its place in the record.
    // Inlined, as is all that it does for a single member: that is what most fields show.
    #[inline(always)]
    fn extract(
        &self,
        record: &mut Record<'_>,
        request: &mut ss_plugin_extract_field,
        storage: &Bump,
    ) -> anyhow::Result<Range<usize>> {
        match self.source {
            Of(member) if request.arg_present == 0 => {
                Ok(put_value(request, record.get(member), storage))
            }
            _ => self.extract_other(record, request, storage),
        }
    }

    #[inline(never)]
    fn extract_other(
        &self,
        record: &mut Record<'_>,
        request: &mut ss_plugin_extract_field,
        storage: &Bump,
    ) -> anyhow::Result<Range<usize>> {
        let has_argument = request.arg_present != 0;
        ensure!(
            self.is_list() || self.is_pointed() || !has_argument,
            "the field {} takes no argument",
            self.name
        );
        let text = match self.source {
            Of(member) => text_of(record, member),
            First(members) => {
                let mut values = members.iter().filter_map(|&member| record.get(member));
                let value = values.find(|value| !value.is_null());
                return Ok(put_value(request, value, storage));
            }
            Joined(paths) => joined::joined(&mut |each| {
                for path in paths {
                    path.each(record, each);
                }
            }),
            Pointer => {
                let value = if has_argument && !request.arg_key.is_null() {
                    // SAFETY: a C string of the host's.
                    let pointer = unsafe { CStr::from_ptr(request.arg_key) };
                    record.pointer(pointer.to_bytes())
                } else {
                    record.whole()
                };
                return Ok(put_value(request, value, storage));
            }
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
            Flag(flag) => {
                let text = if flag(record) { c"true" } else { c"false" };
                request.res.str_ = storage.alloc(text.as_ptr());
                request.res_len = 1;
                return Ok(COMPUTED);
            }
            ComputedNumber(number) => {
                let number = number(record).map(|number| (number, COMPUTED));
                return Ok(put_number(request, number, storage));
            }
            List(texts) => {
                let texts = texts(record, has_argument.then_some(request.arg_index));
                let strings = storage
                    .alloc_slice_fill_iter(texts.iter().map(|(text, _)| c_string(text, storage)));
                request.res.str_ = strings.as_mut_ptr();
                request.res_len = strings.len() as u64;
                return Ok(texts.first().map_or(COMPUTED, |(_, range)| range.clone()));
            }
        };
        Ok(put_text(request, text, storage))
    }
}

/// Writes a value's text into `request`, and returns its place.
#[inline(always)]
fn put_value(
    request: &mut ss_plugin_extract_field,
    value: Option<Value<'_>>,
    storage: &Bump,
) -> Range<usize> {
    let Some(value) = value else {
        request.res_len = 0;
        request.res.str_ = std::ptr::null_mut();
        return COMPUTED;
    };
    let Some(string) = value.plain_string() else {
        return put_text(request, text_at(value), storage);
    };
    // In one go with its quote, which makes room for the NUL.
    let string = storage.alloc_slice_copy(string);
    string[string.len() - 1] = 0;
    request.res.str_ = storage.alloc(string.as_ptr().cast());
    request.res_len = 1;
    value.range()
}

#[inline(never)]
fn put_text(
    request: &mut ss_plugin_extract_field,
    text: Option<Text<'_>>,
    storage: &Bump,
) -> Range<usize> {
    request.res_len = u64::from(text.is_some());
    let Some((text, range)) = text else {
        request.res.str_ = std::ptr::null_mut();
        return COMPUTED;
    };
    request.res.str_ = storage.alloc(c_string(&text, storage));
    range
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

/// Compares two IDs without the call that `==` makes.
#[inline]
fn is_same_id(one: &[u8; UUID], other: &[u8; UUID]) -> bool {
    let parts = |id: &[u8; UUID]| {
        let [a, b] = *id[..32].as_chunks::<16>().0 else {
            return [0; 3];
        };
        let c = *id.last_chunk().unwrap_or(&[0; 16]);
        [a, b, c].map(u128::from_ne_bytes)
    };
    parts(one) == parts(other)
}

/// A member's text and place.
fn text_of<'a>(record: &mut Record<'a>, member: Member) -> Option<Text<'a>> {
    text_at(record.get(member)?)
}

/// A value's text and place.
fn text_at(value: Value<'_>) -> Option<Text<'_>> {
    Some((value.text()?, value.range()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use falco_plugin::api::ss_plugin_extract_field__bindgen_ty_1;

    fn request(name: &str, index: Option<u64>) -> ss_plugin_extract_field {
        let null = ss_plugin_extract_field__bindgen_ty_1 {
            u64_: std::ptr::null_mut(),
        };
        ss_plugin_extract_field {
            res: null,
            // As left over from another event.
            res_len: 7,
            field_id: FIELDS
                .iter()
                .position(|field| field.name == name)
                .expect("a field") as u32,
            field: std::ptr::null(),
            arg_key: std::ptr::null(),
            arg_index: index.unwrap_or(0),
            arg_present: u32::from(index.is_some()),
            ftype: 0,
            flist: 0,
        }
    }

    /// A string field's values, asked for by themselves.
    fn ask(
        extractor: &mut Extractor,
        payload: &[u8],
        name: &str,
        index: Option<u64>,
    ) -> anyhow::Result<Vec<String>> {
        let storage = Bump::new();
        let mut requests = [request(name, index)];
        extractor.extract_fields(1, payload, &mut requests, None, &storage)?;
        let values = (0..requests[0].res_len as usize).map(|at| {
            // SAFETY: there are so many C strings.
            let value = unsafe { CStr::from_ptr(*requests[0].res.str_.add(at)) };
            value.to_str().expect("UTF-8").to_owned()
        });
        Ok(values.collect())
    }

    fn value(payload: &str, name: &str) -> Option<String> {
        ask(&mut Extractor::default(), payload.as_bytes(), name, None)
            .expect("values")
            .pop()
    }

    #[test]
    fn another_event_in_the_same_place_has_its_own_values() {
        let id = "00000000-0000-0000-0000-00000000000";
        let mut extractor = Extractor::default();
        // Number, address and length stay the same, and what is where does not.
        let mut buffer = Vec::with_capacity(1000);
        let mut next = |id: &str, name: &str, region: &str, questions: &[(&str, &str)]| {
            assert_eq!(name.len() + region.len(), 6);
            let event =
                format!(r#"{{"eventID":"{id}","eventName":"{name}","awsRegion":"{region}"}}"#);
            buffer.clear();
            buffer.extend_from_slice(event.as_bytes());
            for (field, answer) in questions {
                let values = ask(&mut extractor, &buffer, field, None).expect("values");
                assert_eq!(values, [answer.to_string()], "{field} of {event}");
            }
        };
        let (name, region, info) = ("ct.name", "ct.region", "ct.info");
        next(
            &format!("{id}1"),
            "a",
            "bbbbb",
            &[(name, "a"), (region, "bbbbb")],
        );
        // Another ID, then a field not asked for so far, or one that was.
        next(
            &format!("{id}2"),
            "aa",
            "bbbb",
            &[(info, "← aa"), (name, "aa")],
        );
        next(
            &format!("{id}3"),
            "aaa",
            "bbb",
            &[(name, "aaa"), (name, "aaa"), (info, "← aaa")],
        );
        // The same ID, and a field asked for before.
        next(
            &format!("{id}3"),
            "aaaa",
            "bb",
            &[(name, "aaaa"), (region, "bb"), (name, "aaaa")],
        );
        // No ID that tells events apart.
        next("x", "a", "bbbbb", &[(name, "a")]);
        next("x", "aa", "bbbb", &[(region, "bbbb"), (name, "aa")]);
        next("x", "aaa", "bbb", &[(info, "← aaa"), (region, "bbb")]);
    }

    #[test]
    fn the_event_as_a_string_is_that_of_its_own_bytes() {
        let id = r#""eventID":"00000000-0000-0000-0000-000000000000""#;
        let mut extractor = Extractor::default();
        let mut buffer = format!(r#"{{{id},"eventName":"a","awsRegion":"bb"}}"#).into_bytes();
        ask(&mut extractor, &buffer, "ct.name", None).expect("values");
        assert_eq!(extractor.event_string(&buffer).to_str(), Ok("bb a ← a"));
        buffer.copy_from_slice(format!(r#"{{{id},"eventName":"aa","awsRegion":"b"}}"#).as_bytes());
        assert_eq!(extractor.event_string(&buffer).to_str(), Ok("b aa ← aa"));
    }

    #[test]
    fn a_question_that_makes_no_sense_is_refused() {
        let mut extractor = Extractor::default();
        let error = ask(&mut extractor, b"{}", "ct.name", Some(0)).expect_err("no index possible");
        assert_eq!(error.to_string(), "the field ct.name takes no argument");
        let mut unknown = [request("ct.name", None)];
        unknown[0].field_id = FIELDS.len() as u32;
        extractor
            .extract_fields(1, b"{}", &mut unknown, None, &Bump::new())
            .expect_err("no such field");
    }

    #[test]
    fn ranges_count_from_the_event_and_are_zero_where_there_is_none() {
        let payload = br#"{"eventName":"a","requestParameters":{}}"#;
        let storage = Bump::new();
        let names = ["ct.request", "ct.error", "ct.name", "ct.info"];
        let mut requests = names.map(|name| request(name, None));
        let mut offsets = ss_plugin_extract_value_offsets {
            start: std::ptr::null_mut(),
            length: std::ptr::null_mut(),
        };
        Extractor::default()
            .extract_fields(1, payload, &mut requests, Some(&mut offsets), &storage)
            .expect("values");
        assert_eq!(requests.map(|request| request.res_len), [1, 0, 1, 1]);
        for (at, expected) in [(PAYLOAD + 37, 2), (0, 0), (PAYLOAD + 13, 3), (0, 0)]
            .into_iter()
            .enumerate()
        {
            // SAFETY: the arrays are as long as there are requests.
            let range = unsafe { (*offsets.start.add(at) as usize, *offsets.length.add(at)) };
            assert_eq!(range, expected, "{}", names[at]);
        }
    }

    #[test]
    fn users_are_named_by_the_kind_of_their_identity() {
        for (identity, user, original) in [
            (r#"{"type":"IAMUser","userName":"a"}"#, Some("a"), Some("a")),
            (r#"{"type":"Root"}"#, None, None),
            (
                r#"{"type":"SAMLUser","userName":"a"}"#,
                Some("a"),
                Some("a"),
            ),
            (
                r#"{"type":"AWSService","invokedBy":"s","userName":"a"}"#,
                Some("s"),
                Some("a"),
            ),
            (
                r#"{"type":"AWSAccount","userName":"a"}"#,
                Some("AWSAccount"),
                Some("a"),
            ),
            (r#"{"type":"FederatedUser"}"#, Some("FederatedUser"), None),
            (
                r#"{"type":"AssumedRole","userName":"a"}"#,
                Some("AssumedRole"),
                None,
            ),
            (
                r#"{"type":"AssumedRole","sessionContext":{"sessionIssuer":{"userName":"r"}},"arn":"arn/r/s","principalId":"i:p"}"#,
                Some("r"),
                Some("s"),
            ),
            (
                r#"{"type":"AssumedRole","arn":"arn/r/s/t","principalId":"i:p"}"#,
                Some("AssumedRole"),
                Some("p"),
            ),
            (
                r#"{"type":"AssumedRole","arn":"arn\/r\/\u0073","principalId":"i:p"}"#,
                Some("AssumedRole"),
                Some("s"),
            ),
            (
                r#"{"type":"AssumedRole","arn":"arn","principalId":"i:p:q"}"#,
                Some("AssumedRole"),
                None,
            ),
            (r#"{"userName":"a"}"#, Some("a"), Some("a")),
            (r#""IAMUser""#, None, None),
            ("null", None, None),
        ] {
            let record = format!(r#"{{"userIdentity":{identity}}}"#);
            assert_eq!(value(&record, "ct.user").as_deref(), user, "{record}");
            assert_eq!(
                value(&record, "ct.originaluser").as_deref(),
                original,
                "{record}"
            );
        }
    }

    #[test]
    fn images_come_from_the_response_or_else_the_request() {
        let request = r#""requestParameters":{"launchSpecification":{"imageId":"l"},"DescribeFastLaunchImagesRequest":{"ImageId":{"content":"f"}}}"#;
        let items = r#""responseElements":{"instancesSet":{"items":[{"imageId":"a"},{"x":1},{"imageId":null},{"imageId":"b"}]}}"#;
        let images = |record: &str, index| {
            ask(
                &mut Extractor::default(),
                record.as_bytes(),
                "ec2.imageids",
                index,
            )
            .expect("values")
        };
        let response = format!("{{{request},{items}}}");
        assert_eq!(images(&response, None), ["a", "b"]);
        assert_eq!(images(&response, Some(0)), ["a"]);
        assert_eq!(images(&response, Some(3)), ["b"]);
        for missing in [1, 2, 4, u64::MAX] {
            assert_eq!(images(&response, Some(missing)), [""; 0], "{missing}");
        }
        let request = format!("{{{request}}}");
        assert_eq!(images(&request, None), ["f"]);
        assert_eq!(images(&request, Some(0)), ["f"]);
        assert_eq!(images(&request, Some(1)), [""; 0]);
        assert_eq!(value(&request, "ec2.imageid").as_deref(), Some("f"));
    }

    #[test]
    fn summaries_leave_out_what_is_missing() {
        for (record, info) in [
            ("{}", "←"),
            (r#"{"eventName":"n"}"#, "← n"),
            (r#"{"sourceIPAddress":"i","eventName":"n"}"#, "i ← n"),
            (
                r#"{"userIdentity":{"type":"Root"},"sourceIPAddress":"i","eventName":"n","readOnly":false}"#,
                "Root via i → n",
            ),
            (
                r#"{"userIdentity":{"userName":"i"},"sourceIPAddress":"i","errorCode":"","eventName":"n"}"#,
                "i !← n",
            ),
            (
                r#"{"eventName":"n","additionalEventData":{"bytesTransferredIn":1,"bytesTransferredOut":2.0},"requestParameters":{"bucketName":"b","key":"k","Host":"h"}}"#,
                "← n Size=3 URI=s3://b/k",
            ),
            (
                r#"{"eventName":"n","requestParameters":{"bucketName":"b","Host":"h"}}"#,
                "← n Bucket=b",
            ),
            (
                r#"{"eventName":"n","requestParameters":{"key":"k","Host":"h"}}"#,
                "← n Key=k",
            ),
            (
                r#"{"eventName":"n","requestParameters":{"Host":"h"}}"#,
                "← n Host=h",
            ),
            (
                r#"{"eventName":"PutBucketPublicAccessBlock","requestParameters":{"bucketName":"b"}}"#,
                "← PutBucketPublicAccessBlock",
            ),
            (
                r#"{"eventName":"PutBucketPublicAccessBlock","requestParameters":{"PublicAccessBlockConfiguration":{"BlockPublicAcls":true,"IgnorePublicAcls":false}}}"#,
                "← PutBucketPublicAccessBlock BlockPublicAcls=true BlockPublicPolicy=false IgnorePublicAcls=false RestrictPublicBuckets=false ",
            ),
        ] {
            assert_eq!(value(record, "ct.info").as_deref(), Some(info), "{record}");
        }
    }

    #[test]
    fn resources_are_joined_by_commas() {
        for (resources, text) in [
            (r#"[{"a":1}]"#, Some(r#"{"a":1}"#)),
            (r#"[ {"a": 1} , {"b":[2]}]"#, Some(r#"{"a": 1},{"b":[2]}"#)),
            ("[]", None),
            ("null", None),
            (r#"{"a":1}"#, Some(r#"{"a":1}"#)),
        ] {
            let record = format!(r#"{{"resources":{resources}}}"#);
            assert_eq!(value(&record, "ct.resources").as_deref(), text, "{record}");
        }
    }

    #[test]
    fn instances_are_named_by_their_last_tag() {
        let items = r#"{"resourceType":"volume","tags":[{"key":"Name","value":"v"}]},
            {"resourceType":"instance","tags":[{"key":"Name","value":"a"},{"key":"Other","value":"o"}]},
            {"resourceType":"instance","tags":[{"key":"Other","value":"o"}]}"#;
        let record = |items: &str| {
            format!(r#"{{"requestParameters":{{"tagSpecificationSet":{{"items":[{items}]}}}}}}"#)
        };
        assert_eq!(value(&record(items), "ec2.name").as_deref(), Some("a"));
        assert_eq!(
            value(&record(&items.replace("\"a\"", "\"\"")), "ec2.name"),
            None
        );
        assert_eq!(value(&record(""), "ec2.name"), None);
    }

    #[test]
    fn hosts_can_show_the_table() {
        let schema: serde_json::Value = serde_json::from_slice(schema().to_bytes()).expect("JSON");
        assert_eq!(schema.as_array().map(Vec::len), Some(FIELDS.len()));
        assert_eq!(FIELDS[OFFICIAL].name, "ct.value");
        for field in FIELDS {
            assert!(
                field.name.len() < 64 && field.display.len() < 64,
                "{}",
                field.name
            );
            assert!(
                field.description.len() < 1024 && field.description.ends_with('.'),
                "{}",
                field.name
            );
            assert_eq!(
                FIELDS
                    .iter()
                    .filter(|other| other.name == field.name)
                    .count(),
                1,
                "{}",
                field.name
            );
        }
    }
}
