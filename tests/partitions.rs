//! The partitions of AWS: China, GovCloud, the European Sovereign Cloud and isolated ones.

use harness::{
    aws::{Aws, Credentials},
    capture::Capture,
    proxy::Proxy,
    trail::{self, Maker},
};
use serde_json::json;

/// Runs the captures that the tests of this file start.
#[test]
#[ignore = "not a test: the process that a capture runs in"]
fn child() {
    harness::capture::child();
}

#[test]
fn a_role_is_assumed_in_its_own_partition() {
    for (partition, host) in [
        ("aws", "sts.us-east-1.amazonaws.com"),
        ("aws-cn", "sts.cn-north-1.amazonaws.com.cn"),
        ("aws-us-gov", "sts.us-gov-west-1.amazonaws.com"),
        ("aws-eusc", "sts.eusc-de-east-1.amazonaws.eu"),
        ("aws-iso", "sts.us-iso-east-1.c2s.ic.gov"),
    ] {
        let role = format!("arn:{partition}:iam::123456789012:role/audit");
        let capture = || Capture::new("s3://logs/");
        let profile =
            format!("[profile audit]\nrole_arn = {role}\ncredential_source = Environment\n");
        let of_a_token = capture().file("token", "a token");
        let token = of_a_token.home().join("token");
        for capture in [
            capture().keys().config(json!({"aws": {"roleArn": role}})),
            capture()
                .keys()
                .file(".aws/config", &profile)
                .config(json!({"aws": {"profile": "audit"}})),
            of_a_token
                .env("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap())
                .env("AWS_ROLE_ARN", &role),
        ] {
            let aws = Aws::start();
            let proxy = Proxy::start(&aws);
            aws.role(&role, None);
            aws.add_key(Credentials {
                partition: partition.into(),
                ..Credentials::long_lived()
            });
            capture.by_name(&aws, &proxy).run();
            let asked = proxy.asked();
            let mut of_sts = asked.iter().filter(|line| line.contains("CONNECT sts."));
            let expected = format!("CONNECT {host}:443 ");
            assert!(
                of_sts.clone().count() > 0 && of_sts.all(|line| line.starts_with(&expected)),
                "{partition}: {asked:?}"
            );
        }
    }
}

#[test]
fn each_partition_is_asked_by_its_own_hosts() {
    for (region, suffix) in [
        ("eu-west-1", "amazonaws.com"),
        ("cn-north-1", "amazonaws.com.cn"),
        ("us-gov-west-1", "amazonaws.com"),
        ("eusc-de-east-1", "amazonaws.eu"),
        ("us-iso-east-1", "c2s.ic.gov"),
        ("us-isob-east-1", "sc2s.sgov.gov"),
        ("eu-isoe-west-1", "cloud.adc-e.uk"),
        ("us-isof-south-1", "csp.hci.ic.gov"),
    ] {
        let point = format!("audit-123456789012.s3-accesspoint.{region}.{suffix}");
        let queue = format!("sqs.{region}.{suffix}");
        for (params, host) in [
            (format!("https://{point}/AWSLogs/"), point.clone()),
            (
                format!("https://logs.s3.{region}.{suffix}/AWSLogs/"),
                format!("logs.s3.{region}.{suffix}"),
            ),
            (format!("https://{queue}/123456789012/trail"), queue.clone()),
            (
                format!("cloudtrail://{region}"),
                format!("cloudtrail.{region}.{suffix}"),
            ),
        ] {
            let aws = Aws::start();
            aws.put_in(region, "logs");
            let proxy = Proxy::start(&aws);
            // What it is answered does not matter.
            let seen = Capture::new(&params).by_name(&aws, &proxy).keys().run();
            let asked = proxy.asked();
            let expected = format!("CONNECT {host}:443 ");
            assert!(
                !asked.is_empty() && asked.iter().all(|line| line.starts_with(&expected)),
                "{params}: {asked:?} {}",
                seen.words()
            );
        }
    }
}

/// Companies' networks lead to their own partition only.
#[test]
fn a_partition_out_of_reach_is_none_of_a_bucket_s() {
    let aws = Aws::start();
    let proxy = Proxy::start(&aws);
    for suffix in [".amazonaws.com.cn", ".amazonaws.eu"] {
        proxy.refuse(suffix);
    }
    let error = Capture::new("s3://no-such-bucket/")
        .by_name(&aws, &proxy)
        .keys()
        .open_error();
    assert!(error.contains("there is no such bucket"), "{error}");
    for suffix in [".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu"] {
        let asked = proxy.asked();
        assert!(
            asked
                .iter()
                .any(|line| line.contains(&format!("{suffix}:"))),
            "{asked:?}"
        );
    }
    // One's own has to be in reach.
    proxy.refuse(".amazonaws.com");
    let error = Capture::new("s3://no-such-bucket/")
        .by_name(&aws, &proxy)
        .keys()
        .open_error();
    assert!(!error.contains("there is no such bucket"), "{error}");
}

/// A name may be that of another's bucket in another partition.
#[test]
fn an_arn_s_partition_alone_is_asked_for_its_bucket() {
    let aws = Aws::start();
    aws.put_in("cn-northwest-1", "logs");
    let file = Maker::new(1).file("111122223333", "cn-northwest-1", "20240305T1205Z", 2);
    file.put(&aws, "logs");
    let keys = Credentials {
        partition: "aws-cn".into(),
        ..Credentials::long_lived()
    };
    aws.add_key(keys);
    for params in [
        "arn:aws-cn:s3:::logs/AWSLogs/",
        "https://logs.s3.amazonaws.com.cn/AWSLogs/",
    ] {
        let proxy = Proxy::start(&aws);
        let seen = Capture::new(params).by_name(&aws, &proxy).keys().run();
        assert_eq!(seen.error, None, "{params}: {}", seen.words());
        assert_eq!(seen.ids(), trail::ids(std::slice::from_ref(&file)));
        let asked = proxy.asked();
        let in_china = |line: &String| line.contains(".amazonaws.com.cn:443 ");
        assert!(asked.iter().all(in_china), "{asked:?}");
    }
}
