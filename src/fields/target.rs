//! `ct.target`: what was acted on, where the event itself names it.
//!
//! Which member names it differs by service. The tables below have the names of members in the order in which they count,
//! after the samples and AWS's API references; capital letters do not matter, since services differ in them
//! (`dBInstanceIdentifier`, `DBInstanceIdentifier`).

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use super::{COMPUTED, Text, s3, text_of};
use crate::record::{Member, Record, Value};

/// Members of a request that name what it acts on, the most telling first.
const REQUEST: &[&str] = &[
    // Tags, policies and permissions of anything.
    "resourcearn",
    "resourcearns",
    "resourcesset.resourceid",
    "resourceidentifier",
    "resource",
    // Snapshots, images and volumes before what they are made of or attached to.
    "targetdbclustersnapshotidentifier",
    "dbclustersnapshotidentifier",
    "targetdbsnapshotidentifier",
    "dbsnapshotidentifier",
    "snapshotid",
    "imageid",
    "volumeid",
    "exporttaskidentifier",
    // Parts of networks before the network.
    "networkinterfaceid",
    "routetableid",
    "networkaclid",
    "internetgatewayid",
    "natgatewayid",
    "vpcpeeringconnectionid",
    "vpcendpointid",
    "vpcendpointids",
    "transitgatewayid",
    "transitgatewayattachmentid",
    "flowlogid",
    "flowlogids",
    "allocationid",
    "trafficmirrorsessionid",
    "trafficmirrortargetid",
    "trafficmirrorfilterid",
    // Computing.
    "instancesset.instanceid",
    "instanceid",
    "instanceids",
    "launchtemplateid",
    "launchtemplatename",
    "autoscalinggroupname",
    "launchconfigurationname",
    "keypairid",
    "keyname",
    "functionname",
    "layername",
    "tasks",
    "task",
    "taskdefinition",
    "service",
    "servicename",
    "nodegroupname",
    "fargateprofilename",
    "addonname",
    "cluster",
    "clustername",
    "clusterarn",
    "clusterid",
    "jobflowid",
    "repositoryname",
    "stackname",
    "stackid",
    "stacksetname",
    // Databases.
    "dbinstanceidentifier",
    "dbclusteridentifier",
    "dbiresourceid",
    "dbclusterresourceid",
    "dbsecuritygroupname",
    "dbsubnetgroupname",
    "dbparametergroupname",
    "globalclusteridentifier",
    "tablename",
    "clusteridentifier",
    "cacheclusterid",
    "replicationgroupid",
    "databasename",
    "workgroup",
    // Keys, which have policies of their own.
    "keyid",
    // Identities.
    "instanceprofilename",
    "samlproviderarn",
    "openidconnectproviderarn",
    "servercertificatename",
    "rolename",
    "awsservicename",
    "username",
    "groupname",
    "groupid",
    "securitygroupids",
    "policyarn",
    "policyname",
    "permissionsetarn",
    "principalid",
    "userid",
    "virtualmfadevicename",
    "accesskeyid",
    "trustanchorid",
    "trustanchorarn",
    "profileid",
    "delegationrequestid",
    "userpoolid",
    "identitypoolid",
    // Secrets.
    "secretid",
    "aliasname",
    "targetkeyid",
    "certificatearn",
    // Messages and streams.
    "topicarn",
    "subscriptionarn",
    "queueurl",
    "queuename",
    "streamname",
    "deliverystreamname",
    "eventbusname",
    "statemachinearn",
    "emailidentity",
    "identity",
    // Logs and detection.
    "trailname",
    "trail",
    "eventdatastore",
    "loggroupname",
    "loggroupidentifier",
    "alarmnames",
    "alarmname",
    "configurationrecordername",
    "configrulename",
    "deliverychannelname",
    "guardrailidentifier",
    "filtername",
    "ipsetid",
    "threatintelsetid",
    "destinationid",
    "publishingdestinationid",
    "analyzername",
    "insightarn",
    "detectorid",
    "memberaccountids",
    // Everything else, by what services call their things.
    "webaclarn",
    "loadbalancerarn",
    "loadbalancername",
    "targetgrouparn",
    "listenerarn",
    "restapiid",
    "apiid",
    "distributionid",
    "hostedzoneid",
    "filesystemid",
    "mounttargetid",
    "recoverypointarn",
    "backupvaultname",
    "backupplanid",
    "projectname",
    "projectarn",
    "notebookinstancename",
    "custommodelname",
    "modelid",
    "jobname",
    "agentid",
    "graphname",
    "meshname",
    "domainname",
    "virtualnodename",
    "virtualservicename",
    "arn",
    "name",
    "target",
    "targetid",
    "accountid",
    "accountids",
    "policyid",
    "id",
    "ids",
    "names",
];

/// Members of an answer that name what was made, the most telling first; in a member's own object, those that are called as
/// it is, with `Id`, `Arn` or `Name` behind it, and `id`, `arn` and `name`.
const RESPONSE: &[&str] = &[
    "instancesset.instanceid",
    "exporttaskidentifier",
    "volumeid",
    "snapshotid",
    "imageid",
    "allocationid",
    "keyid",
    "trailarn",
    "insightarn",
    "functionarn",
    "dbinstancearn",
    "dbsnapshotarn",
    "detectorid",
    "fleetid",
    "reservationid",
    "arn",
    "id",
];

/// Members of a request that name where something is, or what it is made from, where nothing else tells.
const PLACE: &[&str] = &[
    "associationid",
    "subnetid",
    "subnetids",
    "vpcid",
    "groupset.groupid",
    "sourcedbsnapshotidentifier",
    "sourcearn",
    "s3bucketname",
    "identitystoreid",
    "instancearn",
    "hostedzone",
    "instancesset.imageid",
    "regionname",
    "source",
    "url",
];

/// Where each name stands in its table, and the member of list items that is shown, if they are objects.
type Ranks = HashMap<&'static str, (usize, Option<&'static str>)>;

fn ranks(table: &'static [&'static str]) -> Ranks {
    let ranks = table
        .iter()
        .enumerate()
        .map(|(rank, entry)| match entry.split_once('.') {
            Some((name, inner)) => (name, (rank, Some(inner))),
            None => (*entry, (rank, None)),
        });
    ranks.collect()
}

static TABLES: LazyLock<[Ranks; 3]> = LazyLock::new(|| [REQUEST, RESPONSE, PLACE].map(ranks));

/// `ct.target`
pub(super) fn target<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    // An object, or else its bucket.
    if let Some(object) = s3::uri(record).or_else(|| text_of(record, Member::RequestBucketName)) {
        return Some(object);
    }
    let request = record.get(Member::RequestParameters);
    let [of_request, of_response, of_place] = &*TABLES;
    let found = request
        .and_then(|request| best(request, of_request))
        .or_else(|| made(record.get(Member::ResponseElements)?, of_response))
        .or_else(|| best(request?, of_place))
        .or_else(|| role(record))
        .or_else(|| resource(record))
        .or_else(|| refused(record))?;
    Some((found, COMPUTED))
}

/// The text of the member of an object that counts most. A request of EC2's newer calls is within one of its own name.
fn best<'a>(object: Value<'a>, ranks: &Ranks) -> Option<Cow<'a, [u8]>> {
    let (found, wrapper) = best_member(object, ranks);
    found.or_else(|| best_member(wrapper?, ranks).0)
}

/// The best of its own members, and the last that wraps a request.
fn best_member<'a>(object: Value<'a>, ranks: &Ranks) -> (Option<Cow<'a, [u8]>>, Option<Value<'a>>) {
    let mut best: Option<(usize, Cow<'a, [u8]>)> = None;
    let mut wrapper = None;
    object.each_member(&mut |name, value| {
        let lower = name.to_ascii_lowercase();
        let is_wrapper = lower.ends_with(b"request") || lower.ends_with(b"req");
        if is_wrapper && value.is_object() {
            wrapper = Some(value);
        }
        let rank = str::from_utf8(&lower).ok().and_then(|name| ranks.get(name));
        if let Some((rank, inner)) = rank
            && best.as_ref().is_none_or(|(found, _)| rank < found)
            && let Some(text) = named(value, *inner)
        {
            best = Some((*rank, text));
        }
    });
    (best.map(|(_, text)| text), wrapper)
}

/// What a value names: a text, or those of a list, with commas between. `inner` is the member of objects in the list.
fn named<'a>(value: Value<'a>, inner: Option<&str>) -> Option<Cow<'a, [u8]>> {
    if value.is_string() {
        return named_text(value);
    }
    // Lists may be in {"items": […]}, and what was a member of XML in {"content": …, "tag": 1}.
    let list = match value.is_object() {
        true => match value.member("content") {
            Some(content) => return named_text(content),
            None => value.member("items")?,
        },
        false => value,
    };
    let mut texts: Vec<u8> = Vec::new();
    for element in list.elements() {
        let text = match element.is_object() {
            true => inner.and_then(|inner| member_like(element, inner)),
            false => element.is_string().then(|| element.text()).flatten(),
        };
        if let Some(text) = text.filter(|text| is_name(text)) {
            if !texts.is_empty() {
                texts.push(b',');
            }
            texts.extend_from_slice(&text);
        }
    }
    (!texts.is_empty()).then_some(texts.into())
}

fn named_text<'a>(value: Value<'a>) -> Option<Cow<'a, [u8]>> {
    let text = value.is_string().then(|| value.text()).flatten();
    text.filter(|text| is_name(text))
}

/// A member's text, whatever its capital letters.
fn member_like<'a>(object: Value<'a>, lower: &str) -> Option<Cow<'a, [u8]>> {
    let mut found = None;
    object.each_member(&mut |name, value| {
        if found.is_none() && name.eq_ignore_ascii_case(lower.as_bytes()) && value.is_string() {
            found = value.text();
        }
    });
    found
}

/// CloudTrail puts such a word in the place of what it hides.
fn is_name(text: &[u8]) -> bool {
    !text.is_empty() && text != b"HIDDEN_DUE_TO_SECURITY_REASONS" && text != b"***"
}

/// What an answer says was made.
fn made<'a>(response: Value<'a>, ranks: &Ranks) -> Option<Cow<'a, [u8]>> {
    best(response, ranks).or_else(|| {
        let mut found = None;
        response.each_member(&mut |name, value| {
            if found.is_none() && value.is_object() {
                found = own_name(&name, value);
            }
        });
        found
    })
}

/// What an object in an answer calls itself: `{"vpc": {"vpcId": …}}`.
fn own_name<'a>(name: &[u8], object: Value<'a>) -> Option<Cow<'a, [u8]>> {
    let mut best: Option<(usize, Cow<'a, [u8]>)> = None;
    object.each_member(&mut |member, value| {
        let endings = ["id", "arn", "name"];
        let own = member
            .get(..name.len())
            .filter(|start| start.eq_ignore_ascii_case(name))
            .map(|_| &member[name.len()..]);
        let rank = [own, Some(&*member)]
            .into_iter()
            .flatten()
            .find_map(|rest| {
                endings
                    .iter()
                    .position(|ending| rest.eq_ignore_ascii_case(ending.as_bytes()))
            });
        if let Some(rank) = rank
            && best.as_ref().is_none_or(|(found, _)| rank < *found)
            && value.is_string()
            && let Some(text) = value.text().filter(|text| is_name(text))
        {
            best = Some((rank, text));
        }
    });
    best.map(|(_, text)| text)
}

/// The role that STS gives a session of.
fn role<'a>(record: &mut Record<'a>) -> Option<Cow<'a, [u8]>> {
    let name = record.text(Member::EventName)?;
    let request = record.get(Member::RequestParameters)?;
    name.starts_with(b"AssumeRole")
        .then(|| request.member("roleArn")?.text())
        .flatten()
}

/// The first resource that CloudTrail itself names, or what a service says it worked on by itself.
fn resource<'a>(record: &mut Record<'a>) -> Option<Cow<'a, [u8]>> {
    let resources = record.get(Member::Resources).map(|resources| {
        let mut arns = resources
            .elements()
            .filter_map(|resource| member_like(resource, "arn"));
        arns.find(|arn| is_name(arn))
    });
    resources
        .flatten()
        .or_else(|| named_text(record.get(Member::AdditionalEventData)?.member("ARN")?))
}

/// What AWS says that one was not allowed to act on: `… on resource: role X because …`. CloudTrail leaves out the request then.
fn refused<'a>(record: &mut Record<'a>) -> Option<Cow<'a, [u8]>> {
    const BEFORE: &[u8] = b" on resource: ";
    let message = record.text(Member::ErrorMessage)?;
    let from = memchr::memmem::find(&message, BEFORE)? + BEFORE.len();
    let rest = &message[from..];
    let ends = [&b" because "[..], b" with an explicit deny"];
    let end = ends
        .iter()
        .filter_map(|end| memchr::memmem::find(rest, end));
    let named = &rest[..end.min().unwrap_or(rest.len())];
    // An ARN, or `user X`, `role X`, `instance profile X`: the name is the last word.
    let mut words = named.split(|byte| *byte == b' ');
    let arn = words.clone().find(|word| word.starts_with(b"arn:"));
    let name = arn.or(words.next_back()).unwrap_or(named);
    // `arn:…:volume/*` is any.
    let is_one = is_name(name) && !name.contains(&b'*');
    is_one.then(|| name.to_vec().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::tests::text;

    #[test]
    fn what_was_acted_on_is_named() {
        for (record, expected) in [
            (
                r#"{"requestParameters":{"bucketName":"photos","key":"a/b.jpg"}}"#,
                Some("s3://photos/a/b.jpg"),
            ),
            (
                r#"{"requestParameters":{"bucketName":"photos","acl":""}}"#,
                Some("photos"),
            ),
            (
                r#"{"requestParameters":{"roleName":"admin","policyArn":"arn:aws:iam::aws:policy/X"}}"#,
                Some("admin"),
            ),
            (
                r#"{"requestParameters":{"instancesSet":{"items":[{"instanceId":"i-1"},{"instanceId":"i-2"}]},"force":true}}"#,
                Some("i-1,i-2"),
            ),
            (
                r#"{"requestParameters":{"instancesSet":{"items":[{"imageId":"ami-1"}]},"subnetId":"subnet-1"},
                    "responseElements":{"requestId":"r","instancesSet":{"items":[{"instanceId":"i-1"}]}}}"#,
                Some("i-1"),
            ),
            // Refused: where it should have been is all that is known.
            (
                r#"{"requestParameters":{"instancesSet":{"items":[{"imageId":"ami-1"}]},"subnetId":"subnet-1"},"responseElements":null}"#,
                Some("subnet-1"),
            ),
            (
                r#"{"requestParameters":{"cidrBlock":"10.0.0.0/8","vpcId":"vpc-1"},"responseElements":{"subnet":{"state":"x","subnetId":"subnet-1","vpcId":"vpc-1"}}}"#,
                Some("subnet-1"),
            ),
            (
                r#"{"requestParameters":{"dBInstanceIdentifier":"db","finalDBSnapshotIdentifier":"x"}}"#,
                Some("db"),
            ),
            (
                r#"{"requestParameters":{"CreateNatGatewayRequest":{"SubnetId":"subnet-1","AllocationId":"eipalloc-1"}}}"#,
                Some("eipalloc-1"),
            ),
            (
                r#"{"eventName":"AssumeRole","requestParameters":{"roleArn":"arn:aws:iam::1:role/a","roleSessionName":"s"}}"#,
                Some("arn:aws:iam::1:role/a"),
            ),
            // A role that a service gets is not what is acted on.
            (
                r#"{"eventName":"CreateThing","requestParameters":{"roleArn":"arn:aws:iam::1:role/a"}}"#,
                None,
            ),
            (
                r#"{"eventName":"Decrypt","requestParameters":{"encryptionAlgorithm":"x"},"resources":[{"accountId":"1","type":"AWS::KMS::Key","ARN":"arn:aws:kms:us-east-1:1:key/k"}]}"#,
                Some("arn:aws:kms:us-east-1:1:key/k"),
            ),
            (
                r#"{"errorMessage":"User: arn:aws:iam::1:user/x is not authorized to perform: iam:DeleteUser on resource: user bob because no identity-based policy allows the iam:DeleteUser action","requestParameters":null}"#,
                Some("bob"),
            ),
            (
                r#"{"errorMessage":"User: x is not authorized to perform: ec2:CreateVolume on resource: arn:aws:ec2:us-east-1:1:volume/* with an explicit deny in a service control policy"}"#,
                None,
            ),
            (
                r#"{"requestParameters":{"DeleteFlowLogsRequest":{"FlowLogId":{"content":"fl-1","tag":1}}}}"#,
                Some("fl-1"),
            ),
            (
                r#"{"eventName":"StartSecretVersionDelete","requestParameters":null,"additionalEventData":{"ARN":"arn:aws:secretsmanager:us-east-1:1:secret:s","Name":"s"}}"#,
                Some("arn:aws:secretsmanager:us-east-1:1:secret:s"),
            ),
            (
                r#"{"requestParameters":{"name":"HIDDEN_DUE_TO_SECURITY_REASONS","id":""}}"#,
                None,
            ),
            (r#"{"requestParameters":{"name":{"a":"b"}}}"#, None),
            (
                r#"{"requestParameters":null,"responseElements":{"ConsoleLogin":"Success"}}"#,
                None,
            ),
            (r#"{"requestParameters":"x"}"#, None),
            (r#"{"requestParameters":{"instanceIds":[]}}"#, None),
            (r#"{}"#, None),
        ] {
            assert_eq!(text(record, target).as_deref(), expected, "{record}");
        }
    }

    #[test]
    fn each_name_stands_in_a_table_once() {
        for (table, ranks) in [REQUEST, RESPONSE, PLACE].iter().zip(&*TABLES) {
            assert_eq!(table.len(), ranks.len());
            for name in *table {
                assert_eq!(*name, name.to_ascii_lowercase());
            }
        }
    }
}
