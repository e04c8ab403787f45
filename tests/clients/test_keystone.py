"""Signing in with keystoneauth: discovery, the forms of login, the catalog, calls with the token, and refusals."""

from datetime import datetime, timedelta, timezone

import operations
import pytest
from keystoneauth1 import discover, exceptions, identity, session
from keystoneauth1.adapter import Adapter
from keystoneauth1.identity import v3

from support import RawHttp, encode_json, fresh_name

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def auth_url(settings):
    return f"{settings.url}/v3"


def password(settings, auth_url, **changes):
    """The usual login: user and project by name, both in the domain by name."""
    arguments = {
        "username": settings.user,
        "password": settings.password,
        "user_domain_name": settings.domain,
        "project_name": settings.project_name,
        "project_domain_name": settings.domain,
        **changes,
    }
    return v3.Password(auth_url, **{name: value for name, value in arguments.items() if value is not None})


@pytest.fixture
def keystone(settings, auth_url):
    return session.Session(auth=password(settings, auth_url))


@pytest.fixture
def raw(settings):
    return RawHttp(settings.url, operations.IDENTITY)


def keystone_error(reply, status):
    """The only form of error that this client shows to its user."""
    error = reply.expect(status)["error"]
    assert error["code"] == status and error["message"] and error["title"]
    assert reply.headers.get("x-request-id")


# Discovery


def test_discovery_needs_no_credentials(settings, auth_url, raw):
    version = raw.send("GET", "/v3").expect(200)["version"]
    assert version["id"].startswith("v3") and version["status"] == "stable"
    assert version["links"][0]["href"].rstrip("/") == auth_url
    values = raw.send("GET", "/").expect(200, 300)["versions"]["values"]
    assert [value["links"][0]["href"].rstrip("/") for value in values] == [auth_url]
    for url in (settings.url, auth_url):
        found = discover.Discover(session.Session(), url)
        assert found.url_for((3, 0)).rstrip("/") == auth_url


@pytest.mark.parametrize("path", ["", "/", "/v3", "/v3/"])
def test_a_login_finds_its_way_from_any_form_of_the_url(settings, path):
    auth = identity.Password(
        auth_url=settings.url + path,
        username=settings.user,
        password=settings.password,
        user_domain_name=settings.domain,
        project_name=settings.project_name,
        project_domain_name=settings.domain,
    )
    assert session.Session(auth=auth).get_project_id() == settings.project_id


# Login


def test_a_login_by_names_gives_a_project_token(settings, keystone):
    assert keystone.get_token()
    access = keystone.auth.get_access(keystone)
    assert (access.project_id, access.project_name) == (settings.project_id, settings.project_name)
    assert (access.username, access.user_domain_name, access.project_domain_name) == (settings.user, settings.domain, settings.domain)
    assert access.user_id and access.user_domain_id and access.role_names
    assert access.project_scoped and not access.domain_scoped
    lifetime = access.expires - access.issued
    assert timedelta(minutes=5) < lifetime <= timedelta(hours=24)
    assert access.expires > datetime.now(timezone.utc)


def test_a_login_by_ids_is_the_same(settings, keystone, auth_url):
    access = keystone.auth.get_access(keystone)
    auth = v3.Password(auth_url, user_id=access.user_id, password=settings.password, project_id=settings.project_id)
    assert auth.get_access(session.Session(auth=auth)).project_id == settings.project_id
    by_domain_id = password(settings, auth_url, user_domain_name=None, user_domain_id=access.user_domain_id)
    assert by_domain_id.get_access(session.Session(auth=by_domain_id)).user_id == access.user_id


def test_a_domain_token_cannot_call_project_apis(settings, auth_url):
    auth = password(settings, auth_url, project_name=None, project_domain_name=None, domain_name=settings.domain)
    scoped = session.Session(auth=auth)
    access = auth.get_access(scoped)
    assert access.domain_scoped and access.domain_name == settings.domain and access.project_id is None
    answer = scoped.get(f"{settings.url}/v2/{settings.project_id}/pools", raise_exc=False)
    assert answer.status_code == 401 and answer.json()["error_code"] == "ModelArts.50001000"


def test_without_a_scope_the_token_lists_projects_and_is_exchanged_for_one(settings, auth_url):
    auth = password(settings, auth_url, project_name=None, project_domain_name=None)
    unscoped = session.Session(auth=auth)
    projects = unscoped.get(f"{auth_url}/auth/projects").json()["projects"]
    project = next(entry for entry in projects if entry["name"] == settings.project_name)
    exchanged = session.Session(auth=v3.Token(auth_url, unscoped.get_token(), project_id=project["id"]))
    assert exchanged.get_project_id() == settings.project_id
    assert exchanged.get(f"{settings.url}/v2/{settings.project_id}/pools").json()["kind"] == "PoolList"


def test_a_project_token_is_exchanged_for_a_domain_token(settings, keystone, auth_url):
    auth = v3.Token(auth_url, keystone.get_token(), domain_name=settings.domain)
    access = auth.get_access(session.Session(auth=auth))
    assert access.domain_scoped and access.username == settings.user


def test_a_new_login_gives_another_token_that_works_too(settings, keystone):
    first = keystone.get_token()
    keystone.invalidate()
    assert keystone.get_token() != first
    for token in (first, keystone.get_token()):
        answer = RawHttp(settings.url, operations.IDENTITY).send("GET", f"/v2/{settings.project_id}/pools", {"X-Auth-Token": token})
        answer.expect(200)


# The catalog and calls


def test_the_catalog_names_this_server(settings, keystone, auth_url):
    where = {"interface": "public", "region_name": settings.project_name}
    assert keystone.get_endpoint(service_type="modelarts", **where).rstrip("/") == settings.url
    assert keystone.get_endpoint(service_type="identity", **where).rstrip("/") == auth_url
    with pytest.raises(exceptions.EndpointNotFound):
        keystone.get_endpoint(service_type="modelarts", interface="public", region_name="no-such-region-1")


@pytest.mark.parametrize("by_catalog", [True, False])
def test_pools_are_called_through_the_catalog_or_an_override(settings, keystone, by_catalog):
    where = {"service_type": "modelarts", "region_name": settings.project_name} if by_catalog else {"endpoint_override": settings.url}
    adapter = Adapter(keystone, interface="public", **where)
    listed = adapter.get(f"/v2/{settings.project_id}/pools", params={"status": "created"})
    assert (listed.status_code, listed.json()["kind"]) == (200, "PoolList")
    assert adapter.get(f"/v1/{settings.project_id}/resourceflavors").json()["items"]
    unknown = adapter.get(f"/v2/{settings.project_id}/pools/{fresh_name('none')}", raise_exc=False)
    assert unknown.status_code == 404 and unknown.json()["error_code"] == "ModelArts.50015001"
    foreign = adapter.get(f"/v2/{'0' * 32}/pools", raise_exc=False)
    assert foreign.status_code == 403 and foreign.json()["error_code"] == "ModelArts.0210"


def test_a_pool_is_created_and_deleted_with_a_token(settings, keystone, ledger):
    name = fresh_name("pool")
    pool = ledger.pool(name)
    adapter = Adapter(keystone, service_type="modelarts", interface="public", region_name=settings.project_name)
    spec = {"type": "Dedicate", "network": {"name": settings.demo_network}, "resources": [{"flavor": "modelarts.vm.cpu.8ud", "count": 1}]}
    body = {"apiVersion": "v2", "kind": "Pool", "metadata": {"labels": {"os.modelarts/name": name}}, "spec": spec}
    created = adapter.post(f"/v2/{settings.project_id}/pools", json=body)
    assert (created.status_code, created.json()["metadata"]["name"]) == (200, pool)
    merge = {"Content-Type": "application/merge-patch+json"}
    note = {"metadata": {"annotations": {"os.modelarts/description": "by token"}}}
    patched = adapter.patch(f"/v2/{settings.project_id}/pools/{pool}", json=note, headers=merge).json()
    assert patched["metadata"]["annotations"]["os.modelarts/description"] == "by token"
    assert adapter.delete(f"/v2/{settings.project_id}/pools/{pool}").json()["metadata"]["deletionTimestamp"]


# The lists


def test_the_lists_have_the_keystone_form(settings, keystone, auth_url):
    for path in ("/auth/projects", "/projects", f"/projects?name={settings.project_name}"):
        listed = keystone.get(auth_url + path).json()
        project = next(entry for entry in listed["projects"] if entry["id"] == settings.project_id)
        assert project["name"] == settings.project_name and project["enabled"] is True
        assert project["domain_id"] and listed["links"]
    assert keystone.get(f"{auth_url}/projects", params={"name": "no-such-region-1"}).json()["projects"] == []
    domains = keystone.get(f"{auth_url}/auth/domains").json()
    assert settings.domain in [entry["name"] for entry in domains["domains"]] and domains["links"]


@pytest.mark.parametrize("path", ["/v3/projects", "/v3/auth/projects", "/v3/auth/domains"])
def test_the_lists_need_a_sign_in(raw, path):
    keystone_error(raw.send("GET", path), 401)
    keystone_error(raw.send("GET", path, {"X-Auth-Token": "nonsense"}), 401)


# Refusals


@pytest.mark.parametrize(
    "wrong",
    [
        {"password": "wrong"},
        {"username": "nobody"},
        {"user_domain_name": "nowhere"},
        {"project_name": "no-such-project"},
    ],
)
def test_a_wrong_login_is_unauthorised_and_readable(settings, auth_url, wrong):
    with pytest.raises(exceptions.Unauthorized) as caught:
        session.Session(auth=password(settings, auth_url, **wrong)).get_token()
    assert caught.value.http_status == 401
    assert "Unrecognized schema" not in str(caught.value)


def test_a_refused_login_does_not_tell_whether_the_user_exists(settings, auth_url, raw):
    def message(user):
        who = {"name": user, "password": "wrong", "domain": {"name": settings.domain}}
        body = encode_json({"auth": {"identity": {"methods": ["password"], "password": {"user": who}}}})
        reply = raw.send("POST", "/v3/auth/tokens", JSON, body)
        keystone_error(reply, 401)
        assert "x-subject-token" not in reply.headers
        return reply.json()["error"]["message"]

    assert message(settings.user) == message("nobody")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"auth":{}}', b'{"auth":{"identity":{"methods":["totp"]}}}'])
def test_a_login_that_is_none_is_refused_in_the_keystone_form(raw, body):
    reply = raw.send("POST", "/v3/auth/tokens", JSON, body)
    assert reply.status in (400, 401)
    keystone_error(reply, reply.status)


def test_an_unknown_token_cannot_be_exchanged(settings, auth_url):
    with pytest.raises(exceptions.Unauthorized):
        session.Session(auth=v3.Token(auth_url, "nonsense", project_id=settings.project_id)).get_token()


@pytest.mark.parametrize("headers", [{}, {"X-Auth-Token": "nonsense"}, {"Authorization": "Basic dTpw"}])
def test_the_resource_api_needs_a_sign_in(settings, raw, headers):
    raw.send("GET", f"/v2/{settings.project_id}/pools", headers).expect_error(401, "ModelArts.50001000")
