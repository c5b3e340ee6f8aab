//! Which values the word `secrets` stands for, by the names of their members.
//!
//! Names are compared without regard to case, hyphens and underscores, for CloudTrail, its services and the headers that
//! they log write the same name in several ways.

use super::marked::MARKED;

/// Names besides those that AWS's models mark: AWS's references of CloudTrail, IAM, STS, S3 (presigned requests), CodeBuild,
/// Cognito, IAM Identity Center and Lambda call them credentials, or environment variables, which often hold credentials.
/// In order.
const KNOWN: [&str; 16] = [
    "acceskeyid",
    "accesskeyid",
    "authenticationcode1",
    "authenticationcode2",
    "awsaccesskeyid",
    "confirmationcode",
    "devicecode",
    "environmentvariablesoverride",
    "pin",
    "signature",
    "tokencode",
    "variables",
    "xamzcopysourceserversideencryptioncustomerkey",
    "xamzcredential",
    "xamzserversideencryptioncustomerkey",
    "xamzsignature",
];

/// A name that ends like this is taken for a secret, whatever service it belongs to.
const ENDINGS: [&str; 21] = [
    "apikey",
    "apikeys",
    "authcode",
    "connectionstring",
    "hmackey",
    "passcode",
    "passphrase",
    "passwd",
    "password",
    "passwordhash",
    "passwords",
    "presharedkey",
    "privatekey",
    "pwd",
    "samlresponse",
    "secret",
    "secretaccesskey",
    "secretkey",
    "signedurl",
    "signingkey",
    "token",
];

/// Names that end like this stand for secrets if their values are texts. Objects have members, of which only some are
/// secrets.
const ENDINGS_OF_TEXTS: [&str; 3] = ["accesskey", "credential", "credentials"];

/// Names that end like a secret's, but are harmless. Tokens that tell pages, requests and versions apart give no access, and
/// events are matched by them; objects around the ARN of a secret are needed in an investigation.
const HARMLESS: [&str; 37] = [
    "awssecretsmanagersecret",
    "backwardtoken",
    "changetoken",
    "chunktoken",
    "clientrequesttoken",
    "clienttoken",
    "conditionaltoken",
    "continuationtoken",
    "copyproducttoken",
    "creationtoken",
    "customermanagedawssecret",
    "encryptionpassphrase",
    "encryptionsecret",
    "executetoken",
    "exportassettosignedurl",
    "forgotpassword",
    "forwardtoken",
    "getsignintoken",
    "idempotencytoken",
    "importassetfromsignedurl",
    "lifecycleactiontoken",
    "locktoken",
    "masterusersecret",
    "messagetoken",
    "nexttoken",
    "pagetoken",
    "paginationtoken",
    "portfoliosharetoken",
    "profiletoken",
    "provisiontoken",
    "removeprivatekey",
    "requesttoken",
    "secretsmanagersecret",
    "sequencetoken",
    "startingtoken",
    "terminatetoken",
    "updatetoken",
];

/// The length of the longest name in the lists above.
const LONGEST: usize = 48;

/// Is this a secret, going by its name and the beginning of its value?
pub(super) fn is_secret(name: &[u8], value: &[u8]) -> bool {
    // A switch, or the ARN of a secret or of a role.
    if matches!(value.first(), Some(b't' | b'f')) || value.starts_with(b"\"arn:aws") {
        return false;
    }
    let mut buffer = [0; LONGEST];
    let Some((name, is_whole)) = folded(name, &mut buffer) else {
        return false;
    };
    let ends_as_one_of = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    let is = |names: &[&str]| is_whole && names.binary_search(&name).is_ok();
    match value.first() {
        _ if ends_as_one_of(&HARMLESS) => false,
        _ if ends_as_one_of(&ENDINGS) || is(&MARKED) || is(&KNOWN) => true,
        Some(b'"') => ends_as_one_of(&ENDINGS_OF_TEXTS),
        // A list of names and values, as of a container. An object is a machine of CodeBuild, or has `variables`.
        Some(b'[') => is_whole && name == "environment",
        _ => false,
    }
}

/// The letters and digits at the end of a name, in lower case, and whether they are all of it. None if there are none.
fn folded<'a>(name: &[u8], buffer: &'a mut [u8; LONGEST]) -> Option<(&'a str, bool)> {
    let letters = name
        .iter()
        .rev()
        .filter(|byte| byte.is_ascii_alphanumeric());
    let mut start = LONGEST;
    let mut is_whole = true;
    for letter in letters {
        if start == 0 {
            is_whole = false;
            break;
        }
        start -= 1;
        buffer[start] = letter.to_ascii_lowercase();
    }
    let name = str::from_utf8(&buffer[start..]).ok()?;
    (!name.is_empty()).then_some((name, is_whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_names() {
        for name in [
            "password",
            "adminUserPassword",
            "bindPassword",
            "dbPasswd",
            "keyPassphrase",
            "authToken",
            "auth_token",
            "AUTH-TOKEN",
            "X-Amz-Security-Token",
            "x-amz-server-side-encryption-customer-key",
            "sharedSecret",
            "clientSecret",
            "privateKeyBase64",
            "sslPrivateKey",
            "apiKey",
            "apiKeys",
            "x-api-key",
            "passwordHash",
            "connectionString",
            "signingKey",
            "SAMLResponse",
            "preSignedUrl",
            "accessKeyId",
            "accesKeyId",
            "secretAccessKey",
            "SAMLAssertion",
            "tokenCode",
            "mfaToken",
            "token",
            "userData",
            "environmentVariables",
            "basicAuthCredentials",
            "someServicesNameForALongStoryThatEndsWithItsOwnKindOfPassword",
        ] {
            assert!(is_secret(name.as_bytes(), b"\"x\""), "{name}");
        }
    }

    #[test]
    fn values_that_only_look_like_secrets_are_not_replaced() {
        for name in [
            "",
            "-",
            "secretId",
            "secretArn",
            "SecretVersionId",
            "nextToken",
            "NextContinuationToken",
            "clientToken",
            "clientRequestToken",
            "idempotencyToken",
            "paginationToken",
            "lockToken",
            "nextSequenceToken",
            "GetSigninToken",
            "passwordLastUsed",
            "passwordResetRequired",
            "PasswordUpdated",
            "tokenType",
            "httpTokens",
            "maxTokens",
            "keyId",
            "kmsKeyId",
            "keyName",
            "publicKey",
            "publicKeyMaterial",
            "credentialId",
            "principalId",
            "userName",
            "email",
            "description",
            "name",
            "key",
            "value",
            "environment",
            "environmentName",
            "SignatureVersion",
        ] {
            assert!(!is_secret(name.as_bytes(), b"\"x\""), "{name}");
        }
    }

    #[test]
    fn secrets_are_known_by_their_values_too() {
        for (name, value, expected) in [
            ("manageMasterUserPassword", "true", false),
            ("generateSecret", "false", false),
            ("password", "1234", true),
            ("password", "{\"value\":\"x\"}", true),
            ("passwords", "[\"x\"]", true),
            ("clientSecret", "[\"x\"]", true),
            // References, and objects of which only some members are secrets.
            ("certificateSecret", "\"arn:aws:secretsmanager:…\"", false),
            (
                "credentials",
                "\"arn:aws-cn:iam::111122223333:role/x\"",
                false,
            ),
            ("credentials", "\"x\"", true),
            ("credentials", "{\"sessionToken\":\"x\"}", false),
            ("accessKey", "{\"accessKeyId\":\"x\"}", false),
            ("accessKey", "\"x\"", true),
            ("serviceSpecificCredential", "{\"userName\":\"x\"}", false),
            ("masterUserSecret", "{\"secretArn\":\"x\"}", false),
            // The variables of a container, a build's machine, and the name of an environment.
            ("environment", "[{\"name\":\"x\",\"value\":\"y\"}]", true),
            ("environment", "{\"computeType\":\"x\"}", false),
            ("environment", "\"production\"", false),
            ("variables", "{\"x\":\"y\"}", true),
        ] {
            assert_eq!(
                is_secret(name.as_bytes(), value.as_bytes()),
                expected,
                "{name}: {value}"
            );
        }
    }

    /// A binary search relies on it.
    #[test]
    fn the_lists_are_in_order_and_can_be_found() {
        assert!(MARKED.is_sorted() && KNOWN.is_sorted());
        for name in MARKED.iter().chain(&KNOWN) {
            assert!(is_secret(name.as_bytes(), b"\"x\""), "{name}");
            assert!(is_secret(name.to_uppercase().as_bytes(), b"1"), "{name}");
        }
        let lists = [&MARKED[..], &KNOWN, &ENDINGS, &ENDINGS_OF_TEXTS, &HARMLESS];
        for name in lists.concat() {
            let is_folded = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            assert!(
                name.len() <= LONGEST && name.as_bytes().iter().all(is_folded),
                "{name}"
            );
        }
    }
}
