//! The time of day. How long things take is tokio's concern, whose clock tests can pause; this one then goes with it.

use jiff::Timestamp;

/// Tells the time of day.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Clock {
    #[cfg(test)]
    began: Option<(tokio::time::Instant, Timestamp)>,
}

impl Clock {
    /// The time of day.
    pub fn now(self) -> Timestamp {
        #[cfg(test)]
        if let Some((began, time)) = self.began {
            return time + began.elapsed();
        }
        Timestamp::now()
    }

    /// A clock that shows this time now and goes on with tokio's.
    #[cfg(test)]
    pub fn at(time: Timestamp) -> Self {
        Self {
            began: Some((tokio::time::Instant::now(), time)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_clock_of_a_test_can_be_moved() {
        let time: Timestamp = "2024-03-05T23:59:00Z".parse().unwrap();
        let clock = Clock::at(time);
        tokio::time::sleep(Duration::from_secs(90)).await;
        assert_eq!(clock.now().to_string(), "2024-03-06T00:00:30Z");
    }
}
