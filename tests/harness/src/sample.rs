//! The sample trail: what `scripts/run` shows, and the recipes of the documentation.

use serde_json::{Value, json};

use crate::aws::REGION;
use crate::trail::{LogFile, Maker, Record, parse_time};

const ACCOUNT: &str = "111122223333";

/// Its log files, in the order of delivery.
pub fn files() -> Vec<LogFile> {
    let mut maker = Maker::new(2024);
    let mut break_in = maker.file(ACCOUNT, REGION, "20240305T1155Z", 0);
    break_in.records = story(&mut maker);
    let mut files = vec![break_in];
    files.extend(maker.trail(
        &[ACCOUNT, "444455556666"],
        &["eu-west-1", REGION],
        "20240305T1200Z",
        6,
        25,
    ));
    files
}

/// Somebody looks around, is refused, takes what is there, and leaves a way to come back.
fn story(maker: &mut Maker) -> Vec<Record> {
    let user = |name: &str| json!({"type": "IAMUser", "userName": name, "accountId": ACCOUNT, "arn": format!("arn:aws:iam::{ACCOUNT}:user/{name}")});
    let root = json!({"type": "Root", "accountId": ACCOUNT, "arn": format!("arn:aws:iam::{ACCOUNT}:root")});
    let mut backup = user("backup-service");
    backup["accessKeyId"] = json!("AKIAI44QH8DHBEXAMPLE");
    let session = "ASIA5FTRXVWBEXAMPLE1";
    let given = format!("arn:aws:sts::{ACCOUNT}:assumed-role/admin/nightly");
    let admin = json!({"type": "AssumedRole", "accountId": ACCOUNT, "arn": given, "accessKeyId": session, "sessionContext": {"sessionIssuer": {"type": "Role", "userName": "admin"}}});
    let role = json!({"type": "AssumedRole", "accountId": ACCOUNT, "arn": format!("arn:aws:sts::{ACCOUNT}:assumed-role/deploy/ci-42"), "sessionContext": {"sessionIssuer": {"type": "Role", "userName": "deploy"}}});
    let bytes = json!({"bytesTransferredIn": 0.0, "bytesTransferredOut": 48_231_771.0});
    let blocked = json!({"BlockPublicAcls": false, "BlockPublicPolicy": false, "IgnorePublicAcls": false, "RestrictPublicBuckets": false});
    let web = json!([{"resourceType": "instance", "tags": [{"key": "Name", "value": "miner-7"}]}]);
    let events = [
        (
            "sts",
            "GetCallerIdentity",
            user("mallory"),
            Value::Null,
            json!({"readOnly": true}),
        ),
        (
            "s3",
            "ListBuckets",
            user("mallory"),
            json!({"Host": "s3.amazonaws.com"}),
            json!({"readOnly": true}),
        ),
        (
            "iam",
            "ListUsers",
            user("mallory"),
            Value::Null,
            json!({"readOnly": true, "errorCode": "AccessDenied", "errorMessage": "User: mallory is not authorized to perform: iam:ListUsers"}),
        ),
        (
            "cloudtrail",
            "StopLogging",
            user("mallory"),
            json!({"name": "audit"}),
            json!({"errorCode": "AccessDenied", "errorMessage": "User: mallory is not authorized to perform: cloudtrail:StopLogging"}),
        ),
        (
            "ecs",
            "RunTask",
            role,
            json!({"cluster": "shop", "taskDefinition": "web:42"}),
            json!({"sourceIPAddress": "198.51.100.20"}),
        ),
        (
            "s3",
            "GetObject",
            user("mallory"),
            json!({"bucketName": "photos", "key": "2024/customers.csv"}),
            json!({"readOnly": true, "additionalEventData": bytes}),
        ),
        (
            "s3",
            "PutBucketPublicAccessBlock",
            user("mallory"),
            json!({"bucketName": "photos", "PublicAccessBlockConfiguration": blocked}),
            json!({}),
        ),
        (
            "signin",
            "ConsoleLogin",
            root,
            Value::Null,
            json!({"eventType": "AwsConsoleSignIn", "responseElements": {"ConsoleLogin": "Success"}, "additionalEventData": {"MFAUsed": "No"}}),
        ),
        (
            "iam",
            "CreateUser",
            user("mallory"),
            json!({"userName": "backup-service"}),
            json!({}),
        ),
        (
            "iam",
            "AttachUserPolicy",
            user("mallory"),
            json!({"userName": "backup-service", "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"}),
            json!({}),
        ),
        (
            "ec2",
            "RunInstances",
            backup.clone(),
            json!({"imageId": "ami-0abc1234", "tagSpecificationSet": {"items": web}}),
            json!({"responseElements": {"reservationId": "r-1", "instancesSet": {"items": [{"imageId": "ami-0abc1234"}]}}}),
        ),
        (
            "sts",
            "AssumeRole",
            backup,
            json!({"roleArn": format!("arn:aws:iam::{ACCOUNT}:role/admin"), "roleSessionName": "nightly"}),
            json!({"readOnly": true, "responseElements": {"credentials": {"accessKeyId": session}, "assumedRoleUser": {"arn": given}}}),
        ),
        (
            "cloudtrail",
            "StopLogging",
            admin,
            json!({"name": "audit"}),
            json!({}),
        ),
    ];
    let mut time = parse_time("20240305T1150Z");
    let events = events
        .into_iter()
        .map(|(service, name, identity, request, more)| {
            time += jiff::SignedDuration::from_secs(19);
            let id = maker.uuid();
            let mut event = json!({
                "eventVersion": "1.09",
                "userIdentity": identity,
                "eventTime": time.to_string(),
                "eventSource": format!("{service}.amazonaws.com"),
                "eventName": name,
                "awsRegion": REGION,
                "sourceIPAddress": "203.0.113.66",
                "userAgent": "aws-cli/2.15",
                "requestParameters": request,
                "responseElements": null,
                "eventID": id,
                "readOnly": false,
                "eventType": "AwsApiCall",
                "managementEvent": true,
                "recipientAccountId": ACCOUNT,
                "eventCategory": "Management",
            });
            let Value::Object(more) = more else {
                unreachable!("an object above")
            };
            event.as_object_mut().expect("an object above").extend(more);
            Record {
                id,
                time,
                json: event.to_string(),
            }
        });
    events.collect()
}
