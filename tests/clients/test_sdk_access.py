"""How the vendor's SDK finds the server and the project, and what it sees when its keys or its project are wrong."""

import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException, SdkException
from huaweicloudsdkcore.region.cache import EnvRegionCache
from huaweicloudsdkcore.region.region import Region
from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer
from huaweicloudsdkmodelarts.v1 import (
    CreatePoolRequest,
    DeletePoolRequest,
    ListPoolsRequest,
    ModelArtsClient,
    PatchPoolRequest,
    ShowPoolRequest,
)
from huaweicloudsdkmodelarts.v1.region.modelarts_region import ModelArtsRegion

from sdk_calls import build_client, create, dedicated, listed, refused
from support import RawHttp, encode_json, fresh_name


@pytest.fixture
def fresh_lookup(monkeypatch):
    """The SDK remembers projects and regions for the life of the process; each lookup test starts without them."""
    monkeypatch.setattr(BasicCredentials, "_CACHE", {})
    monkeypatch.setattr(EnvRegionCache(), "_value", {})


def credentials_without_project(settings):
    return BasicCredentials(settings.access_key, settings.secret_key)


# Finding the server and the project


@pytest.mark.usefixtures("fresh_lookup")
def test_the_project_is_found_by_the_name_of_the_region(settings):
    credentials = credentials_without_project(settings).with_iam_endpoint(settings.url)
    region = Region(settings.project_name, settings.url)
    client = ModelArtsClient.new_builder().with_credentials(credentials).with_region(region).build()
    assert client.get_credentials().project_id == settings.project_id
    assert client.list_pools(ListPoolsRequest()).kind == "PoolList"


@pytest.mark.usefixtures("fresh_lookup")
def test_region_and_identity_endpoint_may_come_from_the_environment(settings, monkeypatch):
    variable = settings.project_name.replace("-", "_").upper()
    monkeypatch.setenv(f"HUAWEICLOUD_SDK_REGION_MODELARTS_{variable}", settings.url)
    monkeypatch.setenv("HUAWEICLOUD_SDK_IAM_ENDPOINT", settings.url)
    region = ModelArtsRegion.value_of(settings.project_name)
    credentials = credentials_without_project(settings)
    client = ModelArtsClient.new_builder().with_credentials(credentials).with_region(region).build()
    assert client.get_credentials().project_id == settings.project_id
    assert listed(client) is not None


@pytest.mark.usefixtures("fresh_lookup")
def test_an_unknown_region_finds_no_project(settings):
    credentials = credentials_without_project(settings).with_iam_endpoint(settings.url)
    builder = ModelArtsClient.new_builder().with_credentials(credentials).with_region(Region("no-such-region-1", settings.url))
    with pytest.raises(SdkException, match="Confirm that the project exists"):
        builder.build()


@pytest.mark.usefixtures("fresh_lookup")
def test_a_wrong_key_is_named_by_the_project_lookup(settings):
    credentials = BasicCredentials(settings.access_key, "wrong").with_iam_endpoint(settings.url)
    builder = ModelArtsClient.new_builder().with_credentials(credentials).with_region(Region(settings.project_name, settings.url))
    with pytest.raises(SdkException, match="status_code:401"):
        builder.build()


def test_without_any_project_the_placeholder_is_refused_clearly(settings):
    client = ModelArtsClient.new_builder().with_credentials(credentials_without_project(settings)).with_endpoint(settings.url).build()
    for call in (lambda: listed(client), lambda: client.show_pool(ShowPoolRequest(pool_name="any"))):
        with pytest.raises(ClientRequestException) as caught:
            call()
        assert 400 <= caught.value.status_code < 500
        assert caught.value.error_code.startswith("ModelArts.") and "project" in caught.value.error_msg
        assert caught.value.request_id


def test_a_path_behind_the_endpoint_is_dropped_by_the_client(settings):
    assert listed(build_client(settings, endpoint=settings.url + "/some/prefix")) is not None


# Being refused


def test_a_wrong_secret_or_an_unknown_key_is_unauthorised(settings):
    with refused(401, "ModelArts.50001000"):
        listed(build_client(settings, secret_key="wrong"))
    with refused(401, "ModelArts.50001000"):
        listed(build_client(settings, access_key="AKNOBODY"))


def test_another_project_is_forbidden(settings):
    with refused(403, "ModelArts.0210", "project"):
        listed(build_client(settings, project_id="0" * 32))


def test_the_own_domain_may_be_named_as_the_actual_user(settings, sdk, api):
    """X-ModelArts-User-ID with one's own domain id changes nothing: the answer is about the pool."""
    domains = api.get("/v3/auth/domains").expect(200)["domains"]
    own_domain = next(domain["id"] for domain in domains if domain["name"] == settings.domain)
    unknown = f"{fresh_name('none')}-{settings.project_id}"
    with refused(404, "ModelArts.50015001"):
        sdk.show_pool(ShowPoolRequest(pool_name=unknown, x_model_arts_user_id=own_domain))


def test_nobody_acts_for_another_user(settings, sdk, pool):
    stranger = "f" * 32
    calls = (
        lambda: sdk.show_pool(ShowPoolRequest(pool_name=pool, x_model_arts_user_id=stranger)),
        lambda: sdk.patch_pool(PatchPoolRequest(pool_name=pool, x_model_arts_user_id=stranger, body={})),
        lambda: sdk.delete_pool(DeletePoolRequest(pool_name=pool, x_model_arts_user_id=stranger)),
        lambda: sdk.create_pool(CreatePoolRequest(x_model_arts_user_id=stranger, body=dedicated(fresh_name("x"), settings.demo_network))),
    )
    for call in calls:
        with refused(403, "ModelArts.0112"):
            call()
    assert "deletionTimestamp" not in sdk.show_pool(ShowPoolRequest(pool_name=pool)).to_json_object()["metadata"]


# The signer itself, with what its ModelArts client never sends


def sdk_signed(settings, method, path, content_type, body):
    """A request signed by the SDK's signer and sent byte for byte as it was signed."""
    http = RawHttp(settings.url)
    headers = {"Content-Type": content_type, "X-Project-Id": settings.project_id}
    credentials = BasicCredentials(settings.access_key, settings.secret_key, settings.project_id)
    where = {"schema": "http", "host": http.host, "resource_path": path, "query_params": []}
    signed = Signer(credentials).sign(SdkRequest(method=method, header_params=headers, body=body, **where))
    return http.send(method, signed.uri, signed.header_params, signed.body), signed.header_params


@pytest.fixture
def pool(sdk, settings, ledger):
    name = fresh_name("pool")
    identity = ledger.pool(name)
    create(sdk, dedicated(name, settings.demo_network))
    return identity


def test_a_merge_patch_goes_out_with_an_unsigned_payload(settings, pool):
    path = f"/v2/{settings.project_id}/pools/{pool}"
    body = encode_json({"metadata": {"annotations": {"os.modelarts/description": "unsigned"}}})
    for content_type in ("application/merge-patch+json", "Application/Merge-Patch+JSON; charset=utf-8"):
        reply, sent = sdk_signed(settings, "PATCH", path, content_type, body)
        assert sent["X-Sdk-Content-Sha256"] == "UNSIGNED-PAYLOAD"
        assert reply.expect(200)["metadata"]["annotations"]["os.modelarts/description"] == "unsigned"


def test_a_patch_needs_a_content_type_of_a_patch(settings, pool):
    path = f"/v2/{settings.project_id}/pools/{pool}"
    reply, _ = sdk_signed(settings, "PATCH", path, "application/json;charset=UTF-8", b"{}")
    reply.expect(200)
    reply, _ = sdk_signed(settings, "PATCH", path, "text/plain", b"{}")
    reply.expect_error(415, "ModelArts.50004100")


def test_a_body_changed_on_the_way_is_refused(settings, pool):
    path = f"/v2/{settings.project_id}/pools/{pool}"
    http = RawHttp(settings.url)
    _, sent = sdk_signed(settings, "PATCH", path, "application/json", b"{}")
    changed = encode_json({"metadata": {"annotations": {"os.modelarts/description": "changed"}}})
    http.send("PATCH", path, sent, changed).expect_error(401, "ModelArts.50001000", "signature")
