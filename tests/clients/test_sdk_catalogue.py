"""Flavors, their templates and plug-in templates: what the operator keeps, read through the vendor's SDK."""

import pytest
from huaweicloudsdkmodelarts.v1 import ListResourceFlavorsRequest

from sdk_calls import BAD, CPU4, CPU8, GPU, NO_POOL, NOT_FOUND, ask, nowhere, refused
from support import fresh_name

SLICE = "modelarts.npu.snt9b8.quarter"

# Flavors


def test_flavors_carry_what_the_models_read(sdk):
    flavors = {item.metadata.name: item for item in sdk.list_resource_flavors(ListResourceFlavorsRequest()).items}
    assert {CPU8, CPU4, GPU, "modelarts.vm.gpu.tnt004"} <= set(flavors)
    small = flavors[CPU8]
    assert (small.spec.type, small.spec.cpu_arch) == ("Dedicate", "x86")
    assert int(small.spec.cpu) > 0 and small.spec.memory
    assert 0 in small.spec.billing_modes
    assert "Train" in small.metadata.labels.os_modelarts_scope.split(".")
    assert small.status.phase and set(small.status.phase.values()) <= {"normal", "soldout"}
    assert int(flavors[GPU].spec.gpu.size) > 0
    assert any(item.spec.npu and int(item.spec.npu.size) > 0 for item in flavors.values()), "no Ascend flavor"


def test_flavors_are_paged_by_continue(sdk):
    every = [item.metadata.name for item in sdk.list_resource_flavors(ListResourceFlavorsRequest()).items]
    seen, token = [], None
    for _ in every:
        page = sdk.list_resource_flavors(ListResourceFlavorsRequest(limit=2, _continue=token))
        assert len(page.items) <= 2
        seen += [item.metadata.name for item in page.items]
        token = page.metadata._continue
        if not token:
            break
    assert not token and seen == every == sorted(every)
    with refused(400, BAD):
        sdk.list_resource_flavors(ListResourceFlavorsRequest(_continue="not a token"))


@pytest.fixture
def described_flavor(undo):
    """A flavor with all that a flavor can have, and two machines of it in one of its two zones."""
    name = "ct.flavor." + fresh_name("f")
    flavor = {
        "name": name,
        "cpuArch": "arm64",
        "cpu": 24,
        "memory": "96Gi",
        "zones": ["az-1", "az-2"],
        "labels": {"ct/rack": "7"},
        "dataVolumes": [{"volumeType": "SSD", "size": "500Gi"}],
        "nodeConfigTemplate": f"{name}-config",
        "creatingSteps": [{"type": "rack", "step": 2}],
    }
    undo.make("flavors", flavor, f"flavors/{name}")
    prefix = fresh_name("m")
    machines = undo.make("machines", {"id": prefix, "flavor": name, "az": "az-1", "count": 2})["machines"]
    undo.also(f"machines/{machine['id']}" for machine in machines)
    return name


def test_a_flavor_is_shown_as_the_operator_made_it(sdk, described_flavor):
    found = ask(sdk.list_resource_flavors, label_selector="ct/rack=7")
    assert [item.metadata.name for item in found.items] == [described_flavor]
    flavor, whole = found.items[0], found.to_json_object()["items"][0]
    assert (flavor.spec.cpu_arch, flavor.spec.cpu, flavor.spec.memory) == ("arm64", "24", "96Gi")
    assert flavor.status.phase == {"az-1": "normal", "az-2": "soldout"}, "there are machines in one zone only"
    assert [(disk.volume_type, disk.size) for disk in flavor.spec.data_volume] == [("SSD", "500Gi")]
    assert whole["spec"]["dataVolume"] == whole["spec"]["dataVolumes"]
    assert [(step["step"], step["type"]) for step in whole["spec"]["creatingSteps"]] == [(2, "rack")]
    assert ask(sdk.list_resource_flavors, label_selector="ct/rack,ct/rack!=7").items == []
    with refused(400, BAD, "labelSelector"):
        ask(sdk.list_resource_flavors, label_selector="ct/rack in (7")


def test_the_template_of_a_flavor_tells_how_nodes_are_set_up(sdk, described_flavor):
    template = ask(sdk.show_node_config_template, nodeconfigtemplate_name=f"{described_flavor}-config")
    assert (template.api_version, template.kind, template.metadata.name) == ("v1", "NodeConfigTemplate", f"{described_flavor}-config")
    assert isinstance(template.spec.docker_base_size, int)
    lvm = template.spec.docker_lvm_config
    assert lvm.docker_thin_pool + lvm.kubernetes_lv == 100 and lvm.docker_disk_type in ("evs", "ssd")
    assert all(system.name for system in template.spec.os_list)
    with refused(404, NOT_FOUND, "NodeConfigTemplate none not found."):
        ask(sdk.show_node_config_template, nodeconfigtemplate_name="none")


# Virtual flavors; the SDK has no methods for them


def test_virtual_flavors_are_a_list_of_their_own(sdk, api):
    listed = api.get("/v1/{p}/virtualresourceflavors").expect(200)
    assert (listed["kind"], listed["apiVersion"], listed["metadata"]) == ("ResourceFlavorList", "v1", {})
    slices = {item["metadata"]["name"]: item["spec"] for item in listed["items"]}
    assert slices[SLICE]["type"] == "Logical" and slices[SLICE]["npu"]["size"] == "1"
    assert slices[SLICE]["visibility"] == "invisible" and slices[SLICE]["virtualResourceTemplateName"]
    physical = {item.metadata.name for item in ask(sdk.list_resource_flavors).items}
    assert physical.isdisjoint(slices)


def test_a_virtual_resource_template_tells_how_accelerators_are_cut(api, undo):
    part = {"name": SLICE, "resources": {"AICORE": 5, "memory": "16G"}, "resourceKey": "huawei.com/ascend-snt9-5c"}
    name = fresh_name("cut")
    path = f"/v1/{{p}}/virtualresourcetemplates/{name}"
    api.get(path).expect_error(404, NOT_FOUND, f"VirtualResourceTemplate {name} not found.")
    whole = {"AICORE": 20, "AICPU": 6, "memory": "64G"}
    template = {"name": name, "resources": whole, "resourceKey": "huawei.com/ascend-snt9", "virtualResources": [part]}
    undo.make("virtual-resource-templates", template, f"virtual-resource-templates/{name}")
    shown = api.get(path).expect(200)
    assert (shown["apiVersion"], shown["kind"], shown["metadata"]["name"]) == ("v1", "VirtualResourceTemplate", name)
    assert shown["spec"]["resources"] == whole and shown["spec"]["resourceKey"] == "huawei.com/ascend-snt9"
    assert shown["virtualResources"] == shown["spec"]["virtualResources"] == [part]


# Plug-in templates


def template_names(sdk, **query):
    return [item.metadata.name for item in ask(sdk.list_plugin_templates, **query).items]


def test_plugin_templates_are_listed_with_their_versions(sdk):
    listed = ask(sdk.list_plugin_templates, template_name="volcano")
    assert (listed.kind, [item.metadata.name for item in listed.items]) == ("PluginTemplateList", ["volcano"])
    spec = listed.items[0].spec
    assert spec.type in ("helm", "ccePlugin") and isinstance(spec.optional, bool)
    assert [version.version for version in spec.versions] == ["1.15.0", "1.14.1"], "newest first"
    with refused(404, NOT_FOUND, "Plugintemplate none not found."):
        template_names(sdk, template_name="none")


def test_plugin_templates_of_a_pool_are_those_that_fit(sdk, settings, new_pool):
    everything = template_names(sdk)
    assert {"gpu-driver", "npu-driver", "volcano", "log-agent"} <= set(everything)
    fitting = template_names(sdk, pool_name=new_pool())
    assert "volcano" in fitting and not {"gpu-driver", "npu-driver"} & set(fitting)
    with refused(404, NO_POOL):
        template_names(sdk, pool_name=nowhere(settings))


@pytest.mark.parametrize("name", ["gpu-driver", "npu-driver", "volcano"])
def test_a_plugin_template_is_shown_with_a_map_of_versions(sdk, name):
    shown = ask(sdk.show_plugin_template, plugintemplate_name=name)
    assert (shown.api_version, shown.kind, shown.metadata.name) == ("v1", "PluginTemplate", name)
    assert shown.spec.versions and all(key == version.version for key, version in shown.spec.versions.items())
    whole = shown.to_json_object()
    assert whole["versions"] == whole["spec"]["versions"]
    if name.endswith("-driver"):
        assert shown.spec.type == name
    listed = ask(sdk.list_plugin_templates, template_name=name).items[0].spec.versions
    assert {version.version for version in listed} == set(shown.spec.versions)
    with refused(404, NOT_FOUND, "Plugintemplate none not found."):
        ask(sdk.show_plugin_template, plugintemplate_name="none")
