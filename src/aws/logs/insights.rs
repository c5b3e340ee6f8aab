//! Queries of Logs Insights: what log groups of class Infrequent Access can be read by.

use std::sync::Arc;

use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::types::{QueryStatus, ResultField};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::{Group, LogsRegion};
use crate::aws::error::Error;
use crate::aws::operation::Operation;
use crate::aws::sessions::Session;

/// Rows of a page of results.
const PAGE: i32 = 1_000;

/// What is known of a query.
#[derive(Debug)]
pub(crate) enum Answer {
    /// It is not over.
    Running,
    /// Some rows, and the token of those after them.
    Rows(Vec<Row>, Option<String>),
    /// It has ended without result: AWS's word for that.
    Failed(String),
}

/// A log event.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Row {
    /// In milliseconds since the epoch.
    pub time: Option<i64>,
    pub message: String,
}

impl LogsRegion {
    /// Begin to query a group's events of this time, in seconds since the epoch, both included: the oldest first, so many
    /// at most. Gives the query's ID.
    pub async fn start_query(
        &self,
        group: &Group,
        from: i64,
        to: i64,
        most: usize,
    ) -> Result<String, Error> {
        let text = format!("fields @timestamp, @message | sort @timestamp asc | limit {most}");
        let text = &text;
        let started = self
            .ask(self.policy, |session| async move {
                let request = session.client.start_query();
                let request = request
                    .log_group_identifiers(group.identifier())
                    .start_time(from)
                    .end_time(to)
                    .query_string(text);
                let answer = request.send().await;
                answer.map_err(|error| {
                    let shown = group.shown();
                    let error = Error::of(&session.access, Operation::StartQuery, &shown, &error);
                    error.on(&group.resource())
                })
            })
            .await?;
        Ok(started.query_id.unwrap_or_default())
    }

    /// What a query has found so far, behind a token.
    pub async fn results(
        &self,
        group: &Group,
        query: &str,
        token: Option<&str>,
    ) -> Result<Answer, Error> {
        let answer = self
            .ask(self.policy, |session| async move {
                let request = session.client.get_query_results();
                let request = request
                    .query_id(query)
                    .max_items(PAGE)
                    .set_next_token(token.map(str::to_owned));
                request.send().await.map_err(|error| {
                    let shown = group.shown();
                    Error::of(&session.access, Operation::GetQueryResults, &shown, &error)
                })
            })
            .await?;
        Ok(match answer.status {
            Some(QueryStatus::Complete) => {
                self.stats.log_pages.add(1);
                let rows = answer.results.unwrap_or_default().into_iter().map(row);
                let next = answer.next_token.filter(|token| !token.is_empty());
                Answer::Rows(rows.collect(), next)
            }
            Some(QueryStatus::Scheduled | QueryStatus::Running) | None => Answer::Running,
            Some(status) => Answer::Failed(status.as_str().to_owned()),
        })
    }

    /// End a query, which costs as long as it runs.
    pub async fn stop_query(&self, query: &str) {
        let session: Arc<Session<Client>> = self.sessions.current();
        // It ends by itself, too.
        _ = session.client.stop_query().query_id(query).send().await;
    }
}

fn row(fields: Vec<ResultField>) -> Row {
    let mut row = Row::default();
    for field in fields {
        let value = field.value.unwrap_or_default();
        match field.field.as_deref() {
            Some("@timestamp") => row.time = milliseconds(&value),
            Some("@message") => row.message = value,
            _ => {}
        }
    }
    row
}

/// `2024-03-05 12:00:00.123`, in UTC.
fn milliseconds(text: &str) -> Option<i64> {
    let time: DateTime = text.parse().ok()?;
    let time = time.to_zoned(TimeZone::UTC).ok()?;
    Some(time.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_results_are_read() {
        for (text, expected) in [
            ("2024-03-05 12:00:00.123", Some(1_709_640_000_123)),
            ("1970-01-01 00:00:00.000", Some(0)),
            ("1709640000123", None),
            ("", None),
        ] {
            assert_eq!(milliseconds(text), expected, "{text:?}");
        }
    }
}
