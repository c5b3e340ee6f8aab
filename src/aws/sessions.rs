//! Credentials of one capture, found anew when they expire, and clients that use those of the day.

use std::sync::{Arc, Mutex};

use anyhow::Result;

use super::access::Access;
use super::files::Files;
use super::http::Http;
use crate::clock::Clock;
use crate::process::lock;
use crate::settings;

/// What a capture's requests go by, beside its settings.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    pub clock: Clock,
    /// In place of the network.
    pub http: Option<Http>,
}

/// The credentials in use, shared by all clients of a capture.
#[derive(Debug)]
pub(crate) struct Login {
    current: Mutex<(Arc<Access>, u32)>,
    /// To find credentials anew.
    settings: settings::Aws,
    clock: Clock,
    http: Http,
    renewing: tokio::sync::Mutex<()>,
}

impl Login {
    /// Find credentials. Nothing is sent yet.
    pub async fn load(settings: &settings::Aws, environment: &Environment) -> Result<Self> {
        let files = Files::read(settings)?;
        let http = match &environment.http {
            Some(http) => http.clone(),
            None => Http::new(&files)?,
        };
        let clock = environment.clock;
        let access = Access::load(settings, &files, &http, clock).await?;
        Ok(Self {
            current: Mutex::new((Arc::new(access), 0)),
            settings: settings.clone(),
            clock,
            http,
            renewing: tokio::sync::Mutex::default(),
        })
    }

    /// The credentials, and how often they were renewed.
    pub fn current(&self) -> (Arc<Access>, u32) {
        lock(&self.current).clone()
    }

    /// The time of day.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Find credentials anew, where nobody has done so since this generation: a user may have logged in again.
    async fn renew(&self, generation: u32) -> Result<()> {
        let _one_at_a_time = self.renewing.lock().await;
        let (before, current) = self.current();
        if current == generation {
            let files = Files::read(&self.settings)?;
            let access = Access::load(&self.settings, &files, &self.http, self.clock).await?;
            access.follow(&before);
            *lock(&self.current) = (Arc::new(access), generation + 1);
        }
        Ok(())
    }
}

/// A client in a region with the credentials that it was made with.
#[derive(Debug)]
pub(crate) struct Session<C> {
    pub client: C,
    pub access: Arc<Access>,
    pub region: String,
    /// Counts renewals.
    generation: u32,
    /// It names buckets the other way than the settings say.
    turned: bool,
}

/// Makes a client for a region.
type Connect<C> = Box<dyn Fn(&Access, &str) -> C + Send + Sync>;

/// Sessions one after the other, with the credentials of the day.
pub(crate) struct Sessions<C> {
    login: Arc<Login>,
    connect: Connect<C>,
    current: Mutex<Arc<Session<C>>>,
}

impl<C> Sessions<C> {
    /// `connect` makes a client for a region.
    pub fn new(
        login: Arc<Login>,
        region: &str,
        connect: impl Fn(&Access, &str) -> C + Send + Sync + 'static,
    ) -> Self {
        let connect: Connect<C> = Box::new(connect);
        Self {
            current: Mutex::new(begin(&login, region, &connect)),
            login,
            connect,
        }
    }

    /// What to ask with now.
    pub fn current(&self) -> Arc<Session<C>> {
        let mut current = lock(&self.current);
        if current.generation != self.login.current().1 {
            *current = begin(&self.login, &current.region, &self.connect);
        }
        Arc::clone(&current)
    }

    /// Find credentials anew, where nobody has done so since this session began.
    pub async fn renew(&self, session: &Session<C>) -> Result<()> {
        self.login.renew(session.generation).await
    }

    /// Ask in another region from now on. False where it was asked there already.
    pub fn relocate(&self, asked: &Session<C>, region: &str) -> bool {
        if asked.region == region {
            return false;
        }
        let mut current = lock(&self.current);
        *current = begin(&self.login, region, &self.connect);
        true
    }

    /// Name buckets the other way from now on. False where that was tried already.
    pub fn turn_style(&self, asked: &Session<C>) -> bool {
        let mut current = lock(&self.current);
        // Somebody else has done so.
        if !std::ptr::eq(&raw const **current, asked) {
            return true;
        }
        // Another client may have turned the style that all share, but not this one's.
        if asked.turned || !asked.access.turn_style() {
            return false;
        }
        *current = begin(&self.login, &asked.region, &self.connect);
        true
    }
}

fn begin<C>(login: &Login, region: &str, connect: &Connect<C>) -> Arc<Session<C>> {
    let (access, generation) = login.current();
    Arc::new(Session {
        turned: access.is_turned(),
        client: connect(&access, region),
        access,
        region: region.to_owned(),
        generation,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::memory::Aws;
    use crate::clock::Clock;

    /// A queue may name many buckets of one store.
    #[tokio::test]
    async fn every_client_changes_the_style_of_urls_once() {
        let clock = Clock::at("2024-03-05T12:00:00Z".parse().unwrap());
        let aws = Aws::new(clock, |_, _| None);
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Aws::settings(folder.path()).aws;
        settings.endpoint = Some("http://store.test".to_owned());
        let login = Login::load(&settings, &aws.environment()).await;
        let login = Arc::new(login.unwrap());
        let clients =
            ["one", "two"].map(|_| Sessions::new(Arc::clone(&login), "us-east-1", Access::s3));
        let refused = clients.each_ref().map(Sessions::current);
        for (client, refused) in clients.iter().zip(&refused) {
            assert!(client.turn_style(refused));
            assert!(client.turn_style(refused), "somebody else has done so");
            assert!(!client.turn_style(&client.current()), "once");
        }
    }
}
