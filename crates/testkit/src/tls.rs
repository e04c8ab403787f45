//! Certificates for tests.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// Signs certificates for this machine.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// Certificate and private key, both in PEM.
#[derive(Debug, Clone)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    /// # Panics
    ///
    /// If no key can be made.
    #[expect(clippy::new_without_default, reason = "it makes a new key each time")]
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a root"))
    }

    /// A certificate for `localhost` and 127.0.0.1 that is good until the beginning of a year.
    ///
    /// # Panics
    ///
    /// If no key can be made.
    pub fn issue(&self, until: i32) -> Pair {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).expect("valid names");
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().expect("a key");
        Pair {
            certificate: params.signed_by(&key, &self.0).expect("a certificate").pem(),
            key: key.serialize_pem(),
        }
    }

    /// The root, in PEM.
    pub fn root(&self) -> String {
        self.0.pem()
    }

    /// A client that trusts this root and nobody else, on connections of its own each time.
    ///
    /// # Panics
    ///
    /// If the client cannot be made.
    pub fn client(&self, configure: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder) -> reqwest::Client {
        let root = reqwest::Certificate::from_pem(self.root().as_bytes()).expect("a certificate");
        let builder = reqwest::Client::builder()
            .tls_certs_only([root])
            .tls_info(true)
            .pool_max_idle_per_host(0);
        configure(builder).build().expect("a client")
    }
}
