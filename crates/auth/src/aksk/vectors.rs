//! The published signatures of contract README §6.2 and clients §1.

use crate::aksk::canonical::{Parts, canonical_request};
use crate::aksk::sign::{Payload, PlainRequest, Signer};
use crate::aksk::verify::Claim;
use crate::authenticator::{AkSkAuthenticator, Authenticator, DEFAULT_SKEW};
use crate::request::{BodyDigest, RequestView};
use crate::tests::{access_key, at, key_id, knowing, temporary_key};
use jiff::Timestamp;
use secrecy::SecretString;
use std::sync::Arc;

const P: &str = "6f5da086876d4cd084d36f8bd3346036";
const HOST: (&str, &str) = ("Host", "pools.example.test");
const JSON: (&str, &str) = ("Content-Type", "application/json");
const MERGE_PATCH: (&str, &str) = ("Content-Type", "application/merge-patch+json");
const PROJECT: (&str, &str) = ("X-Project-Id", P);
const SDK_AGENT: (&str, &str) = ("User-Agent", "huaweicloud-usdk-python/3.0");

struct Vector {
    keys: (&'static str, &'static str),
    security_token: Option<&'static str>,
    derived_for: Option<(&'static str, &'static str)>,
    payload: Payload,
    date: &'static str,
    method: &'static str,
    path: String,
    query: &'static str,
    /// Those that are signed, without what signing adds.
    headers: Vec<(&'static str, &'static str)>,
    body: &'static [u8],
    signed: &'static str,
    canonical_sha256: &'static str,
    signature: &'static str,
}

impl Default for Vector {
    fn default() -> Self {
        Self {
            keys: ("AKIDEXAMPLE", "wJalrXUtnFEMI/EXAMPLEKEY"),
            security_token: None,
            derived_for: None,
            payload: Payload::Hashed,
            date: "20241024T124243Z",
            method: "GET",
            path: format!("/v2/{P}/pools"),
            query: "",
            headers: vec![],
            body: b"",
            signed: "",
            canonical_sha256: "",
            signature: "",
        }
    }
}

impl Vector {
    fn now(&self) -> Timestamp {
        match self.date {
            "20241024T124243Z" => at("2024-10-24T12:42:43Z"),
            "20261121T023112Z" => at("2026-11-21T02:31:12Z"),
            other => panic!("{other}"),
        }
    }

    /// The request with the headers that the document shows, built without [`Signer`].
    fn sent_headers(&self) -> Vec<(String, String)> {
        let mut headers: Vec<(String, String)> = self.headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let mut add = |name: &str, value: String| headers.push((name.to_owned(), value));
        add("X-Sdk-Date", self.date.to_owned());
        if let Some(token) = self.security_token {
            add("X-Security-Token", token.to_owned());
        }
        match self.payload {
            Payload::Hashed => {}
            Payload::Unsigned => add("X-Sdk-Content-Sha256", "UNSIGNED-PAYLOAD".to_owned()),
            Payload::Declared => panic!("no vector declares its hash"),
        }
        add("Authorization", self.authorization());
        headers
    }

    fn authorization(&self) -> String {
        let (id, (signed, signature)) = (self.keys.0, (self.signed, self.signature));
        match self.derived_for {
            None => format!("SDK-HMAC-SHA256 Access={id}, SignedHeaders={signed}, Signature={signature}"),
            Some((region, service)) => {
                let day = &self.date[..8];
                format!("V11-HMAC-SHA256 Credential={id}/{day}/{region}/{service}, SignedHeaders={signed}, Signature={signature}")
            }
        }
    }

    fn signer(&self) -> Signer {
        let mut signer = Signer::new(key_id(self.keys.0), SecretString::from(self.keys.1)).with_payload(self.payload);
        if let Some(token) = self.security_token {
            signer = signer.with_security_token(SecretString::from(token));
        }
        if let Some((region, service)) = self.derived_for {
            signer = signer.derived_for(region, service);
        }
        signer
    }

    fn check(&self) {
        let headers = self.sent_headers();
        let request = RequestView {
            method: self.method,
            path: &self.path,
            query: self.query,
            headers: &headers,
            body: BodyDigest::of(self.body),
            now: self.now(),
        };
        let claim = Claim::read(&request, DEFAULT_SKEW).unwrap().unwrap();
        assert_eq!(claim.canonical_sha256(), self.canonical_sha256);
        assert!(claim.is_signed_with(&SecretString::from(self.keys.1)));
        assert!(!claim.is_signed_with(&SecretString::from("another secret")));

        let key = match self.security_token {
            Some(token) => temporary_key(self.keys.0, self.keys.1, token),
            None => access_key(self.keys.0, self.keys.1),
        };
        let expected = key.principal.clone();
        let authenticator = AkSkAuthenticator::new(Arc::new(knowing([key])), DEFAULT_SKEW);
        assert_eq!(authenticator.authenticate(&request), Ok(Some(expected)));

        let signable: Vec<(&str, &[u8])> = self.headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let plain = PlainRequest {
            method: self.method,
            path: &self.path,
            query: self.query,
            headers: &signable,
            body: self.body,
        };
        let added = self.signer().sign(&plain, self.now());
        assert_eq!(added.last(), Some(&("authorization", self.authorization())));
        assert!(added.contains(&("x-sdk-date", self.date.to_owned())));
    }
}

// README §6.2

fn readme() -> Vector {
    Vector {
        keys: ("AKTEST", "SKTEST"),
        headers: vec![JSON, HOST, PROJECT],
        signed: "content-type;host;x-project-id;x-sdk-date",
        ..Vector::default()
    }
}

#[test]
fn readme_get_with_a_query() {
    Vector {
        query: "labelSelector=os.modelarts%2Fname%3Dpool-ae01&workspaceId=0",
        canonical_sha256: "239f5aaecc8855c3630625be1a93666e23b7d382428f2d413ff37cdf9820b0f4",
        signature: "6772fecb67073729b32fb693a87b8e0a0b28c05daf4a4b3ed43fbdb8ba62e692",
        ..readme()
    }
    .check();
}

#[test]
fn readme_patch_with_a_body() {
    Vector {
        method: "PATCH",
        path: format!("/v2/{P}/pools/pool-ae01-{P}"),
        body: br#"{"spec":{"scope":["Train"]}}"#,
        canonical_sha256: "fde230348757dc106a7d459db7e9e7f2d1bc246cb8ede4886afa5f71594da8d0",
        signature: "05d917ce5653666303f2562294c13c68b078ee5d0216e2cadef5d8dbd6309c7f",
        ..readme()
    }
    .check();
}

#[test]
fn readme_patch_with_an_unsigned_payload() {
    Vector {
        method: "PATCH",
        path: format!("/v2/{P}/pools/pool-ae01-{P}"),
        headers: vec![MERGE_PATCH, HOST, PROJECT],
        payload: Payload::Unsigned,
        body: br#"{"spec":{"scope":["Train"]}}"#,
        signed: "content-type;host;x-project-id;x-sdk-content-sha256;x-sdk-date",
        canonical_sha256: "6034eedfb37090a51504adf5c0776470567f8caf13a796a7829277e4133432fd",
        signature: "b3bb28ef92eca6d7e2ff75a7591633248d149b1da9e77d89468dc98504408ff7",
        ..readme()
    }
    .check();
}

// clients §1

const PATCH_BODY: &[u8] = br#"{"spec": {"resources": [{"flavor": "modelarts.vm.cpu.4ud", "count": 3}]}}"#;

#[test]
fn clients_1_get_with_a_query() {
    Vector {
        query: "labelSelector=os.modelarts%2Fname%3Dpool%20a~1&workspaceId=0",
        headers: vec![SDK_AGENT, JSON, PROJECT, HOST],
        signed: "content-type;host;user-agent;x-project-id;x-sdk-date",
        canonical_sha256: "6a0208bbfdaa03d7d53736f6727bbf9a5914a458c5d72c08b162ba431233ad07",
        signature: "3f2a1a633ac15094ea62e2cd68f33c57d8bb8b59dca8bffbd02275f2338143de",
        ..Vector::default()
    }
    .check();
}

#[test]
fn clients_2_patch_with_a_temporary_key() {
    Vector {
        method: "PATCH",
        path: format!("/v2/{P}/pools/pool-ae01-{P}"),
        security_token: Some("TOK"),
        headers: vec![SDK_AGENT, JSON, PROJECT, HOST],
        body: PATCH_BODY,
        signed: "content-type;host;user-agent;x-project-id;x-sdk-date;x-security-token",
        canonical_sha256: "fe79827529ab0d65ac8d0d40ffd926c48114aa4e29cdfc47a24d69b5fe244747",
        signature: "a0edc5c5b9e0868fede57cd3dcccd0f3852bd77f4db982b96072c02580138a53",
        ..Vector::default()
    }
    .check();
}

#[test]
fn clients_3_merge_patch_with_an_unsigned_payload() {
    Vector {
        method: "PATCH",
        path: format!("/v2/{P}/pools/pool-ae01-{P}"),
        payload: Payload::Unsigned,
        headers: vec![SDK_AGENT, MERGE_PATCH, PROJECT, HOST],
        body: PATCH_BODY,
        signed: "content-type;host;user-agent;x-project-id;x-sdk-content-sha256;x-sdk-date",
        canonical_sha256: "cd077fba74c439908b27f04703e75f79adc807f5b71811809ad14cd333224f97",
        signature: "9819d859ede02c5ec36dc77dff98d0c4cbabda87565146b111fc0f231cc985e5",
        ..Vector::default()
    }
    .check();
}

#[test]
fn clients_4_terraform_without_a_signed_host() {
    Vector {
        keys: ("AKTEST", "SKTEST"),
        date: "20261121T023112Z",
        method: "PATCH",
        path: format!("/v1/{P}/networks/net-demo-{P}"),
        headers: vec![("Accept", "application/json"), MERGE_PATCH, ("User-Agent", "terraform-provider-iac golangsdk/2.0.0")],
        body: b"{\"spec\":{\"connection\":{\"peerConnectionList\":[{\"peerSubnetId\":\"sub-1\",\"peerVpcId\":\"vpc-1\"}],\"sfsTurboConnectionList\":null}}}\n",
        signed: "accept;content-type;user-agent;x-sdk-date",
        canonical_sha256: "0eda9c3ebaad08d825cf8c0d4f91f98c97d1b2f7e340c2d5a593e17ab656bf02",
        signature: "74c6701dfe80d99310ba0d9d91db27f992026d5fd592367504e62dca3a340931",
        ..Vector::default()
    }
    .check();
}

#[test]
fn clients_5_an_encoded_slash_counts_as_a_separator() {
    Vector {
        path: format!("/v2/{P}/pools/a%2Fb%20c"),
        headers: vec![JSON, HOST],
        signed: "content-type;host;x-sdk-date",
        canonical_sha256: "9982f896c39c1e13759c1c19400102b7e92e1b59924b91b11e76944728de431e",
        signature: "3de67eb3ff6ad7c4e75184a2f0296a0663653caf5efc10a1f1fafb17c70856a9",
        ..Vector::default()
    }
    .check();
}

#[test]
fn clients_6_a_derived_key() {
    Vector {
        derived_for: Some(("eu-de", "modelarts")),
        headers: vec![JSON, HOST],
        signed: "content-type;host;x-sdk-date",
        canonical_sha256: "2b21b41f00deaeb6c486a79ff450ac6eb3629e6665bba9f0be9acacc61497e0c",
        signature: "1084cc291aeec1534422c9cca4b1669ed52d07c6a69b44061f187979fb773c92",
        ..Vector::default()
    }
    .check();
}

/// The canonical request that clients §1 prints in full for vector 1.
#[test]
fn the_canonical_request_is_the_printed_one() {
    let headers: Vec<(String, &[u8])> = [
        ("content-type", "application/json"),
        ("host", "pools.example.test"),
        ("user-agent", "  huaweicloud-usdk-python/3.0\t"),
        ("x-project-id", P),
        ("x-sdk-date", "20241024T124243Z"),
    ]
    .map(|(name, value)| (name.to_owned(), value.as_bytes()))
    .into();
    let canonical = canonical_request(&Parts {
        method: "get",
        path: &format!("/v2/{P}/pools"),
        query: "workspaceId=0&labelSelector=os.modelarts/name=pool+a~1",
        headers: &headers,
        signed_headers: "content-type;host;user-agent;x-project-id;x-sdk-date",
        body: &BodyDigest::EMPTY.to_hex(),
    });
    let printed = "GET
/v2/6f5da086876d4cd084d36f8bd3346036/pools/
labelSelector=os.modelarts%2Fname%3Dpool%20a~1&workspaceId=0
content-type:application/json
host:pools.example.test
user-agent:huaweicloud-usdk-python/3.0
x-project-id:6f5da086876d4cd084d36f8bd3346036
x-sdk-date:20241024T124243Z

content-type;host;user-agent;x-project-id;x-sdk-date
e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(String::from_utf8(canonical).unwrap(), printed);
}
