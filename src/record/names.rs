//! The members of a record that fields are made from, and how their names are looked up.

use std::ops::Range;

/// The objects of a record whose members are known, and these members by name.
macro_rules! members {
    ($($object:ident $parent:tt { $($member:ident $name:literal,)* })*) => {
        /// An object whose members are known.
        #[derive(Clone, Copy, PartialEq)]
        pub(super) enum Object { $($object,)* }

        impl Object {
            /// The member that holds this object; the record itself is held by none.
            pub fn holder(self) -> Option<Member> {
                match self { $(Self::$object => members!(@holder $parent),)* }
            }

            /// The positions of its members.
            pub fn members(self) -> Range<usize> {
                match self {
                    $(Self::$object => {
                        const MEMBERS: &[Member] = &[$(Member::$member,)*];
                        let first = MEMBERS[0] as usize;
                        first..first + MEMBERS.len()
                    })*
                }
            }
        }

        /// A known member of the record or of an object in it.
        #[derive(Clone, Copy)]
        pub(crate) enum Member { $($($member,)*)* }

        impl Member {
            /// What each is a member of, and its name.
            pub(super) const ALL: &[(Object, &str)] = &[$($((Object::$object, $name),)*)*];
        }
    };
    (@holder ()) => { None };
    (@holder ($parent:ident)) => { Some(Member::$parent) };
}

members! {
    Record () {
        Addendum "addendum",
        AdditionalEventData "additionalEventData",
        ApiVersion "apiVersion",
        AwsRegion "awsRegion",
        EdgeDeviceDetails "edgeDeviceDetails",
        ErrorCode "errorCode",
        ErrorMessage "errorMessage",
        EventCategory "eventCategory",
        EventId "eventID",
        EventName "eventName",
        EventSource "eventSource",
        EventTime "eventTime",
        EventType "eventType",
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
        TlsDetails "tlsDetails",
        UserAgent "userAgent",
        UserIdentity "userIdentity",
        VpcEndpointId "vpcEndpointId",
    }
    UserIdentity (UserIdentity) {
        IdentityAccountId "accountId",
        IdentityArn "arn",
        IdentityInvokedBy "invokedBy",
        IdentityPrincipalId "principalId",
        IdentitySessionContext "sessionContext",
        IdentityType "type",
        IdentityUserName "userName",
    }
    SessionContext (IdentitySessionContext) {
        SessionIssuer "sessionIssuer",
    }
    SessionIssuer (SessionIssuer) {
        IssuerUserName "userName",
    }
    RequestParameters (RequestParameters) {
        RequestAvailabilityZone "availabilityZone",
        RequestBucketName "bucketName",
        RequestCluster "cluster",
        RequestDocumentName "documentName",
        RequestFastLaunchImages "DescribeFastLaunchImagesRequest",
        RequestFunctionName "functionName",
        RequestGroupName "groupName",
        RequestHost "Host",
        RequestImageId "imageId",
        RequestImageTag "imageTag",
        RequestKey "key",
        RequestLaunchSpecification "launchSpecification",
        RequestName "name",
        RequestPolicy "policy",
        RequestPolicyName "policyName",
        RequestPublicAccessBlock "PublicAccessBlockConfiguration",
        RequestReason "reason",
        RequestRepositoryName "repositoryName",
        RequestRoleName "roleName",
        RequestSerialNumber "serialNumber",
        RequestServiceName "serviceName",
        RequestSubnetId "subnetId",
        RequestTagSpecificationSet "tagSpecificationSet",
        RequestTarget "target",
        RequestTaskDefinition "taskDefinition",
        RequestUserName "userName",
    }
    ResponseElements (ResponseElements) {
        ResponseInstancesSet "instancesSet",
        ResponseReservationId "reservationId",
        ResponseSubnetId "subnetId",
    }
    AdditionalEventData (AdditionalEventData) {
        BytesTransferredIn "bytesTransferredIn",
        BytesTransferredOut "bytesTransferredOut",
    }
    TlsDetails (TlsDetails) {
        TlsCipherSuite "cipherSuite",
        TlsClientProvidedHostHeader "clientProvidedHostHeader",
        TlsVersion "tlsVersion",
    }
    Addendum (Addendum) {
        AddendumOriginalEventId "originalEventID",
        AddendumOriginalRequestId "originalRequestID",
        AddendumReason "reason",
        AddendumUpdatedFields "updatedFields",
    }
}

impl Object {
    /// A bit of its own.
    pub fn bit(self) -> u16 {
        1 << self as u16
    }
}

impl Member {
    /// The object that this is a member of.
    #[inline]
    pub(super) fn object(self) -> Object {
        Self::ALL[self as usize].0
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

/// Compares two names without the call that `==` makes.
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

/// A perfect hash of the members' names, made at compile time.
struct Names {
    seed: u64,
    /// Positions of members, or `u8::MAX`.
    places: [u8; PLACES],
}

/// So many for less than a hundred names, that a seed without collisions is soon found.
const PLACES: usize = 1024;
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

/// Where a name stands in [`Names`]: its length, first character and last four tell all names in one object apart.
const fn place(object: Object, name: &[u8], seed: u64) -> usize {
    let (first, last) = match name {
        [first, .., a, b, c, d] => (*first, u32::from_le_bytes([*a, *b, *c, *d])),
        [a, .., b, c] => (*a, u16::from_le_bytes([*b, *c]) as u32),
        _ => (0, 0),
    };
    let word = ((object as u64) << 56)
        ^ ((first as u64) << 48)
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
            // Of the same length, first and last characters.
            let similar = format!("{}\u{1}{}", &name[..1], &name[2..]);
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
