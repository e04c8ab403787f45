"""Fixtures of the client tests. They talk to a server that already runs; see README.md for the environment."""

import pathlib

import operations
import pytest
import requests
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkmodelarts.v1 import ModelArtsClient

from sdk_calls import create, dedicated, wait_for_phase
from support import Ledger, OperatorApi, Settings, SignedApi, Undo, fresh_name
from terraform import TerraformProvider

HERE = pathlib.Path(__file__).parent
DESELECTED = pytest.StashKey[bool]()


def pytest_configure(config):
    config.addinivalue_line("markers", "last: judges the whole run and comes after everything else")


def pytest_collection_modifyitems(items):
    """What judges the whole run comes last."""
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


def pytest_deselected(items):
    if items:
        items[0].config.stash[DESELECTED] = True


@pytest.fixture(scope="session")
def whole_run(request):
    """Skips what can only be judged after all tests of all files."""
    named = any("::" in argument for argument in request.config.args)
    missing = set(HERE.glob("test_*.py")) - {item.path for item in request.session.items}
    if named or missing or request.config.stash.get(DESELECTED, False):
        pytest.skip("only a part of the tests runs")


@pytest.fixture(scope="session", autouse=True)
def recorded_calls():
    """Writes down what the SDK and keystoneauth send, below them: both use `requests`."""
    send = requests.Session.send

    def recording(session, request, **kwargs):
        answer = send(session, request, **kwargs)
        agent = request.headers.get("User-Agent", "")
        agent = agent.decode() if isinstance(agent, bytes) else agent
        client = operations.SDK if agent.startswith("huaweicloud-usdk-python") else operations.IDENTITY
        operations.record(client, request.method, request.path_url, answer.status_code)
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests.Session, "send", recording)
        yield


@pytest.fixture(scope="session")
def settings():
    try:
        return Settings.from_environment()
    except LookupError as missing:
        pytest.fail(str(missing), pytrace=False)


@pytest.fixture(scope="session")
def api(settings):
    return SignedApi(settings)


@pytest.fixture(scope="session")
def operator(settings):
    return OperatorApi(settings)


@pytest.fixture(scope="session")
def sdk(settings):
    """The vendor's client as its manual builds it: keys, project id and an endpoint."""
    credentials = BasicCredentials(settings.access_key, settings.secret_key, settings.project_id)
    return ModelArtsClient.new_builder().with_credentials(credentials).with_endpoint(settings.url).build()


@pytest.fixture
def terraform(settings):
    return TerraformProvider(settings)


@pytest.fixture
def ledger(undo, api, settings):
    book = Ledger(api, settings.project_id)
    yield book
    book.clean()


@pytest.fixture(scope="module")
def module_ledger(api, settings):
    book = Ledger(api, settings.project_id)
    yield book
    book.clean()


@pytest.fixture
def undo(operator):
    """What an operator makes for one test. The ledger depends on it: pools go first, then what they are made of."""
    steps = Undo(operator)
    yield steps
    steps.clean()


def pool_maker(sdk, settings, book):
    """Creates a pool and waits until it runs; gives its id."""

    def make(**members):
        name = fresh_name("pool")
        pool = book.pool(name)
        create(sdk, dedicated(name, settings.demo_network, **members))
        wait_for_phase(sdk, pool)
        return pool

    return make


@pytest.fixture
def new_pool(sdk, settings, ledger):
    """Makes running pools for one test."""
    return pool_maker(sdk, settings, ledger)


@pytest.fixture(scope="module")
def module_pool(sdk, settings, module_ledger):
    """Makes running pools that stay for the tests of a file."""
    return pool_maker(sdk, settings, module_ledger)


@pytest.fixture
def super_flavor(undo):
    """A flavor whose machines come as supernodes of two or four, with eight of them."""
    steps = [{"type": "hyperinstance", "step": 2}, {"type": "hyperinstance", "step": 4}]
    name = "ct.super." + fresh_name("f")
    flavor = {"name": name, "cpuArch": "x86", "cpu": 8, "memory": "32Gi", "zones": ["az-1"], "creatingSteps": steps}
    undo.make("flavors", flavor, f"flavors/{name}")
    prefix = fresh_name("m")
    machines = undo.make("machines", {"id": prefix, "flavor": name, "az": "az-1", "count": 8})["machines"]
    undo.also(f"machines/{machine['id']}" for machine in machines)
    return name
