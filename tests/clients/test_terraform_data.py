"""The Terraform provider's data sources and node actions against a running server."""

import pytest

from support import fresh_name
from terraform import CPU4, CPU8, GPU, UNDERLYING, cpu_resource, order_name, pool_body
from terraform_data import (
    FLAVOR, NODE, PLUGIN, POOL, TEMPLATE, VERSION, WORKLOAD, WORKSPACE, DataSources, NodeActions, unreadable,
)

BILLING = "os.modelarts/billing.mode"


@pytest.fixture
def data(terraform):
    return DataSources(terraform)


@pytest.fixture
def actions(terraform):
    return NodeActions(terraform)


@pytest.fixture
def applied(settings, terraform, ledger):
    """Applies a plan with these resources; gives the pool's id."""

    def make(*resources, **spec):
        name = fresh_name("pool")
        ledger.pool(name)
        body = pool_body(name, settings.demo_network, list(resources) or [cpu_resource()])
        body["spec"].update(spec)
        return terraform.create_pool(body)["metadata"]["name"]

    return make


def names(nodes):
    return [node["metadata"]["name"] for node in nodes]


# Data sources


def test_pools_are_read_with_all_their_members(data, applied):
    pool = applied()
    (shown,) = [item for item in data.pools(status="created", workspaceId="0") if item["metadata"]["name"] == pool]
    always = ["metadata.labels", "metadata.annotations", "spec.type", "spec.scope", "spec.resources", "status.phase", "status.scope"]
    assert unreadable(shown, POOL, always) == []
    assert all(unreadable(item, POOL) == [] for item in data.pools())
    assert names(data.pools(status="", workspaceId="")) == names(data.pools()), "an empty filter is none"
    assert isinstance(shown["metadata"]["annotations"][BILLING], str), "the data source crashes on a number"
    for group in shown["status"]["resources"].values():
        assert isinstance(group, list) and all(isinstance(element.get("azs", []), list) for element in group)


def test_all_nodes_of_a_pool_and_of_its_default_node_pools_are_read_at_once(data, settings, terraform, applied):
    pool = applied(cpu_resource(count=2), {"flavor": CPU4, "count": 1})
    nodes = data.nodes(pool)
    status = ("phase", "az", "privateIp", "resources", "availableResources")
    always = ["metadata.labels", "spec.flavor", *(f"status.{name}" for name in status)]
    assert len(nodes) == 3 and [unreadable(node, NODE, always) for node in nodes] == [[], [], []]
    assert all(node["metadata"]["labels"][UNDERLYING] for node in nodes)
    of_default = data.node_pool_nodes(pool, f"{CPU8}-default")
    assert sorted(names(of_default)) == sorted(names(node for node in nodes if node["spec"]["flavor"] == CPU8))
    path = f"/v2/{settings.project_id}/pools/{pool}/nodepools/none-default/nodes"
    terraform.session.send("GET", path).expect_error(404, "ModelArts.50005101", "invalid nodepool name")


def test_the_driver_of_a_node_is_read(data, applied):
    node = data.nodes(applied({"count": 1, "flavor": GPU}))[0]
    assert unreadable(node, NODE, ["status.driver"]) == []
    assert set(node["status"]["driver"]) >= {"phase", "version"} and node["status"]["driver"]["phase"] == "Running"


def test_flavors_are_read_by_a_tag_or_a_bare_key(data):
    everything = data.flavors()
    always = ["metadata.labels", "spec.type", "spec.cpuArch", "spec.cpu", "spec.memory", "spec.billingModes", "status.phase"]
    assert [unreadable(flavor, FLAVOR, always) for flavor in everything] == [[]] * len(everything)
    assert all(type(mode) is int for flavor in everything for mode in flavor["spec"]["billingModes"])
    assert names(data.flavors("os.modelarts/scope")) == names(everything), "a key alone"
    assert data.flavors("os.modelarts/scope=none") == []


def test_networks_are_read_until_the_last_page(data, settings):
    assert settings.demo_network in names(data.networks())
    assert names(data.networks("os.modelarts/name=network-21e1")) == [settings.demo_network]


def test_plugins_are_read_with_their_state(data, applied):
    plugins = data.plugins(applied())
    always = ["spec.template.name", "spec.template.version", "status.phase", "status.version", "status.reason"]
    assert [plugin["spec"]["template"]["name"] for plugin in plugins] == ["volcano"]
    assert unreadable(plugins[0], PLUGIN, always) == [] and plugins[0]["status"]["phase"] == "Running"


def test_plugin_templates_are_read_with_both_spellings(data, applied):
    everything = data.plugin_templates()
    assert [unreadable(template, TEMPLATE, ["metadata.annotations", "spec.logo_url"]) for template in everything] == [[]] * len(everything)
    versions = [version for template in everything for version in template["spec"]["versions"]]
    assert versions and all(unreadable(version, VERSION, ["version", "creation_timestamp"]) == [] for version in versions)
    assert names(data.plugin_templates(templateName="volcano")) == ["volcano"]
    assert set(names(data.plugin_templates(poolName=applied()))) < set(names(everything))


def test_workloads_are_read_page_by_page(data, operator, applied):
    pool = applied(cpu_resource(count=2))
    assert data.workloads(pool) == []
    job = {"type": "train", "flavor": CPU8, "nodes": 1}
    made = [operator.post(f"{{p}}/pools/{pool}/workloads", job)["id"] for _ in range(3)]
    found = data.workloads(pool, sort="create_time", ascend="true")
    assert sorted(item["uid"] for item in found) == sorted(made)
    assert [unreadable(item, WORKLOAD, WORKLOAD) for item in found] == [[], [], []]
    assert [item["uid"] for item in data.workloads(pool, status="Queue", type="train")] == made[2:]


def test_a_configuration_makes_its_own_workspace(data, settings, terraform, ledger):
    path, name = f"/v1/{settings.project_id}/workspaces", fresh_name("ws")
    body = {"name": name, "description": "", "auth_type": "PUBLIC"}
    workspace = terraform.session.send("POST", path, body=body).expect(200, 201, 202)["id"]
    ledger.workspace(workspace)
    shown = data.workspace(workspace)
    assert unreadable(shown, WORKSPACE, WORKSPACE) == [] and (shown["name"], shown["status"]) == (name, "NORMAL")
    assert workspace in [item["id"] for item in data.workspaces()] and "0" in [item["id"] for item in data.workspaces()]
    terraform.session.send("PUT", f"{path}/{workspace}", body={"description": "changed"}).expect(200)
    assert data.workspace(workspace)["description"] == "changed"

    display_name = fresh_name("pool")
    pool = ledger.pool(display_name)
    planned = pool_body(display_name, settings.demo_network, [cpu_resource()])
    planned["metadata"]["labels"]["os.modelarts/workspace.id"] = workspace
    assert terraform.create_pool(planned)["metadata"]["labels"]["os.modelarts/workspace.id"] == workspace
    assert names(data.pools(workspaceId=workspace)) == [pool] and pool not in names(data.pools())
    terraform.delete_pool(pool)
    terraform.session.send("DELETE", f"{path}/{workspace}").expect(200, 202, 204)


# Node actions


def test_named_nodes_are_deleted_and_the_plan_is_told(data, actions, terraform, applied):
    pool = applied(cpu_resource(count=3))
    doomed = names(data.nodes(pool))[:2]
    actions.delete(pool, doomed)
    assert len(data.nodes(pool)) == 1
    resource = terraform.show_pool(pool)["spec"]["resources"][0]
    assert (resource["count"], resource["maxCount"]) == (1, 1)
    unknown = actions.post(pool, "delete", {"deleteNodeNames": doomed[:1]})
    unknown.expect_error(404, "ModelArts.50005101", doomed[0])


def test_nodes_are_locked_and_unlocked(data, actions, applied):
    pool = applied(cpu_resource(count=2))
    locked = names(data.nodes(pool))[:1]
    actions.lock(pool, locked)
    actions.post(pool, "delete", {"deleteNodeNames": locked}).expect_error(400, "ModelArts.50004000", locked[0])
    actions.unlock(pool, locked)
    actions.delete(pool, locked)


def test_a_reboot_and_a_reset_are_jobs(data, actions, applied):
    pool = applied(cpu_resource(count=2))
    node = names(data.nodes(pool))[0]
    actions.run_job(pool, "reboot", {"nodeNames": [node]})
    rolling = {"strategy": "RollingByNumber", "maxUnavailable": 1}
    body = {"nodeNames": [node], "rollingConfig": rolling, "nodeConfig": {"os": "Ubuntu 22.04"}}
    actions.run_job(pool, "reset", body)
    systems = {node["metadata"]["name"]: node["spec"]["os"]["name"] for node in data.nodes(pool) if node["spec"].get("os")}
    assert systems[node] == "Ubuntu 22.04"
    actions.post(pool, "reboot", {"nodeNames": ["os-node-none"]}).expect_error(404, "ModelArts.50005101", "os-node-none")


def test_a_migration_is_a_job(data, actions, applied):
    source, target = applied(cpu_resource(count=2)), applied()
    node = names(data.nodes(source))[0]
    clusters = {"fromClusterName": source, "toClusterName": target}
    actions.run_job(source, "migrate", {"migrateNodeNames": [node], **clusters, "resourceSpec": {"flavor": CPU8}})
    assert node in names(data.nodes(target)) and node not in names(data.nodes(source))


def test_supernodes_are_resized_by_an_order_that_is_followed(data, actions, super_flavor, applied):
    step = {"step": 2, "type": "hyperinstance"}
    pool = applied({"count": 2, "flavor": super_flavor, "creatingStep": step})
    batch = data.nodes(pool)[0]["metadata"]["labels"]["os.modelarts.node/batch.uid"]
    ends = [{"flavor": super_flavor, "creatingStep": {**step, "step": number}} for number in (2, 4)]
    made = actions.resize(pool, {"nodes": [{"batchUID": batch}], "source": ends[0], "target": ends[1]})
    assert len(data.nodes(pool)) == 4 and len(set(made) & set(names(data.nodes(pool)))) == 2


# What else a plan can hold


def test_prepaid_scaling_carries_an_empty_order_id(data, terraform, applied):
    pool = applied()
    shown = terraform.show_pool(pool)
    resource = {**shown["spec"]["resources"][0], "count": 2}
    terms = {BILLING: "1", "os.modelarts/period.num": "1", "os.modelarts/period.type": "2"}
    annotations = {**terms, "os.modelarts/order.id": "", "os.modelarts/auto.pay": "1"}
    body = {"metadata": {"annotations": annotations}, "spec": {"resources": [resource], "scope": ["Infer", "Train"]}}
    patched = terraform.patch_pool(pool, body)
    made = terraform.follow_order(pool, order_name(patched))
    prepaid = [node["metadata"]["name"] for node in data.nodes(pool) if node["metadata"]["annotations"].get(BILLING) == "1"]
    assert len(prepaid) == 1 and prepaid[0] in made, "they go to the billing service before the pool is deleted"
    assert terraform.show_pool(pool)["metadata"]["annotations"][BILLING] == "0"


def test_a_pool_is_described_only_if_it_was(terraform, applied):
    pool = applied()
    key = "os.modelarts/description"
    assert terraform.show_pool(pool)["metadata"]["annotations"].get(key, "") == ""
    body = {"metadata": {"annotations": {key: "once"}}, "spec": {"resources": [cpu_resource()], "scope": ["Infer", "Train"]}}
    terraform.patch_pool(pool, body)
    body["metadata"] = {}
    assert terraform.patch_pool(pool, body)["metadata"]["annotations"][key] == "once", "an emptied description is not sent"
