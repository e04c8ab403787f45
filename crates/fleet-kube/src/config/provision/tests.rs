use crate::KubeConfig;
use domain::name::{FlavorName, ZoneName};

const WHOLE: &str = r#"
provisioner = "cluster-api"

[cluster_api]
namespace = "clusters"
cluster = "site"

[cluster_api.template.a100]
version = "v1.33.4+rke2r1"
bootstrap = { api_version = "bootstrap.cluster.x-k8s.io/v1beta2", kind = "KubeadmConfigTemplate", name = "a100" }
infrastructure = { api_version = "infrastructure.cluster.x-k8s.io/v1beta1", kind = "Metal3MachineTemplate", name = "a100.v2" }
zones = { "az-1" = { failure_domain = "eu-1a", limit = 8 }, "az-2" = { limit = 4 }, "az-3" = { failure_domain = "", limit = 1 } }

[[flavor]]
name = "gpu"
match = { type = ["gpu"] }
provision = "a100"
"#;

#[test]
fn templates_are_read_and_written_alike() {
    let config: KubeConfig = toml::from_str(WHOLE).unwrap();
    config.validate().unwrap();
    let template = config.machine_template(&FlavorName::parse("gpu").unwrap()).unwrap();
    assert_eq!(template.drain_seconds, 600);
    assert_eq!(template.infrastructure.made_kind(), "Metal3Machine");
    let domains = ["az-1", "az-2", "az-3"].map(|zone| template.failure_domain(&ZoneName::parse(zone).unwrap()).map(str::to_owned));
    assert_eq!(domains, [Some("eu-1a".to_owned()), Some("az-2".to_owned()), None]);
    assert_eq!(toml::from_str::<KubeConfig>(&toml::to_string(&config).unwrap()).unwrap(), config);
}

#[test]
fn without_the_provisioner_its_tables_do_nothing() {
    let text = WHOLE.replace("\"cluster-api\"", "\"none\"").replace("provision = \"a100\"", "");
    let config: KubeConfig = toml::from_str(&text).unwrap();
    config.validate().unwrap();
    assert!(config.provisioning().is_none() && config.machine_template(&FlavorName::parse("gpu").unwrap()).is_none());
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (old, new, told) in [
        ("\"cluster-api\"", "\"none\"", "flavor[0].provision "),
        ("provision = \"a100\"", "provision = \"h100\"", "flavor[0].provision "),
        ("\"clusters\"", "\"Clusters\"", "cluster_api.namespace "),
        ("\"site\"", "\"a.b\"", "cluster_api.cluster "),
        ("v1.33.4+rke2r1", "1.33", "cluster_api.template.a100.version "),
        (
            "bootstrap.cluster.x-k8s.io/v1beta2",
            "v1",
            "cluster_api.template.a100.bootstrap.api_version ",
        ),
        (
            "KubeadmConfigTemplate",
            "KubeadmConfig",
            "cluster_api.template.a100.bootstrap.kind ",
        ),
        ("a100.v2", "A", "cluster_api.template.a100.infrastructure.name "),
        ("limit = 8", "limit = 0", "cluster_api.template.a100.zones.az-1.limit "),
        (
            "zones = {",
            "drain_seconds = 4294967295\nzones = {",
            "cluster_api.template.a100.drain_seconds ",
        ),
    ] {
        let text = WHOLE.replace(old, new);
        assert_ne!(text, WHOLE, "{old}");
        let error = toml::from_str::<KubeConfig>(&text).unwrap().validate().unwrap_err().to_string();
        assert!(error.starts_with(told), "{new}: {error}");
    }
    let missing: KubeConfig = toml::from_str("provisioner = \"cluster-api\"").unwrap();
    assert!(missing.validate().unwrap_err().to_string().starts_with("cluster_api "));
    for text in ["provisioner = \"karpenter\"", "[cluster_api]\nnamespace = \"a\""] {
        assert!(toml::from_str::<KubeConfig>(text).is_err(), "{text}");
    }
}
