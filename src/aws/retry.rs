//! The one way in which requests are tried again.
//!
//! | kind of error | what is done |
//! | --- | --- |
//! | the bucket is in another region | the request is sent there, once |
//! | the store wants the bucket in the host's name | the request is sent that way, once |
//! | expired or invalid credentials | they are renewed at once, but only once: after that the error is returned |
//! | throttled, service or network down, clocks that differ | a wait and another try, as often as the policy says |
//! | credentials can't be obtained | they are renewed again and again, as long as the policy says |
//! | all others | the error is returned |

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::error::{Error, Kind};
use super::sessions::{Session, Sessions};
use crate::process::lock;
use crate::stats::Stats;

/// How often, and for how long, a request is tried again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Policy {
    /// Tries of a request that fails for reasons that may pass, besides the SDK's own. None means without end.
    pub tries: Option<u32>,
    /// How long to wait for credentials that can't be obtained at the moment. None means without end.
    pub credentials: Option<Duration>,
    /// Credentials are waited for even if somebody has to do something about them, since nobody may be watching.
    pub waits_for_log_in: bool,
    /// Throttled requests are tried again without end, since others use the same quota.
    pub waits_when_throttled: bool,
}

impl Policy {
    /// While a capture is opened: somebody waits, and is told at once what is wrong.
    pub const OPEN: Self = Self {
        tries: Some(0),
        credentials: Some(Duration::ZERO),
        waits_for_log_in: false,
        waits_when_throttled: false,
    };
    /// For what is read once: some seconds, but minutes for credentials, since everything not yet read would be lost.
    pub const ONCE: Self = Self {
        tries: Some(5),
        credentials: Some(Duration::from_secs(10 * 60)),
        waits_for_log_in: false,
        waits_when_throttled: false,
    };
    /// For what is followed: it continues as soon as the trouble has passed.
    pub const LIVE: Self = Self {
        tries: None,
        credentials: None,
        waits_for_log_in: true,
        waits_when_throttled: true,
    };
}

impl Policy {
    /// Are credentials renewed after an error of this kind?
    fn renews_after(self, kind: Kind) -> bool {
        // While a capture is opened, a refusal is reported at once.
        let is_opening = self.credentials == Some(Duration::ZERO);
        kind == Kind::Expired || kind.is_about_credentials() && !is_opening
    }
}

/// The longest wait between two tries.
const LONGEST: Duration = Duration::from_secs(13);
/// After this many tries in a row, some five seconds besides the SDK's own tries, the log says that something is wrong.
const WORTH_A_LINE: u32 = 5;

/// Trouble that comes and goes is logged once in this time: where others use up the same quota, each request would say so.
const AGAIN: Duration = Duration::from_secs(10 * 60);

/// Trouble that several requests share, and that is logged once.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    stats: Arc<Stats>,
    said: Mutex<Said>,
}

#[derive(Debug, Default)]
struct Said {
    /// The log has it, and not its end.
    is_open: bool,
    last: Option<Instant>,
}

impl Trouble {
    pub fn new(stats: &Arc<Stats>) -> Self {
        Self {
            stats: Arc::clone(stats),
            said: Mutex::default(),
        }
    }

    fn say(&self, error: &Error) {
        let mut said = lock(&self.said);
        if !said.is_open && said.last.is_none_or(|last| last.elapsed() >= AGAIN) {
            said.is_open = true;
            said.last = Some(Instant::now());
            self.stats
                .warn(format!("{error}; it is tried again and again"));
        }
    }

    /// A request has succeeded.
    fn is_over(&self, retry: &Retry) {
        if retry.tries >= WORTH_A_LINE && std::mem::take(&mut lock(&self.said).is_open) {
            self.stats.note(format!("{}: it answers again", retry.what));
        }
    }
}

/// The failures of one request, or of one download, since a part of it last succeeded.
#[derive(Debug)]
pub(crate) struct Retry {
    policy: Policy,
    /// The failed tries that count.
    tries: u32,
    /// When the first one failed.
    began: Option<Instant>,
    /// Credentials were renewed since the last wait.
    renewed: bool,
    /// It is sent to another region now.
    moved: bool,
    /// It is sent with the bucket's name in another place now, path or host.
    turned: bool,
    /// What was being done when it failed, for the log.
    what: String,
}

impl Retry {
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            tries: 0,
            began: None,
            renewed: false,
            moved: false,
            turned: false,
            what: String::new(),
        }
    }

    /// Something has arrived, so earlier failures no longer count.
    pub fn succeeded(&mut self, trouble: &Trouble) {
        trouble.is_over(self);
        *self = Self {
            moved: self.moved,
            turned: self.turned,
            ..Self::new(self.policy)
        };
    }

    /// Get ready for another try: wait, renew credentials, or ask elsewhere.
    ///
    /// # Errors
    /// The error itself, with the number of tries, if another try does not help or there were enough of them.
    pub async fn after<C>(
        &mut self,
        mut error: Error,
        sessions: &Sessions<C>,
        session: &Session<C>,
        trouble: &Trouble,
    ) -> Result<(), Error> {
        if !self.moved
            && let Some(region) = &error.region
            && sessions.relocate(session, region)
        {
            self.moved = true;
            return Ok(());
        }
        if !self.turned && error.wants_other_style() && sessions.turn_style(session) {
            self.turned = true;
            return Ok(());
        }
        let began = *self.began.get_or_insert_with(Instant::now);
        if self.policy.renews_after(error.kind) && !self.renewed {
            self.renewed = true;
            // If there are no new ones, the error of the next request says why.
            _ = sessions.renew(session).await;
            if error.kind == Kind::Expired || error.kind == Kind::CredentialsInvalid {
                return Ok(());
            }
        }
        if !self.allows(error.kind, began) {
            error.tries = self.tries;
            error.elapsed = began.elapsed();
            return Err(error);
        }
        if self.tries >= WORTH_A_LINE {
            self.what = error.doing();
            trouble.say(&error);
        }
        trouble.stats.retries.add(1);
        self.wait().await;
        self.renewed = false;
        Ok(())
    }

    /// Does the policy allow another try after an error of this kind?
    fn allows(&self, kind: Kind, began: Instant) -> bool {
        let Policy {
            tries,
            credentials,
            waits_for_log_in,
            waits_when_throttled,
        } = self.policy;
        match kind {
            Kind::Throttled if waits_when_throttled => true,
            kind if kind.is_transient() => tries.is_none_or(|most| self.tries < most),
            Kind::CredentialsUnavailable => {
                credentials.is_none_or(|longest| began.elapsed() < longest)
            }
            Kind::CredentialsMissing => waits_for_log_in,
            _ => false,
        }
    }

    /// Wait longer each time, by a random factor, so that requests that failed together are not repeated together.
    pub async fn wait(&mut self) {
        let longest = LONGEST.min(Duration::from_millis(200) * 2u32.pow(self.tries.min(10)));
        sleep(longest.mul_f64(0.5 + 0.5 * fastrand::f64())).await;
        self.tries += 1;
    }
}

impl<C> Sessions<C> {
    /// Send a request, and send it again as long as `retry` allows.
    pub async fn ask<T, F>(
        &self,
        retry: &mut Retry,
        trouble: &Trouble,
        request: impl Fn(Arc<Session<C>>) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        loop {
            let session = self.current();
            match request(Arc::clone(&session)).await {
                Ok(answer) => {
                    retry.succeeded(trouble);
                    return Ok(answer);
                }
                Err(error) => retry.after(error, self, &session, trouble).await?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::operation::Operation;
    use super::*;

    const KINDS: [Kind; 15] = [
        Kind::Transient,
        Kind::Throttled,
        Kind::Clock,
        Kind::CredentialsUnavailable,
        Kind::CredentialsMissing,
        Kind::Expired,
        Kind::CredentialsInvalid,
        Kind::Denied,
        Kind::Gone,
        Kind::Archived,
        Kind::Elsewhere,
        Kind::PageTokenInvalid,
        Kind::ParameterInvalid,
        Kind::Unsupported,
        Kind::Other,
    ];

    #[test]
    fn while_a_capture_opens_only_expired_credentials_are_renewed() {
        let several_tries = Policy {
            tries: Some(3),
            ..Policy::OPEN
        };
        for policy in [Policy::OPEN, several_tries] {
            let renewed = KINDS.into_iter().filter(|kind| policy.renews_after(*kind));
            assert_eq!(renewed.collect::<Vec<_>>(), [Kind::Expired]);
        }
        assert!(Policy::ONCE.renews_after(Kind::CredentialsInvalid));
        assert!(!Policy::LIVE.renews_after(Kind::Denied));
    }

    /// Which kinds of errors a policy allows another try for, after this many tries and this much time.
    async fn allowed(policy: Policy, tries: u32, time: Duration) -> Vec<Kind> {
        let began = Instant::now();
        tokio::time::advance(time).await;
        let retry = Retry {
            tries,
            ..Retry::new(policy)
        };
        let mut kinds = KINDS.to_vec();
        kinds.retain(|kind| retry.allows(*kind, began));
        kinds
    }

    #[tokio::test(start_paused = true)]
    async fn while_a_capture_opens_nothing_is_tried_again() {
        assert_eq!(allowed(Policy::OPEN, 0, Duration::ZERO).await, []);
    }

    #[tokio::test(start_paused = true)]
    async fn reading_once_tries_some_times_and_waits_ten_minutes_for_credentials() {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        let all = &KINDS[..4];
        assert_eq!(allowed(Policy::ONCE, 0, Duration::ZERO).await, all);
        assert_eq!(allowed(Policy::ONCE, 4, minutes(9)).await, all);
        let credentials = [Kind::CredentialsUnavailable];
        assert_eq!(allowed(Policy::ONCE, 5, minutes(9)).await, credentials);
        assert_eq!(allowed(Policy::ONCE, 5, minutes(10)).await, []);
    }

    #[tokio::test(start_paused = true)]
    async fn following_waits_without_end_also_for_a_log_in() {
        let month = Duration::from_secs(30 * 24 * 3600);
        let all = &KINDS[..5];
        assert_eq!(allowed(Policy::LIVE, 0, Duration::ZERO).await, all);
        assert_eq!(allowed(Policy::LIVE, 1_000_000, month).await, all);
    }

    #[tokio::test(start_paused = true)]
    async fn waits_double_up_to_the_longest() {
        let mut retry = Retry::new(Policy::LIVE);
        for tries in 0..20 {
            let most = LONGEST.min(Duration::from_millis(200u64 << tries));
            let before = Instant::now();
            retry.wait().await;
            let waited = before.elapsed();
            // A timer rounds up to a millisecond.
            let most_of_timer = most + Duration::from_millis(1);
            assert!(
                (most / 2..=most_of_timer).contains(&waited),
                "{tries}: {waited:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn trouble_that_comes_again_at_once_is_not_told_again() {
        let stats = Arc::<Stats>::default();
        let trouble = Trouble::new(&stats);
        let reason = "Rate exceeded".to_owned();
        let error = Error::new(Kind::Throttled, Operation::LookUp, "us-east-1", reason);
        let mut lines = 0;
        for _ in 0..60 {
            let retry = Retry {
                tries: WORTH_A_LINE,
                ..Retry::new(Policy::LIVE)
            };
            trouble.say(&error);
            trouble.is_over(&retry);
            lines += stats.take_notes().len();
            tokio::time::advance(Duration::from_secs(30)).await;
        }
        // That it began and ended, in three times ten minutes.
        assert_eq!(lines, 6);
    }
}
