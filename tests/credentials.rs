//! Every source of credentials and region that the AWS CLI knows, and the way to AWS.

use std::fs;
#[cfg(unix)]
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use harness::{
    aws::{ACCESS_KEY, Aws, Credentials, Fault, Op, REGION, SECRET_KEY},
    capture::{Capture, Seen, Stage},
    proxy::Proxy,
    trail::{self, Maker},
};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Runs the captures that the tests of this file start.
#[test]
#[ignore = "not a test: the process that a capture runs in"]
fn child() {
    harness::capture::child();
}

const ROLE: &str = "arn:aws:iam::123456789012:role/audit";

/// An AWS with one log file, and the IDs in it.
fn aws() -> (Aws, Vec<String>) {
    let aws = Aws::start();
    let file = Maker::new(1).file("123456789012", "us-east-1", "20240305T1205Z", 2);
    file.put(&aws, "logs");
    (aws, trail::ids(&[file]))
}

/// A capture of that file that knows where AWS is, and nothing else.
fn capture(aws: &Aws) -> Capture {
    Capture::new("s3://logs")
        .endpoint(aws)
        .env("AWS_ENDPOINT_URL_STS", aws.endpoint())
        .env("AWS_ENDPOINT_URL_SSO", aws.endpoint())
}

/// Asserts that all was read, with the key that this tells from all other requests to S3.
fn assert_read(aws: &Aws, capture: Capture, ids: &[String], key: impl Fn(&str) -> bool) {
    let seen = capture.run();
    assert_eq!((seen.error.as_ref(), seen.stderr.as_str()), (None, ""));
    assert_eq!(seen.ids(), ids);
    for request in aws.log_of(Op::GetObject) {
        assert!(key(request.access_key.as_deref().unwrap()), "{request:?}");
    }
    assert_no_secrets(&seen);
}

/// Nothing secret in whatever the plugin says.
fn assert_no_secrets(seen: &Seen) {
    for secret in [
        SECRET_KEY,
        "never/in/a/log",
        "never-in-a-log",
        ACCESS_KEY,
        "ASIAHARNESS",
    ] {
        assert!(
            !seen.words().contains(secret),
            "{secret} in: {}",
            seen.words()
        );
    }
}

fn long_lived(key: &str) -> bool {
    key == ACCESS_KEY
}

fn temporary(key: &str) -> bool {
    key.starts_with("ASIA")
}

#[test]
fn the_environment() {
    let (aws, ids) = aws();
    assert_read(
        &aws,
        capture(&aws).keys().env("AWS_REGION", REGION),
        &ids,
        long_lived,
    );
    let (aws, ids) = self::aws();
    let Credentials {
        access_key,
        secret_key,
        token,
        ..
    } = aws.issue();
    let capture = capture(&aws)
        .env("AWS_ACCESS_KEY_ID", access_key)
        .env("AWS_SECRET_ACCESS_KEY", secret_key)
        .env("AWS_SESSION_TOKEN", token.unwrap())
        .env("AWS_DEFAULT_REGION", REGION);
    assert_read(&aws, capture, &ids, temporary);
}

#[test]
fn a_profile_of_the_usual_files() {
    let (aws, ids) = aws();
    let keys = aws.issue();
    let with_files = || {
        capture(&aws)
            .file(".aws/credentials", &keys.section("audit"))
            .file(
                ".aws/config",
                "[profile audit]\nregion = us-east-1\n[default]\nregion = eu-west-1\n",
            )
    };
    assert_read(
        &aws,
        with_files().config(json!({"aws": {"profile": "audit"}})),
        &ids,
        temporary,
    );
    assert_read(
        &aws,
        with_files().env("AWS_PROFILE", "audit"),
        &ids,
        temporary,
    );
    // The configuration wins over the environment.
    assert_read(
        &aws,
        with_files()
            .keys()
            .config(json!({"aws": {"profile": "audit"}})),
        &ids,
        temporary,
    );
    let both = with_files()
        .env("AWS_PROFILE", "other")
        .config(json!({"aws": {"profile": "audit"}}));
    assert_read(&aws, both, &ids, temporary);
}

#[test]
fn the_default_profile() {
    let (aws, ids) = aws();
    let keys = aws.issue();
    let config = "[default]\nregion = us-east-1\n";
    let capture = capture(&aws)
        .file(".aws/credentials", &keys.section("default"))
        .file(".aws/config", config);
    assert_read(&aws, capture, &ids, temporary);
}

#[test]
fn files_of_ones_own() {
    let (aws, ids) = aws();
    let keys = aws.issue();
    let capture = capture(&aws)
        .file("my/keys", &keys.section("audit"))
        .file("my/settings", "[profile audit]\nregion = us-east-1\n")
        .file(
            ".aws/credentials",
            "[audit]\naws_access_key_id = AKIAWRONG\naws_secret_access_key = wrong\n",
        );
    let path = |name: &str| {
        capture
            .home()
            .join("my")
            .join(name)
            .to_str()
            .unwrap()
            .to_owned()
    };
    let config = json!({"aws": {"profile": "audit", "credentials": path("keys"), "config": path("settings")}});
    assert_read(&aws, capture.config(config), &ids, temporary);
}

#[test]
fn a_role_of_the_configuration() {
    for external_id in ["", "tenant-7"] {
        let (aws, ids) = aws();
        aws.role(ROLE, Some(external_id).filter(|id| !id.is_empty()));
        let config = json!({"aws": {"roleArn": ROLE, "externalId": external_id, "region": REGION}});
        assert_read(&aws, capture(&aws).keys().config(config), &ids, temporary);
        let asked = aws.log_of(Op::AssumeRole);
        assert_eq!(asked.len(), 1);
        assert_eq!(asked[0].access_key.as_deref(), Some(ACCESS_KEY));
        assert_eq!(
            asked[0]
                .query
                .get("ExternalId")
                .map(String::as_str)
                .unwrap_or_default(),
            external_id
        );
    }
}

#[test]
fn a_role_with_the_credentials_of_a_profile() {
    let (aws, ids) = aws();
    aws.role(ROLE, None);
    let keys = aws.issue();
    let capture = capture(&aws)
        .file(".aws/credentials", &keys.section("base"))
        .config(json!({"aws": {"profile": "base", "region": REGION, "roleArn": ROLE}}));
    assert_read(&aws, capture, &ids, |key| {
        temporary(key) && key != keys.access_key
    });
    assert_eq!(
        aws.log_of(Op::AssumeRole)[0].access_key,
        Some(keys.access_key)
    );
}

#[test]
fn a_role_of_a_profile() {
    let (aws, ids) = aws();
    aws.role(ROLE, Some("x"));
    let keys = aws.issue();
    let profile = format!(
        "[profile audit]\nregion = us-east-1\nrole_arn = {ROLE}\nexternal_id = x\nsource_profile = base\n"
    );
    let capture = capture(&aws)
        .file(".aws/credentials", &keys.section("base"))
        .file(".aws/config", &profile)
        .config(json!({"aws": {"profile": "audit"}}));
    assert_read(&aws, capture, &ids, |key| {
        temporary(key) && key != keys.access_key
    });
}

#[test]
fn a_process() {
    let (aws, ids) = aws();
    let Credentials {
        access_key,
        secret_key,
        token,
        ..
    } = aws.issue();
    let answer = json!({"Version": 1, "AccessKeyId": access_key, "SecretAccessKey": secret_key, "SessionToken": token.unwrap(),
        "Expiration": "2999-01-01T00:00:00Z"});
    let capture = capture(&aws).file("answer.json", &answer.to_string());
    let print = if cfg!(windows) { "cmd /c type" } else { "cat" };
    let profile = format!(
        "[default]\nregion = us-east-1\ncredential_process = {print} {}\n",
        capture.home().join("answer.json").display()
    );
    assert_read(&aws, capture.file(".aws/config", &profile), &ids, temporary);
}

#[test]
fn a_web_identity() {
    let (aws, ids) = aws();
    aws.role(ROLE, None);
    let capture = capture(&aws).file("token", "identity-token-never-in-a-log");
    let token = capture.home().join("token").to_str().unwrap().to_owned();
    let capture = capture
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", token)
        .env("AWS_ROLE_ARN", ROLE)
        .env("AWS_ROLE_SESSION_NAME", "tests")
        .env("AWS_REGION", REGION);
    assert_read(&aws, capture, &ids, temporary);
    assert_eq!(aws.log_of(Op::AssumeRoleWithWebIdentity).len(), 1);
}

#[test]
fn a_container() {
    let (aws, ids) = aws();
    aws.container_token("container-token-never-in-a-log");
    let capture = capture(&aws)
        .env(
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            format!("{}/container/credentials", aws.endpoint()),
        )
        .env(
            "AWS_CONTAINER_AUTHORIZATION_TOKEN",
            "container-token-never-in-a-log",
        )
        .env("AWS_REGION", REGION);
    assert_read(&aws, capture, &ids, temporary);
    assert_eq!(aws.log_of(Op::Container).len(), 1);
}

#[test]
fn an_instance() {
    let (aws, ids) = aws();
    let capture = capture(&aws)
        .env("AWS_EC2_METADATA_DISABLED", "false")
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", aws.endpoint());
    assert_read(&aws, capture, &ids, temporary);
}

#[test]
fn single_sign_on() {
    let (aws, ids) = aws();
    let profile = "[profile work]\nregion = us-east-1\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = Audit\n\
        [sso-session corp]\nsso_region = us-east-1\nsso_start_url = https://corp.awsapps.com/start\nsso_registration_scopes = sso:account:access\n";
    let token = json!({"accessToken": "sso-token-never-in-a-log", "expiresAt": "2999-01-01T00:00:00Z", "region": REGION,
        "startUrl": "https://corp.awsapps.com/start"});
    // The name is the SHA-1 of the session's name.
    let name = ".aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json";
    let capture = capture(&aws)
        .file(".aws/config", profile)
        .file(name, &token.to_string())
        .config(json!({"aws": {"profile": "work"}}));
    assert_read(&aws, capture, &ids, temporary);
    let asked = &aws.log_of(Op::Sso)[0];
    assert_eq!(asked.query["role_name"], "Audit");
}

/// Nobody has to log in again where the network is down.
#[test]
fn a_token_that_could_not_be_renewed_is_not_called_expired() {
    let (aws, _) = aws();
    let profile = "[default]\nregion = us-east-1\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = Audit\n\
        [sso-session corp]\nsso_region = us-east-1\nsso_start_url = https://corp.awsapps.com/start\n";
    let token = json!({"accessToken": "a", "expiresAt": "2024-01-01T00:00:00Z", "region": REGION,
        "startUrl": "https://corp.awsapps.com/start", "clientId": "c", "clientSecret": "s", "refreshToken": "r",
        "registrationExpiresAt": "2999-01-01T00:00:00Z"});
    // The name is the SHA-1 of the session's name.
    let name = ".aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json";
    let open = |endpoint: &str| {
        capture(&aws)
            .env("AWS_ENDPOINT_URL_SSO_OIDC", endpoint)
            .file(".aws/config", profile)
            .file(name, &token.to_string())
            .open_error()
    };
    let text = open("http://127.0.0.1:1");
    assert!(!text.contains("log in again"), "{text}");
    assert!(text.contains("onnect"), "{text}");
    // But where it is refused.
    aws.fault(
        |request| request.op == Op::SsoToken,
        Fault::error(400, "InvalidGrantException", "no"),
    );
    let text = open(&aws.endpoint());
    assert!(text.contains("log in again with `aws sso login"), "{text}");
}

#[test]
fn aws_login() {
    let (aws, ids) = aws();
    let Credentials {
        access_key,
        secret_key,
        token,
        ..
    } = aws.issue();
    let cached = json!({
        "accessToken": {"accessKeyId": access_key, "secretAccessKey": secret_key, "sessionToken": token.unwrap(),
            "accountId": "123456789012", "expiresAt": "2999-01-01T00:00:00Z"},
        "tokenType": "aws_sigv4", "refreshToken": "refresh-never-in-a-log", "idToken": "id-never-in-a-log",
        "clientId": "arn:aws:signin:::devtools/same-device", "dpopKey": "key-never-in-a-log",
    });
    // The name is the SHA-256 of the session's.
    let name = "db92b6267a8a205fc1c1c8dde4dbdbd8466aa21d3521bb9244a01b1940ee5695.json";
    let capture = capture(&aws)
        .file(
            ".aws/config",
            "[default]\nregion = us-east-1\nlogin_session = arn:aws:iam::123456789012:user/carol\n",
        )
        .file(&format!(".aws/login/cache/{name}"), &cached.to_string());
    assert_read(&aws, capture, &ids, temporary);
}

#[test]
fn a_session_of_aws_login_is_renewed_and_kept_for_other_programs() {
    let (aws, ids) = aws();
    let keys = aws.issue();
    let folder = tempfile::tempdir().unwrap();
    let file = folder
        .path()
        .join("db92b6267a8a205fc1c1c8dde4dbdbd8466aa21d3521bb9244a01b1940ee5695.json");
    let ended = harness::aws::session(&keys, "2024-01-01T00:00:00Z", "never-in-a-log");
    fs::write(&file, ended.to_string()).unwrap();
    let login = || {
        capture(&aws)
            .env("AWS_ENDPOINT_URL_SIGNIN", aws.endpoint())
            .env("AWS_LOGIN_CACHE_DIRECTORY", folder.path().to_str().unwrap())
            .file(
                ".aws/config",
                "[default]\nregion = us-east-1\nlogin_session = arn:aws:iam::123456789012:user/carol\n",
            )
    };
    assert_read(&aws, login(), &ids, temporary);
    let now: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_ne!(now["accessToken"]["accessKeyId"], keys.access_key);
    assert_ne!(now["refreshToken"], ended["refreshToken"]);
    let end: Timestamp = now["accessToken"]["expiresAt"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(end > Timestamp::now());
    // What only a login gives stays.
    for member in ["clientId", "dpopKey", "idToken", "tokenType"] {
        assert_eq!(now[member], ended[member], "{member}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    #[cfg(unix)]
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    // The next program need not renew them.
    assert_read(&aws, login(), &ids, temporary);
    assert_eq!(aws.log_of(Op::Login).len(), 1);
}

/// Two programs ask with the same refresh token, and one of them is refused.
#[test]
fn a_session_of_aws_login_that_another_program_renews_meanwhile_is_used() {
    let (aws, ids) = aws();
    let folder = tempfile::tempdir().unwrap();
    let file = folder
        .path()
        .join("db92b6267a8a205fc1c1c8dde4dbdbd8466aa21d3521bb9244a01b1940ee5695.json");
    let session =
        |end: &str| harness::aws::session(&aws.issue(), end, harness::aws::ENDED).to_string();
    fs::write(&file, session("2024-01-01T00:00:00Z")).unwrap();
    let slowly = Fault::Delay(Duration::from_millis(500));
    aws.fault(|request| request.op == Op::Login, slowly);
    let running = capture(&aws)
        .env("AWS_ENDPOINT_URL_SIGNIN", aws.endpoint())
        .env("AWS_LOGIN_CACHE_DIRECTORY", folder.path().to_str().unwrap())
        .file(
            ".aws/config",
            "[default]\nregion = us-east-1\nlogin_session = arn:aws:iam::123456789012:user/carol\n",
        )
        .start();
    while aws.log_of(Op::Login).is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    fs::write(&file, session("2999-01-01T00:00:00Z")).unwrap();
    let seen = running.wait();
    assert_eq!((&seen.error, seen.ids()), (&None, ids));
}

/// For other programs it may still be good, or good again.
#[test]
fn a_session_of_aws_login_is_not_replaced_by_an_answer_that_is_none() {
    let (aws, _) = aws();
    let folder = tempfile::tempdir().unwrap();
    let file = folder
        .path()
        .join("db92b6267a8a205fc1c1c8dde4dbdbd8466aa21d3521bb9244a01b1940ee5695.json");
    let before = harness::aws::session(&aws.issue(), "2024-01-01T00:00:00Z", harness::aws::EMPTY);
    fs::write(&file, before.to_string()).unwrap();
    let error = capture(&aws)
        .env("AWS_ENDPOINT_URL_SIGNIN", aws.endpoint())
        .env("AWS_LOGIN_CACHE_DIRECTORY", folder.path().to_str().unwrap())
        .file(
            ".aws/config",
            "[default]\nregion = us-east-1\nlogin_session = arn:aws:iam::123456789012:user/carol\n",
        )
        .open_error();
    assert!(error.contains("AWS Sign-In gave no keys"), "{error}");
    assert_eq!(fs::read_to_string(&file).unwrap(), before.to_string());
}

#[test]
fn a_session_of_aws_login_that_has_ended_for_good_is_named_with_what_to_do() {
    let (aws, _) = aws();
    let ended = harness::aws::session(&aws.issue(), "2024-01-01T00:00:00Z", harness::aws::ENDED);
    let error = capture(&aws)
        .env("AWS_ENDPOINT_URL_SIGNIN", aws.endpoint())
        .file(
            ".aws/config",
            "[profile audit]\nregion = us-east-1\nlogin_session = arn:aws:iam::123456789012:user/carol\n",
        )
        .file(
            ".aws/login/cache/db92b6267a8a205fc1c1c8dde4dbdbd8466aa21d3521bb9244a01b1940ee5695.json",
            &ended.to_string(),
        )
        .config(json!({"aws": {"profile": "audit"}}))
        .open_error();
    assert!(
        error.contains("log in again with `aws login --profile audit`"),
        "{error}"
    );
}

#[test]
#[cfg(unix)]
fn files_that_their_user_may_not_read_are_named() {
    use std::os::unix::fs::PermissionsExt;
    let (aws, _) = aws();
    for profile in [None, Some("audit")] {
        let mut capture = capture(&aws)
            .env("AWS_REGION", REGION)
            .file(".aws/credentials", &aws.issue().section("audit"))
            .bound_by_permissions();
        let file = capture.home().join(".aws/credentials");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
        if let Some(profile) = profile {
            capture = capture.config(json!({"aws": {"profile": profile}}));
        }
        let error = capture.open_error();
        let words = format!("{} can't be read: Permission denied", file.display());
        assert!(error.contains(&words), "{error}");
    }
}

#[test]
fn none_at_all() {
    let (aws, _) = aws();
    let seen = capture(&aws).env("AWS_REGION", REGION).run();
    let (stage, text) = seen.error.clone().unwrap();
    assert_eq!(stage, Stage::Open);
    assert!(
        text.contains("credentials") && text.contains("aws.profile"),
        "{text}"
    );
    let named = capture(&aws)
        .env("AWS_REGION", REGION)
        .config(json!({"aws": {"profile": "nobody"}}))
        .open_error();
    assert!(named.contains("nobody"), "{named}");
}

#[test]
fn errors_say_which_credentials_were_used() {
    let wrong = "[audit]\naws_access_key_id = AKIAWRONGWRONGWRONG0\naws_secret_access_key = wrong-never-in-a-log\n";
    let (aws, _) = aws();
    let of_profile = capture(&aws)
        .file(".aws/credentials", wrong)
        .config(json!({"aws": {"profile": "audit", "region": REGION}}))
        .run();
    let of_environment = capture(&aws)
        .env("AWS_ACCESS_KEY_ID", "AKIAWRONGWRONGWRONG0")
        .env("AWS_SECRET_ACCESS_KEY", "wrong-never-in-a-log")
        .env("AWS_REGION", REGION)
        .run();
    let of_role = capture(&aws)
        .keys()
        .config(json!({"aws": {"roleArn": ROLE, "region": REGION}}))
        .run();
    for (seen, words) in [
        (of_profile, &["audit", "profile", "InvalidAccessKeyId"][..]),
        (of_environment, &["environment", "InvalidAccessKeyId"]),
        (of_role, &[ROLE, "AccessDenied"]),
    ] {
        let (stage, text) = seen.error.clone().unwrap();
        assert_eq!(stage, Stage::Open);
        for word in words {
            assert!(text.contains(word), "{word}: {text}");
        }
        assert!(!seen.words().contains("wrong-never"), "{}", seen.words());
        assert_no_secrets(&seen);
    }
    // A wrong secret for a right key.
    let seen = capture(&aws)
        .keys()
        .env("AWS_SECRET_ACCESS_KEY", "wrong-never-in-a-log")
        .env("AWS_REGION", REGION)
        .run();
    let (_, text) = seen.error.clone().unwrap();
    assert!(
        text.contains("secret") && text.contains("environment"),
        "{text}"
    );
    assert_no_secrets(&seen);
}

#[test]
fn a_bundle_of_certificates() {
    let (aws, ids) = aws();
    let secure = || {
        capture(&aws)
            .keys()
            .env("AWS_REGION", REGION)
            .config(json!({"aws": {"endpoint": aws.secure_endpoint()}}))
    };
    let bundle = aws.ca_file().to_str().unwrap();
    assert_read(
        &aws,
        secure().env("AWS_CA_BUNDLE", bundle),
        &ids,
        long_lived,
    );
    assert!(
        aws.log_of(Op::GetObject)
            .iter()
            .all(|request| request.secure)
    );
    // Unknown to the system, and to another bundle.
    let other = harness::tls::Authority::new();
    let distrusting = secure().file("other.pem", &other.pem());
    let path = distrusting
        .home()
        .join("other.pem")
        .to_str()
        .unwrap()
        .to_owned();
    for capture in [secure(), distrusting.env("AWS_CA_BUNDLE", path)] {
        let text = capture.open_error();
        assert!(text.to_lowercase().contains("certificate"), "{text}");
        assert!(text.contains(&aws.secure_endpoint()), "{text}");
    }
    for (name, content) in [
        ("missing.pem", None),
        ("empty.pem", Some("")),
        ("no.pem", Some("not a certificate")),
    ] {
        let mut capture = secure();
        if let Some(content) = content {
            capture = capture.file(name, content);
        }
        let path = capture.home().join(name).to_str().unwrap().to_owned();
        let text = capture.env("AWS_CA_BUNDLE", &path).open_error();
        assert!(
            text.contains("AWS_CA_BUNDLE") && text.contains(&path),
            "{text}"
        );
    }
}

/// Stores such as Alibaba's refuse a bucket in the path: they are asked the other way, once.
#[test]
fn a_store_that_wants_the_bucket_in_the_hosts_name() {
    let (aws, ids) = aws();
    let proxy = Proxy::start(&aws);
    let refusal = Fault::error(
        403,
        "SecondLevelDomainForbidden",
        "virtual hosted style only",
    );
    aws.fault(|request| request.host == "store.test", refusal);
    let capture = Capture::new("s3://logs")
        .keys()
        .env("HTTP_PROXY", proxy.url())
        .config(json!({"aws": {"endpoint": "http://store.test", "region": REGION}}));
    assert_read(&aws, capture, &ids, long_lived);
    let refused = aws.log();
    let refused = refused
        .iter()
        .filter(|request| request.host == "store.test");
    assert_eq!(refused.count(), 1);
    // And one that refuses both.
    aws.fault(
        |request| request.host == "logs.store.test",
        Fault::error(403, "SecondLevelDomainForbidden", "no"),
    );
    let text = Capture::new("s3://logs")
        .keys()
        .env("HTTP_PROXY", proxy.url())
        .env("AWS_ENDPOINT_URL", "http://store.test")
        .open_error();
    assert!(
        text.contains("AWS_ENDPOINT_URL is http://store.test"),
        "{text}"
    );
}

/// What can't be done says what to do.
#[test]
fn set_ups_that_do_not_work_say_why() {
    let (aws, _) = aws();
    let base = "[base]\naws_access_key_id = a\naws_secret_access_key = b\n";
    for (name, value, config, words) in [
        (
            "AWS_PROFILE",
            "nobody",
            "[default]\n[profile a b]\n[profile audit]\n",
            &[
                "AWS_PROFILE: there is no profile \"nobody\": there are audit, base, default",
                ".aws/config",
            ][..],
        ),
        (
            "AWS_PROFILE",
            "audit",
            "[profile audit]\nrole_arn = x\nsource_profile = base\nmfa_serial = y\n",
            &[
                "can't be typed in here",
                "export-credentials --profile audit",
                "credential_process",
            ],
        ),
        (
            "AWS_PROFILE",
            "audit",
            "[profile audit]\nregion\n",
            &["line 2 of ", ".aws/config is neither"],
        ),
        (
            "AWS_REGION",
            "eu-west-1\r",
            "",
            &["AWS_REGION is \"eu-west-1\\r\"", "the end of a line"],
        ),
        (
            "AWS_DEFAULT_REGION",
            "eu west",
            "",
            &["AWS_DEFAULT_REGION is \"eu west\"", "a blank"],
        ),
        (
            "AWS_PROFILE",
            "audit",
            "[profile audit]\nregion = eu_west\n",
            &[
                "region of the profile \"audit\" is \"eu_west\"",
                "other characters",
            ],
        ),
        (
            "AWS_ENDPOINT_URL_S3",
            "store",
            "",
            &["AWS_ENDPOINT_URL_S3: \"store\" is not a URL"],
        ),
    ] {
        let text = capture(&aws)
            .env(name, value)
            .config(json!({"aws": {"endpoint": ""}}))
            .file(".aws/credentials", base)
            .file(".aws/config", config)
            .open_error();
        for word in words {
            assert!(text.contains(word), "{word}: {text}");
        }
    }
}

#[test]
fn a_certificate_of_an_unknown_authority_names_the_remedy() {
    let (aws, _) = aws();
    let text = capture(&aws)
        .keys()
        .env("AWS_REGION", REGION)
        .config(json!({"aws": {"endpoint": aws.secure_endpoint()}}))
        .open_error();
    assert!(
        text.contains("AWS_CA_BUNDLE or ca_bundle") && text.contains(&aws.secure_endpoint()),
        "{text}"
    );
}

#[test]
fn a_proxy() {
    let (aws, ids) = aws();
    let proxy = Proxy::start(&aws);
    // For http://, by its address.
    let plain = capture(&aws)
        .keys()
        .env("AWS_REGION", REGION)
        .env("HTTP_PROXY", proxy.url());
    assert_read(&aws, plain, &ids, long_lived);
    assert!(
        !proxy.asked().is_empty()
            && proxy
                .asked()
                .iter()
                .all(|line| line.contains("http://127.0.0.1")),
        "{:?}",
        proxy.asked()
    );
    let before = proxy.asked().len();
    let without = capture(&aws)
        .keys()
        .env("AWS_REGION", REGION)
        .env("HTTP_PROXY", proxy.url())
        .env("NO_PROXY", "127.0.0.1");
    assert_read(&aws, without, &ids, long_lived);
    assert_eq!(proxy.asked().len(), before);
    // For https://, by name: AWS's own, STS too.
    aws.role(ROLE, None);
    let by_name = Capture::new("s3://logs")
        .by_name(&aws, &proxy)
        .keys()
        .config(json!({"aws": {"roleArn": ROLE, "region": REGION}}));
    let seen = by_name.run();
    assert_eq!((seen.error.as_ref(), seen.ids()), (None, ids));
    let asked = proxy.asked().split_off(before);
    assert!(
        asked.iter().any(|line| line.starts_with("CONNECT sts.")),
        "{asked:?}"
    );
    assert!(
        asked
            .iter()
            .any(|line| line.starts_with("CONNECT logs.s3.")),
        "{asked:?}"
    );
    // A proxy that isn't there.
    let text = capture(&aws)
        .keys()
        .env("AWS_REGION", REGION)
        .env("HTTP_PROXY", "http://127.0.0.1:1")
        .open_error();
    assert!(
        text.contains(&aws.endpoint()) || text.contains("127.0.0.1:1"),
        "{text}"
    );
}
