"""The Terraform provider's data sources and node actions (contract: clients.md, section 3, last table).

They read members by name and by type; `gives up` in a failure means that the provider would end with an error or crash.
"""

from support import wait_until
from terraform import PAGE

# What every data source reads: members by path, with the type that the provider's decoder insists on.
METADATA = {"metadata.name": str}
NODE = {
    **METADATA,
    "metadata.creationTimestamp": str,
    "metadata.labels": dict,
    "metadata.annotations": dict,
    "spec.flavor": str,
    "spec.extendParams": dict,
    "spec.hostNetwork": dict,
    "spec.os.imageId": str,
    "status.phase": str,
    "status.az": str,
    "status.driver": dict,
    "status.os.name": str,
    "status.plugins": list,
    "status.privateIp": str,
    "status.resources": dict,
    "status.availableResources": dict,
}
FLAVOR = {
    **METADATA,
    "metadata.labels": dict,
    "spec.type": str,
    "spec.cpuArch": str,
    "spec.cpu": str,
    "spec.memory": str,
    "spec.gpu": dict,
    "spec.npu": dict,
    "spec.dataVolumes": list,
    "spec.billingModes": list,
    "spec.jobFlavors": list,
    "status.phase": dict,
}
PLUGIN = {
    **METADATA,
    "metadata.creationTimestamp": str,
    "spec.template.name": str,
    "spec.template.version": str,
    "spec.template.inputs": dict,
    "status.phase": str,
    "status.version": str,
    "status.reason": str,
    "status.values": str,
    "status.resources": list,
}
TEMPLATE = {
    **METADATA,
    "metadata.annotations": dict,
    "spec.optional": bool,
    "spec.type": str,
    "spec.description": str,
    "spec.logo_url": str,
    "spec.versions": list,
}
VERSION = {"version": str, "creation_timestamp": str, "description": str, "inputs": dict, "translate": dict}
WORKLOAD = {
    "type": str,
    "namespace": str,
    "name": str,
    "jobName": str,
    "uid": str,
    "jobUUID": str,
    "flavor": str,
    "status": str,
    "resourceRequirement": dict,
    "priority": str,
    "runningDuration": int,
    "pendingDuration": int,
    "pendingPosition": int,
    "createTime": int,
    "gvk": str,
    "hostIps": str,
}
POOL = {
    **METADATA,
    "metadata.labels": dict,
    "metadata.annotations": dict,
    "spec.type": str,
    "spec.scope": list,
    "spec.resources": list,
    "spec.network.name": str,
    "spec.clusters": list,
    "status.phase": str,
    "status.scope": list,
    "status.resources": dict,
}
WORKSPACE = {"id": str, "name": str, "auth_type": str, "status": str, "create_time": int}


def at(item, path):
    for member in path.split("."):
        item = item.get(member) if isinstance(item, dict) else None
    return item


def unreadable(item, reads, always=()):
    """Members that the provider cannot decode, and those of `always` that are missing."""
    values = {path: at(item, path) for path in reads}
    wrong = {path: value for path, value in values.items() if value is not None and type(value) is not reads[path]}
    found = [f"{path} is not {reads[path].__name__}: {value!r}" for path, value in wrong.items()]
    texts = [(path, key, value) for path in ("metadata.labels", "metadata.annotations") for key, value in (at(item, path) or {}).items()]
    found += [f"{path}[{key}] is not a string: {value!r}" for path, key, value in texts if not isinstance(value, str)]
    return found + [f"{path} is missing" for path in always if at(item, path) is None]


class DataSources:
    """Reads what the provider's data sources read, page by page where it pages."""

    def __init__(self, terraform):
        self._send = terraform.session.send
        self._v1, self._v2 = f"/v1/{terraform.project_id}", f"/v2/{terraform.project_id}"

    def _items(self, path, query=(), member="items"):
        items = self._send("GET", path, query).expect(200)[member]
        assert isinstance(items, list), f"crashes: {member} is not an array"
        return items

    def pools(self, **query):
        return self._items(f"{self._v2}/pools", list(query.items()))

    def nodes(self, pool):
        return self._items(f"{self._v2}/pools/{pool}/nodes")

    def node_pool_nodes(self, pool, node_pool):
        return self._items(f"{self._v2}/pools/{pool}/nodepools/{node_pool}/nodes")

    def flavors(self, *selector):
        return self._continued(f"{self._v1}/resourceflavors", [("labelSelector", one) for one in selector])

    def networks(self, *selector):
        return self._continued(f"{self._v1}/networks", [("limit", PAGE), *(("labelSelector", one) for one in selector)])

    def _continued(self, path, query):
        found, token = [], None
        while True:
            page = self._send("GET", path, [*query, *([("continue", token)] if token else [])]).expect(200)
            found += page["items"]
            token = page["metadata"].get("continue")
            if not token or not page["items"]:
                return found

    def plugins(self, pool):
        return self._items(f"{self._v2}/pools/{pool}/plugins")

    def plugin_templates(self, **query):
        return self._items(f"{self._v2}/plugintemplates", list(query.items()))

    def workloads(self, pool, **query):
        found = []
        while True:
            page = self._items(f"{self._v2}/pools/{pool}/workloads", [("limit", PAGE), ("offset", len(found)), *query.items()])
            found += page
            if len(page) < PAGE:
                return found

    def workspaces(self):
        return self._items(f"{self._v1}/workspaces", [("limit", PAGE), ("offset", 0)], "workspaces")

    def workspace(self, workspace_id):
        return self._send("GET", f"{self._v1}/workspaces/{workspace_id}").expect(200)


class NodeActions:
    """The provider's one-shot resources for nodes, with what they wait for."""

    def __init__(self, terraform):
        self._terraform = terraform
        self._send = terraform.session.send
        self._v2 = f"/v2/{terraform.project_id}"

    def post(self, pool, action, body):
        return self._send("POST", f"{self._v2}/pools/{pool}/nodes/batch-{action}", body=body)

    def delete(self, pool, names):
        """Done when the names are gone from the list."""
        self.post(pool, "delete", {"deleteNodeNames": names}).expect(200, 201, 202)

        def gone():
            return {node["metadata"]["name"] for node in self._terraform.list_nodes(pool)}.isdisjoint(names)

        wait_until(f"{names} are gone", gone)

    def run_job(self, pool, action, body):
        """Reboot, reset and migrate: `Success` ends the wait, a phase with `Failed` in it aborts."""
        job = self.post(pool, action, body).expect(200, 201, 202).get("job_id")
        assert job, "gives up: no job_id"

        def ended():
            phase = self._send("GET", f"{self._v2}/jobs/{job}").expect(200)["phase"]
            assert "Failed" not in phase, f"gives up: {phase}"
            return phase == "Success"

        wait_until(f"job {job} has succeeded", ended)

    def lock(self, pool, names):
        self.post(pool, "lock", {"nodeNames": names, "actions": ["delete"]}).expect(200, 201, 202)

    def unlock(self, pool, names):
        self.post(pool, "unlock", {"nodeNames": names, "actions": ["delete"]}).expect(200, 201, 202)

    def resize(self, pool, body):
        order = self.post(pool, "resize", body).expect(200, 201, 202).get("orderName")
        assert order, "gives up: no orderName"
        return self._terraform.follow_order(pool, order)
