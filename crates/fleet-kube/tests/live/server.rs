//! The server under test.

use crate::scope::Scope;
use k8s_openapi::api::coordination::v1::Lease;
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use kube_fake::Life;
use poolkeeper_fleet_kube::connect;
use std::path::{Path, PathBuf};
use std::process::Command;

const VARIABLE: &str = "POOLKEEPER_TEST_KUBECONFIG";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/kube/apiserver.sh");

/// The server under test.
#[derive(Clone)]
pub struct Server {
    path: PathBuf,
    /// Of version 1.
    pub minor: u32,
    /// Where the script runs it. `None`: it is somebody else's.
    run: Option<PathBuf>,
}

impl Server {
    /// `None`, and a line that says so: there is none.
    pub async fn given() -> Option<Self> {
        let Some(path) = std::env::var_os(VARIABLE).map(PathBuf::from) else {
            eprintln!("SKIPPED: {VARIABLE} is not set; real kube-apiserver: NOT RUN");
            return None;
        };
        let run = path
            .parent()
            .filter(|run| run.join("apiserver.command").exists())
            .map(Path::to_owned);
        let client = connect(Some(&path)).await.unwrap();
        let version = client.apiserver_version().await.unwrap();
        let leases: Api<Lease> = Api::namespaced(client, "kube-system");
        let controllers = leases.get_opt("kube-controller-manager").await.unwrap();
        assert!(
            controllers.is_none(),
            "{} is a cluster with controllers: these tests are not for it",
            path.display()
        );
        // A server that was built without its version is Debian's.
        let minor = version.minor.trim_end_matches('+').parse().unwrap_or(20);
        Some(Self { path, minor, run })
    }

    /// A connection of somebody who is no controller.
    pub async fn client(&self) -> Client {
        connect(Some(&self.path)).await.unwrap()
    }

    /// A connection as the program makes it, of a process with a life, in its part of the server.
    pub async fn client_of(&self, life: &Life, scope: &Scope) -> Client {
        let read = Kubeconfig::read_from(&self.path).unwrap();
        let options = KubeConfigOptions::default();
        let mut config = kube::Config::from_custom_kubeconfig(read, &options).await.unwrap();
        config.default_retry = false;
        let builder = ClientBuilder::try_from(config).unwrap();
        builder.with_layer(life).with_layer(scope).build()
    }

    /// Whether nobody else needs it, so that it may be killed.
    pub fn is_ours(&self) -> bool {
        self.run.is_some()
    }

    /// Ends it without a word, as a machine that loses its power does.
    pub fn kill(&self) {
        self.script("kill");
    }

    /// Starts it anew, with what it has written.
    pub fn restart(&self) {
        self.script("restart");
    }

    fn script(&self, command: &str) {
        let run = self.run.as_ref().unwrap();
        let status = Command::new(SCRIPT).arg(command).env("POOLKEEPER_KUBE_RUN", run).status();
        assert!(status.unwrap().success(), "apiserver.sh {command}");
    }
}
