use super::*;

const FULL: &str = r#"
inventory = "pool in (a, b),!broken"
default_zone = "az1"
accelerators = { "huawei.com/Ascend910B4" = "huawei.com/ascend-snt9b" }
scheduler = "volcano"
batch_label = "rack"
reset = "annotation"
reboot = { pod = { template = { containers = [{ name = "reboot", image = "tools:1" }] } } }
zones = { "eu-1a" = "az1" }

[drain]
timeout_seconds = 60
kill_seconds = 120

[driver]
mode = "nvidia"
upgrade_policy = { autoUpgrade = true, maxParallelUpgrades = 2 }

[driver.installer.template]
containers = [{ name = "driver", image = "npu:{{version}}" }]

[[flavor]]
name = "modelarts.bm.gpu.a100u8"
match = { "node.kubernetes.io/instance-type" = ["a100-8x80"], "kubernetes.io/arch" = ["amd64"] }
accelerator = { resource = "nvidia.com/gpu", count = 8 }
least = { cpu = "180", memory = "1800Gi" }
quota = { "nvidia.com/gpu" = 8, cpu = "176", memory = "1760Gi" }

[[fault]]
taint = "nvidia.com/gpu-*"
debounce_seconds = 5
"#;

#[test]
fn a_full_configuration_is_read_and_written_alike() {
    let config: KubeConfig = toml::from_str(FULL).unwrap();
    config.validate().unwrap();
    assert_eq!(config.flavor[0].accelerator.as_ref().unwrap().count, 8);
    assert_eq!(config.api_key("huawei.com/Ascend910B4"), "huawei.com/ascend-snt9b");
    assert_eq!(toml::from_str::<KubeConfig>(&toml::to_string(&config).unwrap()).unwrap(), config);
}

#[test]
fn nothing_needs_to_be_configured() {
    let config: KubeConfig = toml::from_str("").unwrap();
    assert_eq!(config, KubeConfig::default());
    config.validate().unwrap();
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (text, told) in [
        ("namespace = \"A\"", "namespace "),
        ("inventory = \"a in (1\"", "inventory "),
        ("[drain]\ntimeout_seconds = 9\nkill_seconds = 1", "drain.kill_seconds "),
        ("silence_seconds = 0", "silence_seconds "),
        ("reset = { pod = { template = {} } }", "reset.pod.template "),
        ("[[fault]]\n", "fault[0] "),
        ("[[fault]]\ncondition = \"*a*\"", "fault[0].condition "),
        ("[[flavor]]\nname = \"f\"\nmatch = {}", "flavor[0].match "),
        ("[[flavor]]\nname = \"f\"\nmatch = { a = [] }", "flavor[0].match.a "),
        (
            "[[flavor]]\nname = \"f\"\nmatch = { a = [\"1\"] }\n[[flavor]]\nname = \"f\"\nmatch = { a = [\"1\"] }",
            "flavor[1].name ",
        ),
        ("default_zone = \"\"", "default_zone "),
    ] {
        let config: KubeConfig = toml::from_str(text).unwrap();
        let error = config.validate().unwrap_err().to_string();
        assert!(error.starts_with(told), "{text}: {error}");
    }
    for text in [
        "inventry = \"a\"",
        "[drain]\ntimeout = 1",
        "[[flavor]]\nname = \"f\"\nmatch = {}\nleast = { cpu = \"x\" }",
    ] {
        assert!(toml::from_str::<KubeConfig>(text).is_err(), "{text}");
    }
}

#[test]
fn a_star_stands_for_any_text() {
    let pattern = Pattern("Gpu*Watch".to_owned());
    assert!(pattern.matches("GpuMemWatch") && pattern.matches("GpuWatch"));
    assert!(!pattern.matches("GpuWatc") && !pattern.matches("Gpu") && !Pattern("a".to_owned()).matches("ab"));
}

#[test]
fn a_webhook_is_not_asked_in_the_clear_over_a_network() {
    let at = |url: &str| {
        let config: KubeConfig = toml::from_str(&format!(
            "reboot = {{ webhook = {{ url = \"{url}\", secret_file = \"/etc/secret\" }} }}"
        ))
        .unwrap();
        assert!(config.has_webhooks());
        config.validate().map_err(|error| error.path)
    };
    for url in [
        "https://machines.example/x",
        "http://localhost:8080",
        "http://127.0.0.1/x",
        "http://[::1]:1/",
    ] {
        assert_eq!(at(url), Ok(()), "{url}");
    }
    for url in [
        "http://machines.example/x",
        "http://localhost.example/",
        "ftp://localhost/",
        "https://",
        "",
    ] {
        assert_eq!(at(url), Err("reboot.webhook.url".to_owned()), "{url}");
    }
}
