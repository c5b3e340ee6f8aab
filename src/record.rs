//! One event, seen lazily.
//!
//! [`Index::scan`] notes in one SIMD pass where the record's brackets, colons and commas are, strings aside.
//! Objects are walked along these notes when a first member of theirs is asked for, and what is not asked for is skipped,
//! however deep it is nested. Nothing is checked that is not needed: a malformed record has fewer members, not an error.

use std::borrow::Cow;
use std::ops::Range;

use fearless_simd::{Level, Simd, SimdBase, dispatch, prelude::*, u8x64};

/// What the source needs to know of a record.
#[derive(Debug, PartialEq)]
pub(crate) struct Head {
    /// `eventTime` in nanoseconds since the epoch.
    pub time: Option<i64>,
    /// An Insights event, which the official plugin drops.
    pub insight: bool,
}

/// Reads a record's head.
pub(crate) fn head(record: &[u8]) -> Head {
    let mut index = Index::default();
    let mut record = Record::new(record, &mut index);
    Head {
        time: record
            .text(Member::EventTime)
            .and_then(|time| nanoseconds(&time)),
        insight: record
            .text(Member::EventType)
            .is_some_and(|kind| *kind == *b"AwsCloudTrailInsight"),
    }
}

/// Reads a time with or without `T`, fraction and offset; without an offset it is UTC.
fn nanoseconds(time: &[u8]) -> Option<i64> {
    let time = str::from_utf8(time).ok()?;
    let time = match time.parse::<jiff::Timestamp>() {
        Ok(time) => time,
        Err(_) => {
            let civil: jiff::civil::DateTime = time.parse().ok()?;
            jiff::tz::TimeZone::UTC.to_timestamp(civil).ok()?
        }
    };
    time.as_nanosecond().try_into().ok()
}

/// The objects of a record whose members are known, and these members by name.
macro_rules! members {
    ($($object:ident $parent:tt { $($member:ident $name:literal,)* })*) => {
        /// An object whose members are known.
        #[derive(Clone, Copy, PartialEq)]
        enum Object { $($object,)* }

        impl Object {
            /// The member that holds this object; the record itself is held by none.
            const fn holder(self) -> Option<Member> {
                match self { $(Self::$object => members!(@holder $parent),)* }
            }
        }

        /// A known member of the record or of an object in it.
        #[derive(Clone, Copy)]
        pub(crate) enum Member { $($($member,)*)* }

        impl Member {
            const ALL: &[Self] = &[$($(Self::$member,)*)*];

            const fn object(self) -> Object {
                match self { $($(Self::$member => Object::$object,)*)* }
            }

            const fn name(self) -> &'static str {
                match self { $($(Self::$member => $name,)*)* }
            }
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

impl Member {
    /// The path of names from the record to this member.
    pub(crate) fn path(self) -> String {
        match self.object().holder() {
            Some(holder) => format!("{}.{}", holder.path(), self.name()),
            None => self.name().to_owned(),
        }
    }

    /// The member of `object` with this name.
    fn find(object: Object, name: &[u8]) -> Option<Self> {
        let member = *Self::ALL.get(usize::from(NAMES.places[place(object, name, NAMES.seed)]))?;
        (member.object() == object && member.name().as_bytes() == name).then_some(member)
    }
}

/// A perfect hash of the members' names, made at compile time.
struct Names {
    seed: u64,
    places: [u8; PLACES],
}

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
                let member = Member::ALL[at];
                let place = place(member.object(), member.name().as_bytes(), seed);
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

/// Where a name stands in [`Names`]: its length, first and last four characters tell all names in one object apart.
const fn place(object: Object, name: &[u8], seed: u64) -> usize {
    let (first, last) = match name {
        [first, .., a, b, c, d] => (*first, u32::from_le_bytes([*a, *b, *c, *d])),
        [a, .., b, c] => (*a, u16::from_le_bytes([*b, *c]) as u32),
        _ => (0, 0),
    };
    let word =
        (object as u64) << 56 ^ (first as u64) << 48 ^ (name.len() as u64) << 32 ^ last as u64;
    (word.wrapping_mul(seed) >> (64 - PLACES.ilog2())) as usize
}

/// A range of the record's bytes; empty if there is no such value.
#[derive(Clone, Copy, Default)]
struct Token {
    start: u32,
    end: u32,
}

/// Where 64 bytes of the record have which structural character, strings aside.
#[derive(Clone, Copy, Default)]
struct Block {
    colon: u64,
    comma: u64,
    open: u64,
    close: u64,
}

/// What is known of a record so far. It is made to be used again for the next one.
pub(crate) struct Index {
    blocks: Vec<Block>,
    members: [Token; Member::ALL.len()],
    /// The objects whose members are in `members`, as bits.
    walked: u16,
    /// Only ASCII and nothing escaped, nor a NUL: strings are as they stand.
    plain: bool,
    level: Level,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            blocks: Vec::new(),
            members: [Token::default(); Member::ALL.len()],
            walked: 0,
            plain: false,
            level: Level::new(),
        }
    }
}

impl Index {
    fn scan(&mut self, record: &[u8]) {
        self.members = [Token::default(); Member::ALL.len()];
        self.walked = 0;
        self.blocks.clear();
        self.blocks.reserve(record.len().div_ceil(64));
        let blocks = &mut self.blocks;
        self.plain = dispatch!(self.level, simd => scan(simd, record, blocks));
    }
}

#[inline(always)]
fn scan<S: Simd>(simd: S, record: &[u8], blocks: &mut Vec<Block>) -> bool {
    let splat = |byte| u8x64::splat(simd, byte);
    let mut in_string = 0u64;
    let mut escaped_next = 0u64;
    let mut plain = true;
    let mut block = |bytes: u8x64<S>| {
        let is = |byte| bytes.simd_eq(splat(byte)).to_bitmask();
        let backslash = is(b'\\');
        plain &= backslash | bytes.simd_ge(splat(0x80)).to_bitmask() | is(0) == 0;
        let mut quote = is(b'"');
        if backslash | escaped_next != 0 {
            quote &= !escaped(backslash, &mut escaped_next);
        }
        let string = prefix_xor(quote) ^ in_string;
        in_string = (string as i64 >> 63) as u64;
        // The two opening brackets differ in one bit only, as do the closing ones.
        let bracket = bytes | splat(0x20);
        blocks.push(Block {
            colon: is(b':') & !string,
            comma: is(b',') & !string,
            open: bracket.simd_eq(splat(b'{')).to_bitmask() & !string,
            close: bracket.simd_eq(splat(b'}')).to_bitmask() & !string,
        });
    };
    let (chunks, rest) = record.as_chunks::<64>();
    for chunk in chunks {
        block(u8x64::from_slice(simd, chunk));
    }
    if !rest.is_empty() {
        let mut last = [b' '; 64];
        last[..rest.len()].copy_from_slice(rest);
        block(u8x64::from_slice(simd, &last));
    }
    plain
}

/// The bytes that a backslash escapes; `next` carries over from block to block whether the first one is.
fn escaped(backslash: u64, next: &mut u64) -> u64 {
    const EVEN: u64 = 0x5555_5555_5555_5555;
    // As in simdjson: an addition carries through each run of backslashes, so that its end tells whether the run is odd.
    let backslash = backslash & !*next;
    let follows = backslash << 1 | *next;
    let odd_starts = backslash & !EVEN & !follows;
    let (runs, overflow) = odd_starts.overflowing_add(backslash);
    *next = u64::from(overflow);
    (EVEN ^ runs << 1) & follows
}

/// Each bit becomes the parity of those up to it.
fn prefix_xor(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}

/// One event's JSON.
pub struct Record<'a> {
    bytes: &'a [u8],
    index: &'a mut Index,
}

impl<'a> Record<'a> {
    /// Looks at a record; never fails.
    pub(crate) fn new(bytes: &'a [u8], index: &'a mut Index) -> Self {
        // Tokens have 32 bits, as the length of an event.
        let bytes = if u32::try_from(bytes.len()).is_ok() {
            bytes
        } else {
            &[]
        };
        index.scan(bytes);
        Self { bytes, index }
    }

    /// Looks again at a record of which `index` was made before.
    pub(crate) fn again(bytes: &'a [u8], index: &'a mut Index) -> Self {
        Self { bytes, index }
    }

    /// A known member's value.
    pub(crate) fn get(&mut self, member: Member) -> Option<Value<'a>> {
        let object = member.object();
        if self.index.walked & 1 << object as u16 == 0 {
            self.walk(object);
        }
        let Token { start, end } = self.index.members[member as usize];
        (start < end).then(|| self.value(start as usize..end as usize))
    }

    /// A known member's text.
    pub(crate) fn text(&mut self, member: Member) -> Option<Cow<'a, [u8]>> {
        self.get(member)?.text()
    }

    /// Notes where the known members of an object are.
    fn walk(&mut self, object: Object) {
        self.index.walked |= 1 << object as u16;
        let start = match object.holder() {
            Some(holder) => match self.get(holder) {
                Some(value) => value.start,
                None => return,
            },
            None => self.skip_space(0),
        };
        let mut members = Items {
            at: start,
            open: b'{',
        };
        while let Some((name, value)) = members.next_member(self) {
            if let Some(member) = Member::find(object, &name.name()) {
                let token = &mut self.index.members[member as usize];
                // The first of equal names counts.
                if token.end == 0 {
                    *token = Token {
                        start: value.start as u32,
                        end: value.range().end as u32,
                    };
                }
            }
        }
    }

    /// The value of the first member with this name.
    pub(crate) fn member(&self, object: Value<'a>, name: &str) -> Option<Value<'a>> {
        let mut members = Items {
            at: object.start,
            open: b'{',
        };
        while let Some((key, value)) = members.next_member(self) {
            if *key.name() == *name.as_bytes() {
                return Some(value);
            }
        }
        None
    }

    /// An array's elements; none if the value is no array.
    pub(crate) fn elements(&self, array: Value<'a>) -> impl Iterator<Item = Value<'a>> {
        let mut elements = Items {
            at: array.start,
            open: b'[',
        };
        std::iter::from_fn(move || elements.next_element(self))
    }

    fn value(&self, range: Range<usize>) -> Value<'a> {
        Value {
            start: range.start,
            json: &self.bytes[range],
            plain: self.index.plain,
        }
    }

    /// The first position from `from` on that `bits` has.
    fn next(&self, from: usize, bits: impl Fn(&Block) -> u64) -> Option<usize> {
        let mut keep = !0 << (from % 64);
        for (at, block) in self.index.blocks.iter().enumerate().skip(from / 64) {
            let bits = bits(block) & keep;
            if bits != 0 {
                return Some(at * 64 + bits.trailing_zeros() as usize);
            }
            keep = !0;
        }
        None
    }

    /// The bracket that closes the one at `open`.
    fn closing(&self, open: usize) -> Option<usize> {
        let mut depth = 0usize;
        let mut at = open;
        loop {
            at = self.next(at, |block| block.open | block.close)?;
            match self.bytes[at] {
                b'{' | b'[' => depth += 1,
                _ => depth -= 1,
            }
            if depth == 0 {
                return Some(at);
            }
            at += 1;
        }
    }

    /// The value behind `from`, and where the comma or bracket after it is.
    fn value_from(&self, from: usize) -> Option<(Value<'a>, usize)> {
        let start = self.skip_space(from);
        let from = match self.bytes.get(start)? {
            b'{' | b'[' => self.closing(start)? + 1,
            _ => start,
        };
        let after = self.next(from, |block| block.comma | block.close)?;
        let end = if from > start {
            from
        } else {
            start + self.bytes[start..after].trim_ascii_end().len()
        };
        (start < end).then(|| (self.value(start..end), after))
    }

    fn skip_space(&self, from: usize) -> usize {
        let rest = self.bytes.get(from..).unwrap_or_default();
        from + rest
            .iter()
            .take_while(|byte| byte.is_ascii_whitespace())
            .count()
    }
}

/// A walk along an object or array.
struct Items {
    /// The opening bracket or the comma before the next item.
    at: usize,
    open: u8,
}

impl Items {
    fn next_member<'a>(&mut self, record: &Record<'a>) -> Option<(Value<'a>, Value<'a>)> {
        if ![self.open, b','].contains(record.bytes.get(self.at)?) {
            return None;
        }
        let start = record.skip_space(self.at + 1);
        let colon = record.next(start, |block| block.colon | block.close)?;
        if record.bytes[colon] != b':' {
            return None;
        }
        let name = record.value(start..start + record.bytes[start..colon].trim_ascii_end().len());
        let (value, after) = record.value_from(colon + 1)?;
        self.at = after;
        Some((name, value))
    }

    fn next_element<'a>(&mut self, record: &Record<'a>) -> Option<Value<'a>> {
        if ![self.open, b','].contains(record.bytes.get(self.at)?) {
            return None;
        }
        let (value, after) = record.value_from(self.at + 1)?;
        self.at = after;
        Some(value)
    }
}

/// A value in a record, as it stands there.
#[derive(Clone, Copy)]
pub(crate) struct Value<'a> {
    start: usize,
    json: &'a [u8],
    plain: bool,
}

impl<'a> Value<'a> {
    /// Where it is in the record, quotes included.
    pub(crate) fn range(self) -> Range<usize> {
        self.start..self.start + self.json.len()
    }

    pub(crate) fn is_null(self) -> bool {
        self.json == b"null"
    }

    pub(crate) fn is_array(self) -> bool {
        self.json.starts_with(b"[")
    }

    /// A string's text, or else the value's JSON; nothing if it is null.
    pub(crate) fn text(self) -> Option<Cow<'a, [u8]>> {
        match self.json {
            b"null" => None,
            [b'"', string @ .., b'"'] => Some(if self.plain {
                string.into()
            } else {
                unescape(string)
            }),
            [b'"', ..] => None,
            _ => Some(self.json()),
        }
    }

    /// Its JSON, made fit for a C string.
    pub(crate) fn json(self) -> Cow<'a, [u8]> {
        if self.plain {
            self.json.into()
        } else {
            printable(self.json.into())
        }
    }

    /// A whole number, if it is one that is not negative, whatever its spelling.
    pub(crate) fn number(self) -> Option<u64> {
        let number = str::from_utf8(self.json).ok()?;
        number.parse().ok().or_else(|| {
            let number: f64 = number.parse().ok()?;
            (number >= 0.0 && number < u64::MAX as f64).then_some(number as u64)
        })
    }

    /// The name of a member.
    fn name(self) -> Cow<'a, [u8]> {
        match self.json {
            [b'"', name @ .., b'"'] if self.plain || !name.contains(&b'\\') => name.into(),
            [b'"', name @ .., b'"'] => unescape(name),
            _ => Cow::Borrowed(b""),
        }
    }
}

/// The text of a JSON string, made fit for a C string.
fn unescape(string: &[u8]) -> Cow<'_, [u8]> {
    if !string.contains(&b'\\') {
        return printable(string.into());
    }
    let mut text = Vec::with_capacity(string.len());
    let mut rest = string;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        text.extend_from_slice(&rest[..at]);
        let Some(&escape) = rest.get(at + 1) else {
            rest = &rest[at..];
            break;
        };
        rest = &rest[at + 2..];
        text.push(match escape {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let char = unicode_escape(&mut rest);
                text.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            other => other,
        });
    }
    text.extend_from_slice(rest);
    printable(text.into())
}

/// Takes the rest of a `\u` escape, and the low surrogate after a high one.
fn unicode_escape(rest: &mut &[u8]) -> char {
    fn unit(digits: &[u8]) -> Option<u32> {
        let digits = digits.first_chunk::<4>()?;
        digits.iter().try_fold(0, |unit, &digit| {
            Some(unit << 4 | char::from(digit).to_digit(16)?)
        })
    }
    let Some(first) = unit(rest) else {
        return char::REPLACEMENT_CHARACTER;
    };
    *rest = &rest[4..];
    if let 0xd800..0xdc00 = first
        && let Some(second @ 0xdc00..0xe000) = rest.strip_prefix(br"\u").and_then(unit)
    {
        *rest = &rest[6..];
        return char::from_u32(0x10000 + (first - 0xd800 << 10) + (second - 0xdc00))
            .unwrap_or(char::REPLACEMENT_CHARACTER);
    }
    char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Shows NUL, which ends a C string, as JSON writes it, and what isn't UTF-8 as replacement characters.
fn printable(text: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    match str::from_utf8(&text) {
        Ok(utf8) if !utf8.contains('\0') => text,
        _ => String::from_utf8_lossy(&text)
            .replace('\0', r"\u0000")
            .into_bytes()
            .into(),
    }
}
