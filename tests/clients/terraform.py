"""The Terraform provider's requests and waits, as its sources make them (contract: clients.md, section 3).

Its pauses of 20-45 s between polls are shortened; everything else is meant literally. "Gives up" in a failure means that
the provider would end with an error although the server answered 2xx.
"""

import json
import time
from urllib.parse import quote

import operations
from support import RawHttp, authorization, sdk_date, wait_until

USER_AGENT = "terraform-provider-iac golangsdk/2.0.0"
MERGE_PATCH = "application/merge-patch+json"
PAGE = 500
CPU8, CPU4, GPU = "modelarts.vm.cpu.8ud", "modelarts.vm.cpu.4ud", "modelarts.vm.gpu.t4u8"
UNDERLYING = "os.modelarts.node/underlying.instance.id"
FINAL_SCOPE_STATES = {"Enabled", "Disabled"}
FINAL_DRIVER_PHASES = {"Running", "Abnormal", None}
_GO_JSON = json.JSONEncoder(separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def encode_body(value):
    """Go's JSON encoder: compact, keys of maps sorted, a newline at the end that belongs to the signed body."""
    return b"" if value is None else (_GO_JSON.encode(value) + "\n").encode()


class AccessKeySession:
    """Signs `accept;content-type;user-agent;x-sdk-date` only; X-Project-Id is added after signing, host is not signed."""

    def __init__(self, settings, **changes):
        self._http = RawHttp(settings.url, operations.TERRAFORM)
        self._keys = (changes.get("access_key", settings.access_key), changes.get("secret_key", settings.secret_key))
        self._project_id = changes.get("project_id", settings.project_id)
        self._host = changes.get("host")
        self._date = changes.get("date")

    def send(self, method, path, query=(), body=None, content_type="application/json"):
        """`query` is a list of pairs; the provider's signer sorts and encodes it before it is sent."""
        encoded = "&".join(f"{quote(name, safe='-_.~')}={quote(str(value), safe='-_.~')}" for name, value in sorted(query))
        target = f"{path}?{encoded}" if encoded else path
        payload = encode_body(body)
        content = {"content-type": content_type} if content_type else {}
        signed = {"accept": "application/json", **content, "user-agent": USER_AGENT, "x-sdk-date": self._date or sdk_date()}
        headers = {**signed, "Authorization": authorization(*self._keys, method, target, signed, payload)}
        if self._project_id:
            headers["X-Project-Id"] = self._project_id
        if self._host:
            headers["Host"] = self._host
        return self._http.send(method, target, headers, payload)


class TokenSession:
    """Token mode: the target goes out as it is written in the provider's source, unsorted and unencoded."""

    def __init__(self, settings, token):
        self._http = RawHttp(settings.url, operations.TERRAFORM)
        self._token = token

    def send(self, method, target, body=None, content_type="application/json"):
        headers = {"accept": "application/json", "content-type": content_type, "user-agent": USER_AGENT, "X-Auth-Token": self._token}
        return self._http.send(method, target, headers, encode_body(body))


class TerraformProvider:
    """What the two resources of the provider do, in access-key mode."""

    def __init__(self, settings):
        self.session = AccessKeySession(settings)
        self.project_id = settings.project_id
        self._pools = f"/v2/{settings.project_id}/pools"
        self._networks = f"/v1/{settings.project_id}/networks"
        self._orders = f"/v1/{settings.project_id}/orders"

    # Networks

    def create_network(self, labels, cidr):
        body = {"apiVersion": "v1", "kind": "Network", "metadata": {"labels": labels}, "spec": {"cidr": cidr}}
        created = self.session.send("POST", self._networks, body=body).expect(200, 201, 202)
        return created["metadata"]["name"]

    def show_network(self, name):
        return self.session.send("GET", f"{self._networks}/{name}").expect(200)

    def wait_for_network(self, name):
        """Any phase but `Active` means waiting, also `Abnormal`."""

        def active():
            network = self.show_network(name)
            return network if network["status"]["phase"] == "Active" else None

        network = wait_until(f"network {name} is Active", active)
        assert network["status"]["subnets"][0]["networkId"], "gives up: no status.subnets[0].networkId"
        return network

    def connect_network(self, name, peers, turbos):
        """Always both lists; an unused one as null. Waits for the pairs in `spec` and the ids in `status`."""
        connection = {"peerConnectionList": peers or None, "sfsTurboConnectionList": turbos or None}
        body = {"spec": {"connection": connection}}
        self.session.send("PATCH", f"{self._networks}/{name}", body=body, content_type=MERGE_PATCH).expect(200, 202, 204)

        def connected():
            network = self.show_network(name)
            got = {(peer["peerVpcId"], peer["peerSubnetId"]) for peer in network["spec"]["connection"].get("peerConnectionList", [])}
            status = network["status"]["connectionStatus"].get("sfsTurboStatus", [])
            wanted = sorted(turbo["sfsId"] for turbo in turbos)
            sfs_done = sorted(turbo["sfsId"] for turbo in status) == wanted and all(t["status"] == "Active" for t in status)
            return network if got >= {(p["peerVpcId"], p["peerSubnetId"]) for p in peers} and sfs_done else None

        return wait_until(f"network {name} is connected", connected)

    def delete_network(self, name):
        self.session.send("DELETE", f"{self._networks}/{name}").expect(200, 202, 204)
        self.wait_until_gone(f"{self._networks}/{name}")

    # Pools

    def create_pool(self, body):
        """POST and the three waits; gives the pool as read afterwards."""
        created = self.session.send("POST", self._pools, body=body).expect(200)
        pool = created["metadata"]["name"]
        self.follow_order(pool, order_name(created))
        return self.wait_for_scope(pool)

    def show_pool(self, pool):
        return self.session.send("GET", f"{self._pools}/{pool}").expect(200)

    def list_nodes(self, pool):
        """One request without paging parameters: it must hold all nodes."""
        listed = self.session.send("GET", f"{self._pools}/{pool}/nodes").expect(200)
        assert isinstance(listed["items"], list), "the provider crashes: items is not an array"
        return listed["items"]

    def patch_pool(self, pool, body):
        return self.session.send("PATCH", f"{self._pools}/{pool}", body=body, content_type=MERGE_PATCH).expect(200)

    def list_orders(self, pool):
        since = int(time.time() * 1000) - 3_600_000
        orders, offset = [], 0
        while True:
            query = [("involvedName", pool), ("limit", PAGE), ("offset", offset), ("since", since)]
            page = self.session.send("GET", self._orders, query).expect(200)["items"]
            orders += page
            if len(page) < PAGE:
                return orders
            offset += PAGE

    def follow_order(self, pool, order):
        """Wait 1 (the order ends) and wait 2 (its nodes' drivers). Gives the names of the resources the order made."""

        def ended():
            found = [item for item in self.list_orders(pool) if item["orderName"] == order]
            assert found, f"gives up: order {order} is not in the list"
            assert found[0]["phase"] != "failed", f"gives up: {found[0].get('failReason')}"
            return found[0] if found[0]["phase"] in ("successed", "partialSuccessed") else None

        wait_until(f"order {order} has ended", ended)
        phase = self.show_pool(pool)["status"]["phase"]
        assert phase == "Running", f"the order has ended, but the pool is {phase}; nothing waits for the phase"
        detail = self.session.send("GET", f"{self._orders}/{order}").expect(200)
        made = [item["resourceName"] for item in detail["items"] if item["status"] == "succeed"]

        def drivers_final():
            nodes = [node for node in self.list_nodes(pool) if node["metadata"]["name"] in made]
            phases = {node["status"].get("driver", {}).get("phase") for node in nodes}
            return phases <= FINAL_DRIVER_PHASES

        wait_until(f"the drivers of {made} are final", drivers_final)
        return made

    def wait_for_scope(self, pool):
        """Wait 3; `EnableFailed` keeps the provider waiting until its timeout."""

        def settled():
            shown = self.show_pool(pool)
            states = {entry["state"] for entry in shown["status"].get("scope", [])}
            return shown if states <= FINAL_SCOPE_STATES else None

        return wait_until(f"every job type of {pool} is settled", settled)

    def delete_pool(self, pool):
        for node in self.list_nodes(pool):
            billing = node["metadata"].get("annotations", {}).get("os.modelarts/billing.mode")
            assert billing != "1", f"the provider would go to a billing service for {node['metadata']['name']}"
        self.show_pool(pool)
        self.session.send("DELETE", f"{self._pools}/{pool}").expect(200, 202, 204)
        self.wait_until_gone(f"{self._pools}/{pool}")

    def wait_until_gone(self, path):
        """404 is the only answer that means gone; until then every answer must be a readable 200."""

        def gone():
            reply = self.session.send("GET", path)
            reply.expect(200, 404)
            return reply.status == 404

        wait_until(f"{path} is gone", gone)


# What a plan asks for


def pool_body(name, network, resources):
    """The create body as captured from the provider, for these resources; `clusters` is null on every standard pool."""
    labels = {"os.modelarts/name": name}
    spec = {"clusters": None, "network": {"name": network}, "scope": ["Infer", "Train"], "type": "Dedicate", "resources": resources}
    return {"apiVersion": "v2", "kind": "Pool", "metadata": {"labels": labels}, "spec": spec}


def cpu_resource(flavor=CPU8, **more):
    volume = {"size": "100", "volumeType": "SSD"}
    tags = [{"key": "team", "value": "a"}]
    return {"count": 1, "extendParams": {"dockerBaseSize": "50"}, "flavor": flavor, "rootVolume": volume, "tags": tags, **more}


def order_name(pool):
    name = pool["metadata"]["labels"].get("os.modelarts/order.name")
    assert name, "gives up: the answer has no label os.modelarts/order.name"
    return name


# What a plan compares

ALWAYS_COMPARED = ("flavor", "count", "tags")
COMPARED_IF_SENT = ("labels", "taints", "extendParams", "rootVolume", "os", "driver", "creatingStep", "network")


def plan_differences(sent, shown):
    """What `terraform plan` would still want to change after the pool was read back. Both are pool objects."""
    found = []
    annotations, shown_annotations = sent["metadata"].get("annotations", {}), shown["metadata"]["annotations"]
    key = "os.modelarts/description"
    if annotations.get(key, "") != shown_annotations.get(key, ""):
        found.append(f"description: {annotations.get(key)!r} -> {shown_annotations.get(key)!r}")
    if set(sent["spec"]["scope"]) != set(shown["spec"]["scope"]):
        found.append(f"scope: {sent['spec']['scope']} -> {shown['spec']['scope']}")
    wanted, got = sent["spec"]["resources"], shown["spec"]["resources"]
    if [r["flavor"] for r in wanted] != [r["flavor"] for r in got]:
        return [*found, f"order of resources: {[r['flavor'] for r in wanted]} -> {[r['flavor'] for r in got]}"]
    for index, (one, other) in enumerate(zip(wanted, got)):
        found += [f"resources[{index}].{difference}" for difference in resource_differences(one, other)]
    return found


def resource_differences(sent, shown):
    """Compares one element: a default `count` of data volumes, `types`, `nodePool` and `azs` may be added, nothing else."""
    compared = [*ALWAYS_COMPARED, *(name for name in COMPARED_IF_SENT if sent.get(name))]
    found = [f"{name}: {sent.get(name)} -> {shown.get(name)}" for name in compared if (sent.get(name) or None) != (shown.get(name) or None)]
    harmless = {"dataVolumes": ("count", 1), "volumeGroupConfigs": ("types", ["volume"])}
    for name, (member, default) in harmless.items():
        wanted = [{member: default, **element} for element in sent.get(name, [])]
        got = [{member: default, **element} for element in shown.get(name, [])]
        if wanted and wanted != got:
            found.append(f"{name}: {wanted} -> {got}")
    numbers = [shown["count"], shown["maxCount"]]
    if any(type(number) is not int for number in numbers):
        found.append(f"read error: count and maxCount are {numbers}")
    sizes = [volume["size"] for volume in [shown.get("rootVolume"), *shown.get("dataVolumes", [])] if volume]
    if any(not isinstance(size, str) for size in sizes):
        found.append(f"read error: volume sizes are {sizes}")
    return found
