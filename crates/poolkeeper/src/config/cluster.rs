//! Which cluster, and how it is used as a fleet.

use super::{Document, Sources};
use anyhow::{Context, Result};
use clap::Args;
use fleet_kube::KubeConfig;
use serde::Serialize;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct ClusterFlags {
    /// How to reach the cluster of --fleet kubernetes [default: as the pod that this runs in, else $KUBECONFIG, else
    /// ~/.kube/config]. How it is used is said in the table kubernetes of the file
    #[arg(long, env = "POOLKEEPER_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Name space of the fence, instead of `namespace` in the table kubernetes of the file
    #[arg(long, env = "POOLKEEPER_KUBE_NAMESPACE", value_name = "NAME")]
    pub kube_namespace: Option<String>,
}

/// The cluster of the Kubernetes fleet.
#[derive(Clone, Default)]
pub struct Cluster {
    pub kubeconfig: Option<PathBuf>,
    pub settings: KubeConfig,
}

#[derive(Serialize)]
struct Table<'a> {
    kubernetes: &'a KubeConfig,
}

impl Cluster {
    pub(super) fn load(from: &mut Sources<'_>, flags: &ClusterFlags, file: &mut Document) -> Result<Self> {
        let mut settings = file.kubernetes.take().unwrap_or_default();
        if let Some(namespace) = &flags.kube_namespace {
            settings.namespace.clone_from(namespace);
        }
        settings.validate().context("[kubernetes] is not right")?;
        Ok(Self {
            kubeconfig: from.pick_optional("kubeconfig", flags.kubeconfig.clone(), file.kubeconfig.take()),
            settings,
        })
    }

    /// The table of a configuration file that says the same.
    pub(super) fn to_toml(&self) -> Result<String> {
        let table = Table {
            kubernetes: &self.settings,
        };
        let text = toml::to_string(&table).context("[kubernetes] cannot be shown")?;
        Ok(format!("\n{text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::FleetKind;
    use super::super::tests::{load, with_file};

    const FILE: &str = r#"
fleet = "kubernetes"

[kubernetes]
namespace = "pools"
scheduler = "kueue"
default_zone = "az-1"

[[kubernetes.flavor]]
name = "modelarts.bm.gpu.a100u8"
match = { "node.kubernetes.io/instance-type" = ["a100-8x80"] }
accelerator = { resource = "nvidia.com/gpu", count = 8 }
least = { cpu = "180", memory = "1800Gi" }
"#;

    #[test]
    fn a_cluster_is_read_from_the_file_and_shown_as_it_can_be_read_again() {
        let loaded = with_file(FILE, &["--kubeconfig", "k"]).unwrap();
        let settings = &loaded.config.cluster.settings;
        assert_eq!((settings.namespace.as_str(), settings.flavor.len()), ("pools", 1));
        assert!(loaded.show().contains("kubeconfig = \"k\"  # flag"), "{}", loaded.show());
        let again = with_file(loaded.show(), &[]).unwrap();
        assert_eq!(again.config.cluster.settings, *settings);
        assert!(loaded.config.fleet == FleetKind::Kubernetes && again.config.no_demo);
    }

    #[test]
    fn a_cluster_has_the_demo_only_where_it_is_asked_for() {
        assert!(!load(&[]).unwrap().config.no_demo);
        assert!(load(&["--fleet", "kubernetes"]).unwrap().config.no_demo);
        assert!(!load(&["--fleet", "kubernetes", "--demo"]).unwrap().config.no_demo);
        assert!(!with_file("fleet = \"kubernetes\"\nno_demo = false\n", &[]).unwrap().config.no_demo);
    }

    #[test]
    fn mistakes_about_the_cluster_are_told_with_their_place() {
        for (text, told) in [
            ("[kubernetes]\nschedular = \"kueue\"\n", "schedular"),
            ("[kubernetes]\nnamespace = \"Not a name\"\n", "namespace"),
            ("[[kubernetes.flavor]]\nname = \"f\"\nmatch = {}\n", "flavor[0].match"),
        ] {
            let error = with_file(text, &[]).err().unwrap();
            assert!(format!("{error:#}").contains(told), "{error:#}");
        }
    }

    #[test]
    fn the_name_space_may_come_from_a_flag() {
        let loaded = load(&["--fleet", "kubernetes", "--kube-namespace", "here"]).unwrap();
        assert_eq!(loaded.config.cluster.settings.namespace, "here");
    }
}
