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

            /// The positions of its members.
            fn members(self) -> Range<usize> {
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
            const ALL: &[(Object, &str)] = &[$($((Object::$object, $name),)*)*];
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
        let (object, name) = Self::ALL[self as usize];
        object
            .holder()
            .map_or_else(String::new, |holder| holder.path() + ".")
            + name
    }

    /// The position of the member of `object` with this name.
    #[inline(always)]
    fn find(object: Object, name: &[u8]) -> Option<usize> {
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
    /// Colons and closing brackets.
    after_name: u64,
    /// Commas and closing brackets.
    after_value: u64,
    bracket: u64,
    /// What has to be unescaped or checked: backslashes, NUL, and what isn't ASCII, in strings too.
    special: u64,
}

/// What is known of a record so far. It is made to be used again for the next one.
#[derive(Default)]
pub(crate) struct Index {
    blocks: Vec<Block>,
    members: Members,
}

/// The values of known members.
struct Members {
    tokens: [Token; Member::ALL.len()],
    /// The objects whose members are in `tokens`, as bits.
    walked: u16,
}

impl Default for Members {
    fn default() -> Self {
        Self {
            tokens: [Token::default(); Member::ALL.len()],
            walked: 0,
        }
    }
}

/// What the scan carries over from block to block.
#[derive(Default)]
struct Scan {
    /// All bits, if the block begins within a string.
    in_string: u64,
    /// The lowest bit, if a backslash escapes the block's first byte.
    escaped: u64,
}

/// Notes where a record's structural characters are.
#[inline(always)]
fn scan<S: Simd>(simd: S, record: &[u8], blocks: &mut Vec<Block>) {
    blocks.clear();
    blocks.reserve(record.len() / 64 + 2);
    let mut scan = Scan::default();
    let (chunks, rest) = record.as_chunks::<64>();
    for chunk in chunks {
        blocks.push(scan.block(simd, chunk));
    }
    if !rest.is_empty() {
        let mut last = [b' '; 64];
        last[..rest.len()].copy_from_slice(rest);
        blocks.push(scan.block(simd, &last));
    }
    // Text::next always looks at two of them.
    blocks.push(Block::default());
}

impl Scan {
    // Inlined into code for the CPU at hand, which the crate's own functions are made for too.
    #[inline(always)]
    fn block<S: Simd>(&mut self, simd: S, bytes: &[u8; 64]) -> Block {
        let bytes = u8x64::load_array_ref(simd, bytes);
        let backslash = bytes.simd_eq(b'\\').to_bitmask();
        // NUL wraps around to join what isn't ASCII. Added, for LLVM takes an OR of these two apart bit by bit.
        let special = backslash + (bytes - 1).simd_ge(0x7f).to_bitmask();
        let mut quote = bytes.simd_eq(b'"').to_bitmask();
        if backslash | self.escaped != 0 {
            quote &= !escaped(backslash, &mut self.escaped);
        }
        let string = prefix_xor(quote) ^ self.in_string;
        self.in_string = (string as i64 >> 63) as u64;
        // The two opening brackets differ in one bit only, as do the closing ones.
        let bracket = bytes | 0x20;
        let colon = bytes.simd_eq(b':').to_bitmask();
        let comma = bytes.simd_eq(b',').to_bitmask();
        let open = bracket.simd_eq(b'{').to_bitmask();
        let close = bracket.simd_eq(b'}').to_bitmask();
        Block {
            after_name: (colon | close) & !string,
            after_value: (comma | close) & !string,
            bracket: (open | close) & !string,
            special,
        }
    }
}

/// The bytes that a backslash escapes; `next` carries over from block to block whether the first one is.
#[inline(always)]
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
#[inline(always)]
fn prefix_xor(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}

/// One event's JSON.
pub struct Record<'a> {
    text: Text<'a>,
    members: &'a mut Members,
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
        let blocks = &mut index.blocks;
        dispatch!(Level::new(), simd => scan(simd, bytes, blocks));
        index.members.walked = 0;
        Self::again(bytes, index)
    }

    /// Looks again at a record of which `index` was made before.
    pub(crate) fn again(bytes: &'a [u8], index: &'a mut Index) -> Self {
        Self {
            text: Text {
                bytes,
                blocks: &index.blocks,
            },
            members: &mut index.members,
        }
    }

    /// A known member's value.
    #[inline]
    pub(crate) fn get(&mut self, member: Member) -> Option<Value<'a>> {
        let (object, _) = Member::ALL[member as usize];
        if self.members.walked & 1 << object as u16 == 0 {
            self.walk(object);
        }
        let token = self.members.tokens[member as usize];
        (token.end > 0).then_some(Value {
            text: self.text,
            token,
        })
    }

    /// A known member's text.
    #[inline]
    pub(crate) fn text(&mut self, member: Member) -> Option<Cow<'a, [u8]>> {
        self.get(member)?.text()
    }

    /// Notes where the known members of an object are.
    #[inline(never)]
    fn walk(&mut self, object: Object) {
        self.members.walked |= 1 << object as u16;
        self.members.tokens[object.members()].fill(Token::default());
        let start = match object.holder() {
            Some(holder) => match self.get(holder) {
                Some(value) => value.token.start as usize,
                None => return,
            },
            None => self.text.skip_space(0),
        };
        self.text.members(start, |name, value| {
            let escaped = || {
                Member::find(
                    object,
                    &unescape(Some(name).filter(|name| name.contains(&b'\\'))?),
                )
            };
            if let Some(member) = Member::find(object, name).or_else(escaped) {
                let token = &mut self.members.tokens[member];
                // The first of equal names counts.
                if token.end == 0 {
                    *token = value;
                }
            }
        });
    }
}

/// A record's bytes and what the scan found in them.
#[derive(Clone, Copy)]
struct Text<'a> {
    bytes: &'a [u8],
    blocks: &'a [Block],
}

impl<'a> Text<'a> {
    /// The names and values of the object at `start`, if it is one.
    // A function to call with each, since an iterator's answers are slow to hand over.
    #[inline(always)]
    fn members(self, start: usize, mut each: impl FnMut(&'a [u8], Token)) {
        let mut at = start;
        let mut before = b'{';
        while self.bytes.get(at) == Some(&before) {
            let name = self.skip_space(at + 1);
            let Some(colon) = self.next(name, |block| block.after_name) else {
                return;
            };
            let Some([b'"', name @ .., b'"']) = self.bytes.get(name..self.skip_space_back(colon))
            else {
                return;
            };
            if self.bytes[colon] != b':' {
                return;
            }
            let Some((value, after)) = self.value_from(colon + 1) else {
                return;
            };
            each(name, value);
            (at, before) = (after, b',');
        }
    }

    /// The elements of the array at `start`, if it is one.
    fn elements(self, start: usize) -> impl Iterator<Item = Token> {
        let mut next = (self.bytes.get(start) == Some(&b'[')).then_some(start);
        std::iter::from_fn(move || {
            let (value, after) = self.value_from(next? + 1)?;
            next = (self.bytes[after] == b',').then_some(after);
            Some(value)
        })
    }

    /// The value behind `from`, and where the comma or bracket after it is.
    #[inline(always)]
    fn value_from(self, from: usize) -> Option<(Token, usize)> {
        let start = self.skip_space(from);
        let from = match self.bytes.get(start)? {
            b'{' | b'[' => self.closing(start)? + 1,
            _ => start,
        };
        let after = self.next(from, |block| block.after_value)?;
        let end = self.skip_space_back(after);
        (start < end).then_some((
            Token {
                start: start as u32,
                end: end as u32,
            },
            after,
        ))
    }

    /// The first position from `from` on that `bits` has.
    #[inline(always)]
    fn next(self, from: usize, bits: impl Fn(&Block) -> u64) -> Option<usize> {
        let at = from / 64;
        // First the 64 bytes from here on, which hold most names and values: no matter where a block ends, which no CPU could foretell.
        let (two, one) = (self.blocks.get(at + 1)?, &self.blocks[at]);
        let near = bits(one) >> (from % 64) | bits(two) << 1 << (63 - from % 64);
        if near != 0 {
            return Some(from + near.trailing_zeros() as usize);
        }
        self.blocks[at + 1..]
            .iter()
            .zip(at + 1..)
            .find_map(|(block, at)| {
                let bits = bits(block);
                (bits != 0).then(|| at * 64 + bits.trailing_zeros() as usize)
            })
    }

    /// The bracket that closes the one at `open`.
    fn closing(self, open: usize) -> Option<usize> {
        let mut depth = 0usize;
        let mut keep = !0 << (open % 64);
        for (block, at) in self.blocks.get(open / 64..)?.iter().zip(open / 64..) {
            let mut brackets = block.bracket & keep;
            keep = !0;
            while brackets != 0 {
                let at = at * 64 + brackets.trailing_zeros() as usize;
                match self.bytes[at] {
                    b'{' | b'[' => depth += 1,
                    _ => depth -= 1,
                }
                if depth == 0 {
                    return Some(at);
                }
                brackets &= brackets - 1;
            }
        }
        None
    }

    /// Whether a token has nothing special.
    fn is_plain(self, Token { start, end }: Token) -> bool {
        let (start, last) = (start as usize, (end as usize).saturating_sub(1));
        let (after_start, before_last) = (!0 << (start % 64), !0 >> (63 - last % 64));
        match self.blocks.get(start / 64..=last / 64) {
            Some([block]) => block.special & after_start & before_last == 0,
            Some([first, between @ .., end]) => {
                first.special & after_start | end.special & before_last == 0
                    && between.iter().all(|block| block.special == 0)
            }
            _ => true,
        }
    }

    // Outside of strings, JSON has nothing below the space but space.
    #[inline(always)]
    fn skip_space(self, mut from: usize) -> usize {
        while self.bytes.get(from).is_some_and(|&byte| byte <= b' ') {
            from += 1;
        }
        from
    }

    #[inline(always)]
    fn skip_space_back(self, mut to: usize) -> usize {
        while to
            .checked_sub(1)
            .and_then(|last| self.bytes.get(last))
            .is_some_and(|&byte| byte <= b' ')
        {
            to -= 1;
        }
        to
    }
}

/// A value in a record, as it stands there.
#[derive(Clone, Copy)]
pub(crate) struct Value<'a> {
    text: Text<'a>,
    token: Token,
}

impl<'a> Value<'a> {
    /// Where it is in the record, quotes included.
    #[inline]
    pub(crate) fn range(self) -> Range<usize> {
        self.token.start as usize..self.token.end as usize
    }

    #[inline]
    fn raw(self) -> &'a [u8] {
        self.text.bytes.get(self.range()).unwrap_or_default()
    }

    pub(crate) fn is_null(self) -> bool {
        self.raw() == b"null"
    }

    pub(crate) fn is_array(self) -> bool {
        self.raw().starts_with(b"[")
    }

    /// A string's text, or else the value's JSON; nothing if it is null.
    #[inline]
    pub(crate) fn text(self) -> Option<Cow<'a, [u8]>> {
        match self.raw() {
            [b'"', string @ .., b'"'] if self.text.is_plain(self.token) => Some(string.into()),
            [b'"', string @ .., b'"'] => Some(unescape(string)),
            [b'"', ..] | b"null" => None,
            _ => Some(self.json()),
        }
    }

    /// Its JSON, made fit for a C string.
    pub(crate) fn json(self) -> Cow<'a, [u8]> {
        let json = self.raw().into();
        if self.text.is_plain(self.token) {
            json
        } else {
            printable(json)
        }
    }

    /// A whole number, if it is one that is not negative, whatever its spelling.
    pub(crate) fn number(self) -> Option<u64> {
        let number = str::from_utf8(self.raw()).ok()?;
        number.parse().ok().or_else(|| {
            let number: f64 = number.parse().ok()?;
            (number >= 0.0 && number < u64::MAX as f64).then_some(number as u64)
        })
    }

    /// The value of an object's first member with this name.
    pub(crate) fn member(self, name: &str) -> Option<Self> {
        let mut found = None;
        self.text.members(self.token.start as usize, |key, value| {
            if key == name.as_bytes() || key.contains(&b'\\') && *unescape(key) == *name.as_bytes()
            {
                found.get_or_insert(value);
            }
        });
        Some(Self {
            token: found?,
            ..self
        })
    }

    /// An array's elements; none if it is no array.
    pub(crate) fn elements(self) -> impl Iterator<Item = Self> {
        self.text
            .elements(self.token.start as usize)
            .map(move |token| Self { token, ..self })
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
        return char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))
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
