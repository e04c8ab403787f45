//! Commands about the store: copies, putting them back, and what has to be done after that.

use crate::config::Config;
use crate::server::make_folder;
use anyhow::{Context, Result, bail};
use clock::{Clock, Entropy, SystemClock, SystemEntropy};
use reconcile::controller::LEASE;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use store::{HolderId, Store};
use store_sql::{Look, Options, SqlStore};

/// No installation has handed its lease over so often since its last backup.
const MOST_EPOCHS: u64 = 100_000;

pub(crate) fn options(config: &Config) -> Options {
    Options::new(config.store_url(), Arc::new(SystemClock))
}

/// Copies the embedded store, also while a server uses it.
pub async fn backup(config: &Config, file: &Path) -> Result<()> {
    let look = Look::open(&options(config)).await?;
    Ok(look.backup_to(file).await?)
}

/// Puts a copy back in the place of the embedded store.
pub async fn restore(config: &Config, file: &Path, replace: bool) -> Result<()> {
    make_folder(&config.data).with_context(|| format!("folder {} cannot be made", config.data.display()))?;
    store_sql::restore(&options(config), file, replace)
        .await
        .map_err(|error| match error {
            store_sql::RestoreError::Exists(path) => anyhow::anyhow!("there is a database at {}: --replace gives it up", path.display()),
            other => other.into(),
        })
}

/// Brings the lease's epoch above a number, so that a cluster whose fence is there lets its holder write again.
pub async fn raise_epoch(config: &Config, above: u64) -> Result<u64> {
    let store = SqlStore::open(options(config)).await?;
    let raised = raise(&store, above).await;
    store.close().await;
    raised
}

async fn raise(store: &dyn Store, above: u64) -> Result<u64> {
    let (clock, entropy) = (SystemClock, SystemEntropy);
    let mut first = None;
    loop {
        let holder = HolderId(format!("raise-{:016x}", entropy.next_u64()));
        let lease = store.acquire(LEASE, &holder, Duration::from_secs(5), clock.now()).await?;
        let lease = lease.context("a server has the lease, or had it when the copy was made: stop all of them and wait for 20 seconds")?;
        store.release(&lease).await?;
        if lease.epoch > above {
            return Ok(lease.epoch);
        }
        let begun = *first.get_or_insert(lease.epoch);
        if above.saturating_sub(begun) > MOST_EPOCHS {
            bail!("{above} is too far above {begun}: is it the epoch of the fence?");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::MemStore;

    #[tokio::test]
    async fn the_epoch_is_raised_above_a_number_unless_somebody_has_the_lease() {
        let store = MemStore::default();
        assert_eq!(raise(&store, 7).await.unwrap(), 8);
        assert_eq!(raise(&store, 3).await.unwrap(), 9);
        assert!(raise(&store, u64::MAX).await.is_err());
        let holder = HolderId("server".to_owned());
        store
            .acquire(LEASE, &holder, Duration::from_mins(1), SystemClock.now())
            .await
            .unwrap()
            .unwrap();
        assert!(raise(&store, 20).await.unwrap_err().to_string().contains("has the lease"));
    }
}
