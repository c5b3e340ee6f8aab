//! Credentials of one capture, found anew when they expire.

use std::sync::{Mutex, PoisonError};

use anyhow::Result;

use super::Access;
use crate::config;

/// The credentials in use, shared by all clients of a capture.
pub(crate) struct Login {
    current: Mutex<(Access, u32)>,
    /// To find credentials anew.
    config: config::Aws,
    renewing: tokio::sync::Mutex<()>,
}

impl Login {
    /// Find credentials. Nothing is sent yet.
    pub async fn load(config: &config::Aws) -> Result<Self> {
        Ok(Self {
            current: Mutex::new((Access::load(config).await?, 0)),
            config: config.clone(),
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
            let access = Access::load(&self.config).await?;
            *self.current.lock().unwrap_or_else(PoisonError::into_inner) = (access, generation + 1);
        }
        Ok(())
    }
}
