//! The certificate that the listener shows, read from files and read again when they change.

mod validity;

use clock::Clock;
use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio_rustls::TlsAcceptor;

/// How often the files are looked at. They are small, and reading them tells more than their times do: a Kubernetes secret
/// is swapped through a symbolic link two levels up, which no watch on the file itself sees.
pub const LOOK: Duration = Duration::from_secs(10);

/// Where certificate chain and private key are, both in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate first, then those that lead to its root.
    pub certificate: PathBuf,
    /// PKCS#8, PKCS#1 or SEC1, without a passphrase.
    pub key: PathBuf,
}

/// Why certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{} cannot be read", .0.display())]
    Unreadable(PathBuf, #[source] std::io::Error),
    #[error("{} holds no certificate in PEM", .0.display())]
    NoCertificate(PathBuf),
    /// Says nothing of what the file holds.
    #[error("{} holds no private key in PEM", .0.display())]
    NoKey(PathBuf),
    #[error("the key does not belong to the certificate, or is of no use: {0}")]
    Unusable(rustls::Error),
    #[error("the certificate says not how long it is good")]
    NoEnd,
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

/// What reading the files again came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// The files are as they were when they were read last, whether they could be used or not.
    Same,
    Done,
    /// They changed and cannot be used: what was there before stays.
    Failed,
}

/// Told of certificates; it must not wait.
pub trait TlsObserver: Send + Sync {
    /// A certificate is in use from now on, good until `end`.
    fn in_use(&self, end: Timestamp);

    /// New files could not be used.
    fn failed(&self);
}

/// TLS 1.2 and 1.3 with whatever certificate is the newest.
pub struct Tls {
    files: TlsFiles,
    provider: Arc<CryptoProvider>,
    shown: Arc<Shown>,
    acceptor: TlsAcceptor,
    /// Of the files as they were read last.
    seen: Mutex<[u8; 32]>,
    observer: Arc<dyn TlsObserver>,
}

#[derive(Debug)]
struct Shown(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// The content of both files.
struct Read {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Read {
    fn of(files: &TlsFiles) -> Result<Self, TlsError> {
        let read = |path: &Path| std::fs::read(path).map_err(|error| TlsError::Unreadable(path.to_owned(), error));
        Ok(Self {
            certificate: read(&files.certificate)?,
            key: read(&files.key)?,
        })
    }

    fn digest(&self) -> [u8; 32] {
        let length = u64::try_from(self.certificate.len()).unwrap_or(u64::MAX);
        let hash = Sha256::new().chain_update(length.to_be_bytes());
        hash.chain_update(&self.certificate).chain_update(&self.key).finalize().into()
    }

    /// The pair, and the end of its certificate.
    fn pair(&self, files: &TlsFiles, provider: &CryptoProvider) -> Result<(CertifiedKey, Timestamp), TlsError> {
        let none = || TlsError::NoCertificate(files.certificate.clone());
        let chain = CertificateDer::pem_slice_iter(&self.certificate).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|_| none())?;
        let own = chain.first().ok_or_else(none)?;
        let end = validity::end(own).ok_or(TlsError::NoEnd)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| TlsError::NoKey(files.key.clone()))?;
        let pair = CertifiedKey::from_der(chain, key, provider).map_err(TlsError::Unusable)?;
        Ok((pair, end))
    }
}

impl Tls {
    /// Reads the files, which have to be right.
    pub fn load(files: TlsFiles, observer: Arc<dyn TlsObserver>) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let read = Read::of(&files)?;
        let (pair, end) = read.pair(&files, &provider)?;
        let shown = Arc::new(Shown(RwLock::new(Arc::new(pair))));
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&shown) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        observer.in_use(end);
        Ok(Self {
            seen: Mutex::new(read.digest()),
            files,
            provider,
            shown,
            acceptor: TlsAcceptor::from(Arc::new(config)),
            observer,
        })
    }

    pub(crate) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }

    /// Reads the files again if they are not as they were. What cannot be used is told once, and not taken.
    pub fn reload(&self) -> Reload {
        let read = match Read::of(&self.files) {
            Ok(read) => read,
            // Nothing that is there can be compared, so a file that is away is told as long as it is.
            Err(error) => return self.refuse(&error),
        };
        let digest = read.digest();
        if std::mem::replace(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner), digest) == digest {
            return Reload::Same;
        }
        match read.pair(&self.files, &self.provider) {
            Ok((pair, end)) => {
                *self.shown.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(pair);
                self.observer.in_use(end);
                tracing::info!(certificate = %self.files.certificate.display(), expires_at = %end, "a new certificate is in use");
                Reload::Done
            }
            Err(error) => self.refuse(&error),
        }
    }

    fn refuse(&self, error: &TlsError) -> Reload {
        self.observer.failed();
        tracing::error!(%error, "the new certificate is of no use, the one before stays");
        Reload::Failed
    }

    /// Looks at the files from time to time, for as long as it is polled.
    pub async fn follow(&self, clock: &dyn Clock) {
        loop {
            let next = clock.now().saturating_add(LOOK).unwrap_or(Timestamp::MAX);
            clock.sleep_until(next).await;
            self.reload();
        }
    }
}

#[cfg(test)]
mod tests;
