"""Plug-ins of a pool, and what job types have to do with them. The SDK creates and lists; the rest is plain signed HTTP."""

import json

import pytest
from huaweicloudsdkmodelarts.v1 import CreatePluginRequestBody, PluginSpec, Template

from sdk_calls import BAD, NO_POOL, NOT_FOUND, ask, nowhere, patch, refused, show
from support import fresh_name, wait_until

EXISTS = "ModelArts.50005100"
MERGE_PATCH = "application/merge-patch+json"


def install(sdk, pool, template, **wanted):
    spec = PluginSpec(template=Template(name=template, **wanted))
    return ask(sdk.create_pool_plugin, pool_name=pool, body=CreatePluginRequestBody(api_version="v2", kind="Plugin", spec=spec))


def path_of(pool, template):
    return f"/v2/{{p}}/pools/{pool}/plugins/{template}"


def change(api, pool, template, **wanted):
    return api.call("PATCH", path_of(pool, template), {"spec": {"template": wanted}}, MERGE_PATCH)


def installed(sdk, pool):
    return [plugin.spec.template.name for plugin in ask(sdk.list_pool_plugins, pool_name=pool).items]


def wait_for_plugin(api, pool, template, **status):
    """The plug-in as soon as these members of its status are as wanted."""

    def reached():
        plugin = api.get(path_of(pool, template)).expect(200)
        return plugin if status.items() <= plugin["status"].items() else None

    return wait_until(f"plug-in {template} has {status}", reached)


def wait_for_scope(sdk, pool, job_type, state):
    def reached():
        found = [entry for entry in show(sdk, pool).to_json_object()["status"]["scope"] if entry["scopeType"] == job_type]
        return found[0] if found and found[0]["state"] == state else None

    return wait_until(f"{job_type} is {state}", reached)


@pytest.fixture
def pool(sdk, new_pool):
    """A pool whose job type Train is enabled, and volcano with it."""
    made = new_pool()
    wait_for_scope(sdk, made, "Train", "Enabled")
    return made


def test_a_plugin_lives_from_installation_to_removal(sdk, api, pool):
    assert installed(sdk, pool) == ["volcano"], "job type Train has installed it"
    made = install(sdk, pool, "log-agent")
    assert (made.kind, made.api_version, made.metadata.name) == ("Plugin", "v2", f"{pool}-log-agent")
    assert (made.status.phase, made.spec.template.version) == ("Pending", "1.2.0")
    running = wait_for_plugin(api, pool, "log-agent", phase="Running")
    assert (running["status"]["version"], running["status"]["reason"]) == ("1.2.0", "Install complete")
    assert "resources" not in running["status"]
    detailed = api.get(path_of(pool, "log-agent") + "?detail=true").expect(200)["status"]["resources"]
    assert detailed[0]["involvedObject"]["name"] == "log-agent" and isinstance(detailed[0]["replicas"], int)
    listed = ask(sdk.list_pool_plugins, pool_name=pool)
    assert (listed.kind, {item.status.phase for item in listed.items}) == ("PluginList", {"Running"})
    with refused(409, EXISTS, "Plugin log-agent already exists."):
        install(sdk, pool, "log-agent")
    last = api.call("DELETE", path_of(pool, "log-agent")).expect(200)
    assert last["metadata"]["name"] == made.metadata.name
    wait_until("the plug-in is gone", lambda: api.get(path_of(pool, "log-agent")).status == 404)
    api.get(path_of(pool, "log-agent")).expect_error(404, NOT_FOUND, "Plugin log-agent not found.")
    assert installed(sdk, pool) == ["volcano"]


def test_a_version_can_go_down_and_up_again(sdk, api, pool):
    for version in ("1.14.1", "1.15.0"):
        changed = change(api, pool, "volcano", version=version).expect(200)
        assert changed == {"spec": {"template": {"name": "volcano", "version": version}}}, "the spec and nothing else"
        upgraded = wait_for_plugin(api, pool, "volcano", phase="Running", version=version)
        assert upgraded["status"]["reason"] == "Upgrade complete"
    wait_for_scope(sdk, pool, "Train", "Enabled")


def test_inputs_replace_each_other_over_the_defaults(sdk, api, undo, pool):
    name = fresh_name("proxy")
    defaults = {"level": "info", "port": 80}
    versions = [{"version": "2", "inputs": {**defaults, "port": 81}}, {"version": "1", "inputs": defaults}]
    undo.make("plugin-templates", {"name": name, "type": "helm", "versions": versions}, f"plugin-templates/{name}")

    def settled(**values):
        def reached():
            status = api.get(path_of(pool, name)).expect(200)["status"]
            return status["phase"] == "Running" and json.loads(status.get("values", "null")) == values

        wait_until(f"{name} runs with {values}", reached)

    made = install(sdk, pool, name, version="1", inputs={"level": "warn"})
    assert made.spec.template.inputs == {"level": "warn"}
    settled(level="warn", port=80)
    change(api, pool, name, version="2").expect(200)
    settled(level="warn", port=81)
    change(api, pool, name, inputs={"port": 9}).expect(200)
    settled(level="info", port=9)


@pytest.mark.parametrize(
    ("template", "fragment"),
    [
        ({"name": "no-such-plugin"}, "no-such-plugin"),
        ({"name": "log-agent", "version": "0.0"}, "0.0"),
        ({"name": "log-agent", "inputs": []}, "inputs"),
        ({}, "name"),
    ],
)
def test_a_wrong_plugin_is_refused(sdk, pool, template, fragment):
    body = {"apiVersion": "v2", "kind": "Plugin", "spec": {"template": template}}
    with refused(400, BAD, fragment):
        ask(sdk.create_pool_plugin, pool_name=pool, body=body)
    assert installed(sdk, pool) == ["volcano"]


def test_a_plugin_that_is_needed_or_unknown_cannot_be_removed_or_changed(sdk, api, settings, pool):
    api.call("DELETE", path_of(pool, "volcano")).expect_error(400, BAD, "Train")
    api.call("DELETE", path_of(pool, "none")).expect_error(404, NOT_FOUND, "Plugin none not found.")
    change(api, pool, "none", version="1").expect_error(404, NOT_FOUND, "Plugin none not found.")
    change(api, pool, "volcano", version="0.0").expect_error(400, BAD, "0.0")
    change(api, pool, "volcano", name="log-agent").expect_error(400, BAD, "name")
    api.call("PATCH", path_of(pool, "volcano"), {}, "text/plain").expect_error(415, "ModelArts.50004100")
    assert api.get(path_of(pool, "volcano")).expect(200)["spec"]["template"]["version"] == "1.15.0"
    api.get(path_of(nowhere(settings), "volcano")).expect_error(404, NO_POOL)
    with refused(404, NO_POOL, "pool not found"):
        installed(sdk, nowhere(settings))
    with refused(404, NO_POOL, "pool not found"):
        install(sdk, nowhere(settings), "log-agent")


def test_a_job_type_that_failed_is_enabled_by_another_try(sdk, api, operator, settings, pool):
    retry = f"/v2/{{p}}/pools/{pool}/retry-scope"
    faults = f"{{p}}/pools/{pool}/faults"
    operator.post(faults, {"kind": "dependencyDown", "jobType": "Notebook", "reason": "the image store is away"})
    patch(sdk, pool, {"spec": {"scope": ["Train", "Notebook"]}})
    failed = wait_for_scope(sdk, pool, "Notebook", "EnableFailed")
    assert "the image store is away" in failed["message"]
    told = f"Bad request. The pool {pool} scope Train cannot be enabled."
    api.call("POST", retry, {"scope": "Train"}).expect_error(400, BAD, told)
    api.call("POST", retry, {"scope": "Everything"}).expect_error(400, BAD, "scope")
    api.call("POST", retry, {}).expect_error(400, BAD, "scope")
    api.call("POST", f"/v2/{{p}}/pools/{nowhere(settings)}/retry-scope", {"scope": "Train"}).expect_error(404, NO_POOL)
    operator.call("DELETE", faults).expect(200)
    assert api.call("POST", retry, {"scope": "Notebook"}).expect(200) == {}
    wait_for_scope(sdk, pool, "Notebook", "Enabled")
