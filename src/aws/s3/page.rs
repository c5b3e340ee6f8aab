//! A page of a listing, read from the answer's XML as it arrives.
//!
//! The SDK makes eight strings of each object; a page of a thousand then takes it milliseconds and a megabyte. What is
//! needed here fits in two allocations, and the SDK gets to see an empty page.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame};
use jiff::Timestamp;
use memchr::memmem;
use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;

use crate::process::lock;

/// What a page holds.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Page {
    pub objects: Objects,
    /// Folders, where the listing has a delimiter.
    pub folders: Vec<String>,
    /// Where the next page goes on, if there is one and it is known.
    pub next: Option<Next>,
    /// There is more.
    pub is_truncated: bool,
    /// Objects and folders each come in the order of their keys.
    pub is_ordered: bool,
    /// Keys are percent-encoded, but the answer does not say so.
    pub is_encoded_unsaid: bool,
    /// Keys are not percent-encoded, though the answer says so: they contain characters that no encoding has. Stores that
    /// are built with s3s do that.
    pub is_raw: bool,
    /// The first key or folder, as it came, with a `+` or `%` that may stand for itself or be part of an encoding.
    pub doubtful: Option<String>,
}

/// Where the next page of a listing goes on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Next {
    /// Where the service says; `last` is the last key or folder before.
    Token { token: String, last: String },
    /// Behind a key, for a store that gives no token but understands this.
    After(String),
    /// The same for a store that knows only the first version of listings.
    Marker(String),
}

impl Next {
    /// The last key or folder before it.
    pub fn last(&self) -> &String {
        match self {
            Self::Token { last, .. } => last,
            Self::After(last) | Self::Marker(last) => last,
        }
    }
}

/// A key that sorts behind everything in a folder.
pub(crate) fn behind(folder: &str) -> String {
    format!("{folder}\u{10ffff}")
}

/// A page is not larger, in bytes: S3's has a thousand keys at most, each of 1,024 bytes, or three times as many where they
/// are encoded.
pub(super) const LARGEST_PAGE: usize = 16 << 20;

/// Objects in the order of their keys, to be taken from the front.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Objects {
    /// What all keys begin with.
    prefix: Arc<str>,
    /// The rests of all keys, each with its ETag where that is told, one behind the other.
    keys: String,
    entries: Vec<Entry>,
    taken: usize,
}

#[derive(Debug, PartialEq)]
struct Entry {
    /// Where its ETag ends and the next one's key begins.
    end: u32,
    /// The length of its ETag.
    etag: u8,
    archived: bool,
    restored: bool,
    size: u64,
    /// In seconds since the epoch.
    time: Option<i64>,
}

/// An object that a listing or a message names.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Object {
    pub key: String,
    /// In bytes, as stored; 0 where unknown.
    pub size: u64,
    /// Stands for its content, without quotes. Empty where it is not known, or not needed.
    pub etag: String,
    /// When it was made, as far as known.
    pub time: Option<Timestamp>,
    /// In a storage class whose objects have to be restored before they can be read.
    pub archived: bool,
    /// It has been restored, so it can be read.
    pub restored: bool,
}

impl Objects {
    /// An empty list, for objects with this prefix.
    pub fn new(prefix: &Arc<str>) -> Self {
        Self {
            prefix: Arc::clone(prefix),
            ..Self::default()
        }
    }

    /// An empty list, for objects with the same prefix.
    pub fn none(&self) -> Self {
        Self::new(&self.prefix)
    }

    /// Add an object whose key comes after those before it. One with another prefix was not asked for, and is left out.
    pub fn push(&mut self, object: &Object) {
        let Some(rest) = object.key.strip_prefix(&*self.prefix) else {
            return;
        };
        self.keys.push_str(rest);
        // Without one, it is only not kept in a cache. S3's have 34 bytes or a few more.
        let etag = u8::try_from(object.etag.len()).unwrap_or_default();
        self.keys.push_str(&object.etag[..etag.into()]);
        self.entries.push(Entry {
            etag,
            // A page has a thousand keys of a kilobyte at most.
            end: u32::try_from(self.keys.len()).unwrap_or(u32::MAX),
            archived: object.archived,
            restored: object.restored,
            size: object.size,
            time: object.time.map(Timestamp::as_second),
        });
    }

    /// Is the last one's key this one, or behind it?
    fn is_behind(&self, key: &str) -> bool {
        let last = self.entries.len().checked_sub(1);
        let last = last.and_then(|last| self.parts(last));
        last.is_some_and(|(_, last, _)| {
            key.strip_prefix(&*self.prefix)
                .is_some_and(|rest| !comes_before(last, rest))
        })
    }

    /// An entry, the rest of its key, and its ETag.
    fn parts(&self, index: usize) -> Option<(&Entry, &str, &str)> {
        let entry = self.entries.get(index)?;
        let start = match index.checked_sub(1) {
            Some(before) => self.entries[before].end,
            None => 0,
        };
        let both = self.keys.get(start as usize..entry.end as usize)?;
        let (rest, etag) = both.split_at_checked(both.len().checked_sub(entry.etag.into())?)?;
        Some((entry, rest, etag))
    }

    /// Add all of another page with the same prefix.
    pub fn append(&mut self, others: Self) {
        others.for_each(|object| self.push(&object));
    }

    /// Put them in the order of their times, and those of one time in the order of their names.
    pub fn sort(&mut self) {
        let name = |object: &Object| object.key.rsplit('/').next().map(str::to_owned);
        let none = self.none();
        let mut objects: Vec<Object> = std::mem::replace(self, none).collect();
        objects.sort_by_cached_key(|object| (object.time, name(object), object.key.clone()));
        objects.iter().for_each(|object| self.push(object));
    }

    pub fn len(&self) -> usize {
        self.entries.len() - self.taken
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn get(&self, index: usize) -> Option<Object> {
        let (entry, rest, etag) = self.parts(index)?;
        Some(Object {
            key: [&*self.prefix, rest].concat(),
            size: entry.size,
            etag: etag.to_owned(),
            time: entry
                .time
                .and_then(|time| Timestamp::from_second(time).ok()),
            archived: entry.archived,
            restored: entry.restored,
        })
    }

    /// When the next one was made, in seconds since the epoch.
    pub fn next_time(&self) -> Option<i64> {
        Some(self.entries.get(self.taken)?.time.unwrap_or_default())
    }

    /// The key of the next one.
    pub fn first_key(&self) -> Option<String> {
        Some(self.get(self.taken)?.key)
    }

    /// The key of the last one.
    pub fn last_key(&self) -> Option<String> {
        Some(self.get(self.entries.len().checked_sub(1)?)?.key)
    }

    /// Free the memory that was reserved for more.
    pub fn shrink(&mut self) {
        self.keys.shrink_to_fit();
        self.entries.shrink_to_fit();
    }
}

impl Iterator for Objects {
    type Item = Object;

    fn next(&mut self) -> Option<Object> {
        let object = self.get(self.taken)?;
        self.taken += 1;
        Some(object)
    }
}

impl Page {
    /// Its first key or folder.
    pub fn first(&self) -> Option<String> {
        let folder = self.folders.first();
        let key = self.objects.first_key();
        match (key, folder) {
            (Some(key), Some(folder)) => Some(key.min(folder.clone())),
            (key, folder) => key.or(folder.cloned()),
        }
    }

    /// Its last key, or its last folder with all that is in it.
    fn last(&self) -> Option<String> {
        let folder = self.folders.last().map(|folder| behind(folder));
        self.objects.last_key().max(folder)
    }

    /// Where the next page goes on: where the service says, or else behind the last key.
    fn after(
        &self,
        token: Option<String>,
        marker: Option<String>,
        is_first_version: bool,
    ) -> Option<Next> {
        // If keys are not in order, others may come behind any of them.
        let last = || self.last().filter(|_| self.is_ordered);
        match (token, marker) {
            (Some(token), _) => Some(Next::Token {
                token,
                last: self.last().unwrap_or_default(),
            }),
            (None, Some(marker)) if is_first_version => Some(Next::Marker(marker)),
            (None, _) if is_first_version => last().map(Next::Marker),
            (None, _) => last().map(Next::After),
        }
    }

    /// Read the answer to ListObjectsV2, of a store whose keys may be known to be `raw`; none if it is something else. Without
    /// `etags`, which take memory, there are none. See
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html>.
    pub fn parse(xml: &[u8], prefix: &Arc<str>, raw: bool, etags: bool) -> Option<Self> {
        let page = Self::parse_as(xml, prefix, raw, etags)?;
        if page.is_raw {
            let page = Self::parse_as(xml, prefix, true, etags)?;
            return Some(Self {
                is_raw: true,
                ..page
            });
        }
        Some(page)
    }

    fn parse_as(xml: &[u8], prefix: &Arc<str>, raw: bool, etags: bool) -> Option<Self> {
        let mut parser = Parser::new(xml, prefix, raw, etags);
        let mut text = String::new();
        let mut reader = Reader::from_reader(xml);
        loop {
            match reader.read_event().ok()? {
                Event::Start(tag) => {
                    text.clear();
                    parser.start(tag.local_name().into_inner())?;
                }
                Event::Text(part) => text.push_str(&part.decode().ok()?),
                Event::CData(part) => text.push_str(&part.decode().ok()?),
                Event::GeneralRef(reference) => match reference.resolve_char_ref().ok()? {
                    Some(char) => text.push(char),
                    None => text.push_str(resolve_predefined_entity(&reference.decode().ok()?)?),
                },
                Event::End(tag) => {
                    parser.end(tag.local_name().into_inner(), &text)?;
                    text.clear();
                }
                Event::Empty(tag) => parser.empty(tag.local_name().into_inner()),
                Event::Eof => return parser.finish(),
                _ => {}
            }
        }
    }
}

/// Can this text be the result of percent-encoding?
fn is_encoding(text: &str) -> bool {
    let mut parts = text.split('%');
    let plain = parts.next().unwrap_or_default();
    let is_hex = |part: &str| {
        let digits = part.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let never = |byte: u8| byte <= b' ' || b"\"#<>?\\^`{|}\x7f".contains(&byte);
    !plain.bytes().any(never) && parts.all(|part| is_hex(part) && !part.bytes().any(never))
}

/// Does a key come before another in a listing? In the order of all their bytes as in AWS's S3, or else folder by folder,
/// as in SeaweedFS, where `CloudTrail/` comes before `CloudTrail-Digest/`. Both are the same within a region.
pub(super) fn comes_before(key: &str, other: &str) -> bool {
    key < other || key.split('/').lt(other.split('/'))
}

const ROOT: &[u8] = b"ListBucketResult";
const ENCODING: &[u8] = b"<EncodingType>";

/// What has been read of an answer.
struct Parser<'a> {
    prefix: &'a str,
    /// The answer says that keys are percent-encoded.
    said: bool,
    /// They are percent-encoded, as far as is known.
    encoded: bool,
    /// ETags are wanted.
    etags: bool,
    page: Page,
    token: Option<String>,
    marker: Option<String>,
    /// The answer has a count of keys, which the first version of listings does not have.
    has_count: bool,
    /// The object that is being read.
    object: Object,
    /// The element around the one that is being read, and how many elements are around it.
    parent: Parent,
    depth: usize,
    is_page: bool,
}

impl<'a> Parser<'a> {
    fn new(xml: &[u8], prefix: &'a Arc<str>, raw: bool, etags: bool) -> Self {
        // Not every store encodes keys when it is asked to.
        let encoding = memmem::find(xml, ENCODING).map(|at| &xml[at + ENCODING.len()..]);
        let said = encoding.is_some_and(|rest| rest.trim_ascii_start().starts_with(b"url"));
        Self {
            prefix,
            said,
            encoded: said && !raw,
            etags,
            page: Page {
                objects: Objects::new(prefix),
                is_ordered: true,
                ..Page::default()
            },
            token: None,
            marker: None,
            has_count: false,
            object: Object::default(),
            parent: Parent::Page,
            depth: 0,
            is_page: false,
        }
    }

    /// Decode a key as it was sent into `key`.
    fn decode(&mut self, text: &str, key: &mut String) {
        key.clear();
        self.page.is_raw |= self.encoded && !is_encoding(text);
        match self.encoded && text.contains(['%', '+']) {
            true => {
                let doubtful = &mut self.page.doubtful;
                doubtful.get_or_insert_with(|| text.to_owned());
                key.push_str(&decode_key(text));
            }
            false => key.push_str(text),
        }
    }

    /// An element begins. None where the answer is not a page.
    fn start(&mut self, name: &[u8]) -> Option<()> {
        self.depth += 1;
        match (self.depth, name) {
            (1, name) if name != ROOT => return None,
            (1, _) => self.is_page = true,
            (2, b"Contents") => {
                self.parent = Parent::Contents;
                self.object.key.clear();
                self.object.size = 0;
                self.object.etag.clear();
                self.object.time = None;
                self.object.archived = false;
                self.object.restored = false;
            }
            (2, b"CommonPrefixes") => self.parent = Parent::CommonPrefixes,
            _ => {}
        }
        Some(())
    }

    /// An element ends, which holds this text. None where the text is not valid.
    fn end(&mut self, name: &[u8], text: &str) -> Option<()> {
        match (&self.parent, self.depth, name) {
            (Parent::Contents, 2, _) => {
                self.page.is_ordered &= !self.page.objects.is_behind(&self.object.key);
                self.page.objects.push(&self.object);
                self.parent = Parent::Page;
            }
            (Parent::CommonPrefixes, 2, _) => self.parent = Parent::Page,
            (Parent::Contents, 3, b"Key") => {
                let mut key = std::mem::take(&mut self.object.key);
                self.decode(text, &mut key);
                self.object.key = key;
            }
            (Parent::Contents, 3, b"Size") => self.object.size = text.parse().ok()?,
            (Parent::Contents, 3, b"ETag") if self.etags => {
                self.object.etag.clear();
                self.object.etag.push_str(without_quotes(text));
            }
            (Parent::Contents, 3, b"LastModified") => self.object.time = text.parse().ok(),
            (Parent::Contents, 3, b"StorageClass") => {
                self.object.archived = matches!(text, "GLACIER" | "DEEP_ARCHIVE");
            }
            // A restored copy is there until then.
            (Parent::Contents, 4, b"RestoreExpiryDate") => self.object.restored = true,
            (Parent::CommonPrefixes, 3, b"Prefix") => {
                let mut folder = String::new();
                self.decode(text, &mut folder);
                let last = self.page.folders.last();
                self.page.is_ordered &= last.is_none_or(|last| comes_before(last, &folder));
                self.page.folders.push(folder);
            }
            (Parent::Page, 2, b"IsTruncated") => {
                self.page.is_truncated = text.trim().eq_ignore_ascii_case("true");
            }
            (Parent::Page, 2, b"NextContinuationToken") => {
                self.token = Some(text.to_owned()).filter(|token| !token.is_empty());
            }
            (Parent::Page, 2, b"NextMarker") => {
                let key = match self.encoded {
                    true => decode_key(text),
                    false => text.to_owned(),
                };
                self.marker = Some(key).filter(|key| !key.is_empty());
            }
            // The answer repeats the prefix, encoded if keys are. But if it says that keys are encoded, the prefix may
            // not be: SeaweedFS leaves it as it is.
            (Parent::Page, 2, b"Prefix") => {
                self.page.is_encoded_unsaid =
                    !self.said && text != self.prefix && decode_key(text) == self.prefix;
            }
            (Parent::Page, 2, b"KeyCount") => self.has_count = true,
            _ => {}
        }
        self.depth -= 1;
        Some(())
    }

    fn empty(&mut self, name: &[u8]) {
        if self.depth == 0 {
            self.is_page = name == ROOT;
        }
    }

    /// The page, unless the answer was cut short.
    fn finish(mut self) -> Option<Page> {
        if self.page.is_truncated {
            self.page.next = self.page.after(self.token, self.marker, !self.has_count);
        }
        self.page.objects.shrink();
        (self.depth == 0 && self.is_page).then_some(self.page)
    }
}

enum Parent {
    Page,
    Contents,
    CommonPrefixes,
}

/// Decode a key that was sent percent-encoded. What is not an encoding stays as it is.
pub(crate) fn decode_key(key: &str) -> String {
    let key = key.replace('+', " ");
    percent_encoding::percent_decode_str(&key)
        .decode_utf8_lossy()
        .into_owned()
}

/// An ETag without the quotes that not all stores send.
pub(super) fn without_quotes(etag: &str) -> &str {
    etag.trim().trim_matches('"')
}

/// Takes the page from an answer before the SDK reads it.
#[derive(Debug, Clone, Default)]
pub(crate) struct TakePage {
    /// The prefix asked for.
    pub prefix: Arc<str>,
    /// The store does not encode keys, whatever it says.
    pub raw: bool,
    /// ETags are wanted.
    pub etags: bool,
    pub taken: Arc<Mutex<Option<Page>>>,
}

impl TakePage {
    /// For an answer that lists this prefix.
    pub fn of(prefix: &str, raw: bool, etags: bool) -> Self {
        Self {
            prefix: prefix.into(),
            raw,
            etags,
            ..Self::default()
        }
    }

    /// The page that was in the answer.
    pub fn page(&self) -> Option<Page> {
        lock(&self.taken).take()
    }
}

impl Intercept for TakePage {
    fn name(&self) -> &'static str {
        "TakePage"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response_mut();
        if response.status().is_success() {
            let body = std::mem::replace(response.body_mut(), SdkBody::taken());
            *response.body_mut() = SdkBody::from_body_1_x(PageBody {
                body,
                xml: Vec::new(),
                take: Some(self.clone()),
            });
        }
        Ok(())
    }
}

/// The body of an answer, without its page.
struct PageBody {
    body: SdkBody,
    xml: Vec<u8>,
    /// None once it is read.
    take: Option<TakePage>,
}

impl Body for PageBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        while self.take.is_some() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        if self.xml.len() + data.len() > LARGEST_PAGE {
                            let why =
                                format!("a page of a listing is larger than {LARGEST_PAGE} bytes");
                            return Poll::Ready(Some(Err(why.into())));
                        }
                        self.xml.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    let xml = std::mem::take(&mut self.xml);
                    let Some(take) = self.take.take() else { break };
                    let rest = match Page::parse(&xml, &take.prefix, take.raw, take.etags) {
                        Some(page) => {
                            *lock(&take.taken) = Some(page);
                            Bytes::from_static(b"<ListBucketResult/>")
                        }
                        // It is not a listing: the SDK says so.
                        None => xml.into(),
                    };
                    return Poll::Ready(Some(Ok(Frame::data(rest))));
                }
            }
        }
        Poll::Ready(None)
    }
}

/// The token for the next page.
#[cfg(any(fuzzing, test))]
fn token(next: Option<&Next>) -> Option<&str> {
    match next {
        Some(Next::Token { token, .. }) => Some(token),
        _ => None,
    }
}

/// See [`crate::fuzz`].
#[cfg(any(fuzzing, test))]
pub(crate) mod fuzz {
    use std::collections::VecDeque;
    use std::sync::LazyLock;

    use aws_sdk_s3::config::FrozenLayer;
    use aws_sdk_s3::operation::list_objects_v2::{ListObjectsV2, ListObjectsV2Output};
    use aws_sdk_s3::types::{EncodingType, ObjectStorageClass};
    use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
    use aws_smithy_runtime_api::client::runtime_plugin::RuntimePlugin;
    use aws_smithy_runtime_api::client::ser_de::{DeserializeResponse, SharedResponseDeserializer};
    use futures_util::FutureExt;
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

    use super::*;

    /// A body that comes in pieces.
    struct Pieces(VecDeque<Bytes>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
        }
    }

    #[test]
    fn a_page_without_an_end_is_not_held() {
        let pieces = VecDeque::from(vec![Bytes::from(vec![b' '; 1 << 20]); 17]);
        let mut body = PageBody {
            body: SdkBody::from_body_1_x(Pieces(pieces)),
            xml: Vec::new(),
            take: Some(TakePage::default()),
        };
        let next =
            std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).now_or_never();
        let error = next.flatten().expect("a frame").expect_err("too large");
        assert!(
            error.to_string().contains("larger than 16777216 bytes"),
            "{error}"
        );
        assert!(body.xml.len() <= LARGEST_PAGE);
    }

    /// The page that an answer holds, and what the SDK gets to see.
    fn take(xml: &[u8], size: usize, prefix: &str) -> (Option<Page>, Vec<u8>) {
        let take = TakePage::of(prefix, false, true);
        let pieces = xml.chunks(size).map(Bytes::copy_from_slice).collect();
        let mut body = PageBody {
            body: SdkBody::from_body_1_x(Pieces(pieces)),
            xml: Vec::new(),
            take: Some(take.clone()),
        };
        let mut rest = Vec::new();
        let mut next = || {
            std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).now_or_never()
        };
        while let Some(frame) = next().expect("nothing to wait for") {
            let data = frame.expect("no error").into_data();
            rest.extend_from_slice(&data.expect("no trailers"));
        }
        (take.page(), rest)
    }

    /// What the SDK makes of an answer.
    fn by_the_sdk(xml: &[u8]) -> Option<ListObjectsV2Output> {
        static CONFIG: LazyLock<FrozenLayer> =
            LazyLock::new(|| ListObjectsV2::new().config().expect("its configuration"));
        let sdk = CONFIG.load::<SharedResponseDeserializer>();
        let answer = HttpResponse::new(200.try_into().expect("a status"), xml.to_vec().into());
        let output = sdk
            .expect("a deserializer")
            .deserialize_nonstreaming_with_config(&answer, &ConfigBag::base());
        Some(output.ok()?.downcast().expect("a listing"))
    }

    fn agree(page: Page, sdk: &ListObjectsV2Output, prefix: &str) {
        let decode = |key: Option<&str>| match sdk.encoding_type() {
            Some(EncodingType::Url) if !page.is_raw => decode_key(key.unwrap_or_default()),
            _ => key.unwrap_or_default().to_owned(),
        };
        let theirs = sdk.contents().iter().map(|object| Object {
            key: decode(object.key()),
            size: object.size().unwrap_or(0).try_into().expect("a size"),
            etag: object
                .e_tag()
                .map(without_quotes)
                .filter(|etag| etag.len() <= 255)
                .unwrap_or_default()
                .to_owned(),
            time: object
                .last_modified()
                .and_then(|time| Timestamp::from_second(time.secs()).ok()),
            archived: matches!(
                object.storage_class(),
                Some(ObjectStorageClass::Glacier | ObjectStorageClass::DeepArchive)
            ),
            restored: object
                .restore_status()
                .is_some_and(|status| status.restore_expiry_date().is_some()),
        });
        let theirs = theirs.filter(|object| object.key.starts_with(prefix));
        assert_eq!(page.objects.collect::<Vec<_>>(), theirs.collect::<Vec<_>>());
        let folders = sdk.common_prefixes().iter();
        // A folder without a name, which S3 never sends, is left out.
        let folders = folders.filter_map(|folder| folder.prefix());
        let folders: Vec<_> = folders.map(|folder| decode(Some(folder))).collect();
        assert_eq!(page.folders, folders);
        let next = sdk.next_continuation_token();
        let next = next.filter(|_| sdk.is_truncated() == Some(true));
        assert_eq!(token(page.next.as_ref()), next);
    }

    /// A page is the same whatever pieces it comes in, and holds what the SDK finds in it. A key stays as it was.
    pub(crate) fn page(data: &[u8]) {
        let at_once = data.len().max(1);
        let in_pieces = take(data, data.len() / 64 + 1, "");
        assert_eq!(in_pieces, take(data, at_once, ""));
        for prefix in ["", "AWSLogs/"] {
            let (page, rest) = take(data, at_once, prefix);
            match page {
                Some(page) => {
                    assert_eq!(rest, b"<ListBucketResult/>");
                    // The SDK knows neither CDATA nor text around a comment, and ends at what can't be in XML.
                    let plain = memmem::find(data, b"<!").is_none()
                        && !data
                            .iter()
                            .any(|byte| *byte < b' ' && !byte.is_ascii_whitespace());
                    if let Some(sdk) = plain.then(|| by_the_sdk(data)).flatten() {
                        agree(page, &sdk, prefix);
                    }
                }
                None => assert_eq!(rest, data),
            }
        }
        let key = String::from_utf8_lossy(data);
        let xml = format!(
            "<ListBucketResult><Contents><Key>{}</Key></Contents><EncodingType>url</EncodingType></ListBucketResult>",
            utf8_percent_encode(&key, NON_ALPHANUMERIC)
        );
        let mut page = Page::parse(xml.as_bytes(), &"".into(), false, true).expect("a page");
        assert_eq!(page.objects.next().expect("an object").key, key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read() {
        let xml = r#"<?xml version="1.0" encoding="UTF-8"?>
            <ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix>p/</Prefix>
            <KeyCount>3</KeyCount><IsTruncated>true</IsTruncated><NextContinuationToken>a+b/=</NextContinuationToken>
            <Contents><Key>p/a%20b+c%2Fd</Key><LastModified>2024-03-06T00:00:01.000Z</LastModified>
            <ETag>&quot;1&quot;</ETag><Size>7</Size><Owner><ID>1</ID></Owner><StorageClass>GLACIER</StorageClass></Contents>
            <Contents><Key>other</Key><Size>1</Size></Contents>
            <Contents><Key>p/x&amp;y&#233;</Key><LastModified>then</LastModified><Size>8</Size></Contents>
            <CommonPrefixes><Prefix>p/f%20/</Prefix></CommonPrefixes><EncodingType>url</EncodingType></ListBucketResult>"#;
        let object = |key: &str, size, etag: &str, time: Option<&str>, archived| Object {
            key: key.to_owned(),
            size,
            etag: etag.to_owned(),
            time: time.map(|time| time.parse().unwrap()),
            archived,
            restored: false,
        };
        let page = Page::parse(xml.as_bytes(), &"p/".into(), false, true).unwrap();
        assert_eq!(token(page.next.as_ref()), Some("a+b/="));
        assert_eq!(page.folders, ["p/f /"]);
        assert_eq!(page.objects.last_key().as_deref(), Some("p/x&yé"));
        assert_eq!(
            page.objects.collect::<Vec<_>>(),
            [
                object("p/a b c/d", 7, "1", Some("2024-03-06T00:00:01Z"), true),
                object("p/x&yé", 8, "", None, false)
            ]
        );
        let plain = xml.replace("<EncodingType>url</EncodingType>", "");
        let mut page = Page::parse(plain.as_bytes(), &"".into(), false, true).unwrap();
        assert_eq!(page.objects.len(), 3);
        assert_eq!(page.objects.next().unwrap().key, "p/a%20b+c%2Fd");
        assert_eq!(page.folders, ["p/f%20/"]);
    }

    #[test]
    fn etags_are_held_where_they_are_wanted() {
        let long = "e".repeat(256);
        let etags = ["&quot;7f-3&quot;", "bare", "", "W/&quot;weak&quot;", &long];
        let contents = etags.iter().enumerate().map(|(number, etag)| {
            format!("<Contents><Key>k{number}</Key><ETag>{etag}</ETag></Contents>")
        });
        let xml = format!(
            "<ListBucketResult>{}</ListBucketResult>",
            contents.collect::<String>()
        );
        let parse = |etags| Page::parse(xml.as_bytes(), &"k".into(), false, etags).unwrap();
        let told = |objects: Objects| -> Vec<(String, String)> {
            objects.map(|object| (object.key, object.etag)).collect()
        };
        let expected = ["7f-3", "bare", "", "W/\"weak", ""].into_iter().enumerate();
        let expected: Vec<_> = expected
            .map(|(number, etag)| (format!("k{number}"), etag.to_owned()))
            .collect();
        let page = parse(true);
        assert!(page.is_ordered);
        assert_eq!(page.objects.last_key().as_deref(), Some("k4"));
        assert_eq!(told(page.objects), expected);
        let mut sorted = parse(true).objects;
        sorted.append(parse(true).objects);
        sorted.sort();
        let doubled = expected.iter().flat_map(|object| [object, object]);
        assert_eq!(told(sorted), doubled.cloned().collect::<Vec<_>>());
        // Otherwise they take no memory.
        let without = parse(false).objects;
        assert_eq!(without.keys, "01234");
        assert!(told(without).iter().all(|(_, etag)| etag.is_empty()));
        assert_eq!(size_of::<Entry>(), 32);
    }

    #[test]
    fn an_answer_that_is_not_a_page_is_left_to_the_sdk() {
        for xml in [
            "",
            "<html><body>Welcome</body></html>",
            "<ListBucketResult><Contents><Key>a</Key>",
            "<ListBucketResult><Contents><Key>&unknown;</Key></Contents></ListBucketResult>",
            "<ListBucketResult><Contents><Size>x</Size></Contents></ListBucketResult>",
        ] {
            assert_eq!(
                Page::parse(xml.as_bytes(), &"".into(), false, true),
                None,
                "{xml}"
            );
        }
        let empty = Page::parse(b"<ListBucketResult/>", &"".into(), false, true);
        assert_eq!(empty.map(|page| page.next), Some(None));
    }

    /// A page of a listing with these elements.
    fn listing(elements: &str) -> Page {
        let xml = format!("<ListBucketResult>{elements}</ListBucketResult>");
        Page::parse(xml.as_bytes(), &"".into(), false, true).unwrap()
    }

    #[test]
    fn the_next_page_is_found_whatever_the_store_says_of_it() {
        let keys = "<Contents><Key>a</Key></Contents><Contents><Key>b/c</Key></Contents>";
        let folder = "<CommonPrefixes><Prefix>b/</Prefix></CommonPrefixes>";
        let after = |key: &str| Some(Next::After(key.to_owned()));
        let marker = |key: &str| Some(Next::Marker(key.to_owned()));
        let more = "<IsTruncated>true</IsTruncated>";
        for (elements, expected) in [
            (
                "<IsTruncated>false</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
                    .to_owned(),
                None,
            ),
            (
                format!("{more}<NextContinuationToken>t</NextContinuationToken>{keys}"),
                Some(Next::Token {
                    token: "t".to_owned(),
                    last: "b/c".to_owned(),
                }),
            ),
            // Without a token, or with an empty one.
            (format!("{more}<KeyCount>2</KeyCount>{keys}"), after("b/c")),
            (
                format!(
                    "{more}<KeyCount>2</KeyCount><NextContinuationToken></NextContinuationToken>{keys}"
                ),
                after("b/c"),
            ),
            (
                format!("<IsTruncated>True</IsTruncated><KeyCount>2</KeyCount>{keys}"),
                after("b/c"),
            ),
            // A folder's keys come behind its name.
            (
                format!("{more}<KeyCount>1</KeyCount>{folder}"),
                after("b/\u{10ffff}"),
            ),
            // The first version of listings, which not every store tells by its marker.
            (format!("{more}<Marker></Marker>{keys}"), marker("b/c")),
            (format!("{more}{keys}"), marker("b/c")),
            (
                format!("{more}<NextMarker>b/</NextMarker>{folder}"),
                marker("b/"),
            ),
            // Nothing tells where.
            (more.to_owned(), None),
        ] {
            let page = listing(&elements);
            assert_eq!(page.next, expected, "{elements}");
            assert_eq!(page.is_truncated, !elements.contains("false"));
        }
    }

    #[test]
    fn the_prefix_shows_that_keys_are_encoded_if_nothing_says_so() {
        let page = |prefix: &str, told: &str, encoding: &str| {
            let xml =
                format!("<ListBucketResult>{encoding}<Prefix>{told}</Prefix></ListBucketResult>");
            Page::parse(xml.as_bytes(), &prefix.into(), false, true).unwrap()
        };
        assert!(page("a b/", "a%20b/", "").is_encoded_unsaid);
        // As the page before has named the folder.
        assert!(page("a%20b/", "a%2520b/", "").is_encoded_unsaid);
        let said = "<EncodingType>url</EncodingType>";
        assert!(!page("a b/", "a%20b/", said).is_encoded_unsaid);
        assert!(!page("a%20b/", "a%20b/", "").is_encoded_unsaid);
        assert!(!page("a+b/", "a+b/", "").is_encoded_unsaid);
        assert!(!page("a b/", "", "").is_encoded_unsaid);
    }

    #[test]
    fn keys_that_are_not_encoded_though_it_is_said_are_noticed() {
        for (key, expected, is_raw) in [
            ("a%20b", "a b", false),
            ("a+b", "a b", false),
            ("a/b-c_d.e~f*g:é", "a/b-c_d.e~f*g:é", false),
            ("a b+c%20d", "a b+c%20d", true),
            ("100%+x", "100%+x", true),
            ("a+b|c", "a+b|c", true),
        ] {
            let xml = format!(
                "<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>{key}</Key></Contents>\
                 </ListBucketResult>"
            );
            let mut page = Page::parse(xml.as_bytes(), &"".into(), false, true).unwrap();
            assert_eq!(page.objects.next().unwrap().key, expected, "{key}");
            assert_eq!(page.is_raw, is_raw, "{key}");
            let doubtful = (!is_raw && key.contains(['+', '%'])).then_some(key);
            assert_eq!(page.doubtful.as_deref(), doubtful, "{key}");
            let mut page = Page::parse(xml.as_bytes(), &"".into(), true, true).unwrap();
            assert_eq!(page.objects.next().unwrap().key, key);
            assert_eq!(page.doubtful, None, "{key}");
        }
    }

    #[test]
    fn keys_out_of_order_are_noticed() {
        let listed = |keys: &[&str]| {
            let key = |key: &&str| format!("<Contents><Key>{key}</Key></Contents>");
            keys.iter().map(key).collect::<String>()
        };
        assert!(listing(&listed(&["a", "aa", "b"])).is_ordered);
        assert!(!listing(&listed(&["a", "b", "aa"])).is_ordered);
        assert!(!listing(&listed(&["a", "a"])).is_ordered);
        // Both orders of folders that stores have.
        assert!(listing(&listed(&["a-b/c", "a/b", "a0"])).is_ordered);
        assert!(listing(&listed(&["a/b", "a-b/c", "a0"])).is_ordered);
        assert!(!listing(&listed(&["a-b/c", "a-b/b"])).is_ordered);
        let folders = "<CommonPrefixes><Prefix>b/</Prefix></CommonPrefixes>\
                       <CommonPrefixes><Prefix>a/</Prefix></CommonPrefixes>";
        assert!(!listing(folders).is_ordered);
        let more = "<IsTruncated>true</IsTruncated>";
        assert_eq!(
            listing(&(more.to_owned() + &listed(&["b", "a"]))).next,
            None
        );
    }

    #[test]
    fn restored_objects_are_known() {
        let status = "<RestoreStatus><IsRestoreInProgress>false</IsRestoreInProgress>\
                      <RestoreExpiryDate>2029-12-21T00:00:00.000Z</RestoreExpiryDate></RestoreStatus>";
        for (status, expected) in [(status, true), ("", false)] {
            let mut page = listing(&format!(
                "<Contents><Key>a</Key><StorageClass>GLACIER</StorageClass>{status}</Contents>"
            ));
            let object = page.objects.next().unwrap();
            assert_eq!((object.archived, object.restored), (true, expected));
        }
    }
}
