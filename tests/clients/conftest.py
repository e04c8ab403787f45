"""Fixtures of the client tests. They talk to a server that already runs; see README.md for the environment."""

import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkmodelarts.v1 import ModelArtsClient

from support import Ledger, Settings, SignedApi
from terraform import TerraformProvider


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
def sdk(settings):
    """The vendor's client as its manual builds it: keys, project id and an endpoint."""
    credentials = BasicCredentials(settings.access_key, settings.secret_key, settings.project_id)
    return ModelArtsClient.new_builder().with_credentials(credentials).with_endpoint(settings.url).build()


@pytest.fixture
def terraform(settings):
    return TerraformProvider(settings)


@pytest.fixture
def ledger(api, settings):
    book = Ledger(api, settings.project_id)
    yield book
    book.clean()


@pytest.fixture(scope="module")
def module_ledger(api, settings):
    book = Ledger(api, settings.project_id)
    yield book
    book.clean()
