use super::*;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use std::fs;

#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl TlsObserver for Told {
    fn in_use(&self, end: Timestamp) {
        self.0.lock().unwrap().push(end.to_string());
    }

    fn failed(&self) {
        self.0.lock().unwrap().push("failed".to_owned());
    }
}

impl Told {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Certificate and key, good until the beginning of a year.
fn pair(year: i32) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_after = date_time_ymd(year, 1, 1);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

struct Fixture {
    folder: tempfile::TempDir,
    told: Arc<Told>,
}

impl Fixture {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            told: Arc::default(),
        }
    }

    fn files(&self) -> TlsFiles {
        TlsFiles {
            certificate: self.folder.path().join("tls.crt"),
            key: self.folder.path().join("tls.key"),
        }
    }

    fn write(&self, (certificate, key): &(String, String)) {
        fs::write(self.files().certificate, certificate).unwrap();
        fs::write(self.files().key, key).unwrap();
    }

    fn load(&self) -> Result<Tls, TlsError> {
        Tls::load(self.files(), Arc::clone(&self.told) as Arc<dyn TlsObserver>)
    }
}

fn shown(tls: &Tls) -> Vec<u8> {
    tls.shown.0.read().unwrap().cert[0].to_vec()
}

#[test]
fn a_new_pair_is_taken_and_a_broken_one_is_not() {
    let fixture = Fixture::new();
    let (first, second) = (pair(2040), pair(2060));
    fixture.write(&first);
    let tls = fixture.load().unwrap();
    assert_eq!(fixture.told.take(), ["2040-01-01T00:00:00Z"]);
    let before = shown(&tls);
    assert_eq!(tls.reload(), Reload::Same);
    // Half of the change: the key of another certificate.
    fs::write(fixture.files().certificate, &second.0).unwrap();
    assert_eq!((tls.reload(), tls.reload()), (Reload::Failed, Reload::Same));
    assert_eq!(shown(&tls), before);
    for text in ["", "rubbish", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        fs::write(fixture.files().certificate, text).unwrap();
        assert_eq!((tls.reload(), shown(&tls) == before), (Reload::Failed, true), "{text:?}");
    }
    fs::remove_file(fixture.files().key).unwrap();
    assert_eq!((tls.reload(), shown(&tls) == before), (Reload::Failed, true));
    assert_eq!(fixture.told.take().iter().filter(|told| *told != "failed").count(), 0);
    fixture.write(&second);
    assert_eq!(tls.reload(), Reload::Done);
    assert!(shown(&tls) != before);
    assert_eq!(fixture.told.take(), ["2060-01-01T00:00:00Z"]);
}

#[test]
fn a_swap_of_the_folder_behind_a_link_is_seen() {
    // As the kubelet mounts a secret: tls.crt -> ..data/tls.crt, ..data -> ..<time>.
    let fixture = Fixture::new();
    let root = fixture.folder.path();
    let link = |to: &str, from: &str| std::os::unix::fs::symlink(to, root.join(from)).unwrap();
    for (folder, year) in [("..1", 2040), ("..2", 2041)] {
        let (certificate, key) = pair(year);
        fs::create_dir(root.join(folder)).unwrap();
        fs::write(root.join(folder).join("tls.crt"), certificate).unwrap();
        fs::write(root.join(folder).join("tls.key"), key).unwrap();
    }
    link("..1", "..data");
    link("..data/tls.crt", "tls.crt");
    link("..data/tls.key", "tls.key");
    let tls = fixture.load().unwrap();
    link("..2", "..data_tmp");
    fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    assert_eq!(tls.reload(), Reload::Done);
    assert_eq!(fixture.told.take(), ["2040-01-01T00:00:00Z", "2041-01-01T00:00:00Z"]);
}

#[test]
fn what_is_wrong_at_the_start_is_told_without_the_key() {
    let fixture = Fixture::new();
    assert!(matches!(fixture.load(), Err(TlsError::Unreadable(..))));
    let (certificate, key) = pair(2040);
    fixture.write(&(String::new(), key.clone()));
    assert!(matches!(fixture.load(), Err(TlsError::NoCertificate(_))));
    fixture.write(&(certificate.clone(), "secret".to_owned()));
    let error = fixture.load().err().unwrap();
    assert!(
        matches!(error, TlsError::NoKey(_)) && !error.to_string().contains("secret"),
        "{error}"
    );
    fixture.write(&(certificate, pair(2040).1));
    assert!(matches!(fixture.load(), Err(TlsError::Unusable(_))));
}

#[test]
fn a_damaged_certificate_has_no_end() {
    let key = KeyPair::generate().unwrap();
    let der = CertificateParams::new(vec!["x".to_owned()]).unwrap().self_signed(&key).unwrap();
    let der = der.der();
    assert!(validity::end(der).is_some());
    for length in 0..der.len() {
        assert!(validity::end(&der[..length]).is_none(), "{length}");
    }
}
