//! The fields that only this plugin has: on real records, as serde_json tells their values, and on made ones for what
//! the real ones lack, each after a page of AWS's documentation.

#[path = "fields/policies.rs"]
mod policies;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;

use cloudtrail::fields::OFFICIAL;
use harness::{
    host::{Event, Fields, Library, Plugin},
    hosts::Hosts,
    shared,
    trail::{gzip, log_text, write},
};
use serde_json::{Value, json, value::RawValue};

/// The text of the first member that has one: a string's text, the JSON of anything but null.
#[rustfmt::skip]
const FIRST: &[(&str, &[&str])] = &[
    ("ct.user.accesskeyid", &["userIdentity.accessKeyId"]),
    ("ct.user.invokedby", &["userIdentity.invokedBy"]),
    ("ct.user.mfa", &["userIdentity.sessionContext.attributes.mfaAuthenticated"]),
    ("ct.user.sessioncreated", &["userIdentity.sessionContext.attributes.creationDate"]),
    ("ct.user.issuer.arn", &["userIdentity.sessionContext.sessionIssuer.arn"]),
    ("ct.user.issuer.type", &["userIdentity.sessionContext.sessionIssuer.type"]),
    ("ct.user.issuer.accountid", &["userIdentity.sessionContext.sessionIssuer.accountId"]),
    ("ct.user.issuer.principalid", &["userIdentity.sessionContext.sessionIssuer.principalId"]),
    ("ct.user.sourceidentity", &["userIdentity.sessionContext.sourceIdentity"]),
    ("ct.user.federatedprovider", &["userIdentity.sessionContext.webIdFederationData.federatedProvider"]),
    ("ct.user.identityprovider", &["userIdentity.identityProvider"]),
    ("ct.user.onbehalfof.userid", &["userIdentity.onBehalfOf.userId"]),
    ("ct.user.onbehalfof.store", &["userIdentity.onBehalfOf.identityStoreArn"]),
    ("ct.user.credentialid", &["userIdentity.credentialId"]),
    ("ct.user.inscopeof", &["userIdentity.inScopeOf"]),
    ("ct.user.delegate", &["userIdentity.invokedByDelegate.accountId"]),
    ("ct.user.assumedroot", &["userIdentity.sessionContext.assumedRoot"]),
    ("ct.version", &["eventVersion"]),
    ("ct.vpcendpointaccountid", &["vpcEndpointAccountId"]),
    ("ct.tlsdetails.keyexchange", &["tlsDetails.keyExchange"]),
    ("ct.eventcontext", &["eventContext"]),
    ("ct.insight.state", &["insightDetails.state"]),
    ("ct.insight.type", &["insightDetails.insightType"]),
    ("ct.insight.source", &["insightDetails.eventSource"]),
    ("ct.insight.name", &["insightDetails.eventName"]),
    ("ct.insight.error", &["insightDetails.errorCode"]),
    ("ct.insight.baseline", &["insightDetails.insightContext.statistics.baseline.average"]),
    ("ct.insight.value", &["insightDetails.insightContext.statistics.insight.average"]),
    ("ct.aggregate.dimension", &["summary.primaryDimension.dimension"]),
    ("ct.aggregate.type", &["summary.primaryDimension.aggregationType"]),
    ("ct.aggregate.start", &["timeWindow.windowStart"]),
    ("ct.aggregate.end", &["timeWindow.windowEnd"]),
    ("ct.aggregate.window", &["timeWindow.windowSize"]),
    ("ct.aggregate.details", &["summary.details"]),
    ("iam.policyarn", &["requestParameters.policyArn"]),
    ("iam.policydocument", &["requestParameters.policyDocument", "requestParameters.assumeRolePolicyDocument"]),
    ("iam.accesskeyid", &["requestParameters.accessKeyId", "responseElements.accessKey.accessKeyId"]),
    ("iam.rolearn", &["requestParameters.roleArn", "requestParameters.role"]),
    ("iam.instanceprofile", &["requestParameters.instanceProfileName"]),
    ("iam.samlproviderarn", &["requestParameters.sAMLProviderArn", "additionalEventData.SamlProviderArn"]),
    ("sts.sessionname", &["requestParameters.roleSessionName"]),
    ("sts.accesskeyid", &["responseElements.credentials.accessKeyId"]),
    ("signin.result", &["responseElements.ConsoleLogin", "responseElements.CheckMfa", "responseElements.PasswordUpdated", "responseElements.SwitchRole"]),
    ("signin.loginto", &["additionalEventData.LoginTo"]),
    ("ec2.attribute", &["requestParameters.attribute", "requestParameters.attributeType"]),
    ("ec2.vpcid", &["requestParameters.vpcId"]),
    ("ec2.ruleaction", &["requestParameters.ruleAction"]),
    ("ec2.snapshotid", &["requestParameters.snapshotId", "responseElements.snapshotId"]),
    ("ec2.volumeid", &["requestParameters.volumeId", "responseElements.volumeId"]),
    ("ec2.keyname", &["requestParameters.keyName"]),
    ("s3.bucketpolicy", &["requestParameters.bucketPolicy"]),
    ("s3.publicaccessblock", &["requestParameters.PublicAccessBlockConfiguration"]),
    ("s3.lifecycle", &["requestParameters.LifecycleConfiguration"]),
    ("s3.ssecustomeralgorithm", &["requestParameters.x-amz-server-side-encryption-customer-algorithm"]),
    ("kms.keyid", &["requestParameters.keyId", "requestParameters.kmsKeyId", "requestParameters.kMSKeyId", "requestParameters.x-amz-server-side-encryption-aws-kms-key-id", "responseElements.keyId"]),
    ("secretsmanager.secretid", &["requestParameters.secretId"]),
    ("ssm.withdecryption", &["requestParameters.withDecryption"]),
    ("lambda.functionarn", &["responseElements.functionArn"]),
    ("lambda.principal", &["requestParameters.principal"]),
    ("cloudtrail.eventselectors", &["requestParameters.eventSelectors", "requestParameters.advancedEventSelectors"]),
    ("rds.instance", &["requestParameters.dBInstanceIdentifier", "responseElements.dBInstanceIdentifier"]),
    ("rds.cluster", &["requestParameters.dBClusterIdentifier"]),
    ("rds.snapshot", &["requestParameters.dBSnapshotIdentifier", "requestParameters.dBClusterSnapshotIdentifier"]),
    ("rds.attribute", &["requestParameters.attributeName"]),
    ("rds.publiclyaccessible", &["requestParameters.publiclyAccessible", "responseElements.publiclyAccessible"]),
    ("rds.deletionprotection", &["requestParameters.deletionProtection"]),
    ("rds.masteruserpassword", &["requestParameters.masterUserPassword", "responseElements.pendingModifiedValues.masterUserPassword"]),
    ("dynamodb.table", &["requestParameters.tableName"]),
    ("sns.topicarn", &["requestParameters.topicArn"]),
    ("sns.protocol", &["requestParameters.protocol"]),
    ("sqs.queueurl", &["requestParameters.queueUrl"]),
    ("logs.group", &["requestParameters.logGroupName"]),
    ("guardduty.detectorid", &["requestParameters.detectorId"]),
    ("guardduty.enable", &["requestParameters.enable"]),
];

/// All values at these paths, through arrays, each once, joined by commas.
#[rustfmt::skip]
const JOINED: &[(&str, &[&str])] = &[
    ("ct.resource.types", &["resources.type"]),
    ("ct.resource.accounts", &["resources.accountId"]),
    ("ct.aggregate.names", &["summary.primaryDimension.statistics.name"]),
    ("ec2.instanceid", &["requestParameters.instanceId", "requestParameters.instancesSet.items.instanceId", "requestParameters.instanceIds", "responseElements.instancesSet.items.instanceId"]),
    ("ec2.instancetype", &["requestParameters.instanceType"]),
    ("ec2.groupid", &["requestParameters.groupId", "requestParameters.groupSet.items.groupId", "requestParameters.ModifySecurityGroupRulesRequest.GroupId", "responseElements.groupId"]),
    ("ec2.cidrs", &[
        "requestParameters.ipPermissions.items.ipRanges.items.cidrIp", "requestParameters.ipPermissions.items.ipv6Ranges.items.cidrIpv6", "requestParameters.cidrIp",
        "requestParameters.ModifySecurityGroupRulesRequest.SecurityGroupRule.SecurityGroupRule.CidrIpv4", "requestParameters.ModifySecurityGroupRulesRequest.SecurityGroupRule.SecurityGroupRule.CidrIpv6",
        "requestParameters.cidrBlock", "requestParameters.ipv6CidrBlock", "requestParameters.destinationCidrBlock", "requestParameters.destinationIpv6CidrBlock",
    ]),
    ("ec2.sharedwith", &[
        "requestParameters.createVolumePermission.add.items.userId", "requestParameters.createVolumePermission.add.items.group",
        "requestParameters.launchPermission.add.items.userId", "requestParameters.launchPermission.add.items.group",
        "requestParameters.launchPermission.add.items.organizationArn", "requestParameters.launchPermission.add.items.organizationalUnitArn",
    ]),
    ("ec2.httptokens", &["requestParameters.ModifyInstanceMetadataOptionsRequest.HttpTokens", "requestParameters.metadataOptions.httpTokens"]),
    ("s3.acl", &["requestParameters.x-amz-acl"]),
    ("s3.versioning", &["requestParameters.VersioningConfiguration.Status"]),
    ("s3.mfadelete", &["requestParameters.VersioningConfiguration.MfaDelete"]),
    ("lambda.layers", &["requestParameters.layers", "responseElements.layers.arn"]),
    ("rds.sharedwith", &["requestParameters.valuesToAdd"]),
];

/// Fields with a rule of their own.
const RULED: &[&str] = &[
    "ct.value",
    "ct.actor",
    "ct.console",
    "ct.mfaused",
    "ct.failed",
    "ct.resource.arns",
    "ct.aggregate.count",
    "ct.tags",
    "ec2.ports",
    "ec2.rules",
    "s3.grants",
    "ssm.parameters",
    "cloudtrail.trail",
    "ct.omitted",
    "ct.foreignaccounts",
    "policy.everyone",
    "policy.everything",
    "policy.principals",
    "policy.actions",
    "ec2.openports",
    "ec2.sensitiveports",
    "ec2.maxcount",
    "s3.publicaccessblock.off",
    "s3.expirationdays",
];

fn plugin() -> (Library, Plugin) {
    let library = Library::load().unwrap();
    let plugin = library.init("").unwrap();
    (library, plugin)
}

/// The names of our own fields.
/// Those that a record tells by itself; `tests/origin.rs` has those of chains, `tests/geo.rs` those of databases.
fn ours(library: &Library) -> Vec<&str> {
    let mut names = library.field_names().split_off(OFFICIAL);
    let others = ["ct.origin", "ct.chain", "ct.geo", "ct.target", "ct.outcome"];
    names.retain(|name| !others.iter().any(|other| name.starts_with(other)));
    names
}

/// A value's own bytes.
fn token<'a>(record: &'a str, path: &str) -> Option<&'a str> {
    path.split('.').try_fold(record, |json, key| {
        let object: HashMap<String, &RawValue> = serde_json::from_str(json).ok()?;
        Some(object.get(key)?.get())
    })
}

/// A value as text.
fn text(value: &Value, token: &str) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        _ => Some(token.to_owned()),
    }
}

/// What a path leads to, through arrays.
fn collect<'a>(value: &'a Value, path: &[&str], found: &mut Vec<&'a Value>) {
    match (value, path) {
        (Value::Array(values), _) => values.iter().for_each(|value| collect(value, path, found)),
        (_, []) => found.push(value),
        (_, [key, rest @ ..]) => {
            if let Some(value) = value.get(key) {
                collect(value, rest, found);
            }
        }
    }
}

fn at<'a>(record: &'a Value, path: &str) -> Vec<&'a Value> {
    let mut found = vec![];
    collect(record, &path.split('.').collect::<Vec<_>>(), &mut found);
    found
}

/// Texts, each once, joined by commas.
fn join(texts: impl IntoIterator<Item = String>) -> Option<String> {
    let mut all: Vec<String> = vec![];
    for text in texts {
        if !all.contains(&text) {
            all.push(text);
        }
    }
    (!all.is_empty()).then(|| all.join(","))
}

/// A value of which nobody minds the spelling.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// What a rule gives for a record.
fn ruled(name: &str, record: &Value) -> Option<String> {
    let string = |pointer: &str| {
        let text = record.pointer(pointer)?.as_str()?;
        (!text.is_empty()).then(|| text.to_owned())
    };
    let request = &record["requestParameters"];
    match name {
        "ct.actor" => Some(actor(record)),
        "ct.console" => {
            let agent = record["userAgent"].as_str().unwrap_or_default();
            let is_person = [json!(true), json!("true")]
                .contains(&record["sessionCredentialFromConsole"])
                || ["AwsConsoleSignIn", "AwsConsoleAction"]
                    .contains(&record["eventType"].as_str().unwrap_or_default())
                || agent
                    .split(['/', ','])
                    .next()
                    .is_some_and(|name| name.contains("onsole"));
            Some(is_person.to_string())
        }
        "ct.mfaused" => match string("/additionalEventData/MFAUsed") {
            Some(used) => Some((used.to_lowercase() == "yes").to_string()),
            None => string("/userIdentity/sessionContext/attributes/mfaAuthenticated"),
        },
        "ct.failed" => {
            let name = record["eventName"].as_str().unwrap_or_default();
            let is_there = |text: &Value| !text.is_null() && *text != "";
            let failed = is_there(&record["errorCode"])
                || is_there(&record["errorMessage"])
                || record["eventType"] == "AwsConsoleSignIn"
                    && record["responseElements"][name] == "Failure"
                || record["eventType"] == "AwsServiceEvent"
                    && record["serviceEventDetails"][name] == "Failure";
            Some(failed.to_string())
        }
        "ct.resource.arns" => {
            let resources = record["resources"].as_array()?.iter();
            join(resources.filter_map(|resource| {
                let arn = resource.get("ARN").or(resource.get("arn"));
                arn.and_then(plain)
            }))
        }
        "ct.aggregate.count" => {
            let counts = at(record, "summary.primaryDimension.statistics.value");
            let counts: Vec<u64> = counts.into_iter().filter_map(Value::as_u64).collect();
            (!counts.is_empty()).then(|| counts.iter().sum::<u64>().to_string())
        }
        "ct.tags" => {
            let mut tags = at(request, "tagSpecificationSet.items.tags");
            tags.extend(at(request, "tagSet.items"));
            tags.extend(at(request, "Tagging.TagSet.Tag"));
            // As a list, in an object, or as an object with a member for each.
            match &request["tags"]["items"] {
                Value::Array(_) => tags.extend(at(request, "tags.items")),
                _ => tags.extend(at(request, "tags")),
            }
            join(tags.into_iter().flat_map(|tag| {
                let pairs = [("key", "value"), ("Key", "Value"), ("tagKey", "tagValue")];
                let pair = pairs
                    .iter()
                    .find_map(|(key, value)| Some((plain(tag.get(key)?)?, tag.get(value))));
                match pair {
                    Some((key, value)) => {
                        vec![format!(
                            "{key}={}",
                            value.and_then(plain).unwrap_or_default()
                        )]
                    }
                    None => tag
                        .as_object()
                        .into_iter()
                        .flatten()
                        .map(|(key, value)| format!("{key}={}", plain(value).unwrap_or_default()))
                        .collect(),
                }
            }))
        }
        "ec2.ports" | "ec2.rules" => {
            let mut rules = vec![];
            for permission in permissions(request) {
                let get = |names: [&str; 2]| {
                    let value = names.iter().find_map(|name| permission.get(name));
                    value.and_then(plain).filter(|text| text != "-1")
                };
                let ports = match (get(["fromPort", "FromPort"]), get(["toPort", "ToPort"])) {
                    (Some(from), Some(to)) if from != to => format!("{from}-{to}"),
                    (Some(port), _) | (None, Some(port)) => port,
                    (None, None) => "all".into(),
                };
                let (ports, what) = match get(["ipProtocol", "IpProtocol"]) {
                    Some(protocol) => (ports.clone(), format!("{protocol} {ports}")),
                    None => ("all".into(), "all".into()),
                };
                if name == "ec2.ports" {
                    rules.push(ports);
                    continue;
                }
                for path in [
                    "ipRanges.items.cidrIp",
                    "ipv6Ranges.items.cidrIpv6",
                    "groups.items.groupId",
                    "prefixListIds.items.prefixListId",
                    "cidrIp",
                    "CidrIpv4",
                    "CidrIpv6",
                    "ReferencedGroupId",
                    "PrefixListId",
                ] {
                    let peers = at(permission, path).into_iter().filter_map(plain);
                    rules.extend(peers.map(|peer| format!("{what} {peer}")));
                }
            }
            if name == "ec2.ports"
                && let Some(range) = request.get("portRange")
            {
                let end = |name| range.get(name).and_then(plain).filter(|text| text != "-1");
                rules.push(match (end("from"), end("to")) {
                    (Some(from), Some(to)) if from != to => format!("{from}-{to}"),
                    (from, to) => from.or(to).unwrap_or("all".into()),
                });
            }
            join(rules)
        }
        "s3.grants" => join(
            at(request, "AccessControlPolicy.AccessControlList.Grant")
                .into_iter()
                .filter_map(|grant| {
                    let grantee = ["URI", "EmailAddress", "ID"]
                        .iter()
                        .find_map(|name| plain(grant["Grantee"].get(name)?))?;
                    Some(format!("{} {grantee}", plain(&grant["Permission"])?))
                }),
        ),
        "ssm.parameters" => {
            let name = record["eventName"].as_str()?;
            if record["eventSource"] != "ssm.amazonaws.com" || !name.contains("Parameter") {
                return None;
            }
            join(at(request, "names").into_iter().filter_map(plain)).or(plain(&request["name"]))
        }
        "cloudtrail.trail" if record["eventSource"] == "cloudtrail.amazonaws.com" => [
            "/requestParameters/name",
            "/requestParameters/trailName",
            "/responseElements/trailARN",
        ]
        .iter()
        .find_map(|pointer| plain(record.pointer(pointer)?)),
        _ => policies::value(name, record),
    }
}

/// The permissions of security groups in a request.
fn permissions(request: &Value) -> Vec<&Value> {
    let mut all = at(request, "ipPermissions.items");
    all.extend(at(
        request,
        "ModifySecurityGroupRulesRequest.SecurityGroupRule.SecurityGroupRule",
    ));
    if request.get("cidrIp").is_some() {
        all.push(request);
    }
    all
}

/// Who made a request, in words.
fn actor(record: &Value) -> String {
    let identity = &record["userIdentity"];
    let some = |value: &Value| plain(value).filter(|text| !text.is_empty());
    let in_arn = || {
        let arn = identity["arn"].as_str()?;
        let resource = arn.splitn(6, ':').nth(5)?;
        let name = match resource.strip_prefix("assumed-role/") {
            Some(role) => role,
            None => resource.rsplit('/').next()?,
        };
        (!name.is_empty()).then(|| name.to_owned())
    };
    let session = || {
        let role = some(&identity["sessionContext"]["sessionIssuer"]["userName"])?;
        let principal = identity["principalId"].as_str().unwrap_or_default();
        match principal.split(':').collect::<Vec<_>>()[..] {
            [_, session] => Some(format!("{role}/{session}")),
            _ => Some(role),
        }
    };
    let account = || match some(&identity["accountId"])?.as_str() {
        "anonymous" | "Anonymous" | "ANONYMOUS_PRINCIPAL" => Some("anonymous".to_owned()),
        account => Some(format!("account {account}")),
    };
    let service = || match record["eventType"].as_str() {
        Some("AwsServiceEvent") => some(&record["eventSource"]),
        _ => some(&record["sourceIPAddress"]).filter(|address| address.ends_with(".amazonaws.com")),
    };
    let by_kind = match identity["type"].as_str() {
        Some("Root") => Some("root".to_owned()),
        Some("AssumedRole") => in_arn().or_else(session),
        Some("AWSService") => some(&identity["invokedBy"]),
        Some("AWSAccount") => account(),
        Some("IdentityCenterUser") => some(&identity["onBehalfOf"]["userId"]),
        Some("FederatedUser") => in_arn(),
        _ => None,
    };
    let name = by_kind
        .or_else(|| some(&identity["userName"]))
        .or_else(|| some(&identity["onBehalfOf"]["userId"]))
        .or_else(in_arn)
        .or_else(|| some(&identity["principalId"]))
        .or_else(|| some(&identity["invokedBy"]))
        .or_else(account)
        .or_else(service)
        .unwrap_or("unknown".to_owned());
    match some(&identity["invokedByDelegate"]["accountId"]) {
        Some(vendor) => format!("vendor {vendor} as {name}"),
        None => name,
    }
}

/// What our fields give for a record, and where the values come from that have one place.
fn expected(record: &str) -> BTreeMap<String, (String, Option<(u32, u32)>)> {
    let json: Value = serde_json::from_str(record).unwrap();
    let mut fields = BTreeMap::new();
    for (name, paths) in FIRST {
        let found = paths.iter().find_map(|path| {
            json.pointer(&format!("/{}", path.replace('.', "/")))?;
            let token = token(record, path)?;
            let text = text(&serde_json::from_str(token).unwrap(), token)?;
            let start = token.as_ptr() as usize - record.as_ptr() as usize;
            Some((text, Some((start as u32, token.len() as u32))))
        });
        fields.extend(found.map(|found| (name.to_string(), found)));
    }
    for (name, paths) in JOINED {
        let values = paths.iter().flat_map(|path| at(&json, path));
        let text = match *name {
            // Of one attribute it is an object.
            "ec2.instancetype" => {
                join(values.filter_map(|value| plain(value.get("value").unwrap_or(value))))
            }
            _ => join(values.filter_map(plain)),
        };
        fields.extend(text.map(|text| (name.to_string(), (text, None))));
    }
    for name in RULED {
        let text = ruled(name, &json);
        fields.extend(text.map(|text| (name.to_string(), (text, None))));
    }
    fields.insert("ct.value".into(), (record.trim().to_owned(), None));
    fields
}

/// Checks our fields of a record, and adds the names of those that it has.
fn check(fields: &Fields, record: &str, seen: &mut BTreeSet<String>) {
    let wanted = expected(record);
    let names: BTreeSet<&String> = fields.keys().chain(wanted.keys()).collect();
    for name in names {
        let value = fields.get(name).map(|field| match &field.value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        let range = fields.get(name).and_then(|field| field.range);
        let wanted = wanted.get(name);
        assert_eq!(
            value.as_ref(),
            wanted.map(|(text, _)| text),
            "{name} of {record}"
        );
        if let Some((_, Some(wanted))) = wanted {
            assert_eq!(range, Some(*wanted), "range of {name} of {record}");
        }
        // Whatever has a place is what stands there, or made of it.
        if let Some((start, length @ 1..)) = range {
            let token = &record[start as usize..][..length as usize];
            let there = text(&serde_json::from_str(token).unwrap(), token).unwrap();
            let value = value.unwrap();
            match name.as_str() {
                "ct.mfaused" => {
                    assert!(["yes", "no", "true", "false"].contains(&&*there.to_lowercase()))
                }
                "ct.actor" => assert!(
                    there.ends_with(&value) || value.ends_with(&there) || value == "anonymous",
                    "{value} of {there}"
                ),
                _ => assert_eq!(value, there, "{name} of {record}"),
            }
        }
        seen.insert(name.clone());
    }
}

/// Those that no real record here has.
#[rustfmt::skip]
const MADE: &[&str] = &[
    "ct.user.sourceidentity", "ct.user.federatedprovider", "ct.user.identityprovider",
    "ct.user.onbehalfof.userid", "ct.user.onbehalfof.store", "ct.user.credentialid", "ct.user.assumedroot",
    "ct.tlsdetails.keyexchange", "ct.eventcontext", "ct.insight.error", "ct.aggregate.dimension",
    "ct.aggregate.names", "ct.aggregate.count", "ct.aggregate.type", "ct.aggregate.start", "ct.aggregate.end",
    "ct.aggregate.window", "ct.aggregate.details", "ec2.httptokens", "s3.grants", "s3.publicaccessblock",
    "sns.topicarn", "sns.protocol", "ct.user.delegate", "ct.omitted", "policy.everything", "s3.publicaccessblock.off",
];

/// Records that have what the real ones lack. Above each, the page that it is modelled on.
#[rustfmt::skip]
const RECORDS: &[&str] = &[
    // docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html: an IAM Identity Center user
    r#"{"eventVersion":"1.11","userIdentity":{"type":"IdentityCenterUser","accountId":"123456789012","onBehalfOf":{"userId":"544894e8-80c1-707f-60e3-3ba6510dfac1","identityStoreArn":"arn:aws:identitystore::123456789012:identitystore/d-9067642ac7"},"credentialId":"EXAMPLEVHULjJdTUdPJfofVa1sufHDoj7aYcOYcxFVllWR_Whr1fEXAMPLE"},"eventSource":"codewhisperer.amazonaws.com","eventName":"GenerateCompletions"}"#,
    // The same page: web identity federation, source identity, a Lambda function's credentials
    r#"{"userIdentity":{"type":"AssumedRole","principalId":"AROAIDPPEZS35WEXAMPLE:session","arn":"arn:aws:sts::123456789012:assumed-role/RoleToBeAssumed/MySessionName","accountId":"123456789012","accessKeyId":"ASIAEXAMPLE","sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROAIDPPEZS35WEXAMPLE","arn":"arn:aws:iam::123456789012:role/RoleToBeAssumed","accountId":"123456789012","userName":"RoleToBeAssumed"},"sourceIdentity":"alice@example.com","webIdFederationData":{"federatedProvider":"arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com","attributes":{}},"attributes":{"creationDate":"2024-11-02T01:06:28Z","mfaAuthenticated":"false"}},"inScopeOf":{"issuerType":"AWS::Lambda::Function","credentialsIssuedTo":"arn:aws:lambda:us-east-1:123456789012:function:f"}}}"#,
    // The same page: values for AWS STS APIs with web identity federation
    r#"{"userIdentity":{"type":"WebIdentityUser","principalId":"accounts.google.com:id-of-application.apps.googleusercontent.com:id-of-user","userName":"id-of-user","identityProvider":"accounts.google.com"},"eventSource":"sts.amazonaws.com","eventName":"AssumeRoleWithWebIdentity"}"#,
    // docs.aws.amazon.com/IAM/latest/UserGuide/cloudtrail-track-privileged-tasks.html
    r#"{"eventVersion":"1.11","userIdentity":{"type":"AssumedRole","principalId":"111111111111","arn":"arn:aws:sts::111111111111:assumed-root","accountId":"111111111111","sessionContext":{"attributes":{"creationDate":"2024-10-25T20:45:28Z","mfaAuthenticated":"false"},"assumedRoot":"true"}},"eventSource":"s3.amazonaws.com","eventName":"DeleteBucketPolicy","requestParameters":{"bucketName":"resource-policy-JohnDoe"}}"#,
    // docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html: tlsDetails, eventContext
    r#"{"eventVersion":"1.11","tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"secretsmanager.eu-west-2.amazonaws.com","keyExchange":"X25519MLKEM768"},"eventContext":{"requestContext":{"aws:MultiFactorAuthPresent":"true"},"tagContext":{"resourceTags":[{"arn":"arn:aws:ec2:us-east-1:111122223333:instance/i-1","tags":{"env":"prod"}}],"principalTags":{"team":"red"}}}}"#,
    // docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-insights-fields-trails.html: an error rate
    r#"{"eventType":"AwsCloudTrailInsight","insightDetails":{"state":"End","eventSource":"ec2.amazonaws.com","eventName":"RunInstances","insightType":"ApiErrorRateInsight","errorCode":"Client.UnauthorizedOperation","insightContext":{"statistics":{"baseline":{"average":0.0017},"insight":{"average":6},"insightDuration":3,"baselineDuration":10080}}}}"#,
    // docs.aws.amazon.com/awscloudtrail/latest/userguide/aggregating-data-events.html: API_ACTIVITY
    r#"{"eventVersion":"1.0","accountId":"111122223333","eventId":"62759c1a-6248-48e1-a6b3-d5fb7e6c4bc0","eventCategory":"Aggregated","eventType":"AwsAggregatedEvent","awsRegion":"us-west-2","eventSource":"s3.amazonaws.com","timeWindow":{"windowStart":"2025-11-17T19:20:00Z","windowEnd":"2025-11-17T19:25:00Z","windowSize":"PT5M"},"summary":{"primaryDimension":{"dimension":"eventName","statistics":[{"name":"PutObject","value":1000},{"name":"GetObject","value":7}],"aggregationType":"Count"},"details":[{"dimension":"resourceARN","statistics":[{"name":"arn:aws:s3:::bucket-1","value":800}],"aggregationType":"Count"}]}}"#,
    // docs.aws.amazon.com/IAM/latest/UserGuide/cloudtrail-integration.html: sign-in with SAML
    r#"{"eventType":"AwsApiCall","eventSource":"sts.amazonaws.com","eventName":"AssumeRoleWithSAML","userIdentity":{"type":"SAMLUser","principalId":"SampleUkh1i4+ExamplexL/jEvs=:SamlExample","userName":"SamlExample","identityProvider":"bdGOnTesti4+ExamplexL/jEvs="},"requestParameters":{"sAMLAssertionID":"_1","roleSessionName":"MyAssignedRoleSessionName","principalArn":"arn:aws:iam::444455556666:saml-provider/Shibboleth","sAMLProviderArn":"arn:aws:iam::444455556666:saml-provider/Shibboleth","roleArn":"arn:aws:iam::444455556666:role/SAMLTestRoleShibboleth"},"responseElements":{"credentials":{"accessKeyId":"ASIACKCEVSQ6C2EXAMPLE"}}}"#,
    // docs.aws.amazon.com/singlesignon/latest/userguide/logging-using-cloudtrail.html: a password that is wrong
    r#"{"eventType":"AwsServiceEvent","eventSource":"sso.amazonaws.com","eventName":"CredentialVerification","userIdentity":{"type":"Unknown","principalId":"111122223333","accountId":"111122223333","userName":"user1"},"serviceEventDetails":{"CredentialVerification":"Failure"}}"#,
    // docs.aws.amazon.com/IAM/latest/UserGuide/cloudtrail-integration.html: a switch of roles
    r#"{"eventType":"AwsConsoleSignIn","eventSource":"signin.amazonaws.com","eventName":"SwitchRole","userIdentity":{"type":"AssumedRole","sessionContext":{"sessionIssuer":{"userName":"admin"}},"principalId":"AROA1:eve"},"responseElements":{"SwitchRole":"Success"},"additionalEventData":{"SwitchFrom":"arn:aws:iam::111122223333:user/eve","RedirectTo":"https://console.aws.amazon.com/"}}"#,
    // docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifySecurityGroupRules.html
    r#"{"eventSource":"ec2.amazonaws.com","eventName":"ModifySecurityGroupRules","requestParameters":{"ModifySecurityGroupRulesRequest":{"GroupId":"sg-1","SecurityGroupRule":{"SecurityGroupRule":{"CidrIpv6":"::/0","FromPort":8000,"ToPort":8080,"IpProtocol":"tcp"},"SecurityGroupRuleId":"sgr-1","tag":1}}}}"#,
    // docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AuthorizeSecurityGroupIngress.html: groups, prefix lists, all traffic
    r#"{"eventSource":"ec2.amazonaws.com","eventName":"AuthorizeSecurityGroupIngress","requestParameters":{"groupId":"sg-1","ipPermissions":{"items":[{"ipProtocol":"-1","ipRanges":{},"ipv6Ranges":{"items":[{"cidrIpv6":"::/0"}]},"groups":{"items":[{"groupId":"sg-2","userId":"111122223333"}]},"prefixListIds":{"items":[{"prefixListId":"pl-1"}]}},{"ipProtocol":"icmp","fromPort":-1,"toPort":-1,"ipRanges":{"items":[{"cidrIp":"10.0.0.0/8"},{"cidrIp":"192.0.2.0/24"}]}}]}}}"#,
    // docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyImageAttribute.html: organizations
    r#"{"eventSource":"ec2.amazonaws.com","eventName":"ModifyImageAttribute","requestParameters":{"imageId":"ami-1","attributeType":"launchPermission","launchPermission":{"add":{"items":[{"organizationArn":"arn:aws:organizations::123456789012:organization/o-123example"},{"organizationalUnitArn":"arn:aws:organizations::123456789012:ou/o-123example/ou-1234-5exampld"},{"group":"all"}]}}}}"#,
    // docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyInstanceMetadataOptions.html
    r#"{"eventSource":"ec2.amazonaws.com","eventName":"ModifyInstanceMetadataOptions","requestParameters":{"ModifyInstanceMetadataOptionsRequest":{"HttpTokens":"optional","InstanceId":"i-1"}}}"#,
    // docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketAcl.html: grants
    r#"{"eventSource":"s3.amazonaws.com","eventName":"PutBucketAcl","requestParameters":{"bucketName":"b","acl":"","AccessControlPolicy":{"AccessControlList":{"Grant":[{"Grantee":{"xsi:type":"CanonicalUser","ID":"d25639fbe9c19cd30a4c0f43fbf00e2d3f96400a9aa8dabfbbebe1906Example"},"Permission":"FULL_CONTROL"},{"Grantee":{"xsi:type":"Group","URI":"http://acs.amazonaws.com/groups/global/AllUsers"},"Permission":"READ"}]},"Owner":{"ID":"o"}}}}"#,
    // The same with one, which is no array
    r#"{"eventSource":"s3.amazonaws.com","eventName":"PutBucketAcl","requestParameters":{"AccessControlPolicy":{"AccessControlList":{"Grant":{"Grantee":{"EmailAddress":"user@example.com"},"Permission":"WRITE"}}}}}"#,
    // docs.aws.amazon.com/AmazonS3/latest/API/API_PutPublicAccessBlock.html
    r#"{"eventSource":"s3.amazonaws.com","eventName":"PutBucketPublicAccessBlock","requestParameters":{"bucketName":"b","publicAccessBlock":"","PublicAccessBlockConfiguration":{"RestrictPublicBuckets":false,"BlockPublicAcls":true}}}"#,
    // docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketTagging.html
    r#"{"eventSource":"s3.amazonaws.com","eventName":"PutBucketTagging","requestParameters":{"bucketName":"b","Tagging":{"TagSet":{"Tag":{"Key":"Project","Value":"Project One"}}}}}"#,
    // docs.aws.amazon.com/AmazonS3/latest/userguide/cloudtrail-logging-understanding-s3-entries.html: encryption with a key of KMS
    r#"{"eventSource":"s3.amazonaws.com","eventName":"CopyObject","requestParameters":{"bucketName":"b","key":"k","x-amz-server-side-encryption-aws-kms-key-id":"arn:aws:kms:us-east-1:444455556666:key/1"}}"#,
    // docs.aws.amazon.com/lambda/latest/api/API_AddPermission.html and API_UpdateFunctionConfiguration.html
    r#"{"eventSource":"lambda.amazonaws.com","eventName":"UpdateFunctionConfiguration20150331v2","requestParameters":{"functionName":"f","layers":["arn:aws:lambda:us-east-1:444455556666:layer:l:1","arn:aws:lambda:us-east-1:444455556666:layer:m:2"],"principal":"*"},"responseElements":{"functionArn":"arn:aws:lambda:us-east-1:444455556666:function:f","layers":[{"arn":"arn:aws:lambda:us-east-1:444455556666:layer:l:1"}]}}"#,
    // docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_ModifyDBClusterSnapshotAttribute.html and API_ModifyDBCluster.html
    r#"{"eventSource":"rds.amazonaws.com","eventName":"ModifyDBClusterSnapshotAttribute","requestParameters":{"dBClusterIdentifier":"c","dBClusterSnapshotIdentifier":"s","attributeName":"restore","valuesToAdd":["all","111122223333"],"deletionProtection":false,"publiclyAccessible":true,"masterUserPassword":"****","kmsKeyId":"k"}}"#,
    // docs.aws.amazon.com/sns/latest/dg/logging-using-cloudtrail.html, and those of DynamoDB, SQS, CloudWatch Logs, GuardDuty
    r#"{"eventSource":"sns.amazonaws.com","eventName":"Subscribe","requestParameters":{"protocol":"email","topicArn":"arn:aws:sns:us-east-1:111122223333:t","tableName":"Music","queueUrl":"https://sqs.us-east-1.amazonaws.com/111122223333/q","logGroupName":"/aws/lambda/f","detectorId":"d","enable":false}}"#,
    // docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_PutEventSelectors.html
    r#"{"eventSource":"cloudtrail.amazonaws.com","eventName":"PutEventSelectors","requestParameters":{"trailName":"audit","advancedEventSelectors":[{"fieldSelectors":[{"field":"eventCategory","equals":["Data"]}]}]},"responseElements":{"trailARN":"arn:aws:cloudtrail:us-east-1:111122223333:trail/audit"}}"#,
    // docs.aws.amazon.com/AmazonS3/latest/userguide/cloudtrail-logging-understanding-s3-entries.html: nobody known
    r#"{"eventSource":"s3.amazonaws.com","eventName":"GetObject","userIdentity":{"type":"AWSAccount","principalId":"","accountId":"ANONYMOUS_PRINCIPAL"}}"#,
    // docs.aws.amazon.com/awscloudtrail/latest/userguide/non-api-aws-service-events.html
    r#"{"eventSource":"kms.amazonaws.com","eventName":"RotateKey","eventType":"AwsServiceEvent","userIdentity":{"accountId":"","invokedBy":""}}"#,
    // docs.aws.amazon.com/IAM/latest/UserGuide/temporary-delegation-cloudtrail.html
    r#"{"eventSource":"s3.amazonaws.com","eventName":"CreateBucket","recipientAccountId":"111122223333","userIdentity":{"type":"AssumedRole","principalId":"AROAIDPPEZS35WEXAMPLE:session","arn":"arn:aws:sts::111122223333:assumed-role/Approver/session","accountId":"111122223333","invokedByDelegate":{"accountId":"444455556666"}}}"#,
    // docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html: what is too large
    r#"{"eventSource":"iam.amazonaws.com","eventName":"PutUserPolicy","requestParameters":{"reason":"requestParameters too large","omitted":"true","originalSize":"149893"}}"#,
    // docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html: a policy in an attribute
    r#"{"eventSource":"sqs.amazonaws.com","eventName":"SetQueueAttributes","recipientAccountId":"111122223333","requestParameters":{"queueUrl":"https://sqs.us-east-1.amazonaws.com/111122223333/q","attributes":{"Policy":"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":[\"444455556666\",\"*\"]},\"Action\":\"sqs:*\",\"Resource\":\"*\"}]}"}}}"#,
    // docs.aws.amazon.com/IAM/latest/APIReference/API_CreatePolicy.html
    r#"{"eventSource":"iam.amazonaws.com","eventName":"CreatePolicy","requestParameters":{"policyName":"p","policyDocument":"%7B%22Statement%22%3A%20%7B%22Effect%22%3A%22Allow%22%2C%22Action%22%3A%22%2A%22%7D%7D"}}"#,
    // docs.aws.amazon.com/STS/latest/APIReference/API_GetFederationToken.html
    r#"{"eventSource":"s3.amazonaws.com","eventName":"ListBuckets","userIdentity":{"type":"FederatedUser","principalId":"111122223333:Bob","arn":"arn:aws:sts::111122223333:federated-user/Bob","accountId":"111122223333","sessionContext":{"sessionIssuer":{"type":"IAMUser","userName":"alice"}}}}"#,
];

#[test]
fn every_field_has_its_value_on_real_and_made_records() {
    let (library, plugin) = plugin();
    let names = ours(&library);
    let known: Vec<&str> = FIRST
        .iter()
        .chain(JOINED)
        .map(|(name, _)| *name)
        .chain(RULED.iter().copied())
        .collect();
    assert_eq!(
        names.iter().collect::<BTreeSet<_>>(),
        known.iter().collect()
    );
    let mut real = BTreeSet::new();
    if let Some(samples) = shared::folder("cloudtrail-samples") {
        for set in ["trail", "records"] {
            let folder = samples.join(set);
            for event in plugin.events(folder.to_str().unwrap()).unwrap() {
                let record = std::str::from_utf8(event.payload()).unwrap();
                let fields = plugin.extract(&event, &names).unwrap();
                if event.number.is_multiple_of(5) {
                    assert_eq!(fields, plugin.extract_each(&event, &names).unwrap());
                }
                check(&fields, record, &mut real);
            }
        }
        let lacking: Vec<_> = names.iter().filter(|name| !real.contains(**name)).collect();
        assert_eq!(lacking, MADE.iter().collect::<Vec<_>>());
    }
    let mut made = BTreeSet::new();
    for (number, record) in RECORDS.iter().enumerate() {
        let event = Event::new(number as u64, 0, record.as_bytes());
        let fields = plugin.extract(&event, &names).unwrap();
        assert_eq!(fields, plugin.extract_each(&event, &names).unwrap());
        check(&fields, record, &mut made);
    }
    for name in MADE {
        assert!(made.contains(*name), "no made record has {name}");
    }
}

/// Every text in a value.
fn texts(value: &Value, all: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => _ = all.insert(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| texts(value, all)),
        Value::Object(members) => members.values().for_each(|value| texts(value, all)),
        _ => {}
    }
}

/// Nothing is guessed: what `ct.target` names is a text of the event, and most changes name it.
#[test]
fn what_was_acted_on_is_in_the_event() {
    let Some(samples) = shared::folder("cloudtrail-samples") else {
        return;
    };
    let (_library, plugin) = plugin();
    let (mut changes, mut unnamed) = (0, 0);
    for set in ["trail", "records"] {
        for event in plugin.events(samples.join(set).to_str().unwrap()).unwrap() {
            let record = event.json();
            let fields = plugin.extract(&event, &["ct.target"]).unwrap();
            let target = fields
                .get("ct.target")
                .map(|field| field.value.as_str().unwrap());
            if record["readOnly"] == false || record["readOnly"] == "false" {
                changes += 1;
                unnamed += usize::from(target.is_none());
            }
            let Some(target) = target else { continue };
            let mut all = BTreeSet::new();
            for part in [
                "requestParameters",
                "responseElements",
                "resources",
                "additionalEventData",
            ] {
                texts(&record[part], &mut all);
            }
            let request = &record["requestParameters"];
            let object = format!(
                "s3://{}/{}",
                request["bucketName"].as_str().unwrap_or_default(),
                request["key"].as_str().unwrap_or_default()
            );
            let refused = record["errorMessage"].as_str().unwrap_or_default();
            assert!(
                all.contains(target)
                    || target == object
                    || target.split(',').all(|one| all.contains(one))
                    || refused.split(' ').any(|word| word == target),
                "{target} is not in {record}"
            );
        }
    }
    assert!(changes > 1_000, "{changes}");
    assert!(unnamed * 100 <= changes * 15, "{unnamed} of {changes}");
}

/// Our fields of a made record, in so many words.
#[test]
fn values_read_as_people_expect() {
    let (library, plugin) = plugin();
    let value = |part: &str, name: &str| {
        let record = RECORDS.iter().find(|record| record.contains(part)).unwrap();
        let event = Event::new(1, 0, record.as_bytes());
        let fields = plugin.extract(&event, &library.field_names()).unwrap();
        fields.get(name).map(|field| match &field.value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
    };
    #[rustfmt::skip]
    let expected = [
        ("IdentityCenterUser", "ct.actor", "544894e8-80c1-707f-60e3-3ba6510dfac1"),
        ("alice@example.com", "ct.actor", "RoleToBeAssumed/MySessionName"),
        ("SwitchRole", "ct.actor", "admin/eve"),
        ("SwitchRole", "ct.console", "true"),
        ("WebIdentityUser", "ct.actor", "id-of-user"),
        ("federated-user", "ct.actor", "Bob"),
        ("ANONYMOUS_PRINCIPAL", "ct.actor", "anonymous"),
        ("RotateKey", "ct.actor", "kms.amazonaws.com"),
        ("CredentialVerification", "ct.failed", "true"),
        ("AwsAggregatedEvent", "ct.id", "62759c1a-6248-48e1-a6b3-d5fb7e6c4bc0"),
        ("AwsAggregatedEvent", "ct.time", "2025-11-17T19:20:00Z"),
        ("AwsAggregatedEvent", "ct.user.accountid", "111122223333"),
        ("AwsAggregatedEvent", "ct.recipientaccountid", "111122223333"),
        ("AwsAggregatedEvent", "ct.aggregate.names", "PutObject,GetObject"),
        ("AwsAggregatedEvent", "ct.aggregate.count", "1007"),
        ("AwsAggregatedEvent", "ct.actor", "unknown"),
        ("pl-1", "ec2.rules", "all ::/0,all sg-2,all pl-1,icmp all 10.0.0.0/8,icmp all 192.0.2.0/24"),
        ("pl-1", "ec2.cidrs", "10.0.0.0/8,192.0.2.0/24,::/0"),
        ("pl-1", "ec2.ports", "all"),
        ("sgr-1", "ec2.rules", "tcp 8000-8080 ::/0"),
        ("AllUsers", "s3.grants", "FULL_CONTROL d25639fbe9c19cd30a4c0f43fbf00e2d3f96400a9aa8dabfbbebe1906Example,READ http://acs.amazonaws.com/groups/global/AllUsers"),
        ("Project One", "ct.tags", "Project=Project One"),
        ("trailName", "cloudtrail.trail", "audit"),
    ];
    for (part, name, expected) in expected {
        assert_eq!(
            value(part, name).as_deref(),
            Some(expected),
            "{name} of {part}"
        );
    }
}

/// An aggregated event has no eventTime: its window's start is its time.
#[test]
fn an_aggregated_event_has_its_windows_time() {
    let folder = tempfile::tempdir().unwrap();
    let record = RECORDS
        .iter()
        .find(|record| record.contains("AwsAggregatedEvent"))
        .unwrap();
    write(
        &folder.path().join("log.json.gz"),
        &gzip(&log_text(&[record])),
    );
    let (_library, plugin) = plugin();
    let events = plugin.events(folder.path().to_str().unwrap()).unwrap();
    assert_eq!(events.len(), 1);
    let start: jiff::Timestamp = "2025-11-17T19:20:00Z".parse().unwrap();
    assert_eq!(i128::from(events[0].ts()), start.as_nanosecond());
}

/// Every value of a record by its pointer.
fn pointers(value: &Value, pointer: String, all: &mut Vec<String>) {
    match value {
        Value::Array(values) => {
            for (at, value) in values.iter().enumerate() {
                pointers(value, format!("{pointer}/{at}"), all);
            }
        }
        Value::Object(members) => {
            for (name, value) in members {
                let name = name.replace('~', "~0").replace('/', "~1");
                pointers(value, format!("{pointer}/{name}"), all);
            }
        }
        _ => {}
    }
    all.push(pointer);
}

#[test]
fn a_pointer_finds_every_value_of_real_records() {
    let Some(samples) = shared::folder("cloudtrail-samples") else {
        return;
    };
    let (_library, plugin) = plugin();
    let mut found = 0;
    for set in ["trail", "records"] {
        let folder = samples.join(set);
        let events = plugin.events(folder.to_str().unwrap()).unwrap();
        for event in events.iter().step_by(7) {
            let record = std::str::from_utf8(event.payload()).unwrap();
            let json: Value = serde_json::from_str(record).unwrap();
            let mut all = vec![];
            pointers(&json, String::new(), &mut all);
            all.extend(
                [
                    "/no",
                    "/requestParameters/no",
                    "/resources/99",
                    "/resources/-",
                    "/resources/00",
                    "no",
                    "/~2",
                ]
                .map(str::to_owned),
            );
            for pointer in &all {
                let field = format!("ct.value[{pointer}]");
                let fields = plugin.extract(event, &[&field]).unwrap();
                let wanted = json.pointer(pointer).filter(|value| !value.is_null());
                let ours = fields.get(&field).map(|field| {
                    let (start, length) = field.range.unwrap();
                    let token = &record[start as usize..][..length as usize];
                    let value: Value = serde_json::from_str(token).unwrap();
                    assert_eq!(
                        field.value,
                        text(&value, token).unwrap(),
                        "{pointer} of {record}"
                    );
                    value
                });
                assert_eq!(ours.as_ref(), wanted, "{pointer} of {record}");
                found += usize::from(wanted.is_some());
            }
        }
    }
    assert!(found > 15_000, "{found}");
}

/// Several pointers of one event, and then those of another one in the same place.
#[test]
fn pointers_are_told_apart_and_so_are_events() {
    let (_library, plugin) = plugin();
    let id = "00000000-0000-0000-0000-00000000000";
    let record =
        |x: u8| format!(r#"{{"eventID":"{id}0","requestParameters":{{"a":"{x}","b":["{x}b"]}}}}"#);
    let fields = [
        "ct.value[/requestParameters/a]",
        "ct.value[/requestParameters/b/0]",
    ];
    let mut event = Event::new(1, 0, record(0).as_bytes());
    for x in 0..5 {
        event.fill(0, record(x).as_bytes());
        let seen = plugin.extract_each(&event, &fields).unwrap();
        assert_eq!(seen[fields[0]].value, json!(x.to_string()), "{x}");
        assert_eq!(seen[fields[1]].value, json!(format!("{x}b")), "{x}");
    }
}

/// In sysdig's filters and outputs.
#[cfg(target_os = "linux")]
#[test]
fn sysdig_filters_by_our_fields() {
    let Some(hosts) = Hosts::new("fields") else {
        return;
    };
    let with_id = |(at, record): (usize, &&str)| {
        let id = if record.contains("\"eventId\"") {
            String::new()
        } else {
            format!(r#""eventID":"{at}","#)
        };
        let odd = r#""odd":{"a/b":"slash","m~n":"tilde","q'uote":"quote","null":null,"list":[1,"two",{"x":true}]},"#;
        let time = r#""eventTime":"2024-03-06T00:00:00Z","#;
        format!("{{{id}{time}{odd}{}", &record[1..])
    };
    let records: Vec<String> = RECORDS.iter().enumerate().map(with_id).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    fs::write(hosts.folder.join("log.json"), log_text(&records)).unwrap();
    let place = |part: &str| {
        let at = records.iter().position(|record| record.contains(part));
        at.unwrap().to_string()
    };
    let filter = |filter: &str| hosts.sysdig("log.json", "", &["-p", "%ct.id", filter]);
    let all = records.len();
    #[rustfmt::skip]
    let cases: &[(&str, &[&str])] = &[
        ("ct.value[/requestParameters/bucketName]=resource-policy-JohnDoe", &["assumedRoot"]),
        ("ct.value[/requestParameters/ipPermissions/items/0/groups/items/0/groupId]=sg-2", &["pl-1"]),
        ("ct.value[/requestParameters/valuesToAdd/1] in (111122223333, other)", &["valuesToAdd"]),
        ("ct.value[/requestParameters/bucketName] contains JohnDoe", &["assumedRoot"]),
        ("ct.value[/insightDetails] exists", &["AwsCloudTrailInsight"]),
        ("ct.value contains ApiErrorRateInsight", &["AwsCloudTrailInsight"]),
        ("ct.actor=RoleToBeAssumed/MySessionName", &["alice@example.com"]),
        ("ct.actor in (anonymous, Bob)", &["ANONYMOUS_PRINCIPAL", "federated-user"]),
        ("ct.failed=true", &["CredentialVerification"]),
        ("ct.console=true", &["SwitchRole"]),
        ("ct.user.sourceidentity startswith alice", &["alice@example.com"]),
        ("ct.user.assumedroot=true", &["assumedRoot"]),
        ("ct.aggregate.count > 1000", &["AwsAggregatedEvent"]),
        ("ec2.cidrs contains ::/0", &["sgr-1", "pl-1"]),
        ("ec2.sharedwith exists", &["organizationArn"]),
        ("s3.grants contains AllUsers", &["AllUsers"]),
        ("rds.publiclyaccessible=true", &["valuesToAdd"]),
        ("lambda.principal=*", &["layers"]),
        ("ct.value[/odd/null] exists", &[]),
        ("ct.value[/odd/no] exists", &[]),
    ];
    for (condition, parts) in cases {
        let mut wanted: Vec<String> = parts
            .iter()
            .map(|part| match *part {
                "AwsAggregatedEvent" => "62759c1a-6248-48e1-a6b3-d5fb7e6c4bc0".to_owned(),
                part => place(part),
            })
            .collect();
        wanted.sort_by_key(|id| id.parse::<u32>().unwrap_or(u32::MAX));
        assert_eq!(filter(condition), wanted, "{condition}");
    }
    for condition in [
        "ct.value[/odd/a~1b]=slash",
        "ct.value[/odd/m~0n]=tilde",
        "ct.value[\"/odd/q'uote\"]=quote",
        "ct.value['/odd/a~1b']=slash",
        "ct.value[/odd/list/1]=two",
        "ct.value[/odd/list/2/x]=true",
        "ct.value[/odd/list/0]=1",
        "not ct.value[/odd/null] exists",
        "ct.actor exists",
    ] {
        assert_eq!(filter(condition).len(), all, "{condition}");
    }
    let shown = hosts.sysdig(
        "log.json",
        "",
        &[
            "-p",
            "%ct.value[/odd/list] %ct.value[/odd/a~1b] %ct.actor",
            "ct.user.sourceidentity exists",
        ],
    );
    assert_eq!(
        shown,
        [r#"[1,"two",{"x":true}] slash RoleToBeAssumed/MySessionName"#]
    );
}
