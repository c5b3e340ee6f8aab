//! How CloudTrail lays out a bucket, and intervals of delivery time.
//!
//! `[prefix/]AWSLogs/[o-ORG/]ACCOUNT/KIND/REGION/YYYY/MM/DD/ACCOUNT_KIND_REGION_YYYYMMDDTHHMMZ_RANDOM.json.gz`, see
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/get-and-view-cloudtrail-log-files.html>. KIND is
//! `CloudTrail` (management and data events), `CloudTrail-Insight`, `CloudTrail-NetworkActivity` or
//! `CloudTrail-Aggregated`; `CloudTrail-Digest` (signatures) and `CloudTrail-Lake` (query results and exports) hold
//! no events.

mod interval;
mod key;
mod names;
mod naming;
mod outside;
mod selection;
mod times;

pub(crate) use interval::{Interval, RelativeInterval};
pub(crate) use key::{Place, account, days_of, digest_end, folder_account, is_digest, region};
pub(crate) use names::{DIGESTS, is_account, is_kind, is_organization, is_region};
pub(crate) use naming::{Naming, is_log_file, naming};
pub(crate) use outside::Outside;
pub(crate) use selection::{Listed, Selection};
pub(crate) use times::delivery_time;
