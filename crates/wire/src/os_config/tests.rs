use super::*;
use crate::testing::{assert_documented, members};

/// Contract tags… §7.
const DOCUMENTED: [(&str, &[&str]); 2] = [
    (
        "",
        &[
            "networkCidrs",
            "networkQuota",
            "poolQuota",
            "networkSubnetTypes",
            "poolHighAvailable",
            "pooHighAvailable",
            "maxPoolFlavors",
            "clusterFlavorSpecs",
            "licenseScopeType",
            "nodeOSVersionSupport",
            "volumeTypes",
        ],
    ),
    (
        "poolScopePlugins[]",
        &["scope", "plugins", "externalDependency", "reservedNetworkCidr", "supportRetry"],
    ),
];

#[test]
fn the_configuration_is_shown_under_the_documented_names() {
    let shown = serde_json::to_value(OsConfig::from(&model::OsConfig::plain())).unwrap();
    assert_documented(&members([&shown]), &DOCUMENTED, &[]);
    insta::assert_json_snapshot!("plain", shown);
}
