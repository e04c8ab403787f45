//! Any valid pool.

use super::sample::{flavor, pool_of, zone};
use domain::name::{DisplayName, NetworkName, NodePoolName, NodePrefix, PoolName, WorkspaceId};
use domain::pool::draft::{BillingDraft, PoolDraft, PoolNetworkDraft, ResourceDraft};
use domain::pool::{
    Accelerator, BillingMode, CreatingStep, DataVolume, DriverSpec, DriverState, DriverStatus, JobType, LvmConfig, NodeOs, PeriodType,
    Pool, RootVolume, Sharing, StepKind, UpdateStrategy, VolumeGroup,
};
use domain::tag::Tag;
use proptest::option::of;
use proptest::prelude::*;
use std::collections::BTreeMap;

pub fn name<T>(parse: fn(&str) -> Result<T, domain::name::NameError>, text: &str) -> T {
    parse(text).unwrap()
}

fn texts(key: &'static str, count: usize) -> impl Strategy<Value = BTreeMap<String, String>> {
    prop::collection::btree_map(key, "[a-zA-Z0-9 ü]{0,6}", 0..count)
}

fn tags() -> impl Strategy<Value = Vec<Tag>> {
    let tags = prop::collection::btree_map("[a-z]{1,4}", "([a-z0-9][a-z0-9 ]{0,3}x)?", 0..3);
    tags.prop_map(|tags| tags.into_iter().map(|(key, value)| Tag { key, value }).collect())
}

fn size() -> impl Strategy<Value = String> {
    prop_oneof![
        (1..5000_u32).prop_map(|size| size.to_string()),
        (1..5000_u32).prop_map(|size| format!("{size}Gi"))
    ]
}

fn volume_type() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["SSD", "GPSSD", "SAS"]).prop_map(str::to_owned)
}

fn data_volume() -> impl Strategy<Value = (DataVolume, VolumeGroup)> {
    let group = prop_oneof![
        Just("vgpaas".to_owned()),
        Just("default".to_owned()),
        (0..9_u32).prop_map(|number| format!("vguser{number}"))
    ];
    (
        group,
        volume_type(),
        size(),
        of(1..9_u32),
        texts("[a-z]{2,5}", 2),
        of(1..=100_u32),
        of("/[a-z0-9]{0,5}"),
        any::<bool>(),
    )
        .prop_map(|(group, volume_type, size, count, mut extend_params, thin, path, is_cloud)| {
            extend_params.insert("volumeGroup".to_owned(), group.clone());
            let volume = DataVolume {
                volume_type,
                size,
                count,
                extend_params,
            };
            let lvm = LvmConfig {
                lv_type: "linear".to_owned(),
                path: path.filter(|_| group.starts_with("vguser")),
            };
            let group = VolumeGroup {
                docker_thin_pool: thin.filter(|_| group == "vgpaas"),
                lvm: (thin.is_some() && group != "vgpaas").then_some(lvm),
                types: if is_cloud { vec!["volume".to_owned()] } else { Vec::new() },
                group,
            };
            (volume, group)
        })
}

fn non_empty<T: Default + PartialEq>(value: T) -> Option<T> {
    (value != T::default()).then_some(value)
}

type Disks = (Option<Vec<DataVolume>>, Option<Vec<VolumeGroup>>);

fn disks() -> impl Strategy<Value = Disks> {
    let volumes = prop::collection::vec(data_volume(), 0..3);
    volumes.prop_map(|volumes| {
        let (volumes, groups): (Vec<_>, Vec<_>) = volumes.into_iter().unzip();
        (non_empty(volumes), non_empty(groups))
    })
}

fn extend_params() -> impl Strategy<Value = BTreeMap<String, String>> {
    (texts("[a-z]{2,5}", 3), of(50..=500_u32), of(Just("ZWNobyBoaQ==")), any::<bool>()).prop_map(|(mut params, base, script, is_alias)| {
        params.extend(base.map(|size| ("dockerBaseSize".to_owned(), size.to_string())));
        let key = if is_alias { "post_install" } else { "postInstall" };
        params.extend(script.map(|script| (key.to_owned(), script.to_owned())));
        params
    })
}

fn element(at: usize) -> impl Strategy<Value = ResourceDraft> {
    let os = of((of("[a-z]{1,4}"), of("[a-z]{1,4}"), of(prop_oneof![Just(""), Just("private")])));
    let parts = (
        (1..200_u32, any::<bool>(), any::<bool>(), any::<bool>()),
        of("[a-z][a-z0-9]{1,6}"),
        (extend_params(), tags(), of(2..5_u32), of((volume_type(), size()))),
        disks(),
        os,
        of("[0-9.]{1,5}"),
        texts("[a-z]{1,4}", 3),
    );
    parts.prop_map(
        move |(
            (count, has_max, has_zones, is_rack),
            pool,
            (params, tags, step, root),
            (data_volumes, volume_groups),
            os,
            driver,
            labels,
        )| {
            let count = count * step.unwrap_or(1);
            let first = count / 2;
            let zones = [("az-1", first), ("az-2", count - first)];
            ResourceDraft {
                max_count: has_max.then_some(count),
                azs: has_zones.then(|| {
                    zones
                        .into_iter()
                        .filter(|(_, count)| *count > 0)
                        .map(|(az, count)| zone(az, count))
                        .collect()
                }),
                node_pool: pool.map(|pool| name(NodePoolName::parse_chosen, &pool)),
                extend_params: non_empty(params),
                tags: non_empty(tags),
                creating_step: step.map(|step| CreatingStep {
                    step,
                    kind: if is_rack { StepKind::Rack } else { StepKind::Hyperinstance },
                }),
                root_volume: root.map(|(volume_type, size)| RootVolume { volume_type, size }),
                data_volumes,
                volume_groups,
                os: os.map(|(name, image_id, image_type)| NodeOs {
                    name,
                    image_id,
                    image_type: image_type.map(str::to_owned),
                    auto_match: Some("true".to_owned()),
                }),
                driver_version: driver,
                labels: non_empty(labels),
                ..ResourceDraft::plain(flavor(&format!("modelarts.vm.f{at}")), count)
            }
        },
    )
}

fn elements() -> impl Strategy<Value = Vec<ResourceDraft>> {
    (1..4_usize).prop_flat_map(|count| (0..count).map(element).collect::<Vec<_>>())
}

fn logical_elements() -> impl Strategy<Value = Vec<ResourceDraft>> {
    prop::collection::vec((0..9_u32, of(1..9_u32)), 1..4).prop_map(|counts| {
        let elements = counts.into_iter().enumerate().map(|(at, (count, more))| ResourceDraft {
            max_count: more.map(|more| count + more),
            ..ResourceDraft::plain(flavor(&format!("modelarts.vm.f{at}")), count.max(u32::from(more.is_none())))
        });
        elements.collect()
    })
}

fn billing() -> impl Strategy<Value = BillingDraft> {
    let period = (
        1..9_u32,
        prop::sample::select(vec![PeriodType::Month, PeriodType::Year, PeriodType::Hour]),
    );
    (of(period), of(any::<bool>()), of(any::<bool>()), of("CS[0-9]{4}")).prop_map(|(period, auto_renew, auto_pay, order_id)| BillingDraft {
        mode: period.map(|_| BillingMode::Prepaid),
        period_num: period.map(|(number, _)| number),
        period_type: period.map(|(_, kind)| kind),
        auto_renew,
        auto_pay,
        order_id,
    })
}

fn driver() -> impl Strategy<Value = DriverSpec> {
    let strategy = of(prop::sample::select(vec![UpdateStrategy::Force, UpdateStrategy::Idle]));
    (of("[0-9.]{1,5}"), of("C[0-9]{2}"), strategy).prop_map(|(gpu_version, npu_version, update_strategy)| DriverSpec {
        gpu_version,
        npu_version,
        update_strategy,
    })
}

fn notes() -> impl Strategy<Value = BTreeMap<String, String>> {
    let known = prop::collection::btree_map(
        prop::sample::select(vec![
            "os.modelarts/promotion.info",
            "os.modelarts/service.console.url",
            "os.modelarts/scheduler.extension",
            "os.modelarts/product.id",
        ])
        .prop_map(str::to_owned),
        ".{0,20}",
        0..4,
    );
    (texts("team/[a-z]{1,3}", 4), known).prop_map(|(mut notes, known)| {
        notes.extend(known);
        notes
    })
}

fn metadata() -> impl Strategy<Value = PoolDraft> {
    (
        "[a-z][a-z0-9-]{2,20}[a-z0-9]",
        of(prop_oneof![Just("0".to_owned()), "[0-9a-f]{32}"]),
        of(prop::sample::select(vec![Sharing::Shared, Sharing::Unshared])),
        of("[a-z][a-z0-9]{0,8}"),
        texts("[a-z]{1,3}", 40),
        notes(),
        of("[a-zA-Z0-9 .;ü]{0,20}"),
        billing(),
        of(tags()),
        prop::collection::vec("[a-z.]{1,6}", 0..3),
    )
        .prop_map(
            |(display, workspace, sharing, prefix, labels, annotations, description, billing, tags, job_flavors)| PoolDraft {
                display_name: name(DisplayName::parse, &display),
                workspace: workspace.map(|id| name(WorkspaceId::parse, &id)),
                sharing,
                node_prefix: prefix.map(|prefix| name(NodePrefix::parse, &prefix)),
                labels,
                annotations,
                description,
                billing,
                tags,
                is_logical: true,
                scope: None,
                resources: Vec::new(),
                parent: None,
                network: None,
                container_cidr: None,
                service_cidr: None,
                masters: Vec::new(),
                cluster_flavor: None,
                job_flavors,
                driver: None,
                ipv6: None,
                has_clusters: false,
                has_user_login: false,
            },
        )
}

/// A physical pool in any valid form, with or without accelerators.
fn physical() -> impl Strategy<Value = Pool> {
    let scope = of(prop::sample::subsequence(JobType::ALL.to_vec(), 1..=3).prop_shuffle());
    let parts = (
        elements(),
        scope,
        of(driver()),
        any::<[bool; 5]>(),
        prop::collection::vec(of("az-[0-9]"), 0..4),
    );
    (metadata(), parts).prop_map(|(metadata, (resources, scope, driver, flags, masters))| {
        let [has_container, has_service, has_cluster, ipv6, has_accelerators] = flags;
        let mut pool = pool_of(PoolDraft {
            is_logical: false,
            scope,
            resources,
            network: Some(PoolNetworkDraft {
                name: Some(name(NetworkName::parse, "network-1")),
                ..PoolNetworkDraft::default()
            }),
            container_cidr: has_container.then(|| "172.16.0.0/16".to_owned()),
            service_cidr: has_service.then(|| "10.247.0.0/16".to_owned()),
            masters: masters
                .into_iter()
                .take(3)
                .map(|az| az.map(|az| name(domain::name::ZoneName::parse, &az)))
                .collect(),
            cluster_flavor: has_cluster.then(|| "cce.s1.small".to_owned()),
            driver,
            ipv6: Some(ipv6),
            ..metadata
        });
        pool.labels.insert("os.modelarts/region".to_owned(), "r-1".to_owned());
        if has_accelerators {
            let status = DriverStatus {
                version: "1".to_owned(),
                target: "2".to_owned(),
                state: DriverState::Upgrading,
                message: None,
            };
            pool.status.drivers.insert(Accelerator::Gpu, status);
        }
        pool
    })
}

fn logical() -> impl Strategy<Value = Pool> {
    (metadata(), logical_elements(), any::<bool>()).prop_map(|(metadata, resources, has_parent)| {
        pool_of(PoolDraft {
            resources,
            parent: has_parent.then(|| name(PoolName::parse, "pool-parent")),
            ..metadata
        })
    })
}

pub fn pool() -> impl Strategy<Value = Pool> {
    prop_oneof![2 => physical(), 1 => logical()]
}
