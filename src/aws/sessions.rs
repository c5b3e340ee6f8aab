//! Credentials of one capture, found anew when they expire.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;

use super::Access;
use crate::settings;

/// The credentials in use, shared by all clients of a capture.
pub(crate) struct Login {
    current: Mutex<(Access, u32)>,
    /// To find credentials anew.
    settings: settings::Aws,
    renewing: tokio::sync::Mutex<()>,
}

impl Login {
    /// Find credentials. Nothing is sent yet.
    pub async fn load(settings: &settings::Aws) -> Result<Self> {
        Ok(Self {
            current: Mutex::new((Access::load(settings).await?, 0)),
            settings: settings.clone(),
            renewing: tokio::sync::Mutex::default(),
        })
    }

    /// The credentials, and how often they were renewed.
    pub fn current(&self) -> (Access, u32) {
        self.current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How often they were renewed.
    pub fn generation(&self) -> u32 {
        self.current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .1
    }

    /// Find credentials anew, where nobody has done so since this generation: a user may have logged in again.
    pub async fn renew(&self, generation: u32) -> Result<()> {
        let _one_at_a_time = self.renewing.lock().await;
        if self.generation() == generation {
            let access = Access::load(&self.settings).await?;
            *self.current.lock().unwrap_or_else(PoisonError::into_inner) = (access, generation + 1);
        }
        Ok(())
    }
}

/// A client in a region with the credentials it was made with.
#[derive(Clone)]
pub(crate) struct Session<C> {
    pub client: C,
    pub access: Access,
    region: String,
    /// Counts renewals.
    generation: u32,
}

/// Makes a client for a region.
type Connect<C> = Box<dyn Fn(&Access, &str) -> C + Send + Sync>;

/// Sessions one after the other, with the credentials of the day.
pub(crate) struct Sessions<C> {
    login: Arc<Login>,
    connect: Connect<C>,
    current: Mutex<Session<C>>,
}

impl<C: Clone> Sessions<C> {
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
    pub fn current(&self) -> Session<C> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.generation != self.login.generation() {
            *current = begin(&self.login, &current.region, &self.connect);
        }
        current.clone()
    }

    /// Find credentials anew, where nobody has done so since this session began.
    pub async fn renew(&self, expired: &Session<C>) -> Result<()> {
        self.login.renew(expired.generation).await
    }

    /// Ask in another region from now on. False where that was done already.
    pub fn relocate(&self, asked: &Session<C>, region: &str) -> bool {
        if asked.region == region {
            return false;
        }
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        *current = begin(&self.login, region, &self.connect);
        true
    }
}

fn begin<C>(login: &Login, region: &str, connect: &Connect<C>) -> Session<C> {
    let (access, generation) = login.current();
    Session {
        client: connect(&access, region),
        access,
        region: region.to_owned(),
        generation,
    }
}
