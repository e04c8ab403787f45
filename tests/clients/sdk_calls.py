"""Short forms for calls through the vendor's SDK. Every request goes through the unmodified client."""

from contextlib import contextmanager

import huaweicloudsdkmodelarts.v1 as models
import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkmodelarts.v1 import (
    CreatePoolRequest,
    DeletePoolRequest,
    ListPoolNodesRequest,
    ListPoolsRequest,
    ModelArtsClient,
    PatchPoolRequest,
    ShowPoolRequest,
)

from support import wait_until

CPU8, CPU4, GPU = "modelarts.vm.cpu.8ud", "modelarts.vm.cpu.4ud", "modelarts.vm.gpu.t4u8"
BAD, NO_POOL, NOT_FOUND = "ModelArts.50004000", "ModelArts.50015001", "ModelArts.50005101"


def build_client(settings, project_id=None, access_key=None, secret_key=None, endpoint=None):
    """A client of its own for one test; what is not given is the right value."""
    credentials = BasicCredentials(access_key or settings.access_key, secret_key or settings.secret_key, project_id or settings.project_id)
    return ModelArtsClient.new_builder().with_credentials(credentials).with_endpoint(endpoint or settings.url).build()


def ask(method, /, **members):
    """Calls an SDK method with the request class that belongs to it."""
    request = getattr(models, method.__name__.title().replace("_", "") + "Request")
    return method(request(**members))


@contextmanager
def refused(status, code, *fragments):
    """The SDK must see a client error with our code, our message and a request id."""
    with pytest.raises(ClientRequestException) as caught:
        yield
    error = caught.value
    assert (error.status_code, error.error_code) == (status, code), error
    for fragment in fragments:
        assert fragment in error.error_msg, error
    assert error.request_id, "the SDK found no X-Request-Id"


def dedicated(name, network_name, /, resources=None, **spec):
    """A physical pool as a dict, for members that the SDK's create model does not know."""
    resources = resources or [{"flavor": CPU8, "count": 1}]
    labels = {"os.modelarts/name": name, "os.modelarts/workspace.id": "0"}
    body = {"type": "Dedicate", "scope": ["Train"], "network": {"name": network_name}, "resources": resources}
    return {"apiVersion": "v2", "kind": "Pool", "metadata": {"labels": labels}, "spec": {**body, **spec}}


def create(sdk, body):
    return sdk.create_pool(CreatePoolRequest(body=body))


def show(sdk, pool):
    return sdk.show_pool(ShowPoolRequest(pool_name=pool))


def patch(sdk, pool, body):
    return sdk.patch_pool(PatchPoolRequest(pool_name=pool, body=body))


def delete(sdk, pool):
    return sdk.delete_pool(DeletePoolRequest(pool_name=pool))


def logical(name, parent, resources=None):
    """A sub-pool as a dict: the SDK's create model has no `parent`."""
    labels = {"os.modelarts/name": name}
    spec = {"type": "Logical", "parent": parent, "resources": resources or [{"flavor": CPU8, "count": 1}]}
    return {"apiVersion": "v2", "kind": "Pool", "metadata": {"labels": labels}, "spec": spec}


def nowhere(settings):
    """The id of a pool that does not exist."""
    return f"no-such-pool-{settings.project_id}"


def show_node(sdk, pool, node):
    """A node as JSON: the SDK's model knows few of the annotations and conditions."""
    return ask(sdk.show_pool_node, pool_name=pool, node_name=node).to_json_object()


def order_of(pool):
    return pool.metadata.labels.os_modelarts_order_name


def counts_of(sdk, pool):
    return [(element.flavor, element.count) for element in show(sdk, pool).spec.resources]


def wait_for_job(api, job_id):
    """The finished job."""

    def ended():
        job = api.get(f"/v2/{{p}}/jobs/{job_id}").expect(200)
        return job if job["phase"] != "Running" else None

    return wait_until(f"job {job_id} has ended", ended)


def node_names(sdk, pool):
    return [node.metadata.name for node in sdk.list_pool_nodes(ListPoolNodesRequest(pool_name=pool)).items]


def listed(sdk, **query):
    return [item.metadata.name for item in sdk.list_pools(ListPoolsRequest(**query)).items]


def wait_for_phase(sdk, pool, phase="Running"):
    def reached():
        shown = show(sdk, pool)
        return shown if shown.status.phase == phase else None

    return wait_until(f"pool {pool} is {phase}", reached)


def wait_for_nodes(sdk, pool, wanted):
    """Waits until exactly `wanted` nodes are available and none is in another state; gives the pool as JSON."""

    def settled():
        shown = show(sdk, pool).to_json_object()
        groups = shown["status"]["resources"]
        available = sum(element["count"] for element in groups.get("available", []))
        return shown if set(groups) <= {"available"} and available == wanted else None

    return wait_until(f"pool {pool} has {wanted} available nodes and nothing else", settled)


def gone(sdk, pool):
    try:
        show(sdk, pool)
    except ClientRequestException as error:
        assert (error.status_code, error.error_code) == (404, "ModelArts.50015001"), error
        return True
    return False
