//! `spec.resources` as it is sent (contract pools §3.1–§3.4).

use super::metadata::check_tags;
use crate::decode::{Place, decimal};
use base64::Engine;
use domain::field::Reason;
use domain::label::check_key;
use domain::name::{FlavorName, NodePoolName, ZoneName};
use domain::pool::draft::ResourceDraft;
use domain::pool::{AzCount, CreatingStep, DataVolume, LvmConfig, NodeOs, RootVolume, StepKind, VolumeGroup};
use domain::tag::Tag;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const MAX_ELEMENTS: usize = 10;
const MAX_COUNT: u32 = 2000;
const VOLUME_TYPES: [(&str, ()); 3] = [("SSD", ()), ("GPSSD", ()), ("SAS", ())];

pub(super) fn resources(place: &Place<'_>) -> Vec<ResourceDraft> {
    if place.is_absent() {
        place.required();
        return Vec::new();
    }
    let Some(items) = place.list() else { return Vec::new() };
    if items.is_empty() || items.len() > MAX_ELEMENTS {
        place.invalid(format!("must hold 1 to {MAX_ELEMENTS} elements"));
    }
    items.iter().take(MAX_ELEMENTS).filter_map(element).collect()
}

fn element(place: &Place<'_>) -> Option<ResourceDraft> {
    place.object()?;
    let flavor = place.field("flavor");
    flavor.required_text();
    let flavor_name = flavor.name(FlavorName::parse);
    let count = place.field("count");
    if count.is_absent() {
        count.required();
    }
    let count = count.integer(0, MAX_COUNT);
    let node_pool = node_pool(&place.field("nodePool"), flavor_name.as_ref());
    let data_volumes = place.field("dataVolumes");
    let volume_groups = volume_groups(&place.field("volumeGroupConfigs"), &data_volumes);
    let driver = place.field("driver");
    driver.may_have_fields();
    let draft = ResourceDraft {
        max_count: place.field("maxCount").integer(0, MAX_COUNT),
        azs: zones(&place.field("azs")),
        node_pool,
        extend_params: extend_params(&place.field("extendParams")),
        tags: tags(&place.field("tags")),
        creating_step: creating_step(&place.field("creatingStep")),
        root_volume: root_volume(&place.field("rootVolume")),
        data_volumes: self::data_volumes(&data_volumes),
        volume_groups,
        os: os(&place.field("os")),
        driver_version: driver
            .field("version")
            .text()
            .filter(|text| !text.is_empty())
            .map(ToOwned::to_owned),
        labels: labels(&place.field("labels")),
        has_taints: !place.field("taints").items().is_empty(),
        has_network: !place.field("network").is_empty(),
        flavor: flavor_name?,
        count: count?,
    };
    Some(draft)
}

fn node_pool(place: &Place<'_>, flavor: Option<&FlavorName>) -> Option<NodePoolName> {
    let text = place.text().filter(|text| !text.is_empty())?;
    if flavor.is_some_and(|flavor| NodePoolName::default_of(flavor).as_str() == text) {
        return NodePoolName::parse(text).ok();
    }
    place.name(NodePoolName::parse_chosen)
}

fn zones(place: &Place<'_>) -> Option<Vec<AzCount>> {
    if place.is_empty() {
        return None;
    }
    let mut found = Vec::new();
    let mut known = BTreeSet::new();
    for item in place.items() {
        if item.object().is_none() {
            continue;
        }
        let (az, count) = (item.field("az"), item.field("count"));
        az.required_text();
        if count.is_absent() {
            count.required();
        }
        let (Some(zone), Some(count)) = (az.name(ZoneName::parse), count.integer(1, MAX_COUNT)) else {
            continue;
        };
        if !known.insert(zone.clone()) {
            az.refuse(Reason::Duplicate, format!("zone {zone} occurs twice"));
        }
        found.push(AzCount { az: zone, count });
    }
    Some(found)
}

fn extend_params(place: &Place<'_>) -> Option<BTreeMap<String, String>> {
    if place.is_empty() {
        return None;
    }
    let params = place.texts();
    if let Some(size) = params.get("dockerBaseSize")
        && !decimal(size).is_some_and(|size: u32| size == 0 || (50..=500).contains(&size))
    {
        place.field("dockerBaseSize").invalid("must be 50 to 500, or 0 for no limit");
    }
    for name in ["postInstall", "post_install"] {
        if let Some(script) = params.get(name)
            && base64::engine::general_purpose::STANDARD.decode(script).is_err()
        {
            place.field(name).invalid("must be Base64");
        }
    }
    if params.contains_key("runtime") {
        place.field("runtime").choice(&[("docker", ()), ("containerd", ())]);
    }
    for name in [
        "labelPolicyOnExistingNodes",
        "taintPolicyOnExistingNodes",
        "tagPolicyOnExistingNodes",
    ] {
        if params.contains_key(name) {
            place.field(name).choice(&[("refresh", ()), ("ignore", ())]);
        }
    }
    Some(params)
}

fn tags(place: &Place<'_>) -> Option<Vec<Tag>> {
    if place.is_empty() {
        return None;
    }
    let tags: Vec<Tag> = place
        .items()
        .iter()
        .filter_map(|item| {
            item.object()?;
            let (key, value) = (item.field("key"), item.field("value"));
            key.required_text();
            value.required_text();
            Some(Tag {
                key: key.text()?.to_owned(),
                value: value.text()?.to_owned(),
            })
        })
        .collect();
    check_tags(place, &tags, Tag::check_for_nodes);
    Some(tags)
}

fn creating_step(place: &Place<'_>) -> Option<CreatingStep> {
    if place.is_empty() {
        return None;
    }
    place.object()?;
    let (step, kind) = (place.field("step"), place.field("type"));
    if step.is_absent() {
        step.required();
    }
    kind.required_text();
    let kind = kind.choice(&[("rack", StepKind::Rack), ("hyperinstance", StepKind::Hyperinstance)]);
    Some(CreatingStep {
        step: step.integer(1, MAX_COUNT)?,
        kind: kind?,
    })
}

fn size(place: &Place<'_>) -> Option<String> {
    if place.is_absent() {
        place.required();
    }
    let text = place.scalar()?;
    let digits = text.strip_suffix("Gi").unwrap_or(&text);
    if decimal(digits).is_none_or(|size: u32| size == 0) {
        place.invalid("must be a size in GiB such as 100 or 100Gi");
    }
    Some(text)
}

fn volume_type(place: &Place<'_>) -> Option<String> {
    place.required_text();
    place.choice(&VOLUME_TYPES)?;
    place.text().map(ToOwned::to_owned)
}

fn root_volume(place: &Place<'_>) -> Option<RootVolume> {
    if place.is_empty() {
        return None;
    }
    place.object()?;
    let (volume_type, size) = (volume_type(&place.field("volumeType")), size(&place.field("size")));
    Some(RootVolume {
        volume_type: volume_type?,
        size: size?,
    })
}

fn data_volumes(place: &Place<'_>) -> Option<Vec<DataVolume>> {
    if place.is_empty() {
        return None;
    }
    let volumes = place.items().into_iter().filter_map(|item| {
        item.object()?;
        let params = item.field("extendParams");
        if params.is_absent() {
            params.required();
        }
        let mut extend_params = params.texts();
        extend_params.remove("billing");
        if params.object().is_some() {
            let group = params.field("volumeGroup");
            if group.required_text().is_some_and(|text| !is_group(text)) {
                group.invalid("must be vgpaas, default, vguser<number> or a vg-everest-localvolume group");
            }
        }
        let (volume_type, size) = (volume_type(&item.field("volumeType")), size(&item.field("size")));
        Some(DataVolume {
            volume_type: volume_type?,
            size: size?,
            count: item.field("count").integer(1, MAX_COUNT),
            extend_params,
        })
    });
    Some(volumes.collect())
}

fn is_group(text: &str) -> bool {
    matches!(
        text,
        "vgpaas" | "default" | "vg-everest-localvolume-persistent" | "vg-everest-localvolume-ephemeral"
    ) || text
        .strip_prefix("vguser")
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn volume_groups(place: &Place<'_>, volumes: &Place<'_>) -> Option<Vec<VolumeGroup>> {
    if place.is_empty() {
        if !volumes.is_empty() {
            place.required();
        }
        return None;
    }
    let used = used_groups(volumes);
    let groups = place.items().into_iter().filter_map(|item| {
        item.object()?;
        let group = item.field("volumeGroup");
        let name = group.required_text()?;
        if name != "vgpaas" && !used.contains(name) {
            group.invalid("must be a group of dataVolumes, or vgpaas");
        }
        let thin = item.field("dockerThinPool");
        let docker_thin_pool = thin.integer(1, 100);
        if docker_thin_pool.is_some() && name != "vgpaas" {
            thin.refuse(Reason::Forbidden, "is for group vgpaas only");
        }
        let types = item.field("types").items();
        let types = types.iter().filter_map(|kind| {
            kind.choice(&[("volume", ()), ("local", ())])?;
            kind.text().map(ToOwned::to_owned)
        });
        Some(VolumeGroup {
            group: name.to_owned(),
            docker_thin_pool,
            lvm: lvm(&item.field("lvmConfig"), name),
            types: types.collect(),
        })
    });
    Some(groups.collect())
}

/// The groups that `dataVolumes` names, whatever else is wrong with it.
fn used_groups<'a>(volumes: &Place<'a>) -> BTreeSet<&'a str> {
    let items = volumes.value().and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    items
        .iter()
        .filter_map(|item| item["extendParams"]["volumeGroup"].as_str())
        .collect()
}

fn lvm(place: &Place<'_>, group: &str) -> Option<LvmConfig> {
    if place.is_empty() {
        return None;
    }
    place.object()?;
    let kind = place.field("lvType");
    kind.required_text();
    kind.choice(&[("linear", ()), ("striped", ())]);
    let path = place.field("path");
    let text = path.text().filter(|text| !text.is_empty());
    if let Some(text) = text {
        let is_path = text.starts_with('/')
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/'));
        if !is_path {
            path.invalid("must be an absolute path of letters, digits and . - _ /");
        } else if !group.starts_with("vguser") {
            path.refuse(Reason::Forbidden, "is for user groups only");
        }
    }
    Some(LvmConfig {
        lv_type: kind.text()?.to_owned(),
        path: text.map(ToOwned::to_owned),
    })
}

fn os(place: &Place<'_>) -> Option<NodeOs> {
    if place.is_empty() {
        return None;
    }
    place.object()?;
    let text = |name: &str| place.field(name).scalar();
    let image_type = place.field("imageType");
    if !image_type.is_absent() {
        image_type.choice(&[("private", ()), ("", ())]);
    }
    Some(NodeOs {
        name: text("name"),
        image_id: text("imageId"),
        image_type: text("imageType"),
        auto_match: text("autoMatch"),
    })
}

fn labels(place: &Place<'_>) -> Option<BTreeMap<String, String>> {
    if place.is_empty() {
        return None;
    }
    let labels = place.texts();
    for key in labels.keys() {
        if let Err(message) = check_key(key) {
            place.field(key).invalid(message);
        }
    }
    Some(labels)
}
