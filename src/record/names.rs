//! The members of a record that fields are made from, and how their names are looked up.

/// The objects of a record whose members are known, and these members by name.
macro_rules! members {
    ($($object:ident $parent:tt { $($member:ident $name:literal,)* })*) => {
        /// An object whose members are known.
        #[derive(Clone, Copy, PartialEq)]
        pub(super) enum Object { $($object,)* }

        impl Object {
            pub const EACH: &[Self] = &[$(Self::$object,)*];

            /// The member that holds this object; the record itself is held by none.
            pub const fn holder(self) -> Option<Member> {
                match self { $(Self::$object => members!(@holder $parent),)* }
            }
        }

        /// A known member of the record or of an object in it.
        #[derive(Clone, Copy)]
        pub(crate) enum Member { $($($member,)*)* }

        impl Member {
            /// All of them, in their order.
            pub(crate) const EACH: &[Self] = &[$($(Self::$member,)*)*];

            /// What each is a member of, and its name.
            pub(super) const ALL: &[(Object, &str)] = &[$($((Object::$object, $name),)*)*];
        }
    };
    (@holder ()) => { None };
    (@holder ($parent:ident)) => { Some(Member::$parent) };
}

members! {
    Record () {
        AccountId "accountId",
        Addendum "addendum",
        AdditionalEventData "additionalEventData",
        ApiVersion "apiVersion",
        AwsRegion "awsRegion",
        EdgeDeviceDetails "edgeDeviceDetails",
        ErrorCode "errorCode",
        ErrorMessage "errorMessage",
        EventCategory "eventCategory",
        EventContext "eventContext",
        EventId "eventID",
        EventIdOfAggregate "eventId",
        EventName "eventName",
        EventSource "eventSource",
        EventTime "eventTime",
        EventType "eventType",
        EventVersion "eventVersion",
        InsightDetails "insightDetails",
        ManagementEvent "managementEvent",
        ReadOnly "readOnly",
        RecipientAccountId "recipientAccountId",
        RequestId "requestID",
        RequestParameters "requestParameters",
        Resources "resources",
        ResponseElements "responseElements",
        ServiceEventDetails "serviceEventDetails",
        SessionCredentialFromConsole "sessionCredentialFromConsole",
        SharedEventId "sharedEventID",
        SourceIpAddress "sourceIPAddress",
        Summary "summary",
        TimeWindow "timeWindow",
        TlsDetails "tlsDetails",
        UserAgent "userAgent",
        UserIdentity "userIdentity",
        VpcEndpointAccountId "vpcEndpointAccountId",
        VpcEndpointId "vpcEndpointId",
    }
    UserIdentity (UserIdentity) {
        IdentityAccessKeyId "accessKeyId",
        IdentityAccountId "accountId",
        IdentityArn "arn",
        IdentityCredentialId "credentialId",
        IdentityInScopeOf "inScopeOf",
        IdentityInvokedBy "invokedBy",
        IdentityInvokedByDelegate "invokedByDelegate",
        IdentityOnBehalfOf "onBehalfOf",
        IdentityPrincipalId "principalId",
        IdentityProvider "identityProvider",
        IdentitySessionContext "sessionContext",
        IdentityType "type",
        IdentityUserName "userName",
    }
    InScopeOf (IdentityInScopeOf) {
        InScopeOfIssuedTo "credentialsIssuedTo",
        InScopeOfSourceAccount "sourceAccount",
    }
    InvokedByDelegate (IdentityInvokedByDelegate) {
        DelegateAccountId "accountId",
    }
    OnBehalfOf (IdentityOnBehalfOf) {
        OnBehalfOfStore "identityStoreArn",
        OnBehalfOfUserId "userId",
    }
    SessionContext (IdentitySessionContext) {
        SessionAssumedRoot "assumedRoot",
        SessionAttributes "attributes",
        SessionIssuer "sessionIssuer",
        SessionSignIn "signInSessionArn",
        SessionSourceIdentity "sourceIdentity",
        SessionWebIdFederation "webIdFederationData",
    }
    SessionAttributes (SessionAttributes) {
        SessionCreated "creationDate",
        SessionMfa "mfaAuthenticated",
    }
    SessionIssuer (SessionIssuer) {
        IssuerAccountId "accountId",
        IssuerArn "arn",
        IssuerPrincipalId "principalId",
        IssuerType "type",
        IssuerUserName "userName",
    }
    WebIdFederation (SessionWebIdFederation) {
        FederatedProvider "federatedProvider",
    }
    RequestParameters (RequestParameters) {
        RequestAccessControlList "accessControlList",
        RequestAccessControlPolicy "AccessControlPolicy",
        RequestAccessKeyId "accessKeyId",
        RequestAcl "x-amz-acl",
        RequestAdvancedEventSelectors "advancedEventSelectors",
        RequestAssumeRolePolicyDocument "assumeRolePolicyDocument",
        RequestAttribute "attribute",
        RequestAttributeName "attributeName",
        RequestAttributeType "attributeType",
        RequestAvailabilityZone "availabilityZone",
        RequestBucketName "bucketName",
        RequestBucketPolicy "bucketPolicy",
        RequestCidrBlock "cidrBlock",
        RequestCidrIp "cidrIp",
        RequestCluster "cluster",
        RequestCreateVolumePermission "createVolumePermission",
        RequestCustomerAlgorithm "x-amz-server-side-encryption-customer-algorithm",
        RequestDbClusterIdentifier "dBClusterIdentifier",
        RequestDbClusterSnapshotIdentifier "dBClusterSnapshotIdentifier",
        RequestDbInstanceIdentifier "dBInstanceIdentifier",
        RequestDbSnapshotIdentifier "dBSnapshotIdentifier",
        RequestDeletionProtection "deletionProtection",
        RequestDestinationCidrBlock "destinationCidrBlock",
        RequestDestinationIpv6CidrBlock "destinationIpv6CidrBlock",
        RequestDetectorId "detectorId",
        RequestDocumentName "documentName",
        RequestEnable "enable",
        RequestEventSelectors "eventSelectors",
        RequestFastLaunchImages "DescribeFastLaunchImagesRequest",
        RequestFunctionName "functionName",
        RequestGrantFullControl "x-amz-grant-full-control",
        RequestGrantRead "x-amz-grant-read",
        RequestGrantReadAcp "x-amz-grant-read-acp",
        RequestGrantWrite "x-amz-grant-write",
        RequestGrantWriteAcp "x-amz-grant-write-acp",
        RequestGroupId "groupId",
        RequestGroupName "groupName",
        RequestGroupSet "groupSet",
        RequestHost "Host",
        RequestImageId "imageId",
        RequestImageTag "imageTag",
        RequestInstanceId "instanceId",
        RequestInstanceIds "instanceIds",
        RequestInstanceProfileName "instanceProfileName",
        RequestInstanceType "instanceType",
        RequestInstancesSet "instancesSet",
        RequestIpPermissions "ipPermissions",
        RequestIpv6CidrBlock "ipv6CidrBlock",
        RequestKey "key",
        RequestKeyId "keyId",
        RequestKeyName "keyName",
        RequestKmsKeyId "kmsKeyId",
        RequestKmsKeyIdOfDatabase "kMSKeyId",
        RequestKmsKeyIdOfObject "x-amz-server-side-encryption-aws-kms-key-id",
        RequestLaunchPermission "launchPermission",
        RequestLaunchSpecification "launchSpecification",
        RequestLayers "layers",
        RequestLifecycle "LifecycleConfiguration",
        RequestLogGroupName "logGroupName",
        RequestMasterUserPassword "masterUserPassword",
        RequestMetadataOptions "metadataOptions",
        RequestModifyMetadataOptions "ModifyInstanceMetadataOptionsRequest",
        RequestModifySecurityGroupRules "ModifySecurityGroupRulesRequest",
        RequestName "name",
        RequestNames "names",
        RequestOmitted "omitted",
        RequestPolicy "policy",
        RequestPolicyArn "policyArn",
        RequestPolicyDocument "policyDocument",
        RequestPolicyName "policyName",
        RequestPortRange "portRange",
        RequestPrincipal "principal",
        RequestProtocol "protocol",
        RequestPublicAccessBlock "PublicAccessBlockConfiguration",
        RequestPubliclyAccessible "publiclyAccessible",
        RequestQueueUrl "queueUrl",
        RequestReason "reason",
        RequestRepositoryName "repositoryName",
        RequestRole "role",
        RequestRoleArn "roleArn",
        RequestRoleName "roleName",
        RequestRoleSessionName "roleSessionName",
        RequestRuleAction "ruleAction",
        RequestSamlProviderArn "sAMLProviderArn",
        RequestSecretId "secretId",
        RequestSerialNumber "serialNumber",
        RequestServiceName "serviceName",
        RequestSnapshotId "snapshotId",
        RequestSubnetId "subnetId",
        RequestTableName "tableName",
        RequestTagSet "tagSet",
        RequestTagSpecificationSet "tagSpecificationSet",
        RequestTagging "Tagging",
        RequestTags "tags",
        RequestTarget "target",
        RequestTargetPrincipal "targetPrincipal",
        RequestTaskDefinition "taskDefinition",
        RequestTopicArn "topicArn",
        RequestTrailName "trailName",
        RequestUserName "userName",
        RequestValuesToAdd "valuesToAdd",
        RequestVersioning "VersioningConfiguration",
        RequestVolumeId "volumeId",
        RequestVpcId "vpcId",
        RequestWithDecryption "withDecryption",
    }
    ResponseElements (ResponseElements) {
        ResponseAccessKey "accessKey",
        ResponseAssumedRoleUser "assumedRoleUser",
        ResponseCheckMfa "CheckMfa",
        ResponseConsoleLogin "ConsoleLogin",
        ResponseCredentials "credentials",
        ResponseDbInstanceIdentifier "dBInstanceIdentifier",
        ResponseFederatedUser "federatedUser",
        ResponseFunctionArn "functionArn",
        ResponseGroupId "groupId",
        ResponseInstancesSet "instancesSet",
        ResponseKeyId "keyId",
        ResponseLayers "layers",
        ResponseOmitted "omitted",
        ResponsePasswordUpdated "PasswordUpdated",
        ResponsePendingModifiedValues "pendingModifiedValues",
        ResponsePubliclyAccessible "publiclyAccessible",
        ResponseReason "reason",
        ResponseReservationId "reservationId",
        ResponseSnapshotId "snapshotId",
        ResponseSubnetId "subnetId",
        ResponseSwitchRole "SwitchRole",
        ResponseTrailArn "trailARN",
        ResponseVolumeId "volumeId",
    }
    AccessKey (ResponseAccessKey) {
        NewAccessKeyId "accessKeyId",
    }
    AssumedRoleUser (ResponseAssumedRoleUser) {
        AssumedRoleUserArn "arn",
    }
    FederatedUser (ResponseFederatedUser) {
        FederatedUserArn "arn",
    }
    Credentials (ResponseCredentials) {
        CredentialsAccessKeyId "accessKeyId",
    }
    PendingModifiedValues (ResponsePendingModifiedValues) {
        PendingMasterUserPassword "masterUserPassword",
    }
    AdditionalEventData (AdditionalEventData) {
        BytesTransferredIn "bytesTransferredIn",
        BytesTransferredOut "bytesTransferredOut",
        LoginTo "LoginTo",
        MfaUsed "MFAUsed",
        SamlProviderArn "SamlProviderArn",
        SignInSession "signInSessionArn",
    }
    TlsDetails (TlsDetails) {
        TlsCipherSuite "cipherSuite",
        TlsClientProvidedHostHeader "clientProvidedHostHeader",
        TlsKeyExchange "keyExchange",
        TlsVersion "tlsVersion",
    }
    Addendum (Addendum) {
        AddendumOriginalEventId "originalEventID",
        AddendumOriginalRequestId "originalRequestID",
        AddendumReason "reason",
        AddendumUpdatedFields "updatedFields",
    }
    Insight (InsightDetails) {
        InsightContext "insightContext",
        InsightErrorCode "errorCode",
        InsightEventName "eventName",
        InsightEventSource "eventSource",
        InsightState "state",
        InsightType "insightType",
    }
    InsightContext (InsightContext) {
        InsightStatistics "statistics",
    }
    InsightStatistics (InsightStatistics) {
        InsightBaseline "baseline",
        InsightInsight "insight",
    }
    InsightBaseline (InsightBaseline) {
        BaselineAverage "average",
    }
    InsightInsight (InsightInsight) {
        InsightAverage "average",
    }
    TimeWindow (TimeWindow) {
        WindowEnd "windowEnd",
        WindowSize "windowSize",
        WindowStart "windowStart",
    }
    Summary (Summary) {
        SummaryDetails "details",
        SummaryPrimaryDimension "primaryDimension",
    }
    PrimaryDimension (SummaryPrimaryDimension) {
        DimensionAggregationType "aggregationType",
        DimensionName "dimension",
        DimensionStatistics "statistics",
    }
}

impl Object {
    /// A bit of its own.
    pub fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl Member {
    /// The object that this is a member of.
    #[inline]
    pub(super) fn object(self) -> Object {
        Self::ALL[self as usize].0
    }

    /// The object that this member holds, if members of it are known.
    pub(super) fn held(self) -> Option<Object> {
        HELD[self as usize]
    }

    /// The path of names from the record to this member.
    pub(crate) fn path(self) -> String {
        let (object, name) = Self::ALL[self as usize];
        object
            .holder()
            .map_or_else(String::new, |holder| holder.path() + ".")
            + name
    }

    /// The position of the member of `object` with this name.
    #[inline(always)]
    pub(super) fn find(object: Object, name: &[u8]) -> Option<usize> {
        let member = usize::from(NAMES.places[place(object, name, NAMES.seed)]);
        let known = Self::ALL.get(member)?;
        (known.0 == object && is_same(known.1.as_bytes(), name)).then_some(member)
    }
}

/// Compares two names without calling `memcmp`, as `==` does.
#[inline(always)]
fn is_same(one: &[u8], other: &[u8]) -> bool {
    fn ends<const N: usize>(name: &[u8]) -> Option<(&[u8; N], &[u8; N])> {
        Some((name.first_chunk()?, name.last_chunk()?))
    }
    one.len() == other.len()
        && match one.len() {
            4..=8 => ends::<4>(one) == ends(other),
            9..=16 => ends::<8>(one) == ends(other),
            17..=32 => ends::<16>(one) == ends(other),
            _ => one == other,
        }
}

/// The objects that members hold.
static HELD: [Option<Object>; Member::ALL.len()] = {
    let mut held = [None; Member::ALL.len()];
    let mut at = 0;
    while at < Object::EACH.len() {
        if let Some(member) = Object::EACH[at].holder() {
            held[member as usize] = Some(Object::EACH[at]);
        }
        at += 1;
    }
    held
};

/// A perfect hash of the members' names, made at compile time.
struct Names {
    seed: u64,
    /// Positions of members, or `u8::MAX`.
    places: [u8; PLACES],
}

/// Enough places for fewer than 255 names that a seed without collisions is found quickly.
const PLACES: usize = 8192;

// The numbers that are narrowed here fit: a member's position is a byte, whose last value means "none"; an object is one of
// 32 bits; and a place is the upper bits of a hash.
const _: () = assert!(Member::ALL.len() < u8::MAX as usize);
const _: () = assert!(Object::EACH.len() <= u32::BITS as usize);
const _: () = assert!(PLACES.is_power_of_two());

static NAMES: Names = Names::new();

impl Names {
    const fn new() -> Self {
        let mut seed = 0u64;
        'next: loop {
            seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut places = [u8::MAX; PLACES];
            let mut at = 0;
            while at < Member::ALL.len() {
                let (object, name) = Member::ALL[at];
                let place = place(object, name.as_bytes(), seed);
                if places[place] != u8::MAX {
                    continue 'next;
                }
                places[place] = at as u8;
                at += 1;
            }
            return Self { seed, places };
        }
    }
}

/// Where a name stands in [`Names`]: its length, third character and last four tell all names in one object apart.
const fn place(object: Object, name: &[u8], seed: u64) -> usize {
    let (third, last) = match name {
        [_, _, third, .., a, b, c, d] => (*third, u32::from_le_bytes([*a, *b, *c, *d])),
        [_, _, third, .., a, b] | [third, .., a, b] => {
            (*third, u16::from_le_bytes([*a, *b]) as u32)
        }
        _ => (0, 0),
    };
    let word = ((object as u64) << 56)
        ^ ((third as u64) << 48)
        ^ ((name.len() as u64) << 32)
        ^ last as u64;
    (word.wrapping_mul(seed) >> (64 - PLACES.ilog2())) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_its_object_only() {
        for (position, &(object, name)) in Member::ALL.iter().enumerate() {
            assert_eq!(Member::find(object, name.as_bytes()), Some(position));
            // Of the same length, third and last characters, or first and last ones.
            let at = usize::from(name.len() < 5);
            let similar = format!("{}\u{1}{}", &name[..at], &name[at + 1..]);
            assert_eq!(Member::find(object, similar.as_bytes()), None, "{similar}");
            for &(other, _) in Member::ALL {
                let known = Member::ALL
                    .iter()
                    .any(|&(object, known)| object == other && known == name);
                assert_eq!(
                    Member::find(other, name.as_bytes()).is_some(),
                    known,
                    "{name}"
                );
            }
        }
        for name in ["", "a", "ab", "eventname", "eventNames"] {
            assert_eq!(
                Member::find(Object::Record, name.as_bytes()),
                None,
                "{name}"
            );
        }
        assert_eq!(
            Member::IssuerUserName.path(),
            "userIdentity.sessionContext.sessionIssuer.userName"
        );
    }
}
